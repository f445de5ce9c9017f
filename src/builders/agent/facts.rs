//! What people told the memory fabric that holds for an issue's repository, for the builder to read.
//!
//! Owns which entries a builder sees and how much of them. Only what a person told counts: an entry of
//! a run is a builder's or a gate's word. Never takes them for rules: the prompt says what they are.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize as _;

use crate::builders::clean_text;
use crate::domain::ids::RunId;
use crate::domain::memory::{Fact, MemoryEntry, Schema, Scope, Text};
use crate::store::{MemoryQuery, Store, StoreError};

/// Entries that are shown.
const MOST: usize = 20;
/// Characters of one of them.
const ONE: usize = 400;

/// The lines a builder is shown, the narrowest scope first, within it the latest first.
pub(super) async fn told(store: &Store, run: &RunId) -> Result<Vec<String>, StoreError> {
    let Some(night) = store.night(run).await? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for scope in Scope::ALL {
        let project = match scope {
            Scope::Project => Some(night.repo.key()),
            Scope::Foreman | Scope::Global => None,
        };
        let query = MemoryQuery { scope: Some(scope), project, ..MemoryQuery::default() };
        entries.extend(store.memory(query).await?);
    }
    Ok(lines(&entries, Utc::now()))
}

/// Of entries with one key the narrower one counts. Stale and malformed ones say nothing.
fn lines(entries: &[MemoryEntry], now: DateTime<Utc>) -> Vec<String> {
    let mut narrowest: BTreeMap<&str, Scope> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| counts(entry, now)) {
        let scope = narrowest.entry(&entry.key).or_insert(entry.scope);
        *scope = entry.scope.min(*scope);
    }
    let shown = |entry: &&MemoryEntry| {
        counts(entry, now) && narrowest.get(entry.key.as_str()) == Some(&entry.scope)
    };
    entries.iter().filter(shown).filter_map(line).take(MOST).collect()
}

fn counts(entry: &MemoryEntry, now: DateTime<Utc>) -> bool {
    let fresh = entry.fresh_until.is_none_or(|until| until > now);
    entry.run_id.is_none() && fresh && words(entry).is_some()
}

fn words(entry: &MemoryEntry) -> Option<String> {
    match entry.schema.parse::<Schema>().ok()? {
        Schema::Fact => {
            let Fact { statement, holds } = Fact::deserialize(&entry.value).ok()?;
            Some(if holds { statement } else { format!("It does not hold that: {statement}") })
        }
        Schema::Note => Text::deserialize(&entry.value).ok().map(|it| it.text),
        Schema::HealingFailure => None,
    }
}

fn line(entry: &MemoryEntry) -> Option<String> {
    let words = clean_text(&words(entry)?);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = words.chars().take(ONE).collect();
    let more = if cut.len() < words.len() { " […]" } else { "" };
    (!cut.is_empty()).then(|| format!("{}: {cut}{more}", entry.key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(scope: Scope, key: &str, statement: &str) -> MemoryEntry {
        MemoryEntry {
            scope,
            project: None,
            key: key.to_owned(),
            version: 1,
            schema: "fact.v1".to_owned(),
            value: json!({ "statement": statement, "holds": true }),
            source: "ann".to_owned(),
            run_id: None,
            at: DateTime::UNIX_EPOCH,
            fresh_until: None,
        }
    }

    #[test]
    fn the_narrower_word_of_a_person_counts_while_it_is_fresh() {
        let now = DateTime::UNIX_EPOCH;
        let stale = MemoryEntry { fresh_until: Some(now), ..entry(Scope::Project, "c", "old") };
        let by_a_run =
            MemoryEntry { run_id: Some(RunId::new("r")), ..entry(Scope::Project, "d", "a run's") };
        let malformed = MemoryEntry { value: json!(1), ..entry(Scope::Project, "e", "") };
        let long = entry(Scope::Global, "f", &"x".repeat(1_000));
        let entries = [
            entry(Scope::Project, "a", "here"),
            stale,
            by_a_run,
            malformed,
            entry(Scope::Foreman, "a", "wider"),
            entry(Scope::Global, "b", "every\nwhere"),
            entry(Scope::Global, "c", "wide, and fresh"),
            long,
        ];
        let said = lines(&entries, now);
        assert_eq!(said[..3], ["a: here", "b: every where", "c: wide, and fresh"]);
        assert_eq!((said.len(), said[3].chars().count()), (4, "f: ".len() + ONE + 4));
        let many: Vec<_> =
            (0..50).map(|n| entry(Scope::Project, &format!("k{n}"), "word")).collect();
        assert_eq!(lines(&many, now).len(), MOST);
    }
}
