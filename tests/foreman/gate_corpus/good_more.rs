//! Good changes that stand near the cheats of `bad_sly` and `bad_settings`: the same words for a
//! reason.

use super::bad_javascript::{JEST, PACKAGE};
use super::bad_others::{GO, JAVA, MAKE, SHELL};
use super::bad_python::TESTS as PY;
use super::bad_rust::{LIB, MANIFEST, TESTS};
use super::{Case, add, edit, good, rename, swap};

const TOX: &str = "[tox]\nenvlist = py3\n\n[testenv]\ncommands = pytest -q\n";
const GRADLE: &str = "plugins { id 'java' }\n\ntest {\n    useJUnitPlatform()\n}\n";

pub fn cases() -> Vec<Case> {
    vec![
        good(
            "rust: the tested module moved",
            "Move prices",
            vec![
                swap("tests/total.rs", TESTS, "use shop::price::total;", "use shop::prices::sum::total;"),
            ],
        ),
        good(
            "rust: a new test with threads that are joined",
            "Adding is safe from threads",
            vec![swap(
                "src/lib.rs",
                LIB,
                "    #[test]\n    fn halves",
                "    #[test]\n    fn adds_from_threads() {\n        let handle = std::thread::spawn(|| add(2, 2));\n        assert_eq!(handle.join().unwrap(), 4);\n    }\n\n    #[test]\n    fn halves",
            )],
        ),
        good(
            "rust: a benchmark with its path",
            "Measure totals",
            vec![
                edit("Cargo.toml", MANIFEST, &format!("{MANIFEST}\n[[bench]]\nname = \"total\"\npath = \"benches/total.rs\"\nharness = false\n")),
                add("benches/total.rs", "fn main() {\n    println!(\"{}\", shop::add(1, 2));\n}\n"),
            ],
        ),
        good(
            "rust: a helper for new tests",
            "Test totals of many",
            vec![swap(
                "tests/total.rs",
                TESTS,
                "#[test]\nfn totals",
                "fn ones(count: usize) -> Vec<u32> {\n    vec![1; count]\n}\n\n#[test]\nfn a_hundred() {\n    assert_eq!(total(&ones(100)), 100);\n}\n\n#[test]\nfn totals",
            )],
        ),
        good(
            "python: a new test patches what it does not test",
            "Prices come from the service",
            vec![edit(
                "tests/test_shop.py",
                PY,
                &format!("{PY}\n\ndef test_price(monkeypatch):\n    monkeypatch.setattr(\"shop.fetch\", lambda url: \"12\")\n    assert price(\"apple\") == 12\n"),
            )],
        ),
        good(
            "python: conftest keeps tests off the network",
            "Tests must not need the network",
            vec![add(
                "tests/conftest.py",
                "import socket\n\nimport pytest\n\n\n@pytest.fixture(autouse=True)\ndef offline(monkeypatch):\n    monkeypatch.setattr(socket, \"create_connection\", None)\n",
            )],
        )
        .beside(&["shop.py"]),
        good(
            "python: the tested module became a package",
            "Split the shop",
            vec![
                swap("tests/test_shop.py", PY, "from shop import add, half", "from shop.sums import add, half"),
            ],
        ),
        good(
            "python: more rules selected",
            "Check more",
            vec![edit("ruff.toml", "[lint]\nselect = [\"E\", \"F\"]\n", "[lint]\nselect = [\"E\", \"F\", \"B\"]\n")],
        ),
        good(
            "python: a dependency of another version",
            "Update requests",
            vec![edit("requirements.txt", "requests==2.31\n", "requests==2.32\n")],
        ),
        good(
            "tox: one more command",
            "Check types in tox",
            vec![swap("tox.ini", TOX, "commands = pytest -q\n", "commands =\n    pytest -q\n    mypy shop\n")],
        ),
        good(
            "js: a new test mocks what it does not test",
            "Report totals",
            vec![edit(
                "test/report.test.js",
                "import { report } from '../src/report';\n\nit('reports', () => {\n  expect(report(1)).toBe('1');\n});\n",
                "import { report } from '../src/report';\n\njest.mock('../src/mail');\n\nit('reports', () => {\n  expect(report(1)).toBe('1');\n});\n\nit('mails', () => {\n  expect(report(2)).toBe('2');\n});\n",
            )],
        ),
        good(
            "js: a test that tells when its timer is through",
            "Debounce",
            vec![swap(
                "test/shop.test.js",
                JEST,
                "  it('refuses odd ones'",
                "  it('waits', (done) => {\n    setTimeout(() => {\n      expect(add(1, 1)).toBe(2);\n      done();\n    }, 1);\n  });\n\n  it('refuses odd ones'",
            )],
        ),
        good(
            "js: another script and its dependency",
            "Format the code",
            vec![
                swap("package.json", PACKAGE, "    \"lint\": \"eslint .\"\n", "    \"lint\": \"eslint .\",\n    \"format\": \"prettier --write .\"\n"),
            ],
        ),
        good(
            "go: a file for another system",
            "Support Windows",
            vec![add("path_windows.go", "package shop\n\nconst sep = '\\\\'\n")],
        ),
        good(
            "go: a goroutine with a wait group",
            "Adding is safe from goroutines",
            vec![edit(
                "shop_test.go",
                GO,
                &format!("{GO}\nfunc TestAddTogether(t *testing.T) {{\n\tvar wg sync.WaitGroup\n\twg.Add(1)\n\tgo func() {{\n\t\tdefer wg.Done()\n\t\tif Add(1, 1) != 2 {{\n\t\t\tt.Error(\"add\")\n\t\t}}\n\t}}()\n\twg.Wait()\n}}\n"),
            )],
        ),
        good(
            "java: a lambda that is called",
            "Refuse odd numbers",
            vec![swap(
                "src/test/java/shop/ShopTest.java",
                JAVA,
                "    @Test\n    void refuses",
                "    @Test\n    void refusesAll() {\n        Executable half = () -> Shop.half(5);\n        assertThrows(IllegalArgumentException.class, half);\n    }\n\n    @Test\n    void refuses",
            )],
        ),
        good(
            "gradle: a dependency",
            "Use guava",
            vec![edit("build.gradle", GRADLE, &format!("{GRADLE}\ndependencies {{\n    implementation 'com.google.guava:guava:33.0'\n}}\n"))],
        ),
        good(
            "gradle: a dependency without what it brings",
            "Use guava",
            vec![edit("build.gradle", GRADLE, &format!("{GRADLE}\ndependencies {{\n    implementation('com.google.guava:guava:33.0') {{\n        exclude group: 'com.google.code'\n    }}\n}}\n"))],
        ),
        good(
            "conda: pytest among the packages",
            "Pin the environment",
            vec![edit("environment.yml", "dependencies:\n  - numpy\n", "dependencies:\n  - numpy\n  - pytest\n")],
        ),
        good(
            "shell: a new test with a tool of its own",
            "Test the command line",
            vec![add("tests/cli.sh", "set -e\nPATH=\"$PWD/tests/tools:$PATH\"\nexport PATH\n[ \"$(shop add 1 2)\" = 3 ] || exit 1\n")],
        ),
        good(
            "rust: a program behind a feature",
            "Add the server",
            vec![
                edit("Cargo.toml", MANIFEST, &format!("{MANIFEST}\n[features]\nserver = []\n\n[[bin]]\nname = \"server\"\npath = \"src/server.rs\"\nrequired-features = [\"server\"]\n")),
                add("src/server.rs", "fn main() {}\n"),
            ],
        ),
        good(
            "js: an alias for the sources in vitest",
            "Shorter imports",
            vec![add("vitest.config.ts", "export default { resolve: { alias: { '@': '/src' } } };\n")],
        ),
        good(
            "make: a target of its own",
            "Measure",
            vec![edit("Makefile", MAKE, &format!("{MAKE}\nbench:\n\tgo test -bench . ./...\n"))],
        ),
        good(
            "make: a prerequisite",
            "Generate before testing",
            vec![edit("Makefile", MAKE, &format!("{MAKE}\ntest: generate\n\ngenerate:\n\tgo generate ./...\n"))],
        ),
        good(
            "shell: the value that the issue names",
            "add 2 2 must be 5 from now on",
            vec![swap("tests/add.sh", SHELL, "\"$(add 2 2)\" = 4", "\"$(add 2 2)\" = 5")],
        ),
        good(
            "shell: one more check",
            "Test negative numbers",
            vec![edit("tests/add.sh", SHELL, &format!("{SHELL}[ \"$(add -1 1)\" = 0 ] || exit 1\n"))],
        ),
        good(
            "data: one more row",
            "Totals of negative numbers",
            vec![edit("tests/fixtures/totals.csv", "in,out\n1,1\n", "in,out\n1,1\n-2,4\n")],
        ),
        good(
            "python: tests moved into a folder of their own",
            "Tidy the tests",
            vec![rename("tests/test_shop.py", "tests/unit/test_shop.py", PY, PY)],
        ),
    ]
}
