//! Commits are deterministic, merges are tried without a checkout, pushes are made once.

use std::os::unix::fs::PermissionsExt;

use foreman::git::{FileStatus, GitError, Merge, Push, TreeOrCommit};

use super::{Place, at, author, git, write};

#[tokio::test]
async fn the_same_work_is_the_same_commit() {
    let place = Place::new().await;
    let mirror = &place.mirror;
    let first = place.our_commit("a.txt", "a\n").await;
    let second = place.our_commit("a.txt", "a\n").await;
    assert_eq!(first, second);
    let tree = mirror.tree_of(&first).await.expect("tree");
    let message = "Ünïcode & \"quotes\"\n\nFixes #1\n";
    let other =
        mirror.commit(&tree, &place.base, message, &author(), at(1_800_000_001)).await.expect("ok");
    assert_ne!(first, other);
    let shown =
        git(mirror.path(), &["show", "-s", "--format=%an <%ae> %ct %P%n%B", other.as_str()]);
    assert!(
        shown.starts_with(&format!("Foreman <foreman@example.org> 1800000001 {}", place.base)),
        "{shown}"
    );
    assert!(shown.contains(message.trim()), "{shown}");
    let changes = mirror.changes(&place.base, &TreeOrCommit::from(&first)).await.expect("changes");
    assert_eq!((changes.len(), changes[0].status), (1, FileStatus::Added));
    assert_eq!(changes[0].size, 2);
}

#[tokio::test]
async fn a_moved_base_merges_cleanly_or_names_what_conflicts() {
    let place = Place::new().await;
    let mirror = &place.mirror;
    let ours = place.our_commit("README.md", "# Ours\n").await;
    let apart = place.someone_commits("main", "apart.txt", "apart\n");
    mirror.fetch().await.expect("fetched");
    let Merge::Clean(tree) = mirror.merge_onto(&apart, &ours).await.expect("merged") else {
        panic!("should be clean")
    };
    let list = mirror.list(tree.as_str()).await.expect("listed");
    assert!(list.contains(&"apart.txt".to_owned()));
    let readme = mirror.read(tree.as_str(), "README.md").await.expect("read");
    assert_eq!(readme.as_deref(), Some(b"# Ours\n".as_slice()));

    let against = place.someone_commits("main", "README.md", "# Theirs\n");
    mirror.fetch().await.expect("fetched");
    let conflict = mirror.merge_onto(&against, &ours).await.expect("merged");
    assert_eq!(conflict, Merge::Conflict(vec!["README.md".to_owned()]));
}

#[tokio::test]
async fn a_push_is_made_once_and_never_over_anothers_work() {
    let place = Place::new().await;
    let mirror = &place.mirror;
    let branch = "foreman/issue-1";
    let ours = place.our_commit("a.txt", "a\n").await;
    assert_eq!(mirror.push(&ours, branch, None).await.expect("pushed"), Push::Done);
    assert_eq!(mirror.remote_tip(branch).await.expect("read"), Some(ours.clone()));
    assert_eq!(mirror.push(&ours, branch, None).await.expect("again"), Push::AlreadyThere);

    let newer = place.our_commit("a.txt", "newer\n").await;
    assert_eq!(mirror.push(&newer, branch, None).await.expect("looked"), Push::Taken(ours.clone()));
    assert_eq!(mirror.push(&newer, branch, Some(&ours)).await.expect("pushed"), Push::Done);

    let theirs = place.someone_commits(branch, "theirs.txt", "theirs\n");
    let later = place.our_commit("a.txt", "later\n").await;
    let push = mirror.push(&later, branch, Some(&newer)).await.expect("looked");
    assert_eq!(push, Push::Taken(theirs.clone()));
    assert_eq!(mirror.remote_tip(branch).await.expect("read"), Some(theirs));

    git(&place.origin(), &["branch", "--quiet", "-D", branch]);
    let push = mirror.push(&later, branch, Some(&newer)).await.expect("made anew");
    assert_eq!(push, Push::Done);
}

/// Someone pushes while our push is on its way: the origin's own hook does it.
#[tokio::test]
async fn another_push_during_ours_is_left_alone() {
    let place = Place::new().await;
    let theirs = place.someone_commits("theirs", "theirs.txt", "theirs\n");
    let branch = "foreman/issue-2";
    let hook = place.origin().join("hooks/pre-receive");
    let script = format!(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH\nexec git update-ref refs/heads/{branch} {theirs}\n"
    );
    write(&place.origin(), "hooks/pre-receive", &script);
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let ours = place.our_commit("a.txt", "a\n").await;
    let push = place.mirror.push(&ours, branch, None).await.expect("looked again");
    assert_eq!(push, Push::Taken(theirs));
}

#[tokio::test]
async fn a_push_that_the_remote_declines_says_so() {
    let place = Place::new().await;
    let hook = place.origin().join("hooks/pre-receive");
    write(
        &place.origin(),
        "hooks/pre-receive",
        "#!/bin/sh\necho no pushes on Sundays >&2\nexit 1\n",
    );
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let ours = place.our_commit("a.txt", "a\n").await;
    let error = place.mirror.push(&ours, "foreman/issue-3", None).await.expect_err("declined");
    assert!(matches!(error, GitError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("Sundays"), "{error}");
    assert!(matches!(place.mirror.push(&ours, "-x", None).await, Err(GitError::Name(_))));
}
