//! A patch carried out on the workspace: all of it, or nothing.
//!
//! Owns the order: everything is read and worked out before the first file is written, and what was
//! written is put back where a later write fails. Every path goes through the workspace's handle.

use std::collections::BTreeMap;

use super::files::{FileError, Workspace};
use super::patch::{self, FilePatch};

/// The files as they will be; `None` is gone.
type Staged = BTreeMap<String, Option<String>>;

/// Applies a patch; the answer says what was done, or why nothing was.
pub(super) fn apply(files: &Workspace, text: &str) -> Result<String, String> {
    let patches = patch::parse(text)
        .map_err(|problem| format!("the patch cannot be read: {problem}. Nothing was changed."))?;
    let mut staged = Staged::new();
    let mut said = Vec::new();
    for file in &patches {
        let done = stage(files, &mut staged, file);
        said.push(done.map_err(|problem| format!("{problem}\nNothing was changed."))?);
    }
    write(files, &staged)?;
    Ok(said.join("\n"))
}

fn stage(files: &Workspace, staged: &mut Staged, file: &FilePatch) -> Result<String, String> {
    let name = |path: &str| -> Result<String, String> {
        let path = files.relative(path).map_err(|error| error.to_string())?;
        Ok(path.to_string_lossy().into_owned())
    };
    match file {
        FilePatch::Add { path, content } => {
            let path = name(path)?;
            if there(files, staged, &path) {
                return Err(format!("`{path}` exists already: use `*** Update File:`"));
            }
            staged.insert(path.clone(), Some(content.clone()));
            Ok(format!("added {path}"))
        }
        FilePatch::Delete { path } => {
            let path = name(path)?;
            read(files, staged, &path)?;
            staged.insert(path.clone(), None);
            Ok(format!("deleted {path}"))
        }
        FilePatch::Update { path, to, hunks } => {
            let path = name(path)?;
            let content = read(files, staged, &path)?;
            let changed =
                patch::apply(&content, hunks).map_err(|problem| format!("`{path}`: {problem}"))?;
            let Some(to) = to else {
                staged.insert(path.clone(), Some(changed));
                return Ok(format!("changed {path} in {} places", hunks.len()));
            };
            let to = name(to)?;
            if there(files, staged, &to) {
                return Err(format!("`{path}` cannot become `{to}`, which exists already"));
            }
            staged.insert(path.clone(), None);
            staged.insert(to.clone(), Some(changed));
            Ok(format!("changed {path} in {} places and moved it to {to}", hunks.len()))
        }
    }
}

fn there(files: &Workspace, staged: &Staged, path: &str) -> bool {
    staged.get(path).map_or_else(|| files.exists(path), Option::is_some)
}

fn read(files: &Workspace, staged: &Staged, path: &str) -> Result<String, String> {
    match staged.get(path) {
        Some(Some(content)) => Ok(content.clone()),
        Some(None) => Err(FileError::NotFound(path.to_owned()).to_string()),
        None => files.read(path).map_err(|error| error.to_string()),
    }
}

fn write(files: &Workspace, staged: &Staged) -> Result<(), String> {
    let mut before = Staged::new();
    for (path, content) in staged {
        before.insert(path.clone(), files.read(path).ok());
        if let Err(error) = put(files, path, content.as_deref()) {
            for (path, content) in &before {
                if let Err(lost) = put(files, path, content.as_deref()) {
                    return Err(format!("{error}; and `{path}` could not be put back: {lost}"));
                }
            }
            return Err(format!("{error}. Nothing was changed."));
        }
    }
    Ok(())
}

fn put(files: &Workspace, path: &str, content: Option<&str>) -> Result<(), FileError> {
    match content {
        Some(content) => files.write(path, content),
        None if files.exists(path) => files.remove(path),
        None => Ok(()),
    }
}
