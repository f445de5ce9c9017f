//! What of a Markdown text is said by its author, line by line.
//!
//! Owns the reading: code (blocks, spans, HTML `code` and `pre`), quotes, struck text, images and
//! HTML comments are not the author's words and leave no text. Never decides what the words mean.

use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

/// Stands where code was, so that the words on both sides do not become neighbours.
const OPAQUE: char = '\u{FFFC}';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Text,
    Heading,
    /// In a list item; the outermost list has depth 1.
    Item(u32),
}

/// One rendered line: issues break lines where their source does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub kind: LineKind,
    /// A further line of the same list item.
    pub continued: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prose {
    pub lines: Vec<Line>,
    /// Checkboxes, ticked or not.
    pub tasks: usize,
}

impl Prose {
    /// The prose as one text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }
}

/// Reads a text as GitHub would show it.
pub(super) fn read(source: &str) -> Prose {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(source, options) {
        reader.take(event);
    }
    reader.flush();
    reader.prose
}

/// Whether an address looks like an issue's or a pull request's.
fn is_issue_address(address: &str) -> bool {
    address.starts_with("http") && (address.contains("/issues/") || address.contains("/pull/"))
}

#[derive(Default)]
struct Reader {
    prose: Prose,
    line: String,
    /// One entry for each open list: whether its current item has had a line yet.
    items: Vec<bool>,
    heading: bool,
    /// Open Markdown elements whose text does not count.
    hidden: u32,
    /// Open HTML elements whose text does not count.
    hidden_html: u32,
    /// For each open link, whether its address stands for its text.
    links: Vec<bool>,
    /// The HTML block being read; its comments may span events.
    html: Option<String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.push(&text),
            Event::Code(_) | Event::InlineMath(_) | Event::DisplayMath(_) => self.opaque(),
            Event::Html(raw) => match &mut self.html {
                Some(block) => block.push_str(&raw),
                None => self.markup(&raw),
            },
            Event::InlineHtml(raw) => self.markup(&raw),
            Event::SoftBreak | Event::HardBreak | Event::Rule => self.flush(),
            Event::TaskListMarker(_) => self.prose.tasks += 1,
            Event::FootnoteReference(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) | Tag::BlockQuote(_) | Tag::MetadataBlock(_) => {
                self.flush();
                self.opaque();
                self.flush();
                self.hidden += 1;
            }
            Tag::Strikethrough => self.hidden += 1,
            Tag::Image { .. } => {
                self.opaque();
                self.hidden += 1;
            }
            Tag::Link { dest_url, .. } => {
                let replaced = is_issue_address(&dest_url);
                if replaced {
                    self.push(" ");
                    self.push(&dest_url);
                    self.push(" ");
                    self.hidden += 1;
                }
                self.links.push(replaced);
            }
            Tag::HtmlBlock => {
                self.flush();
                self.html = Some(String::new());
            }
            Tag::Heading { .. } => {
                self.flush();
                self.heading = true;
            }
            Tag::List(_) => {
                self.flush();
                self.items.push(false);
            }
            Tag::Item => {
                self.flush();
                if let Some(item) = self.items.last_mut() {
                    *item = false;
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::CodeBlock | TagEnd::BlockQuote(_) | TagEnd::MetadataBlock(_) => {
                self.line.clear();
                self.hidden = self.hidden.saturating_sub(1);
            }
            TagEnd::Strikethrough | TagEnd::Image => self.hidden = self.hidden.saturating_sub(1),
            TagEnd::Link => {
                let replaced = self.links.pop() == Some(true);
                self.hidden = self.hidden.saturating_sub(u32::from(replaced));
            }
            TagEnd::HtmlBlock => {
                if let Some(block) = self.html.take() {
                    self.markup(&block);
                    self.flush();
                }
            }
            TagEnd::Heading(_) => {
                self.flush();
                self.heading = false;
            }
            TagEnd::List(_) => {
                self.flush();
                self.items.pop();
            }
            TagEnd::TableCell => self.push(" "),
            TagEnd::Paragraph | TagEnd::Item | TagEnd::TableHead | TagEnd::TableRow => self.flush(),
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if self.hidden == 0 && self.hidden_html == 0 {
            self.line.push_str(text);
        }
    }

    fn opaque(&mut self) {
        if self.hidden == 0 && self.hidden_html == 0 {
            self.line.push(OPAQUE);
        }
    }

    /// HTML: its text counts as it would be shown, its comments and quoting elements do not.
    fn markup(&mut self, raw: &str) {
        static COMMENT: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?s)<!--.*?(?:-->|$)").expect("a valid pattern"));
        static TAG: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"<(/?)([A-Za-z][A-Za-z0-9-]*)[^>]*>").expect("a valid pattern")
        });
        let text = COMMENT.replace_all(raw, "");
        let mut at = 0;
        for tag in TAG.captures_iter(&text) {
            let (Some(whole), Some(name)) = (tag.get(0), tag.get(2)) else { continue };
            self.markup_text(&text[at..whole.start()]);
            at = whole.end();
            let closes = tag.get(1).is_some_and(|slash| !slash.is_empty());
            match name.as_str().to_ascii_lowercase().as_str() {
                "blockquote" | "pre" | "code" | "del" | "s" | "strike" | "samp" | "kbd"
                | "script" | "style" => {
                    if closes {
                        self.hidden_html = self.hidden_html.saturating_sub(1);
                    } else {
                        self.opaque();
                        self.hidden_html += 1;
                    }
                }
                "br" | "p" | "div" | "li" | "summary" | "details" => self.flush(),
                _ => {}
            }
        }
        self.markup_text(&text[at..]);
    }

    fn markup_text(&mut self, text: &str) {
        for (index, part) in text.split('\n').enumerate() {
            if index > 0 {
                self.flush();
            }
            self.push(part);
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let depth = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let mut continued = false;
        let kind = match self.items.last_mut() {
            Some(item) => {
                continued = std::mem::replace(item, true);
                LineKind::Item(depth)
            }
            None if self.heading => LineKind::Heading,
            None => LineKind::Text,
        };
        self.prose.lines.push(Line { text: text.to_owned(), kind, continued });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        read(source).lines.into_iter().map(|line| line.text.replace(OPAQUE, "@")).collect()
    }

    #[test]
    fn code_and_quotes_leave_no_text() {
        assert_eq!(words("a `b` c"), ["a @ c"]);
        assert_eq!(words("a\n\n```\nb\n```\n\nc"), ["a", "@", "c"]);
        assert_eq!(words("a\n\n    b\n\nc"), ["a", "@", "c"]);
        assert_eq!(words("> a\n> b\n\nc"), ["@", "c"]);
        assert_eq!(words("> a\n>\n> - b\n\nc"), ["@", "c"]);
        assert_eq!(words("x <code>a</code> y"), ["x @ y"]);
        assert_eq!(words("<blockquote>\n\na\n\n</blockquote>\n\nb"), ["@", "b"]);
    }

    #[test]
    fn comments_are_unseen_and_html_text_is_seen() {
        assert_eq!(words("a <!-- b --> c"), ["a  c"]);
        assert_eq!(words("<!--\nb\n\nc\n-->\n\nd"), ["d"]);
        assert_eq!(words("<!-- never closed\n\nb"), Vec::<String>::new());
        assert_eq!(
            words("<details>\n<summary>More</summary>\nDepends on #2\n</details>"),
            ["More", "Depends on #2"]
        );
    }

    #[test]
    fn struck_text_is_gone_and_emphasis_is_not() {
        assert_eq!(words("a ~~b~~ c"), ["a  c"]);
        assert_eq!(words("**Depends on:** *#2*"), ["Depends on: #2"]);
    }

    #[test]
    fn links_to_issues_stand_for_themselves() {
        assert_eq!(
            words("see [the parser](https://github.com/o/r/issues/2) now"),
            ["see  https://github.com/o/r/issues/2  now"]
        );
        assert_eq!(words("see [the parser](https://example.org/)"), ["see the parser"]);
    }

    #[test]
    fn list_items_know_their_depth() {
        let prose = read("x\n- a\n  b\n  - c\n- [ ] d\n\n# e\n");
        let kinds: Vec<_> =
            prose.lines.iter().map(|l| (l.text.as_str(), l.kind, l.continued)).collect();
        assert_eq!(
            kinds,
            [
                ("x", LineKind::Text, false),
                ("a", LineKind::Item(1), false),
                ("b", LineKind::Item(1), true),
                ("c", LineKind::Item(2), false),
                ("d", LineKind::Item(1), false),
                ("e", LineKind::Heading, false),
            ]
        );
        assert_eq!(prose.tasks, 1);
    }
}
