//! Checks that rewrite one another, from a whole night with a builder that cheats.

use serde_json::json;

use crate::support::{Town, acts, issue, row, run_command, script, write_file};

/// Checks that change tracked files are found out, whatever else they leave behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_rewrites_another_is_found_out() {
    let mut missed = Vec::new();
    let swap = "echo true > tests/base.sh\n";
    let away = "cp -r tests $TMPDIR/t && mv tests away && cp -r $TMPDIR/t tests\n";
    for (first, last) in [
        // Nothing else.
        (swap.to_owned(), "true\n"),
        // What makes the workspace unreadable for a capture.
        (format!("mkdir -p nested/.git && echo x > nested/.git/x\n{swap}"), "true\n"),
        // What puts the file back, and what puts the whole directory back.
        (format!("cp tests/base.sh $TMPDIR/it\n{swap}"), "cp $TMPDIR/it tests/base.sh\n"),
        (format!("{away}{swap}"), "rm -r tests && mv away tests\n"),
    ] {
        let leaves = first.clone();
        let town = Town::new(
            script(move |input| {
                acts(
                    input,
                    vec![
                        // What `tests/base.sh` wants is broken, and the new check mends the check.
                        run_command("rm README.md"),
                        write_file("tests/0.sh", &first),
                        write_file("tests/z.sh", last),
                    ],
                )
            }),
            vec![issue("Anything")],
        )
        .await;
        let server = town.serve().await;
        let run = server.night(&json!(null)).await;
        let reason = row(&run, 1)["reason"].to_string();
        if row(&run, 1)["status"] == "success" || !reason.contains("which is the commit's own") {
            missed.push((leaves, reason));
        }
    }
    assert!(
        missed.is_empty(),
        "a pull request was opened although the checks did this: {missed:#?}"
    );
}
