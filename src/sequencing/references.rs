//! Dependencies from an author's words.
//!
//! Owns the grammar: one of the phrases `Depends on`, `Blocked by`, `Requires`, `After` (any case),
//! perhaps "the following issues", perhaps a colon, and **right behind it** one or more references:
//! `#2`, `GH-2`, `owner/repo#2` or an issue's address, joined by commas, "and" or blanks. A heading
//! or a line that ends with such a phrase takes the references that *start* the items of the list
//! (or the lines) below it. `After lunch we saw #2` names no dependency, nor does `not blocked by
//! #2`, nor an issue naming itself. Never decides whether the author is to be believed.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::Issue;

use super::markdown::{self, Line, LineKind, Prose};

/// A dependency found in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextReference {
    /// The words, as written.
    pub phrase: String,
    /// Lower-case `owner/name`; `None`: the issue's own repository.
    pub repo: Option<String>,
    pub number: IssueNumber,
}

/// The dependencies that an issue's title and body name, in order of appearance, each once.
#[must_use]
pub fn text_references(issue: &Issue, repo: &RepoName) -> Vec<TextReference> {
    references_in(issue, &markdown::read(&issue.body), repo)
}

/// As [`text_references`], with the body already read.
pub(super) fn references_in(issue: &Issue, body: &Prose, repo: &RepoName) -> Vec<TextReference> {
    let host = Url::parse(&issue.html_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let mut scan =
        Scan { issue, repo: repo.key(), host, open: None, seen: HashSet::new(), found: Vec::new() };
    for line in &markdown::read(&issue.title).lines {
        scan.line(&Line { kind: LineKind::Text, ..line.clone() });
    }
    scan.open = None;
    for line in &body.lines {
        scan.line(line);
    }
    scan.found
}

/// Longest phrase kept with an edge, in characters: it is shown to people.
const PHRASE_CHARS: usize = 120;
/// How many words before a phrase may turn it into its opposite.
const NEGATION_WORDS: usize = 4;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("a valid pattern"));
    };
}

pattern!(PHRASE, r"(?i)\b(?:depends[\s-]+on|blocked[\s-]+by|requires|after)\b");
// What may stand between a phrase and its first reference.
pattern!(
    LEAD,
    r"(?i)^(?:\s+(?:the\s+)?(?:following\s+)?(?:issues?|tickets?|tasks?|pull\s+requests?|prs?)\b)?\s*(?P<colon>[:：=–—-])?[\s(\[]*"
);
pattern!(
    REFERENCE,
    r"(?x)^(?:
        (?:(?P<slug>[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+)?\#|(?i:gh)-)(?P<number>[0-9]{1,10})
      | https?://(?P<host>[^\s/:@]+)(?::[0-9]+)?/(?P<owner>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9._-]+)
        /(?:issues|pull)/(?P<linked>[0-9]{1,10})(?:[/?\#][^\s,;)\]]*)?
    )"
);
// What may stand between two references: a note in brackets, then separators.
pattern!(
    BETWEEN,
    r"(?i)^[)\]]?(?:\s*\([^()]{0,200}\))?(?:[\s,;&+/]|(?:and|or|also|issues?)\b)*[(\[]?"
);
pattern!(TRAILING, r"(?i)(?:[,;&+]|\band)\s*$");

/// A phrase that waits for the lines below it.
struct Open {
    phrase: String,
    at: LineKind,
    /// The depth of the list that it took references from.
    depth: Option<u32>,
    /// Nothing was taken yet.
    fresh: bool,
    /// Only the next line continues a list of references broken behind a comma.
    broken: bool,
}

struct Scan<'a> {
    issue: &'a Issue,
    repo: String,
    host: Option<String>,
    open: Option<Open>,
    seen: HashSet<(Option<String>, IssueNumber)>,
    found: Vec<TextReference>,
}

impl Scan<'_> {
    fn line(&mut self, line: &Line) {
        if let Some(open) = self.open.take() {
            self.open = self.below(open, line);
        }
        for phrase in PHRASE.find_iter(&line.text) {
            let (before, rest) = (&line.text[..phrase.start()], &line.text[phrase.end()..]);
            let (lead, colon) = LEAD
                .captures(head(rest))
                .map_or((0, false), |c| (c[0].len(), c.name("colon").is_some()));
            let (list, used) = self.references(&rest[lead..]);
            let (words, rest) = line.text[phrase.start()..].split_at(phrase.len() + lead + used);
            let is_found = !list.is_empty();
            let is_bare_phrase = used == 0 && rest.is_empty();
            if !(is_found || is_bare_phrase) || is_negated(before) {
                continue;
            }
            self.keep(words, &list);
            let opens = if is_found {
                is_broken_off(rest)
            } else {
                let starts = !before.contains(char::is_alphabetic);
                colon || starts || line.kind == LineKind::Heading
            };
            if opens {
                self.open = Some(Open {
                    phrase: if is_found { phrase.as_str() } else { words.trim_end() }.to_owned(),
                    at: line.kind,
                    depth: None,
                    fresh: true,
                    broken: is_found,
                });
            }
        }
    }

    /// Takes what a line below an open phrase adds to it; `None` when the phrase is done with.
    fn below(&mut self, mut open: Open, line: &Line) -> Option<Open> {
        if line.kind == LineKind::Heading {
            return None;
        }
        let text = line.text.trim_start_matches([' ', '(', '[']);
        let (list, used) = self.references(text);
        let rest = &text[used..];
        if open.broken {
            self.keep(&format!("{} {}", open.phrase, &text[..used]), &list);
            return (!list.is_empty() && is_broken_off(rest)).then_some(open);
        }
        match line.kind {
            LineKind::Item(depth) if !(line.continued && line.kind == open.at) => {
                // Back at, or above, the item that held the phrase: its list has ended.
                if matches!(open.at, LineKind::Item(held) if depth <= held) {
                    return None;
                }
                let listed = *open.depth.get_or_insert(depth);
                if depth < listed {
                    return None;
                }
                if depth == listed && !line.continued {
                    self.keep(&format!("{} {}", open.phrase, &text[..used]), &list);
                }
            }
            LineKind::Item(_) | LineKind::Text | LineKind::Heading => {
                let counts = !list.is_empty() && (open.fresh || is_bare(rest));
                if !counts {
                    return None;
                }
                self.keep(&format!("{} {}", open.phrase, &text[..used]), &list);
            }
        }
        open.fresh = false;
        Some(open)
    }

    /// The references at the start of a text, and how much of it they take.
    fn references(&self, text: &str) -> (Vec<Target>, usize) {
        let mut list = Vec::new();
        let (mut at, mut used) = (0, 0);
        while let Some((target, length)) = self.reference(&text[at..]) {
            list.extend(target);
            at += length;
            used = at;
            let gap = BETWEEN.find(head(&text[at..])).map_or(0, |gap| gap.end());
            if gap == 0 {
                break;
            }
            at += gap;
        }
        (list, used)
    }

    /// The reference that a text starts with; `Some((None, _))` for one that can't be ours.
    fn reference(&self, text: &str) -> Option<(Option<Target>, usize)> {
        let found = REFERENCE.captures(head(text))?;
        let length = found[0].len();
        if text[length..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
            return None;
        }
        let number = found.name("number").or_else(|| found.name("linked"))?.as_str();
        let number = number.parse().ok().filter(|number| *number > 0).map(IssueNumber)?;
        let slug = match (found.name("owner"), found.name("name"), found.name("slug")) {
            (Some(owner), Some(name), _) => {
                let host = &found["host"];
                let ours = self.host.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(host));
                if !ours && !matches!(host, "github.com" | "www.github.com") {
                    return Some((None, length));
                }
                Some(format!("{}/{}", owner.as_str(), name.as_str()))
            }
            (_, _, Some(slug)) => Some(slug.as_str().to_owned()),
            _ => None,
        };
        let repo = slug.map(|slug| slug.to_ascii_lowercase()).filter(|slug| *slug != self.repo);
        Some((Some(Target { repo, number }), length))
    }

    fn keep(&mut self, words: &str, list: &[Target]) {
        let phrase: String = words.trim().chars().take(PHRASE_CHARS).collect();
        for Target { repo, number } in list {
            let itself = repo.is_none() && *number == self.issue.number;
            if !itself && self.seen.insert((repo.clone(), *number)) {
                let (phrase, repo) = (phrase.clone(), repo.clone());
                self.found.push(TextReference { phrase, repo, number: *number });
            }
        }
    }
}

struct Target {
    repo: Option<String>,
    number: IssueNumber,
}

/// As much of a text as one reference, with its note, can take, in bytes: a body of nothing but
/// references is read in linear time.
const WINDOW: usize = 512;

fn head(text: &str) -> &str {
    let ends = (0..=WINDOW.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..ends.unwrap_or(0)]
}

fn tail(text: &str) -> &str {
    let starts = text.len().saturating_sub(WINDOW)..=text.len();
    &text[starts.into_iter().find(|at| text.is_char_boundary(*at)).unwrap_or(0)..]
}

/// Nothing but separators and full stops.
fn is_bare(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.all(|word| word.is_empty() || word.eq_ignore_ascii_case("and"))
}

/// Whether a list of references goes on in the next line.
fn is_broken_off(rest: &str) -> bool {
    is_bare(rest) && TRAILING.is_match(rest)
}

/// Whether the clause before a phrase denies it: `not after`, `no longer depends on`, `isn't
/// blocked by`; but not `can't start until after`.
fn is_negated(before: &str) -> bool {
    let clause = tail(before).rsplit(['.', ',', ';', ':', '!', '?', '(', ')']).next().unwrap_or("");
    for word in clause.split_whitespace().rev().take(NEGATION_WORDS) {
        let word = word.to_ascii_lowercase().replace('’', "'");
        match word.as_str() {
            "until" | "before" => return false,
            "not" | "no" | "never" | "neither" | "nor" | "without" | "cannot" | "nothing" => {
                return true;
            }
            other if other.ends_with("n't") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
