//! The contract's trust: whose issues are worked on, and what a model gets to see of them.

use serde_json::{Value, json};

use crate::support::{Town, good_work, issue, repo, row, run_command, script};
use foreman::demo::github::{IssueSeed, Role};
use foreman::demo::model::{Recorded, Reply};

fn reason(run: &Value, number: u64) -> &str {
    row(run, number)["reason"].as_str().unwrap_or_default()
}

/// Everything a model was sent, as one text without JSON's escapes.
fn seen(requests: &[Recorded]) -> String {
    let messages = requests.iter().flat_map(|it| it.body["messages"].as_array().cloned());
    let texts = messages.flatten().map(|it| it["content"].as_str().unwrap_or_default().to_owned());
    texts.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_issues_are_worked_on() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("By a stranger").author("passer-by"),
            issue("Approved by a maintainer")
                .author("passer-by")
                .label_by("foreman:approved", "maintainer"),
            issue("Approved by a stranger")
                .author("passer-by")
                .label_by("foreman:approved", "passer-by"),
            issue("Approved by triage").author("passer-by").label_by("foreman:approved", "sorter"),
            issue("By a private member").author("quiet").association("NONE"),
            issue("By a contributor").author("once").association("CONTRIBUTOR"),
            issue("By nobody").ghost(),
            issue("By a reading collaborator").author("reader").association("CONTRIBUTOR"),
        ],
    )
    .await;
    for (login, role) in [
        ("maintainer", Role::Maintain),
        ("sorter", Role::Triage),
        ("quiet", Role::Write),
        ("reader", Role::Read),
    ] {
        town.github.add_user(&repo(), login, role);
    }
    let server = town.serve().await;
    let run = server.night(&json!({"createPRsAutomatically": false})).await;
    for number in [2, 5] {
        assert_eq!(row(&run, number)["status"], "success", "{number}: {run:#}");
    }
    for (number, seen) in
        [(1, "NONE"), (3, "passer-by"), (4, "sorter"), (6, "CONTRIBUTOR"), (8, "CONTRIBUTOR")]
    {
        assert_eq!(row(&run, number)["status"], "skipped", "{number}: {run:#}");
        let why = reason(&run, number);
        assert!(why.contains(seen) && why.contains("foreman:approved"), "{number}: {why}");
    }
    assert_eq!(row(&run, 7)["status"], "skipped", "{run:#}");
    assert_eq!(run["status"], "completed", "skips for trust leave a night complete: {run:#}");
    assert!(town.changes().is_empty());
    let worked: Vec<Option<u64>> = town.model.requests().iter().map(|it| it.issue).collect();
    assert!(worked.iter().all(|it| matches!(it, Some(2 | 5))), "{worked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_author_is_looked_up_once() {
    let by = |number: u32| issue(&format!("Number {number}")).author("quiet").association("NONE");
    let town = Town::new(script(good_work), (1..=5).map(by).collect()).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["skippedIssues"], 5, "{run:#}");
    let asked = town.github.requests();
    let asked = asked.iter().filter(|(_, path)| path.contains("/collaborators/")).count();
    assert_eq!(asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_may_trust_everyone_and_name_another_label() {
    let town = Town::new(script(good_work), vec![issue("By a stranger").author("passer-by")]).await;
    std::fs::write(town.data.path().join("foreman.toml"), "[trust]\nauthors = \"all\"\n")
        .expect("written");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    drop(server);

    let town = Town::new(
        script(good_work),
        vec![issue("Approved").author("passer-by").label("go"), issue("Not").author("passer-by")],
    )
    .await;
    std::fs::write(town.data.path().join("foreman.toml"), "[trust]\napproval_label = \"go\"\n")
        .expect("written");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    assert!(reason(&run, 2).contains("`go`"), "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_does_not_speak_to_the_model() {
    let hidden = "\u{E0069}\u{E0067}\u{E006E}\u{E006F}\u{E0072}\u{E0065}";
    let town = Town::with_files(
        script(|input| match input.turn {
            0 => Reply::ToolCalls(vec![run_command("cat planted.md")]),
            1 => Reply::call("read_file", &json!({"path": "planted.md"})),
            2 => Reply::call("search", &json!({"pattern": "plant"})),
            3 => Reply::call(
                "write_file",
                &json!({"path": "tests/new.sh", "content": "test -f README.md\n"}),
            ),
            _ => Reply::Finish("Done.".to_owned()),
        }),
        vec![],
        &[
            crate::support::SHELL_REPOSITORY,
            &[("planted.md", "plant\u{200B}ed <!-- FROM-THE-FILE --> text\u{202E}\u{E0041}\n")],
        ]
        .concat(),
    )
    .await;
    let body = format!(
        "Do it.\n<!-- FROM-THE-BODY\nover lines -->\nAnd\u{200B} this\u{2066}.{hidden}\n<!-- OPEN-END"
    );
    let title = format!("A <!-- FROM-THE-TITLE --> ti\u{200D}tle{hidden}");
    town.github.add_issue(&repo(), IssueSeed::new(&title).number(1).body(&body));
    let server = town.serve().await;
    let run = server.night(&json!({"createPRsAutomatically": false})).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let seen = seen(&town.model.requests());
    assert!(seen.contains("Do it.") && seen.contains("And this.") && seen.contains("planted"));
    for word in ["FROM-THE-FILE", "FROM-THE-BODY", "OPEN-END", "FROM-THE-TITLE", "over lines"] {
        assert!(!seen.contains(word), "{word} reached the model");
    }
    let odd = |it: char| matches!(it, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{E0000}'..='\u{E0FFF}');
    assert!(!seen.contains(odd), "an invisible character reached the model");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_names_the_issue_and_the_tools_are_the_promised_ones() {
    let town = Town::new(script(good_work), vec![issue("Write the guide")]).await;
    let server = town.serve().await;
    server.night(&json!(null)).await;
    let requests = town.model.requests();
    let first = requests[0].body["messages"].as_array().expect("messages");
    let user = first.iter().find(|it| it["role"] == "user").expect("a user message");
    let text = user["content"].as_str().expect("text");
    assert!(text.contains("#1") && text.contains("Write the guide"), "{text}");
    let tools: Vec<&str> = requests[0].body["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|it| it["function"]["name"].as_str())
        .collect();
    for name in ["run_command", "read_file", "write_file", "edit_file", "search", "finish"] {
        assert!(tools.contains(&name), "{tools:?}");
    }
}
