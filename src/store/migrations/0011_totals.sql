-- What was spent for good (settled, or unknown at its estimate), as sums beside the calls: a ceiling
-- is looked at before every call and must not read every call of the month. Triggers keep them.

CREATE TABLE spent_by_issue (
    run_id TEXT NOT NULL REFERENCES runs (id),
    issue BIGINT NOT NULL,
    nanos BIGINT NOT NULL,
    PRIMARY KEY (run_id, issue)
);
INSERT INTO spent_by_issue (run_id, issue, nanos)
    SELECT run_id, issue, CAST(SUM(charge) AS BIGINT) FROM calls
    WHERE status IN ('settled', 'unknown') GROUP BY run_id, issue;

-- `day` counts days since 1970, UTC, of the call's beginning.
CREATE TABLE spent_by_day (
    day BIGINT NOT NULL,
    repo_key TEXT NOT NULL,
    nanos BIGINT NOT NULL,
    PRIMARY KEY (day, repo_key)
);
INSERT INTO spent_by_day (day, repo_key, nanos)
    SELECT created_at / 86400000000, repo_key, CAST(SUM(charge) AS BIGINT) FROM calls
    WHERE status IN ('settled', 'unknown') GROUP BY created_at / 86400000000, repo_key;
CREATE INDEX spent_by_repo ON spent_by_day (repo_key);

CREATE INDEX calls_in_flight ON calls (status) WHERE status IN ('reserved', 'dispatched');
CREATE INDEX calls_numbered ON calls (run_id, number);
