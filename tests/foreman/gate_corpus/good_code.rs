//! Good changes to code and its tests: features, fixes, refactors, renames, tests that change
//! because the issue asks for it. Over 400 lines because it is one table, a row for each change.

use super::bad_javascript::{CODE as JS, JEST, NODE};
use super::bad_others::{GO, JAVA, RUN, SHELL};
use super::bad_python::{CODE as PY, TESTS as PYTEST, UNIT};
use super::bad_rust::{LIB, PRICE, TESTS};
use super::{Case, add, delete, edit, good, rename, swap};

const JAVA_PATH: &str = "src/test/java/shop/ShopTest.java";

pub fn cases() -> Vec<Case> {
    let mut cases = features();
    cases.extend(refactors());
    cases.extend(asked_for());
    cases
}

fn features() -> Vec<Case> {
    vec![
        good(
            "js: a runner of one's own",
            "Count failures",
            vec![edit(
                "test.js",
                "let failed = 0;\nif (add(1, 1) !== 2) failed += 1;\n",
                "let failed = 0;\nif (add(1, 1) !== 2) failed += 1;\nprocess.exit(failed ? 1 : 0);\n",
            )],
        ),
        good(
            "js: a stack of tests and the latest argument",
            "Schedule",
            vec![add(
                "src/plan.js",
                "const stack = [];\nexport const plan = (test) => stack.push(test);\nexport const latest = process.argv.includes('--latest');\n",
            )],
        ),
        good(
            "python: output captured",
            "Test the output",
            vec![edit(
                "tests/test_out.py",
                "import io\nimport sys\n",
                "import io\nimport sys\n\n\ndef test_prints():\n    old, sys.stdout = sys.stdout, io.StringIO()\n    say()\n    out, sys.stdout = sys.stdout.getvalue(), old\n    assert out == \"hi\\n\"\n",
            )],
        ),
        good(
            "python: a number asked for with a comma",
            "The limit should be 1,500 instead of 1,000",
            vec![edit(
                "tests/test_l.py",
                "def test_limit():\n    assert limit() == 1000\n",
                "def test_limit():\n    assert limit() == 1500\n",
            )],
        ),
        good(
            "rust: feature with a test",
            "Add sub",
            vec![swap(
                "src/lib.rs",
                &swap(
                    "src/lib.rs",
                    LIB,
                    "pub fn half",
                    "pub fn sub(a: i32, b: i32) -> i32 {\n    a - b\n}\n\npub fn half",
                )
                .new,
                "    #[test]\n    fn halves",
                "    #[test]\n    fn subtracts() {\n        assert_eq!(sub(3, 1), 2);\n    }\n\n    #[test]\n    fn halves",
            )],
        ),
        good(
            "rust: feature in a new file",
            "Add tax",
            vec![
                add(
                    "src/tax.rs",
                    "pub fn tax(net: u32) -> u32 {\n    net / 5\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn a_fifth() {\n        assert_eq!(tax(10), 2);\n    }\n}\n",
                ),
                swap("src/lib.rs", LIB, "pub mod price;", "pub mod price;\npub mod tax;"),
            ],
        ),
        good(
            "rust: fix without a test",
            "Crash on zero",
            vec![swap(
                "src/price.rs",
                PRICE,
                "items.iter().sum()",
                "items.iter().copied().fold(0, u32::saturating_add)",
            )],
        ),
        good(
            "rust: more assertions",
            "Cover odd numbers",
            vec![swap(
                "src/lib.rs",
                LIB,
                "        assert_eq!(half(3), None);\n",
                "        assert_eq!(half(3), None);\n        assert_eq!(half(5), None);\n",
            )],
        ),
        good(
            "rust: more cases",
            "Cover zero",
            vec![swap("tests/total.rs", TESTS, "(vec![1], 1), ", "(vec![1], 1), (vec![], 0), ")],
        ),
        good(
            "rust: a property test",
            "Add properties",
            vec![add(
                "tests/props.rs",
                "proptest! {\n    #[test]\n    fn commutes(a in 0..9, b in 0..9) {\n        prop_assert_eq!(shop::add(a, b), shop::add(b, a));\n    }\n}\n",
            )],
        ),
        good(
            "rust: a test that it is deterministic",
            "Stable ids",
            vec![add(
                "tests/ids.rs",
                "#[test]\nfn stable() {\n    assert_eq!(shop::add(1, 2), shop::add(1, 2));\n}\n",
            )],
        ),
        good(
            "rust: helpers for tests",
            "Test helpers",
            vec![edit(
                "src/price.rs",
                PRICE,
                &format!(
                    "{PRICE}\n#[cfg(test)]\npub fn sample() -> Vec<u32> {{\n    vec![1, 2]\n}}\n"
                ),
            )],
        ),
        good(
            "rust: a command line that exits",
            "Exit with a code",
            vec![add(
                "src/main.rs",
                "fn main() {\n    if std::env::args().count() < 2 {\n        eprintln!(\"usage: shop FILE\");\n        std::process::exit(2);\n    }\n}\n",
            )],
        ),
        good(
            "rust: reads its environment",
            "Read the port from PORT",
            vec![edit(
                "src/price.rs",
                PRICE,
                &format!(
                    "{PRICE}\npub fn port() -> u16 {{\n    std::env::var(\"PORT\").ok().and_then(|it| it.parse().ok()).unwrap_or(3000)\n}}\n"
                ),
            )],
        ),
        good(
            "rust: a benchmark",
            "Measure totals",
            vec![
                edit(
                    "Cargo.toml",
                    "[package]\nname = \"shop\"\n",
                    "[package]\nname = \"shop\"\n\n[[bench]]\nname = \"total\"\nharness = false\n",
                ),
                add("benches/total.rs", "fn main() {\n    shop::price::total(&[1]);\n}\n"),
            ],
        ),
        good(
            "rust: a build script for its output folder",
            "Generate the table",
            vec![add(
                "build.rs",
                "use std::{env, fs, path::Path};\n\nfn main() {\n    println!(\"cargo:rerun-if-changed=table.txt\");\n    let out = env::var(\"OUT_DIR\").unwrap();\n    fs::write(Path::new(&out).join(\"table.rs\"), \"\").unwrap();\n}\n",
            )],
        ),
        good(
            "python: feature with a test",
            "Add sub",
            vec![
                edit("shop.py", PY, &format!("{PY}\n\ndef sub(a, b):\n    return a - b\n")),
                edit(
                    "tests/test_shop.py",
                    PYTEST,
                    &format!(
                        "{}\n\ndef test_sub():\n    assert sub(3, 1) == 2\n",
                        PYTEST.replace("import add, half", "import add, half, sub")
                    ),
                ),
            ],
        ),
        good(
            "python: fixture in conftest",
            "Share the basket",
            vec![add(
                "tests/conftest.py",
                "import pytest\n\n\n@pytest.fixture\ndef basket():\n    return [1, 2]\n",
            )],
        ),
        good(
            "python: command line",
            "Add a command",
            vec![add(
                "cli.py",
                "import sys\n\n\ndef main():\n    if len(sys.argv) < 2:\n        sys.exit(2)\n\n\nif __name__ == \"__main__\":\n    main()\n",
            )],
        ),
        good(
            "python: a class with equality",
            "Compare money",
            vec![edit(
                "shop.py",
                PY,
                &format!(
                    "{PY}\n\nclass Money:\n    def __init__(self, cents):\n        self.cents = cents\n\n    def __eq__(self, other):\n        return self.cents == other.cents\n"
                ),
            )],
        ),
        good(
            "python: more rows",
            "Cover hundred",
            vec![swap("tests/test_shop.py", PYTEST, "(10, 5)]", "(10, 5), (100, 50)]")],
        ),
        good(
            "python: test with an expected error",
            "Refuse text",
            vec![edit(
                "tests/test_shop.py",
                PYTEST,
                &format!(
                    "{PYTEST}\n\ndef test_text():\n    with pytest.raises(TypeError):\n        add(1, \"x\")\n"
                ),
            )],
        ),
        good(
            "python: test that catches and speaks",
            "Explain",
            vec![edit(
                "tests/test_shop.py",
                PYTEST,
                &format!(
                    "{PYTEST}\n\ndef test_message():\n    try:\n        half(3)\n    except ValueError as error:\n        assert \"3\" in str(error)\n"
                ),
            )],
        ),
        good(
            "js: feature with a test",
            "Add sub",
            vec![
                edit("src/shop.js", JS, &format!("{JS}\nexport const sub = (a, b) => a - b;\n")),
                swap(
                    "test/shop.test.js",
                    JEST,
                    "  it('adds', () => {",
                    "  it('subtracts', () => {\n    expect(sub(3, 1)).toBe(2);\n  });\n\n  it('adds', () => {",
                ),
            ],
        ),
        good(
            "js: environment of production",
            "Log only in production",
            vec![swap(
                "src/shop.js",
                JS,
                "  return a + b;",
                "  if (process.env.NODE_ENV === 'production') console.info('add');\n  return a + b;",
            )],
        ),
        good(
            "ts: types",
            "Add types",
            vec![
                add(
                    "src/types.ts",
                    "export interface Item {\n  readonly name: string;\n  price: number;\n}\n",
                ),
                add(
                    "src/types.test.ts",
                    "import type { Item } from './types';\n\ntest('an item has a price', () => {\n  const item: Item = { name: 'a', price: 1 };\n  expect(item.price).toBe(1);\n});\n",
                ),
            ],
        ),
        good(
            "js: asynchronous test",
            "Load items",
            vec![add(
                "test/load.test.js",
                "it('loads', async () => {\n  const items = await load();\n  expect(items).toHaveLength(2);\n  await expect(load('x')).rejects.toThrow('x');\n});\n",
            )],
        ),
        good(
            "node: subtests",
            "Cover zero",
            vec![edit(
                "shop.test.mjs",
                NODE,
                &format!(
                    "{NODE}\ntest('zero', async (t) => {{\n  await t.test('left', () => {{\n    assert.equal(add(0, 1), 1);\n  }});\n}});\n"
                ),
            )],
        ),
        good(
            "go: feature with a test",
            "Add Sub",
            vec![
                edit(
                    "shop.go",
                    "package shop\n",
                    "package shop\n\nfunc Sub(a, b int) int { return a - b }\n",
                ),
                edit(
                    "shop_test.go",
                    GO,
                    &format!(
                        "{GO}\nfunc TestSub(t *testing.T) {{\n\tif Sub(3, 1) != 2 {{\n\t\tt.Fatal(\"sub\")\n\t}}\n}}\n"
                    ),
                ),
            ],
        ),
        good(
            "go: TestMain that hands on",
            "Set up once",
            vec![edit(
                "shop_test.go",
                GO,
                &format!(
                    "{GO}\nfunc TestMain(m *testing.M) {{\n\tsetup()\n\tcode := m.Run()\n\tos.Exit(code)\n}}\n"
                ),
            )],
        ),
        good(
            "java: feature with a test",
            "Add sub",
            vec![swap(
                JAVA_PATH,
                JAVA,
                "    @Test\n    void refuses",
                "    @Test\n    void subtracts() {\n        assertEquals(2, Shop.sub(3, 1));\n    }\n\n    @Test\n    void refuses",
            )],
        ),
        good(
            "shell: one more test",
            "Cover negatives",
            vec![edit(
                "tests/add.sh",
                SHELL,
                &format!("{SHELL}[ \"$(add -1 1)\" = 0 ] || exit 1\n"),
            )],
        ),
        good(
            "shell: a script that tolerates",
            "Clean up",
            vec![add("clean.sh", "rm -r build || true\n")],
        ),
    ]
}

fn refactors() -> Vec<Case> {
    let reader = LIB.replace("half", "halve");
    vec![
        good(
            "rust: function renamed with its test",
            "Rename half to halve",
            vec![edit("src/lib.rs", LIB, &reader)],
        ),
        good(
            "rust: module renamed with its tests",
            "Rename price to cost",
            vec![
                rename("src/price.rs", "src/cost.rs", PRICE, PRICE),
                swap("src/lib.rs", LIB, "pub mod price;", "pub mod cost;"),
                rename("tests/total.rs", "tests/cost.rs", TESTS, &TESTS.replace("price", "cost")),
            ],
        ),
        good(
            "rust: tests moved into a file of their own",
            "Split the tests",
            vec![
                edit(
                    "src/lib.rs",
                    LIB,
                    &format!(
                        "{}#[cfg(test)]\nmod tests;\n",
                        &LIB[..LIB.find("#[cfg(test)]").expect("a module")]
                    ),
                ),
                add(
                    "src/tests.rs",
                    "use super::*;\n\n#[test]\nfn adds() {\n    assert_eq!(add(2, 2), 4);\n    assert_eq!(add(-1, 1), 0);\n}\n\n#[test]\nfn halves() {\n    assert_eq!(half(8), Some(4));\n    assert_eq!(half(3), None);\n}\n",
                ),
            ],
        ),
        good(
            "rust: assertions moved into a helper",
            "Tidy the tests",
            vec![swap(
                "src/lib.rs",
                LIB,
                "    #[test]\n    fn halves() {\n        assert_eq!(half(8), Some(4));\n        assert_eq!(half(3), None);\n",
                "    fn check(of: i32, wanted: Option<i32>) {\n        assert_eq!(half(of), wanted);\n    }\n\n    #[test]\n    fn halves() {\n        check(8, Some(4));\n        check(3, None);\n",
            )],
        ),
        good(
            "rust: is_empty",
            "Obey clippy",
            vec![edit(
                "tests/empty.rs",
                "#[test]\nfn empty() {\n    assert_eq!(shop::names().len() == 0, true);\n}\n",
                "#[test]\nfn empty() {\n    assert!(shop::names().is_empty());\n}\n",
            )],
        ),
        good(
            "rust: literals written otherwise",
            "Obey clippy",
            vec![edit(
                "tests/big.rs",
                "#[test]\nfn big() {\n    assert_eq!(shop::big(), 1000000);\n}\n",
                "#[test]\nfn big() {\n    assert_eq!(shop::big(), 1_000_000);\n}\n",
            )],
        ),
        good(
            "rust: a constant for an expected value",
            "Name the limit",
            vec![swap(
                "src/lib.rs",
                LIB,
                "    #[test]\n    fn adds() {\n        assert_eq!(add(2, 2), 4);",
                "    const SUM: i32 = 4;\n\n    #[test]\n    fn adds() {\n        assert_eq!(add(2, 2), SUM);",
            )],
        ),
        good(
            "rust: test renamed",
            "Better names",
            vec![swap("src/lib.rs", LIB, "fn halves()", "fn halves_even_numbers_only()")],
        ),
        good(
            "rust: new argument in code and test",
            "Add a currency",
            vec![swap("src/lib.rs", LIB, "add(2, 2)", "add(2, 2, \"EUR\")")],
        ),
        good(
            "rust: comments in a test",
            "Explain the tests",
            vec![swap(
                "src/lib.rs",
                LIB,
                "        assert_eq!(half(3), None);\n",
                "        // Odd numbers have no half.\n        assert_eq!(half(3), None);\n",
            )],
        ),
        good(
            "rust: the ignored test runs again",
            "Run all tests",
            vec![edit(
                "tests/a.rs",
                "#[test]\n#[ignore]\nfn a() {\n    assert_eq!(shop::add(1, 1), 2);\n}\n",
                "#[test]\nfn a() {\n    assert_eq!(shop::add(1, 1), 2);\n}\n",
            )],
        ),
        good(
            "python: module renamed with its test",
            "Rename shop to store",
            vec![
                rename("shop.py", "store.py", PY, PY),
                rename(
                    "tests/test_shop.py",
                    "tests/test_store.py",
                    PYTEST,
                    &PYTEST.replace("from shop", "from store"),
                ),
            ],
        ),
        good(
            "python: unittest becomes pytest",
            "Move to pytest",
            vec![edit(
                "tests/test_unit.py",
                UNIT,
                "from shop import add\n\n\ndef check(a, b, wanted):\n    assert add(a, b) == wanted\n\n\ndef test_adds():\n    assert add(2, 2) == 4\n    assert add(0, 0) == 0\n\n\ndef test_more():\n    check(1, 2, 3)\n",
            )],
        ),
        good(
            "python: rows instead of lines",
            "Parametrise",
            vec![edit(
                "tests/test_p.py",
                "from shop import add\n\n\ndef test_adds():\n    assert add(1, 1) == 2\n",
                "import pytest\nfrom shop import add\n\n\n@pytest.mark.parametrize(\"a, b, c\", [(1, 1, 2), (2, 2, 4)])\ndef test_adds(a, b, c):\n    assert add(a, b) == c\n",
            )],
        ),
        good(
            "python: tests moved to another folder",
            "Sort the tests",
            vec![rename("tests/test_shop.py", "tests/unit/test_shop.py", PYTEST, PYTEST)],
        ),
        good(
            "python: quotes",
            "Obey ruff",
            vec![edit(
                "tests/test_q.py",
                "def test_q():\n    assert name() == 'shop'\n",
                "def test_q():\n    assert name() == \"shop\"\n",
            )],
        ),
        good(
            "js: to TypeScript",
            "Move to TypeScript",
            vec![
                rename(
                    "src/shop.js",
                    "src/shop.ts",
                    JS,
                    &JS.replace("(a, b)", "(a: number, b: number)"),
                ),
                rename("test/shop.test.js", "test/shop.test.ts", JEST, JEST),
            ],
        ),
        good(
            "js: formatted",
            "Format",
            vec![edit("test/shop.test.js", JEST, &JEST.replace("  ", "    ").replace('\'', "\""))],
        ),
        good(
            "go: table instead of lines",
            "Table tests",
            vec![edit(
                "a_test.go",
                "package a\n\nfunc TestA(t *testing.T) {\n\tif f(1) != 2 {\n\t\tt.Fatal(\"f\")\n\t}\n}\n",
                "package a\n\nfunc TestA(t *testing.T) {\n\tfor in, want := range map[int]int{1: 2, 2: 3} {\n\t\tif f(in) != want {\n\t\t\tt.Fatal(\"f\")\n\t\t}\n\t}\n}\n",
            )],
        ),
        good(
            "java: class renamed with its test",
            "Rename Shop to Store",
            vec![rename(
                JAVA_PATH,
                "src/test/java/shop/StoreTest.java",
                JAVA,
                &JAVA.replace("Shop", "Store"),
            )],
        ),
        good(
            "shell: runner says more",
            "Say what runs",
            vec![swap(
                "run-tests.sh",
                RUN,
                "  sh \"$t\" || exit 1\n",
                "  echo \"$t\"\n  sh \"$t\" || exit 1\n",
            )],
        ),
    ]
}

fn asked_for() -> Vec<Case> {
    vec![
        good(
            "rust: value asked for",
            "add(2, 2) should be 5 from now on",
            vec![swap("src/lib.rs", LIB, "assert_eq!(add(2, 2), 4)", "assert_eq!(add(2, 2), 5)")],
        ),
        good(
            "python: value asked for",
            "Greet with 'Good morning'",
            vec![edit(
                "tests/test_g.py",
                "def test_greets():\n    assert greet() == \"Hello\"\n",
                "def test_greets():\n    assert greet() == \"Good morning\"\n",
            )],
        ),
        good(
            "js: message asked for",
            "Say which number is odd: 'odd number'",
            vec![swap("test/shop.test.js", JEST, "toThrow('odd')", "toThrow('odd number')")],
        ),
        good(
            "go: value asked for",
            "Half should round up: Half(8) gives 5",
            vec![swap("shop_test.go", GO, "Half(8) != 4", "Half(8) != 5")],
        ),
        good(
            "java: value asked for",
            "The base fee of 1 is added: add(2, 2) is 5",
            vec![swap(
                JAVA_PATH,
                JAVA,
                "assertEquals(4, Shop.add(2, 2))",
                "assertEquals(5, Shop.add(2, 2))",
            )],
        ),
        good(
            "a function retired with its test",
            "Remove `half`, which is unused",
            vec![edit(
                "src/lib.rs",
                LIB,
                "pub mod price;\n\npub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn adds() {\n        assert_eq!(add(2, 2), 4);\n        assert_eq!(add(-1, 1), 0);\n    }\n}\n",
            )],
        ),
        good(
            "a file retired with its tests",
            "Delete the obsolete `legacy_total`",
            vec![
                delete("legacy.py", "def legacy_total(items):\n    return sum(items)\n"),
                delete(
                    "tests/test_legacy.py",
                    "from legacy import legacy_total\n\n\ndef test_total():\n    assert legacy_total([1]) == 1\n",
                ),
            ],
        ),
        good(
            "snapshot asked for",
            "The title should be Store",
            vec![edit(
                "test/__snapshots__/page.test.js.snap",
                "exports[`page 1`] = `\n<h1>Shop</h1>\n`;\n",
                "exports[`page 1`] = `\n<h1>Store</h1>\n`;\n",
            )],
        ),
        good(
            "a new snapshot",
            "Show prices",
            vec![add("test/__snapshots__/price.test.js.snap", "exports[`price 1`] = `1`;\n")],
        ),
    ]
}
