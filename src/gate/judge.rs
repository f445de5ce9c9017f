//! The judgement of one candidate: cheap checks first, commands only where those let it pass.
//!
//! Puts every check into its dimension, so that none is left without a row.

use std::collections::{BTreeSet, HashSet};

use tokio_util::sync::CancellationToken;

use super::change::Changed;
use super::drift::{Fate, fate, loosened::loosened};
use super::error::GateError;
use super::finding::{Where, check, check_of, violation};
use super::logs::TestReport;
use super::passed::Evidence;
use super::policy::{CommandKind, Policy};
use super::qic::{Against, dimension_of, judge_result, new_lines};
use super::rules::{coherence, markers, protected, secrets, size, tamper};
use super::run::{CommandResult, Session};
use super::setup::At;
use super::{Candidate, Gate, Judgement, Verdict, base, digest, material, memory, switches};
use crate::domain::event::Severity;
use crate::domain::evidence::{
    Check, CheckOutcome, Dimension, GovernanceSummary, QaSummary, Violation,
};

/// What the rules over the diff said.
struct Diff {
    checks: Vec<Check>,
    violations: Vec<Violation>,
    drift: bool,
    fate: Fate,
}

impl Gate {
    pub(super) async fn judge_candidate(
        &self,
        candidate: &Candidate<'_>,
        policy: &Policy,
        cancel: &CancellationToken,
    ) -> Result<Verdict, GateError> {
        let mirror = candidate.mirror;
        let found = mirror.tree_of(&candidate.commit).await?;
        if found != candidate.tree {
            return Err(GateError::TreeMismatch {
                commit: candidate.commit.clone(),
                wanted: candidate.tree.clone(),
                found,
            });
        }
        let changes = material::changes(mirror, &candidate.base, &candidate.commit).await?;
        let paths = mirror.list(candidate.commit.as_str()).await?;
        let on_base = mirror.is_ancestor(&candidate.base, &candidate.commit).await?;
        let mut diff = self.over_diff(candidate, policy, &changes, &paths);
        diff.checks.push(stands_on(candidate, on_base));

        switches::apply(&policy.off, &mut diff.checks, &mut diff.violations);
        let mut checks = Vec::new();
        let refused = diff.checks.iter().any(|check| !check.outcome.lets_pass());
        if refused {
            checks.extend(not_run(policy, "not run: the diff alone is reason to refuse"));
        } else {
            let session = self.commands(candidate, policy, cancel).await?;
            let lint_lines = self.new_lint_lines(candidate, &session.results).await?;
            checks.extend(of_commands(candidate, policy, &changes, &session, &lint_lines));
            checks.push(counts(candidate, &session.results, &diff.fate, policy));
            switches::apply(&policy.off, &mut checks, &mut diff.violations);
            checks.push(untouched(candidate, &session));
        }
        checks.append(&mut diff.checks);
        checks.extend(
            memory::records(
                &self.store,
                &self.chain,
                candidate.fence,
                candidate.issue,
                &candidate.attempt,
            )
            .await?,
        );
        checks.push(memory::logs_whole(&self.runner.logs, &checks).await?);
        checks.sort_by_key(|check| check.dimension);
        self.verdict(candidate, checks, diff.violations, diff.drift).await
    }

    /// The rules that need no command.
    fn over_diff(
        &self,
        candidate: &Candidate<'_>,
        policy: &Policy,
        changes: &[Changed],
        paths: &[String],
    ) -> Diff {
        let mut checks = Vec::new();
        let mut violations = Vec::new();
        let known = self.runner.logs.redactor();
        let mut add = |dimension, name: &str, mut found: Vec<Violation>| {
            for violation in &mut found {
                // A line may break two rules, and be quoted for the one while it leaks for the other.
                if secrets::secret_in(&violation.description, known).is_some() {
                    violation.description = format!("{} (the line holds a secret)", violation.kind);
                }
            }
            checks.push(check_of(dimension, name, &found));
            violations.extend(found);
        };
        let nothing = changes.is_empty().then(|| {
            violation("no_change", Severity::Low, "the change changes nothing", Where::nowhere())
        });
        add(Dimension::Drift, "has_changes", nothing.into_iter().collect());
        let mut fate = fate(changes);
        let tests = std::mem::take(&mut fate.violations);
        let loosened = loosened(changes);
        let drift = !tests.is_empty() || !loosened.is_empty();
        add(Dimension::Drift, "tests_kept", tests);
        add(Dimension::Drift, "nothing_loosened", loosened);
        add(
            Dimension::Governance,
            "protected_paths",
            protected::protected(changes, &policy.protected),
        );
        add(Dimension::Governance, "secrets", secrets::secrets(changes, &candidate.texts, known));
        add(
            Dimension::Governance,
            "size",
            size::size(changes, policy.max_changed_files, policy.max_changed_lines),
        );
        let commands: Vec<&str> = CommandKind::ALL
            .into_iter()
            .flat_map(|kind| policy.to_run(kind))
            .map(|planned| planned.command.as_str())
            .collect();
        add(Dimension::Governance, "honest_code", tamper::tamper(changes, &commands));
        add(Dimension::Cdw, "conflict_markers", markers::markers(changes));
        add(Dimension::Qiel, "lock_files", coherence::coherence(changes, paths));
        let named = coherence::new_dependencies(changes);
        checks.push(check(
            Dimension::Governance,
            "dependencies_named",
            CheckOutcome::Passed,
            if named.is_empty() { vec!["no new dependency".to_owned()] } else { named },
        ));
        checks.push(proof_of_fix(candidate.is_bug, &fate));
        Diff { checks, violations, drift, fate }
    }

    async fn commands(
        &self,
        candidate: &Candidate<'_>,
        policy: &Policy,
        cancel: &CancellationToken,
    ) -> Result<Session, GateError> {
        let flaky: HashSet<String> = candidate.base_verdict.flaky.iter().cloned().collect();
        let label = format!("attempt-{}", candidate.attempt);
        let at = At { commit: &candidate.commit, base: &candidate.base_verdict.commit };
        self.runner.session(candidate.mirror, at, &label, policy, &flaky, cancel).await
    }

    /// For each lint result that is red here and on the base: how many lines of its log are new.
    async fn new_lint_lines(
        &self,
        candidate: &Candidate<'_>,
        results: &[CommandResult],
    ) -> Result<Vec<Option<usize>>, GateError> {
        let mut counts = Vec::new();
        for result in results {
            let base = candidate.base_verdict.results.iter().find(|base| {
                base.planned.kind == CommandKind::Lint
                    && base.planned.command == result.planned.command
                    && !base.succeeded()
            });
            let count = match base.filter(|_| !result.succeeded()) {
                None => None,
                Some(base) => {
                    let now = self.runner.logs.read(&result.log_sha256).await?;
                    let then = self.runner.logs.read(&base.log_sha256).await?;
                    now.zip(then).map(|(now, then)| new_lines(&now, &then))
                }
            };
            counts.push(count);
        }
        Ok(counts)
    }

    async fn verdict(
        &self,
        candidate: &Candidate<'_>,
        checks: Vec<Check>,
        violations: Vec<Violation>,
        drift: bool,
    ) -> Result<Verdict, GateError> {
        let qa = QaSummary::of(checks);
        let governance = GovernanceSummary {
            passed: violations.is_empty() && qa.governance_check_passed,
            escalations_logged: memory::escalations(&self.store, candidate.fence, candidate.issue)
                .await?,
            drift_introduced: drift,
            conflicting_instructions: false,
            violations,
        };
        let evidence = Evidence {
            run: candidate.fence.run.clone(),
            issue: candidate.issue,
            attempt: candidate.attempt.clone(),
            commit: candidate.commit.clone(),
            tree: candidate.tree.clone(),
            base: candidate.base.clone(),
            qa: qa.clone(),
        };
        if let Some(proof) = evidence.seal(&self.runner.logs).await? {
            let reason = "every check passed".to_owned();
            let judgement =
                Judgement { qa, governance, reason, digest: String::new(), repairable: false };
            return Ok(Verdict::Passed(proof, judgement));
        }
        let mut texts = std::collections::HashMap::new();
        for sha256 in qa.checks.iter().filter_map(|check| check.log_sha256.clone()) {
            if let Some(log) = self.runner.logs.read(&sha256).await? {
                texts.insert(sha256, log);
            }
        }
        let mut reason = digest::reason(&governance.violations, &qa.checks);
        if !candidate.base_verdict.green {
            reason =
                format!("{reason}; the base is red: {}", candidate.base_verdict.red.join("; "));
        }
        Ok(Verdict::Refused(Judgement {
            reason,
            digest: digest::digest(&qa.checks, |sha256| texts.get(sha256).cloned()),
            // Records that don't read back are not the builder's to mend.
            repairable: qa.memory_fabric_passed,
            qa,
            governance,
        }))
    }
}

/// The commit stands on the base it was judged against, and merges cleanly because of that.
fn stands_on(candidate: &Candidate<'_>, on_base: bool) -> Check {
    let finding = format!("judged at {} on {}", candidate.commit.short(), candidate.base.short());
    let outcome = if on_base { CheckOutcome::Passed } else { CheckOutcome::Failed };
    let findings = if on_base {
        vec![finding]
    } else {
        vec![format!("the commit does not stand on the current base {}", candidate.base.short())]
    };
    check(Dimension::Cdw, "merges_cleanly", outcome, findings)
}

/// A row for each kind of command that was not run.
fn not_run(policy: &Policy, why: &str) -> Vec<Check> {
    CommandKind::ALL
        .into_iter()
        .map(|kind| match policy.of(kind).reason(kind) {
            Some(reason) => no_command(kind, reason),
            None => {
                check(dimension_of(kind), kind.as_str(), CheckOutcome::NotRun, vec![why.to_owned()])
            }
        })
        .collect()
}

fn no_command(kind: CommandKind, reason: String) -> Check {
    check(dimension_of(kind), kind.as_str(), CheckOutcome::NotApplicable, vec![reason])
}

/// A row for each command that ran, and for each that there is none of.
fn of_commands(
    candidate: &Candidate<'_>,
    policy: &Policy,
    changes: &[Changed],
    session: &Session,
    lint_lines: &[Option<usize>],
) -> Vec<Check> {
    let today = chrono::Utc::now().date_naive();
    let mut checks = Vec::new();
    for kind in CommandKind::ALL {
        if let Some(reason) = policy.of(kind).reason(kind) {
            checks.push(no_command(kind, reason));
        }
    }
    for (result, new_lint_lines) in session.results.iter().zip(lint_lines) {
        let base = Some(candidate.base_verdict.results.as_slice());
        let against = Against { base, changes, policy, today, new_lint_lines: *new_lint_lines };
        checks.push(judge_result(result, against));
    }
    let planned = CommandKind::ALL.into_iter().flat_map(|kind| policy.to_run(kind));
    for planned in planned {
        if !session.results.iter().any(|result| result.planned == *planned) {
            let mut row = check(
                dimension_of(planned.kind),
                planned.kind.as_str(),
                CheckOutcome::NotRun,
                vec!["not run: an earlier command failed".to_owned()],
            );
            row.command = Some(planned.command.clone());
            checks.push(row);
        }
    }
    checks
}

/// Tests collected on the branch are not fewer than on the base, and none that ran there is gone.
fn counts(
    candidate: &Candidate<'_>,
    results: &[CommandResult],
    fate: &Fate,
    policy: &Policy,
) -> Check {
    const NAME: &str = "tests_not_fewer";
    let row = |outcome, finding: String| check(Dimension::Qiel, NAME, outcome, vec![finding]);
    if let Some(why) = base::nothing_proves(policy, results) {
        return row(CheckOutcome::Failed, why);
    }
    let before = candidate.base_verdict.tests();
    let now = TestReport::sum(results.iter().map(|result| &result.tests));
    if before.known() && !now.known() {
        let why = "the base's tests could be counted, and the branch's can't: its log has no known summary";
        return row(CheckOutcome::Failed, why.to_owned());
    }
    if !before.known() || !now.known() {
        let why = "the tests can't be counted: no log in a format that is known";
        return row(CheckOutcome::NotApplicable, why.to_owned());
    }
    if now.ran() < before.ran() || now.collected() < before.collected() {
        return row(
            CheckOutcome::Failed,
            format!(
                "fewer tests than on the base: {} ran of {} collected, {} of {} before",
                now.ran(),
                now.collected(),
                before.ran(),
                before.collected()
            ),
        );
    }
    let last = |name: &str| name.rsplit([':', '/']).next().unwrap_or(name).to_owned();
    let kept: BTreeSet<String> =
        now.names.iter().chain(&now.failing).map(|name| last(name)).collect();
    let gone: Vec<String> = before
        .names
        .iter()
        .map(|name| last(name))
        .filter(|name| !kept.contains(name))
        .filter(|name| !fate.renamed.iter().any(|(old, _)| old == name))
        .collect();
    if !gone.is_empty() && !now.names.is_empty() {
        let named = gone.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>();
        return row(
            CheckOutcome::Failed,
            format!("tests that ran on the base no longer run: {}", named.join(", ")),
        );
    }
    row(
        CheckOutcome::Passed,
        format!("{} tests collected, {} on the base", now.collected(), before.collected()),
    )
}

/// The commands judged the tree as it is: they did not change its files, other than on the base.
fn untouched(candidate: &Candidate<'_>, session: &Session) -> Check {
    let new: Vec<&String> = session.altered.difference(&candidate.base_verdict.altered).collect();
    let outcome = if new.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    let mut findings: Vec<String> = new
        .iter()
        .map(|path| format!("running the checks changed {path}, which is the commit's own"))
        .collect();
    if findings.is_empty() {
        findings.push(format!(
            "every log is of the tree {} of commit {}",
            candidate.tree.short(),
            candidate.commit.short()
        ));
    }
    check(Dimension::Qiel, "evidence_of_this_tree", outcome, findings)
}

/// For a bug: whether tests came with the fix, or that none did.
fn proof_of_fix(is_bug: bool, fate: &Fate) -> Check {
    const NAME: &str = "regression_test";
    let (outcome, finding) = if !is_bug {
        (CheckOutcome::NotApplicable, "the issue is not a bug report".to_owned())
    } else if fate.added.is_empty() {
        let why = "no test was added with this fix: only the repository's own tests speak for it";
        (CheckOutcome::Passed, why.to_owned())
    } else {
        (CheckOutcome::Passed, format!("tests added with the fix: {}", fate.added.join(", ")))
    };
    check(Dimension::Qiel, NAME, outcome, vec![finding])
}
