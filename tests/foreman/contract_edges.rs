//! The contract at its edges: many at once, odd repositories, odd titles, programs that look around.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    SHELL_REPOSITORY, Server, Town, acts, body, good_work, issue, repo, row, run_command, script,
    write_file,
};
use foreman::demo::github::IssueSeed;
use foreman::demo::model::Reply;
use foreman::domain::ids::RepoName;

const OVERNIGHT: &str = "/api/foreman/overnight";

fn git(folder: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=Other", "-c", "user.email=other@example.com"])
        .args(args)
        .current_dir(folder)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_posts_at_once_one_starts() {
    let town = Town::new(script(|_| Reply::Hang), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let posts = (0..12).map(|_| {
        server
            .send(server.request("POST", OVERNIGHT).header("idempotency-key", "one").json(&body()))
    });
    let answers = futures_util::future::join_all(posts).await;
    let id = answers[0].json["run"]["id"].clone();
    for answer in &answers {
        assert_eq!((answer.status, &answer.json["run"]["id"]), (202, &id), "{}", answer.text);
    }
    let posts = (0..12).map(|_| server.send(server.request("POST", OVERNIGHT).json(&body())));
    for answer in futures_util::future::join_all(posts).await {
        assert_eq!((answer.status, &answer.json["runId"]), (409, &id), "{}", answer.text);
    }
    let runs = server.get(&format!("{OVERNIGHT}/runs")).await;
    assert_eq!(runs.json["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_a_killed_night_can_still_be_cancelled_or_goes_on_later() {
    for cancel in [false, true] {
        let first = std::sync::atomic::AtomicBool::new(true);
        let (asked, mut was_asked) = tokio::sync::watch::channel(false);
        let town = Town::new(
            script(move |input| {
                asked.send_replace(true);
                if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                    return Reply::Hang;
                }
                good_work(input)
            }),
            vec![issue("Anything")],
        )
        .await;
        let server = town.serve().await;
        let id = server.begin(&body()).await;
        was_asked.wait_for(|asked| *asked).await.expect("the model is asked");
        server.kill().await;
        let mut env = town.env.clone();
        env.insert("OVERNIGHT_EXECUTION_ENABLED".to_owned(), "false".to_owned());
        let off = Server::start(&env, town.data.path()).await;
        if cancel {
            let answer = off.post(&format!("{OVERNIGHT}/runs/{id}/cancel"), &json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
            let run = off.ended(&id).await;
            assert_eq!(run["status"], "cancelled", "{run:#}");
            continue;
        }
        off.terminate().await;
        let server = town.serve().await;
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed", "{run:#}");
        town.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_checks_or_commits_says_what_is_missing() {
    let town =
        Town::with_files(script(good_work), vec![issue("Anything")], &[("README.md", "x\n")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert!(town.model.requests().is_empty(), "no money where nothing can be proven: {run:#}");
    assert!(["halted", "failed"].contains(&run["status"].as_str().expect("a status")), "{run:#}");
    let error = run["errors"][0].as_str().expect("an error");
    assert!(error.contains(".foreman.toml") || error.contains("test"), "{error}");

    let bare = town.github.folder().join("empty.git");
    std::fs::create_dir(&bare).expect("a folder");
    git(&bare, &["init", "-q", "--bare", "-b", "main", "."]);
    let empty: RepoName = "octo/empty".parse().expect("a name");
    town.github.add_repo(&empty, &bare, "main");
    town.github.add_issue(&empty, IssueSeed::new("Begin").number(1));
    let id = server.begin(&json!({"owner": "octo", "repo": "empty"})).await;
    let run = server.ended(&id).await;
    assert_ne!(run["status"], "completed", "{run:#}");
    let said = format!("{} {}", run["errors"], row(&run, 1)["reason"]);
    assert!(said.contains("main"), "{said}");
    assert!(town.model.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_branch_of_another_name_is_the_base() {
    let town = Town::new(script(good_work), vec![]).await;
    let bare = town.github.folder().join("trunk.git");
    let work = tempfile::tempdir().expect("a folder");
    git(work.path(), &["init", "-q", "-b", "release/trunk", "."]);
    for (path, content) in SHELL_REPOSITORY {
        let path = work.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }
    git(work.path(), &["add", "-A"]);
    git(work.path(), &["commit", "-q", "-m", "First"]);
    git(work.path(), &["clone", "-q", "--bare", ".", &bare.display().to_string()]);
    let trunk: RepoName = "octo/trunk".parse().expect("a name");
    town.github.add_repo(&trunk, &bare, "release/trunk");
    town.github.add_issue(&trunk, IssueSeed::new("Anything").number(1));
    let server = town.serve().await;
    let id = server.begin(&json!({"owner": "octo", "repo": "trunk"})).await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(town.github.pulls(&trunk)[0].base, "release/trunk");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_the_repository_do_not_widen_the_change() {
    let town = Town::with_files(
        script(|input| {
            let check = write_file("tests/new.sh", "grep -q more a.txt\n");
            acts(input, vec![run_command("printf 'more\\r\\n' >> a.txt"), check])
        }),
        vec![issue("Anything")],
        &[
            SHELL_REPOSITORY,
            &[
                (".gitattributes", "*.txt text eol=crlf\n*.id ident\n*.z filter=lfs diff=lfs merge=lfs -text\nhidden.txt export-ignore\n"),
                ("a.txt", "one\ntwo\n"),
                ("b.txt", "really\r\nso\r\n"),
                ("mixed.txt", "mixed\r\nends\n"),
                ("hidden.txt", "hidden\n"),
                ("c.id", "$Id$\n"),
                ("d.z", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
            ],
        ]
        .concat(),
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let bare = town.github.bare(&repo()).expect("a repository");
    let names = git(&bare, &["diff", "--name-only", "main", "foreman/issue-1"]);
    assert_eq!(names, "a.txt\ntests/new.sh\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_titles_become_titles_that_github_takes() {
    let long = "Long ".repeat(51);
    let town = Town::new(
        script(good_work),
        vec![
            issue(&long).body(&"wörd ".repeat(12_000)),
            issue("<!-- only this -->"),
            issue("日本語 \"quotes\" `ticks` $(rm -rf /) ; --help \\ \u{202E}back"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    for pull in town.github.pulls(&repo()) {
        assert!(pull.title.chars().count() <= 256, "{}", pull.title);
        assert!(pull.title.contains("(#"), "{}", pull.title);
        assert!(!pull.title.contains('\n') && !pull.title.contains('\u{202E}'), "{:?}", pull.title);
    }
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_program_sees_no_secret_and_no_house() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let folder = town.data.path().join("agent");
    std::fs::create_dir_all(&folder).expect("a folder");
    let data = town.env["FOREMAN_DATA_DIR"].clone();
    let program = format!(
        "cat > /dev/null\nmkdir -p notes\n{{ env; cat /proc/*/environ | tr '\\0' '\\n'; ls {data} {data}/..; cat {data}/foreman.db | head -c 100; touch ../above && echo ABOVE; touch {data}/x && echo INSIDE; }} > notes/seen.txt 2>&1\necho 'test -f notes/seen.txt' > tests/seen.sh\ncat notes/seen.txt\n"
    );
    std::fs::write(folder.join("agent.sh"), program).expect("a program");
    let mut env = town.env.clone();
    env.remove("OPENAI_BASE_URL");
    env.insert(
        "LOCAL_BUILDER_COMMAND".to_owned(),
        format!("sh {}", folder.join("agent.sh").display()),
    );
    // The key is there; the night uses the local builder alone.
    env.insert("OPENAI_BASE_URL".to_owned(), "http://127.0.0.1:9/v1".to_owned());
    let server = Server::start(&env, town.data.path()).await;
    let run = server.night(&json!({"createPRsAutomatically": true})).await;
    let Some(seen) = town.github.branches(&repo()).get("foreman/issue-1").map(|tip| {
        git(
            &town.github.bare(&repo()).expect("a repository"),
            &["show", &format!("{tip}:notes/seen.txt")],
        )
    }) else {
        panic!("{run:#}\n{}", server.log());
    };
    for word in [town.github.token(), "sk-test-0123456789abcdef", "GITHUB_TOKEN", "OPENAI_API_KEY"]
    {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
    for word in ["SQLite format", "ABOVE", "INSIDE", "mirrors"] {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_keep_stacks_in_order() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("One"),
            issue("Two").body("Depends on #1"),
            issue("Three").body("Depends on #2"),
            issue("Four"),
            issue("Five").body("Depends on #4"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"lanes": 4})).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    let based = |number: u64, on: &str| (format!("foreman/issue-{number}"), on.to_owned());
    let expected = [
        based(1, "main"),
        based(2, "foreman/issue-1"),
        based(3, "foreman/issue-2"),
        based(4, "main"),
        based(5, "foreman/issue-4"),
    ];
    assert_eq!(town.pulls(), expected);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_the_log_can_be_read() {
    let town = Town::new(script(good_work), vec![issue("Anything | with `ticks`")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"labels": [], "issues": []})).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let path = format!("{OVERNIGHT}/runs/{}/report", run["id"].as_str().expect("an id"));
    let report = server.get(&path).await;
    assert_eq!(report.status, 200);
    assert!(report.json.is_object(), "{}", report.text);
    let text = server.send(server.request("GET", &path).header("accept", "text/markdown")).await;
    assert_eq!(text.status, 200);
    assert!(text.text.contains("#1") && text.text.contains("/pull/"), "{}", text.text);
    for line in server.log().lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        assert!(parsed.is_object(), "not JSON: {line}");
    }
}
