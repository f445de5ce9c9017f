//! A small repository with the gate over it: real git, the real sandbox, a store of its own.

use std::path::PathBuf;
use std::sync::Arc;

use foreman::domain::evidence::Dimension;
use foreman::domain::ids::{AttemptId, CommitId, IssueNumber, RepoName, RunId};
use foreman::domain::redact::Redactor;
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::gate::{Asked, BaseVerdict, Candidate, Gate, Judgement, Verdict};
use foreman::git::{Author, Captured, Git, Mirror};
use foreman::process::Children;
use foreman::sandbox::{Mode, Sandbox};
use foreman::store::{Change, DatabaseUrl, Fence, NewRun, OpenOptions, Store, StoreClock};
use tokio_util::sync::CancellationToken;

use super::git;

pub const ISSUE: IssueNumber = IssueNumber(7);
pub const OWN_SECRET: &str = "the-service-s-own-s3cret";

pub struct Place {
    pub dir: tempfile::TempDir,
    pub mirror: Mirror,
    pub base: CommitId,
    pub gate: Gate,
    pub store: Store,
    pub fence: Fence,
    pub attempt: AttemptId,
}

impl Place {
    pub async fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let seed = dir.path().join("seed");
        for (path, text) in files {
            git::write(&seed, path, text);
        }
        git::run(&mut git::person(&seed, &["init", "--quiet"])).expect("git");
        git::run(&mut git::person(&seed, &["add", "--all"])).expect("git");
        git::run(&mut git::person(&seed, &["commit", "--quiet", "-m", "seed"])).expect("git");
        let data = dir.path().join("data");
        let helper = PathBuf::from(env!("CARGO_BIN_EXE_foreman"));
        let children = Children::start(helper.clone()).expect("children");
        let repo: RepoName = "acme/app".parse().expect("valid");
        let mirror = Git::new(children.clone(), &data)
            .expect("git")
            .mirror(&repo, &format!("file://{}", seed.display()), None, CancellationToken::new())
            .await
            .expect("a mirror");
        let base = mirror.tip("main").await.expect("read").expect("a tip");
        let sandbox = Sandbox::detect(children, Mode::Auto, helper).await.expect("a sandbox");
        let redactor = Arc::new(Redactor::new([OWN_SECRET]));
        let store = Store::open(OpenOptions {
            url: DatabaseUrl::file(&data.join("foreman.db")).expect("a path"),
            redactor: Arc::clone(&redactor),
            clock: StoreClock::System,
            read_only: false,
        })
        .await
        .expect("a store");
        let run = RunId::fresh();
        let request = NightRequest { repo, config: NightConfig::default(), dry_run: false };
        let new = NewRun { id: run.clone(), request, idempotency: None, events: vec![] };
        store.create_run(new).await.expect("created");
        let fence = store.claim_run(&run, "me", true).await.expect("claimed").expect("ours");
        let attempt = AttemptId::fresh();
        let row = Change::Attempt {
            id: attempt.clone(),
            issue: ISSUE,
            state: serde_json::json!({"round": 1}),
            ended: false,
        };
        store.apply(&fence, vec![row]).await.expect("applied");
        let gate = Gate::new(sandbox, store.clone(), &data, redactor).expect("a gate");
        Self { dir, mirror, base, gate, store, fence, attempt }
    }

    pub async fn judge_base(&self) -> BaseVerdict {
        self.gate
            .judge_base(&self.mirror, &self.base, &self.fence.run, &CancellationToken::new())
            .await
            .expect("a verdict on the base")
    }

    /// What a builder would leave: the files written, `None` for one removed.
    pub async fn change(&self, files: &[(&str, Option<&str>)]) -> (CommitId, Captured) {
        let dir = self.dir.path().join(format!("work-{}", uuid::Uuid::new_v4()));
        self.mirror.checkout(&self.base, &dir, None).await.expect("a workspace");
        for (path, text) in files {
            match text {
                Some(text) => git::write(&dir, path, text),
                None => std::fs::remove_file(dir.join(path)).expect("removed"),
            }
        }
        let captured = self.mirror.capture(&dir, &self.base).await.expect("captured");
        let author = Author { name: "Foreman".into(), email: "foreman@example.org".into() };
        let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let commit = self
            .mirror
            .commit(&captured.tree, &self.base, "work", &author, at)
            .await
            .expect("committed");
        (commit, captured)
    }

    pub async fn judge_with(
        &self,
        verdict: &BaseVerdict,
        files: &[(&str, Option<&str>)],
        texts: Vec<String>,
    ) -> Verdict {
        let (commit, captured) = self.change(files).await;
        let candidate = Candidate {
            mirror: &self.mirror,
            fence: &self.fence,
            issue: ISSUE,
            attempt: self.attempt.clone(),
            base: self.base.clone(),
            commit,
            tree: captured.tree,
            base_verdict: verdict,
            texts,
            is_bug: true,
            asked: Asked::new("Make it better", ""),
            open: None,
        };
        self.gate.judge(candidate, &CancellationToken::new()).await.expect("a verdict")
    }

    pub async fn judge(&self, verdict: &BaseVerdict, files: &[(&str, Option<&str>)]) -> Verdict {
        self.judge_with(verdict, files, vec![]).await
    }

    pub async fn refused(
        &self,
        verdict: &BaseVerdict,
        files: &[(&str, Option<&str>)],
    ) -> Judgement {
        match self.judge(verdict, files).await {
            Verdict::Refused(judgement) => {
                assert!(!judgement.qa.passed, "refused, so not passed");
                for dimension in Dimension::ALL {
                    let row = judgement.qa.checks.iter().any(|c| c.dimension == dimension);
                    assert!(row, "{dimension} has no row");
                }
                judgement
            }
            Verdict::Passed(..) => panic!("passed"),
        }
    }
}
