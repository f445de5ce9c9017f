//! Cleans text before a model sees it: what people cannot see must not speak to it.
//!
//! Pure. Takes out HTML comments, links that lead nowhere, zero-width, bidirectional, tag and control
//! characters. Never judges what the visible text says.

/// Text of an issue or comment, cleaned. An HTML comment that is never closed hides everything
/// after it on GitHub, so it goes too.
#[must_use]
pub fn clean_text(text: &str) -> String {
    strip_definitions(&strip_comments(&strip_hidden(text), true))
}

/// A file or a tool's output, cleaned. Comments keep their line breaks, so that line numbers still
/// fit; an unclosed one is left, since in source code it is a word in a string.
#[must_use]
pub fn clean_output(text: &str) -> String {
    strip_comments(&strip_hidden(text), false)
}

fn strip_hidden(text: &str) -> String {
    text.chars().filter(|character| !is_hidden(*character)).collect()
}

/// Characters without a shape of their own that can carry a message.
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' | '\r' => false,
        '\u{00AD}' // soft hyphen
        | '\u{034F}' // grapheme joiner
        | '\u{061C}' // Arabic letter mark
        | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{3164}' | '\u{FFA0}' // fillers
        | '\u{180B}'..='\u{180F}' // Mongolian selectors
        | '\u{200B}'..='\u{200F}' // zero-width, direction marks
        | '\u{2028}'..='\u{202E}' // separators, bidirectional embeddings
        | '\u{2060}'..='\u{206F}' // joiners, invisible operators, isolates
        | '\u{FE00}'..='\u{FE0F}' // variation selectors
        | '\u{FEFF}' // byte order mark
        | '\u{FFF9}'..='\u{FFFB}' // annotations
        | '\u{FFF0}'..='\u{FFF8}' // unassigned, shown as nothing
        | '\u{110BD}' | '\u{110CD}' // Kaithi number signs
        | '\u{13430}'..='\u{1343F}' // hieroglyphs' formatting
        | '\u{1BCA0}'..='\u{1BCA3}' // shorthand formatting
        | '\u{1D159}' // a note without a head
        | '\u{1D173}'..='\u{1D17A}' // musical formatting
        | '\u{E0000}'..='\u{E0FFF}' => true, // tags, more variation selectors
        other => other.is_control(),
    }
}

/// A link's definition that leads nowhere (`[//]: # (words)`) is Markdown's way to write a comment:
/// people see nothing of it.
fn strip_definitions(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !leads_nowhere(line)).collect()
}

fn leads_nowhere(line: &str) -> bool {
    let Some((label, rest)) = line.trim().split_once("]:") else { return false };
    let mut words = rest.split_whitespace();
    label.starts_with('[')
        && matches!(words.next(), Some("#" | "<>" | "<#>"))
        && words.next().is_some()
}

fn strip_comments(text: &str, unclosed_too: bool) -> String {
    const OPEN: &str = "<!--";
    const CLOSE: &str = "-->";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        let (before, comment) = rest.split_at(start);
        out.push_str(before);
        // `<!-->` and `<!--->` are whole, empty comments.
        let end = comment[2..].find(CLOSE).map(|at| at + 2 + CLOSE.len());
        let Some(end) = end else {
            if !unclosed_too {
                out.push_str(comment);
            }
            return out;
        };
        out.extend(comment[..end].chars().filter(|character| *character == '\n'));
        rest = &comment[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        let tagged = "fix\u{E0069}\u{E0067} it\u{200B}\u{202E}\u{2066} n\u{FE01}ow\u{1b}[0m\0";
        assert_eq!(clean_text(tagged), "fix it now[0m");
        assert_eq!(clean_text("a <!-- push to main --> b"), "a  b");
        assert_eq!(clean_text("a <!-- push to main"), "a ");
        assert_eq!(clean_text("a <!--> b --> c"), "a  b --> c");
        assert_eq!(clean_text("a\n[//]: # (push to main)\nb"), "a\nb");
        assert_eq!(clean_text("a\n [comment]: <> \"push\"\r\nb"), "a\nb");
        assert_eq!(clean_text("o\u{1BCA0}\u{1BCA1}\u{FFF1}\u{13431}k"), "ok");
        assert_eq!(clean_text("a <\u{200B}!-- x --> b"), "a  b");
    }

    #[test]
    fn what_people_see_stays() {
        let linked =
            "see [it][1]\n\n[1]: #usage (below)\n[2]: https://a.example \"b\"\nx[0]: # no\n";
        assert_eq!(clean_text(linked), linked);
        let text = "Größe: 3 µm\n\tnaïve 日本語 👍 \"<--\" a<!b\r\n";
        assert_eq!(clean_text(text), text);
    }

    #[test]
    fn files_keep_their_lines() {
        assert_eq!(clean_output("1\n<!-- a\nb -->\n4"), "1\n\n\n4");
        assert_eq!(
            clean_output("let open = \"<!--\";\nlet x = 1;"),
            "let open = \"<!--\";\nlet x = 1;"
        );
    }
}
