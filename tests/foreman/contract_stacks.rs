//! The contract's stacks, parents and blockers.

use serde_json::{Value, json};

use crate::support::{Town, good_work, issue, repo, row, script};
use foreman::demo::github::IssueSeed;
use foreman::domain::ids::RepoName;

fn reason(run: &Value, number: u64) -> &str {
    row(run, number)["reason"].as_str().unwrap_or_default()
}

fn base_of(town: &Town, number: u64) -> Option<String> {
    let head = format!("foreman/issue-{number}");
    town.pulls().into_iter().find(|(it, _)| *it == head).map(|(_, base)| base)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_needs_one_tip_that_contains_the_others() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("One"),
            issue("Two").body("Depends on #1"),
            issue("On both of one line").body("Depends on #1 and #2"),
            issue("Apart"),
            issue("On both apart").body("Depends on #2, #4"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 3)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(base_of(&town, 3).as_deref(), Some("foreman/issue-2"));
    assert_eq!(row(&run, 5)["status"], "skipped", "{run:#}");
    let why = reason(&run, 5);
    assert!(why.contains("#2") && why.contains("#4"), "{why}");
    assert_eq!(run["status"], "partial", "{run:#}");
    // The base recorded is the tip it was judged with: its blocker's branch.
    let two = town.github.branches(&repo())["foreman/issue-2"].clone();
    assert_eq!(row(&run, 3)["baseSha"], two.as_str());
    let three = town.github.branches(&repo())["foreman/issue-3"].clone();
    assert_eq!(row(&run, 3)["headSha"], three.as_str());
    assert!(!town.model.requests().iter().any(|it| it.issue == Some(5)));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_instead_of_stacking_names_what_is_waited_for() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("One"),
            issue("Two").body("Blocked by: #1"),
            issue("Three").blocked_by(4),
            issue("Done").closed(),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"dependencyMode": "wait"})).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 2)["status"], "skipped", "{run:#}");
    assert!(reason(&run, 2).contains("#1"), "{run:#}");
    assert_eq!(row(&run, 3)["status"], "success", "a closed blocker is satisfied: {run:#}");
    assert_eq!(run["status"], "partial");
    assert_eq!(run["totalIssues"], 3);
    // Merged, its dependent is worked on.
    let pull = town
        .github
        .pulls(&repo())
        .iter()
        .find(|it| it.head == "foreman/issue-1")
        .expect("a pull")
        .number;
    town.github.merge(&repo(), pull, true).expect("merged");
    assert!(!town.github.is_open(&repo(), 1), "the pull request closes its issue");
    let run = server.night(&json!({"dependencyMode": "wait"})).await;
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    assert_eq!(base_of(&town, 2).as_deref(), Some("main"));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_for_its_children_and_is_not_worked_on_itself() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Everything").sub_issue(2).sub_issue(3),
            issue("A part"),
            issue("Another part").closed(),
            issue("After all of it").body("Depends on #1"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 1)["status"], "skipped", "{run:#}");
    assert_eq!(row(&run, 1)["reasonCode"], "parent_issue");
    assert_eq!(row(&run, 4)["status"], "success", "it stacks on the parts: {run:#}");
    assert_eq!(base_of(&town, 4).as_deref(), Some("foreman/issue-2"));
    assert_eq!(run["status"], "completed", "being a parent doesn't make it partial: {run:#}");
    assert!(town.github.comments(&repo(), 1).is_empty());
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn blockers_elsewhere_are_looked_up() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Open elsewhere").body("Depends on octo/lib#1"),
            issue("Closed elsewhere").body("Depends on octo/lib#2"),
            issue("Unknown elsewhere").body("Depends on octo/lib#77"),
            issue("Nowhere").body("Depends on nobody/nothing#1"),
            issue("By native link"),
        ],
    )
    .await;
    let lib: RepoName = "octo/lib".parse().expect("a name");
    town.github.create_repo(&lib, &[("README.md", "lib\n")]).expect("a repository");
    town.github.add_issue(&lib, IssueSeed::new("Open").number(1));
    town.github.add_issue(&lib, IssueSeed::new("Closed").number(2).closed());
    town.github
        .add_issue(&repo(), IssueSeed::new("Natively").number(6).blocked_by_elsewhere(&lib, 1));
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    for (number, named) in
        [(1, "octo/lib#1"), (3, "octo/lib#77"), (4, "nobody/nothing#1"), (6, "octo/lib#1")]
    {
        assert_eq!(row(&run, number)["status"], "skipped", "{run:#}");
        assert!(reason(&run, number).contains(named), "{number}: {}", reason(&run, number));
    }
    assert_eq!(run["status"], "partial");
    assert!(!town.github.effects().iter().any(|it| it.path.contains("octo/lib")));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_names_its_members_and_leaves_the_rest_alone() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("One").body("Depends on #2"),
            issue("Two").blocked_by(3),
            issue("Three").sub_issue(1),
            issue("Waits for the cycle").body("After #2"),
            issue("Free"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 5)["status"], "success", "{run:#}");
    for (number, others) in [(1, ["#2", "#3"]), (2, ["#1", "#3"]), (3, ["#1", "#2"])] {
        assert_eq!(row(&run, number)["status"], "skipped", "{run:#}");
        for other in others {
            assert!(reason(&run, number).contains(other), "{number}: {}", reason(&run, number));
        }
    }
    assert!(reason(&run, 4).contains("#2"), "{run:#}");
    assert_eq!(run["status"], "partial");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_blocker_blocks_its_dependents_with_that_reason() {
    let town = Town::new(
        script(|input| {
            if input.issue == Some(1) {
                return crate::support::acts(
                    input,
                    vec![crate::support::write_file("tests/broken.sh", "false\n")],
                );
            }
            good_work(input)
        }),
        vec![
            issue("Fails"),
            issue("Waits").body("Requires #1"),
            issue("Waits too").body("After #2"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(row(&run, 2)["status"], "skipped");
    assert!(reason(&run, 2).contains("#1"), "{run:#}");
    assert_eq!(row(&run, 3)["status"], "skipped");
    assert!(reason(&run, 3).contains("#2"), "{run:#}");
    assert!(town.pulls().is_empty());
    assert!(town.github.comments(&repo(), 2).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn references_in_code_quotes_and_by_strangers_block_nothing() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Quoted").body("> Depends on #4\n\n```\nDepends on #4\n```\n`Depends on #4`"),
            issue("By a stranger").author("passer-by").body("Depends on #5"),
            issue("Contest page"),
            issue("Cannot be done").label("foreman:skip"),
            issue("Waits for the stranger").body("Depends on #2"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 3)["sequenceType"], "build", "{run:#}");
    // The stranger's words make no cycle.
    assert_eq!(row(&run, 2)["reasonCode"], "untrusted_author", "{run:#}");
    assert_eq!(row(&run, 5)["status"], "skipped", "{run:#}");
    assert!(reason(&run, 5).contains("#2") && !reason(&run, 5).contains("cycle"), "{run:#}");
    town.assert_clean();
}
