//! Files whose bytes are the base's stay the base's.
//!
//! Where attributes ask for other line endings than a repository really holds, reading an
//! untouched file gives another blob than it came from. People's git hides that behind the times
//! in its index; a capture starts without them and would hand every such file to the builder as
//! its change.

use std::path::Path;

use super::error::GitError;
use super::mirror::Mirror;
use crate::domain::ids::CommitId;

/// Files that are compared with what git itself would have written, one process each.
const MOST_WRITTEN: usize = 200;

/// A file that the index holds otherwise than the base.
struct Differing {
    mode: String,
    base_id: String,
    path: String,
}

impl Mirror {
    /// Puts the base's blob back into the index wherever the file on disk equals it, or what git
    /// writes of it, byte for byte.
    pub(super) async fn leave_untouched(
        &self,
        dir: &Path,
        index: &Path,
        base: &CommitId,
    ) -> Result<(), GitError> {
        let command = |verb| self.local(verb).env("GIT_INDEX_FILE", index);
        let (children, cancel) = (&self.git.children, &self.cancel);
        let raw = command("diff-index")
            .args(["--cached", "--raw", "-z", "-r", "--no-abbrev", "--no-renames"])
            .args(["--diff-filter=M", "--end-of-options", base.as_str()])
            .cap(super::command::READ_CAP)
            .run(children, cancel)
            .await?;
        let differing = parse(&raw);
        if differing.is_empty() {
            return Ok(());
        }
        let asked: String = differing.iter().map(|file| format!("{}\n", file.path)).collect();
        let ids = command("hash-object")
            .args(["--no-filters", "--stdin-paths"])
            .work_tree(dir)
            .stdin(asked)
            .cap(super::command::READ_CAP)
            .run(children, cancel)
            .await?;
        let ids = String::from_utf8_lossy(&ids);
        let mut restored = String::new();
        let mut written = 0;
        for (file, id) in differing.iter().zip(ids.lines()) {
            let same = file.base_id == id || {
                written += 1;
                written <= MOST_WRITTEN && self.is_as_written(dir, index, file).await?
            };
            if same {
                restored += &format!("{} {}\t{}\0", file.mode, file.base_id, file.path);
            }
        }
        if restored.is_empty() {
            return Ok(());
        }
        command("update-index")
            .args(["-z", "--index-info"])
            .stdin(restored)
            .run(children, cancel)
            .await
            .map(drop)
    }

    /// Whether the file on disk is what git writes of the base's blob: mixed line endings come out
    /// of it neither as they went in nor as they are read back.
    async fn is_as_written(
        &self,
        dir: &Path,
        index: &Path,
        file: &Differing,
    ) -> Result<bool, GitError> {
        let path = dir.join(&file.path);
        let meta = std::fs::symlink_metadata(&path).map_err(GitError::io("look at", &path))?;
        if !meta.is_file() || meta.len() > super::command::READ_CAP as u64 {
            return Ok(false);
        }
        let written = self
            .local("cat-file")
            .arg("--filters")
            .arg(format!("--path={}", file.path))
            .arg(&file.base_id)
            .work_tree(dir)
            .env("GIT_INDEX_FILE", index)
            .cap(super::command::READ_CAP * 2)
            .run(&self.git.children, &self.cancel)
            .await?;
        let here = std::fs::read(&path).map_err(GitError::io("read", &path))?;
        Ok(here == written)
    }
}

/// Ordinary files of unchanged mode. Names with line breaks or not in UTF-8 cannot be asked for in
/// lines and stay as they were read.
fn parse(raw: &[u8]) -> Vec<Differing> {
    let mut words = raw.split(|byte| *byte == 0);
    let mut found = Vec::new();
    while let (Some(head), Some(path)) = (words.next(), words.next()) {
        let (Ok(head), Ok(path)) = (std::str::from_utf8(head), std::str::from_utf8(path)) else {
            continue;
        };
        let fields: Vec<_> = head.trim_start_matches(':').split(' ').collect();
        if let [old_mode, new_mode, base_id, _, _] = fields[..]
            && old_mode == new_mode
            && old_mode.starts_with("100")
            && !path.contains(['\n', '"'])
        {
            let (mode, base_id) = (old_mode.to_owned(), base_id.to_owned());
            found.push(Differing { mode, base_id, path: path.to_owned() });
        }
    }
    found
}
