//! `apply_patch`: hunks that are found by their context, not by line numbers.
//!
//! Pure: reads a patch and makes new contents from old ones. Takes the form that models write
//! (`*** Begin Patch`) and unified diffs, whose line numbers it passes over. A hunk that does not
//! match is answered with its block and the place that comes closest.

use std::fmt::Write as _;

use super::edit::closest_line;

/// Lines of a block that are quoted in a failure.
const QUOTED: usize = 24;
/// Characters quoted of a line.
const LINE: usize = 200;
/// Places named in a failure.
const PLACES: usize = 8;

/// What a patch does to one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FilePatch {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, to: Option<String>, hunks: Vec<Hunk> },
}

/// Lines that go and come at one place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    /// A line that stands at or above the place.
    anchor: Option<String>,
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Keep(String),
    Remove(String),
    Add(String),
}

/// Reads a patch, or says what is wrong with its form.
pub(super) fn parse(text: &str) -> Result<Vec<FilePatch>, String> {
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let mut files: Vec<FilePatch> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some(path) = header(line, "*** Add File:") {
            files.push(FilePatch::Add { path, content: String::new() });
        } else if let Some(path) = header(line, "*** Delete File:") {
            files.push(FilePatch::Delete { path });
        } else if let Some(path) = header(line, "*** Update File:") {
            files.push(FilePatch::Update { path, to: None, hunks: Vec::new() });
        } else if let Some(to) = header(line, "*** Move to:") {
            match files.last_mut() {
                Some(FilePatch::Update { to: target, .. }) => *target = Some(to),
                _ => return Err("`*** Move to:` stands below `*** Update File:`".to_owned()),
            }
        } else if line.starts_with("*** ") {
            // Begin, End, End of File: they say nothing that the rest does not.
        } else if line.starts_with("--- ") && lines.get(at).is_some_and(|it| it.starts_with("+++ "))
        {
            files.push(unified(line, lines[at]));
            at += 1;
        } else {
            take(files.last_mut(), line)?;
        }
    }
    for file in &files {
        if let FilePatch::Update { path, to: None, hunks } = file
            && hunks.iter().all(|hunk| hunk.lines.iter().all(|it| matches!(it, Line::Keep(_))))
        {
            return Err(format!(
                "the patch of `{path}` changes nothing: it has no line with + or -"
            ));
        }
    }
    if files.is_empty() {
        return Err(
            "it names no file: begin with `*** Begin Patch`, then `*** Update File: path`, \
                    `*** Add File: path` or `*** Delete File: path`"
                .to_owned(),
        );
    }
    Ok(files)
}

fn header(line: &str, words: &str) -> Option<String> {
    line.strip_prefix(words).map(|path| path.trim().trim_matches('`').to_owned())
}

/// The two header lines of a unified diff.
fn unified(old: &str, new: &str) -> FilePatch {
    let name = |line: &str, side: &str| {
        let path = line[4..].split('\t').next().unwrap_or_default().trim();
        (path != "/dev/null").then(|| path.strip_prefix(side).unwrap_or(path).to_owned())
    };
    match (name(old, "a/"), name(new, "b/")) {
        (Some(path), None) => FilePatch::Delete { path },
        (Some(old), Some(new)) if old != new => {
            FilePatch::Update { path: old, to: Some(new), hunks: Vec::new() }
        }
        (Some(path), Some(_)) => FilePatch::Update { path, to: None, hunks: Vec::new() },
        (None, new) => FilePatch::Add { path: new.unwrap_or_default(), content: String::new() },
    }
}

/// A line of a file's own part.
fn take(file: Option<&mut FilePatch>, line: &str) -> Result<(), String> {
    match file {
        // What stands before the first file (a fence, `diff --git`) is passed over.
        None | Some(FilePatch::Delete { .. }) => Ok(()),
        Some(FilePatch::Add { content, .. }) => {
            if let Some(added) = line.strip_prefix('+') {
                content.push_str(added);
                content.push('\n');
            } else if !line.starts_with("@@") && !line.trim().is_empty() && !between(line) {
                return Err(format!("a line of a new file begins with +, not `{}`", short(line)));
            }
            Ok(())
        }
        Some(FilePatch::Update { hunks, .. }) => {
            if let Some(rest) = line.strip_prefix("@@") {
                // A unified diff's numbers, and the words behind them, are only a hint.
                let anchor = if rest.trim_start().starts_with('-') { "" } else { rest.trim() };
                let anchor = (!anchor.is_empty()).then(|| anchor.to_owned());
                hunks.push(Hunk { anchor, lines: Vec::new() });
                return Ok(());
            }
            if between(line) {
                return Ok(());
            }
            if hunks.is_empty() {
                if line.trim().is_empty() {
                    return Ok(());
                }
                hunks.push(Hunk::default());
            }
            let read = match (line.chars().next(), line.get(1..)) {
                (Some(' '), Some(rest)) => Line::Keep(rest.to_owned()),
                (Some('-'), Some(rest)) => Line::Remove(rest.to_owned()),
                (Some('+'), Some(rest)) => Line::Add(rest.to_owned()),
                (None, _) => Line::Keep(String::new()),
                _ => {
                    return Err(format!(
                        "every line of a hunk begins with a space, - or +, not `{}`",
                        short(line)
                    ));
                }
            };
            if let Some(hunk) = hunks.last_mut() {
                hunk.lines.push(read);
            }
            Ok(())
        }
    }
}

/// What git and models write between files.
fn between(line: &str) -> bool {
    [
        "diff --git ",
        "index ",
        "new file mode",
        "deleted file mode",
        "similarity ",
        "rename ",
        "\\ No",
        "```",
    ]
    .iter()
    .any(|words| line.starts_with(words))
}

/// The content with every hunk applied, or the sentences of the first that does not match.
pub(super) fn apply(content: &str, hunks: &[Hunk]) -> Result<String, String> {
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    let ending = if content.contains("\r\n") { "\r\n" } else { "\n" };
    let mut places: Vec<(usize, &Hunk)> = Vec::new();
    let mut cursor = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let (hunk_lines, trailing) = (hunk.old(), hunk.without_trailing_blank());
        let place = find(&lines, hunk, &hunk_lines, cursor)
            // An empty line at a hunk's end is often only the end of the text.
            .or_else(|problem| match &trailing {
                Some(shorter) => find(&lines, hunk, shorter, cursor).map_err(|_| problem),
                None => Err(problem),
            })
            .map_err(|problem| format!("hunk {} of {}: {problem}", index + 1, hunks.len()))?;
        cursor = place + hunk.old().len();
        places.push((place, hunk));
    }
    places.sort_by_key(|(place, _)| *place);
    let mut out = String::with_capacity(content.len());
    let mut at = 0;
    for (place, hunk) in places {
        if place < at {
            return Err("two hunks change the same lines: make one of them".to_owned());
        }
        lines[at..place].iter().for_each(|line| out.push_str(line));
        at = place;
        for line in &hunk.lines {
            match line {
                Line::Keep(_) => {
                    out.push_str(lines.get(at).copied().unwrap_or_default());
                    at += 1;
                }
                Line::Remove(_) => at += 1,
                Line::Add(text) => {
                    if !out.is_empty() && !out.ends_with('\n') {
                        out.push_str(ending);
                    }
                    out.push_str(text);
                    out.push_str(ending);
                }
            }
        }
    }
    lines.get(at..).unwrap_or_default().iter().for_each(|line| out.push_str(line));
    Ok(out)
}

impl Hunk {
    /// The lines that have to be there.
    fn old(&self) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| match line {
                Line::Keep(text) | Line::Remove(text) => Some(text.as_str()),
                Line::Add(_) => None,
            })
            .collect()
    }

    fn without_trailing_blank(&self) -> Option<Vec<&str>> {
        let mut old = self.old();
        let blank = matches!(self.lines.last(), Some(Line::Keep(text)) if text.trim().is_empty());
        (blank && old.len() > 1).then(|| {
            old.pop();
            old
        })
    }
}

/// Where a hunk belongs, as the index of its first line.
fn find(lines: &[&str], hunk: &Hunk, old: &[&str], cursor: usize) -> Result<usize, String> {
    let bare = |line: &str| line.trim_end_matches(['\n', '\r']).to_owned();
    let from = match &hunk.anchor {
        None => None,
        Some(anchor) => {
            let is_it =
                |line: &&str| line.trim() == anchor || line.trim().starts_with(anchor.as_str());
            let after = lines.iter().skip(cursor).position(is_it).map(|at| at + cursor);
            let found = after.or_else(|| lines.iter().position(is_it));
            Some(found.ok_or_else(|| no_anchor(lines, anchor))?)
        }
    };
    if old.is_empty() {
        return Ok(from.map_or(lines.len(), |anchor| anchor + 1));
    }
    let same: [fn(&str, &str) -> bool; 2] = [|a, b| a == b, |a, b| a.trim_end() == b.trim_end()];
    for same in same {
        let fits = |start: &usize| {
            let there = lines[*start..].iter().take(old.len());
            there.len() == old.len() && there.zip(old).all(|(line, old)| same(&bare(line), old))
        };
        let all: Vec<usize> = (0..lines.len()).filter(fits).collect();
        let below = |from: usize| all.iter().copied().filter(move |start| *start >= from);
        if let Some(from) = from
            && let Some(place) = below(from).next()
        {
            return Ok(place);
        }
        match all.as_slice() {
            [] => {}
            [place] => return Ok(*place),
            many => {
                let mut after = below(cursor);
                if let (Some(place), None) = (after.next(), after.next()) {
                    return Ok(place);
                }
                let numbers: Vec<String> =
                    many.iter().take(PLACES).map(|at| (at + 1).to_string()).collect();
                return Err(format!(
                    "this block stands {} times, at lines {}: give more of the lines around it, or \
                     name the function above it with @@\n{}",
                    many.len(),
                    numbers.join(", "),
                    block(old)
                ));
            }
        }
    }
    Err(no_match(lines, old))
}

fn no_anchor(lines: &[&str], anchor: &str) -> String {
    let content = lines.concat();
    let near = closest_line(&content, anchor)
        .map(|(number, line)| format!("; the closest is line {number}: `{}`", short(line)))
        .unwrap_or_default();
    format!("the line `{}` named with @@ is not in the file{near}", short(anchor))
}

/// The block that did not match, and the place that comes closest.
fn no_match(lines: &[&str], old: &[&str]) -> String {
    let mut text = format!("this block is not in the file:\n{}", block(old));
    let alike = |start: usize| {
        let pairs = lines[start..].iter().zip(old);
        pairs.filter(|(line, old)| !old.trim().is_empty() && line.trim() == old.trim()).count()
    };
    let best = (0..lines.len()).max_by_key(|start| (alike(*start), std::cmp::Reverse(*start)));
    let content = lines.concat();
    let start = match best.filter(|start| alike(*start) > 0) {
        Some(start) => Some(start),
        None => old
            .iter()
            .find(|line| !line.trim().is_empty())
            .and_then(|first| closest_line(&content, first))
            .map(|(number, _)| number - 1),
    };
    if let Some(start) = start {
        text.push_str("\nThe closest place reads:");
        for (index, line) in lines.iter().enumerate().skip(start).take(old.len().min(QUOTED) + 1) {
            // Writing to a string does not fail.
            write!(text, "\n{}| {}", index + 1, short(line.trim_end())).ok();
        }
    }
    text
}

fn block(old: &[&str]) -> String {
    let mut shown: Vec<String> =
        old.iter().take(QUOTED).map(|line| format!("| {}", short(line))).collect();
    if old.len() > QUOTED {
        shown.push(format!("| … {} further lines", old.len() - QUOTED));
    }
    shown.join("\n")
}

fn short(line: &str) -> String {
    line.chars().take(LINE).collect()
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
