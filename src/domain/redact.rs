//! Redaction of known secrets: exact values and their base64 and URL forms.
//!
//! Pure: it is given the values. Everything stored or logged passes through one `Redactor`.

use base64::Engine as _;

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// Values shorter than this are not secrets but words; masking them would eat ordinary text.
const SHORTEST_SECRET: usize = 6;

/// Replaces every known secret in a text.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret inside another does not leave a tail.
    forms: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

impl Redactor {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() < SHORTEST_SECRET {
                continue;
            }
            forms.push(secret.to_owned());
            // A secret of several lines (a PEM key) also shows up line by line in logs.
            forms.extend(
                secret.lines().map(str::trim).filter(|line| line.len() >= 24).map(str::to_owned),
            );
            let standard = base64::engine::general_purpose::STANDARD_NO_PAD;
            forms.push(standard.encode(secret));
            forms.push(standard.encode(format!("x-access-token:{secret}")));
            forms.push(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret));
            forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
            forms.push(json_escaped(secret));
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for form in &self.forms {
            if out.contains(form.as_str()) {
                out = out.replace(form.as_str(), MASK);
            }
        }
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
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }
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
    fn short_values_are_left_alone() {
        assert_eq!(Redactor::new(["abc", ""]).redact("abcdef"), "abcdef");
    }
}
