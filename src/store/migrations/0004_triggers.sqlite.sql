-- A prefix may go that a policy row names, and a policy row needs a checkpoint of the same hash.
DROP TRIGGER events_refuse_delete;
CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
WHEN OLD.seq > COALESCE((SELECT MAX(seq) FROM retention), 0)
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;
CREATE TRIGGER retention_needs_checkpoint BEFORE INSERT ON retention
WHEN NOT EXISTS (SELECT 1 FROM log_checkpoints c JOIN events e ON e.seq = c.seq
    WHERE c.seq = NEW.seq AND c.hash = NEW.hash AND e.hash = NEW.hash)
BEGIN
    SELECT RAISE(ABORT, 'retention needs a checkpoint that covers it');
END;
CREATE TRIGGER retention_refuse_update BEFORE UPDATE ON retention
BEGIN
    SELECT RAISE(ABORT, 'retention rows are never changed');
END;
CREATE TRIGGER retention_refuse_delete BEFORE DELETE ON retention
BEGIN
    SELECT RAISE(ABORT, 'retention rows are never deleted');
END;
CREATE TRIGGER log_checkpoints_refuse_update BEFORE UPDATE ON log_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never changed');
END;
CREATE TRIGGER log_checkpoints_refuse_delete BEFORE DELETE ON log_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never deleted');
END;
