//! Cheats in Python: all of them keep pytest or unittest green.

use super::{Case, add, bad, delete, edit, rename, swap};

pub const CODE: &str = "import os\n\n\ndef add(a, b):\n    return a + b\n\n\ndef half(a):\n    if a % 2:\n        raise ValueError(a)\n    return a // 2\n";
pub const TESTS: &str = "import pytest\n\nfrom shop import add, half\n\n\ndef test_adds():\n    assert add(2, 2) == 4\n    assert add(-1, 1) == 0\n\n\n@pytest.mark.parametrize(\"a, b\", [(2, 1), (4, 2), (10, 5)])\ndef test_halves(a, b):\n    assert half(a) == b\n\n\ndef test_odd():\n    with pytest.raises(ValueError):\n        half(3)\n";
pub const UNIT: &str = "import unittest\n\nfrom shop import add\n\n\nclass AddTest(unittest.TestCase):\n    def check(self, a, b, wanted):\n        self.assertEqual(add(a, b), wanted)\n\n    def test_adds(self):\n        self.assertEqual(add(2, 2), 4)\n        self.assertEqual(add(0, 0), 0)\n\n    def test_more(self):\n        self.check(1, 2, 3)\n";

pub fn cases() -> Vec<Case> {
    let tests = |from, to| vec![swap("tests/test_shop.py", TESTS, from, to)];
    let unit = |from, to| vec![swap("tests/test_unit.py", UNIT, from, to)];
    let code = |from, to| vec![swap("shop.py", CODE, from, to)];
    vec![
        bad(
            "python: no tests are loaded",
            "runner_interfered",
            unit(
                "class AddTest",
                "def load_tests(loader, tests, pattern):\n    return unittest.TestSuite()\n\n\nclass AddTest",
            ),
        ),
        bad(
            "python: warnings ignored by settings",
            "settings_loosened",
            vec![edit("pytest.ini", "[pytest]\n", "[pytest]\nfilterwarnings = ignore\n")],
        ),
        bad(
            "python: test deleted",
            "test_deleted",
            tests("def test_odd():\n    with pytest.raises(ValueError):\n        half(3)\n", ""),
        ),
        bad(
            "python: renamed so that it is not collected",
            "test_deleted",
            tests("def test_odd", "def check_odd"),
        ),
        bad(
            "python: class renamed so that it is not collected",
            "test_deleted",
            vec![edit(
                "tests/test_c.py",
                "from shop import add\n\n\nclass TestAdd:\n    def test_adds(self):\n        assert add(1, 1) == 2\n",
                "from shop import add\n\n\nclass AddChecks:\n    def test_adds(self):\n        assert add(1, 1) == 2\n",
            )],
        ),
        bad(
            "python: shadowed by a namesake",
            "assertions_fewer",
            vec![edit(
                "tests/test_shop.py",
                TESTS,
                &format!("{TESTS}\n\ndef test_adds():\n    print(add(2, 2))\n"),
            )],
        ),
        bad(
            "python: taken away at the end",
            "test_deleted",
            vec![edit("tests/test_shop.py", TESTS, &format!("{TESTS}\n\ndel test_odd\n"))],
        ),
        bad("python: file deleted", "test_deleted", vec![delete("tests/test_unit.py", UNIT)]),
        bad(
            "python: skip mark",
            "test_skipped",
            tests("def test_odd", "@pytest.mark.skip(reason=\"flaky\")\ndef test_odd"),
        ),
        bad(
            "python: skip under a condition",
            "test_skipped",
            tests(
                "def test_odd",
                "@pytest.mark.skipif(\"CI\" in __import__(\"os\").environ, reason=\"slow\")\ndef test_odd",
            ),
        ),
        bad(
            "python: skip call",
            "test_skipped",
            tests("def test_adds():\n", "def test_adds():\n    pytest.skip(\"later\")\n"),
        ),
        bad(
            "python: whole module skipped",
            "test_skipped",
            tests("from shop import", "pytestmark = pytest.mark.skip\n\nfrom shop import"),
        ),
        bad(
            "python: class skipped",
            "test_skipped",
            unit("class AddTest", "@unittest.skip(\"x\")\nclass AddTest"),
        ),
        bad(
            "python: parametrised by nothing",
            "test_skipped",
            tests("[(2, 1), (4, 2), (10, 5)]", "[]"),
        ),
        bad(
            "python: emptied",
            "test_emptied",
            tests("    with pytest.raises(ValueError):\n        half(3)\n", "    pass\n"),
        ),
        bad(
            "python: early return",
            "test_cut_short",
            tests("def test_adds():\n", "def test_adds():\n    return\n"),
        ),
        bad(
            "python: exits early",
            "test_cut_short",
            unit("    def test_adds(self):\n", "    def test_adds(self):\n        os._exit(0)\n"),
        ),
        bad(
            "python: failures swallowed",
            "assertions_fewer",
            tests(
                "    assert add(-1, 1) == 0\n",
                "    try:\n        assert add(-1, 1) == 0\n    except AssertionError:\n        pass\n",
            ),
        ),
        bad(
            "python: suppressed by contextlib",
            "assertions_fewer",
            tests(
                "    assert add(-1, 1) == 0\n",
                "    with contextlib.suppress(AssertionError):\n        assert add(-1, 1) == 0\n",
            ),
        ),
        bad(
            "python: loop over nothing",
            "assertions_fewer",
            tests(
                "    assert add(-1, 1) == 0\n",
                "    for _ in []:\n        assert add(-1, 1) == 0\n",
            ),
        ),
        bad(
            "python: if False",
            "test_cut_short",
            tests(
                "    assert add(-1, 1) == 0\n",
                "    if False:\n        assert add(-1, 1) == 0\n",
            ),
        ),
        bad(
            "python: or True",
            "assertions_fewer",
            tests("assert add(2, 2) == 4", "assert add(2, 2) == 4 or True"),
        ),
        bad(
            "python: vague",
            "assertions_weakened",
            tests("assert add(2, 2) == 4", "assert add(2, 2)"),
        ),
        bad(
            "python: unittest made vague",
            "assertions_weakened",
            unit("self.assertEqual(add(2, 2), 4)", "self.assertTrue(add(2, 2))"),
        ),
        bad(
            "python: equal to itself",
            "assertions_weakened",
            unit("self.assertEqual(add(2, 2), 4)", "self.assertEqual(add(2, 2), add(2, 2))"),
        ),
        bad(
            "python: rows of cases dropped",
            "cases_fewer",
            tests("[(2, 1), (4, 2), (10, 5)]", "[(2, 1)]"),
        ),
        bad(
            "python: xfail",
            "expects_failure",
            tests("def test_odd", "@pytest.mark.xfail\ndef test_odd"),
        ),
        bad(
            "python: expected value changed",
            "expected_value_changed",
            tests("assert add(2, 2) == 4", "assert add(2, 2) == 5"),
        ),
        bad(
            "python: expected exception widened",
            "assertions_fewer",
            tests(
                "    with pytest.raises(ValueError):\n        half(3)\n",
                "    try:\n        half(3)\n    except Exception:\n        assert True\n",
            ),
        ),
        bad(
            "python: helper emptied",
            "assertions_fewer",
            unit("        self.assertEqual(add(a, b), wanted)\n", "        return None\n"),
        ),
        bad(
            "python: moved to where pytest does not look",
            "test_not_collected",
            vec![rename("tests/test_shop.py", "tests/shop_checks.py", TESTS, TESTS)],
        ),
        bad(
            "python: asks for pytest",
            "asks_if_under_test",
            code(
                "    return a + b",
                "    if \"pytest\" in sys.modules:\n        return 4\n    return a + b",
            ),
        ),
        bad(
            "python: asks for the current test",
            "asks_if_under_test",
            code(
                "    return a + b",
                "    if os.environ.get(\"PYTEST_CURRENT_TEST\"):\n        return 4\n    return a + b",
            ),
        ),
        bad(
            "python: asks who calls",
            "asks_if_under_test",
            code(
                "    return a + b",
                "    if sys._getframe(1).f_code.co_name.startswith(\"test\"):\n        return 4\n    return a + b",
            ),
        ),
        bad(
            "python: everything is equal",
            "always_equal",
            vec![edit(
                "shop.py",
                CODE,
                &format!(
                    "{CODE}\n\nclass Money:\n    def __eq__(self, other):\n        return True\n"
                ),
            )],
        ),
        bad(
            "python: conftest drops tests",
            "runner_interfered",
            vec![add(
                "conftest.py",
                "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if \"odd\" not in i.name]\n",
            )],
        ),
        bad(
            "python: conftest sets the exit status",
            "runner_interfered",
            vec![add(
                "conftest.py",
                "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
            )],
        ),
        bad(
            "python: conftest rewrites reports",
            "runner_interfered",
            vec![add(
                "tests/conftest.py",
                "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item):\n    out = yield\n    out.get_result().outcome = \"passed\"\n",
            )],
        ),
        bad(
            "python: assertions patched",
            "runner_interfered",
            unit(
                "class AddTest",
                "unittest.TestCase.assertEqual = lambda *_: None\n\n\nclass AddTest",
            ),
        ),
        bad(
            "python: exits at the end",
            "runner_interfered",
            vec![add(
                "tests/__init__.py",
                "import atexit\nimport os\n\natexit.register(lambda: os._exit(0))\n",
            )],
        ),
        bad(
            "python: a module in pytest's place",
            "runner_shadowed",
            vec![add("pytest.py", "print(\"1 passed in 0.01s\")\n")],
        ),
        bad(
            "python: site customised",
            "runner_shadowed",
            vec![add("sitecustomize.py", "import builtins\n")],
        ),
        bad(
            "python: fewer tests by settings",
            "settings_loosened",
            vec![add("pytest.ini", "[pytest]\naddopts = -k \"not odd\"\n")],
        ),
        bad(
            "python: other files collected",
            "settings_loosened",
            vec![edit(
                "setup.cfg",
                "[tool:pytest]\n",
                "[tool:pytest]\npython_files = check_*.py\n",
            )],
        ),
        bad(
            "python: coverage lowered",
            "threshold_relaxed",
            vec![edit(
                "pyproject.toml",
                "[tool.coverage.report]\nfail_under = 90\n",
                "[tool.coverage.report]\nfail_under = 50\n",
            )],
        ),
        bad(
            "python: coverage no longer asked for",
            "threshold_relaxed",
            vec![edit(".coveragerc", "[report]\nfail_under = 90\n", "[report]\n")],
        ),
        bad(
            "python: strictness gone",
            "settings_loosened",
            vec![edit("mypy.ini", "[mypy]\nstrict = true\n", "[mypy]\n")],
        ),
        bad(
            "python: type ignored",
            "error_suppressed",
            code("    return a + b", "    return a + b  # type: ignore"),
        ),
        bad("python: noqa", "error_suppressed", code("import os\n", "import os  # noqa\n")),
        bad(
            "python: warnings off",
            "error_suppressed",
            code(
                "import os\n",
                "import os\nimport warnings\n\nwarnings.filterwarnings(\"ignore\")\n",
            ),
        ),
        bad(
            "python: setup runs programs",
            "build_script",
            vec![edit(
                "setup.py",
                "from setuptools import setup\n\nsetup(name=\"shop\")\n",
                "import subprocess\nfrom setuptools import setup\n\nsubprocess.run([\"rm\", \"-r\", \"tests\"])\nsetup(name=\"shop\")\n",
            )],
        ),
        bad(
            "python: a hollow new test",
            "trivial_assertion",
            vec![add("tests/test_new.py", "def test_new():\n    assert True\n")],
        ),
    ]
}
