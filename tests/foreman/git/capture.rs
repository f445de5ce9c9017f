//! What a builder leaves becomes a tree byte for byte, and nothing it planted runs or gets in.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use foreman::git::{FileChange, FileStatus, GitError, Refusal};

use super::{Place, git, write};

async fn refused(place: &Place, dir: &Path) -> Vec<Refusal> {
    match place.mirror.capture(dir, &place.base).await {
        Err(GitError::Refused(refusals)) => refusals,
        Err(other) => panic!("another error: {other}"),
        Ok(captured) => panic!("captured {:?}", captured.changes),
    }
}

fn find<'a>(changes: &'a [FileChange], path: &str) -> &'a FileChange {
    changes.iter().find(|change| change.path == path).unwrap_or_else(|| panic!("no {path:?}"))
}

#[tokio::test]
async fn every_kind_of_change_is_captured_byte_for_byte() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    let unchanged = place.mirror.capture(&dir, &place.base).await.expect("captured");
    assert_eq!(unchanged.tree, place.mirror.tree_of(&place.base).await.expect("tree"));
    assert!(unchanged.changes.is_empty());

    std::fs::remove_file(dir.join("README.md")).expect("removed");
    std::fs::rename(dir.join("src/lib.rs"), dir.join("src/core.rs")).expect("renamed");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.join("tool.sh"), mode).expect("mode");
    write(&dir, "kept.log", "changed\n");
    write(&dir, "other.log", "ignored\n");
    write(&dir, "target/debug/x", "ignored\n");
    let names = [
        "two\nlines",
        "tab\there",
        "quote\"d",
        " lead",
        "-dash",
        "ünï/©",
        "*glob?[x]",
        ":(top)x",
        "back\\slash",
    ];
    for name in names {
        write(&dir, name, name);
    }
    let bytes = [0_u8, 255, 13, 10, 0];
    std::fs::write(dir.join("binary.dat"), bytes).expect("written");
    write(&dir, "crlf.txt", "a\r\nb\r\n");

    let captured = place.mirror.capture(&dir, &place.base).await.expect("captured");
    let changes = &captured.changes;
    assert_eq!(changes.len(), names.len() + 6, "{changes:#?}");
    assert_eq!(find(changes, "README.md").status, FileStatus::Deleted);
    let renamed = find(changes, "src/core.rs");
    assert_eq!(renamed.status, FileStatus::Renamed);
    assert_eq!(renamed.old_path.as_deref(), Some("src/lib.rs"));
    let tool = find(changes, "tool.sh");
    assert_eq!((tool.old_mode, tool.new_mode), (0o100_644, 0o100_755));
    let log = find(changes, "kept.log");
    assert_eq!((log.status, log.added_lines, log.deleted_lines), (FileStatus::Modified, 1, 1));
    let binary = find(changes, "binary.dat");
    assert!(binary.binary && binary.size == 5);

    let tree = captured.tree.as_str();
    let listed = place.mirror.list(tree).await.expect("listed");
    for name in names {
        let read = place.mirror.read(tree, name).await.expect("read");
        assert_eq!(read.as_deref(), Some(name.as_bytes()), "{name:?}");
        assert!(listed.iter().any(|path| path == name), "{name:?}");
    }
    let read = async |path: &str| place.mirror.read(tree, path).await.expect("read");
    assert_eq!(read("binary.dat").await.as_deref(), Some(bytes.as_slice()));
    assert_eq!(read("crlf.txt").await.as_deref(), Some(b"a\r\nb\r\n".as_slice()));
    assert_eq!(read("README.md").await, None);
    assert_eq!(read("src").await, None, "a directory is not a file");
    assert_eq!(read("../README.md").await, None);

    let diff = place.mirror.diff(place.base.as_str(), tree, 1 << 20).await.expect("diff");
    assert!(diff.contains("rename to src/core.rs") && diff.contains("+changed"), "{diff}");
    let short = place.mirror.diff(place.base.as_str(), tree, 200).await.expect("diff");
    assert!(short.contains("bytes left out"), "{short}");
}

#[tokio::test]
async fn everything_may_be_deleted() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    for path in place.mirror.list(place.base.as_str()).await.expect("listed") {
        std::fs::remove_file(dir.join(path)).expect("removed");
    }
    let captured = place.mirror.capture(&dir, &place.base).await.expect("captured");
    assert!(captured.changes.iter().all(|change| change.status == FileStatus::Deleted));
    assert!(place.mirror.list(captured.tree.as_str()).await.expect("listed").is_empty());
}

#[tokio::test]
async fn nothing_that_a_builder_planted_runs() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    let marker = place.dir.path().join("ran");
    let plant = format!("touch {}; cat", marker.display());
    for setting in [
        ["core.fsmonitor", plant.as_str()],
        ["core.hooksPath", ".hooks"],
        ["filter.evil.clean", &plant],
        ["filter.evil.smudge", &plant],
        ["filter.evil.process", &plant],
        ["filter.evil.required", "true"],
        ["diff.evil.textconv", &plant],
        ["diff.external", &plant],
        ["core.worktree", "/"],
        ["gpg.program", &plant],
        ["commit.gpgSign", "true"],
    ] {
        git(&dir, &["config", setting[0], setting[1]]);
    }
    for hooks in [".git/hooks", ".hooks"] {
        for hook in ["pre-commit", "post-checkout", "post-index-change", "reference-transaction"] {
            write(&dir, &format!("{hooks}/{hook}"), &format!("#!/bin/sh\n{plant}\n"));
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.join(hooks).join(hook), mode).expect("mode");
        }
    }
    write(&dir, ".git/info/attributes", "* filter=evil diff=evil\n");
    write(&dir, ".git/info/exclude", "hidden.txt\n");
    write(&dir, ".gitattributes", "* filter=evil diff=evil merge=evil\nREADME.md -diff\n");
    write(&dir, "hidden.txt", "seen all the same\n");
    write(&dir, "README.md", "# Changed\n");
    // A real person's git would have run it: the plant is live.
    std::process::Command::new("git")
        .args(["status"])
        .current_dir(&dir)
        .env("GIT_WORK_TREE", &dir)
        .output()
        .expect("git starts");
    assert!(marker.exists(), "the plant does not work, so this test would prove nothing");
    std::fs::remove_file(&marker).expect("removed");

    let captured = place.mirror.capture(&dir, &place.base).await.expect("captured");
    assert!(captured.changes.iter().any(|change| change.path == "hidden.txt"));
    let mirror = &place.mirror;
    let commit =
        mirror.commit(&captured.tree, &place.base, "m", &super::author(), super::at(1)).await;
    let commit = commit.expect("committed");
    let diff = mirror.diff(place.base.as_str(), commit.as_str(), 1 << 20).await.expect("diff");
    assert!(diff.contains("+# Changed"), "the tree's attributes hide nothing: {diff}");
    mirror.checkout(&commit, &place.dir.path().join("work/fresh"), None).await.expect("checkout");
    mirror.push(&commit, "foreman/issue-1", None).await.expect("pushed");
    assert!(!marker.exists(), "something planted ran");
}

#[tokio::test]
async fn nested_repositories_and_gitlinks_are_refused() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    write(&dir, "vendor/x/code.c", "int x;\n");
    git(&dir.join("vendor/x"), &["init", "--quiet"]);
    git(&dir.join("vendor/x"), &["add", "--all"]);
    git(&dir.join("vendor/x"), &["commit", "--quiet", "--message", "nested"]);
    // Where git does not look, a package manager's clones are nobody's business.
    write(&dir, "node_modules/y/.git/HEAD", "ref: refs/heads/main\n");
    let refusals = refused(&place, &dir).await;
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0].path, "vendor/x/.git");
    std::fs::remove_dir_all(dir.join("vendor")).expect("removed");
    place.mirror.capture(&dir, &place.base).await.expect("the ignored one is let be");

    for disguise in [
        "a/.GIT/config",
        "b/git~1/config",
        "c/.git./config",
        ".Git/config",
        "d/.g\u{200c}it",
        "e/.git",
    ] {
        let dir = place.workspace(&uuid::Uuid::new_v4().to_string()).await;
        write(&dir, disguise, "gitdir: /tmp\n");
        let refusals = refused(&place, &dir).await;
        assert!(disguise.starts_with(&refusals[0].path), "{disguise}: {refusals:?}");
    }
}

#[tokio::test]
async fn a_submodule_of_the_base_stays_as_it_is() {
    let place = Place::new().await;
    let seed = place.dir.path().join("seed");
    let id = place.base.as_str();
    git(&seed, &["update-index", "--add", "--cacheinfo", &format!("160000,{id},sub/module")]);
    git(&seed, &["commit", "--quiet", "--message", "submodule"]);
    git(&seed, &["push", "--quiet", "../origin.git", "main"]);
    place.mirror.fetch().await.expect("fetched");
    let base = place.mirror.tip("main").await.expect("read").expect("there");
    let dir = place.dir.path().join("work/a");
    place.mirror.checkout(&base, &dir, None).await.expect("checked out");
    let captured = place.mirror.capture(&dir, &base).await.expect("captured");
    assert_eq!(captured.changes, []);

    // Another commit in its place is a gitlink of the builder's.
    write(&dir, "sub/module/file", "x");
    git(&dir.join("sub/module"), &["init", "--quiet"]);
    git(&dir.join("sub/module"), &["add", "--all"]);
    git(&dir.join("sub/module"), &["commit", "--quiet", "--message", "mine"]);
    let error = place.mirror.capture(&dir, &base).await.expect_err("refused");
    assert!(error.to_string().contains("`sub/module/.git`"), "{error}");

    std::fs::remove_dir_all(dir.join("sub")).expect("removed");
    let captured = place.mirror.capture(&dir, &base).await.expect("captured");
    assert_eq!(captured.changes.len(), 1, "its removal is seen: {:?}", captured.changes);
    assert_eq!(captured.changes[0].status, FileStatus::Deleted);
}

#[tokio::test]
async fn links_may_lead_inside_and_nowhere_else() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    symlink("../README.md", dir.join("src/readme")).expect("linked");
    symlink("nowhere", dir.join("dangling")).expect("linked");
    symlink("src", dir.join("source")).expect("linked");
    let captured = place.mirror.capture(&dir, &place.base).await.expect("captured");
    assert!(captured.changes.iter().all(FileChange::is_link) && captured.changes.len() == 3);
    let target = place.mirror.read(captured.tree.as_str(), "src/readme").await.expect("read");
    assert_eq!(target.as_deref(), Some(b"../README.md".as_slice()));

    symlink("/etc/passwd", dir.join("absolute")).expect("linked");
    symlink("../../x", dir.join("src/out")).expect("linked");
    symlink("..", dir.join("src/up")).expect("linked");
    symlink("up/../x", dir.join("src/sly")).expect("linked");
    symlink("../.git/config", dir.join("src/config")).expect("linked");
    symlink("README.md", dir.join(".gitmodules")).expect("linked");
    assert_eq!(refused(&place, &dir).await[0].path, ".gitmodules");
    std::fs::remove_file(dir.join(".gitmodules")).expect("removed");
    let refusals = refused(&place, &dir).await;
    let paths: Vec<_> = refusals.iter().map(|refusal| refusal.path.as_str()).collect();
    assert_eq!(paths, ["absolute", "src/config", "src/out", "src/sly"], "{refusals:?}");
}

#[tokio::test]
async fn pipes_are_passed_over_but_never_stand_for_a_file() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    let pipe = |path: &str| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join(path),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe");
    };
    pipe("pipe");
    let captured = place.mirror.capture(&dir, &place.base).await.expect("captured");
    assert!(captured.changes.is_empty());
    std::fs::remove_file(dir.join("README.md")).expect("removed");
    pipe("README.md");
    assert_eq!(refused(&place, &dir).await[0].path, "README.md");
}

#[tokio::test]
async fn names_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    std::fs::write(dir.join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").expect("written");
    let refusals = refused(&place, &dir).await;
    assert!(refusals[0].why.contains("UTF-8"), "{refusals:?}");
}

#[tokio::test]
async fn files_nobody_touched_are_not_changed_by_attributes() {
    let place = Place::new().await;
    let seed = place.dir.path().join("seed");
    // Line endings in the repository that its own attributes contradict.
    write(&seed, "win.txt", "a\r\nb\r\n");
    write(&seed, "touched.txt", "a\r\nb\r\n");
    git(&seed, &["add", "--all"]);
    git(&seed, &["commit", "--quiet", "--message", "crlf"]);
    let base = place.someone_commits("main", ".gitattributes", "*.txt text\n*.bat text eol=crlf\n");
    place.mirror.fetch().await.expect("fetched");
    let dir = place.dir.path().join("work/a");
    place.mirror.checkout(&base, &dir, None).await.expect("checked out");
    let captured = place.mirror.capture(&dir, &base).await.expect("captured");
    assert_eq!(captured.changes, [], "nobody changed anything");

    write(&dir, "touched.txt", "a\r\nc\r\n");
    write(&dir, "run.bat", "echo\r\n");
    let captured = place.mirror.capture(&dir, &base).await.expect("captured");
    let paths: Vec<_> = captured.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["run.bat", "touched.txt"]);
    let bat = place.mirror.read(captured.tree.as_str(), "run.bat").await.expect("read");
    assert_eq!(bat.as_deref(), Some(b"echo\n".as_slice()), "attributes hold for what is new");
}

#[tokio::test]
async fn captures_and_fetches_go_side_by_side() {
    let place = Place::new().await;
    let capture = async |name: &'static str| {
        let dir = place.workspace(name).await;
        write(&dir, "file.txt", name);
        place.mirror.capture(&dir, &place.base).await.expect("captured").tree
    };
    let fetch = async || place.mirror.fetch().await.expect("fetched");
    let (a, b, c, (), ()) =
        tokio::join!(capture("a"), capture("b"), capture("c"), fetch(), fetch());
    for (tree, text) in [(a, "a"), (b, "b"), (c, "c")] {
        let read = place.mirror.read(tree.as_str(), "file.txt").await.expect("read");
        assert_eq!(read.as_deref(), Some(text.as_bytes()));
    }
}
