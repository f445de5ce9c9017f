//! A corpus of changes held against the rules over the diff: none of the bad may pass, none of the
//! good may be refused, and each rule is needed by at least one of the bad.

#![allow(clippy::print_stdout, reason = "the figures are what one runs it for")]
#![allow(clippy::too_many_lines, reason = "a list of cases is as long as it is")]

mod bad_javascript;
mod bad_others;
mod bad_python;
mod bad_rust;
mod bad_settings;
mod bad_sly;
mod bad_trees;
mod good_code;
mod good_more;
mod good_rest;

use std::collections::{BTreeMap, BTreeSet};

use foreman::domain::redact::Redactor;
use foreman::gate::Asked;
use foreman::gate::change::Changed;
use foreman::gate::diff::{Diff, Given, judge};
use foreman::gate::policy::{Detected, Policy};
use foreman::gate::rules::{FAMILIES, Rules};

/// One change, with what the issue said.
pub struct Case {
    name: &'static str,
    /// The kind of violation that must be found; `None` for a good change.
    wants: Option<&'static str>,
    title: &'static str,
    body: &'static str,
    files: Vec<Changed>,
    /// Paths of the new tree that did not change.
    rest: Vec<&'static str>,
}

/// A bad change: nobody asked for what it does.
fn bad(name: &'static str, wants: &'static str, files: Vec<Changed>) -> Case {
    let (title, body) = ("Make it faster", "It takes too long.");
    Case { name, wants: Some(wants), title, body, files, rest: vec![] }
}

/// A good change, for an issue.
fn good(name: &'static str, title: &'static str, files: Vec<Changed>) -> Case {
    Case { name, wants: None, title, body: "", files, rest: vec![] }
}

impl Case {
    fn asked(self, title: &'static str) -> Self {
        Self { title, ..self }
    }

    fn beside(self, rest: &[&'static str]) -> Self {
        Self { rest: rest.to_vec(), ..self }
    }
}

fn edit(path: &str, old: &str, new: &str) -> Changed {
    assert_ne!(old, new, "{path}: a case must change something");
    Changed::text(path, None, Some(old), Some(new))
}

/// A file with one place replaced.
fn swap(path: &str, old: &str, from: &str, to: &str) -> Changed {
    assert!(old.contains(from), "{path} lacks `{from}`");
    edit(path, old, &old.replace(from, to))
}

fn add(path: &str, new: &str) -> Changed {
    Changed::text(path, None, None, Some(new))
}

fn delete(path: &str, old: &str) -> Changed {
    Changed::text(path, None, Some(old), None)
}

fn rename(from: &str, to: &str, old: &str, new: &str) -> Changed {
    Changed::text(to, Some(from), Some(old), Some(new))
}

fn all_bad() -> Vec<Case> {
    [
        bad_rust::cases(),
        bad_python::cases(),
        bad_javascript::cases(),
        bad_others::cases(),
        bad_trees::cases(),
        bad_sly::cases(),
        bad_settings::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn all_good() -> Vec<Case> {
    [good_code::cases(), good_rest::cases(), good_more::cases()].into_iter().flatten().collect()
}

const POLICY: &str = "[gate]\nbuild = \"make build\"\nlint = \"sh lint.sh\"\ntest = \"sh run-tests.sh\"\n\
                      [policy]\nprotected_paths = [\"docs/architecture/**\"]\n";

fn look(case: &Case, rules: &Rules) -> Diff {
    let policy = Policy::parse(Some(POLICY), Detected::default()).expect("a policy");
    let mut paths: BTreeSet<String> = case.rest.iter().map(|path| (*path).to_owned()).collect();
    paths.extend(case.files.iter().filter(|it| it.mode.is_some()).map(|it| it.path.clone()));
    let paths: Vec<String> = paths.into_iter().collect();
    judge(&Given {
        changes: &case.files,
        paths: &paths,
        policy: &policy,
        asked: &Asked::new(case.title, case.body),
        texts: &[],
        known: &Redactor::new(["the-service-s-own-s3cret"]),
        open: Some(&[]),
        rules,
    })
}

fn kinds(diff: &Diff) -> Vec<&str> {
    diff.violations.iter().map(|violation| violation.kind.as_str()).collect()
}

#[test]
fn no_bad_change_escapes() {
    let cases = all_bad();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each case has a name of its own");
    assert!(cases.len() >= 60, "{} bad changes", cases.len());
    let rules = Rules::all();
    let mut wrong = Vec::new();
    for case in &cases {
        let diff = look(case, &rules);
        let wants = case.wants.expect("a bad case wants a kind");
        if diff.lets_pass() || !kinds(&diff).contains(&wants) {
            wrong.push(format!("{}: wants {wants}, found {:?}", case.name, kinds(&diff)));
        }
    }
    println!("bad changes: {}, escapes: {}", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_good_change_is_refused() {
    let cases = all_good();
    assert!(cases.len() >= 60, "{} good changes", cases.len());
    let rules = Rules::all();
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (case, look(case, &rules)))
        .filter(|(_, diff)| !diff.lets_pass())
        .map(|(case, diff)| {
            let rows: Vec<_> = diff.checks.iter().filter(|it| !it.outcome.lets_pass()).collect();
            format!("{}: {rows:?}", case.name)
        })
        .collect();
    println!("good changes: {}, refused: {}", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn without_any_one_rule_something_bad_gets_through() {
    let cases = all_bad();
    let mut needed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in FAMILIES.iter().flat_map(|family| family.kinds) {
        let without = Rules::without(&[kind]);
        let through = cases
            .iter()
            .filter(|case| case.wants == Some(*kind) && look(case, &without).lets_pass())
            .map(|case| case.name);
        needed.insert(kind, through.collect());
    }
    for (kind, escapes) in &needed {
        println!(
            "without {kind}: {} escape, e.g. {}",
            escapes.len(),
            escapes.first().unwrap_or(&"-")
        );
    }
    let idle: Vec<_> = needed.iter().filter(|(_, escapes)| escapes.is_empty()).collect();
    assert!(idle.is_empty(), "rules that no case needs: {idle:?}");
}

#[test]
fn every_violation_s_kind_is_in_the_list() {
    let known: BTreeSet<&str> = FAMILIES.iter().flat_map(|it| it.kinds).copied().collect();
    for case in all_bad() {
        for kind in kinds(&look(&case, &Rules::all())) {
            assert!(known.contains(kind), "{}: {kind}", case.name);
        }
    }
}
