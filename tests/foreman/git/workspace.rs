//! Mirrors follow the repository and heal; workspaces share nothing with them.

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use foreman::git::{GitError, remove_workspace};
use foreman::process::Identity;
use tokio_util::sync::CancellationToken;

use super::{Place, git, repo, starter, write};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut todo = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("read") {
            let path = entry.expect("an entry").path();
            if path.symlink_metadata().expect("meta").is_dir() {
                todo.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn a_mirror_follows_new_moved_and_gone_branches_and_keeps_our_refs() {
    let place = Place::new().await;
    let mirror = &place.mirror;
    assert!(mirror.path().ends_with("mirrors/acme/app.git"));
    mirror.save_ref("attempt/1", place.base.as_str()).await.expect("saved");

    let other = place.someone_commits("feature", "new.txt", "new\n");
    assert_eq!(mirror.tip("feature").await.expect("read"), None, "not fetched yet");
    assert_eq!(mirror.remote_tip("feature").await.expect("read"), Some(other.clone()));
    mirror.fetch().await.expect("fetched");
    assert_eq!(mirror.tip("feature").await.expect("read"), Some(other.clone()));
    assert!(mirror.is_ancestor(&place.base, &other).await.expect("read"));
    assert!(!mirror.is_ancestor(&other, &place.base).await.expect("read"));
    assert_eq!(
        mirror.merge_base(&other, &place.base).await.expect("read"),
        Some(place.base.clone())
    );

    // A branch gives way to one below its name: git must prune first.
    git(&place.origin(), &["branch", "--quiet", "-D", "feature"]);
    git(&place.origin(), &["branch", "feature/deeper", "main"]);
    mirror.fetch().await.expect("fetched");
    assert_eq!(mirror.tip("feature").await.expect("read"), None);
    assert_eq!(mirror.tip("feature/deeper").await.expect("read"), Some(place.base.clone()));
    assert_eq!(mirror.remote_tip("deeper").await.expect("read"), None, "only whole names match");

    let saved = mirror.read_ref("refs/foreman/attempt/1").await.expect("read");
    assert_eq!(saved.as_deref(), Some(place.base.as_str()));
    mirror.delete_ref("attempt/1").await.expect("deleted");
    mirror.delete_ref("attempt/1").await.expect("deleting what is gone is fine");
    assert_eq!(mirror.read_ref("attempt/1").await.expect("read"), None);
    assert!(!mirror.exists(&"1".repeat(40).parse().expect("an id")).await);
}

#[tokio::test]
async fn what_a_killed_process_left_is_cleared_or_made_anew() {
    let place = Place::new().await;
    let path = place.mirror.path().to_owned();
    place.mirror.save_ref("attempt/1", place.base.as_str()).await.expect("saved");
    let moved = place.someone_commits("main", "more.txt", "more\n");
    for lock in ["packed-refs.lock", "config.lock", "refs/remotes/origin/main.lock"] {
        write(&path, lock, "");
    }
    write(&path, "objects/pack/tmp_pack_x", "half");
    write(&path, "foreman-tmp/old/index.lock", "");

    let data = place.dir.path().join("data");
    let again = starter(&data)
        .mirror(&repo(), &place.url(), None, CancellationToken::new())
        .await
        .expect("opened again");
    assert_eq!(again.tip("main").await.expect("read"), Some(moved.clone()));
    assert!(again.read_ref("attempt/1").await.expect("read").is_some(), "our refs are kept");
    assert!(!files(&path).iter().any(|file| file.to_string_lossy().contains("tmp_pack")));

    // Killed while it was made: no git directory yet.
    std::fs::remove_file(path.join("HEAD")).expect("removed");
    let again = starter(&data)
        .mirror(&repo(), &place.url(), None, CancellationToken::new())
        .await
        .expect("made anew");
    assert_eq!(again.tip("main").await.expect("read"), Some(moved.clone()));

    // Objects lost, say with a full disk.
    std::fs::remove_dir_all(path.join("objects")).expect("removed");
    std::fs::create_dir_all(path.join("objects/pack")).expect("made");
    let again = starter(&data)
        .mirror(&repo(), &place.url(), None, CancellationToken::new())
        .await
        .expect("made anew");
    assert_eq!(again.tip("main").await.expect("read"), Some(moved));
    git(&path, &["fsck"]);
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named() {
    let place = Place::new().await;
    let url = format!("file://{}/nowhere.git", place.dir.path().display());
    let other = "acme/other".parse().expect("valid");
    let error =
        place.git.mirror(&other, &url, None, CancellationToken::new()).await.expect_err("refused");
    assert!(matches!(error, GitError::RepositoryMissing { .. }), "{error}");
    assert!(error.to_string().contains("nowhere.git"));
}

#[tokio::test]
async fn a_workspace_shares_no_inode_and_cannot_alter_the_mirror() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    assert_eq!(git(&dir, &["status", "--porcelain"]), "");
    assert_eq!(git(&dir, &["rev-parse", "work"]), place.base.as_str());
    assert_eq!(git(&dir, &["remote"]), "");
    assert!(!dir.join(".git/objects/info/alternates").exists());
    assert!(!dir.join(".git/hooks").exists());
    let mirror_path = place.mirror.path().to_string_lossy().into_owned();
    for file in files(&dir.join(".git")) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("read")).into_owned();
        for secret in [mirror_path.as_str(), &place.url(), "origin.git"] {
            assert!(!text.contains(secret), "{} names {secret}", file.display());
        }
    }

    let inode = |path: &PathBuf| path.symlink_metadata().map(|m| (m.dev(), m.ino())).expect("meta");
    let of_mirror: HashSet<_> = files(place.mirror.path()).iter().map(inode).collect();
    let of_workspace = files(&dir);
    assert!(of_workspace.iter().any(|file| file.extension().is_some_and(|e| e == "pack")));
    for file in &of_workspace {
        assert!(!of_mirror.contains(&inode(file)), "{} is shared", file.display());
    }
    for file in files(&dir.join(".git/objects")) {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("opened");
        std::fs::write(&file, "garbage").expect("overwritten");
    }
    git(place.mirror.path(), &["fsck", "--strict"]);
    let readme = place.mirror.read(place.base.as_str(), "README.md").await.expect("read");
    assert_eq!(readme.as_deref(), Some(b"# App\n".as_slice()));
}

#[tokio::test]
async fn a_commit_that_no_branch_holds_is_checked_out_for_its_owner() {
    let place = Place::new().await;
    let ours = place.our_commit("new/file.txt", "hello\n").await;
    let dir = place.dir.path().join("work/b");
    let root = rustix::process::getuid().is_root();
    let owner = root.then_some(Identity { uid: 65534, gid: 65534 });
    place.mirror.checkout(&ours, &dir, owner).await.expect("checked out");
    assert_eq!(std::fs::read_to_string(dir.join("new/file.txt")).expect("read"), "hello\n");
    if root {
        for path in files(&dir).iter().chain([&dir, &dir.join(".git"), &dir.join("new")]) {
            assert_eq!(path.symlink_metadata().expect("meta").uid(), 65534, "{}", path.display());
        }
    }
    write(&dir, "more.txt", "by the owner\n");
    let captured = place.mirror.capture(&dir, &ours).await.expect("another user's files are read");
    assert_eq!(captured.changes.len(), 1);
    let error = place.mirror.checkout(&ours, &dir, None).await.expect_err("occupied");
    assert!(matches!(error, GitError::Occupied { .. }), "{error}");
    let unknown = "1".repeat(40).parse().expect("an id");
    let fresh = place.dir.path().join("work/c");
    let error = place.mirror.checkout(&unknown, &fresh, None).await.expect_err("unknown");
    assert!(matches!(error, GitError::Unknown { .. }), "{error}");
    assert!(!fresh.exists());
}

#[tokio::test]
async fn a_workspace_can_be_removed_whatever_is_in_it() {
    let place = Place::new().await;
    let dir = place.workspace("a").await;
    let outside = place.dir.path().join("outside");
    write(&outside, "keep.txt", "keep");
    std::os::unix::fs::symlink(&outside, dir.join("link")).expect("linked");
    write(&dir, "closed/in/here.txt", "x");
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(dir.join("closed/in"), closed).expect("closed");
    // Deeper than any path may be long.
    let mut at = rustix::fs::open(&dir, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .expect("opened");
    let name = "d".repeat(200);
    for _ in 0..60 {
        rustix::fs::mkdirat(&at, &*name, rustix::fs::Mode::RWXU).expect("made");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, &*name, flags, rustix::fs::Mode::empty()).expect("opened");
    }
    drop(at);
    let error = place.mirror.capture(&dir, &place.base).await.expect_err("too deep");
    assert!(matches!(error, GitError::Refused(_)), "{error}");

    remove_workspace(&dir).await.expect("removed");
    assert!(!dir.exists());
    assert!(outside.join("keep.txt").exists(), "links are not followed");
    remove_workspace(&dir).await.expect("gone is fine");
}

#[tokio::test]
async fn old_odd_history_is_taken_and_the_mirror_is_packed_when_opened() {
    let place = Place::new().await;
    let tree = git(&place.origin(), &["rev-parse", "main^{tree}"]);
    let odd = place.dir.path().join("odd");
    let text =
        format!("tree {tree}\nauthor A <a@b> 1 +051800\ncommitter A <a@b> 1 +051800\n\nodd\n");
    std::fs::write(&odd, text).expect("written");
    let odd = odd.to_string_lossy();
    let id = git(&place.origin(), &["hash-object", "-t", "commit", "-w", "--literally", &odd]);
    git(&place.origin(), &["update-ref", "refs/heads/old", &id]);
    place.mirror.fetch().await.expect("fetched");
    let tip = place.mirror.tip("old").await.expect("read").expect("there");
    assert_eq!(tip.as_str(), id);
    place.mirror.checkout(&tip, &place.dir.path().join("work/odd"), None).await.expect("out");

    // More loose objects than are let lie, as nights of captures leave them.
    let many = place.dir.path().join("many");
    for number in 0..1001 {
        write(&many, &number.to_string(), &format!("number {number}"));
    }
    let git_dir = format!("--git-dir={}", place.mirror.path().display());
    let work = format!("--work-tree={}", many.display());
    git(&many, &[&git_dir, &work, "add", "--all"]);
    let tree = git(&many, &[&git_dir, "write-tree"]);
    let loose = || files(&place.mirror.path().join("objects")).len();
    assert!(loose() > 1000);
    starter(&place.dir.path().join("data"))
        .mirror(&repo(), &place.url(), None, CancellationToken::new())
        .await
        .expect("opened again");
    assert!(loose() < 100, "{} files of objects", loose());
    let kept = place.mirror.read(&tree, "1000").await.expect("read");
    assert_eq!(kept.as_deref(), Some(b"number 1000".as_slice()), "what no ref holds is kept");
}
