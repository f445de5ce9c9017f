-- The sums follow the calls, whoever writes those.
CREATE TRIGGER calls_spent_changed AFTER UPDATE OF status, charge ON calls
WHEN NEW.status IN ('settled', 'unknown') OR OLD.status IN ('settled', 'unknown')
BEGIN
    INSERT INTO spent_by_issue (run_id, issue, nanos) VALUES (NEW.run_id, NEW.issue,
        CASE WHEN NEW.status IN ('settled', 'unknown') THEN NEW.charge ELSE 0 END
        - CASE WHEN OLD.status IN ('settled', 'unknown') THEN OLD.charge ELSE 0 END)
    ON CONFLICT (run_id, issue) DO UPDATE SET nanos = spent_by_issue.nanos + excluded.nanos;
    INSERT INTO spent_by_day (day, repo_key, nanos) VALUES (NEW.created_at / 86400000000, NEW.repo_key,
        CASE WHEN NEW.status IN ('settled', 'unknown') THEN NEW.charge ELSE 0 END
        - CASE WHEN OLD.status IN ('settled', 'unknown') THEN OLD.charge ELSE 0 END)
    ON CONFLICT (day, repo_key) DO UPDATE SET nanos = spent_by_day.nanos + excluded.nanos;
END;
CREATE TRIGGER calls_spent_at_once AFTER INSERT ON calls
WHEN NEW.status IN ('settled', 'unknown')
BEGIN
    INSERT INTO spent_by_issue (run_id, issue, nanos) VALUES (NEW.run_id, NEW.issue, NEW.charge)
    ON CONFLICT (run_id, issue) DO UPDATE SET nanos = spent_by_issue.nanos + excluded.nanos;
    INSERT INTO spent_by_day (day, repo_key, nanos)
    VALUES (NEW.created_at / 86400000000, NEW.repo_key, NEW.charge)
    ON CONFLICT (day, repo_key) DO UPDATE SET nanos = spent_by_day.nanos + excluded.nanos;
END;
-- What was given back cost nothing.
CREATE TRIGGER calls_refuse_delete BEFORE DELETE ON calls
WHEN OLD.status <> 'released' OR OLD.charge <> 0
BEGIN
    SELECT RAISE(ABORT, 'calls are never deleted');
END;
