//! The context of a choice, from trusted labels and the milestone alone.
//!
//! Owns which label means what. Never reads issue text: who writes an issue must not decide what
//! is spent on it.

use crate::domain::labels::EscalationLabels;
use crate::domain::plan::{Complexity, PlannedIssue};
use chrono::{DateTime, TimeDelta, Utc};

use super::select::SelectionContext;

/// A milestone due within this time raises its issues.
const MILESTONE_NEAR: TimeDelta = TimeDelta::days(7);

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
    let has = |wanted: &[String]| {
        labels.iter().any(|label| wanted.iter().any(|name| name.eq_ignore_ascii_case(label.trim())))
    };
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
        files_affected: 0,
        is_architecture_task: has(&names.architecture),
        is_governance_task: has(&names.governance),
        is_milestone_nearing: milestone_due.is_some_and(|due| due <= now + MILESTONE_NEAR),
        existing_escalations_today: None,
        quota_remaining: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IssueNumber;
    use crate::domain::plan::SequenceType;

    fn issue(kind: SequenceType) -> PlannedIssue {
        PlannedIssue {
            issue_number: IssueNumber(1),
            title: "Governance of the architecture".to_owned(),
            labels: Vec::new(),
            sequence_type: kind,
            estimated_complexity: Complexity::Medium,
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
    fn a_milestone_counts_from_seven_days_before() {
        let now = DateTime::UNIX_EPOCH;
        let names = EscalationLabels::default();
        let near = |days| {
            let due = Some(now + TimeDelta::days(days));
            context_for(&issue(SequenceType::Build), &[], due, now, &names).is_milestone_nearing
        };
        assert!(near(7) && near(0) && near(-1) && !near(8));
    }

    #[test]
    fn labels_raise_complexity() {
        let labels = ["high-priority".to_owned()];
        let names = EscalationLabels::default();
        let got =
            context_for(&issue(SequenceType::Build), &labels, None, DateTime::UNIX_EPOCH, &names);
        assert_eq!(got.complexity, Complexity::High);
    }
}
