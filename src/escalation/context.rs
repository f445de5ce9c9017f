//! The context of a choice, from trusted labels and the milestone alone.
//!
//! Owns which label means what. Never reads issue text: who writes an issue must not decide what
//! is spent on it.

use chrono::{DateTime, Utc};

use crate::domain::issue::milestone_is_near;
use crate::domain::labels::EscalationLabels;
use crate::domain::plan::{Complexity, PlannedIssue, SequenceType};

use super::rails::Exemption;
use super::select::{EscalationReason, Justification, SelectionContext, rule_for};

/// The context of an issue. The plan's complexity comes partly from text: it can raise an issue
/// within the counted tiers only, which is all that `complexity` does in the rule table.
#[must_use]
pub fn context_for(
    issue: &PlannedIssue,
    labels: &[String],
    milestone_due: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    names: &EscalationLabels,
) -> SelectionContext {
    let has = |wanted: &[String]| has_any(labels, wanted);
    let task_type = if has(&names.coordination) {
        "coordination".to_owned()
    } else {
        issue.sequence_type.as_str().to_owned()
    };
    SelectionContext {
        task_type,
        complexity: if has(&names.complexity_high) {
            Complexity::High
        } else {
            issue.estimated_complexity
        },
        files_affected: issue.estimated_files,
        is_architecture_task: has(&names.architecture),
        is_governance_task: has(&names.governance),
        is_milestone_nearing: milestone_due.is_some_and(|due| milestone_is_near(due, now)),
        existing_escalations_today: None,
        quota_remaining: None,
    }
}

/// Why work climbs, by the same rules over what was seen instead of what was guessed: the files that
/// the refused change touches. Work that nothing else explains was harder to reason about than it
/// looked.
#[must_use]
pub fn climb_reason(files_changed: u64) -> EscalationReason {
    let seen = SelectionContext {
        files_affected: u32::try_from(files_changed).unwrap_or(u32::MAX),
        ..SelectionContext::new("reasoning", Complexity::Low)
    };
    rule_for(&seen).map_or(EscalationReason::ComplexReasoning, |(_, reason)| reason)
}

fn has_any(labels: &[String], wanted: &[String]) -> bool {
    labels.iter().any(|label| wanted.iter().any(|name| name.eq_ignore_ascii_case(label.trim())))
}

/// What exempts an issue from count limits and throttling. A configured name that is none of the
/// shipped four stands for a system failure: the operator's own word for "now".
#[must_use]
pub fn exemption_for(labels: &[String], names: &EscalationLabels) -> Option<Exemption> {
    let label = names
        .exempt
        .iter()
        .find(|name| labels.iter().any(|label| name.eq_ignore_ascii_case(label.trim())))?;
    Some(match label.to_ascii_lowercase().as_str() {
        "security" => Exemption::Security,
        "data-integrity" => Exemption::DataIntegrity,
        "governance-violation" => Exemption::GovernanceViolation,
        _ => Exemption::SystemFailure,
    })
}

/// The tag an escalation is judged and recorded under: what the reason implies where it earned a
/// quota-free tier, else the label's word, else what the reason stands for.
#[must_use]
pub fn tag_for(
    reason: EscalationReason,
    kind: SequenceType,
    labels: &[String],
    names: &EscalationLabels,
) -> Justification {
    if reason.counted() {
        for (wanted, tag) in [
            (&names.experimental, Justification::Experimental),
            (&names.optimization, Justification::Optimization),
            (&names.integration, Justification::IntegrationComplexity),
        ] {
            if has_any(labels, wanted) {
                return tag;
            }
        }
    }
    reason.justification(kind)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::ids::IssueNumber;

    fn issue(kind: SequenceType) -> PlannedIssue {
        PlannedIssue {
            issue_number: IssueNumber(1),
            title: "Governance of the architecture".to_owned(),
            labels: Vec::new(),
            sequence_type: kind,
            estimated_complexity: Complexity::Medium,
            estimated_files: 0,
            requires_escalation: false,
            dependencies: Vec::new(),
            depends_on: Vec::new(),
            blocks: Vec::new(),
            depth: 0,
            can_execute_now: true,
            skip: None,
            is_parent: false,
        }
    }

    #[test]
    fn a_climb_is_judged_by_the_files_that_were_touched() {
        assert_eq!(climb_reason(0), EscalationReason::ComplexReasoning);
        assert_eq!(climb_reason(9), EscalationReason::ComplexReasoning);
        assert_eq!(climb_reason(10), EscalationReason::MultiFileRefactor);
        assert_eq!(climb_reason(u64::MAX), EscalationReason::MultiFileRefactor);
        assert!(climb_reason(10).counted() && climb_reason(0).counted());
    }

    #[test]
    fn only_labels_earn_the_uncounted_tiers() {
        let now = DateTime::UNIX_EPOCH;
        let names = EscalationLabels::default();
        let plain = context_for(&issue(SequenceType::Architecture), &[], None, now, &names);
        assert!(!plain.is_architecture_task && !plain.is_governance_task);
        let labels = ["Architecture".to_owned(), "multi-agent".to_owned()];
        let labelled = context_for(&issue(SequenceType::Build), &labels, None, now, &names);
        assert!(labelled.is_architecture_task);
        assert_eq!(labelled.task_type, "coordination");
    }

    #[test]
    fn a_milestone_counts_from_seven_days_before_to_seven_days_after() {
        let now = DateTime::UNIX_EPOCH;
        let names = EscalationLabels::default();
        let near = |days| {
            let due = Some(now + TimeDelta::days(days));
            context_for(&issue(SequenceType::Build), &[], due, now, &names).is_milestone_nearing
        };
        assert!(near(7) && near(0) && near(-7) && !near(8) && !near(-8));
    }

    #[test]
    fn labels_raise_complexity() {
        let labels = ["high-priority".to_owned()];
        let names = EscalationLabels::default();
        let got =
            context_for(&issue(SequenceType::Build), &labels, None, DateTime::UNIX_EPOCH, &names);
        assert_eq!(got.complexity, Complexity::High);
    }

    #[test]
    fn labels_exempt_and_tag() {
        let names = EscalationLabels::default();
        let labels = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        for (label, expected) in [
            ("Security", Some(Exemption::Security)),
            ("data-integrity", Some(Exemption::DataIntegrity)),
            ("system-failure", Some(Exemption::SystemFailure)),
            ("governance-violation", Some(Exemption::GovernanceViolation)),
            ("secure", None),
        ] {
            assert_eq!(exemption_for(&labels(&[label]), &names), expected, "{label}");
        }
        let tag = |reason, words: &[&str]| {
            tag_for(reason, SequenceType::Build, &labels(words), &names).as_str()
        };
        let heavy = EscalationReason::HeavyTask;
        assert_eq!(tag(heavy, &[]), "heavy_refactor");
        assert_eq!(tag(heavy, &["integration"]), "integration_complexity");
        assert_eq!(tag(heavy, &["integration", "Experimental"]), "experimental");
        assert_eq!(tag(EscalationReason::ComplexReasoning, &["optimization"]), "optimization");
        // What a trusted label earned for good is not called an experiment.
        let architecture = EscalationReason::ArchitectureImpact;
        assert_eq!(tag(architecture, &["experimental"]), "architecture_update");
    }
}
