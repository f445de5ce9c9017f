//! Which tier a piece of work starts at: one rule table, read from the top.
//!
//! Owns the precedence. Never counts or reserves anything: whether the quota is used up is given.

use serde::{Deserialize, Serialize};

use crate::domain::plan::{Complexity, SequenceType};
use crate::domain::tier::ModelTier;

use super::policy::SelectionPolicy;

/// From this many files on, work counts as a refactor over many files.
const MANY_FILES: u32 = 10;

/// What the choice is made from (`ModelSelectionContext` of the contract). In a night it comes
/// from [`super::context_for`], never from issue text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectionContext {
    pub task_type: String,
    pub complexity: Complexity,
    #[serde(default)]
    pub files_affected: u32,
    #[serde(default)]
    pub is_architecture_task: bool,
    #[serde(default)]
    pub is_governance_task: bool,
    #[serde(default)]
    pub is_milestone_nearing: bool,
    /// The ledger's own figure where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_escalations_today: Option<u32>,
    /// The ledger's own figure where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_remaining: Option<u32>,
}

impl SelectionContext {
    /// Work of this kind with no flag set and no file known.
    #[must_use]
    pub fn new(task_type: impl Into<String>, complexity: Complexity) -> Self {
        Self {
            task_type: task_type.into(),
            complexity,
            files_affected: 0,
            is_architecture_task: false,
            is_governance_task: false,
            is_milestone_nearing: false,
            existing_escalations_today: None,
            quota_remaining: None,
        }
    }
}

/// Why work starts above the ordinary tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    HeavyTask,
    ArchitectureImpact,
    MultiFileRefactor,
    GovernanceTask,
    ComplexReasoning,
    MultiAgentCoordination,
    ProjectMilestone,
}

/// The tag an escalation is recorded under; the safety rails judge by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Justification {
    ArchitectureUpdate,
    MemoryEvolution,
    GovernanceFix,
    MultiAgentCoordination,
    ProjectMilestone,
    ComplexReasoning,
    HeavyRefactor,
    IntegrationComplexity,
    Experimental,
    Optimization,
}

impl Justification {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ArchitectureUpdate => "architecture_update",
            Self::MemoryEvolution => "memory_evolution",
            Self::GovernanceFix => "governance_fix",
            Self::MultiAgentCoordination => "multi_agent_coordination",
            Self::ProjectMilestone => "project_milestone",
            Self::ComplexReasoning => "complex_reasoning",
            Self::HeavyRefactor => "heavy_refactor",
            Self::IntegrationComplexity => "integration_complexity",
            Self::Experimental => "experimental",
            Self::Optimization => "optimization",
        }
    }
}

impl EscalationReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeavyTask => "heavy_task",
            Self::ArchitectureImpact => "architecture_impact",
            Self::MultiFileRefactor => "multi_file_refactor",
            Self::GovernanceTask => "governance_task",
            Self::ComplexReasoning => "complex_reasoning",
            Self::MultiAgentCoordination => "multi_agent_coordination",
            Self::ProjectMilestone => "project_milestone",
        }
    }

    /// Whether an escalation for this reason uses one of the day's and hour's counts.
    #[must_use]
    pub const fn counted(self) -> bool {
        match self {
            Self::ArchitectureImpact
            | Self::GovernanceTask
            | Self::ProjectMilestone
            | Self::MultiAgentCoordination => false,
            Self::HeavyTask | Self::MultiFileRefactor | Self::ComplexReasoning => true,
        }
    }

    /// The tag for this reason; governance work on memory is recorded as memory's evolution.
    #[must_use]
    pub fn justification(self, kind: SequenceType) -> Justification {
        match self {
            Self::ArchitectureImpact => Justification::ArchitectureUpdate,
            Self::GovernanceTask if kind == SequenceType::Memory => Justification::MemoryEvolution,
            Self::GovernanceTask => Justification::GovernanceFix,
            Self::ProjectMilestone => Justification::ProjectMilestone,
            Self::MultiAgentCoordination => Justification::MultiAgentCoordination,
            Self::HeavyTask | Self::MultiFileRefactor => Justification::HeavyRefactor,
            Self::ComplexReasoning => Justification::ComplexReasoning,
        }
    }
}

/// The choice (`ModelSelectionResult` of the contract, with the rule that made it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    pub selected_model: ModelTier,
    pub escalated: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub escalation_reason: Option<EscalationReason>,
    /// From the selected tier down to the local builder.
    pub fallback_chain: Vec<ModelTier>,
    /// 1 for what counts against the quota, else 0.
    pub quota_impact: u32,
    pub requires_approval: bool,
    /// The name of the rule that matched, for people.
    pub rule: String,
}

struct Rule {
    name: &'static str,
    reason: EscalationReason,
    applies: fn(&SelectionContext) -> bool,
}

/// Read from the top; the first that applies decides.
const RULES: [Rule; 7] = [
    Rule {
        name: "architecture",
        reason: EscalationReason::ArchitectureImpact,
        applies: |context| context.is_architecture_task,
    },
    Rule {
        name: "governance",
        reason: EscalationReason::GovernanceTask,
        applies: |context| context.is_governance_task,
    },
    Rule {
        name: "milestone",
        reason: EscalationReason::ProjectMilestone,
        applies: |context| context.is_milestone_nearing,
    },
    Rule {
        name: "coordination",
        reason: EscalationReason::MultiAgentCoordination,
        applies: |context| is_type(context, &["orchestration", "coordination"]),
    },
    Rule {
        name: "many_files",
        reason: EscalationReason::MultiFileRefactor,
        applies: |context| context.files_affected >= MANY_FILES,
    },
    Rule {
        name: "high_complexity",
        reason: EscalationReason::HeavyTask,
        applies: |context| context.complexity == Complexity::High,
    },
    Rule {
        name: "reasoning",
        reason: EscalationReason::ComplexReasoning,
        applies: |context| is_type(context, &["reasoning", "analysis"]),
    },
];

fn is_type(context: &SelectionContext, names: &[&str]) -> bool {
    let given = context.task_type.trim();
    names.iter().any(|name| given.eq_ignore_ascii_case(name))
}

/// The first rule that applies, by its name and reason.
pub(super) fn rule_for(context: &SelectionContext) -> Option<(&'static str, EscalationReason)> {
    RULES.iter().find(|rule| (rule.applies)(context)).map(|rule| (rule.name, rule.reason))
}

/// Chooses the tier by the shipped policy. `quota_used_up` is the ledger's answer; figures in the
/// context come first.
#[must_use]
pub fn select_model(context: &SelectionContext, quota_used_up: bool) -> Selection {
    SelectionPolicy::default().select(context, quota_used_up)
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
