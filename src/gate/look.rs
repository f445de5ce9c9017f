//! What every rule over the diff is given: the changed files, read once, and what binds them.
//!
//! Pure. Owns the reading of a change's two versions; never judges.

use super::change::Changed;
use super::drift::Fate;
use super::scan::{Language, Strings, code_of};
use super::syntax::Facts;
use crate::domain::redact::Redactor;

/// One changed file, read.
#[derive(Debug)]
pub struct View<'a> {
    pub change: &'a Changed,
    pub language: Language,
    pub old: Facts,
    pub new: Facts,
    /// The new text's lines with comments blanked.
    pub code: Vec<String>,
    /// The same with the contents of strings blanked too.
    pub blank: Vec<String>,
}

impl<'a> View<'a> {
    #[must_use]
    pub fn of(change: &'a Changed) -> Self {
        let language = Language::of(&change.path);
        let lines =
            |strings| code_of(&change.new, language, strings).lines().map(str::to_owned).collect();
        Self {
            change,
            language,
            old: Facts::of(change.former(), &change.old),
            new: Facts::of(&change.path, &change.new),
            code: lines(Strings::Keep),
            blank: lines(Strings::Blank),
        }
    }

    /// A line of the new text, from 1, as code.
    #[must_use]
    pub fn code(&self, line: u32) -> &str {
        self.code.get(line as usize - 1).map_or("", String::as_str)
    }

    /// The same without what stands in strings.
    #[must_use]
    pub fn bare(&self, line: u32) -> &str {
        self.blank.get(line as usize - 1).map_or("", String::as_str)
    }
}

/// All that a rule may look at.
pub struct Look<'a> {
    pub changes: &'a [Changed],
    pub views: &'a [View<'a>],
    /// What became of the tests there were.
    pub fate: &'a Fate,
    /// Every path of the new tree.
    pub paths: &'a [String],
    /// The commands that the gate runs.
    pub commands: &'a [&'a str],
    pub protected: &'a [super::glob::Glob],
    pub max_changed_files: u64,
    pub max_changed_lines: u64,
    pub asked: &'a Asked,
    /// What would be published beside the change.
    pub texts: &'a [String],
    pub known: &'a Redactor,
}

/// The issue's own words: what it asks for may change what a test expects.
///
/// Its author was found trusted before the work began; still it relaxes nothing but the
/// expectations that it spells out.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    text: String,
    words: std::collections::BTreeSet<String>,
}

impl Asked {
    /// Reads an issue's title and text.
    #[must_use]
    pub fn new(title: &str, body: &str) -> Self {
        let whole = format!("{title}\n{body}");
        // `#12` and a list's `1.` are no values.
        let mut text = String::new();
        for line in whole.lines() {
            let line = line.trim_start();
            let item = line.trim_start_matches(|c: char| c.is_ascii_digit());
            let line = if item.len() < line.len() {
                item.strip_prefix(". ").unwrap_or(line)
            } else {
                line
            };
            for word in line.split_whitespace() {
                let reference = word.trim_start_matches(['(', '[', '`']).strip_prefix('#');
                if !reference.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit())) {
                    text.push_str(&word.to_lowercase());
                    text.push(' ');
                }
            }
        }
        // `1,000` is a number, and `20%` is 0.2 too.
        let plain: String = {
            let chars: Vec<char> = text.chars().collect();
            let digit = |at: Option<usize>| {
                at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit)
            };
            let comma = |at: usize| {
                chars[at] == ','
                    && digit(at.checked_sub(1))
                    && (1..=3).all(|by| digit(Some(at + by)))
            };
            (0..chars.len()).filter(|at| !comma(*at)).map(|at| chars[at]).collect()
        };
        let mut words: std::collections::BTreeSet<String> = tokens(&text).collect();
        words.extend(tokens(&plain));
        for word in plain.split_whitespace() {
            let share = word.trim_end_matches(['.', ',', ')']).strip_suffix('%');
            if let Some(share) = share.and_then(|share| share.parse::<f64>().ok()) {
                words.insert((share / 100.0).to_string());
            }
        }
        Self { text, words }
    }

    /// Whether the issue names this.
    #[must_use]
    pub fn names(&self, what: &str) -> bool {
        let what = what.to_lowercase();
        if let Ok(number) = what.parse::<f64>() {
            let same = |word: &String| {
                word.parse::<f64>().is_ok_and(|it| it.to_bits() == number.to_bits())
            };
            return self.words.iter().any(same);
        }
        !what.is_empty()
            && (self.words.contains(&what)
                || (what.chars().count() >= 4 && self.text.contains(&what)))
    }

    /// Whether it asks for something to go.
    #[must_use]
    pub fn removes(&self) -> bool {
        const VERBS: [&str; 14] = [
            "remove", "removes", "removed", "removing", "removal", "delete", "deleted", "drop",
            "dropped", "retire", "obsolete", "stale", "unused", "dead",
        ];
        VERBS.iter().any(|verb| self.words.contains(*verb))
    }

    /// Whether one of these words stands in it.
    #[must_use]
    pub fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.words.contains(*word))
    }

    /// The text, in lower case.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Words and numbers of a text, in lower case; `1.5` and `snake_case` are one each.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-')))
        .flat_map(|word| {
            let word = word.trim_matches(|c: char| matches!(c, '.' | '-' | '_'));
            let parts = word.split(['-', '.', '_']).filter(move |part| *part != word);
            let whole = std::iter::once(word);
            // Of a decimal number the parts are no values.
            let number = word.parse::<f64>().is_ok();
            whole.chain(parts.filter(move |_| !number))
        })
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_issue_names() {
        let asked = Asked::new(
            "Greet with 'Good morning' (#12)",
            "1. total(100) should be 120.5\n2. see `old_total`, and remove it",
        );
        for named in ["good", "morning", "120.5", "100", "old_total", "total"] {
            assert!(asked.names(named), "{named}");
        }
        for other in ["12", "1", "2", "5", "evening"] {
            assert!(!asked.names(other), "{other}");
        }
        let numbers = Asked::new("Raise it by 20% to 1,000, up from 900.0", "");
        for named in ["0.2", "20", "1000", "900"] {
            assert!(numbers.names(named), "{named}");
        }
        assert!(asked.removes() && !Asked::new("Add it", "").removes());
    }
}
