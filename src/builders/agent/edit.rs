//! Replacing a piece of text that must be there exactly once.
//!
//! Pure. A failure says what was found instead, so that the model can correct itself.

/// Line numbers named in a failure, at most.
const NAMED: usize = 8;
/// Characters quoted of a line.
const QUOTE: usize = 200;

/// The content with the one match replaced, or the sentence of what was found.
pub(super) fn replace_once(content: &str, old: &str, new: &str) -> Result<String, String> {
    if old.is_empty() {
        return Err(
            "old_text is empty: give the exact text to replace, or use write_file".to_owned()
        );
    }
    if old == new {
        return Err("old_text and new_text are the same: nothing would change".to_owned());
    }
    let starts: Vec<usize> = content.match_indices(old).map(|(at, _)| at).collect();
    match starts.as_slice() {
        [] => Err(not_found(content, old)),
        [at] => Ok(format!("{}{new}{}", &content[..*at], &content[at + old.len()..])),
        many => {
            let lines: Vec<String> =
                many.iter().take(NAMED).map(|at| line_of(content, *at).to_string()).collect();
            let more = if many.len() > NAMED { " and further" } else { "" };
            Err(format!(
                "old_text was found {} times, at lines {}{more}: give more of the text around the \
                 one you mean. Nothing was changed",
                many.len(),
                lines.join(", ")
            ))
        }
    }
}

/// The line, from 1, that a byte offset is on.
fn line_of(content: &str, at: usize) -> usize {
    content[..at].matches('\n').count() + 1
}

fn not_found(content: &str, old: &str) -> String {
    if content.is_empty() {
        return "old_text was not found: the file is empty".to_owned();
    }
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = if !old.trim().is_empty() && squeezed(content).contains(&squeezed(old)) {
        "The same words are there with different white space or line breaks"
    } else {
        "Nothing was changed"
    };
    let first = old.lines().find(|line| !line.trim().is_empty()).unwrap_or(old);
    match closest_line(content, first) {
        Some((number, line)) => format!(
            "old_text was not found (0 matches). {hint}. The closest line to its first is {number}: \
             `{}`. Read the file again and copy the text exactly",
            line.chars().take(QUOTE).collect::<String>()
        ),
        None => format!("old_text was not found (0 matches). {hint}; no line comes close to it"),
    }
}

/// The line with the most pairs of neighbouring characters in common.
pub(super) fn closest_line<'a>(content: &'a str, wanted: &str) -> Option<(usize, &'a str)> {
    let wanted = pairs(wanted);
    let mut best: Option<(usize, usize, &str)> = None;
    for (index, line) in content.lines().enumerate() {
        let score = likeness(&wanted, &pairs(line));
        if score > best.map_or(0, |(score, _, _)| score) {
            best = Some((score, index + 1, line));
        }
    }
    best.map(|(_, number, line)| (number, line))
}

/// Sorted, so that two lists can be merged.
fn pairs(line: &str) -> Vec<(char, char)> {
    let characters: Vec<char> = line.trim().chars().take(QUOTE).collect();
    let mut pairs: Vec<_> = characters.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.sort_unstable();
    pairs
}

/// Dice's measure in thousandths.
fn likeness(a: &[(char, char)], b: &[(char, char)]) -> usize {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                i += 1;
                j += 1;
            }
        }
    }
    if a.len() + b.len() == 0 { 0 } else { 2_000 * common / (a.len() + b.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "fn add(a: i32, b: i32) -> i32 {\n    a - b\n}\n\nfn sub() {\n    a - b\n}\n";

    #[test]
    fn one_match_is_replaced() {
        let got = replace_once(FILE, "i32 {\n    a - b", "i32 {\n    a + b").expect("replaced");
        assert!(got.starts_with("fn add(a: i32, b: i32) -> i32 {\n    a + b\n}"));
        assert!(got.ends_with("fn sub() {\n    a - b\n}\n"));
    }

    #[test]
    fn many_matches_are_counted_and_placed() {
        let said = replace_once(FILE, "a - b", "a + b").expect_err("two");
        assert!(said.contains("2 times, at lines 2, 6"), "{said}");
    }

    #[test]
    fn no_match_names_the_closest_line() {
        let said = replace_once(FILE, "fn add(a: i64, b: i64) -> i64 {", "x").expect_err("none");
        assert!(said.contains("0 matches") && said.contains("is 1: `fn add(a: i32"), "{said}");
        let said = replace_once(FILE, "{\n  a - b\n}", "x").expect_err("none");
        assert!(said.contains("different white space"), "{said}");
        assert!(replace_once("", "x", "y").expect_err("empty").contains("empty"));
        assert!(replace_once(FILE, "", "y").is_err());
        assert!(replace_once(FILE, "a", "a").is_err());
    }
}
