//! Patches as models write them, and what is said of those that do not fit.

use super::*;

const FILE: &str = "fn add(a: i32) {\n    a - b\n}\n\nfn sub(a: i32) {\n    a - b\n}\n";

fn update(text: &str) -> Vec<Hunk> {
    match parse(text).expect("a patch").remove(0) {
        FilePatch::Update { hunks, .. } => hunks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_patch_names_what_it_does_to_each_file() {
    let text = "*** Begin Patch\n*** Add File: new.txt\n+one\n+\n*** Delete File: old.txt\n\
                *** Update File: a.rs\n*** Move to: b.rs\n@@ fn x\n-1\n+2\n*** End Patch\n";
    let files = parse(text).expect("a patch");
    assert_eq!(files[0], FilePatch::Add { path: "new.txt".into(), content: "one\n\n".into() });
    assert_eq!(files[1], FilePatch::Delete { path: "old.txt".into() });
    let FilePatch::Update { path, to, hunks } = &files[2] else { panic!("{files:?}") };
    assert_eq!((path.as_str(), to.as_deref(), hunks.len()), ("a.rs", Some("b.rs"), 1));
}

#[test]
fn an_anchor_tells_two_equal_blocks_apart() {
    let hunks = update("*** Update File: x\n@@ fn sub(\n-    a - b\n+    a + b\n");
    let patched = apply(FILE, &hunks).expect("applied");
    assert!(patched.starts_with("fn add(a: i32) {\n    a - b"), "{patched}");
    assert!(patched.ends_with("fn sub(a: i32) {\n    a + b\n}\n"), "{patched}");
    let bare = update("*** Update File: x\n@@\n-    a - b\n+    a + b\n");
    let said = apply(FILE, &bare).expect_err("ambiguous");
    assert!(said.contains("2 times, at lines 2, 6"), "{said}");
}

#[test]
fn a_unified_diff_is_taken_and_its_numbers_are_not_trusted() {
    let text = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -900,3 +900,3 @@ fn\n \
                fn add(a: i32) {\n-    a - b\n+    a + b\n }\n";
    let files = parse(text).expect("a patch");
    assert!(matches!(&files[0], FilePatch::Update { path, to: None, .. } if path == "x"));
    let patched = apply(FILE, &update(text)).expect("applied");
    assert!(patched.starts_with("fn add(a: i32) {\n    a + b\n}\n"), "{patched}");
    let added = parse("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n").expect("a patch");
    assert_eq!(added[0], FilePatch::Add { path: "n".into(), content: "x\n".into() });
    let gone = parse("--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n").expect("a patch");
    assert_eq!(gone[0], FilePatch::Delete { path: "n".into() });
}

#[test]
fn a_failed_hunk_is_answered_with_its_block_and_the_closest_place() {
    let hunks = update("*** Update File: x\n@@\n-fn add(a: i64) {\n-    a - b\n+y\n");
    let said = apply(FILE, &hunks).expect_err("no match");
    assert!(
        said.contains("hunk 1 of 1: this block is not in the file:\n| fn add(a: i64) {"),
        "{said}"
    );
    assert!(said.contains("The closest place reads:\n1| fn add(a: i32) {\n2|     a - b"), "{said}");
}

#[test]
fn several_hunks_in_any_order_and_endings_as_they_were() {
    let text = "one\r\ntwo\r\nthree\r\nfour";
    let hunks = update("*** Update File: x\n@@\n-four\n+4\n+5\n@@\n one\n-two\n+2\n");
    assert_eq!(apply(text, &hunks).expect("applied"), "one\r\n2\r\nthree\r\n4\r\n5\r\n");
    let both = update("*** Update File: x\n@@\n one\n-two\n+2\n@@\n-two\n+zwei\n");
    assert!(apply(text, &both).expect_err("twice").contains("same lines"));
}

#[test]
fn white_space_at_the_end_of_lines_does_not_matter_and_the_files_stays() {
    let hunks = update("*** Update File: x\n@@\n a\n-b\n+c\n\n");
    assert_eq!(apply("a  \nb\nz\n", &hunks).expect("applied"), "a  \nc\nz\n");
}

#[test]
fn lines_alone_are_added_below_their_anchor_or_at_the_end() {
    let below = update("*** Update File: x\n@@ fn sub(\n+    // here\n");
    assert!(apply(FILE, &below).expect("applied").contains("fn sub(a: i32) {\n    // here\n"));
    let last = update("*** Update File: x\n@@\n+end\n");
    assert_eq!(apply("a", &last).expect("applied"), "a\nend\n");
}

#[test]
fn what_is_no_patch_is_said() {
    for (text, words) in [
        ("hello", "names no file"),
        ("*** Update File: x\n@@\nnonsense\n", "begins with a space, - or +"),
        ("*** Update File: x\n@@\n a\n", "changes nothing"),
        ("*** Add File: x\noops\n", "begins with +"),
        ("*** Move to: y\n", "stands below"),
    ] {
        let said = parse(text).expect_err(text);
        assert!(said.contains(words), "{said}");
    }
    let said = apply(FILE, &update("*** Update File: x\n@@ fn mul(\n+x\n")).expect_err("no anchor");
    assert!(said.contains("`fn mul(` named with @@ is not in the file"), "{said}");
}
