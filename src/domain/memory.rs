//! The memory fabric's nouns: scoped entries, the schemas that they keep to, and when memory drifts.
//!
//! Owns what an entry is and what is wrong with one. Where entries are kept is the store's business.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{RepoName, RunId};
use super::tier::ModelTier;

/// The longest key, in bytes.
const LONGEST_KEY: usize = 200;
/// The largest value, in bytes of JSON.
const LARGEST_VALUE: usize = 16 << 10;

/// For whom an entry holds. The narrower one is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One repository.
    Project,
    /// This Foreman, whatever it works on.
    Foreman,
    /// Every Foreman of these people.
    Global,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Project, Self::Foreman, Self::Global];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Foreman => "foreman",
            Self::Global => "global",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a scope: global, foreman, project"))
    }
}

/// What a value must look like. A new shape gets a new name; an old one never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// What failed for a kind of issue, and how often what came after put it right.
    HealingFailure,
    /// A sentence that holds, or does not.
    Fact,
    /// A sentence for people.
    Note,
}

impl Schema {
    pub const ALL: [Self; 3] = [Self::HealingFailure, Self::Fact, Self::Note];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HealingFailure => "healing.failure.v1",
            Self::Fact => "fact.v1",
            Self::Note => "note.v1",
        }
    }

    /// What is wrong with a value, if anything.
    pub fn check(self, value: &Value) -> Result<(), String> {
        fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<(), String> {
            T::deserialize(value).map(drop).map_err(|error| error.to_string())
        }
        if value.to_string().len() > LARGEST_VALUE {
            return Err(format!("it is larger than {LARGEST_VALUE} bytes"));
        }
        match self {
            Self::HealingFailure => read::<HealingFailure>(value),
            Self::Fact => read::<Fact>(value),
            Self::Note => read::<Text>(value),
        }
    }
}

impl FromStr for Schema {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|schema| schema.as_str() == text).ok_or_else(|| {
            format!("`{text}` is not a schema: healing.failure.v1, fact.v1, note.v1")
        })
    }
}

/// `healing.failure.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealingFailure {
    pub kind: String,
    pub tier: ModelTier,
    /// `call:<error class>` or `gate:<dimension>`.
    pub what: String,
    /// The last time's words; untrusted.
    pub detail: String,
    pub failures: u64,
    pub healed: u64,
    pub failed_at: DateTime<Utc>,
}

/// `fact.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    pub statement: String,
    pub holds: bool,
}

/// `note.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub text: String,
}

/// Something to be remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    pub scope: Scope,
    /// Of a project's entry, and of no other.
    pub project: Option<RepoName>,
    pub key: String,
    pub schema: Schema,
    pub value: Value,
    /// Who says so.
    pub source: String,
    pub run: Option<RunId>,
    /// Days after which it is stale unless it is said again; `None`: never.
    pub fresh_days: Option<u32>,
}

impl NewEntry {
    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        let key_ok = (1..=LONGEST_KEY).contains(&self.key.len())
            && self
                .key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/:._-".contains(&b));
        if !key_ok {
            return Err(
                "key takes 1 to 200 lower case letters, digits and `/`, `:`, `.`, `_`, `-`"
                    .to_owned(),
            );
        }
        match (self.scope, &self.project) {
            (Scope::Project, None) => return Err("scope project needs owner and repo".to_owned()),
            (Scope::Foreman | Scope::Global, Some(_)) => {
                return Err(format!("scope {} takes no owner and repo", self.scope));
            }
            (Scope::Project, Some(_)) | (Scope::Foreman | Scope::Global, None) => {}
        }
        let schema = self.schema;
        schema.check(&self.value).map_err(|why| format!("value is no {}: {why}", schema.as_str()))
    }
}

/// An entry as it is remembered, in one of its versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEntry {
    pub scope: Scope,
    /// `owner/name`, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    pub key: String,
    /// From 1; said again with the same value it stays.
    pub version: i64,
    /// Its name as stored: one that is not known any more is a drift.
    pub schema: String,
    pub value: Value,
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    pub at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<DateTime<Utc>>,
}

/// How memory and the world came apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// Nobody has said it again in its time.
    Stale,
    /// Two scopes that hold for the same work say opposite things.
    Contradiction,
    /// The value does not keep to its schema.
    Malformed,
}

impl DriftKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Contradiction => "contradiction",
            Self::Malformed => "malformed",
        }
    }
}

/// One entry that is not to be relied on as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryDrift {
    pub kind: DriftKind,
    pub scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    pub key: String,
    pub version: i64,
    pub why: String,
}

/// Everything that drifted among the latest versions, in the order of the entries.
#[must_use]
pub fn drift(latest: &[MemoryEntry], now: DateTime<Utc>) -> Vec<MemoryDrift> {
    let of = |entry: &MemoryEntry, kind, why: String| MemoryDrift {
        kind,
        scope: entry.scope,
        project: entry.project.clone(),
        key: entry.key.clone(),
        version: entry.version,
        why,
    };
    let mut drifted = Vec::new();
    for entry in latest {
        let checked = entry.schema.parse().and_then(|schema: Schema| schema.check(&entry.value));
        if let Err(why) = checked {
            drifted.push(of(entry, DriftKind::Malformed, why));
            continue;
        }
        if let Some(until) = entry.fresh_until.filter(|until| *until <= now) {
            let day = until.format("%Y-%m-%d");
            drifted.push(of(entry, DriftKind::Stale, format!("it was good until {day}")));
        }
        // Told once, of the narrower one: it is what is read first.
        let wider = latest.iter().find(|other| {
            other.key == entry.key && other.scope > entry.scope && contradict(entry, other)
        });
        if let Some(wider) = wider {
            let why = format!("scope {} says the opposite", wider.scope);
            drifted.push(of(entry, DriftKind::Contradiction, why));
        }
    }
    drifted
}

fn contradict(one: &MemoryEntry, other: &MemoryEntry) -> bool {
    let fact = |entry: &MemoryEntry| {
        let fact = entry.schema.parse() == Ok(Schema::Fact);
        fact.then(|| Fact::deserialize(&entry.value).ok()).flatten()
    };
    match (fact(one), fact(other)) {
        (Some(one), Some(other)) => one.holds != other.holds,
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(scope: Scope, key: &str, value: Value) -> MemoryEntry {
        MemoryEntry {
            scope,
            project: (scope == Scope::Project).then(|| "o/r".to_owned()),
            key: key.to_owned(),
            version: 1,
            schema: "fact.v1".to_owned(),
            value,
            source: "test".to_owned(),
            run_id: None,
            at: DateTime::UNIX_EPOCH,
            fresh_until: None,
        }
    }

    #[test]
    fn a_value_keeps_to_its_schema() {
        let fact = json!({ "statement": "the tests need no network", "holds": true });
        assert_eq!(Schema::Fact.check(&fact), Ok(()));
        for bad in [
            json!({}),
            json!({ "statement": 1, "holds": true }),
            json!([]),
            json!({
                "statement": "s", "holds": true, "more": 1
            }),
        ] {
            Schema::Fact.check(&bad).expect_err(&bad.to_string());
        }
        let large = json!({ "text": "x".repeat(LARGEST_VALUE) });
        assert!(Schema::Note.check(&large).is_err_and(|why| why.contains("larger")));
        for schema in Schema::ALL {
            assert_eq!(schema.as_str().parse(), Ok(schema));
        }
    }

    #[test]
    fn an_entry_says_whom_it_is_about() {
        let new = |scope, project: Option<&str>, key: &str| {
            NewEntry {
                scope,
                project: project.map(|repo| repo.parse().expect("a repository")),
                key: key.to_owned(),
                schema: Schema::Note,
                value: json!({ "text": "t" }),
                source: "test".to_owned(),
                run: None,
                fresh_days: None,
            }
            .check()
        };
        assert_eq!(new(Scope::Global, None, "a/b:c.d_e-1"), Ok(()));
        assert_eq!(new(Scope::Project, Some("o/r"), "a"), Ok(()));
        assert!(new(Scope::Project, None, "a").is_err());
        assert!(new(Scope::Foreman, Some("o/r"), "a").is_err());
        assert!(new(Scope::Global, None, "A").is_err() && new(Scope::Global, None, "").is_err());
    }

    #[test]
    fn drift_is_stale_contradicted_or_malformed() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9);
        let says = |holds: bool| json!({ "statement": "s", "holds": holds });
        let mut old = entry(Scope::Foreman, "old", says(true));
        old.fresh_until = Some(now);
        let mut unknown = entry(Scope::Global, "unknown", says(true));
        unknown.schema = "fact.v9".to_owned();
        let entries = [
            entry(Scope::Project, "same", says(true)),
            entry(Scope::Global, "same", says(true)),
            entry(Scope::Project, "other", says(false)),
            entry(Scope::Global, "other", says(true)),
            old,
            unknown,
            entry(Scope::Global, "broken", json!({ "holds": "yes" })),
        ];
        let found: Vec<(DriftKind, String)> =
            drift(&entries, now).into_iter().map(|drift| (drift.kind, drift.key)).collect();
        let expected = [
            (DriftKind::Contradiction, "other"),
            (DriftKind::Stale, "old"),
            (DriftKind::Malformed, "unknown"),
            (DriftKind::Malformed, "broken"),
        ];
        assert_eq!(found, expected.map(|(kind, key)| (kind, key.to_owned())));
    }
}
