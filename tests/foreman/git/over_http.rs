//! The token: needed, enough, bound to its host, and nowhere to be found.

use foreman::git::{GitError, Push, TreeOrCommit};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::http_server::GitServer;
use super::{Place, at, author, git, repo, starter};

const TOKEN: &str = "ghp_test-$token'with\"odd%signs";

fn token() -> Option<SecretString> {
    Some(TOKEN.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_opens_the_repository_and_is_never_shown() {
    let place = Place::new().await;
    git(&place.origin(), &["config", "http.receivepack", "true"]);
    let server = GitServer::start(place.dir.path().to_owned(), TOKEN).await;
    let url = format!("http://{}/origin.git", server.address);
    let data = place.dir.path().join("data-http");
    let git_handle = starter(&data);
    let cancel = CancellationToken::new();

    let error = git_handle.mirror(&repo(), &url, None, cancel.clone()).await.expect_err("closed");
    assert!(matches!(error, GitError::AuthRefused { .. }), "{error}");
    let wrong = Some(SecretString::from("ghp_wrong-token"));
    let error = git_handle.mirror(&repo(), &url, wrong, cancel.clone()).await.expect_err("closed");
    assert!(matches!(error, GitError::AuthRefused { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("ghp_wrong"), "{error:?}");

    let mirror = git_handle.mirror(&repo(), &url, token(), cancel.clone()).await.expect("open");
    assert_eq!(mirror.tip("main").await.expect("read"), Some(place.base.clone()));
    let dir = place.dir.path().join("work/a");
    mirror.checkout(&place.base, &dir, None).await.expect("checked out");
    super::write(&dir, "a.txt", "a\n");
    let captured = mirror.capture(&dir, &place.base).await.expect("captured");
    let commit =
        mirror.commit(&captured.tree, &place.base, "m", &author(), at(1)).await.expect("committed");
    assert_eq!(mirror.push(&commit, "foreman/issue-1", None).await.expect("pushed"), Push::Done);
    assert!(
        !mirror.changes(&place.base, &TreeOrCommit::from(&commit)).await.expect("c").is_empty()
    );

    let missing = format!("http://{}/nowhere.git", server.address);
    let other = "acme/other".parse().expect("valid");
    let error = git_handle.mirror(&other, &missing, token(), cancel.clone()).await;
    let error = error.expect_err("not there");
    assert!(matches!(error, GitError::RepositoryMissing { .. }), "{error}");

    let seen = server.seen.lock().expect("not poisoned");
    assert!(seen.command_lines.iter().any(|line| line.contains("remote-http")), "looked in vain");
    assert!(seen.command_lines.iter().any(|line| line.contains("push")), "looked in vain");
    assert_eq!(seen.token_in_command_lines, Vec::<String>::new());
    // Git's own processes were looked at while they ran, and none had it in its environment.
    assert_eq!(seen.token_holders, Vec::<String>::new(), "in an environment");
    drop(seen);
    let output = std::process::Command::new("grep")
        .args(["--recursive", "--fixed-strings", "--files-with-matches", "--", TOKEN])
        .args([&data, &dir])
        .output()
        .expect("grep starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "the token is on the disk");
    let config = std::fs::read_to_string(mirror.path().join("config")).expect("read");
    assert!(!config.contains("http"), "{config}");
}

/// Someone pushes after we looked at the branch and before git did: only the lease can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_is_lost_by_the_lease_and_not_won_by_force() {
    let place = Place::new().await;
    let theirs = place.someone_commits("theirs", "theirs.txt", "theirs\n");
    let first = place.our_commit("a.txt", "first\n").await;
    let second = place.our_commit("a.txt", "second\n").await;
    let origin = place.origin();
    git(&origin, &["config", "http.receivepack", "true"]);
    let server = GitServer::start(place.dir.path().to_owned(), TOKEN).await;
    let url = format!("http://{}/origin.git", server.address);
    // The same data folder: our commits are in its mirror.
    let mirror = place.git.mirror(&repo(), &url, token(), CancellationToken::new()).await;
    let mirror = mirror.expect("open");
    for (branch, expected) in [("foreman/issue-1", None), ("foreman/issue-2", Some(&first))] {
        if expected.is_some() {
            assert_eq!(mirror.push(&first, branch, None).await.expect("pushed"), Push::Done);
        }
        let (origin, name, id) = (origin.clone(), format!("refs/heads/{branch}"), theirs.clone());
        let deed = move || drop(git(&origin, &["update-ref", &name, id.as_str()]));
        *server.before_push.lock().expect("not poisoned") = Some(Box::new(deed));
        let push = mirror.push(&second, branch, expected).await.expect("looked again");
        assert_eq!(push, Push::Taken(theirs.clone()));
        assert_eq!(mirror.remote_tip(branch).await.expect("read"), Some(theirs.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_elsewhere_does_not_get_the_token() {
    let place = Place::new().await;
    let server = GitServer::start(place.dir.path().to_owned(), TOKEN).await;
    let git_handle = starter(&place.dir.path().join("data-http"));
    let url = format!("http://{}/moved/origin.git", server.address);
    let error = git_handle.mirror(&repo(), &url, token(), CancellationToken::new()).await;
    let error = error.expect_err("refused elsewhere");
    assert!(matches!(error, GitError::AuthRefused { .. }), "{error}");
    let seen = server.seen.lock().expect("not poisoned");
    assert!(
        seen.paths.iter().any(|path| path.starts_with("/origin.git")),
        "the redirect was followed"
    );
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_told_from_a_refusal() {
    let place = Place::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let url = format!("http://{address}/o/r.git");
    let mirror = place.git.mirror(&repo(), &url, token(), CancellationToken::new()).await;
    let error = mirror.expect_err("nobody there");
    assert!(matches!(error, GitError::Network { .. }) && error.is_transient(), "{error}");

    let cancel = CancellationToken::new();
    cancel.cancel();
    let mirror = place.git.mirror(&repo(), &place.url(), None, cancel).await;
    assert!(matches!(mirror.err(), Some(GitError::Cancelled { .. })));
    assert!(place.git.version().await.expect("a version").starts_with('2'));
}
