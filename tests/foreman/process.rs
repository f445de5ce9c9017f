//! Children: they die with their parent, keep to their bounds, and say all they may.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use foreman::process::{Children, Ending, Identity, Limits, Spec};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_foreman");

fn shell(command: &str) -> Spec {
    Spec::new("/bin/sh", Path::new("/")).args(["-c", command]).env("PATH", "/usr/bin:/bin")
}

fn children() -> Children {
    Children::start(BINARY.into()).unwrap()
}

#[tokio::test]
async fn a_child_is_told_only_what_it_is_given() {
    let mut spec = shell("cat; env; pwd; echo problem >&2; exit 4");
    spec.stdin = Some(b"hello\n".to_vec());
    let done = children().run(spec.env("A", "b"), &CancellationToken::new()).await.unwrap();
    assert_eq!(done.ending, Ending::Exited(4));
    let mut lines: Vec<_> = done.stdout.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["/", "A=b", "PATH=/usr/bin:/bin", "PWD=/", "hello"]);
    assert_eq!(done.stderr.text(), "problem\n");
}

#[tokio::test]
async fn output_keeps_head_and_tail_within_its_cap() {
    let mut spec = shell("echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo last");
    (spec.output_cap, spec.merge_output) = (1000, true);
    let done = children().run(spec, &CancellationToken::new()).await.unwrap();
    let text = done.stdout.text();
    assert!(text.starts_with("first\n") && text.ends_with("last\n"));
    assert_eq!(done.stdout.bytes().len(), 1000);
    assert_eq!(done.stdout.left_out(), 50_000_011 - 1000);
}

#[tokio::test]
async fn a_timeout_and_a_cancellation_end_the_whole_tree() {
    let mark = format!("8700.{}", std::process::id());
    let tree = format!("setsid sh -c 'sleep {mark}; true' & sleep {mark}; true");
    let mut spec = shell(&tree);
    spec.timeout = Some(Duration::from_millis(500));
    let done = children().run(spec, &CancellationToken::new()).await.unwrap();
    assert_eq!(done.ending, Ending::TimedOut);
    assert_eq!(living(&mark), 0);

    let cancel = CancellationToken::new();
    let children = children();
    let (done, ()) = tokio::join!(children.run(shell(&tree), &cancel), async {
        while living(&mark) < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert_eq!(done.unwrap().ending, Ending::Cancelled);
    assert_eq!(living(&mark), 0);
}

#[tokio::test]
async fn a_dropped_caller_leaves_nothing_running() {
    let mark = format!("8800.{}", std::process::id());
    let children = children();
    let task = {
        let (children, tree) =
            (children.clone(), format!("setsid sleep {mark} & sleep {mark}; true"));
        tokio::spawn(async move { children.run(shell(&tree), &CancellationToken::new()).await })
    };
    while living(&mark) < 2 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    while living(&mark) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn root_can_run_as_another_and_limits_hold_for_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can change the user");
        return;
    }
    let mut spec = shell("id -u; id -g; id -G; ulimit -n; grep Cap /proc/self/status");
    spec.identity = Some(Identity { uid: 4321, gid: 4322 });
    spec.limits = Limits { open_files: Some(77), ..Limits::default() };
    let done = children().run(spec, &CancellationToken::new()).await.unwrap();
    let text = done.stdout.text();
    assert!(text.starts_with("4321\n4322\n4322\n77\n"), "{text}");
    assert!(text.contains("CapEff:\t0000000000000000"), "{text}");
}

#[tokio::test]
async fn a_missing_program_is_a_failed_child() {
    let spec = Spec::new("/no/such/program", Path::new("/"));
    let done = children().run(spec, &CancellationToken::new()).await.unwrap();
    assert_eq!(done.ending, Ending::Exited(126));
    assert!(done.stderr.text().contains("No such file"));
}

/// The parent here is a shell that `__exec`s a child as Foreman would, and is killed.
#[test]
fn a_child_dies_with_its_parent() {
    for supervise in ["", "supervise=1"] {
        let mark = format!("89{}.{}", supervise.len(), std::process::id());
        let script = format!("'{BINARY}' __exec parent=$$ {supervise} -- /bin/sleep {mark} & wait");
        let mut parent = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while living(&mark) == 0 || !started(&mark) {
            std::thread::yield_now();
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        let begun = std::time::Instant::now();
        while living(&mark) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "it lives on");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_child_whose_parent_is_already_another_does_not_start() {
    let done = std::process::Command::new(BINARY)
        .args(["__exec", "parent=1", "--", "/bin/echo", "never"])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(126));
    assert!(done.stdout.is_empty());
}

fn living(word: &str) -> usize {
    command_lines().filter(|line| line.last().is_some_and(|last| last == word)).count()
}

/// Whether `sleep` itself runs, not only the step before it.
fn started(word: &str) -> bool {
    command_lines().any(|line| line.len() == 2 && line[1] == word)
}

fn command_lines() -> impl Iterator<Item = Vec<String>> {
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let text = String::from_utf8_lossy(&line).trim_end_matches('\0').to_owned();
        Some(text.split('\0').map(str::to_owned).collect())
    })
}
