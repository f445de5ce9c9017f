//! The few lines of a clone's configuration that matter to us. Its file is read as a file: nothing
//! it includes is looked at and nothing it names is run.

use std::path::{Path, PathBuf};

use super::CloneError;
use super::layout::Layout;
use super::shadow::Shadow;

/// What a clone says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct CloneConfig {
    pub origin: Option<String>,
    pub worktree: Option<PathBuf>,
    pub bare: bool,
    pub sparse: bool,
    pub object_format: Option<String>,
    pub ref_storage: Option<String>,
    pub version: u32,
    pub unknown_extensions: Vec<String>,
    /// How its owner has files written and compared: settings that name no program.
    pub kept: Vec<&'static str>,
}

/// Extensions of the repository format whose meaning does not reach what is read here.
const HARMLESS: [&str; 6] =
    ["noop", "preciousobjects", "partialclone", "worktreeconfig", "objectformat", "refstorage"];

/// Settings that are taken over: name, value, and how it is given to git.
const KEPT: [(&str, &str, &str); 11] = [
    ("core.autocrlf", "true", "core.autocrlf=true"),
    ("core.autocrlf", "input", "core.autocrlf=input"),
    ("core.eol", "crlf", "core.eol=crlf"),
    ("core.eol", "lf", "core.eol=lf"),
    ("core.filemode", "false", "core.fileMode=false"),
    ("core.symlinks", "false", "core.symlinks=false"),
    ("core.ignorecase", "true", "core.ignoreCase=true"),
    ("core.precomposeunicode", "true", "core.precomposeUnicode=true"),
    ("core.trustctime", "false", "core.trustctime=false"),
    ("core.checkstat", "minimal", "core.checkStat=minimal"),
    ("core.filemode", "true", "core.fileMode=true"),
];

impl CloneConfig {
    pub async fn read(layout: &Layout, shadow: &Shadow) -> Result<Self, CloneError> {
        let mut config = Self::default();
        let shared = entries(shadow, &layout.common_dir.join("config")).await?;
        let per_worktree =
            shared.iter().any(|(key, value)| key == "extensions.worktreeconfig" && truth(value));
        config.take(&shared);
        if per_worktree {
            config.take(&entries(shadow, &layout.git_dir.join("config.worktree")).await?);
        }
        Ok(config)
    }

    fn take(&mut self, entries: &[(String, Option<String>)]) {
        for (key, value) in entries {
            let text = || value.clone().unwrap_or_default();
            match key.as_str() {
                // Git fetches from the first of several.
                "remote.origin.url" => {
                    self.origin.get_or_insert_with(text);
                }
                "core.worktree" => self.worktree = Some(PathBuf::from(text())),
                "core.bare" => self.bare = truth(value),
                "core.sparsecheckout" => self.sparse = truth(value),
                "core.repositoryformatversion" => self.version = text().parse().unwrap_or(u32::MAX),
                "extensions.objectformat" => self.object_format = Some(text()),
                "extensions.refstorage" => self.ref_storage = Some(text()),
                other => {
                    if let Some(name) = other.strip_prefix("extensions.")
                        && !HARMLESS.contains(&name)
                    {
                        self.unknown_extensions.push(name.to_owned());
                    }
                }
            }
            let word = match truth(value) {
                true => "true".to_owned(),
                false if falsehood(value) => "false".to_owned(),
                false => text().to_ascii_lowercase(),
            };
            if let Some((_, _, setting)) = KEPT.iter().find(|(k, v, _)| k == key && *v == word) {
                self.kept.push(setting);
            }
        }
    }

    /// Why this repository cannot be read by us, if it cannot.
    pub fn unsupported(&self) -> Option<String> {
        if self.object_format.as_deref().is_some_and(|format| format != "sha1") {
            return Some("it names objects by SHA-256, which Foreman does not read".to_owned());
        }
        if self.ref_storage.as_deref().is_some_and(|format| format != "files") {
            return Some("it keeps its refs in a table, which Foreman does not read".to_owned());
        }
        if self.version > 1 {
            return Some("its repository format is newer than Foreman".to_owned());
        }
        let name = self.unknown_extensions.first().filter(|_| self.version > 0)?;
        Some(format!("it uses the extension `{name}`, which Foreman does not know"))
    }

    /// Whether `core.worktree` names another folder than the one we were told of.
    pub fn worktree_is_elsewhere(&self, layout: &Layout) -> bool {
        let Some(path) = &self.worktree else { return false };
        let found = layout.git_dir.join(path).canonicalize();
        found.as_deref().ok() != Some(layout.root.as_path())
    }
}

async fn entries(
    shadow: &Shadow,
    file: &Path,
) -> Result<Vec<(String, Option<String>)>, CloneError> {
    if super::layout::read_small(file)?.is_none() {
        return Ok(Vec::new());
    }
    let listed = shadow.list_config(file).await?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    Ok(listed
        .split('\0')
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once('\n') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            // A key alone is true.
            None => (entry.to_owned(), None),
        })
        .collect())
}

fn truth(value: &Option<String>) -> bool {
    value.as_deref().is_none_or(|text| {
        ["true", "yes", "on", "1"].iter().any(|word| text.eq_ignore_ascii_case(word))
    })
}

fn falsehood(value: &Option<String>) -> bool {
    value.as_deref().is_some_and(|text| {
        ["false", "no", "off", "0", ""].iter().any(|word| text.eq_ignore_ascii_case(word))
    })
}
