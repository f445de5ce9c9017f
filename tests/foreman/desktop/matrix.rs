//! The matrix: every state that matters, made by real git, with what must be found and what a merge
//! may do. Over all of it: looking changes nothing, a refused merge changes nothing, and a merge
//! leaves exactly what git itself predicts.

use std::collections::BTreeSet;
use std::path::Path;

use foreman::desktop_sync::{DesktopError, DriftDetectionResult, DriftState};

use super::cases::{self, Case};
use super::scene::{Scene, differences, fingerprint, git, try_git};

/// May move whatever happens.
const OURS: &[&str] = &[".git/refs/foreman", ".git/FETCH_HEAD"];
/// A refused merge may leave objects behind, nothing else.
const OURS_AND_OBJECTS: &[&str] = &[".git/refs/foreman", ".git/FETCH_HEAD", ".git/objects"];

fn untracked(clone: &Path) -> BTreeSet<String> {
    let listed = try_git(clone, &["ls-files", "--others", "-z"]).unwrap_or_default();
    listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

async fn look_and_merge(case: &Case) -> Result<(), String> {
    let mut scene = Scene::new();
    (case.make)(&mut scene);
    let desktop = scene.desktop();
    let clone = scene.path.clone();

    let before = fingerprint(&clone, OURS);
    let drift = desktop.drift("app").await.map_err(|error| error.to_string())?;
    let touched = differences(&before, &fingerprint(&clone, OURS));
    if !touched.is_empty() {
        return Err(format!("looking changed {touched:?}"));
    }
    expect(case, &drift)?;

    let before = fingerprint(&clone, OURS_AND_OBJECTS);
    match desktop.merge("app", false).await {
        Err(DesktopError::NotSafe { .. } | DesktopError::Unknown { .. }) if !case.safe => {
            let touched = differences(&before, &fingerprint(&clone, OURS_AND_OBJECTS));
            if touched.is_empty() { Ok(()) } else { Err(format!("a refusal changed {touched:?}")) }
        }
        Ok(report) if case.safe => {
            let brings = matches!(drift.state, DriftState::Behind | DriftState::Diverged);
            if report.merged != brings {
                return Err(format!("merged: {}", report.merged));
            }
            if !report.merged {
                let touched = differences(&before, &fingerprint(&clone, OURS_AND_OBJECTS));
                return if touched.is_empty() { Ok(()) } else { Err(format!("{touched:?}")) };
            }
            merged_as_predicted(&clone, &drift, &report.to, report.backup_ref.as_deref())?;
            let again = desktop.merge("app", false).await.map_err(|error| error.to_string())?;
            if again.merged { Err("it merged twice".to_owned()) } else { Ok(()) }
        }
        Ok(report) => Err(format!("merged although not safe: {report:?}")),
        Err(error) => Err(format!("not merged although safe: {error}")),
    }
}

fn expect(case: &Case, drift: &DriftDetectionResult) -> Result<(), String> {
    let all = serde_json::to_string(drift).expect("json");
    let right = drift.state == case.state
        && drift.safe_to_merge == case.safe
        && drift.conflict_resolution_required == case.conflict
        && drift.has_drift == !matches!(drift.state, DriftState::InSync | DriftState::Unknown)
        && drift.error_message.is_some() == (drift.state == DriftState::Unknown)
        && all.contains(case.says);
    if right { Ok(()) } else { Err(format!("found {all}")) }
}

fn merged_as_predicted(
    clone: &Path,
    drift: &DriftDetectionResult,
    to: &str,
    backup: Option<&str>,
) -> Result<(), String> {
    let local = drift.local_commit.as_deref().expect("a commit");
    let remote = drift.remote_commit.as_deref().expect("a commit");
    let read = |args: &[&str]| try_git(clone, args);
    let check = |what: &str, seen: String, wanted: &str| {
        if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen} and not {wanted}")) }
    };
    check("HEAD", read(&["rev-parse", "HEAD"])?, to)?;
    check("backup", read(&["rev-parse", backup.unwrap_or("?")])?, local)?;
    if drift.state == DriftState::Behind {
        check("fast-forward", to.to_owned(), remote)?;
    } else {
        let predicted = read(&["merge-tree", "--write-tree", local, remote])?;
        check("tree", read(&["rev-parse", "HEAD^{tree}"])?, &predicted)?;
        check("parents", read(&["log", "-1", "--format=%P"])?, &format!("{local} {remote}"))?;
    }
    check(
        "status",
        read(&["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"])?,
        "",
    )?;
    // By content, whatever the index believes.
    let index = tempfile::NamedTempFile::new().expect("a file");
    std::fs::remove_file(index.path()).expect("removed");
    let fresh = index.path().to_string_lossy().into_owned();
    let by_content = std::process::Command::new("sh")
        .args(["-c", "git read-tree HEAD && git status --porcelain --untracked-files=no --ignore-submodules=dirty"])
        .current_dir(clone)
        .env("GIT_INDEX_FILE", &fresh)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git");
    let by_content = String::from_utf8_lossy(&by_content.stdout).into_owned();
    // What its owner hid from git and nobody merged is theirs.
    let touched = |line: &&str| drift.diverged_files.iter().any(|path| line.ends_with(path));
    check("content", by_content.lines().filter(touched).collect(), "")?;
    read(&["fsck", "--strict", "--no-dangling"]).map(drop)?;
    if clone.join(".git/foreman-merge").exists() || clone.join(".git/index.lock").exists() {
        return Err("something was left behind".to_owned());
    }
    Ok(())
}

/// Everything of the clone's owner that is not tracked stays as it is through a merge.
async fn keeps_what_is_not_tracked(case: &Case) -> Result<(), String> {
    let mut scene = Scene::new();
    (case.make)(&mut scene);
    let clone = scene.path.clone();
    let read = |paths: &BTreeSet<String>| {
        paths
            .iter()
            .map(|path| (path.clone(), std::fs::read(clone.join(path)).ok()))
            .collect::<Vec<_>>()
    };
    let paths = untracked(&clone);
    let before = (read(&paths), try_git(&clone, &["stash", "list"]), config(&clone));
    scene.desktop().merge("app", false).await.ok();
    let after = (read(&paths), try_git(&clone, &["stash", "list"]), config(&clone));
    if before == after { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
}

fn config(clone: &Path) -> Option<Vec<u8>> {
    std::fs::read(clone.join(".git/config")).ok()
}

async fn all(cases: Vec<Case>, check: impl AsyncFn(&Case) -> Result<(), String>) -> Vec<String> {
    use futures_util::StreamExt as _;
    let check = &check;
    let done = futures_util::stream::iter(cases).map(|case| async move {
        check(&case).await.err().map(|why| format!("{}: {why}", case.name))
    });
    done.buffer_unordered(4).filter_map(async |wrong| wrong).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_is_found_and_none_is_harmed() {
    let cases = cases::all();
    assert!(cases.len() >= 60, "{} states", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each state has a name of its own");
    let wrong = all(cases, look_and_merge).await;
    assert!(wrong.is_empty(), "{} states are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_tracked_stays() {
    let with_more = cases::all()
        .into_iter()
        .filter(|case| ["untracked", "ignored", "stash"].iter().any(|it| case.name.contains(it)));
    let with_more: Vec<Case> = with_more.collect();
    assert!(with_more.len() >= 6);
    let wrong = all(with_more, keeps_what_is_not_tracked).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_fast_forward_only_policy_leaves_a_divergence_alone() {
    let mut scene = Scene::new();
    scene.someone("theirs.txt", "t\n");
    scene.i_commit("mine.txt", "m\n");
    scene.merge_diverged = false;
    let drift = scene.desktop().drift("app").await.expect("known");
    assert_eq!((drift.state, drift.safe_to_merge), (DriftState::Diverged, false));
    assert!(drift.blockers[0].contains("fast-forward"), "{:?}", drift.blockers);
    assert!(!drift.conflict_resolution_required);
    let said = drift.changes.iter().map(|it| (it.path.as_str(), it.local, it.remote));
    let said: Vec<_> = said.map(|(path, l, r)| (path, l.is_some(), r.is_some())).collect();
    assert_eq!(said, [("mine.txt", true, false), ("theirs.txt", false, true)]);
    assert_eq!(
        drift.merge_base.as_deref(),
        Some(git(&scene.clone_dir(), &["rev-parse", "HEAD~"]).as_str())
    );
}
