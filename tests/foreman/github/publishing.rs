//! What publishing needs: pull requests and comments, and the stand-in's strictness about them.

use foreman::demo::github::IssueSeed;
use foreman::domain::ids::IssueNumber;
use foreman::github::NewPull;

use super::Scene;

fn new_pull(head: &str, base: &str) -> NewPull {
    NewPull {
        title: format!("Work of {head}"),
        body: "Closes #1".to_owned(),
        head: head.to_owned(),
        base: base.to_owned(),
    }
}

#[tokio::test]
async fn a_pull_request_from_opening_to_merging() {
    let scene = Scene::new().await;
    let (fake, github, repo) = (&scene.fake, &scene.github, &scene.repo);
    fake.add_issue(repo, IssueSeed::new("one"));
    let branch = "foreman/issue-1";
    assert_eq!(github.pulls_of_branch(repo, branch).await.expect("read"), []);
    fake.set_branch(repo, branch, &scene.base).expect("set");
    let head = fake.commit(repo, branch, &[("a", Some("a\n"))], "a").expect("commit");
    let stacked = "foreman/issue-2";
    fake.set_branch(repo, stacked, &head).expect("set");
    fake.commit(repo, stacked, &[("b", Some("b\n"))], "b").expect("commit");

    let pull = github.open_pull(repo, &new_pull(branch, "main")).await.expect("opened");
    assert_eq!((pull.number, pull.open, pull.merged), (IssueNumber(2), true, false));
    assert_eq!((pull.head_sha.as_str(), pull.base_branch.as_str()), (head.as_str(), "main"));
    assert_eq!(pull.author.as_deref(), Some("foreman-bot"));
    assert_eq!(pull.head_repo.as_deref(), Some("octo/app"));
    assert!(pull.html_url.ends_with("/octo/app/pull/2"));
    let on_top = github.open_pull(repo, &new_pull(stacked, branch)).await.expect("opened");

    let renewed = github.update_pull_body(repo, pull.number, "New text").await.expect("renewed");
    assert_eq!(
        (renewed.body.as_str(), renewed.title.as_str()),
        ("New text", "Work of foreman/issue-1")
    );
    github.update_pull_body(repo, pull.number, "Closes #1").await.expect("renewed");
    assert_eq!(github.pulls_of_branch(repo, branch).await.expect("read").len(), 1);
    let open = github.open_pulls(repo).await.expect("read");
    assert_eq!(open.iter().map(|pull| pull.number.0).collect::<Vec<_>>(), [2, 3]);

    fake.merge(repo, 2, true).expect("merged");
    let merged = github.pull(repo, pull.number).await.expect("read");
    assert!(merged.merged && !merged.open);
    assert_eq!(merged.head_sha, head, "what was merged stays known");
    assert!(!fake.is_open(repo, 1), "its issue is closed");
    assert_eq!(github.pull(repo, on_top.number).await.expect("read").base_branch, "main");
    let found = github.pulls_of_branch(repo, branch).await.expect("read");
    assert_eq!(found.len(), 1, "closed ones are found too");
    assert_eq!(fake.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn a_person_can_follow_the_links() {
    let scene = Scene::new().await;
    scene.fake.add_issue(&scene.repo, IssueSeed::new("<script>alert(1)</script>"));
    scene.fake.set_branch(&scene.repo, "topic", &scene.base).expect("set");
    scene.fake.commit(&scene.repo, "topic", &[("a", Some("1 < 2\n"))], "a").expect("commit");
    let pull = scene.github.open_pull(&scene.repo, &new_pull("topic", "main")).await.expect("ok");
    for (url, shown) in [
        (pull.html_url, "+1 &lt; 2"),
        (format!("{}octo/app/issues/1", scene.fake.api_url()), "&lt;script&gt;"),
        (format!("{}octo/app", scene.fake.api_url()), "Work of topic"),
    ] {
        let page = reqwest::get(&url).await.expect("answered").text().await.expect("text");
        assert!(page.contains(shown) && !page.contains("<script>"), "{url}: {page}");
    }
}

#[tokio::test]
async fn the_stand_in_refuses_what_github_refuses() {
    let scene = Scene::new().await;
    let (fake, github, repo) = (&scene.fake, &scene.github, &scene.repo);
    fake.set_branch(repo, "same", &scene.base).expect("set");
    fake.set_branch(repo, "empty", &scene.base).expect("set");
    fake.commit(repo, "empty", &[], "nothing").expect("commit");
    fake.commit(repo, "stranger", &[("z", Some("z\n"))], "no common history").expect("commit");
    let cases = [
        ("missing", "main", "head invalid"),
        ("same", "missing", "base invalid"),
        ("same", "main", "No commits between main and same"),
        ("empty", "main", "No commits between main and empty"),
        ("stranger", "main", "no history in common"),
    ];
    for (head, base, why) in cases {
        let error = github.open_pull(repo, &new_pull(head, base)).await.expect_err("refused");
        assert!(error.to_string().contains(why), "{head} on {base}: {error}");
        assert_eq!(error.reason_code(), "github_refused");
        assert!(!error.may_have_happened());
    }
    assert_eq!(fake.pulls(repo), []);
    assert!(fake.effects().iter().all(|effect| effect.status == 422 && !effect.changed()));
    let long = "x".repeat(65_537);
    let error = github.create_comment(repo, IssueNumber(9), &long).await.expect_err("no issue");
    assert_eq!(error.reason_code(), "github_not_found");
    fake.add_issue(repo, IssueSeed::new("one"));
    let error = github.create_comment(repo, IssueNumber(1), &long).await.expect_err("too long");
    assert!(error.to_string().contains("body is too long"));
    let error = github.create_comment(repo, IssueNumber(1), " ").await.expect_err("empty");
    assert!(error.to_string().contains("body missing_field"));
}

#[tokio::test]
async fn comments_are_made_found_and_renewed() {
    let scene = Scene::new().await;
    let (fake, github, repo) = (&scene.fake, &scene.github, &scene.repo);
    fake.add_issue(repo, IssueSeed::new("one"));
    fake.comment(repo, 1, "octo", "please do");
    let made = github.create_comment(repo, IssueNumber(1), "on it").await.expect("made");
    github.update_comment(repo, made.id, "done").await.expect("renewed");
    fake.set_page_cap(1);
    let comments = github.comments(repo, IssueNumber(1)).await.expect("read");
    let said: Vec<_> =
        comments.iter().map(|comment| (comment.author.as_deref(), comment.body.as_str())).collect();
    assert_eq!(said, [(Some("octo"), "please do"), (Some("foreman-bot"), "done")]);
    assert!(comments[1].html_url.contains("/octo/app/issues/1#issuecomment-"));
    let log: Vec<_> = fake
        .effects()
        .into_iter()
        .map(|effect| (effect.method, effect.status, effect.body["body"].clone()))
        .collect();
    let expected =
        [("POST".to_owned(), 201, "on it".into()), ("PATCH".to_owned(), 200, "done".into())];
    assert_eq!(log, expected);
}

#[tokio::test]
async fn the_repository_says_where_to_clone() {
    let scene = Scene::new().await;
    let asked = "OCTO/App".parse().expect("valid");
    let found = scene.github.repository(&asked).await.expect("found");
    assert_eq!(found.name.to_string(), "octo/app");
    assert_eq!(found.default_branch, "main");
    assert_eq!(found.clone_url, scene.fake.clone_url(&scene.repo));
}

#[tokio::test]
async fn an_enterprise_server_s_path_is_kept() {
    let scene = Scene::new().await;
    for number in 1..=3 {
        scene.fake.add_issue(&scene.repo, IssueSeed::new(&format!("Issue {number}")));
    }
    scene.fake.set_page_cap(2);
    for path in ["api/v3", "api/v3/"] {
        let url = scene.fake.api_url().join(path).expect("valid");
        let credential = super::token(scene.fake.token());
        let github = foreman::github::GitHub::new(&url, credential).expect("usable");
        assert_eq!(github.open_issues(&scene.repo).await.expect("read").len(), 3);
    }
    assert!(scene.fake.requests().iter().all(|(_, path)| path.starts_with("/api/v3/repos/")));
}
