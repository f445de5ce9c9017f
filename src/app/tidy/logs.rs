//! Logs of checks that nobody names any more: not a stored night's rows or notes, no event that is
//! kept, no attempt that is open.
//!
//! A log is evidence while something refers to it, however old it is. Never reads a log.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use super::{DAY, Leftover, TidyError, age, days, entries, size};
use crate::config::Disk;
use crate::domain::event::EventType;
use crate::store::{EventQuery, RunFilter, Store, StoreError};

/// Events and nights read at a time.
const EVENTS: u32 = 1_000;
const RUNS: u32 = 100;

/// The hashes that anything stored names.
pub(super) async fn named(store: &Store) -> Result<BTreeSet<String>, StoreError> {
    let mut found = BTreeSet::new();
    let mut filter = RunFilter { limit: RUNS, ..RunFilter::default() };
    loop {
        let (runs, next) = store.runs(filter.clone()).await?;
        for run in &runs {
            collect(&serde_json::to_value(run).unwrap_or_default(), &mut found);
            if let Some(night) = store.night(&run.id).await? {
                collect(&night.notes, &mut found);
            }
            for row in &run.issue_results {
                if let Some(attempt) = store.attempt(&run.id, row.issue_number).await? {
                    collect(&attempt.state, &mut found);
                }
            }
        }
        match next {
            Some(cursor) => filter.cursor = Some(cursor),
            None => break,
        }
    }
    let mut query = EventQuery {
        types: vec![EventType::GateJudged, EventType::BaseJudged],
        limit: EVENTS,
        ..EventQuery::default()
    };
    loop {
        let events = store.events(query.clone()).await?;
        for event in &events {
            event.metadata.values().for_each(|value| collect(value, &mut found));
        }
        match events.last() {
            Some(last) if events.len() == EVENTS as usize => query.before_seq = Some(last.seq),
            Some(_) | None => return Ok(found),
        }
    }
}

/// Every text that could be a log's name.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_hash(text) => {
            found.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Old logs that nothing names, those of what setup steps fetched aside.
pub(super) fn unnamed(
    data_dir: &Path,
    named: &BTreeSet<String>,
    limits: Disk,
    now: SystemTime,
) -> Result<Vec<Leftover>, TidyError> {
    let mut of_setup = BTreeSet::new();
    for entry in entries(&data_dir.join("setup"))? {
        let text = std::fs::read(entry.join("ready.json")).unwrap_or_default();
        collect(&serde_json::from_slice(&text).unwrap_or_default(), &mut of_setup);
    }
    let mut found = Vec::new();
    for folder in entries(&data_dir.join("logs"))? {
        for path in entries(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A half-written one begins with a dot and ends with what is no hash.
            let is_log = is_hash(&name) || name.starts_with('.');
            let age = age(&path, now);
            let old = age >= DAY * limits.keep_days;
            if is_log && old && !named.contains(&name) && !of_setup.contains(&name) {
                let why = format!("a log that nothing names, older than {} days", limits.keep_days);
                found.push(Leftover { bytes: size(&path), days: days(age), path, why });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_when_it_is_old_and_nothing_names_it() {
        let data = tempfile::tempdir().expect("a folder");
        let name = |letter: &str| letter.repeat(64);
        for letter in ["a", "b", "c"] {
            let folder = data.path().join("logs").join(letter.repeat(2));
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(folder.join(name(letter)), "ok 1\n").expect("written");
        }
        let entry = data.path().join("setup/key");
        std::fs::create_dir_all(&entry).expect("made");
        let ready = serde_json::json!({"results": [{"logSha256": name("c")}]});
        std::fs::write(entry.join("ready.json"), ready.to_string()).expect("written");
        let mut named = BTreeSet::new();
        collect(&serde_json::json!({"rows": [{"checks": [{"logSha256": name("a")}]}]}), &mut named);
        let limits = Disk { keep_days: 3, ..Disk::default() };
        let now = SystemTime::now();
        assert!(unnamed(data.path(), &named, limits, now).expect("looked").is_empty());
        let found = unnamed(data.path(), &named, limits, now + DAY * 4).expect("looked");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].path.ends_with(name("b")) && found[0].bytes == 5, "{found:?}");
    }
}
