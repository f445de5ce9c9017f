//! Reading source line by line: which language, what is code and what is comment.
//!
//! Pure. Blanks comments (and, where asked, string contents) with spaces, so that line numbers and
//! columns stay; never parses.

/// A language the rules know something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    JavaScript,
    Go,
    Java,
    Shell,
    Other,
}

impl Language {
    #[must_use]
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "rs" => Self::Rust,
            "py" | "pyi" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" | "vue" | "svelte" => {
                Self::JavaScript
            }
            "go" => Self::Go,
            "java" | "kt" | "kts" | "scala" => Self::Java,
            "sh" | "bash" | "bats" | "zsh" => Self::Shell,
            _ => Self::Other,
        }
    }

    /// Whether this is source whose tests we can name.
    #[must_use]
    pub const fn names_tests(self) -> bool {
        match self {
            Self::Rust | Self::Python | Self::JavaScript | Self::Go | Self::Java => true,
            Self::Shell | Self::Other => false,
        }
    }
}

/// Whether a path is where tests live, by its folders or its name.
#[must_use]
pub fn is_test_path(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = |part: &str| {
        matches!(part, "tests" | "test" | "__tests__" | "spec" | "specs" | "testing" | "e2e")
    };
    if folders.split('/').any(folder) {
        return true;
    }
    let stem = name.split('.').next().unwrap_or(name);
    let infix = name.contains(".test.") || name.contains(".spec.");
    let words = stem.split(['_', '-']).any(|word| matches!(word, "test" | "tests" | "conftest"));
    let camel = ["Test", "Tests", "IT"].iter().any(|end| stem.ends_with(end))
        && Language::of(name) == Language::Java;
    infix || words || camel
}

/// What to blank besides comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strings {
    Keep,
    Blank,
}

/// The text with comments blanked.
#[must_use]
pub fn code_of(text: &str, language: Language, strings: Strings) -> String {
    match language {
        Language::Rust | Language::JavaScript | Language::Go | Language::Java => {
            Masker::new(text, strings).c_like(language)
        }
        Language::Python => Masker::new(text, strings).python(),
        Language::Shell | Language::Other => Masker::new(text, strings).hashes(),
    }
}

struct Masker {
    chars: Vec<char>,
    at: usize,
    out: String,
    strings: Strings,
}

impl Masker {
    fn new(text: &str, strings: Strings) -> Self {
        Self {
            chars: text.chars().collect(),
            at: 0,
            out: String::with_capacity(text.len()),
            strings,
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(index, c)| self.peek(index) == Some(c))
    }

    fn keep(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.peek(0) {
                self.out.push(c);
                self.at += 1;
            }
        }
    }

    fn blank(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.peek(0) {
                self.out.push(if c == '\n' { '\n' } else { ' ' });
                self.at += 1;
            }
        }
    }

    fn blank_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.blank(1);
        }
    }

    fn inside(&mut self, count: usize) {
        match self.strings {
            Strings::Keep => self.keep(count),
            Strings::Blank => self.blank(count),
        }
    }

    /// A string that ends with `close`, its opening already kept.
    fn string(&mut self, close: &str, escapes: bool, one_line: bool) {
        while let Some(c) = self.peek(0) {
            if self.starts(close) {
                return self.keep(close.chars().count());
            }
            if one_line && c == '\n' {
                return;
            }
            self.inside(if escapes && c == '\\' { 2 } else { 1 });
        }
    }

    fn c_like(mut self, language: Language) -> String {
        while let Some(c) = self.peek(0) {
            if self.starts("//") {
                self.blank_line();
            } else if self.starts("/*") {
                self.block_comment(language == Language::Rust);
            } else if language == Language::Rust && c == 'r' && self.raw_string() {
            } else if c == '"' {
                self.keep(1);
                self.string("\"", true, language != Language::Rust);
            } else if c == '`' && matches!(language, Language::JavaScript | Language::Go) {
                self.keep(1);
                self.string("`", language == Language::JavaScript, false);
            } else if c == '\'' && self.quoted_char(language) {
                self.keep(1);
                self.string("'", true, true);
            } else {
                self.keep(1);
            }
        }
        self.out
    }

    /// In Rust `'a` is a lifetime; `'x'` and `'\n'` are characters.
    fn quoted_char(&self, language: Language) -> bool {
        language != Language::Rust || self.peek(1) == Some('\\') || self.peek(2) == Some('\'')
    }

    fn block_comment(&mut self, nested: bool) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            if self.starts("/*") && (nested || depth == 0) {
                depth += 1;
                self.blank(2);
            } else if self.starts("*/") {
                depth -= 1;
                self.blank(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.blank(1);
            }
        }
    }

    /// `r"…"`, `r#"…"#`; says whether there was one.
    fn raw_string(&mut self) -> bool {
        let word_before = self
            .at
            .checked_sub(1)
            .and_then(|before| self.chars.get(before))
            .is_some_and(|c| (c.is_alphanumeric() && *c != 'b') || *c == '_');
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        if word_before || self.peek(1 + hashes) != Some('"') {
            return false;
        }
        self.keep(2 + hashes);
        let close = format!("\"{}", "#".repeat(hashes));
        self.string(&close, false, false);
        true
    }

    fn python(mut self) -> String {
        while let Some(c) = self.peek(0) {
            if c == '#' {
                self.blank_line();
            } else if self.starts("\"\"\"") || self.starts("'''") {
                let close = c.to_string().repeat(3);
                self.keep(3);
                self.string(&close, true, false);
            } else if c == '"' || c == '\'' {
                self.keep(1);
                self.string(&c.to_string(), true, true);
            } else {
                self.keep(1);
            }
        }
        self.out
    }

    /// Whole-line `#` comments only: in a shell or a configuration a `#` may stand inside words.
    fn hashes(mut self) -> String {
        let mut fresh = true;
        while let Some(c) = self.peek(0) {
            if fresh && c == '#' {
                self.blank_line();
            } else {
                fresh = c == '\n' || (fresh && c.is_whitespace());
                self.keep(1);
            }
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_lines_stay() {
        let text = "let a = \"// no\"; // yes\n/* b\n/* c */ d */ let e = 'x';\n";
        let code = code_of(text, Language::Rust, Strings::Keep);
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("// no") && !code.contains("yes") && !code.contains('d'));
        assert!(code.contains("let e"));
    }

    #[test]
    fn strings_go_where_asked() {
        let text = "f(r#\"a \" { b\"#, \"}\", '{', 'a)";
        let code = code_of(text, Language::Rust, Strings::Blank);
        assert!(!code.contains('{') && !code.contains('}') && code.contains("'a)"), "{code}");
        let python = code_of("x = '''\n{\n''' # c\ny='#'", Language::Python, Strings::Blank);
        assert!(!python.contains('{') && !python.contains('c') && python.lines().count() == 4);
    }

    #[test]
    fn where_tests_live() {
        for path in
            ["tests/a.rs", "a/test_x.py", "x_test.go", "a.spec.ts", "src/FooTest.java", "test.sh"]
        {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["src/lib.rs", "contest.py", "src/latest.rs", "attest/a.rs"] {
            assert!(!is_test_path(path), "{path}");
        }
    }
}
