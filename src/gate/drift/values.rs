//! What a test expected and now expects otherwise: fine where the issue asks for it.
//!
//! Pure. Compares a test's literals; a value is asked for where the issue's own words hold it.

use crate::gate::change::Changed;
use crate::gate::look::{Asked, tokens};
use crate::gate::syntax::TestCase;

/// The change of a test's values that nobody asked for, as `old -> new`.
#[must_use]
pub fn unasked(
    before: &TestCase,
    after: &TestCase,
    asked: &Asked,
    changes: &[Changed],
) -> Option<(String, String)> {
    let gone = without(&before.literals, &after.literals);
    let come = without(&after.literals, &before.literals);
    let (old, new) = (gone.first()?, come.first()?);
    // Quotes written otherwise, `1_000` for `1000`, are the same value.
    if gone.iter().map(|text| bare(text)).eq(come.iter().map(|text| bare(text))) {
        return None;
    }
    if asked.names(&before.name) || asked.names(&after.name) || is_release(&gone, &come, changes) {
        return None;
    }
    let (old_words, new_words) = (words(&gone), words(&come));
    let fresh: Vec<&String> = new_words.iter().filter(|w| !old_words.contains(w)).collect();
    let stale: Vec<&String> = old_words.iter().filter(|w| !new_words.contains(w)).collect();
    let number = |word: &str| word.parse::<f64>().is_ok();
    let named = fresh.iter().any(|word| asked.names(word))
        || stale.iter().any(|word| !number(word) && asked.names(word));
    (!named).then(|| (old.clone(), new.clone()))
}

/// Elements of `these` that `those` does not have as often.
fn without(these: &[String], those: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = those.iter().collect();
    let mut rest = Vec::new();
    for one in these {
        match left.iter().position(|other| *other == one) {
            Some(at) => {
                left.swap_remove(at);
            }
            None => rest.push(one.clone()),
        }
    }
    rest
}

fn bare(literal: &str) -> String {
    let text = literal.trim_matches(['"', '\'', '`']);
    let number = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'));
    if number && !text.is_empty() {
        let plain = text.replace('_', "");
        return plain.parse::<f64>().map_or(plain, |value| value.to_string());
    }
    text.to_owned()
}

fn words(literals: &[String]) -> Vec<String> {
    literals.iter().flat_map(|text| tokens(text).collect::<Vec<_>>()).collect()
}

/// A release: the version that the test knows is the one that a manifest now has.
fn is_release(gone: &[String], come: &[String], changes: &[Changed]) -> bool {
    let manifest = |change: &&Changed| {
        matches!(
            change.name(),
            "Cargo.toml" | "package.json" | "pyproject.toml" | "setup.py" | "setup.cfg" | "pom.xml"
        )
    };
    let version = |literal: &String| {
        let text = bare(literal);
        text.matches('.').count() == 2 && text.starts_with(|c: char| c.is_ascii_digit())
    };
    let in_manifest = |literal: &String| {
        let text = bare(literal);
        changes
            .iter()
            .filter(manifest)
            .any(|m| m.added.iter().any(|line| line.text.contains(&text)))
    };
    gone.iter().all(version) && come.iter().all(|one| version(one) && in_manifest(one))
}
