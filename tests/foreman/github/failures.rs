//! What happens when GitHub fails, refuses, or is not who it says.

use std::time::{Duration, Instant};

use foreman::demo::github::{Fault, FaultKind, IssueSeed};
use foreman::domain::ids::IssueNumber;
use foreman::github::{GitHub, GitHubError, NewPull, Patience};

use super::{Scene, client, impatient, token};

const ISSUE: IssueNumber = IssueNumber(1);

#[tokio::test]
async fn a_read_is_repeated_and_a_change_is_not() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    for fault in
        [Fault::status("GET", "/issues", 502), Fault::on("GET", "/issues", FaultKind::Drop)]
    {
        scene.fake.forget();
        scene.fake.fail_next(fault.clone().times(2));
        assert_eq!(scene.github.open_issues(&scene.repo).await.expect("read").len(), 1);
        assert_eq!(scene.fake.requests().len(), 3);
        scene.fake.fail_next(fault.times(3));
        let error = scene.github.open_issues(&scene.repo).await.expect_err("three failures");
        assert!(error.is_passing(), "{error}");
        assert_eq!(scene.fake.faults_left(), 0);
    }
    scene.fake.forget();
    scene.fake.fail_next(Fault::status("POST", "/comments", 502));
    let error = scene.github.create_comment(&scene.repo, ISSUE, "x").await.expect_err("failed");
    assert_eq!(error.reason_code(), "github_server_error");
    assert!(error.may_have_happened());
    assert_eq!(scene.fake.effects().len(), 1, "sent once");
    assert!(!scene.fake.effects()[0].changed());
    scene.fake.fail_next(Fault::on("POST", "/comments", FaultKind::Drop));
    let error = scene.github.create_comment(&scene.repo, ISSUE, "x").await.expect_err("dropped");
    assert!(matches!(error, GitHubError::Transport { .. }), "{error}");
    assert_eq!(scene.fake.effects().len(), 2, "sent once");
    assert!(scene.fake.comments(&scene.repo, 1).is_empty());
}

#[tokio::test]
async fn a_lost_reply_is_a_transport_error_and_the_pull_request_is_there() {
    let scene = Scene::new().await;
    scene.fake.set_branch(&scene.repo, "foreman/issue-1", &scene.base).expect("set");
    let edit = [("a", Some("x\n"))];
    scene.fake.commit(&scene.repo, "foreman/issue-1", &edit, "x").expect("commit");
    scene.fake.fail_next(Fault::on("POST", "/pulls$", FaultKind::LoseReply));
    let new = NewPull {
        title: "One".to_owned(),
        body: "Closes #1".to_owned(),
        head: "foreman/issue-1".to_owned(),
        base: "main".to_owned(),
    };
    let error = scene.github.open_pull(&scene.repo, &new).await.expect_err("lost");
    assert!(matches!(error, GitHubError::Transport { .. }), "{error}");
    assert!(error.may_have_happened());

    let found = scene.github.pulls_of_branch(&scene.repo, "foreman/issue-1").await.expect("read");
    assert_eq!(found.len(), 1);
    assert!(found[0].open && found[0].body == "Closes #1");
    let effects = scene.fake.effects();
    assert_eq!(effects.len(), 1);
    assert!(effects[0].changed() && !effects[0].answered);
    let again = scene.github.open_pull(&scene.repo, &new).await.expect_err("a second one");
    assert!(again.to_string().contains("A pull request already exists for octo:foreman/issue-1"));
}

#[tokio::test]
async fn rate_limits_are_waited_out_within_the_cap() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    // Refused before it was carried out, so a change may be sent again too.
    scene.fake.fail_next(Fault::rate_limited("*", "/issues", 0).times(2));
    scene.github.open_issues(&scene.repo).await.expect("read in the end");
    scene.fake.fail_next(Fault::rate_limited("POST", "/comments", 0));
    scene.github.create_comment(&scene.repo, ISSUE, "x").await.expect("made in the end");
    assert_eq!(scene.fake.comments(&scene.repo, 1).len(), 1);

    let asked = Instant::now();
    scene.fake.fail_next(Fault::rate_limited("GET", "/issues", 1));
    scene.github.open_issues(&scene.repo).await.expect("read in the end");
    assert!(asked.elapsed() >= Duration::from_secs(1));

    scene.fake.forget();
    let asked = Instant::now();
    scene.fake.fail_next(Fault::rate_limited("GET", "/issues", 3_600));
    let error = scene.github.open_issues(&scene.repo).await.expect_err("beyond the cap");
    assert!(asked.elapsed() < Duration::from_secs(1));
    let GitHubError::RateLimited { until: Some(until), .. } = &error else { panic!("{error}") };
    assert!((*until - chrono::Utc::now()).num_minutes() >= 58);
    assert!(
        error.to_string().contains("rate limit stops reading the open issues of octo/app until 20")
    );
    assert_eq!(scene.fake.requests().len(), 1);

    // A server that always says "now" does not hold us for ever.
    let scene = Scene::new().await;
    scene.fake.fail_next(Fault::rate_limited("GET", "/issues", 0).times(100));
    let error = scene.github.open_issues(&scene.repo).await.expect_err("gives up");
    assert_eq!(error.reason_code(), "github_rate_limited");
}

#[tokio::test]
async fn a_night_waits_limits_out_and_nobody_asks_meanwhile() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    let patience = Patience { rate_limit_cap: Duration::from_millis(100), ..impatient() };
    let credential = token(scene.fake.token());
    let github = GitHub::with_patience(&scene.fake.api_url(), credential, patience);
    let github = github.expect("usable");
    let stop = tokio_util::sync::CancellationToken::new();
    let night = github.for_a_night(stop.clone());

    // Somebody's request at a route is refused for two seconds; it does not wait so long.
    scene.fake.fail_next(Fault::rate_limited("GET", "/issues", 2));
    let asked = Instant::now();
    let error = github.open_issues(&scene.repo).await.expect_err("beyond its cap");
    assert_eq!(error.reason_code(), "github_rate_limited");
    // The night heard of it as well: nothing is sent until then, also no change.
    night.create_comment(&scene.repo, ISSUE, "x").await.expect("made in the end");
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(scene.fake.requests().len(), 2);

    // An hour is within a night's patience; a night that is to stop waits no longer.
    scene.fake.fail_next(Fault::rate_limited("GET", "/issues", 3_600));
    let waiting = tokio::spawn(async move { night.open_issues(&scene.repo).await });
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while scene.fake.faults_left() > 0 {
        tick.tick().await;
    }
    stop.cancel();
    let error = waiting.await.expect("no panic").expect_err("stopped");
    assert!(matches!(error, GitHubError::Stopped { .. }), "{error}");
    assert_eq!(scene.fake.requests().len(), 3);
}

#[tokio::test]
async fn each_refusal_is_a_sentence_that_helps() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    scene.fake.add_token("ghp_reader", "reader");
    let wrong = client(&scene.fake, token("ghp_wrong"));
    let reader = client(&scene.fake, token("ghp_reader"));
    let nobody = client(&scene.fake, None);
    let new = NewPull {
        title: "One".to_owned(),
        body: String::new(),
        head: "topic".to_owned(),
        base: "main".to_owned(),
    };
    let missing = "octo/missing".parse().expect("valid");
    let errors = [
        wrong.open_issues(&scene.repo).await.expect_err("401").to_string(),
        reader.open_pull(&scene.repo, &new).await.expect_err("403").to_string(),
        scene.github.repository(&missing).await.expect_err("404").to_string(),
        nobody.create_comment(&scene.repo, ISSUE, "x").await.expect_err("401").to_string(),
        scene.github.open_pull(&scene.repo, &new).await.expect_err("422").to_string(),
    ];
    assert_eq!(
        errors,
        [
            "GitHub does not accept the credential while reading the open issues of octo/app (401: Bad credentials); it is wrong or has expired, set GITHUB_TOKEN (or the App's key) anew",
            "GitHub forbids opening a pull request of `topic` in octo/app (403: Resource not accessible by personal access token); the token lacks a permission: it needs read access to metadata, and write access to contents, issues and pull requests",
            "GitHub found nothing while looking up the repository octo/missing (404); the repository does not exist, or the token cannot see it: check OWNER/REPO, or give the token access",
            "there is no GitHub credential; set GITHUB_TOKEN, or GITHUB_APP_ID with GITHUB_APP_PRIVATE_KEY",
            "GitHub refused opening a pull request of `topic` in octo/app (422: Validation Failed: head invalid)",
        ]
    );
}

#[tokio::test]
async fn the_token_goes_to_no_other_host() {
    let scene = Scene::new().await;
    let thief = Scene::new().await;
    for number in 1..=5 {
        scene.fake.add_issue(&scene.repo, IssueSeed::new(&format!("Issue {number}")));
    }
    scene.fake.set_page_cap(2);
    scene.fake.set_link_origin(thief.fake.api_url().as_str().trim_end_matches('/'));

    let issues = scene.github.open_issues(&scene.repo).await.expect("read from our own host");
    assert_eq!(issues.len(), 5);
    assert_eq!(thief.fake.requests(), []);

    // A redirect is followed without the token, and its refusal is an error.
    let location = format!("{}repos/octo/app", thief.fake.api_url());
    let away = FaultKind::Status {
        status: 302,
        headers: vec![("location".to_owned(), location)],
        message: String::new(),
    };
    thief.fake.make_private(&thief.repo);
    scene.fake.fail_next(Fault::on("GET", "/repos/octo/app$", away));
    let error = scene.github.repository(&scene.repo).await.expect_err("nothing there for us");
    assert_eq!(error.reason_code(), "github_not_found");
}

#[tokio::test]
async fn what_is_no_github_is_said_to_be_none() {
    let scene = Scene::new().await;
    let fault = Fault::on(
        "GET",
        "/issues",
        FaultKind::Status { status: 200, headers: Vec::new(), message: "hello".to_owned() },
    );
    scene.fake.fail_next(fault);
    let error = scene.github.open_issues(&scene.repo).await.expect_err("an object, no list");
    assert_eq!(error.reason_code(), "github_unreadable");
    let gone = "http://127.0.0.1:1".parse().expect("valid");
    let github = GitHub::with_patience(&gone, token("ghp_x"), impatient()).expect("usable");
    let error = github.open_issues(&scene.repo).await.expect_err("nobody there");
    assert_eq!(error.reason_code(), "github_unreachable");
    assert!(!error.to_string().contains("ghp_x"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_on() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("one"));
    let patience = Patience { timeout: Duration::from_millis(200), ..impatient() };
    let credential = token(scene.fake.token());
    let github = GitHub::with_patience(&scene.fake.api_url(), credential, patience);
    let github = github.expect("usable");
    for (processed, comments) in [(false, 0), (true, 1)] {
        scene.fake.fail_next(Fault::on("POST", "/comments", FaultKind::Hang { processed }));
        let error = github.create_comment(&scene.repo, ISSUE, "x").await.expect_err("silence");
        assert!(matches!(error, GitHubError::Transport { .. }), "{error}");
        assert_eq!(scene.fake.comments(&scene.repo, 1).len(), comments);
    }
    assert_eq!(scene.fake.effects().len(), 2, "each sent once");
}
