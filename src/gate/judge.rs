//! The judgement of one candidate: cheap checks first, commands only where those let it pass.
//!
//! Puts every check into its dimension, so that none is left without a row.

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use super::checks::{commands, counts, regression, tree};
use super::diff::{self, Diff, Given};
use super::error::GateError;
use super::passed::Evidence;
use super::policy::{CommandKind, Policy};
use super::qic::new_lines;
use super::run::{CommandResult, Session};
use super::setup::At;
use super::{Candidate, Gate, Judgement, Verdict, digest, material, memory, switches};
use crate::domain::evidence::{Check, GovernanceSummary, QaSummary};

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
        let mut diff = diff::judge(&Given {
            changes: &changes,
            paths: &paths,
            policy,
            asked: &candidate.asked,
            texts: &candidate.texts,
            known: self.runner.logs.redactor(),
            open: candidate.open,
            rules: &self.rules,
        });
        diff.checks.push(tree::stands_on(candidate, on_base));
        let proof = regression::without_running(candidate.is_bug, &diff.fate, &changes);

        switches::apply(&policy.off, &mut diff.checks, &mut diff.violations);
        let mut checks = Vec::new();
        if diff.lets_pass() {
            let session = self.commands(candidate, policy, &diff, cancel).await?;
            let lint_lines = self.new_lint_lines(candidate, &session.results).await?;
            let base = &candidate.base_verdict;
            checks.extend(commands::ran(policy, &base.results, &changes, &session, &lint_lines));
            checks.push(counts::counts(&base.tests(), &session.results, &diff.fate, policy));
            switches::apply(&policy.off, &mut checks, &mut diff.violations);
            checks.push(tree::untouched(candidate, &session, &base.altered));
            let passed = checks.iter().all(|check| check.outcome.lets_pass());
            checks.push(match proof {
                Some(row) => row,
                None if !passed => regression::not_run("the checks failed"),
                None => {
                    let label = format!("attempt-{}", candidate.attempt);
                    let material = (&diff.fate, changes.as_slice());
                    let base = &candidate.base;
                    regression::on_base(
                        &self.runner,
                        mirror,
                        base,
                        &label,
                        policy,
                        material,
                        cancel,
                    )
                    .await?
                }
            });
        } else {
            let why = "the diff alone is reason to refuse";
            checks.extend(commands::none_ran(policy, why));
            checks.push(proof.unwrap_or_else(|| regression::not_run(why)));
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
        self.verdict(candidate, checks, diff).await
    }

    async fn commands(
        &self,
        candidate: &Candidate<'_>,
        policy: &Policy,
        diff: &Diff,
        cancel: &CancellationToken,
    ) -> Result<Session, GateError> {
        // A flaky test that this change touches is this change's to get right.
        let touched: Vec<&String> = diff.fate.added.iter().chain(&diff.fate.altered).collect();
        let own = |name: &str| touched.iter().any(|one| name.ends_with(one.as_str()));
        let flaky: HashSet<String> =
            candidate.base_verdict.flaky.iter().filter(|name| !own(name)).cloned().collect();
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
        diff: Diff,
    ) -> Result<Verdict, GateError> {
        let Diff { violations, drift, torn, .. } = diff;
        let qa = QaSummary::of(checks);
        let governance = GovernanceSummary {
            passed: violations.is_empty() && qa.governance_check_passed,
            escalations_logged: memory::escalations(&self.store, candidate.fence, candidate.issue)
                .await?,
            drift_introduced: drift,
            conflicting_instructions: torn,
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
