//! A town for a story: the stand-in GitHub with a small repository, the scripted model, and the real
//! `foreman serve` between them, reached over HTTP and killed like any process.

#![allow(dead_code, reason = "each test binary uses its part of the town")]

pub mod command;
pub mod git;
pub mod place;
pub mod postgres;
pub mod registry;
pub mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use foreman::demo::github::{Effect, FakeGitHub, IssueSeed, Options};
use foreman::demo::model::{FakeModel, Reply, Script, ScriptInput, ScriptedCall};
use foreman::domain::ids::RepoName;
use serde_json::{Value, json};

pub use server::Server;

pub const SLUG: &str = "octo/app";

/// A repository that needs nothing but a shell: each `tests/*.sh` is a test, reported as TAP.
pub const SHELL_REPOSITORY: &[(&str, &str)] = &[
    (
        ".foreman.toml",
        "[gate]\nsetup = []\nbuild = []\nlint = []\ntest = \"sh run-checks.sh\"\ndeploy = []\nschema = []\ntimeout_seconds = 60\n",
    ),
    (
        "run-checks.sh",
        "n=0; bad=0\nfor check in tests/*.sh; do\n  n=$((n+1))\n  if sh \"$check\" >/dev/null 2>&1; then echo \"ok $n - $check\"; else echo \"not ok $n - $check\"; bad=1; fi\ndone\necho \"1..$n\"\nexit $bad\n",
    ),
    ("tests/base.sh", "test -f README.md\n"),
    ("README.md", "# app\n"),
];

pub fn repo() -> RepoName {
    SLUG.parse().expect("a valid name")
}

/// One tool call of the model.
pub fn write_file(path: &str, content: &str) -> ScriptedCall {
    ScriptedCall::new("write_file", &json!({"path": path, "content": content}))
}

pub fn run_command(command: &str) -> ScriptedCall {
    ScriptedCall::new("run_command", &json!({"command": command}))
}

/// A model that takes these actions one per turn and then finishes.
pub fn acts(input: &ScriptInput, actions: Vec<ScriptedCall>) -> Reply {
    match actions.into_iter().nth(input.turn) {
        Some(action) => Reply::ToolCalls(vec![action]),
        None => Reply::Finish("Done as asked.".to_owned()),
    }
}

/// Good work on any issue of the shell repository: a file and a check that wants it.
pub fn good_work(input: &ScriptInput) -> Reply {
    let number = input.issue.unwrap_or_default();
    acts(
        input,
        vec![
            write_file(&format!("notes/issue-{number}.txt"), &format!("done {number}\n")),
            write_file(
                &format!("tests/issue-{number}.sh"),
                &format!("grep -q 'done {number}' notes/issue-{number}.txt\n"),
            ),
        ],
    )
}

pub fn script(answer: impl Fn(&ScriptInput) -> Reply + Send + Sync + 'static) -> Script {
    Arc::new(answer)
}

/// The stand-ins and the data folder. Dropping it ends everything.
pub struct Town {
    pub github: FakeGitHub,
    pub model: FakeModel,
    pub data: tempfile::TempDir,
    pub env: BTreeMap<String, String>,
}

impl Town {
    /// A town with the shell repository and these issues, numbered from 1.
    pub async fn new(script: Script, issues: Vec<IssueSeed>) -> Self {
        Self::with_files(script, issues, SHELL_REPOSITORY).await
    }

    pub async fn with_files(
        script: Script,
        issues: Vec<IssueSeed>,
        files: &[(&str, &str)],
    ) -> Self {
        let github = FakeGitHub::start(Options::default()).await.expect("the stand-in starts");
        github.create_repo(&repo(), files).expect("a repository");
        for (index, issue) in issues.into_iter().enumerate() {
            github.add_issue(&repo(), issue.number(index as u64 + 1));
        }
        let model = FakeModel::start(script).await.expect("the model starts");
        let data = tempfile::tempdir().expect("a folder");
        let env = BTreeMap::from([
            ("GITHUB_API_URL".to_owned(), github.api_url().to_string()),
            ("GITHUB_TOKEN".to_owned(), github.token().to_owned()),
            ("OPENAI_BASE_URL".to_owned(), model.base_url().to_string()),
            ("OPENAI_API_KEY".to_owned(), "sk-test-0123456789abcdef".to_owned()),
            ("FOREMAN_DATA_DIR".to_owned(), data.path().join("data").display().to_string()),
            ("FOREMAN_LOG_FORMAT".to_owned(), "json".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
        ]);
        Self { github, model, data, env }
    }

    /// Sets a variable for every later start.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub async fn serve(&self) -> Server {
        Server::start(&self.env, self.data.path()).await
    }

    /// Starts with a failpoint armed.
    pub async fn serve_dying_at(&self, failpoint: &str) -> Server {
        let mut env = self.env.clone();
        env.insert("FOREMAN_FAILPOINT".to_owned(), failpoint.to_owned());
        Server::start(&env, self.data.path()).await
    }

    /// What was changed on GitHub, one line each: `PUSH refs/heads/x`, `POST /repos/…`.
    pub fn changes(&self) -> Vec<String> {
        let line = |effect: &Effect| {
            let path = effect.path.replace("/repos/octo/app", "").replace("/octo/app.git ", "");
            format!("{} {path}", effect.method)
        };
        self.github.effects().iter().filter(|effect| effect.changed()).map(line).collect()
    }

    /// No request that the stand-in did not expect, and none that GitHub refused.
    pub fn assert_clean(&self) {
        assert_eq!(self.github.unexpected(), Vec::<String>::new(), "requests nobody expects");
        let refused: Vec<String> = self
            .github
            .effects()
            .iter()
            .filter(|effect| effect.status == 422)
            .map(|effect| format!("{} {}", effect.method, effect.path))
            .collect();
        assert_eq!(refused, Vec::<String>::new(), "mutations that GitHub refused");
    }

    /// Head, base and title of each pull request.
    pub fn pulls(&self) -> Vec<(String, String)> {
        let mut pulls: Vec<(String, String)> =
            self.github.pulls(&repo()).into_iter().map(|pull| (pull.head, pull.base)).collect();
        pulls.sort();
        pulls
    }
}

/// An issue by the owner.
pub fn issue(title: &str) -> IssueSeed {
    IssueSeed::new(title)
}

pub fn body() -> Value {
    json!({"owner": "octo", "repo": "app"})
}

/// The row of an issue in a run.
pub fn row(run: &Value, number: u64) -> &Value {
    run["issueResults"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["issueNumber"] == number))
        .unwrap_or_else(|| panic!("no row for #{number} in {run:#}"))
}
