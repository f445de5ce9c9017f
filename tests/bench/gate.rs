//! What the gate adds to a repository's own commands: the same command by a shell in a checkout and
//! by a whole judgement, in turns in one run, for commands of several lengths.
//!
//! Target: within 1.1 times the shell's time plus 300 ms. `cargo bench --bench gate`.

#![allow(clippy::print_stdout, reason = "the figures are what one runs it for")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreman::domain::ids::{AttemptId, CommitId, IssueNumber, RepoName, RunId};
use foreman::domain::redact::Redactor;
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::gate::{Asked, BaseVerdict, Candidate, Gate, Verdict};
use foreman::git::{Author, Git, Mirror};
use foreman::process::Children;
use foreman::sandbox::{Mode, Sandbox};
use foreman::store::{Change, DatabaseUrl, Fence, NewRun, OpenOptions, Store, StoreClock};
use tokio_util::sync::CancellationToken;

/// Samples of each, and of the longest; the median is shown.
const SAMPLES: usize = 5;
const LONG_SAMPLES: usize = 3;
/// Files beside those that matter, so that the checkout is one of a repository.
const FILES: usize = 500;
const ISSUE: IssueNumber = IssueNumber(7);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("command      shell       gate      added   ratio   within 1.1x + 300 ms");
    for seconds in ["0", "2", "10"] {
        runtime.block_on(measure(seconds));
    }
}

async fn measure(seconds: &str) {
    let place = Place::new(seconds).await;
    let base = place.base_verdict().await;
    assert!(base.green, "{:?}", base.red);
    let (mut shell, mut gate) = (Vec::new(), Vec::new());
    for sample in 0..if seconds == "10" { LONG_SAMPLES } else { SAMPLES } {
        let (commit, checkout) = place.change(sample).await;
        let begun = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sh tests/run.sh"]).current_dir(&checkout);
        let status = command.stdout(std::process::Stdio::null()).status().expect("a shell");
        shell.push(begun.elapsed());
        assert!(status.success());
        let begun = Instant::now();
        let verdict = place.judge(&base, commit).await;
        gate.push(begun.elapsed());
        assert!(matches!(verdict, Verdict::Passed(..)), "{}", verdict.judgement().reason);
    }
    let (shell, gate) = (median(shell), median(gate));
    let ratio = gate.as_secs_f64() / shell.as_secs_f64();
    let within = gate <= shell.mul_f64(1.1) + Duration::from_millis(300);
    println!(
        "sleep {seconds:>2}  {:>7.1} ms {:>7.1} ms {:>7.1} ms  {ratio:>6.3}   {}",
        millis(shell),
        millis(gate),
        millis(gate) - millis(shell),
        if within { "yes" } else { "no" }
    );
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

struct Place {
    dir: tempfile::TempDir,
    mirror: Mirror,
    base: CommitId,
    gate: Gate,
    fence: Fence,
    attempt: AttemptId,
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "init.defaultBranch=main", "-c", "user.name=D", "-c", "user.email=d@e.f"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .expect("git starts");
    assert!(status.success(), "git {args:?}");
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, text).expect("written");
}

impl Place {
    async fn new(seconds: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let seed = dir.path().join("seed");
        let policy = "[gate]\nbuild = []\nlint = []\ntest = \"sh tests/run.sh\"\ndeploy = []\n";
        write(&seed, ".foreman.toml", policy);
        write(&seed, "tests/run.sh", &format!("sleep {seconds}\necho 1..1\necho ok 1 - a\n"));
        write(&seed, "notes.md", "a\n");
        for number in 0..FILES {
            let text = format!("pub fn number() -> usize {{\n    {number}\n}}\n").repeat(20);
            write(&seed, &format!("src/part{}/file{number}.rs", number % 20), &text);
        }
        git(&seed, &["init", "--quiet"]);
        git(&seed, &["add", "--all"]);
        git(&seed, &["commit", "--quiet", "-m", "seed"]);
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
        let redactor = Arc::new(Redactor::new(["the-service-s-own-s3cret"]));
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
        let gate = Gate::new(sandbox, store, &data, redactor).expect("a gate");
        Self { dir, mirror, base, gate, fence, attempt }
    }

    async fn base_verdict(&self) -> BaseVerdict {
        let stop = CancellationToken::new();
        let judging = self.gate.judge_base(&self.mirror, &self.base, &self.fence.run, &stop);
        judging.await.expect("a verdict on the base")
    }

    /// A change and a checkout of it.
    async fn change(&self, sample: usize) -> (CommitId, PathBuf) {
        let dir = self.dir.path().join(format!("work-{}", uuid::Uuid::new_v4()));
        self.mirror.checkout(&self.base, &dir, None).await.expect("a workspace");
        write(&dir, "notes.md", &format!("b {sample}\n"));
        let captured = self.mirror.capture(&dir, &self.base).await.expect("captured");
        let author = Author { name: "Foreman".into(), email: "foreman@example.org".into() };
        let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let (mirror, tree) = (&self.mirror, &captured.tree);
        let commit = mirror.commit(tree, &self.base, "work", &author, at).await.expect("a commit");
        (commit, dir)
    }

    async fn judge(&self, verdict: &BaseVerdict, commit: CommitId) -> Verdict {
        let tree = self.mirror.tree_of(&commit).await.expect("a tree");
        let candidate = Candidate {
            mirror: &self.mirror,
            fence: &self.fence,
            issue: ISSUE,
            attempt: self.attempt.clone(),
            base: self.base.clone(),
            commit,
            tree,
            base_verdict: verdict,
            texts: vec![],
            is_bug: false,
            asked: Asked::new("Make it better", ""),
            open: None,
        };
        self.gate.judge(candidate, &CancellationToken::new()).await.expect("a verdict")
    }
}
