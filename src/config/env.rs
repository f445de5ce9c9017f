//! Reading variables: the environment first, then `.env`, secrets also from files. Owns how a
//! value's text becomes a type and what is said when it does not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::variables;

/// Where variables come from: a function, so that tests give their own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment with `.env` behind it. An empty value is an unset one.
pub struct Env<'a> {
    lookup: Lookup<'a>,
    dot_env: BTreeMap<String, String>,
    cwd: &'a Path,
}

impl<'a> Env<'a> {
    /// Reads `.env` in `cwd` where there is one.
    pub fn new(lookup: Lookup<'a>, cwd: &'a Path) -> Result<Self, ConfigError> {
        let path = cwd.join(".env");
        Ok(Self { lookup, dot_env: read_dot_env(&path)?, cwd })
    }

    /// The value of a variable that is not a secret.
    pub fn text(&self, name: &str) -> Result<Option<String>, ConfigError> {
        debug_assert!(variables::is_known(name), "{name} is not in the table of variables");
        let value = match (self.lookup)(name) {
            Some(value) => Some(value.into_string().map_err(|_| ConfigError::NotText {
                name: name.to_owned(),
                takes: "text in UTF-8",
            })?),
            None => self.dot_env.get(name).cloned(),
        };
        Ok(value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// The value of a secret, from the variable or from the file that `<name>_FILE` names.
    pub fn secret(&self, name: &'static str) -> Result<Option<SecretString>, ConfigError> {
        let file_name = format!("{name}_FILE");
        let (value, file) = (self.text(name)?, self.text(&file_name)?);
        match (value, file) {
            (Some(_), Some(_)) => Err(ConfigError::Twice { name }),
            (Some(value), None) => Ok(Some(value.into())),
            (None, Some(file)) => {
                let text = read_file(&file_name, &self.cwd.join(file))?;
                Ok(Some(text.into()))
            }
            (None, None) => Ok(None),
        }
    }

    /// A key that `foreman.toml` names by its variable.
    pub fn foreign_secret(&self, name: &str) -> Option<SecretString> {
        let value = match (self.lookup)(name) {
            Some(value) => value.into_string().ok(),
            None => self.dot_env.get(name).cloned(),
        };
        value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Into::into)
    }

    /// A value parsed by `parse`; where that gives `None`, the error says what the variable takes.
    pub fn parsed<T>(
        &self,
        name: &str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Variable {
                name: name.to_owned(),
                got: text,
                takes: takes.to_owned(),
            }),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parsed(name, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// An `http` or `https` address without a user, a password, a query or a fragment.
    pub fn address(&self, name: &str) -> Result<Option<Url>, ConfigError> {
        let takes = "an http:// or https:// address without user, password or query";
        let Some(text) = self.text(name)? else { return Ok(None) };
        match address(&text) {
            Some(url) => Ok(Some(url)),
            None => Err(ConfigError::Variable {
                name: name.to_owned(),
                got: without_userinfo(&text),
                takes: takes.to_owned(),
            }),
        }
    }

    /// A path, relative to the working directory.
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(name)?.map(|text| self.cwd.join(text)))
    }

    #[must_use]
    pub fn cwd(&self) -> &Path {
        self.cwd
    }
}

/// An address Foreman would talk to.
#[must_use]
pub fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fine = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    fine.then_some(url)
}

/// A file's text without the newline at its end; an empty one is an error.
pub fn read_file(name: &str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(ConfigError::EmptyFile { name: name.to_owned(), path: path.to_owned() });
    }
    Ok(text.to_owned())
}

/// An address as it may be shown: what stands before an `@` could be a password.
fn without_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://[not shown]@{}", &text[..scheme], &text[at + 1..])
        }
        (Some(_) | None, Some(_) | None) => text.to_owned(),
    }
}

fn read_dot_env(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let broken = |message: String| ConfigError::DotEnv { path: path.to_owned(), message };
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let lines = dotenvy::from_path_iter(path).map_err(|error| broken(error.to_string()))?;
    let mut values = BTreeMap::new();
    for line in lines {
        let (name, value) = line.map_err(|error| match error {
            dotenvy::Error::LineParse(part, _) => broken(broken_line(path, &part)),
            dotenvy::Error::Io(error) => broken(error.to_string()),
            _ => broken("it cannot be read".to_owned()),
        })?;
        values.insert(name, value);
    }
    Ok(values)
}

/// Which line does not parse: by its number and name. The line itself is not shown, since it may
/// hold a secret.
fn broken_line(path: &Path, part: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let part = part.lines().next().unwrap_or_default();
    let found = text.lines().enumerate().find(|(_, line)| line.contains(part));
    let place = found.map_or(String::new(), |(index, line)| {
        let name = line.split('=').next().unwrap_or_default().trim();
        let plain = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        format!(" {} ({})", index + 1, if plain { name } else { "no name" })
    });
    format!(
        "line{place} does not parse; it takes NAME=value, quoted where the value has blanks or `#`"
    )
}
