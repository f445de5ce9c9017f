-- Who builds, and what strangers' issues were approved as.

-- Where the switch between Copilot and the desktop builder stands; one row once anything was
-- heard. `last_work` is the piece of work that was counted last.
CREATE TABLE builder_switch (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    active TEXT NOT NULL CHECK (active IN ('copilot', 'desktop')),
    since BIGINT NOT NULL,
    reason TEXT NOT NULL,
    held BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    failed_checks BIGINT NOT NULL,
    healthy BIGINT NOT NULL,
    last_work TEXT
);

-- The content of an issue as it was when its approval was first seen. A later edit needs a new
-- setting of the label, which has another time.
CREATE TABLE issue_approvals (
    repo TEXT NOT NULL,
    issue BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    digest TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (repo, issue)
);
