-- The sums follow the calls, whoever writes those.
CREATE FUNCTION calls_spent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    delta BIGINT := 0;
BEGIN
    IF NEW.status IN ('settled', 'unknown') THEN
        delta := NEW.charge;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status IN ('settled', 'unknown') THEN
            delta := delta - OLD.charge;
        END IF;
    END IF;
    IF delta <> 0 THEN
        INSERT INTO spent_by_issue (run_id, issue, nanos) VALUES (NEW.run_id, NEW.issue, delta)
        ON CONFLICT (run_id, issue) DO UPDATE SET nanos = spent_by_issue.nanos + excluded.nanos;
        INSERT INTO spent_by_day (day, repo_key, nanos)
        VALUES (NEW.created_at / 86400000000, NEW.repo_key, delta)
        ON CONFLICT (day, repo_key) DO UPDATE SET nanos = spent_by_day.nanos + excluded.nanos;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER calls_spent_changed AFTER INSERT OR UPDATE OF status, charge ON calls
FOR EACH ROW EXECUTE FUNCTION calls_spent();
CREATE FUNCTION calls_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'calls are never deleted';
END;
$$;
CREATE TRIGGER calls_refuse_delete BEFORE DELETE ON calls
FOR EACH ROW WHEN (OLD.status <> 'released' OR OLD.charge <> 0) EXECUTE FUNCTION calls_refuse();
