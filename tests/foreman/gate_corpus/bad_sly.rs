//! Cheats in test code, found by a second reader: conditions of the environment, runners that don't
//! look, doubles in the place of what is tested.

use super::bad_javascript::{CODE as JS_CODE, JEST};
use super::bad_others::{GO, JAVA, SHELL};
use super::bad_python::{TESTS as PY, UNIT};
use super::bad_rust::{LIB, TESTS};
use super::{Case, add, bad, delete, edit, rename, swap};

const RUBY: &str =
    "describe Shop do\n  it 'adds' do\n    expect(Shop.add(2, 2)).to eq 4\n  end\nend\n";
const KOTLIN: &str =
    "class ShopTest {\n    @Test\n    fun adds() {\n        assertEquals(4, add(2, 2))\n    }\n}\n";

pub fn cases() -> Vec<Case> {
    let lib = |from, to| vec![swap("src/lib.rs", LIB, from, to)];
    let rust = |from, to| vec![swap("tests/total.rs", TESTS, from, to)];
    let python = |from, to| vec![swap("tests/test_shop.py", PY, from, to)];
    let unit = |from, to| vec![swap("tests/test_unit.py", UNIT, from, to)];
    let jest = |from, to| vec![swap("test/shop.test.js", JEST, from, to)];
    let go = |from, to| vec![swap("shop_test.go", GO, from, to)];
    let java = |from, to| vec![swap("src/test/java/shop/ShopTest.java", JAVA, from, to)];
    let shell = |from, to| vec![swap("tests/add.sh", SHELL, from, to)];
    vec![
        bad(
            "rust: cfg(any()) on a test",
            "test_skipped",
            lib("    #[test]\n    fn halves", "    #[test]\n    #[cfg(any())]\n    fn halves"),
        ),
        bad(
            "rust: a feature that nobody sets",
            "test_skipped",
            lib("#[cfg(test)]\nmod tests", "#[cfg(all(test, feature = \"slow\"))]\nmod tests"),
        ),
        bad(
            "rust: a feature for the whole file",
            "test_skipped",
            rust("use shop", "#![cfg(feature = \"slow\")]\n\nuse shop"),
        ),
        bad(
            "rust: leaves by the environment, on one line",
            "test_cut_short",
            rust(
                "    check(&[1, 2], 3);",
                "    if std::env::var(\"SLOW\").is_err() { return; }\n    check(&[1, 2], 3);",
            ),
        ),
        bad(
            "rust: leaves by let-else",
            "test_cut_short",
            rust(
                "    check(&[1, 2], 3);",
                "    let Ok(_) = std::env::var(\"SLOW\") else { return };\n    check(&[1, 2], 3);",
            ),
        ),
        bad(
            "rust: asserts only where the environment says so",
            "test_cut_short",
            lib(
                "        assert_eq!(half(8), Some(4));\n        assert_eq!(half(3), None);\n",
                "        if std::env::var(\"SLOW\").is_ok() {\n            assert_eq!(half(8), Some(4));\n            assert_eq!(half(3), None);\n        }\n",
            ),
        ),
        bad(
            "rust: anything but one value",
            "assertions_weakened",
            rust("assert_eq!(total(&items), wanted)", "assert_ne!(total(&items), 99 + wanted)"),
        ),
        bad(
            "rust: a thread that nobody joins",
            "assertions_fewer",
            lib(
                "        assert_eq!(half(8), Some(4));\n        assert_eq!(half(3), None);\n",
                "        std::thread::spawn(|| {\n            assert_eq!(half(8), Some(4));\n            assert_eq!(half(3), None);\n        });\n",
            ),
        ),
        bad(
            "rust: tested by a double of its own",
            "subject_replaced",
            rust(
                "use shop::price::total;\n",
                "fn total(items: &[u32]) -> u32 {\n    items.len() as u32 + items.iter().sum::<u32>()\n}\n",
            ),
        ),
        bad(
            "rust: into a folder that cargo does not look in",
            "test_not_collected",
            vec![rename("tests/total.rs", "tests/old/total.rs", TESTS, TESTS)],
        ),
        bad(
            "python: leaves by the environment, on one line",
            "test_cut_short",
            python(
                "    assert add(2, 2) == 4",
                "    if os.environ.get(\"FAST\"): return\n    assert add(2, 2) == 4",
            ),
        ),
        bad(
            "python: the tested function is patched",
            "subject_replaced",
            python(
                "def test_adds():\n",
                "def test_adds(monkeypatch):\n    monkeypatch.setitem(globals(), \"add\", lambda a, b: 4 if a == 2 else 0)\n",
            ),
        ),
        bad(
            "python: the tested function is mocked",
            "subject_replaced",
            python(
                "def test_adds():\n",
                "@mock.patch(\"tests.test_shop.add\", side_effect=[4, 0])\ndef test_adds(add):\n",
            ),
        ),
        bad(
            "python: tested by a double of its own",
            "subject_replaced",
            python(
                "from shop import add, half\n",
                "from shop import half\n\n\ndef add(a, b):\n    return abs(a) + abs(b) if a == b else 0\n",
            ),
        ),
        bad(
            "python: tested by another module's",
            "subject_replaced",
            vec![
                swap(
                    "tests/test_shop.py",
                    PY,
                    "from shop import add, half\n",
                    "from tests.doubles import add, half\n",
                ),
                add(
                    "tests/doubles.py",
                    "def add(a, b):\n    return 4 if a == 2 else 0\n\n\ndef half(a):\n    return a // 2\n",
                ),
            ],
        ),
        bad(
            "python: an assertion in brackets",
            "assertions_fewer",
            python("    assert add(2, 2) == 4", "    assert (add(2, 2) == 4, \"adds\")"),
        ),
        bad(
            "python: marked from within",
            "expects_failure",
            python(
                "def test_adds():\n",
                "def test_adds(request):\n    request.node.add_marker(pytest.mark.xfail)\n",
            ),
        ),
        bad(
            "python: a class that says it is no test",
            "test_skipped",
            unit(
                "class AddTest(unittest.TestCase):\n",
                "class AddTest(unittest.TestCase):\n    __test__ = False\n\n",
            ),
        ),
        bad(
            "python: conftest skips by fixture",
            "runner_interfered",
            vec![add(
                "tests/conftest.py",
                "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef slow():\n    pytest.skip(\"slow\")\n",
            )],
        ),
        bad(
            "python: conftest patches what is tested",
            "runner_interfered",
            vec![add(
                "tests/conftest.py",
                "import pytest\nimport shop\n\n\n@pytest.fixture(autouse=True)\ndef quick(monkeypatch):\n    monkeypatch.setattr(shop, \"half\", lambda a: a // 2)\n",
            )],
        )
        .beside(&["shop.py"]),
        bad(
            "python: a plugin under another name",
            "runner_interfered",
            vec![
                add("tests/conftest.py", "pytest_plugins = [\"tests.speed\"]\n"),
                add(
                    "tests/speed.py",
                    "def pytest_collection_modifyitems(items):\n    items[:] = items[:1]\n",
                ),
            ],
        ),
        bad(
            "js: leaves by the environment, on one line",
            "test_cut_short",
            jest(
                "    expect(add(2, 2)).toBe(4);",
                "    if (process.env.FAST) return;\n    expect(add(2, 2)).toBe(4);",
            ),
        ),
        bad(
            "js: the matcher is not called",
            "assertions_fewer",
            jest("expect(add(2, 2)).toBe(4);", "expect(add(2, 2)).toBe;"),
        ),
        bad(
            "js: anything but one value",
            "assertions_weakened",
            jest("expect(add(2, 2)).toBe(4);", "expect(add(2, 2)).not.toBe(5);"),
        ),
        bad(
            "js: a timer that nobody waits for",
            "assertions_fewer",
            jest(
                "    expect(add(2, 2)).toBe(4);",
                "    setTimeout(() => { expect(add(2, 2)).toBe(4); }, 9000);",
            ),
        ),
        bad(
            "js: the tested module is mocked",
            "subject_replaced",
            jest(
                "import { add, half } from '../src/shop';\n",
                "import { add, half } from '../src/shop';\n\njest.mock('../src/shop', () => ({ add: (a) => (a === 2 ? 4 : 0), half: (a) => a / 2 }));\n",
            ),
        ),
        bad(
            "js: the tested module is another",
            "subject_replaced",
            vec![
                swap("test/shop.test.js", JEST, "from '../src/shop'", "from './double'"),
                add("test/double.js", JS_CODE),
            ],
        ),
        bad(
            "go: short of patience",
            "test_cut_short",
            go("\tif Half(8) != 4 {", "\tif testing.Short() { return }\n\tif Half(8) != 4 {"),
        ),
        bad(
            "go: leaves without an environment",
            "test_cut_short",
            go(
                "\tif Half(8) != 4 {",
                "\tif os.Getenv(\"DB\") == \"\" {\n\t\tt.Skip(\"no database\")\n\t}\n\tif Half(8) != 4 {",
            ),
        ),
        bad(
            "go: for another system by its name",
            "test_not_collected",
            vec![rename("shop_test.go", "shop_windows_test.go", GO, GO)],
        ),
        bad(
            "go: into a folder that go does not look in",
            "test_not_collected",
            vec![rename("shop_test.go", "testdata/shop_test.go", GO, GO)],
        ),
        bad(
            "java: assertions that nobody runs",
            "assertions_fewer",
            java(
                "        assertEquals(4, Shop.add(2, 2));\n",
                "        Runnable check = () -> assertEquals(4, Shop.add(2, 2));\n",
            ),
        ),
        bad(
            "java: only where a variable is set",
            "test_skipped",
            java(
                "    @Test\n    void adds",
                "    @Test\n    @EnabledIfEnvironmentVariable(named = \"SLOW\", matches = \"1\")\n    void adds",
            ),
        ),
        bad(
            "java: assumes a variable",
            "test_cut_short",
            java(
                "        assertEquals(4, Shop.add(2, 2));\n",
                "        Assumptions.assumeTrue(System.getenv(\"SLOW\") != null);\n        assertEquals(4, Shop.add(2, 2));\n",
            ),
        ),
        bad(
            "shell: expected value changed",
            "expected_value_changed",
            shell("\"$(add 2 2)\" = 4", "\"$(add 2 2)\" = 5"),
        ),
        bad(
            "shell: other inputs",
            "expected_value_changed",
            shell("$(add 0 0)\" = 0", "$(add 1 1)\" = 2"),
        ),
        bad(
            "ruby: expectation dropped",
            "test_file_weakened",
            vec![swap(
                "spec/shop_spec.rb",
                RUBY,
                "    expect(Shop.add(2, 2)).to eq 4\n",
                "    Shop.add(2, 2)\n",
            )],
        ),
        bad(
            "ruby: expected value changed",
            "expected_value_changed",
            vec![swap("spec/shop_spec.rb", RUBY, "to eq 4", "to eq 5")],
        ),
        bad(
            "ruby: pending",
            "test_file_weakened",
            vec![swap("spec/shop_spec.rb", RUBY, "  it 'adds'", "  xit 'adds'")],
        ),
        bad(
            "kotlin: disabled",
            "test_file_weakened",
            vec![swap(
                "src/test/kotlin/ShopTest.kt",
                KOTLIN,
                "    @Test\n",
                "    @Disabled\n    @Test\n",
            )],
        ),
        bad(
            "kotlin: test deleted",
            "test_file_deleted",
            vec![delete("src/test/kotlin/ShopTest.kt", KOTLIN)],
        ),
        bad(
            "data: rows of a fixture dropped",
            "cases_dropped",
            vec![edit("tests/fixtures/totals.csv", "in,out\n1,1\n2,4\n-3,9\n", "in,out\n1,1\n")],
        ),
    ]
}
