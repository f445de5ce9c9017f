-- How an admission passed the safety rails, and what exempted it.
ALTER TABLE escalations ADD COLUMN passage TEXT NOT NULL DEFAULT 'auto_approved';
ALTER TABLE escalations ADD COLUMN exemption TEXT;

-- What waits for a person, what is listed for review, and what a person decided. `issue` is null
-- for an override of a whole repository.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('approval', 'review', 'override')),
    status TEXT NOT NULL CHECK (status IN ('pending_approval', 'listed', 'approved', 'rejected')),
    repo_key TEXT NOT NULL,
    repo TEXT NOT NULL,
    run_id TEXT,
    issue BIGINT,
    tier TEXT,
    reason TEXT,
    tag TEXT,
    why TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    decision TEXT,
    valid_until BIGINT
);
CREATE INDEX approvals_by_status ON approvals (status, requested_at);
CREATE INDEX approvals_of_repo ON approvals (repo_key, issue);

-- When each alert was last given, so that it is given once per window.
CREATE TABLE alerts (
    key TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);

-- Reports of ended periods; `body` is the JSON.
CREATE TABLE reports (
    period TEXT NOT NULL,
    from_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (period, from_at)
);
