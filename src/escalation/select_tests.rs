//! The whole matrix of inputs against the design's precedence, written out by hand a second time.

use super::*;

fn context() -> SelectionContext {
    SelectionContext {
        task_type: "build".to_owned(),
        complexity: Complexity::Low,
        files_affected: 0,
        is_architecture_task: false,
        is_governance_task: false,
        is_milestone_nearing: false,
        existing_escalations_today: None,
        quota_remaining: None,
    }
}

/// The design's sentence: "architecture, governance, milestone, multi-agent coordination, then 10
/// or more files, high complexity, task type reasoning or analysis".
fn expected(c: &SelectionContext, used_up: bool) -> (ModelTier, Option<EscalationReason>, u32) {
    use EscalationReason as R;
    if c.is_architecture_task {
        return (ModelTier::Gpt51, Some(R::ArchitectureImpact), 0);
    }
    if c.is_governance_task {
        return (ModelTier::Gpt51, Some(R::GovernanceTask), 0);
    }
    if c.is_milestone_nearing {
        return (ModelTier::Gpt51, Some(R::ProjectMilestone), 0);
    }
    if matches!(c.task_type.as_str(), "orchestration" | "coordination") {
        return (ModelTier::Gpt51, Some(R::MultiAgentCoordination), 0);
    }
    let heavy = if c.files_affected >= 10 {
        Some(R::MultiFileRefactor)
    } else if c.complexity == Complexity::High {
        Some(R::HeavyTask)
    } else if matches!(c.task_type.as_str(), "reasoning" | "analysis") {
        Some(R::ComplexReasoning)
    } else {
        None
    };
    match heavy {
        Some(reason) if !used_up => (ModelTier::Gpt4Turbo, Some(reason), 1),
        _ => (ModelTier::Gpt4, None, 0),
    }
}

#[test]
fn the_whole_matrix() {
    let mut cases = 0;
    for task_type in ["build", "orchestration", "coordination", "reasoning", "analysis"] {
        for complexity in [Complexity::Low, Complexity::Medium, Complexity::High] {
            for files_affected in [0, 9, 10, 4_000] {
                for flags in 0..16_u32 {
                    let c = SelectionContext {
                        task_type: task_type.to_owned(),
                        complexity,
                        files_affected,
                        is_architecture_task: flags & 1 != 0,
                        is_governance_task: flags & 2 != 0,
                        is_milestone_nearing: flags & 4 != 0,
                        ..context()
                    };
                    let used_up = flags & 8 != 0;
                    let got = select_model(&c, used_up);
                    let (tier, reason, impact) = expected(&c, used_up);
                    assert_eq!(got.selected_model, tier, "{c:?}");
                    assert_eq!(got.escalation_reason, reason, "{c:?}");
                    assert_eq!(got.escalated, reason.is_some(), "{c:?}");
                    assert_eq!(got.quota_impact, impact, "{c:?}");
                    assert_eq!(got.fallback_chain, tier.chain_down(), "{c:?}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 5 * 3 * 4 * 16);
}

#[test]
fn figures_in_the_context_come_before_the_ledgers() {
    let heavy = SelectionContext { complexity: Complexity::High, ..context() };
    let none_left = SelectionContext { quota_remaining: Some(0), ..heavy.clone() };
    assert_eq!(select_model(&none_left, false).selected_model, ModelTier::Gpt4);
    let some_left = SelectionContext { quota_remaining: Some(3), ..heavy.clone() };
    assert_eq!(select_model(&some_left, true).selected_model, ModelTier::Gpt4Turbo);
    let full_day = SelectionContext { existing_escalations_today: Some(50), ..heavy };
    assert_eq!(select_model(&full_day, false).rule, "quota_used_up");
}

#[test]
fn a_used_up_quota_does_not_stop_what_skips_the_count() {
    let c = SelectionContext { is_governance_task: true, quota_remaining: Some(0), ..context() };
    assert_eq!(select_model(&c, true).selected_model, ModelTier::Gpt51);
}

#[test]
fn it_reads_and_speaks_the_contract() {
    let read: SelectionContext =
        serde_json::from_str(r#"{"taskType":"build","complexity":"high"}"#).expect("a context");
    let said = serde_json::to_value(select_model(&read, false)).expect("json");
    assert_eq!(said["selectedModel"], "gpt-4-turbo");
    assert_eq!(said["escalationReason"], "heavy_task");
    assert_eq!(said["fallbackChain"][2], "local-builder");
    for bad in [
        r#"{"taskType":"x"}"#,
        r#"{"taskType":"x","complexity":"low","surprise":1}"#,
        r#"{"taskType":"x","complexity":"low","filesAffected":-1}"#,
        r#"{"taskType":"x","complexity":"low","filesAffected":1.5}"#,
    ] {
        assert!(serde_json::from_str::<SelectionContext>(bad).is_err(), "{bad}");
    }
}

#[test]
fn memory_issues_have_their_own_tag() {
    let reason = EscalationReason::GovernanceTask;
    assert_eq!(reason.justification(SequenceType::Memory), Justification::MemoryEvolution);
    assert_eq!(reason.justification(SequenceType::Build), Justification::GovernanceFix);
}
