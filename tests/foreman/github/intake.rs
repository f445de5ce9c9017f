//! Intake: pages, edges, trust.

use foreman::demo::github::{FakeGitHub, IssueSeed, Role};
use foreman::domain::ids::{IssueNumber, RepoName};
use foreman::domain::issue::{BlockerState, Issue, Trust};
use foreman::github::intake::{Authors, TrustPolicy, read_open_issues};
use foreman::github::{Credential, GitHub, GitHubError};
use secrecy::SecretString;

use super::{Scene, client, token};

async fn read(scene: &Scene) -> Vec<Issue> {
    read_open_issues(&scene.github, &scene.repo, &TrustPolicy::default()).await.expect("readable")
}

fn asked(fake: &FakeGitHub, part: &str) -> usize {
    fake.requests().iter().filter(|(_, path)| path.contains(part)).count()
}

fn reason(issues: &[Issue], number: u64) -> &str {
    match &issues.iter().find(|issue| issue.number.0 == number).expect("listed").trust {
        Trust::Untrusted(reason) => reason,
        trusted => panic!("#{number} is trusted: {trusted:?}"),
    }
}

#[tokio::test]
async fn every_page_is_read_and_pull_requests_are_not_issues() {
    let scene = Scene::new().await;
    for number in 1..=250 {
        scene.fake.add_issue(&scene.repo, IssueSeed::new(&format!("Issue {number}")));
    }
    for at in ["a", "b", "c"] {
        let branch = format!("topic-{at}");
        scene.fake.set_branch(&scene.repo, &branch, &scene.base).expect("set");
        scene.fake.commit(&scene.repo, &branch, &[(at, Some("x\n"))], "x").expect("commit");
        let new = foreman::github::NewPull {
            title: at.to_owned(),
            body: String::new(),
            head: branch,
            base: "main".to_owned(),
        };
        scene.github.open_pull(&scene.repo, &new).await.expect("opened");
    }
    scene.fake.add_issue(&scene.repo, IssueSeed::new("Done").closed());
    scene.fake.forget();

    let issues = read(&scene).await;

    let numbers: Vec<u64> = issues.iter().map(|issue| issue.number.0).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<_>>());
    // 253 open ones are three pages; the counts in the listing spare every further question.
    assert_eq!(scene.fake.requests().len(), 3);
    assert_eq!(scene.fake.effects(), []);
    assert_eq!(scene.fake.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn native_edges_are_read_wherever_they_point() {
    let scene = Scene::new().await;
    let library: RepoName = "octo/lib".parse().expect("valid");
    scene.fake.create_repo(&library, &[("a", "a")]).expect("created");
    scene.fake.add_issue(&library, IssueSeed::new("Elsewhere").number(7).closed());
    scene.fake.add_issue(&scene.repo, IssueSeed::new("First"));
    scene.fake.add_issue(
        &scene.repo,
        IssueSeed::new("Second").blocked_by(1).blocked_by_elsewhere(&library, 7),
    );
    scene.fake.add_issue(&scene.repo, IssueSeed::new("Parent").sub_issue(1).sub_issue(2));
    scene.fake.set_page_cap(1);

    let names = |issue: &Issue| -> (Vec<String>, Vec<String>) {
        let name = |reference: &foreman::domain::issue::IssueRef| {
            format!("{} {}", reference.display(), if reference.open { "open" } else { "closed" })
        };
        (issue.blocked_by.iter().map(name).collect(), issue.sub_issues.iter().map(name).collect())
    };
    let expected = [
        (vec![], vec![]),
        (vec!["#1 open".to_owned(), "octo/lib#7 closed".to_owned()], vec![]),
        (vec![], vec!["#1 open".to_owned(), "#2 open".to_owned()]),
    ];
    let issues = read(&scene).await;
    assert_eq!(issues.iter().map(names).collect::<Vec<_>>(), expected);
    assert_eq!(asked(&scene.fake, "issues/1/"), 0, "nothing to ask about");

    // A server that sends no counts is asked about every issue.
    scene.fake.set_summaries(false);
    let issues = read(&scene).await;
    assert_eq!(issues.iter().map(names).collect::<Vec<_>>(), expected);
    assert_eq!(asked(&scene.fake, "issues/1/"), 2);

    // A server without these routes has no edges, which is no failure.
    scene.fake.set_edges(false);
    let issues = read(&scene).await;
    assert!(issues.iter().all(|issue| issue.blocked_by.is_empty() && issue.sub_issues.is_empty()));
}

#[tokio::test]
async fn trust_follows_github_s_own_facts() {
    let scene = Scene::new().await;
    let (fake, repo) = (&scene.fake, &scene.repo);
    fake.add_user(repo, "carol", Role::Read);
    fake.add_user(repo, "wendy", Role::Write);
    fake.add_user(repo, "trudy", Role::Triage);
    fake.add_user(repo, "max", Role::Maintain);
    let approved = "foreman:approved";
    let by = |title: &str, author: &str, association: &str| {
        IssueSeed::new(title).author(author).association(association)
    };
    fake.add_issue(repo, IssueSeed::new("by the owner"));
    fake.add_issue(repo, by("association says so", "carol", "COLLABORATOR"));
    fake.add_issue(repo, by("a private member", "wendy", "NONE"));
    fake.add_issue(repo, by("her second", "Wendy", "CONTRIBUTOR"));
    fake.add_issue(repo, by("a stranger", "mallory", "CONTRIBUTOR"));
    fake.add_issue(repo, by("approved", "mallory", "NONE").label_by(approved, "max"));
    fake.add_issue(repo, by("self-approved", "mallory", "NONE").label_by(approved, "trudy"));
    fake.add_issue(repo, by("bot-approved", "mallory", "NONE").label_by(approved, "ci[bot]"));
    fake.add_issue(repo, by("a bot's", "octo[bot]", "NONE"));
    fake.add_issue(repo, IssueSeed::new("a ghost's").ghost());
    fake.add_issue(repo, IssueSeed::new("approved ghost").ghost().label_by(approved, "wendy"));
    fake.add_issue(
        repo,
        by("says it is approved", "mallory", "NONE").body("foreman:approved by max"),
    );

    let issues = read(&scene).await;

    let trust = |number: usize| issues[number - 1].trust.clone();
    assert_eq!(trust(1), Trust::Author("OWNER".to_owned()));
    assert_eq!(trust(2), Trust::Author("COLLABORATOR".to_owned()));
    assert_eq!(trust(3), Trust::Author("write".to_owned()));
    assert_eq!(trust(4), Trust::Author("write".to_owned()));
    assert_eq!(
        reason(&issues, 5),
        "author `mallory` is CONTRIBUTOR without write access; a maintainer can add the label `foreman:approved`"
    );
    assert_eq!(trust(6), Trust::Approved("max".to_owned()));
    assert_eq!(
        reason(&issues, 7),
        "author `mallory` is NONE without write access; the label `foreman:approved` was added by `trudy`, who has no write access"
    );
    assert!(reason(&issues, 8).contains("added by the bot `ci[bot]`"));
    assert!(reason(&issues, 9).starts_with("author `octo[bot]` is NONE without write access"));
    assert!(reason(&issues, 10).starts_with("author `ghost` is an account that is gone"));
    assert_eq!(trust(11), Trust::Approved("wendy".to_owned()));
    assert!(!trust(12).is_eligible());
    assert_eq!(issues[9].author, "ghost");
    for login in ["wendy", "Wendy", "mallory"] {
        assert!(asked(fake, &format!("/{login}/permission")) <= 1, "{login} is looked up once");
    }
    assert_eq!(asked(fake, "endy/permission"), 1);

    // The label set anew by somebody with write access counts.
    fake.unlabel(repo, 7, approved, "max");
    fake.label(repo, 7, approved, "max");
    assert_eq!(read(&scene).await[6].trust, Trust::Approved("max".to_owned()));

    let everyone = TrustPolicy { authors: Authors::All, ..TrustPolicy::default() };
    let issues = read_open_issues(&scene.github, repo, &everyone).await.expect("readable");
    assert!(issues.iter().all(|issue| issue.trust == Trust::Everyone));
}

#[tokio::test]
async fn a_token_that_may_not_ask_about_people_trusts_nobody_new() {
    let scene = Scene::new().await;
    scene.fake.add_issue(
        &scene.repo,
        IssueSeed::new("a stranger's").author("mallory").association("NONE"),
    );
    scene.fake.add_token("ghp_reader", "reader");
    for github in [client(&scene.fake, token("ghp_reader")), client(&scene.fake, None)] {
        let policy = TrustPolicy::default();
        let issues = read_open_issues(&github, &scene.repo, &policy).await.expect("readable");
        assert!(reason(&issues, 1).contains("the token may not see who has write access"));
    }
}

#[tokio::test]
async fn blockers_outside_the_set_are_looked_up() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("open"));
    scene.fake.add_issue(&scene.repo, IssueSeed::new("closed").closed());
    let mut states = Vec::new();
    for number in 1..=3 {
        let state = scene.github.issue_state(&scene.repo, IssueNumber(number)).await;
        states.push(state.expect("answered"));
    }
    assert_eq!(states, [BlockerState::Open, BlockerState::Closed, BlockerState::Unknown]);
    let hidden: RepoName = "octo/hidden".parse().expect("valid");
    let state = scene.github.issue_state(&hidden, IssueNumber(1)).await.expect("answered");
    assert_eq!(state, BlockerState::Unknown);
}

#[tokio::test]
async fn a_github_app_gets_tokens_and_renews_them() {
    let scene = Scene::new().await;
    scene.fake.add_app(42, "foreman", include_str!("app_key.pub.pem"));
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    let key = SecretString::from(include_str!("app_key.pem"));
    let github = client(&scene.fake, Some(Credential::App { id: 42, key }));

    assert_eq!(github.login().await.expect("answered").as_deref(), Some("foreman[bot]"));
    assert_eq!(github.open_issues(&scene.repo).await.expect("readable").len(), 1);
    let first = github.token_for_git(&scene.repo).await.expect("granted").expect("there");
    assert_eq!(asked(&scene.fake, "access_tokens"), 1, "one token serves all requests");

    // GitHub no longer takes it: a new one is fetched, and the comment is made once.
    use secrecy::ExposeSecret as _;
    scene.fake.revoke(first.expose_secret());
    github.create_comment(&scene.repo, IssueNumber(1), "hello").await.expect("commented");
    let comments = scene.fake.comments(&scene.repo, 1);
    assert_eq!(comments.len(), 1);
    assert_eq!(comments[0].author.as_deref(), Some("foreman[bot]"));
    assert_eq!(asked(&scene.fake, "access_tokens"), 2);

    let elsewhere = "octo/none".parse().expect("valid");
    let error = github.open_issues(&elsewhere).await.expect_err("not installed");
    assert!(matches!(error, GitHubError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("finding the GitHub App's installation on octo/none"));
}

#[tokio::test]
async fn who_we_are_is_asked_once() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        assert_eq!(scene.github.login().await.expect("ok").as_deref(), Some("foreman-bot"));
    }
    assert_eq!(asked(&scene.fake, "/user"), 1);
    assert_eq!(client(&scene.fake, None).login().await, Ok(None));
    scene.fake.add_token("ghs_actions", "github-actions[bot]");
    assert_eq!(client(&scene.fake, token("ghs_actions")).login().await, Ok(None));
}

#[tokio::test]
async fn a_useless_credential_is_refused_at_the_start_without_quoting_it() {
    let url = "http://127.0.0.1:1".parse().expect("valid");
    let bad = [
        Credential::Token(SecretString::from("two\nlines")),
        Credential::Token(SecretString::from(" ")),
        Credential::App { id: 1, key: SecretString::from("no key") },
    ];
    for credential in bad {
        let error = GitHub::new(&url, Some(credential)).expect_err("refused").to_string();
        assert!(error.starts_with("GITHUB_"), "{error}");
        assert!(!error.contains("lines") && !error.contains("no key"), "{error}");
    }
    let ftp = "ftp://127.0.0.1".parse().expect("valid");
    assert!(GitHub::new(&ftp, None).expect_err("refused").to_string().contains("GITHUB_API_URL"));
}
