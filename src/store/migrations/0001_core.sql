-- The durable core. Times are microseconds since the epoch, money is nano-USD, flags are 0 or 1.

-- The one row that every writing transaction updates first: it orders writers and carries the
-- head of the event chain and the latest time that was ever used.
CREATE TABLE log_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    clock BIGINT NOT NULL
);
INSERT INTO log_head (id, seq, hash, clock)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    repo_key TEXT NOT NULL,
    repo_owner TEXT NOT NULL,
    repo_name TEXT NOT NULL,
    dry_run BIGINT NOT NULL,
    status TEXT NOT NULL,
    active BIGINT NOT NULL,
    config TEXT NOT NULL,
    plan TEXT,
    notes TEXT NOT NULL,
    errors TEXT NOT NULL,
    cancel_requested BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);
CREATE UNIQUE INDEX runs_one_active ON runs (repo_key) WHERE active = 1;
CREATE INDEX runs_newest ON runs (created_at, id);
CREATE INDEX runs_of_repo ON runs (repo_key, created_at);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    body_sha256 TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    created_at BIGINT NOT NULL
);

CREATE TABLE run_issues (
    run_id TEXT NOT NULL REFERENCES runs (id),
    issue BIGINT NOT NULL,
    position BIGINT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    digest TEXT,
    ended_at BIGINT,
    PRIMARY KEY (run_id, issue)
);
-- The next position is looked up for each new row.
CREATE INDEX run_issues_place ON run_issues (run_id, position);

CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    issue BIGINT NOT NULL,
    number BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    state TEXT NOT NULL,
    ended BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    UNIQUE (run_id, issue, number)
);

-- One row is one admission. `released`: nothing was ever sent for it, so it counts no more.
-- `slot_held`: its attempt goes on.
CREATE TABLE escalations (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    attempt_id TEXT NOT NULL,
    issue BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    tier TEXT NOT NULL,
    reason TEXT NOT NULL,
    tag TEXT NOT NULL,
    counted BIGINT NOT NULL,
    released BIGINT NOT NULL,
    slot_held BIGINT NOT NULL,
    quota_remaining BIGINT NOT NULL,
    admitted_at BIGINT NOT NULL
);
CREATE INDEX escalations_in_window ON escalations (counted, released, admitted_at);
CREATE INDEX escalations_held ON escalations (slot_held);
CREATE INDEX escalations_of_run ON escalations (run_id, issue);
CREATE INDEX escalations_of_attempt ON escalations (attempt_id);

-- One row is one upstream request. `charge` is what is booked for it now: the estimate until it
-- is settled, then the real cost; 0 when it was released.
CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    repo_key TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    issue BIGINT NOT NULL,
    escalation_id TEXT,
    number BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    tier TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('reserved', 'dispatched', 'settled', 'unknown', 'released')),
    estimate BIGINT NOT NULL,
    charge BIGINT NOT NULL,
    prompt_tokens BIGINT,
    cached_tokens BIGINT,
    completion_tokens BIGINT,
    answer TEXT,
    error_class TEXT,
    error_message TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT
);
CREATE INDEX calls_of_run ON calls (run_id, issue, number);
CREATE INDEX calls_of_attempt ON calls (attempt_id);
CREATE INDEX calls_of_repo ON calls (repo_key);
CREATE INDEX calls_by_time ON calls (created_at);

CREATE TABLE tool_results (
    call_id TEXT NOT NULL REFERENCES calls (id),
    idx BIGINT NOT NULL,
    attempt_id TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    output TEXT NOT NULL,
    tree TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (call_id, idx)
);
CREATE INDEX tool_results_of_attempt ON tool_results (attempt_id);

CREATE TABLE effects (
    run_id TEXT NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    issue BIGINT,
    epoch BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intent', 'observed', 'failed')),
    intent TEXT NOT NULL,
    observed TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, key)
);

-- `metadata` is the text that was hashed; it is never written anew.
CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    run_id TEXT,
    issue BIGINT,
    description TEXT NOT NULL,
    metadata TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX events_of_run ON events (run_id, seq);
CREATE INDEX events_by_type ON events (type, seq);
CREATE INDEX events_by_severity ON events (severity, seq);
CREATE INDEX events_by_time ON events (at);
