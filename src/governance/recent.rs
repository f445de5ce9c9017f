//! The event log in memory: bounded, indexed by type, severity, run and issue, and by time through
//! its order. Pure.
//!
//! Owns the newest events and the sums of all. Never reads the store: it says what it does not
//! have, and `log.rs` asks further.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::domain::ids::{IssueNumber, RunId};
use crate::store::{EventQuery, EventStats, EventTotals};

/// Runs that the statistics name; ids are ordered by time, so these are the newest.
const RUNS_SHOWN: usize = 100;

/// Sums over the whole log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStats {
    #[serde(flatten)]
    pub events: EventStats,
    pub by_day: BTreeMap<NaiveDate, u64>,
    /// The newest hundred runs.
    pub by_run: BTreeMap<RunId, u64>,
}

/// What memory could answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub events: Vec<Arc<GovernanceEvent>>,
    /// What is missing stands before this event, in the store alone; `None`: nothing is missing.
    pub older_than: Option<i64>,
}

/// The newest events, in order and without a gap.
#[derive(Debug)]
pub(super) struct Memory {
    events: VecDeque<Arc<GovernanceEvent>>,
    capacity: usize,
    types: HashMap<EventType, VecDeque<i64>>,
    severities: HashMap<Severity, VecDeque<i64>>,
    runs: HashMap<RunId, VecDeque<i64>>,
    issues: HashMap<IssueNumber, VecDeque<i64>>,
    totals: EventTotals,
}

impl Memory {
    /// `newest` are the events through `totals.through`, oldest first, as many as are wanted.
    pub fn new(
        totals: EventTotals,
        newest: impl IntoIterator<Item = GovernanceEvent>,
        capacity: usize,
    ) -> Self {
        let mut memory = Self {
            events: VecDeque::new(),
            capacity: capacity.max(1),
            types: HashMap::new(),
            severities: HashMap::new(),
            runs: HashMap::new(),
            issues: HashMap::new(),
            totals,
        };
        for event in newest {
            memory.index(event);
        }
        memory
    }

    /// The last event known, also where none is kept.
    pub fn last(&self) -> i64 {
        self.totals.through
    }

    /// The oldest event kept; where none is, the next one to come.
    fn first(&self) -> i64 {
        self.events.front().map_or(self.last() + 1, |event| event.seq)
    }

    /// Takes the next event; another one than the next is not taken.
    pub fn push(&mut self, event: GovernanceEvent) -> bool {
        if event.seq != self.last() + 1 {
            return false;
        }
        let totals = &mut self.totals;
        totals.through = event.seq;
        totals.stats.total += 1;
        *totals.stats.by_type.entry(event.kind).or_default() += 1;
        *totals.stats.by_severity.entry(event.severity).or_default() += 1;
        *totals.by_day.entry(event.timestamp.date_naive()).or_default() += 1;
        if let Some(run) = &event.run {
            *totals.by_run.entry(run.clone()).or_default() += 1;
        }
        self.index(event);
        true
    }

    /// Goes on at an event after a gap in the stored log; what stands before it is not kept any
    /// more, so that a number still finds its event.
    pub fn skip_to(&mut self, seq: i64) {
        self.events.clear();
        self.types.clear();
        self.severities.clear();
        self.runs.clear();
        self.issues.clear();
        self.totals.through = seq - 1;
    }

    fn index(&mut self, event: GovernanceEvent) {
        let seq = event.seq;
        self.types.entry(event.kind).or_default().push_back(seq);
        self.severities.entry(event.severity).or_default().push_back(seq);
        if let Some(run) = &event.run {
            self.runs.entry(run.clone()).or_default().push_back(seq);
        }
        if let Some(issue) = event.issue {
            self.issues.entry(issue).or_default().push_back(seq);
        }
        self.events.push_back(Arc::new(event));
        while self.events.len() > self.capacity {
            let Some(oldest) = self.events.pop_front() else { break };
            forget(&mut self.types, &oldest.kind);
            forget(&mut self.severities, &oldest.severity);
            if let Some(run) = &oldest.run {
                forget(&mut self.runs, run);
            }
            if let Some(issue) = &oldest.issue {
                forget(&mut self.issues, issue);
            }
        }
    }

    pub fn stats(&self) -> LogStats {
        let newest = self.totals.by_run.iter().rev().take(RUNS_SHOWN);
        LogStats {
            events: self.totals.stats.clone(),
            by_day: self.totals.by_day.clone(),
            by_run: newest.map(|(run, count)| (run.clone(), *count)).collect(),
        }
    }

    pub fn event_stats(&self) -> EventStats {
        self.totals.stats.clone()
    }

    fn get(&self, seq: i64) -> Option<&Arc<GovernanceEvent>> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        self.events.get(index)
    }

    /// The first event at or after a time: the log's times never go back.
    fn seq_at(&self, time: DateTime<Utc>) -> i64 {
        let index = self.events.partition_point(|event| event.timestamp < time);
        self.first() + i64::try_from(index).unwrap_or(i64::MAX - self.first())
    }

    /// Answers a query; `limit` is taken as it stands.
    pub fn query(&self, query: &EventQuery) -> Found {
        let limit = query.limit as usize;
        // The span of events that time and position leave, its end excluded.
        let from = query.after_seq.map_or(i64::MIN, |seq| seq.saturating_add(1));
        let from = query.since.map_or(from, |time| {
            // Before the oldest we keep there may be more of that time.
            let seq = self.seq_at(time);
            if seq == self.first() { from } else { from.max(seq) }
        });
        let end = query.before_seq.unwrap_or(i64::MAX);
        let end = query.until.map_or(end, |time| end.min(self.seq_at(time)));
        let end = end.min(self.last() + 1);
        let (low, matches) = (from.max(self.first()), Matcher::new(query));
        let mut walk = Walk::new(self.narrowest(query), low, end, query.ascending);
        let mut events = Vec::new();
        while events.len() < limit
            && let Some(seq) = walk.step()
        {
            if let Some(event) = self.get(seq).filter(|event| matches.takes(event)) {
                events.push(Arc::clone(event));
            }
        }
        let full = events.len() >= limit;
        let all_here = from >= self.first() || self.holds_all();
        let older_than = match (query.ascending, full, all_here) {
            (_, _, true) | (false, true, false) => None,
            // Oldest first begins with what is not here.
            (true, _, false) | (false, false, false) => Some(self.first()),
        };
        Found { events, older_than }
    }

    fn holds_all(&self) -> bool {
        self.events.len() as u64 == self.totals.stats.total
    }

    /// The lists of the one filter that leaves the fewest; `None`: no filter has lists.
    fn narrowest(&self, query: &EventQuery) -> Option<Vec<&VecDeque<i64>>> {
        let lists = [
            lists_of(&self.types, &query.types),
            lists_of(&self.severities, &query.severities),
            lists_of(&self.runs, &query.runs),
            lists_of(&self.issues, &query.issues),
        ];
        let size = |lists: &Vec<&VecDeque<i64>>| lists.iter().map(|list| list.len()).sum::<usize>();
        lists.into_iter().flatten().min_by_key(size)
    }
}

fn lists_of<'a, K: Hash + Eq>(
    index: &'a HashMap<K, VecDeque<i64>>,
    keys: &[K],
) -> Option<Vec<&'a VecDeque<i64>>> {
    if keys.is_empty() {
        return None;
    }
    let mut seen: Vec<&K> = Vec::new();
    for key in keys {
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    Some(seen.into_iter().filter_map(|key| index.get(key)).collect())
}

fn forget<K: Hash + Eq>(index: &mut HashMap<K, VecDeque<i64>>, key: &K) {
    let Some(list) = index.get_mut(key) else { return };
    list.pop_front();
    if list.is_empty() {
        index.remove(key);
    }
}

/// Walks events of a span in order, merged from lists, or all of them.
struct Walk<'a> {
    low: i64,
    end: i64,
    ascending: bool,
    /// Each list with the part of it that is left.
    lists: Option<Vec<(&'a VecDeque<i64>, std::ops::Range<usize>)>>,
}

impl<'a> Walk<'a> {
    fn new(lists: Option<Vec<&'a VecDeque<i64>>>, low: i64, end: i64, ascending: bool) -> Self {
        let cut = |list: &'a VecDeque<i64>| {
            let from = list.partition_point(|seq| *seq < low);
            (list, from..list.partition_point(|seq| *seq < end).max(from))
        };
        let lists = lists.map(|lists| lists.into_iter().map(cut).collect());
        Self { low, end, ascending, lists }
    }

    fn step(&mut self) -> Option<i64> {
        let ascending = self.ascending;
        let Some(lists) = &mut self.lists else {
            if self.low >= self.end {
                return None;
            }
            return Some(if ascending {
                self.low += 1;
                self.low - 1
            } else {
                self.end -= 1;
                self.end
            });
        };
        let left = lists.iter_mut().filter(|(_, range)| !range.is_empty());
        let next = |(list, range): &(&VecDeque<i64>, std::ops::Range<usize>)| {
            list[if ascending { range.start } else { range.end - 1 }]
        };
        let best = if ascending {
            left.min_by_key(|list| next(list))
        } else {
            left.max_by_key(|list| next(list))
        }?;
        let seq = next(best);
        if ascending {
            best.1.start += 1;
        } else {
            best.1.end -= 1;
        }
        Some(seq)
    }
}

/// The filters that hold for each event by itself.
pub(super) struct Matcher<'a> {
    query: &'a EventQuery,
    text: Option<String>,
}

impl<'a> Matcher<'a> {
    pub fn new(query: &'a EventQuery) -> Self {
        Self { query, text: query.text.as_ref().map(|text| text.to_ascii_lowercase()) }
    }

    pub fn takes(&self, event: &GovernanceEvent) -> bool {
        let query = self.query;
        (query.types.is_empty() || query.types.contains(&event.kind))
            && (query.severities.is_empty() || query.severities.contains(&event.severity))
            && (query.runs.is_empty()
                || event.run.as_ref().is_some_and(|run| query.runs.contains(run)))
            && (query.issues.is_empty()
                || event.issue.is_some_and(|issue| query.issues.contains(&issue)))
            && query.since.is_none_or(|since| event.timestamp >= since)
            && query.until.is_none_or(|until| event.timestamp < until)
            && self
                .text
                .as_ref()
                .is_none_or(|text| event.description.to_ascii_lowercase().contains(text.as_str()))
    }
}
