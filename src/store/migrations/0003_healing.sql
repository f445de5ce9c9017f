-- Healing: which posts are not asked for now, what went wrong before, checkpoints, plans, and the
-- digests by which a stored answer is found again.

-- One row is one provider under one key; `provider` is a fingerprint.
CREATE TABLE provider_breakers (
    provider TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    why TEXT,
    until BIGINT NOT NULL,
    failed_at BIGINT NOT NULL
);

CREATE TABLE tier_cooldowns (
    tier TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    failures BIGINT NOT NULL,
    until BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    PRIMARY KEY (tier, model, provider)
);

-- Models that a run found not to exist.
CREATE TABLE dead_tiers (
    run_id TEXT NOT NULL REFERENCES runs (id),
    tier TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (run_id, tier, model)
);

-- What failed for a kind of issue: `call:<error class>` or `gate:<dimension>`.
CREATE TABLE healing_memory (
    repo_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    tier TEXT NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL,
    failures BIGINT NOT NULL,
    healed BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    PRIMARY KEY (repo_key, kind, tier, what)
);

CREATE TABLE issue_plans (
    repo_key TEXT NOT NULL,
    issue BIGINT NOT NULL,
    plan TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    round BIGINT NOT NULL,
    tier TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (repo_key, issue)
);

-- What a round left: the tree in a private ref, the digest of its conversation, and, once it was
-- judged, how many findings the gate had.
CREATE TABLE checkpoints (
    attempt_id TEXT NOT NULL,
    round BIGINT NOT NULL,
    tier TEXT NOT NULL,
    ref TEXT NOT NULL,
    conversation TEXT NOT NULL,
    plan TEXT,
    findings BIGINT,
    digest TEXT,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (attempt_id, round)
);

-- What was asked, by its digest: the same question of the same attempt is not bought twice.
CREATE TABLE call_prompts (
    call_id TEXT PRIMARY KEY REFERENCES calls (id),
    attempt_id TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE INDEX call_prompts_of_attempt ON call_prompts (attempt_id);
