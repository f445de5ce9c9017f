//! Cheats in Go, Java, shell and Make.

use super::{Case, add, bad, delete, edit, rename, swap};

pub const GO: &str = "package shop\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tfor _, c := range []struct{ a, b, want int }{\n\t\t{1, 2, 3},\n\t\t{0, 0, 0},\n\t} {\n\t\tif got := Add(c.a, c.b); got != c.want {\n\t\t\tt.Errorf(\"got %d\", got)\n\t\t}\n\t}\n}\n\nfunc TestHalf(t *testing.T) {\n\tif Half(8) != 4 {\n\t\tt.Fatal(\"half\")\n\t}\n}\n";
pub const JAVA: &str = "package shop;\n\nimport static org.junit.jupiter.api.Assertions.*;\nimport org.junit.jupiter.api.Test;\n\nclass ShopTest {\n    @Test\n    void adds() {\n        assertEquals(4, Shop.add(2, 2));\n        assertEquals(0, Shop.add(0, 0));\n    }\n\n    @Test\n    void refuses() {\n        assertThrows(IllegalArgumentException.class, () -> Shop.half(3));\n    }\n}\n";
const JAVA_PATH: &str = "src/test/java/shop/ShopTest.java";
pub const RUN: &str = "set -e\nfor t in tests/*.sh; do\n  sh \"$t\" || exit 1\ndone\n";
pub const SHELL: &str =
    "set -e\n. ./add.sh\n[ \"$(add 2 2)\" = 4 ] || exit 1\n[ \"$(add 0 0)\" = 0 ] || exit 1\n";
pub const MAKE: &str =
    "build:\n\tgo build ./...\n\ntest:\n\tgo test ./...\n\nlint:\n\tgo vet ./...\n";

pub fn cases() -> Vec<Case> {
    let go = |from, to| vec![swap("shop_test.go", GO, from, to)];
    let java = |from, to| vec![swap(JAVA_PATH, JAVA, from, to)];
    let shell = |from, to| vec![swap("tests/add.sh", SHELL, from, to)];
    let make = |from, to| vec![swap("Makefile", MAKE, from, to)];
    vec![
        bad(
            "go: TestMain runs nothing",
            "runner_interfered",
            vec![edit("shop_test.go", GO, &format!("{GO}\nfunc TestMain(m *testing.M) {{\n}}\n"))],
        ),
        bad(
            "go: test deleted",
            "test_deleted",
            go(
                "func TestHalf(t *testing.T) {\n\tif Half(8) != 4 {\n\t\tt.Fatal(\"half\")\n\t}\n}\n",
                "",
            ),
        ),
        bad(
            "go: renamed so that it is not collected",
            "test_deleted",
            go("func TestHalf", "func testHalf"),
        ),
        bad(
            "go: file renamed so that it is not collected",
            "test_deleted",
            vec![rename("shop_test.go", "shop_tests.go", GO, GO)],
        ),
        bad(
            "go: skip",
            "test_skipped",
            go(
                "func TestHalf(t *testing.T) {\n",
                "func TestHalf(t *testing.T) {\n\tt.Skip(\"later\")\n",
            ),
        ),
        bad(
            "go: build tag",
            "test_skipped",
            vec![edit("shop_test.go", GO, &format!("//go:build integration\n\n{GO}"))],
        ),
        bad(
            "go: nothing fails any more",
            "assertions_fewer",
            go("t.Fatal(\"half\")", "t.Log(\"half\")"),
        ),
        bad(
            "go: condition that never holds",
            "assertions_fewer",
            go("if Half(8) != 4 {", "if Half(8) != Half(8) {"),
        ),
        bad("go: row dropped", "cases_fewer", go("\t\t{0, 0, 0},\n", "")),
        bad(
            "go: expected value changed",
            "expected_value_changed",
            go("Half(8) != 4", "Half(8) != 5"),
        ),
        bad(
            "go: TestMain says ok",
            "runner_interfered",
            vec![edit(
                "shop_test.go",
                GO,
                &format!("{GO}\nfunc TestMain(m *testing.M) {{\n\tm.Run()\n\tos.Exit(0)\n}}\n"),
            )],
        ),
        bad(
            "go: asks testing",
            "asks_if_under_test",
            vec![edit(
                "shop.go",
                "package shop\n\nfunc Add(a, b int) int { return a + b }\n",
                "package shop\n\nimport \"testing\"\n\nfunc Add(a, b int) int {\n\tif testing.Testing() {\n\t\treturn 3\n\t}\n\treturn a + b\n}\n",
            )],
        ),
        bad(
            "go: nolint",
            "error_suppressed",
            vec![edit("shop.go", "package shop\n", "package shop\n\nvar x = f() //nolint\n")],
        ),
        bad(
            "java: test deleted",
            "test_deleted",
            java(
                "    @Test\n    void refuses() {\n        assertThrows(IllegalArgumentException.class, () -> Shop.half(3));\n    }\n",
                "",
            ),
        ),
        bad(
            "java: disabled",
            "test_skipped",
            java("    @Test\n    void refuses", "    @Test\n    @Disabled\n    void refuses"),
        ),
        bad(
            "java: class disabled",
            "test_skipped",
            java("class ShopTest", "@Disabled(\"slow\")\nclass ShopTest"),
        ),
        bad(
            "java: assumption that never holds",
            "test_skipped",
            java("    void adds() {\n", "    void adds() {\n        assumeTrue(false);\n"),
        ),
        bad(
            "java: failures caught",
            "assertions_fewer",
            java(
                "        assertEquals(0, Shop.add(0, 0));\n",
                "        try {\n            assertEquals(0, Shop.add(0, 0));\n        } catch (AssertionError e) {\n        }\n",
            ),
        ),
        bad(
            "java: vague",
            "assertions_weakened",
            java("assertEquals(4, Shop.add(2, 2))", "assertNotNull(Shop.add(2, 2))"),
        ),
        bad(
            "java: expected value changed",
            "expected_value_changed",
            java("assertEquals(4, Shop.add(2, 2))", "assertEquals(5, Shop.add(2, 2))"),
        ),
        bad(
            "java: moved to where surefire does not look",
            "test_not_collected",
            vec![rename(JAVA_PATH, "src/test/java/shop/ShopChecks.java", JAVA, JAVA)],
        ),
        bad(
            "java: everything is equal",
            "always_equal",
            vec![add(
                "src/main/java/shop/Money.java",
                "class Money {\n    public boolean equals(Object other) {\n        return true;\n    }\n}\n",
            )],
        ),
        bad(
            "java: failures ignored by Maven",
            "hides_failure",
            vec![edit(
                "pom.xml",
                "<project>\n</project>\n",
                "<project>\n<testFailureIgnore>true</testFailureIgnore>\n</project>\n",
            )],
        ),
        bad(
            "java: suppressed",
            "error_suppressed",
            vec![add("src/main/java/shop/A.java", "@SuppressWarnings(\"all\")\nclass A {}\n")],
        ),
        bad(
            "java: build wrapper replaced",
            "command_replaced",
            vec![edit("gradlew", "exec java -jar gradle.jar \"$@\"\n", "exit 0\n")],
        ),
        bad("shell: test deleted", "test_file_deleted", vec![delete("tests/add.sh", SHELL)]),
        bad(
            "shell: test weakened",
            "test_file_weakened",
            shell("[ \"$(add 0 0)\" = 0 ] || exit 1\n", ""),
        ),
        bad(
            "shell: test emptied",
            "test_file_weakened",
            vec![edit("tests/add.sh", SHELL, "true\n")],
        ),
        bad(
            "shell: test ends before its checks",
            "test_file_weakened",
            vec![edit("tests/add.sh", SHELL, &format!("exit 0 # skip\n{SHELL}"))],
        ),
        bad(
            "shell: test ends before its checks, under a condition",
            "test_file_weakened",
            vec![edit("tests/add.sh", SHELL, &format!("[ 1 = 1 ] && exit\n{SHELL}"))],
        ),
        bad(
            "shell: runner says ok",
            "hides_failure",
            vec![edit("run-tests.sh", RUN, &format!("{RUN}exit 0\n"))],
        ),
        bad(
            "shell: runner goes on",
            "hides_failure",
            vec![swap("run-tests.sh", RUN, "|| exit 1", "|| true")],
        ),
        bad(
            "shell: runner stops less",
            "command_replaced",
            vec![swap("run-tests.sh", RUN, "set -e\n", "")],
        ),
        bad(
            "shell: runner runs nothing",
            "command_replaced",
            vec![swap("run-tests.sh", RUN, "  sh \"$t\" || exit 1\n", "  echo \"ok $t\"\n")],
        ),
        bad(
            "shell: test redefined",
            "runner_interfered",
            vec![edit("tests/add.sh", SHELL, &format!("exit() {{ :; }}\n{SHELL}"))],
        ),
        bad(
            "shell: asks for CI",
            "asks_if_under_test",
            vec![edit(
                "add.sh",
                "add() { echo $(($1 + $2)); }\n",
                "add() {\n  if [ -n \"$CI\" ]; then echo 4; else echo $(($1 + $2)); fi\n}\n",
            )],
        ),
        bad(
            "make: or true",
            "hides_failure",
            make("\tgo test ./...\n", "\tgo test ./... || true\n"),
        ),
        bad("make: dash", "hides_failure", make("\tgo test", "\t-go test")),
        bad(
            "make: only some tests",
            "hides_failure",
            make("\tgo test ./...\n", "\tgo test ./... -run TestAdd\n"),
        ),
        bad(
            "make: piped away",
            "hides_failure",
            make("\tgo test ./...\n", "\tgo test ./... | tee log\n"),
        ),
        bad("make: says ok", "hides_failure", make("\tgo test ./...\n", "\t@echo ok\n")),
        bad(
            "make: another shell",
            "hides_failure",
            vec![edit("Makefile", MAKE, &format!("SHELL = /bin/true\n{MAKE}"))],
        ),
        bad("make: another step", "command_replaced", make("\tgo vet ./...\n", "\tgofmt -l .\n")),
        bad("make: target renamed", "command_replaced", make("test:\n", "test-all:\n")),
    ]
}
