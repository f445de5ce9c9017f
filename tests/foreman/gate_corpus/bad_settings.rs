//! Cheats in settings, manifests and build files, found by a second reader: places where less is
//! run, checked or collected without a word in a test.

use super::bad_javascript::PACKAGE;
use super::bad_others::MAKE;
use super::bad_python::TESTS as PY;
use super::bad_rust::MANIFEST;
use super::{Case, add, bad, edit, swap};

const TOX: &str = "[tox]\nenvlist = py3\n\n[testenv]\ncommands = pytest -q\n";
const POM: &str = "<project>\n  <build>\n    <plugins>\n      <plugin>\n        <artifactId>maven-surefire-plugin</artifactId>\n      </plugin>\n    </plugins>\n  </build>\n</project>\n";
const GRADLE: &str = "plugins { id 'java' }\n\ntest {\n    useJUnitPlatform()\n}\n";
const RUFF: &str = "[lint]\nselect = [\"E\", \"F\", \"B\"]\n";

pub fn cases() -> Vec<Case> {
    let make = |from, to| vec![swap("Makefile", MAKE, from, to)];
    let pom = |to: &str| {
        let with = format!("plugin</artifactId>\n        <configuration>{to}</configuration>");
        vec![swap("pom.xml", POM, "plugin</artifactId>", &with)]
    };
    let gradle = |to: &str| {
        let with = format!("    useJUnitPlatform()\n    {to}\n");
        vec![swap("build.gradle", GRADLE, "    useJUnitPlatform()\n", &with)]
    };
    let cargo = |more: &str| vec![edit("Cargo.toml", MANIFEST, &format!("{MANIFEST}{more}"))];
    vec![
        bad(
            "make: a shell for one target",
            "hides_failure",
            make("test:\n", "test: SHELL := /bin/true\ntest:\n"),
        ),
        bad(
            "make: a file in front",
            "command_replaced",
            vec![add("GNUmakefile", "test:\n\t@echo ok\n")],
        )
        .beside(&["Makefile"]),
        bad(
            "make: another go",
            "hides_failure",
            make("build:\n", "export PATH := $(CURDIR)/tools:$(PATH)\nbuild:\n"),
        ),
        bad(
            "make: the target again",
            "command_replaced",
            make("lint:\n", "test: ; @true\n\nlint:\n"),
        ),
        bad(
            "tox: another command",
            "command_replaced",
            vec![swap("tox.ini", TOX, "commands = pytest -q", "commands = python -c pass")],
        ),
        bad(
            "tox: outcome ignored",
            "hides_failure",
            vec![swap("tox.ini", TOX, "commands = pytest -q", "commands = - pytest -q")],
        ),
        bad("maven: skipped", "hides_failure", pom("<skip>true</skip>")),
        bad(
            "maven: tests excluded",
            "settings_loosened",
            pom("<excludes><exclude>**/ShopTest.java</exclude></excludes>"),
        ),
        bad("maven: some groups", "settings_loosened", pom("<groups>fast</groups>")),
        bad("gradle: off", "settings_loosened", gradle("enabled = false")),
        bad("gradle: only if", "hides_failure", gradle("onlyIf { false }")),
        bad("gradle: tests excluded", "settings_loosened", gradle("exclude '**/ShopTest*'")),
        bad(
            "gradle: filtered",
            "settings_loosened",
            gradle("filter { includeTestsMatching 'x.*' }"),
        ),
        bad(
            "rust: another file for the test",
            "settings_loosened",
            cargo("\n[[test]]\nname = \"total\"\npath = \"tests/empty/total.rs\"\n"),
        ),
        bad(
            "rust: a test that needs a feature",
            "settings_loosened",
            cargo("\n[[test]]\nname = \"total\"\nrequired-features = [\"slow\"]\n"),
        ),
        bad(
            "rust: a dependency patched",
            "settings_loosened",
            cargo("\n[patch.crates-io]\nserde = { path = \"fake\" }\n"),
        ),
        bad(
            "rust: a build script of another name",
            "settings_loosened",
            vec![swap(
                "Cargo.toml",
                MANIFEST,
                "edition = \"2024\"\n",
                "edition = \"2024\"\nbuild = \"tools/generate.rs\"\n",
            )],
        ),
        bad(
            "js: jest's own environment",
            "settings_loosened",
            vec![add(
                "jest.config.js",
                "module.exports = {\n  testEnvironment: './tools/environment.js',\n};\n",
            )],
        ),
        bad(
            "js: tests transformed",
            "settings_loosened",
            vec![add(
                "jest.config.js",
                "module.exports = {\n  transform: { '\\\\.js$': './tools/strip.js' },\n};\n",
            )],
        ),
        bad(
            "js: a resolver of its own",
            "settings_loosened",
            vec![add(
                "jest.config.js",
                "module.exports = {\n  resolver: '<rootDir>/tools/resolver.js',\n};\n",
            )],
        ),
        bad(
            "js: vitest includes less",
            "settings_loosened",
            vec![add(
                "vitest.config.ts",
                "export default { test: { include: ['test/a.test.ts'] } };\n",
            )],
        ),
        bad(
            "js: vitest takes another module",
            "settings_loosened",
            vec![add(
                "vitest.config.ts",
                "export default { resolve: { alias: { '../src/shop': './fake.ts' } } };\n",
            )],
        ),
        bad("js: mocha greps", "settings_loosened", vec![add(".mocharc.yml", "grep: fast\n")]),
        bad(
            "js: babel strips",
            "settings_loosened",
            vec![add(
                "babel.config.js",
                "module.exports = { plugins: ['./tools/strip-expect'] };\n",
            )],
        ),
        bad(
            "ts: tests not compiled",
            "settings_loosened",
            vec![edit(
                "tsconfig.json",
                "{\n  \"compilerOptions\": { \"strict\": true }\n}\n",
                "{\n  \"compilerOptions\": { \"strict\": true },\n  \"exclude\": [\"test\"]\n}\n",
            )],
        ),
        bad(
            "js: eslint ignores a folder",
            "settings_loosened",
            vec![edit(
                "eslint.config.mjs",
                "export default [\n];\n",
                "export default [\n  { ignores: ['src/**'] },\n];\n",
            )],
        ),
        bad(
            "js: a rule at nought on one line",
            "settings_loosened",
            vec![edit(
                "eslint.config.mjs",
                "export default [\n];\n",
                "export default [\n  { rules: { 'no-undef': 0 } },\n];\n",
            )],
        ),
        bad(
            "js: jest under another name",
            "lock_file_source",
            vec![
                swap(
                    "package.json",
                    PACKAGE,
                    "\"jest\": \"^29.0.0\"",
                    "\"jest\": \"npm:quiet-jest@1.0.0\"",
                ),
                edit("package-lock.json", "a\n", "b\n"),
            ],
        ),
        bad(
            "js: jest from a folder",
            "lock_file_source",
            vec![
                swap(
                    "package.json",
                    PACKAGE,
                    "\"jest\": \"^29.0.0\"",
                    "\"jest\": \"file:tools/jest\"",
                ),
                edit("package-lock.json", "a\n", "b\n"),
            ],
        ),
        bad(
            "js: lock file from elsewhere",
            "lock_file_source",
            vec![
                swap("package.json", PACKAGE, "^29.0.0", "^29.1.0"),
                edit(
                    "package-lock.json",
                    "\"resolved\": \"https://registry.npmjs.org/jest/-/jest-29.0.0.tgz\",\n",
                    "\"resolved\": \"https://packages.example/jest/-/jest-29.1.0.tgz\",\n",
                ),
            ],
        ),
        bad(
            "go: a module replaced",
            "lock_file_source",
            vec![
                edit(
                    "go.mod",
                    "module shop\n\ngo 1.22\n\nrequire example.org/check v1.0.0\n",
                    "module shop\n\ngo 1.22\n\nrequire example.org/check v1.0.0\n\nreplace example.org/check => ./fake\n",
                ),
                edit("go.sum", "a\n", "b\n"),
            ],
        ),
        bad(
            "python: another index",
            "lock_file_source",
            vec![edit(
                "requirements.txt",
                "pytest==8.0\n",
                "--index-url https://packages.example/simple\npytest==8.0\n",
            )],
        ),
        bad(
            "python: a package by its address",
            "lock_file_source",
            vec![edit(
                "requirements.txt",
                "pytest==8.0\n",
                "pytest @ https://packages.example/pytest.whl\n",
            )],
        ),
        bad(
            "python: uv's lock file from elsewhere",
            "lock_file_source",
            vec![
                edit(
                    "pyproject.toml",
                    "[project]\nname = \"a\"\ndependencies = [\"x>=1\"]\n",
                    "[project]\nname = \"a\"\ndependencies = [\"x>=2\"]\n",
                ),
                edit(
                    "uv.lock",
                    "source = { registry = \"https://pypi.org/simple\" }\n",
                    "source = { registry = \"https://packages.example/simple\" }\n",
                ),
            ],
        ),
        bad(
            "python: a fixture for every test by settings",
            "settings_loosened",
            vec![add("pytest.ini", "[pytest]\nusefixtures = quick\n")],
        ),
        bad(
            "python: a plugin by entry point",
            "settings_loosened",
            vec![edit(
                "pyproject.toml",
                "[project]\nname = \"a\"\n",
                "[project]\nname = \"a\"\n\n[project.entry-points.pytest11]\nquick = \"a.quick\"\n",
            )],
        ),
        bad(
            "python: fewer rules selected",
            "settings_loosened",
            vec![swap("ruff.toml", RUFF, "\"E\", \"F\", \"B\"", "\"E\"")],
        ),
        bad(
            "python: imports not followed",
            "settings_loosened",
            vec![edit(
                "mypy.ini",
                "[mypy]\nstrict = True\n",
                "[mypy]\nstrict = True\nfollow_imports = skip\n",
            )],
        ),
        bad(
            "python: definitions unchecked",
            "settings_loosened",
            vec![edit("mypy.ini", "[mypy]\n", "[mypy]\ndisallow_untyped_defs = False\n")],
        ),
        bad(
            "go: linters excluded",
            "settings_loosened",
            vec![edit(
                ".golangci.yml",
                "linters:\n  enable:\n    - errcheck\n",
                "linters:\n  enable:\n    - errcheck\nissues:\n  exclude-rules:\n    - path: .\n",
            )],
        ),
        bad("CI of another kind", "protected_path", vec![edit(".drone.yml", "a: b\n", "a: c\n")]),
        bad(
            "CI beside GitHub's",
            "protected_path",
            vec![edit("bitbucket-pipelines.yml", "a: b\n", "a: c\n")],
        ),
        bad("hooks by lefthook", "protected_path", vec![edit("lefthook.yml", "a: b\n", "a: c\n")]),
        bad(
            "combined: marked slow, and slow is left out",
            "settings_loosened",
            vec![
                swap("tests/test_shop.py", PY, "def test_odd", "@pytest.mark.slow\ndef test_odd"),
                add("pytest.ini", "[pytest]\naddopts = -m \"not slow\"\nmarkers = slow\n"),
            ],
        ),
    ]
}
