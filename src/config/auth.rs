//! The tokens that may call Foreman, and what each may do.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::error::ConfigError;

const VARIABLE: &str = "FOREMAN_API_TOKEN";
const TAKES: &str = "one token of visible ASCII characters without `,` or `:`, or name:role:token entries, comma separated, with the roles viewer, operator, admin";

/// What a token allows. Each role may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Starts and cancels nights.
    Operator,
    Admin,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(())
    }
}

/// One token and whom it names in the log.
#[derive(Debug, Clone)]
pub struct ApiToken {
    pub name: String,
    pub role: Role,
    pub secret: SecretString,
}

/// `FOREMAN_API_TOKEN`. Without tokens Foreman answers loopback only.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    pub tokens: Vec<ApiToken>,
}

impl Auth {
    /// From the variable's value: a plain value is an admin's.
    pub fn parse(value: &str) -> Result<Self, ConfigError> {
        let bad = |takes: String| ConfigError::Secret { name: VARIABLE.to_owned(), takes };
        if !value.contains([',', ':']) {
            let secret = token(value).ok_or_else(|| bad(TAKES.to_owned()))?;
            let only = ApiToken { name: "admin".to_owned(), role: Role::Admin, secret };
            return Ok(Self { tokens: vec![only] });
        }
        let mut tokens: Vec<ApiToken> = Vec::new();
        for (index, entry) in value.split(',').enumerate() {
            let parsed = named(entry.trim())
                .ok_or_else(|| bad(format!("{TAKES} (entry {} is not one)", index + 1)))?;
            let same = |other: &ApiToken| {
                other.name == parsed.name
                    || other.secret.expose_secret() == parsed.secret.expose_secret()
            };
            if tokens.iter().any(same) {
                return Err(bad(format!(
                    "names and tokens that differ (entry {} repeats one)",
                    index + 1
                )));
            }
            tokens.push(parsed);
        }
        Ok(Self { tokens })
    }
}

fn named(entry: &str) -> Option<ApiToken> {
    let (name, rest) = entry.split_once(':')?;
    let (role, secret) = rest.split_once(':')?;
    let name_ok = (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !name_ok {
        return None;
    }
    Some(ApiToken { name: name.to_owned(), role: role.parse().ok()?, secret: token(secret)? })
}

fn token(text: &str) -> Option<SecretString> {
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_token_is_an_admin() {
        let auth = Auth::parse("s3cret").expect("valid");
        assert_eq!(auth.tokens[0].role, Role::Admin);
        assert_eq!(auth.tokens[0].secret.expose_secret(), "s3cret");
    }

    #[test]
    fn several_tokens_have_names_and_roles() {
        let auth = Auth::parse("ann:viewer:aaa, bob:operator:b:b,eve:admin:ccc").expect("valid");
        let seen: Vec<_> = auth
            .tokens
            .iter()
            .map(|t| (t.name.as_str(), t.role, t.secret.expose_secret()))
            .collect();
        assert_eq!(
            seen,
            [
                ("ann", Role::Viewer, "aaa"),
                ("bob", Role::Operator, "b:b"),
                ("eve", Role::Admin, "ccc")
            ]
        );
    }

    #[test]
    fn mistakes_are_refused_without_showing_the_value() {
        for bad in [
            "has blank",
            "tab\there",
            "caf\u{e9}",
            "a:b",
            "ann:owner:sekret",
            "ann:viewer:",
            ":viewer:sekret",
            "ann:viewer:sekret,plain",
            "a:viewer:sekret,a:viewer:sekret2",
            "a:viewer:sekret,b:admin:sekret",
            ",",
        ] {
            let error = Auth::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with("FOREMAN_API_TOKEN"), "{error}");
            assert!(!error.contains("sekret"), "{error}");
        }
    }
}
