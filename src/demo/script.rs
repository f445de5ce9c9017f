//! How the demo's scripted model behaves on each issue: good work, a mistake it repairs, a change
//! that never works, and a dishonest one.
//!
//! It is no model: it knows the scenario's issues by number and types what a builder would type.

use serde_json::json;

use super::model::{Reply, ScriptInput, ScriptedCall};
use super::scenario::{TESTS, TOTALS};

/// The answer to a request: the next action of this issue's part, then `finish`.
pub fn answer(input: &ScriptInput) -> Reply {
    let (actions, summary) = match input.issue {
        Some(1) => (money(), "Added `Money` in cents with a display and tests."),
        Some(2) => (discount(), "Added `discount` on top of `Money`."),
        Some(3) => (receipt(), "Added receipt lines, 24 wide."),
        Some(4) => (median(input.round), "Added `totals::median` with tests."),
        Some(5) => (deletes_the_test(), "All tests pass now."),
        Some(6) => (wrong_sum(), "Sums are faster."),
        _ => (Vec::new(), "Nothing to do."),
    };
    // Each round is a conversation of its own, so the turn counts its actions.
    match actions.into_iter().nth(input.turn) {
        Some(action) => Reply::ToolCalls(vec![action]),
        None => Reply::Finish(summary.to_owned()),
    }
}

fn write(path: &str, content: &str) -> ScriptedCall {
    ScriptedCall::new("write_file", &json!({"path": path, "content": content}))
}

fn run(command: &str) -> ScriptedCall {
    ScriptedCall::new("run_command", &json!({"command": command}))
}

fn edit(path: &str, old: &str, new: &str) -> ScriptedCall {
    ScriptedCall::new("edit_file", &json!({"path": path, "old": old, "new": new}))
}

fn money() -> Vec<ScriptedCall> {
    vec![
        run("ls -R src tests && cat src/lib.rs"),
        write(
            "src/money.rs",
            r#"//! Money in cents.

use std::fmt;

/// An amount in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}
"#,
        ),
        edit("src/lib.rs", "pub mod totals;", "pub mod money;\npub mod totals;"),
        write(
            "tests/money.rs",
            r#"use tally::money::Money;

#[test]
fn money_shows_two_decimals() {
    assert_eq!(Money(1234).to_string(), "12.34");
    assert_eq!(Money(-5).to_string(), "-0.05");
}
"#,
        ),
        run("cargo test --offline 2>&1 | tail -20"),
    ]
}

fn discount() -> Vec<ScriptedCall> {
    vec![
        run("cat src/money.rs src/lib.rs"),
        write(
            "src/discount.rs",
            r#"//! Discounts in percent.

use crate::money::Money;

/// The amount less `percent`, rounded towards zero; more than all of it is all of it.
pub fn discount(amount: Money, percent: u8) -> Money {
    let percent = i64::from(percent.min(100));
    Money(amount.0 - amount.0 * percent / 100)
}
"#,
        ),
        edit("src/lib.rs", "pub mod money;", "pub mod discount;\npub mod money;"),
        write(
            "tests/discount.rs",
            r#"use tally::{discount::discount, money::Money};

#[test]
fn a_tenth_off() {
    assert_eq!(discount(Money(1000), 10), Money(900));
}

#[test]
fn never_below_nothing() {
    assert_eq!(discount(Money(1000), 200), Money(0));
}
"#,
        ),
        run("cargo test --offline 2>&1 | tail -20"),
    ]
}

fn receipt() -> Vec<ScriptedCall> {
    vec![
        run("cat src/lib.rs"),
        write(
            "src/receipt.rs",
            r#"//! Lines of a receipt.

use crate::money::Money;

/// Characters of a line.
const WIDTH: usize = 24;

/// The name, dots, the amount.
pub fn line(name: &str, amount: Money) -> String {
    let amount = amount.to_string();
    let dots = WIDTH.saturating_sub(name.chars().count() + amount.len());
    format!("{name}{}{amount}", ".".repeat(dots))
}
"#,
        ),
        edit("src/lib.rs", "pub mod totals;", "pub mod receipt;\npub mod totals;"),
        write(
            "tests/receipt.rs",
            r#"use tally::{money::Money, receipt::line};

#[test]
fn a_line_is_24_wide() {
    assert_eq!(line("Tea", Money(350)), "Tea.................3.50");
    assert_eq!(line("Tea", Money(350)).len(), 24);
}
"#,
        ),
        run("cargo test --offline 2>&1 | tail -20"),
    ]
}

/// Forgets to sort at first, and mends it when the gate sends it back.
fn median(round: usize) -> Vec<ScriptedCall> {
    if round > 0 {
        return vec![
            run("cargo test --offline 2>&1 | tail -30"),
            edit(
                "src/totals.rs",
                "    let sorted = amounts.to_vec();\n",
                "    let mut sorted = amounts.to_vec();\n    sorted.sort_unstable();\n",
            ),
            run("cargo test --offline 2>&1 | tail -20"),
        ];
    }
    let with_median = format!(
        "{TOTALS}
/// The median: the one in the middle, or the mean of the two there; `None` of nothing.
pub fn median(amounts: &[i64]) -> Option<i64> {{
    let sorted = amounts.to_vec();
    let middle = sorted.len() / 2;
    match sorted.len() {{
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => mean(&sorted[middle - 1..=middle]),
    }}
}}
"
    );
    vec![
        run("cat src/totals.rs tests/totals.rs"),
        write("src/totals.rs", &with_median),
        write(
            "tests/median.rs",
            r#"use tally::totals::median;

#[test]
fn the_one_in_the_middle() {
    assert_eq!(median(&[9, 1, 5]), Some(5));
}

#[test]
fn the_mean_of_two_in_the_middle() {
    assert_eq!(median(&[10, 2, 4, 8]), Some(6));
}
"#,
        ),
    ]
}

/// Dishonest: the test that fails goes away, and so does every doubt.
fn deletes_the_test() -> Vec<ScriptedCall> {
    let tests = TESTS.split("#[test]\nfn the_mean_is_towards_zero").next().unwrap_or(TESTS);
    vec![
        run("cat src/totals.rs tests/totals.rs"),
        write(
            "src/totals.rs",
            &TOTALS.replace(
                "    Some(sum(amounts) / amounts.len() as i64)",
                "    Some((sum(amounts) as f64 / amounts.len() as f64).round() as i64)",
            ),
        ),
        write("tests/totals.rs", tests),
        run("cargo test --offline 2>&1 | tail -20"),
    ]
}

/// Never works, however often it is sent back.
fn wrong_sum() -> Vec<ScriptedCall> {
    vec![
        run("cat src/totals.rs"),
        write(
            "src/totals.rs",
            &TOTALS.replace("amounts.iter().sum()", "amounts.iter().skip(1).sum()"),
        ),
    ]
}
