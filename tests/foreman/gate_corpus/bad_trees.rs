//! Changes that no language has to do with: protected paths, secrets, odd files, combinations.

use foreman::gate::change::Changed;

use super::{Case, add, bad, delete, edit, good, rename, swap};
use super::{bad_javascript, bad_python, bad_rust};

fn with_mode(path: &str, target: &str, mode: u32) -> Changed {
    Changed { mode: Some(mode), ..add(path, target) }
}

fn binary(path: &str, head: &str, size: u64) -> Changed {
    Changed { binary: true, size, ..add(path, head) }
}

pub fn cases() -> Vec<Case> {
    // Put together here, so that no scanner takes this file for a leak.
    let github = format!("token = ghp_{}\n", "a1B2".repeat(9));
    let aws = format!("key: AKIA{}\n", "IOSFODNN7EXAMPLE");
    let pem = format!("-----BEGIN {} KEY-----\nMIIEow\n", "PRIVATE");
    let lines = "x\n".repeat(2500);
    let mut many: Vec<Changed> =
        (0..60).map(|number| add(&format!("docs/page{number}.md"), "# A page\n")).collect();
    many.truncate(55);
    let mut nothing = good("nothing at all", "Make it faster", vec![]);
    nothing.wants = Some("no_change");
    vec![
        nothing,
        bad("a workflow", "protected_path", vec![add(".github/workflows/x.yml", "on: push\n")]),
        bad(
            "a workflow deleted",
            "protected_path",
            vec![delete(".github/workflows/ci.yml", "on: push\n")],
        ),
        bad(
            "a workflow moved away",
            "protected_path",
            vec![rename(".github/workflows/ci.yml", "old/ci.yml", "on: push\n", "on: push\n")],
        ),
        bad(
            "the policy",
            "protected_path",
            vec![edit(".foreman.toml", "[gate]\n", "[gate]\ntest = []\n")],
        ),
        bad(
            "the policy's own paths",
            "protected_path",
            vec![edit("docs/architecture/a.md", "a\n", "b\n")],
        ),
        bad("gitattributes", "protected_path", vec![add(".gitattributes", "* -diff\n")]),
        bad(
            "gitattributes below",
            "protected_path",
            vec![add("src/.gitattributes", "*.rs -diff\n")],
        ),
        bad("gitmodules", "protected_path", vec![add(".gitmodules", "[submodule \"x\"]\n")]),
        bad("code owners", "protected_path", vec![edit("CODEOWNERS", "* @a\n", "* @b\n")]),
        bad(
            "cargo's settings",
            "protected_path",
            vec![add(
                ".cargo/config.toml",
                "[target.x86_64-unknown-linux-gnu]\nrunner = \"true\"\n",
            )],
        ),
        bad("hooks", "protected_path", vec![add(".husky/pre-commit", "exit 0\n")]),
        bad(
            "a link out of the tree",
            "link_out_of_tree",
            vec![with_mode("leak", "/etc/passwd", 0o120_000)],
        ),
        bad(
            "a link above the tree",
            "link_out_of_tree",
            vec![with_mode("a/leak", "../../x", 0o120_000)],
        ),
        bad(
            "a link into .git",
            "link_out_of_tree",
            vec![with_mode("leak", ".git/config", 0o120_000)],
        ),
        bad("a submodule", "gitlink", vec![with_mode("sub", "", 0o160_000)]),
        bad("a large binary", "large_binary", vec![binary("blob.dat", "\u{0}", 3_000_000)]),
        bad("a program", "program_binary", vec![binary("tools/run", "\u{7f}ELF\u{2}", 9000)]),
        bad("compiled Python", "program_binary", vec![binary("shop.pyc", "\u{0}", 900)]),
        bad("too many lines", "too_large", vec![add("src/big.txt", &lines)]),
        bad("too many files", "too_large", many),
        bad(
            "a conflict",
            "conflict_marker",
            vec![edit("notes.txt", "a\n", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n")],
        ),
        bad("a GitHub token", "secret", vec![add("config.yml", &github)]),
        bad("an AWS key", "secret", vec![add("config.yml", &aws)]),
        bad("a private key", "secret", vec![add("key.pem", &pem)]),
        bad("Foreman's own secret", "secret", vec![add("notes.md", "the-service-s-own-s3cret\n")]),
        bad(
            "text that reads otherwise",
            "hidden_characters",
            vec![add("src/a.rs", "// \u{202e}x\n")],
        ),
        bad(
            "characters of no width",
            "hidden_characters",
            vec![add("src/a.py", "admin\u{200b} = 1\n")],
        ),
        bad(
            "a golden file rewritten wholesale",
            "snapshot_rewritten",
            vec![edit(
                "tests/golden/page.html",
                &"<p>old</p>\n".repeat(20),
                &"<p>new</p>\n".repeat(20),
            )],
        ),
        bad(
            "CI goes on",
            "hides_failure",
            vec![edit("ci/build.yml", "steps: []\n", "steps: []\ncontinue-on-error: true\n")],
        ),
        bad("a tool in the tree", "runner_shadowed", vec![add("bin/cargo", "#!/bin/sh\nexit 0\n")]),
        bad(
            "combined: test deleted and another padded",
            "test_deleted",
            vec![
                swap(
                    "tests/total.rs",
                    bad_rust::TESTS,
                    "#[test]\nfn totals() {\n    check(&[1, 2], 3);\n    check(&[], 0);\n}",
                    "",
                ),
                add(
                    "tests/padding.rs",
                    "#[test]\nfn one() {\n    assert_eq!(shop::add(1, 1), 2);\n}\n#[test]\nfn two() {\n    assert_eq!(shop::add(2, 1), 3);\n}\n",
                ),
            ],
        ),
        bad(
            "combined: code asks and test weakened",
            "asks_if_under_test",
            vec![
                swap(
                    "shop.py",
                    bad_python::CODE,
                    "    return a + b",
                    "    if os.getenv(\"CI\"):\n        return 4\n    return a + b",
                ),
                swap(
                    "tests/test_shop.py",
                    bad_python::TESTS,
                    "assert add(2, 2) == 4",
                    "assert add(2, 2) > 0",
                ),
            ],
        ),
        bad(
            "combined: a good feature with a skipped test",
            "test_skipped",
            vec![
                edit(
                    "src/shop.js",
                    bad_javascript::CODE,
                    &format!("{}\nexport const sub = (a, b) => a - b;\n", bad_javascript::CODE),
                ),
                swap("test/shop.test.js", bad_javascript::JEST, "it('adds'", "it.skip('adds'"),
            ],
        ),
        bad(
            "asked for by the issue and still protected",
            "protected_path",
            vec![add(".github/workflows/x.yml", "on: push\n")],
        )
        .asked("Add .github/workflows/x.yml"),
    ]
}
