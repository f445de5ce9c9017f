//! Secrets in the diff and in the builder's texts.
//!
//! Pure. A finding names kind, file and line; never the secret.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::event::Severity;
use crate::domain::evidence::Violation;
use crate::domain::redact::Redactor;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, violation};
use crate::gate::logs::pattern;

/// Bits a character below which a quoted value is a word and not a key.
const LEAST_ENTROPY: f64 = 3.5;

static KINDS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    [
        ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}"),
        ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("an OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
        ("an Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("a Slack webhook", r"hooks\.slack\.com/services/T\w+/B\w+/\w{16,}"),
        ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("a Stripe key", r"\b[rs]k_live_[0-9A-Za-z]{16,}"),
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("a PyPI token", r"\bpypi-[A-Za-z0-9_-]{50,}"),
        ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        ("a private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        (
            "a password in a URL",
            r"\b[a-z][a-z0-9+.-]*://[^/\s:@{}$<>]+:[^/\s:@{}$<>]{6,}@(?:[\w-]+\.)+[a-z]{2,}",
        ),
    ]
    .into_iter()
    .map(|(kind, text)| (kind, pattern(text)))
    .collect()
});

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"(?i)[\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)[\w-]*"#,
        r#"["']?\s*(?::\s*&?(?:'static )?\w+\s*)?(?:=>|[:=])\s*["'`]([^"'`\s]{12,})["'`]"#,
    ))
});

/// The kind of secret a line holds, if any.
#[must_use]
pub fn secret_in(line: &str, known: &Redactor) -> Option<&'static str> {
    if known.finds(line) {
        return Some("one of Foreman's own secrets");
    }
    // Hosts that nobody can own stand in examples and tests.
    let nobody = [".example", "@example.", ".invalid", ".test", "localhost", ".example."];
    let kind = KINDS.iter().find(|(_, regex)| regex.is_match(line)).map(|(kind, _)| *kind);
    if let Some(kind) = kind
        && !(kind == "a password in a URL" && nobody.iter().any(|host| line.contains(host)))
    {
        return Some(kind);
    }
    ASSIGNED
        .captures_iter(line)
        .any(|found| is_random(&found[1]))
        .then_some("a hard-coded secret of high entropy")
}

/// A text as it may be kept for good: a line that holds a secret says so instead.
#[must_use]
pub fn without_secrets(text: &str, known: &Redactor) -> String {
    let lines = text.lines().map(|line| match secret_in(line, known) {
        Some(kind) => format!("[a line that held {kind}]"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Secrets among the added lines, and in texts that would be published with them.
#[must_use]
pub fn secrets(changes: &[Changed], texts: &[String], known: &Redactor) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut say = |what: String, at: Where| {
        found.push(violation("secret", Severity::Critical, what, at));
    };
    for change in changes {
        for line in &change.added {
            if let Some(kind) = secret_in(&line.text, known) {
                let at = Where::line(&change.path, line.number);
                say(format!("the change holds {kind}"), at);
            }
        }
        if secret_in(&change.path, known).is_some() {
            say("a file's name holds a secret".to_owned(), Where::nowhere());
        }
    }
    for text in texts {
        for (index, line) in text.lines().enumerate() {
            if let Some(kind) = secret_in(line, known) {
                say(
                    format!("the builder's text holds {kind} in its line {}", index + 1),
                    Where::nowhere(),
                );
            }
        }
    }
    found
}

fn is_random(value: &str) -> bool {
    let placeholder = ["example", "placeholder", "changeme", "your", "xxxx", "dummy", "${", "{{"]
        .iter()
        .any(|word| value.to_ascii_lowercase().contains(word));
    let mixed =
        value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(|c| c.is_ascii_alphabetic());
    !placeholder && mixed && entropy(value) >= LEAST_ENTROPY
}

/// Shannon entropy in bits a character.
fn entropy(value: &str) -> f64 {
    let mut counts = std::collections::HashMap::<char, u32>::new();
    for c in value.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let total = f64::from(u32::try_from(value.chars().count()).unwrap_or(u32::MAX).max(1));
    counts.values().map(|count| f64::from(*count) / total).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<&'static str> {
        secret_in(line, &Redactor::new(["our-own-s3cret"]))
    }

    #[test]
    fn kinds_of_secrets() {
        // Put together here, so that no scanner takes this file for a leak.
        let cases = [
            (format!("AKIA{}", "IOSFODNN7EXAMPLE"), "an AWS access key"),
            (format!("ghp_{}", "a1B2".repeat(9)), "a GitHub token"),
            (format!("github_pat_{}", "a1B2".repeat(9)), "a GitHub token"),
            (format!("sk-{}", "a1B2".repeat(9)), "an OpenAI key"),
            (format!("xoxb-{}", "123456789012"), "a Slack token"),
            (format!("-----BEGIN RSA {} KEY-----", "PRIVATE"), "a private key"),
            ("x our-own-s3cret y".to_owned(), "one of Foreman's own secrets"),
            (
                "const API_KEY: &str = \"9fK2mQ7xLp4Vt8Zr\";".to_owned(),
                "a hard-coded secret of high entropy",
            ),
            ("password = 'h7Gk29sLqPzX41'".to_owned(), "a hard-coded secret of high entropy"),
            ("\"token\": \"q9W8e7R6t5Y4u3\"".to_owned(), "a hard-coded secret of high entropy"),
            ("postgres://me:hunter22@db.acme.com".to_owned(), "a password in a URL"),
        ];
        for (line, wanted) in cases {
            assert_eq!(kind(&line), Some(wanted), "{line}");
        }
    }

    #[test]
    fn words_are_no_secrets() {
        for line in [
            "let token = next_token();",
            "password: \"your-password-here1\"",
            "token = \"Bearer authorization header\"",
            "secret = \"aaaaaaaaaaaaaaaa1\"",
            "https://example.org/a@b",
            "risk-assessment-of-the-whole-thing",
            "postgres://user:${PASSWORD}@host",
            "postgres://user:password@localhost/db",
            "postgres://user:password@db.example.org/x",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
    }

    #[test]
    fn the_finding_never_quotes_the_secret() {
        let secret = format!("ghp_{}", "a1B2".repeat(9));
        let change = Changed::text("a.rs", None, Some("x\n"), Some(&format!("x\n{secret}\n")));
        let found = secrets(&[change], &[format!("see\n{secret}")], &Redactor::default());
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].file.as_deref(), found[0].line), (Some("a.rs"), Some(2)));
        let json = serde_json::to_string(&found).expect("plain data");
        assert!(!json.contains(&secret), "{json}");
    }
}
