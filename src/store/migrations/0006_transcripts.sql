-- What was said in each round of building, in order. `message` is JSON with a `role`; `note` is
-- what Foreman says of it.
CREATE TABLE transcript (
    run_id TEXT NOT NULL REFERENCES runs (id),
    issue BIGINT NOT NULL,
    attempt_id TEXT NOT NULL,
    round BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    call_id TEXT,
    tier TEXT,
    message TEXT NOT NULL,
    said_at BIGINT NOT NULL,
    PRIMARY KEY (attempt_id, round, idx)
);
CREATE INDEX transcript_of_issue ON transcript (run_id, issue);
