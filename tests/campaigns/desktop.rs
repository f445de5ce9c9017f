//! The harm campaign: random histories and random work lying about in a clone, a merge killed with
//! SIGKILL at a named place or a random moment, Foreman looked in again; then the clone must be
//! exactly as it was, or exactly as a person's own `git merge` would have made it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use foreman::failpoint;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::desktop_scene::{Scene, commit, differences, fingerprint, git, try_git, write};

/// The longest a merge lives before it is killed; one that nothing kills takes about so long.
const LONGEST_LIFE: u64 = 1_500;

const PATHS: [&str; 14] = [
    "README.md",
    "src/lib.rs",
    "src/deep/er/file.txt",
    "tool.sh",
    "alone/only.txt",
    "other.txt",
    "new.txt",
    "new/in/side.txt",
    "src/new.rs",
    "with space.txt",
    "ünï/cödé",
    "other.txt2",
    "a/b/c/d/e",
    "link",
];

/// One random change to a tree.
fn change(random: &mut SmallRng, dir: &Path) {
    let path = PATHS[random.random_range(0..PATHS.len())];
    let full = dir.join(path);
    match random.random_range(0..10) {
        0 | 1 => drop(std::fs::remove_file(&full)),
        2 => {
            let to = PATHS[random.random_range(0..PATHS.len())];
            if full.is_file()
                && std::fs::create_dir_all(dir.join(to).parent().expect("one")).is_ok()
            {
                std::fs::rename(&full, dir.join(to)).ok();
            }
        }
        3 => {
            std::fs::remove_file(&full).ok();
            if full.parent().is_some_and(Path::is_dir) {
                std::os::unix::fs::symlink("src/lib.rs", &full).ok();
            }
        }
        4 => {
            use std::os::unix::fs::PermissionsExt as _;
            if full.is_file() {
                std::fs::set_permissions(&full, std::fs::Permissions::from_mode(0o755)).ok();
            }
        }
        5 => {
            // A file becomes a folder.
            if full.is_file() && std::fs::remove_file(&full).is_ok() {
                write(dir, &format!("{path}/inside.txt"), "inside\n");
            }
        }
        _ => {
            let folder = full.parent().expect("a parent");
            if std::fs::create_dir_all(folder).is_ok() && !full.is_dir() {
                std::fs::remove_file(&full).ok();
                let lines = random.random_range(1..400);
                let text: String =
                    (0..lines).map(|n| format!("{n} {}\n", random.random_range(0..3))).collect();
                std::fs::write(&full, text).ok();
            }
        }
    }
}

fn changes(random: &mut SmallRng, dir: &Path, most: usize) {
    for _ in 0..random.random_range(1..=most) {
        change(random, dir);
    }
}

/// A history and what lies about in the clone.
fn prepare(random: &mut SmallRng, scene: &Scene) {
    for _ in 0..random.random_range(1..=3) {
        scene.someone_does(|seed| changes(random, seed, 12));
    }
    let clone = scene.clone_dir();
    if random.random_bool(0.2) {
        changes(random, &clone, 3);
        scene.mine(&["add", "--all"]);
        try_git(&clone, &["stash", "--quiet"]).ok();
    }
    if random.random_bool(0.4) {
        changes(random, &clone, 2);
        commit(&clone, "mine");
    }
    if random.random_bool(0.3) {
        scene.mine(&["fetch", "--quiet"]);
    }
    if random.random_bool(0.3) {
        scene.mine(&["gc", "--quiet"]);
    }
    for path in ["notes.txt", "src/notes.txt", "a.log", "build/out", "alone/mine.txt"] {
        if random.random_bool(0.3) && clone.join(path).parent().is_none_or(|it| !it.is_file()) {
            write(&clone, path, "of nobody's business\n");
        }
    }
    if random.random_bool(0.15) {
        changes(random, &clone, 2);
    }
    if random.random_bool(0.05) {
        write(&clone, ".git/index.lock", "");
    }
}

/// The clone as its owner sees it: files, refs, stashes, configuration.
#[derive(PartialEq, Debug)]
struct Owned {
    files: BTreeMap<String, String>,
    refs: String,
    stash: String,
    config: Vec<u8>,
    index: String,
}

fn owned(clone: &Path) -> Owned {
    let read = |args: &[&str]| try_git(clone, args).unwrap_or_default();
    let refs = read(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    let refs = refs.lines().filter(|line| !line.starts_with("refs/foreman/"));
    Owned {
        files: fingerprint(clone, &[".git"]),
        refs: refs.collect::<Vec<_>>().join("\n"),
        stash: read(&["stash", "list"]),
        config: std::fs::read(clone.join(".git/config")).unwrap_or_default(),
        index: read(&["ls-files", "--stage"]),
    }
}

/// What a person's own git would make of it, in a copy; `None` where git refuses.
fn by_git(scene: &Scene) -> Option<Owned> {
    let copy = scene.at("by-git");
    let copied =
        Command::new("cp").arg("-a").arg(scene.clone_dir()).arg(&copy).status().expect("cp");
    assert!(copied.success());
    std::fs::remove_file(copy.join(".git/index.lock")).ok();
    try_git(&copy, &["fetch", "--quiet", "origin", "main"]).ok()?;
    try_git(&copy, &["merge", "--quiet", "--no-edit", "FETCH_HEAD"]).ok()?;
    Some(owned(&copy))
}

fn foreman(scene: &Scene, words: &[&str], failpoint: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreman"));
    command
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("PATH"))
        .envs([
            ("DESKTOP_BUILDER_ENABLED", "true"),
            ("GITHUB_API_URL", "http://127.0.0.1:9"),
            ("FOREMAN_URL", "http://127.0.0.1:9"),
        ])
        .env("FOREMAN_DATA_DIR", scene.at("data"))
        .env("LOCAL_FOREMAN_APP_PATH", scene.clone_dir())
        .current_dir(scene.at(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(name) = failpoint {
        command.env(failpoint::VARIABLE, name);
    }
    command
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    AsBefore,
    Merged,
}

fn round(seed: u64) -> Result<(End, String), String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let scene = Scene::new();
    prepare(&mut random, &scene);
    let clone = scene.clone_dir();
    let before = owned(&clone);
    let locked = clone.join(".git/index.lock").exists();
    let wanted = by_git(&scene);

    let place = failpoint::DESKTOP[random.random_range(0..failpoint::DESKTOP.len())];
    let (how, failpoint) = match random.random_range(0..3) {
        0 => (place.to_owned(), Some(place.to_owned())),
        1 => {
            let nth = format!("desktop.swapping:{}", random.random_range(1..12));
            (nth.clone(), Some(nth))
        }
        _ => (format!("after {} ms", random.random_range(0..LONGEST_LIFE)), None),
    };
    let merge = ["desktop", "merge", "foreman-app"];
    let mut child = foreman(&scene, &merge, failpoint.as_deref()).spawn().expect("it starts");
    if failpoint.is_none() {
        let life: u64 = how.split(' ').nth(1).and_then(|ms| ms.parse().ok()).unwrap_or(0);
        std::thread::sleep(Duration::from_millis(life));
        child.kill().ok();
    }
    child.wait().expect("it ends");

    // What is not tracked is safe at every moment, also before anybody looks in again.
    let untouched = |path: &&String| path.contains("notes.txt") || path.contains(".log");
    let now = fingerprint(&clone, &[".git"]);
    for path in before.files.keys().filter(untouched) {
        if now.get(path) != before.files.get(path) {
            return Err(format!("{how}: `{path}` changed"));
        }
    }
    foreman(&scene, &["desktop", "drift", "foreman-app"], None).status().expect("it starts");
    if clone.join(".git/foreman-merge").exists() {
        return Err(format!("{how}: the stage was left"));
    }
    if !locked && clone.join(".git/index.lock").exists() {
        return Err(format!("{how}: a lock was left"));
    }
    try_git(&clone, &["fsck", "--strict", "--no-dangling"])
        .map_err(|why| format!("{how}: {why}"))?;
    judge(&how, &clone, &before, wanted.as_ref())
}

fn judge(
    how: &str,
    clone: &Path,
    before: &Owned,
    wanted: Option<&Owned>,
) -> Result<(End, String), String> {
    let after = owned(clone);
    if after == *before {
        return Ok((End::AsBefore, how.to_owned()));
    }
    let Some(wanted) = wanted else {
        let files = differences(&before.files, &after.files);
        return Err(format!("{how}: changed although git itself refuses: {files:?}"));
    };
    let files = differences(&wanted.files, &after.files);
    if !files.is_empty() {
        return Err(format!("{how}: files are neither old nor predicted: {files:?}"));
    }
    // A merge commit of ours has another author and time than git's: its tree is what counts.
    let branches = |refs: &str| {
        let others = refs.lines().filter(|line| !line.starts_with("refs/heads/main "));
        others.map(str::to_owned).collect::<Vec<_>>()
    };
    let same = after.index == wanted.index
        && after.stash == before.stash
        && after.config == before.config
        && branches(&after.refs) == branches(&before.refs);
    let dirt = git(clone, &["status", "--porcelain", "--untracked-files=no"]);
    if same && dirt.is_empty() {
        Ok((End::Merged, how.to_owned()))
    } else {
        Err(format!("{how}: index, refs, stashes or configuration are not as predicted: {dirt}"))
    }
}

/// All rounds; how many did harm.
pub fn campaign(rounds: u32, seed: u64) -> u32 {
    let (mut harmed, mut ends) = (0, BTreeMap::<End, u32>::new());
    for number in 0..u64::from(rounds) {
        match round(seed * 100_000 + number) {
            Ok((end, how)) => {
                *ends.entry(end).or_default() += 1;
                println!("ok     {number} killed at {how}: {end:?}");
            }
            Err(why) => {
                harmed += 1;
                println!("HARM   {number} {why}");
            }
        }
    }
    println!("{ends:?}, {harmed} harmed");
    harmed
}
