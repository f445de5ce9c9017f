//! The order of a night.
//!
//! Owns one rule: blockers first; among what is ready, the sequence type (in the configured order),
//! then depth, then number. Never decides what is worked on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::domain::ids::IssueNumber;
use crate::domain::plan::SequenceType;

/// A sequence type's place; types that the configured order leaves out go last, in default order.
pub(super) fn rank(order: &[SequenceType], kind: SequenceType) -> usize {
    let place = |kinds: &[SequenceType]| kinds.iter().position(|other| *other == kind);
    place(order).unwrap_or_else(|| order.len() + place(&SequenceType::ALL).unwrap_or(0))
}

/// What an issue is to the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Takes a place.
    Work,
    /// Takes none, and is passed as soon as everything it waits for is: a parent.
    Pass,
    /// Holds nobody up: its work is there already.
    Done,
    /// Is never passed.
    Out,
}

/// What decides among the ready: rank, depth, number.
pub(super) type Key = (usize, u32, IssueNumber);

/// Orders the positions that take a place (Kahn's algorithm with a heap: `n log n` in issues,
/// linear in edges). Who waits for an `Out` one is left out.
pub(super) fn order(
    roles: &[Role],
    key: impl Fn(usize) -> Key,
    blockers: impl Fn(usize) -> usize,
    dependents: &[&[usize]],
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..roles.len()).map(blockers).collect();
    let mut ready = BinaryHeap::new();
    let mut passed: Vec<usize> = Vec::new();
    for (at, role) in roles.iter().enumerate() {
        match role {
            Role::Work if left[at] == 0 => ready.push(Reverse((key(at), at))),
            Role::Pass if left[at] == 0 => passed.push(at),
            Role::Done => passed.push(at),
            Role::Work | Role::Pass | Role::Out => {}
        }
    }
    let mut ordered = Vec::new();
    loop {
        let at = match passed.pop() {
            Some(at) => at,
            None => match ready.pop() {
                Some(Reverse((_, at))) => {
                    ordered.push(at);
                    at
                }
                None => return ordered,
            },
        };
        for &dependent in dependents[at] {
            left[dependent] -= 1;
            if left[dependent] == 0 {
                match roles[dependent] {
                    Role::Work => ready.push(Reverse((key(dependent), dependent))),
                    Role::Pass => passed.push(dependent),
                    Role::Done | Role::Out => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_left_out_of_the_order_go_last_in_default_order() {
        let order = [SequenceType::Deployment, SequenceType::Build];
        let mut kinds = SequenceType::ALL;
        kinds.sort_by_key(|kind| rank(&order, *kind));
        assert_eq!(
            kinds,
            [
                SequenceType::Deployment,
                SequenceType::Build,
                SequenceType::Architecture,
                SequenceType::Memory,
                SequenceType::Governance,
                SequenceType::Qa,
                SequenceType::SelfEvolution,
            ]
        );
    }

    #[test]
    fn what_is_ready_goes_by_rank_then_depth_then_number() {
        // 0 waits for 3 through the parent 1; 2 and 4 are free; 5 waits for one that is out.
        let roles =
            [Role::Work, Role::Pass, Role::Work, Role::Work, Role::Work, Role::Work, Role::Out];
        let blockers = [1, 1, 0, 0, 0, 1, 0];
        let dependents: [&[usize]; 7] = [&[], &[0], &[], &[1], &[], &[], &[5]];
        let ranks = [0, 0, 2, 3, 2, 0, 0];
        let key = |at: usize| (ranks[at], 0, IssueNumber(10 - at as u64));
        assert_eq!(order(&roles, key, |at| blockers[at], &dependents), [4, 2, 3, 0]);
    }
}
