-- A prefix may go that a policy row names, and a policy row needs a checkpoint of the same hash.
CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.seq <= COALESCE((SELECT MAX(seq) FROM retention), 0) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'events are never changed or deleted';
END;
$$;
CREATE FUNCTION retention_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM log_checkpoints c JOIN events e ON e.seq = c.seq
        WHERE c.seq = NEW.seq AND c.hash = NEW.hash AND e.hash = NEW.hash) THEN
        RAISE EXCEPTION 'retention needs a checkpoint that covers it';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER retention_needs_checkpoint BEFORE INSERT ON retention
FOR EACH ROW EXECUTE FUNCTION retention_check();
CREATE FUNCTION governance_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER retention_refuse_change BEFORE UPDATE OR DELETE ON retention
FOR EACH ROW EXECUTE FUNCTION governance_refuse();
CREATE TRIGGER log_checkpoints_refuse_change BEFORE UPDATE OR DELETE ON log_checkpoints
FOR EACH ROW EXECUTE FUNCTION governance_refuse();
