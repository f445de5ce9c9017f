//! `LOCAL_BUILDER_COMMAND` in the sandbox: it reaches its own model server and nothing else.

use serde_json::json;

use crate::support::{Server, Town, good_work, issue, row, script};

/// An agent that asks its server, tries others, and does the work.
fn agent(town: &Town) -> String {
    let folder = town.data.path().join("agent");
    std::fs::create_dir_all(&folder).expect("made");
    let program = folder.join("agent.sh");
    let github = town.github.api_url();
    let text = format!(
        "cat >\"$TMPDIR/task\"\n\
         ask='{{\"model\":\"'$LOCAL_BUILDER_MODEL'\",\"messages\":[{{\"role\":\"user\",\"content\":\"#1 hello\"}}]}}'\n\
         code=$(curl -s -o \"$TMPDIR/answer\" -w '%{{http_code}}' -H 'content-type: application/json' \
           -d \"$ask\" \"$LOCAL_BUILDER_BASE_URL/chat/completions\")\n\
         test \"$LOCAL_BUILDER_BASE_URL\" = \"$OPENAI_BASE_URL\" || exit 3\n\
         for other in {github} http://localhost/ https://example.com/; do\n\
           curl -s --max-time 3 $other >/dev/null && exit 4\n\
         done\n\
         mkdir -p notes && echo done 1 >notes/issue-1.txt\n\
         echo \"grep -q 'done 1' notes/issue-1.txt\" >tests/issue-1.sh\n\
         echo \"the server said $code\"\n\
         env | grep -i key\n"
    );
    std::fs::write(&program, text).expect("written");
    format!("sh {}", program.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_asks_its_own_server_and_nobody_else() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut env = town.env.clone();
    env.remove("OPENAI_API_KEY");
    let url = env.remove("OPENAI_BASE_URL").expect("an address");
    env.insert("LOCAL_BUILDER_BASE_URL".to_owned(), url);
    env.insert("LOCAL_BUILDER_MODEL".to_owned(), "qwen-coder".to_owned());
    env.insert("LOCAL_BUILDER_COMMAND".to_owned(), agent(&town));
    let server = Server::start(&env, town.data.path()).await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    let asked = town.model.requests();
    assert_eq!(asked.len(), 1, "the command's one question");
    assert_eq!((asked[0].model.as_str(), &asked[0].authorization), ("qwen-coder", &None));
    let pull = town.github.pulls(&crate::support::repo()).remove(0);
    assert!(pull.body.contains("the server said 200"), "{}", pull.body);
    assert!(pull.body.contains("OPENAI_API_KEY=none"), "{}", pull.body);
    assert_eq!(run["costUsd"], 0.0);
    let id = run["id"].as_str().expect("an id");
    let told = format!("/api/foreman/overnight/runs/{id}/issues/1/transcript");
    let told = server.get(&told).await.text;
    assert!(told.contains("LOCAL_BUILDER_COMMAND ended with exit code: 0 after"), "{told}");
    assert!(told.contains("both streams in one") && told.contains("the server said 200"), "{told}");
    town.assert_clean();
}
