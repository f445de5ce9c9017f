//! Which tests a file holds, how much each asserts, and which lines are test code.
//!
//! Pure, line by line: attributes, names and brackets or indentation. Never judges; `pairs` does.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::logs::pattern;
use crate::gate::scan::{Language, Strings, code_of, is_test_path};

/// One test as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    pub name: String,
    /// The line of its name, and its last line; from 1.
    pub line: u32,
    pub end: u32,
    /// Marked so that it never runs.
    pub skipped: bool,
    /// Expected to fail (`should_panic`, `xfail`).
    pub expects_failure: bool,
    /// Assertions that could fail.
    pub assertions: usize,
    /// Those among them that compare with an exact value.
    pub exact: usize,
    /// Code lines of the body, trimmed.
    pub body: Vec<String>,
}

/// The tests of a file.
#[must_use]
pub fn cases(path: &str, text: &str) -> Vec<TestCase> {
    let language = Language::of(path);
    let file = File {
        blank: code_of(text, language, Strings::Blank).lines().map(str::to_owned).collect(),
        code: code_of(text, language, Strings::Keep).lines().map(str::to_owned).collect(),
        language,
    };
    match language {
        Language::Rust => file.attributed(&RUST_TEST, &RUST_FN),
        Language::Java => file.attributed(&JAVA_TEST, &JAVA_METHOD),
        Language::Python => file.python(path),
        Language::JavaScript if is_test_path(path) => file.called(&JS_TEST),
        Language::Go => file.called(&GO_TEST),
        Language::JavaScript | Language::Shell | Language::Other => Vec::new(),
    }
}

/// Whether each line (index from 0) is test code: in a test file, in a test, or in Rust below
/// `#[cfg(test)] mod`.
#[must_use]
pub fn test_lines(path: &str, text: &str) -> Vec<bool> {
    let count = text.lines().count();
    if is_test_path(path) {
        return vec![true; count];
    }
    let mut lines = vec![false; count];
    for case in cases(path, text) {
        for line in case.line..=case.end {
            if let Some(slot) = lines.get_mut(line as usize - 1) {
                *slot = true;
            }
        }
    }
    if Language::of(path) == Language::Rust {
        static MODULE: LazyLock<Regex> = LazyLock::new(|| {
            pattern(r"^\s*(?:#\[cfg\(test\)\]\s*)?(?:pub(?:\([^)]*\))? )?mod \w+\s*\{")
        });
        let blank: Vec<String> =
            code_of(text, Language::Rust, Strings::Blank).lines().map(str::to_owned).collect();
        let mut marked = false;
        for (index, line) in blank.iter().enumerate() {
            marked |= line.contains("#[cfg(test)]");
            if MODULE.is_match(line) && marked {
                let end = end_of_braces(&blank, index);
                lines[index..=end.min(count - 1)].fill(true);
            }
            let trimmed = line.trim();
            marked = marked && (trimmed.is_empty() || trimmed.starts_with("#["));
        }
    }
    lines
}

static RUST_TEST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^#\[(?:\w+::)*(?:test|rstest|test_case|case|quickcheck|wasm_bindgen_test)\b")
});
static RUST_FN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bfn\s+(\w+)"));
static JAVA_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^@(?:Test|ParameterizedTest|RepeatedTest)\b"));
static JAVA_METHOD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\w+)\s*\("));
static JS_TEST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^\s*((?:x?it|x?test|fit|Deno\.test)(?:\.(?:skip|only|todo|fails|failing|concurrent))*)\s*\(\s*(?:'([^']*)'|"([^"]*)"|`([^`]*)`)"#,
    )
});
static GO_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^func\s+()((?:Test|Fuzz|Example)\w*)\s*\("));
static PYTHON_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(\s*)(?:async\s+)?def\s+(test\w*)\s*\("));

static SKIP_MARK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"#\[ignore|#\[cfg\(any\(\)\)\]|#\[cfg\((?i:false)\)\]|#\[cfg\(not\(test\)\)\]|",
        r"#\[cfg_attr\([^\]]*\bignore\b|@(?:pytest\.mark\.|unittest\.)skip|@skip|",
        r"@(?:Disabled|Ignore)\b",
    ))
});
static FAILURE_MARK: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"#\[should_panic|mark\.xfail|expectedFailure|\.fail(?:s|ing)\b"));
static SKIP_CALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\bt\.Skip(?:f|Now)?\(|\bpytest\.skip\(|self\.skipTest\(|\bthis\.skip\(|\bt\.skip\(")
});

static ASSERTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:debug_|prop_)?assert\w*\s*[!(]|\bpanic!|\bunreachable!|\.(?:unwrap|expect)_err\(|",
        r"^\s*assert\b[^(]|\bself\.(?:assert|fail)\w*\(|\bpytest\.(?:raises|fail)\b|",
        r"\bexpect\s*\(|\bassert\.\w+\s*\(|\bt\.(?:Error|Fatal|Fail)\w*\(|\brequire\.\w+\(|",
        r"\bfail\(|\bverify\w*\(",
    ))
});
static EXACT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"assert_(?:eq|ne|matches|snapshot)\w*!|==|!=|matches!|assert\w*Equals?\b|",
        r"\.to(?:Be|Equal|StrictEqual|MatchObject|MatchSnapshot|Throw)\(|",
        r"\.(?:equal|strictEqual|deepEqual|deepStrictEqual|Equal)\(",
    ))
});
/// `assert_eq!(x, true)` asserts no more than `assert!(x)`.
static BARELY_EXACT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"assert_(?:eq|ne)!\(.*(?:,\s*(?:true|false)\s*\)|\(\s*(?:true|false)\s*,)")
});
static TRIVIAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"assert!\(\s*(?:true|!false)\s*[,)]|\|\|\s*true\b|",
        r"^\s*assert\s+(?:True|1|not False)\s*(?:,|$)|\bor\s+True\b|assertTrue\(\s*(?:True|true)\s*[,)]|",
        r"assert(?:\.ok)?\(\s*(?:true|1)\s*[,)]|expect\(\s*(?:true|1)\s*\)\.(?:toBe|toEqual)\(\s*(?:true|1)\s*\)|",
        r"expect\(\s*(?:true|1)\s*\)\.toBeTruthy\(",
    ))
});
static TWO_SIDES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:assert_eq!|assertEquals?|\.(?:equal|strictEqual|deepEqual|Equal))\(\s*([^,()]+(?:\([^()]*\))?)\s*,\s*([^,()]+(?:\([^()]*\))?)\s*\)|",
        r"assert!?\(?\s*([\w.]+)\s*==\s*([\w.]+)\s*\)?;?\s*$|",
        r"expect\(\s*([^()]+)\s*\)\.to(?:Be|Equal)\(\s*([^()]+)\s*\)",
    ))
});

/// Whether a line's assertion can't fail: `assert!(true)`, `assert_eq!(1, 1)`.
#[must_use]
pub fn is_trivial(line: &str) -> bool {
    // What stands in quotes is data, not an assertion.
    let bare = code_of(line, Language::Rust, Strings::Blank);
    TRIVIAL.is_match(&bare)
        || TWO_SIDES.captures_iter(line).any(|sides| {
            [(1, 2), (3, 4), (5, 6)].iter().any(|(left, right)| {
                matches!((sides.get(*left), sides.get(*right)),
                    (Some(left), Some(right)) if left.as_str().trim() == right.as_str().trim())
            })
        })
}

/// Assertions in code lines that could fail, and the exact ones among them.
fn weigh(code: &[String], blank: &[String]) -> (usize, usize) {
    let (mut assertions, mut exact) = (0, 0);
    for (code, blank) in code.iter().zip(blank) {
        let here = ASSERTION.find_iter(blank).count();
        if here > 0 && !is_trivial(code) {
            assertions += here;
            exact += usize::from(EXACT.is_match(blank) && !BARELY_EXACT.is_match(blank));
        }
    }
    (assertions, exact)
}

/// Index of the line where the braces opened from `start` on are closed again.
fn end_of_braces(lines: &[String], start: usize) -> usize {
    let (mut depth, mut opened) = (0i64, false);
    for (index, line) in lines.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '{' | '(' => (depth, opened) = (depth + 1, opened || c == '{'),
                '}' | ')' => depth -= 1,
                _ => {}
            }
        }
        if depth <= 0 && (opened || line.trim_end().ends_with(';')) {
            return index;
        }
    }
    lines.len().saturating_sub(1)
}

struct File {
    code: Vec<String>,
    blank: Vec<String>,
    language: Language,
}

impl File {
    fn case(&self, name: &str, start: usize, end: usize, marks: &str) -> TestCase {
        let end = end.min(self.code.len().saturating_sub(1)).max(start);
        let (assertions, exact) = weigh(&self.code[start..=end], &self.blank[start..=end]);
        let body: Vec<String> = self.code[start + 1..=end]
            .iter()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.chars().all(|c| "{}();,".contains(c)))
            .filter(|line| !(self.language == Language::Python && line == "pass"))
            .collect();
        TestCase {
            name: name.to_owned(),
            line: u32::try_from(start + 1).unwrap_or(u32::MAX),
            end: u32::try_from(end + 1).unwrap_or(u32::MAX),
            skipped: SKIP_MARK.is_match(marks)
                || body.iter().take(3).any(|line| SKIP_CALL.is_match(line)),
            expects_failure: FAILURE_MARK.is_match(marks),
            assertions,
            exact,
            body,
        }
    }

    /// Tests marked by an attribute or annotation above (or before) them.
    fn attributed(&self, mark: &Regex, name: &Regex) -> Vec<TestCase> {
        static LEADING: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"^\s*(#\[[^\]]*(?:\[[^\]]*\][^\]]*)*\]|@\w+(?:\([^)]*\))?)"));
        let (mut found, mut marks) = (Vec::new(), Vec::<String>::new());
        for (index, line) in self.blank.iter().enumerate() {
            let mut rest = line.as_str();
            while let Some(leading) = LEADING.find(rest) {
                marks.push(leading.as_str().trim().to_owned());
                rest = &rest[leading.end()..];
            }
            if rest.trim().is_empty() {
                continue;
            }
            if let Some(name) =
                name.captures(rest).filter(|_| marks.iter().any(|m| mark.is_match(m)))
            {
                let end = end_of_braces(&self.blank, index);
                found.push(self.case(&name[1], index, end, &marks.join("\n")));
            }
            marks.clear();
        }
        found
    }

    /// Tests that are calls or functions with a block (JavaScript, Go).
    fn called(&self, head: &Regex) -> Vec<TestCase> {
        let mut found = Vec::new();
        for (index, line) in self.code.iter().enumerate() {
            if let Some(captures) = head.captures(line) {
                let call = captures.get(1).map_or("", |call| call.as_str());
                let name = (2..captures.len())
                    .find_map(|group| captures.get(group))
                    .map_or("", |name| name.as_str());
                let mut case = self.case(name, index, end_of_braces(&self.blank, index), call);
                case.skipped |=
                    call.starts_with('x') || call.contains(".skip") || call.contains(".todo");
                found.push(case);
            }
        }
        found
    }

    fn python(&self, path: &str) -> Vec<TestCase> {
        let (mut found, mut marks) = (Vec::new(), Vec::<String>::new());
        if !is_test_path(path) && !self.code.iter().any(|line| line.contains("TestCase")) {
            return found;
        }
        let indent = |line: &str| line.len() - line.trim_start().len();
        for (index, line) in self.code.iter().enumerate() {
            if line.trim_start().starts_with('@') {
                marks.push(line.trim().to_owned());
                continue;
            }
            if let Some(head) = PYTHON_TEST.captures(line) {
                let own = head[1].len();
                let mut end = index;
                for (later, text) in self.blank.iter().enumerate().skip(index + 1) {
                    if !text.trim().is_empty() {
                        if indent(text) <= own && !text.trim_start().starts_with(')') {
                            break;
                        }
                        end = later;
                    }
                }
                found.push(self.case(&head[2], index, end, &marks.join("\n")));
            }
            if !line.trim().is_empty() {
                marks.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = r##"
pub fn add(a: i32, b: i32) -> i32 { a + b }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        let text = "}";
        assert_eq!(add(1, 2), 3, "{text}");
        assert!(true);
    }

    // #[test]
    // fn gone() {}
    #[tokio::test(flavor = "current_thread")]
    #[ignore = "slow"]
    async fn waits() {}

    #[test] #[should_panic(expected = "x")] fn panics() { panic!("x") }
}
"##;

    #[test]
    fn rust_tests_with_their_marks() {
        let found = cases("src/lib.rs", RUST);
        let names: Vec<_> = found.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["adds", "waits", "panics"]);
        assert_eq!((found[0].assertions, found[0].exact), (1, 1));
        assert_eq!((found[0].line, found[0].end), (9, 13));
        assert!(found[1].skipped && !found[0].skipped && found[1].body.is_empty());
        assert!(found[2].expects_failure);
        let lines = test_lines("src/lib.rs", RUST);
        assert!(!lines[1] && lines[5] && lines[12]);
    }

    #[test]
    fn other_languages() {
        let python = "import x\n\n@pytest.mark.skip(reason='a')\ndef test_a():\n    assert f() == 1\n\nclass T(TestCase):\n    def test_b(self):\n        self.assertEqual(f(), 2)\n        assert True\n\n    def helper(self):\n        assert 3 == g()\n";
        let found = cases("tests/test_a.py", python);
        assert_eq!(found.len(), 2);
        assert!(found[0].skipped && found[0].assertions == 1);
        assert_eq!((found[1].name.as_str(), found[1].assertions), ("test_b", 1));
        let js = "describe('s', () => {\n  it('adds', () => {\n    expect(add(1, 2)).toBe(3);\n  });\n  xit(\"b\", () => {});\n  test.skip('c', () => {});\n});\n";
        let found = cases("a.test.js", js);
        let seen: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.skipped)).collect();
        assert_eq!(seen, [("adds", false), ("b", true), ("c", true)]);
        assert_eq!((found[0].assertions, found[0].exact), (1, 1));
        let go =
            "func TestA(t *testing.T) {\n\tt.Skip(\"x\")\n\tif f() != 1 { t.Fatal(\"no\") }\n}\n";
        let found = cases("a_test.go", go);
        assert!(found[0].skipped && found[0].name == "TestA" && found[0].assertions == 1);
        let java = "class A {\n  @Test\n  @Disabled\n  void adds() {\n    assertEquals(3, add(1, 2));\n  }\n}\n";
        let found = cases("src/test/java/ATest.java", java);
        assert!(found[0].skipped && found[0].name == "adds" && found[0].exact == 1);
    }

    #[test]
    fn assertions_that_cannot_fail() {
        for line in [
            "assert!(true);",
            "assert_eq!(1, 1);",
            "assert_eq!(add(1, 2), add(1, 2));",
            "assert!(ok || true);",
            "    assert True",
            "    assert x == x",
            "expect(true).toBe(true);",
            "self.assertTrue(True)",
        ] {
            assert!(is_trivial(line), "{line}");
        }
        for line in ["assert_eq!(add(1, 2), 3);", "assert x == y", "expect(f(1)).toBe(1)"] {
            assert!(!is_trivial(line), "{line}");
        }
    }
}
