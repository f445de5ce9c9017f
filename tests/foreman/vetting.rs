//! The people around an issue: an approval holds for the text it was given to, a label spends only
//! by the word of somebody who may, and only such people's comments reach a model.

use foreman::demo::github::{IssueSeed, Role};
use serde_json::{Value, json};

use crate::support::{Server, Town, good_work, issue, repo, row, script};

async fn planned(server: &Server) -> Value {
    let answer = server.post("/api/foreman/overnight/plan", &crate::support::body()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["plan"].clone()
}

fn skip(plan: &Value, number: u64) -> Option<String> {
    let issues = plan["issues"].as_array().expect("issues");
    let found = issues.iter().find(|it| it["issueNumber"] == number).expect("the issue");
    found["skip"]["reason"].as_str().map(str::to_owned)
}

fn strangers(title: &str) -> IssueSeed {
    issue(title).author("stranger").association("NONE").body("As agreed.")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_the_approval_needs_a_new_one() {
    let town =
        Town::new(script(good_work), (1..=4).map(|it| strangers(&format!("{it}"))).collect()).await;
    town.github.add_user(&repo(), "maintainer", Role::Write);
    let approve = |number| town.github.label(&repo(), number, "foreman:approved", "maintainer");
    for number in 1..=4 {
        approve(number);
    }
    // Before anybody looked: a comment is no edit; a new text, or a new title, is one.
    town.github.comment(&repo(), 2, "somebody", "Me too.");
    town.github.edit_issue(&repo(), 3, None, "Something else.");
    town.github.comment(&repo(), 3, "stranger", "Just a typo!");
    town.github.edit_issue(&repo(), 4, Some("Another title"), "As agreed.");
    let server = town.serve().await;
    let plan = planned(&server).await;
    assert_eq!((skip(&plan, 1), skip(&plan, 2)), (None, None), "{plan:#}");
    for (number, what) in [(3, "text was edited"), (4, "title was changed")] {
        let why = skip(&plan, number).expect("skipped");
        assert!(
            why.contains(what) && why.contains("`maintainer`") && why.contains("foreman:approved"),
            "{why}"
        );
    }

    // After we looked, and across a restart: the hash tells.
    server.terminate().await;
    town.github.edit_issue(&repo(), 1, None, "Something else.");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["reasonCode"], "untrusted_author", "{run:#}");
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    let asked: Vec<Option<u64>> = town.model.requests().into_iter().map(|it| it.issue).collect();
    assert!(asked.iter().all(|it| *it == Some(2)), "{asked:?}");

    // Taken off and set again, it speaks of the new text.
    town.github.unlabel(&repo(), 1, "foreman:approved", "maintainer");
    approve(1);
    assert_eq!(skip(&planned(&server).await, 1), None);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_graphql_has_to_explain_the_last_touch() {
    let town =
        Town::new(script(good_work), vec![strangers("Commented"), strangers("Edited")]).await;
    town.github.add_user(&repo(), "maintainer", Role::Write);
    for number in [1, 2] {
        town.github.label(&repo(), number, "foreman:approved", "maintainer");
    }
    town.github.comment(&repo(), 1, "somebody", "Me too.");
    town.github.edit_issue(&repo(), 2, None, "Something else.");
    let missing = foreman::demo::github::Fault::status("POST", "^/graphql", 404);
    town.github.fail_next(missing.times(2));
    let server = town.serve().await;
    let plan = planned(&server).await;
    assert_eq!(skip(&plan, 1), None, "{plan:#}");
    assert!(skip(&plan, 2).is_some_and(|why| why.contains("text was edited")), "{plan:#}");
    assert_eq!(town.github.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_labels_count_from_people_with_write_access_alone() {
    let labels = ["architecture", "governance", "multi-agent", "high-priority", "security"];
    let mut issues = vec![issue("By the maintainer").label_by("architecture", "maintainer")];
    for label in labels {
        issues.push(issue(&format!("By triage: {label}")).label_by(label, "sorter"));
    }
    issues.push(issue("By a bot").label_by("governance", "labeler[bot]"));
    let town = Town::new(script(good_work), issues).await;
    town.github.add_user(&repo(), "maintainer", Role::Write);
    town.github.add_user(&repo(), "sorter", Role::Triage);
    town.github.add_user(&repo(), "labeler[bot]", Role::Admin);
    let server = town.serve().await;
    let plan = planned(&server).await;
    let asks = |number: u64| {
        let issues = plan["issues"].as_array().expect("issues");
        issues.iter().find(|it| it["issueNumber"] == number).expect("it")["requiresEscalation"]
            .clone()
    };
    assert_eq!(asks(1), true, "{plan:#}");
    assert!((2..=7).all(|number| asks(number) == false), "{plan:#}");
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let models: Vec<(Option<u64>, String)> =
        town.model.requests().into_iter().map(|it| (it.issue, it.model)).collect();
    let ordinary = &models.iter().find(|(number, _)| *number == Some(2)).expect("asked").1;
    for (number, model) in &models {
        assert_eq!(model == ordinary, *number != Some(1), "#{number:?} went to {model}");
    }
    let path = "/api/foreman/governance/events?type=label_ignored";
    let events = server.get(path).await.json;
    assert_eq!(events["events"].as_array().map(Vec::len), Some(6), "{events:#}");
    let exempt = "/api/foreman/governance/events?type=escalation_exempt";
    assert_eq!(server.get(exempt).await.json["events"], json!([]));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_comments_reach_a_model_and_nothing_hidden_in_them() {
    let town =
        Town::new(script(good_work), vec![issue("Write the guide").body("Open <!-- never closed")])
            .await;
    town.github.add_user(&repo(), "maintainer", Role::Write);
    let says = |author: &str, text: &str| town.github.comment(&repo(), 1, author, text);
    says("stranger", "STRANGER-SAYS");
    says("maintainer", "MAINTAINER-SAYS <!-- HIDDEN-IN-COMMENT --> so\u{200B}");
    says("helper[bot]", "BOT-SAYS");
    says("octo", "OWNER-SAYS");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let first = town.model.requests()[0].body["messages"].to_string();
    for said in ["> maintainer commented:", "> MAINTAINER-SAYS  so", "> OWNER-SAYS"] {
        assert!(first.contains(said), "{said}: {first}");
    }
    for word in ["STRANGER-SAYS", "BOT-SAYS", "HIDDEN-IN-COMMENT", "never closed"] {
        assert!(!first.contains(word), "{word} reached the model");
    }
    town.assert_clean();
}
