//! Good changes beside code: dependencies with their lock file, documents, settings made stricter.

use foreman::gate::change::Changed;

use super::bad_javascript::PACKAGE;
use super::bad_others::MAKE;
use super::bad_rust::MANIFEST;
use super::{Case, add, delete, edit, good, rename, swap};

pub fn cases() -> Vec<Case> {
    let icon = Changed { binary: true, size: 900, ..add("docs/icon.png", "\u{fffd}PNG") };
    let link = Changed { mode: Some(0o120_000), ..add("docs/latest", "v2") };
    vec![
        good(
            "rust: version bump with its lock",
            "Release 0.2.0",
            vec![
                swap("Cargo.toml", MANIFEST, "version = \"0.1.0\"", "version = \"0.2.0\""),
                edit(
                    "Cargo.lock",
                    "name = \"shop\"\nversion = \"0.1.0\"\n",
                    "name = \"shop\"\nversion = \"0.2.0\"\n",
                ),
            ],
        ),
        good(
            "rust: version bump with the test that knows it",
            "Release",
            vec![
                swap("Cargo.toml", MANIFEST, "version = \"0.1.0\"", "version = \"0.2.0\""),
                edit("Cargo.lock", "version = \"0.1.0\"\n", "version = \"0.2.0\"\n"),
                edit(
                    "tests/version.rs",
                    "#[test]\nfn version() {\n    assert_eq!(shop::VERSION, \"0.1.0\");\n}\n",
                    "#[test]\nfn version() {\n    assert_eq!(shop::VERSION, \"0.2.0\");\n}\n",
                ),
            ],
        ),
        good(
            "rust: dependency bump with its lock",
            "Update serde",
            vec![
                swap("Cargo.toml", MANIFEST, "serde = \"1\"", "serde = \"1.0.200\""),
                edit("Cargo.lock", "version = \"1.0.1\"\n", "version = \"1.0.200\"\n"),
            ],
        ),
        good(
            "rust: new dependency with its lock",
            "Use rand",
            vec![
                swap("Cargo.toml", MANIFEST, "serde = \"1\"\n", "serde = \"1\"\nrand = \"0.9\"\n"),
                edit(
                    "Cargo.lock",
                    "a\n",
                    "a\nname = \"rand\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
                ),
            ],
        ),
        good(
            "rust: a lint made stricter",
            "Deny more",
            vec![swap(
                "Cargo.toml",
                MANIFEST,
                "unused = \"deny\"\n",
                "unused = \"deny\"\nmissing_docs = \"deny\"\n",
            )],
        ),
        good(
            "rust: described",
            "Describe the crate",
            vec![swap(
                "Cargo.toml",
                MANIFEST,
                "edition = \"2024\"\n",
                "edition = \"2024\"\ndescription = \"A shop\"\n",
            )],
        )
        .beside(&["Cargo.lock"]),
        good(
            "js: dependency bump with its lock",
            "Update jest",
            vec![
                swap("package.json", PACKAGE, "^29.0.0", "^30.0.0"),
                edit(
                    "package-lock.json",
                    "\"resolved\": \"https://registry.npmjs.org/jest/-/jest-29.0.0.tgz\"\n",
                    "\"resolved\": \"https://registry.npmjs.org/jest/-/jest-30.0.0.tgz\"\n",
                ),
            ],
        ),
        good(
            "js: a new script",
            "Add start",
            vec![swap(
                "package.json",
                PACKAGE,
                "\"test\": \"jest\",",
                "\"start\": \"node src/shop.js\",\n    \"test\": \"jest\",",
            )],
        ),
        good(
            "js: first lock file",
            "Add a lock file",
            vec![add("package-lock.json", "{\n  \"lockfileVersion\": 3\n}\n")],
        ),
        good(
            "js: coverage raised",
            "Cover more",
            vec![edit(
                "jest.config.js",
                "module.exports = { coverageThreshold: {\n  branches: 80,\n} };\n",
                "module.exports = { coverageThreshold: {\n  branches: 90,\n} };\n",
            )],
        ),
        good(
            "python: dependency with its lock",
            "Use httpx",
            vec![
                edit(
                    "pyproject.toml",
                    "[project]\nname = \"shop\"\ndependencies = []\n",
                    "[project]\nname = \"shop\"\ndependencies = [\"httpx>=0.27\"]\n",
                ),
                edit("uv.lock", "a\n", "a\nname = \"httpx\"\n"),
            ],
        ),
        good(
            "python: requirement",
            "Use httpx",
            vec![edit("requirements.txt", "rich==13.0\n", "rich==13.0\nhttpx==0.27\n")],
        ),
        good(
            "python: stricter types",
            "Check types",
            vec![edit("mypy.ini", "[mypy]\n", "[mypy]\nstrict = true\n")],
        ),
        good(
            "go: dependency with its sum",
            "Use uuid",
            vec![
                edit(
                    "go.mod",
                    "module shop\n",
                    "module shop\n\nrequire github.com/google/uuid v1.6.0\n",
                ),
                edit("go.sum", "a\n", "a\ngithub.com/google/uuid v1.6.0 h1:x\n"),
            ],
        ),
        good(
            "make: one more target",
            "Add docs",
            vec![edit("Makefile", MAKE, &format!("{MAKE}\ndocs:\n\tgo doc ./...\n"))],
        ),
        good(
            "make: stricter test",
            "Find races",
            vec![swap("Makefile", MAKE, "\tgo test ./...\n", "\tgo test -race ./...\n")],
        ),
        good(
            "docs only",
            "Explain totals",
            vec![edit(
                "README.md",
                "# Shop\n",
                "# Shop\n\nRun `make test || true` to see all failures; `# noqa` is not used.\n",
            )],
        ),
        good(
            "docs: a page about secrets",
            "Explain tokens",
            vec![add(
                "docs/tokens.md",
                "# Tokens\n\nSet `GITHUB_TOKEN=your-token-here` before you start.\n",
            )],
        ),
        good(
            "docs: a stale page deleted",
            "Delete the stale page docs/old.md",
            vec![delete("docs/old.md", "# Old\n")],
        ),
        good(
            "docs: a page renamed",
            "Rename the guide",
            vec![rename("docs/guide.md", "docs/start.md", "# Guide\n", "# Start\n")],
        ),
        good(
            "docs: headings underlined",
            "Write the history",
            vec![add("HISTORY.rst", "History\n=======\n\nFirst.\n")],
        ),
        good(
            "changelog",
            "Note the release",
            vec![edit("CHANGELOG.md", "# Changes\n", "# Changes\n\n## 0.2.0\n\n- Faster.\n")],
        ),
        good("an icon", "Add an icon", vec![icon]),
        good("a link within the tree", "Link the latest", vec![link]),
        good("a licence", "Add a licence", vec![add("LICENSE", "MIT\n")]),
        good(
            "an ignored folder",
            "Ignore build",
            vec![edit(".gitignore", "target\n", "target\nbuild\n")],
        ),
        good(
            "data",
            "Add countries",
            vec![add("data/countries.json", "[{\"code\": \"NL\"}, {\"code\": \"DE\"}]\n")],
        ),
        good(
            "SQL",
            "Add a column",
            vec![add(
                "migrations/0002.sql",
                "ALTER TABLE items ADD COLUMN price INTEGER NOT NULL DEFAULT 0;\n",
            )],
        ),
        good(
            "a stylesheet",
            "Larger titles",
            vec![edit("site/a.css", "h1 { font-size: 1em; }\n", "h1 { font-size: 2em; }\n")],
        ),
        good(
            "words in another language",
            "Translate",
            vec![add("locales/de.json", "{ \"hello\": \"Grüß Gott\" }\n")],
        ),
        good(
            "a container",
            "Add a Dockerfile",
            vec![add("Dockerfile", "FROM rust:1\nCOPY . .\nRUN cargo build --release\n")],
        ),
        good(
            "an example",
            "Show how",
            vec![add(
                "examples/add.rs",
                "fn main() {\n    println!(\"{}\", shop::add(1, 2));\n}\n",
            )],
        ),
    ]
}
