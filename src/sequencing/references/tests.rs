//! What is a dependency in words, and what is not.

use super::*;
use crate::sequencing::testing::{issue, repo};

fn found(body: &str) -> Vec<String> {
    let mut issue = issue(1);
    issue.body = body.to_owned();
    text_references(&issue, &repo())
        .into_iter()
        .map(|found| format!("{}{}", found.repo.unwrap_or_default(), found.number))
        .collect()
}

#[track_caller]
fn names(body: &str, expected: &[&str]) {
    assert_eq!(found(body), expected, "{body:?}");
}

#[test]
fn each_phrase_in_any_case_with_or_without_colon() {
    for phrase in ["Depends on", "blocked by", "REQUIRES", "After", "depends-on", "Blocked-By"] {
        names(&format!("{phrase} #2"), &["#2"]);
        names(&format!("{phrase}: #2"), &["#2"]);
        names(&format!("Some words. **{phrase}**: *#2*, then more."), &["#2"]);
    }
    names("This issue depends on issue #2.", &["#2"]);
    names("Blocked by the following issues: #2, #3", &["#2", "#3"]);
    names("Depends on\n#2", &["#2"]);
    names("After GH-2", &["#2"]);
}

#[test]
fn several_references_however_joined() {
    names("Depends on #2, #3 and #4", &["#2", "#3", "#4"]);
    names("Depends on #2 & #3; #4 / #5 #6", &["#2", "#3", "#4", "#5", "#6"]);
    names("Depends on #2 (the lexer), #3 (the parser), and #4.", &["#2", "#3", "#4"]);
    names("Depends on (#2, #3)", &["#2", "#3"]);
    names("Depends on #2,\n#3,\n#4\n#5", &["#2", "#3", "#4"]);
    names("Depends on #2 and is blocked by #3, requires #4", &["#2", "#3", "#4"]);
    names("Depends on #2, #2 and #2", &["#2"]);
}

#[test]
fn other_repositories_and_addresses() {
    names("Depends on Other/Repo#2 and #3", &["other/repo#2", "#3"]);
    names("Depends on Acme/App#2", &["#2"]);
    names("Depends on https://github.com/acme/app/issues/2#issuecomment-9", &["#2"]);
    names("Requires: <https://github.com/x/y/issues/2>, #3", &["x/y#2", "#3"]);
    names("Requires https://forge.example/acme/app/issues/2.", &["#2"]);
    names("Requires https://elsewhere.example/acme/app/issues/2, #3", &["#3"]);
    names("Requires https://elsewhere.example/acme/app/issues/2\n- #3", &[]);
    names("After [the parser](https://github.com/acme/app/pull/2)", &["#2"]);
    names("After [#2](https://github.com/acme/app/issues/2), [#3](#x)", &["#2", "#3"]);
}

#[test]
fn lists_below_a_heading_or_a_phrase() {
    names("Depends on:\n- #2\n- #3", &["#2", "#3"]);
    names("## Blocked by\n\n* #2 the lexer\n* other/x#3\n\nSee #9", &["#2", "other/x#3"]);
    names("Requires:\n1. [ ] #2\n2. [x] #3", &["#2", "#3"]);
    names("Requires:\n- [ ] https://github.com/acme/app/issues/2", &["#2"]);
    names("- Depends on:\n  - #2\n  - #3\n- #4 is unrelated", &["#2", "#3"]);
    names("Depends on:\n- #2\n  - #9 explains why\n- nothing\n- #3", &["#2", "#3"]);
    names("Depends on:\n#2\n#3\n#4 is only related", &["#2", "#3"]);
    names("## Depends on\n\n#2, #3\n\nAnd #4 is another matter.", &["#2", "#3"]);
    names("## Depends on\n\n- #2\n\n## Related\n\n- #3", &["#2"]);
    names("- [ ] Depends on #2\n- [ ] blocked by #3\n- [ ] #4", &["#2", "#3"]);
    names("We will see what comes after\n\n- #2 was odd", &[]);
    names("| Depends on | #2, #3 |\n|---|---|\n| After | #4 |", &["#2", "#3", "#4"]);
}

#[test]
fn words_that_are_no_dependency() {
    for body in [
        "After lunch we saw #2",
        "Depends on the parser, see #2",
        "Required by #2",
        "Blocks #2",
        "Unblocked by #2",
        "Hereafter #2",
        "Depends on #2abc",
        "Depends on #0 and #99999999999",
        "depends on 2",
        "Fixes #2. Related to #3",
        "Depends on `#2`",
        "`Depends on #2`",
        "```\nDepends on #2\n```",
        "    Depends on #2",
        "> Depends on #2",
        "Depends on:\n```\n- #2\n```",
        "<!-- Depends on #2 -->",
        "<!--\nDepends on:\n\n- #2\n-->",
        "<pre>\nDepends on #2\n</pre>",
        "~~Depends on #2~~",
        "![Depends on #2](x.png)",
        "Depends on #1",
        "Depends on acme/app#1",
    ] {
        names(body, &[]);
    }
    names("Depends on ~~#2~~ #3", &["#3"]);
}

#[test]
fn a_denied_phrase_is_no_dependency() {
    for body in [
        "Not blocked by #2",
        "This isn't blocked by #2 any more",
        "It isn’t really blocked by #2",
        "no longer depends on #2",
        "not after #2",
        "Not blocked by:\n- #2",
    ] {
        names(body, &[]);
    }
    names("Not urgent, depends on #2", &["#2"]);
    names("Can't start until after #2", &["#2"]);
    names("It does not work. Requires #2", &["#2"]);
}

#[test]
fn the_title_counts_and_the_words_are_kept() {
    let mut issue = issue(1);
    issue.title = "Add the printer (after #2)".to_owned();
    issue.body = "**Depends on** #3 and #4!\n\nBlocked by:\n- #5".to_owned();
    let found: Vec<_> =
        text_references(&issue, &repo()).into_iter().map(|f| (f.number.0, f.phrase)).collect();
    let expected = [
        (2, "after #2"),
        (3, "Depends on #3 and #4"),
        (4, "Depends on #3 and #4"),
        (5, "Blocked by: #5"),
    ];
    assert_eq!(found, expected.map(|(number, phrase)| (number, phrase.to_owned())));
}

#[test]
fn lines_may_end_as_on_windows() {
    names("Depends on:\r\n- #2\r\n- [ ] #3\r\n\r\nAfter #4\r\n", &["#2", "#3", "#4"]);
    names("### Blocked by\r\n\r\n#2, #3\r\n\r\n### Other\r\n\r\n#4", &["#2", "#3"]);
}

#[test]
fn a_body_as_long_as_github_allows_is_read_at_once() {
    let many: String = (2..9_000).map(|number| format!("#{number}, ")).collect();
    assert_eq!(found(&format!("Depends on {many}")).len(), 8_998);
    let listed: String = (2..7_000).map(|number| format!("- #{number}\n")).collect();
    assert_eq!(found(&format!("Depends on:\n{listed}")).len(), 6_998);
    names(&"after ".repeat(10_000), &[]);
    names(&"after #2 ".repeat(7_000), &["#2"]);
    names(&"depends on (".repeat(5_000), &[]);
    names(&"> - ".repeat(15_000), &[]);
    names(&"<b <code> `".repeat(5_000), &[]);
    names(&"Depends on ü".repeat(5_000), &[]);
}
