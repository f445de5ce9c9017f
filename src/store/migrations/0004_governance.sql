-- What keeps the event log honest and what people are told of it.

-- Signed heads of the log. `public_key` and `signature` are hexadecimal.
CREATE TABLE log_checkpoints (
    seq BIGINT PRIMARY KEY,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- The policy rows that the trigger asks for before it lets a prefix of the log go: everything
-- through `seq` may be deleted. A checkpoint must cover it.
CREATE TABLE retention (
    seq BIGINT PRIMARY KEY REFERENCES log_checkpoints (seq),
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- How far each reader of the log has come.
CREATE TABLE log_cursors (
    name TEXT PRIMARY KEY,
    seq BIGINT NOT NULL
);

-- Alerts to be delivered, and how far each is. `dedupe` names what it is about.
CREATE TABLE alert_queue (
    id TEXT PRIMARY KEY,
    dedupe TEXT NOT NULL,
    event_seq BIGINT,
    payload TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    tries BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX alert_queue_pending ON alert_queue (state, due_at);
CREATE INDEX alert_queue_alike ON alert_queue (dedupe, created_at);

-- One record for each cause that is not over.
CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    cause TEXT NOT NULL,
    is_open BIGINT NOT NULL,
    severity TEXT NOT NULL,
    title TEXT NOT NULL,
    detail TEXT NOT NULL,
    repo TEXT,
    run_id TEXT,
    times BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    closed_at BIGINT,
    issue_number BIGINT,
    issue_url TEXT
);
CREATE UNIQUE INDEX incidents_one_open ON incidents (cause) WHERE is_open = 1;
CREATE INDEX incidents_newest ON incidents (opened_at);
