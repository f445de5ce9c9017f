//! Redaction of known secrets: exact values and their base64 and URL forms.
//!
//! Pure: it is given the values. Everything stored or logged passes through one `Redactor`.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// Values shorter than this are not secrets but words; masking them would eat ordinary text.
const SHORTEST_SECRET: usize = 6;

/// A part of an encoded secret shorter than this is found in ordinary text.
const SHORTEST_PART: usize = 10;

/// Replaces every known secret in a text.
#[derive(Clone, Default)]
pub struct Redactor {
    /// All forms of all secrets; `None` where there is none.
    forms: Option<AhoCorasick>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.forms.as_ref().map_or(0, AhoCorasick::patterns_len);
        write!(f, "Redactor({count} forms)")
    }
}

impl Redactor {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() >= SHORTEST_SECRET {
                add_forms(secret, &mut forms);
            }
        }
        if forms.is_empty() {
            return Self::default();
        }
        // The longest at a place, so that a secret inside another does not leave a tail.
        let forms = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms)
            .expect("some hundred forms of some ten secrets fit into the automaton");
        Self { forms: Some(forms) }
    }

    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let Some(forms) = &self.forms else { return text.to_owned() };
        let mut out = String::with_capacity(text.len());
        forms.replace_all_with(text, &mut out, |_, _, out| {
            out.push_str(MASK);
            true
        });
        out
    }

    /// Redacts every string inside a JSON value, keys included.
    #[must_use]
    pub fn redact_json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.redact_json(item)).collect())
            }
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(key, item)| (self.redact(&key), self.redact_json(item)))
                    .collect(),
            ),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }

    /// Whether a text holds a known secret.
    #[must_use]
    pub fn finds(&self, text: &str) -> bool {
        self.forms.as_ref().is_some_and(|forms| forms.is_match(text))
    }
}

fn add_forms(secret: &str, forms: &mut BTreeSet<String>) {
    forms.insert(secret.to_owned());
    // A secret of several lines (a PEM key) also shows up line by line in logs.
    forms.extend(secret.lines().map(str::trim).filter(|line| line.len() >= 24).map(str::to_owned));
    forms.insert(STANDARD_NO_PAD.encode(format!("x-access-token:{secret}")));
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.insert(engine.encode(secret));
        forms.extend((0..3).filter_map(|before| inside_base64(engine, secret, before)));
    }
    // Spaces are `+` in a form and `%20` elsewhere; the digits may be small or large.
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for text in [form.replace('+', "%20"), form] {
        forms.insert(small_escapes(&text));
        forms.insert(text);
    }
    forms.insert(hex::encode(secret));
    forms.insert(hex::encode_upper(secret));
    forms.insert(json_escaped(secret));
}

/// What a text holds of a secret that was encoded together with others: `before` bytes of them, by
/// threes, stand in front. Characters that mix its bits with theirs are left out.
fn inside_base64(engine: &GeneralPurpose, secret: &str, before: usize) -> Option<String> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret.as_bytes());
    let text = engine.encode(&bytes);
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text.get(first..last).filter(|part| part.len() >= SHORTEST_PART).map(str::to_owned)
}

/// `%2F` as `%2f`.
fn small_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = 0;
    for letter in text.chars() {
        out.push(if left > 0 { letter.to_ascii_lowercase() } else { letter });
        left = if letter == '%' { 2_u8 } else { left.saturating_sub(1) };
    }
    out
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_goes() {
        let redactor = Redactor::new(["s3cret/to+ken"]);
        let basic =
            base64::engine::general_purpose::STANDARD.encode("x-access-token:s3cret/to+ken");
        for text in ["a s3cret/to+ken b", "s3cret%2Fto%2Bken", basic.as_str()] {
            let out = redactor.redact(text);
            assert!(out.contains(MASK), "{text} -> {out}");
            assert!(!redactor.finds(&out));
        }
    }

    #[test]
    fn a_secret_inside_other_encoded_words_goes() {
        let secret = "ghp_0123456789abcdefXYZ";
        let redactor = Redactor::new([secret]);
        for before in ["", "a", "ab", "abc", "user:", "{\"token\":\""] {
            for after in ["", "\n", "\"}", ", and more"] {
                let text = format!("{before}{secret}{after}");
                let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
                let out = redactor.redact(&format!("x {encoded} y"));
                assert!(out.contains(MASK) && out.len() < encoded.len(), "{text}: {out}");
            }
        }
    }

    #[test]
    fn spaces_case_and_hexadecimal() {
        let redactor = Redactor::new(["pa ss/wo:rd"]);
        for text in ["pa+ss%2Fwo%3Ard", "pa%20ss%2fwo%3ard", "70612073732f776f3a7264"] {
            assert_eq!(redactor.redact(text), MASK, "{text}");
        }
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(Redactor::new(["abc", ""]).redact("abcdef"), "abcdef");
    }
}
