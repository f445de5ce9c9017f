//! A change as the rules read it: each file with its old and new text and the lines between.
//!
//! Pure: owns the line comparison. Never reads a repository; `material` fills it from git.

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// A file became a link, or the other way round.
    TypeChanged,
}

/// A line with its number (from 1) in the text it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub number: u32,
    pub text: String,
}

/// One changed file.
#[derive(Debug, Clone)]
pub struct Changed {
    pub path: String,
    /// The name it had before, where it was renamed.
    pub old_path: Option<String>,
    pub kind: ChangeKind,
    /// Git's mode after the change, e.g. `0o100644`; `None` where it is gone.
    pub mode: Option<u32>,
    pub binary: bool,
    /// Bytes after the change.
    pub size: u64,
    /// Text before; empty where there was none or it is not text.
    pub old: String,
    /// Text after; empty where there is none or it is not text.
    pub new: String,
    pub added: Vec<Line>,
    pub removed: Vec<Line>,
}

impl Changed {
    /// A text file's change, from its two versions.
    #[must_use]
    pub fn text(path: &str, old_path: Option<&str>, old: Option<&str>, new: Option<&str>) -> Self {
        let kind = match (old, new, old_path) {
            (_, None, _) => ChangeKind::Deleted,
            (None, Some(_), _) => ChangeKind::Added,
            (Some(_), Some(_), Some(_)) => ChangeKind::Renamed,
            (Some(_), Some(_), None) => ChangeKind::Modified,
        };
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let (added, removed) = compare(old, new);
        Self {
            path: path.to_owned(),
            old_path: old_path.map(str::to_owned),
            kind,
            mode: (kind != ChangeKind::Deleted).then_some(0o100_644),
            binary: false,
            size: new.len() as u64,
            old: old.to_owned(),
            new: new.to_owned(),
            added,
            removed,
        }
    }

    /// The name before the change.
    #[must_use]
    pub fn former(&self) -> &str {
        self.old_path.as_deref().unwrap_or(&self.path)
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Cells of the comparison table above which we fall back to counting lines (16 MiB of table).
const LARGEST_TABLE: usize = 4 << 20;

/// The lines only in `new` and only in `old`, by longest common subsequence.
#[must_use]
pub fn compare(old: &str, new: &str) -> (Vec<Line>, Vec<Line>) {
    let before: Vec<&str> = old.lines().collect();
    let after: Vec<&str> = new.lines().collect();
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let room = before.len().min(after.len()) - head;
    let tail =
        before.iter().rev().zip(after.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    let left = &before[head..before.len() - tail];
    let right = &after[head..after.len() - tail];
    let (gone, come) = if left.len().saturating_mul(right.len()) <= LARGEST_TABLE {
        by_table(left, right)
    } else {
        (by_counting(left, right), by_counting(right, left))
    };
    let lines = |texts: &[&str], indices: Vec<usize>| {
        indices
            .into_iter()
            .map(|index| Line {
                number: u32::try_from(head + index + 1).unwrap_or(u32::MAX),
                text: texts[index].to_owned(),
            })
            .collect()
    };
    (lines(right, come), lines(left, gone))
}

/// Indices that are not in the longest common subsequence: (of left, of right).
fn by_table(left: &[&str], right: &[&str]) -> (Vec<usize>, Vec<usize>) {
    let width = right.len() + 1;
    let mut table = vec![0u32; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            table[i * width + j] = if left[i] == right[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut gone, mut come) = (0, 0, Vec::new(), Vec::new());
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            gone.push(i);
            i += 1;
        } else {
            come.push(j);
            j += 1;
        }
    }
    gone.extend(i..left.len());
    come.extend(j..right.len());
    (gone, come)
}

/// Indices of lines of `these` that `those` does not have as often.
fn by_counting(these: &[&str], those: &[&str]) -> Vec<usize> {
    let mut left = std::collections::HashMap::<&str, usize>::new();
    for line in those {
        *left.entry(line).or_default() += 1;
    }
    let fresh = |line: &str| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        Some(_) | None => true,
    };
    let mut fresh = fresh;
    these.iter().enumerate().filter(|(_, line)| fresh(line)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<(u32, &str)> {
        lines.iter().map(|line| (line.number, line.text.as_str())).collect()
    }

    #[test]
    fn lines_keep_the_number_of_their_own_text() {
        let (added, removed) = compare("a\nb\nc\nd\n", "a\nx\nc\ny\nz\nd\n");
        assert_eq!(texts(&added), [(2, "x"), (4, "y"), (5, "z")]);
        assert_eq!(texts(&removed), [(2, "b")]);
    }

    #[test]
    fn whole_files_and_nothing() {
        assert_eq!(texts(&compare("", "a\nb").0), [(1, "a"), (2, "b")]);
        assert_eq!(texts(&compare("a\nb", "").1), [(1, "a"), (2, "b")]);
        let (added, removed) = compare("a\na\n", "a\na\n");
        assert!(added.is_empty() && removed.is_empty());
    }

    #[test]
    fn counting_sees_a_line_that_comes_more_often() {
        assert_eq!(by_counting(&["a", "b", "a"], &["a", "b"]), [2]);
    }
}
