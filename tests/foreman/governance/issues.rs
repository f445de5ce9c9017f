//! The four issues on a stand-in as strict as GitHub: four, once, whatever happens.

use foreman::demo::github::{FakeGitHub, Fault, FaultKind, IssueSeed, Options};
use foreman::domain::ids::{IssueNumber, RepoName};
use foreman::github::{Credential, GitHub, GitHubError, Patience};
use foreman::governance::{CreatedIssues, create_governance_issues, governance_issues};
use secrecy::SecretString;

struct Scene {
    fake: FakeGitHub,
    github: GitHub,
    repo: RepoName,
}

impl Scene {
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let fake = FakeGitHub::start(Options::default()).await.expect("loopback");
        let repo: RepoName = "octo/app".parse().expect("valid");
        fake.create_repo(&repo, &[("README.md", "# App\n")]).expect("git works");
        let token = Some(Credential::Token(SecretString::from(fake.token())));
        let patience =
            Patience { retry_pause: std::time::Duration::from_millis(1), ..Patience::default() };
        let github = GitHub::with_patience(&fake.api_url(), token, patience).expect("usable");
        Self { fake, github, repo }
    }

    async fn create(&self) -> Result<CreatedIssues, GitHubError> {
        create_governance_issues(&self.github, &self.repo, &governance_issues(), false).await
    }

    async fn edges(&self) -> Vec<(u64, Vec<u64>)> {
        let mut edges = Vec::new();
        for issue in self.github.all_issues(&self.repo).await.expect("read") {
            let on = self.github.blocked_by(&self.repo, issue.number).await.expect("read");
            edges.push((issue.number.0, on.iter().map(|edge| edge.number.0).collect()));
        }
        edges
    }

    fn posts(&self) -> usize {
        let effects = self.fake.effects();
        effects.iter().filter(|effect| effect.method == "POST" && effect.changed()).count()
    }
}

fn numbers(done: &CreatedIssues) -> Vec<u64> {
    done.issues.iter().filter_map(|issue| issue.number).map(|number| number.0).collect()
}

#[tokio::test]
async fn twice_in_a_row_makes_four() {
    let scene = Scene::new().await;
    let first = scene.create().await.expect("created");
    assert_eq!((first.created, first.existing), (4, 0));
    assert_eq!(numbers(&first), [1, 2, 3, 4]);
    let chain = [(1, vec![]), (2, vec![1]), (3, vec![1]), (4, vec![1])];
    assert_eq!(scene.edges().await, chain);
    assert_eq!(scene.posts(), 4 + 3);
    let second = scene.create().await.expect("found");
    assert_eq!((second.created, second.existing), (0, 4));
    assert_eq!(numbers(&second), [1, 2, 3, 4]);
    assert_eq!(scene.posts(), 4 + 3, "nothing was sent again");
    let listed = scene.github.all_issues(&scene.repo).await.expect("read");
    for issue in &listed[1..] {
        assert!(issue.body.contains("\nDepends on #1\n"), "{}", issue.body);
    }
    assert!(scene.fake.labels(&scene.repo, 1).contains(&"architecture".to_owned()));
    assert_eq!(scene.fake.unexpected(), Vec::<String>::new());
    let refused = scene.fake.effects().iter().filter(|effect| effect.status == 422).count();
    assert_eq!(refused, 0);
}

#[tokio::test]
async fn a_lost_reply_makes_none_twice() {
    // Each POST in turn is carried out and its reply lost, then dropped before it is carried out.
    for lost in 0..7 {
        for kind in [FaultKind::LoseReply, FaultKind::Drop] {
            let scene = Scene::new().await;
            scene.fake.fail_next(Fault::on("POST", "/issues", kind.clone()).after(lost));
            let done = scene.create().await.expect("created");
            assert_eq!((numbers(&done), done.created), (vec![1, 2, 3, 4], 4), "{lost} {kind:?}");
            assert_eq!(scene.fake.faults_left(), 0, "the fault was met");
            assert_eq!(scene.posts(), 7, "{lost} {kind:?}");
            let edges: usize = scene.edges().await.iter().map(|(_, on)| on.len()).sum();
            assert_eq!(edges, 3);
        }
    }
}

#[tokio::test]
async fn a_failure_half_way_is_taken_up_again() {
    let scene = Scene::new().await;
    scene.fake.fail_next(Fault::status("POST", "/issues$", 403).after(2));
    let error = scene.create().await.expect_err("refused");
    assert!(matches!(error, GitHubError::Forbidden { .. }), "{error}");
    let done = scene.create().await.expect("created");
    assert_eq!((done.created, done.existing), (2, 2));
    assert_eq!(scene.edges().await.iter().map(|(_, on)| on.len()).sum::<usize>(), 3);
}

#[tokio::test]
async fn closed_ones_stay_closed_and_strangers_are_not_believed() {
    let scene = Scene::new().await;
    // Somebody copied our marker into an issue of their own.
    let copy = IssueSeed::new("Mine")
        .body("<!-- foreman:governance-issue=gsr-model -->")
        .author("mallory");
    scene.fake.add_issue(&scene.repo, copy);
    let first = scene.create().await.expect("created");
    assert_eq!((first.created, numbers(&first)), (4, vec![2, 3, 4, 5]));
    scene.fake.close(&scene.repo, 3);
    let second = scene.create().await.expect("found");
    assert_eq!((second.created, second.existing), (0, 4));
    assert!(!scene.fake.is_open(&scene.repo, 3));
}

#[tokio::test]
async fn a_server_without_dependencies_has_the_text() {
    let scene = Scene::new().await;
    scene.fake.set_edges(false);
    let done = scene.create().await.expect("created");
    assert_eq!(done.created, 4);
    let listed = scene.github.all_issues(&scene.repo).await.expect("read");
    assert!(listed[3].body.contains("Depends on #1"));
    assert_eq!(scene.create().await.expect("found").existing, 4);
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_says_what_it_would() {
    let scene = Scene::new().await;
    let issues = governance_issues();
    let done = create_governance_issues(&scene.github, &scene.repo, &issues, true).await;
    let done = done.expect("looked");
    assert_eq!((done.created, done.existing, scene.posts()), (4, 0, 0));
    let payload = done.issues[0].payload.as_ref().expect("a payload");
    assert_eq!(payload.title, issues[0].title);
    scene.create().await.expect("created");
    let done = create_governance_issues(&scene.github, &scene.repo, &issues, true).await;
    let done = done.expect("looked");
    assert_eq!((done.created, done.existing), (0, 4));
    assert_eq!(done.issues[2].number, Some(IssueNumber(3)));
}
