//! The log keeper: redacted logs by their hash under `data_dir/logs/<aa>/<sha256>`.
//!
//! Never overwrites: the same hash is the same text. What is read is hashed again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::GateError;
use crate::domain::redact::Redactor;

/// Bytes of a log that are kept: 16 MiB. The sandbox leaves out the middle beyond it.
pub const LOG_CAP: usize = 16 << 20;

/// Where logs are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    dir: PathBuf,
    redactor: Arc<Redactor>,
}

impl Logs {
    #[must_use]
    pub fn new(data_dir: &Path, redactor: Arc<Redactor>) -> Self {
        Self { dir: data_dir.join("logs"), redactor }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Stores a text, redacted; answers its hash, 64 hexadecimal digits.
    pub async fn keep(&self, text: &str) -> Result<String, GateError> {
        let text = self.redactor.redact(text);
        let sha256 = hash(text.as_bytes());
        let path = self.path(&sha256);
        if tokio::fs::try_exists(&path).await.unwrap_or(false)
            && self.read(&sha256).await?.is_some()
        {
            // Young again: what is old and that nobody names is tidied away.
            let touched = std::fs::File::open(&path);
            touched.and_then(|file| file.set_modified(std::time::SystemTime::now())).ok();
            return Ok(sha256);
        }
        let folder = path.parent().unwrap_or(&self.dir).to_owned();
        tokio::fs::create_dir_all(&folder).await.map_err(GateError::io("make", &folder))?;
        // Written beside and moved, so that a crash leaves no half log under a whole one's name.
        let fresh = folder.join(format!(".{sha256}.{}", uuid::Uuid::new_v4().simple()));
        tokio::fs::write(&fresh, text).await.map_err(GateError::io("write", &fresh))?;
        tokio::fs::rename(&fresh, &path).await.map_err(GateError::io("move", &path))?;
        Ok(sha256)
    }

    /// The log of that hash; `None` where there is none or it is no longer what was written.
    pub async fn read(&self, sha256: &str) -> Result<Option<String>, GateError> {
        let hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Ok(None);
        }
        let path = self.path(sha256);
        match tokio::fs::read(&path).await {
            Ok(bytes) if hash(&bytes) == sha256 => Ok(String::from_utf8(bytes).ok()),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GateError::io("read", path)(error)),
        }
    }

    /// The log for a reader, redacted once more: a secret may have been set since it was written.
    pub async fn show(&self, sha256: &str) -> Result<Option<String>, GateError> {
        Ok(self.read(sha256).await?.map(|text| self.redactor.redact(&text)))
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(&sha256[..2]).join(sha256)
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
