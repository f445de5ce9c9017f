//! Signed checkpoints: our key and what it signs. Where they are kept is `anchor.rs`'s business.
//!
//! Whoever can write to the database can write a whole new chain; they cannot sign one, and they
//! cannot take back what stands in another place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SubsecRound as _, Utc};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::domain::time::to_micros;
use crate::github::GitHubError;
use crate::store::SignedHead;

/// Bytes of an Ed25519 seed.
const SEED: usize = 32;

/// Why checkpoints cannot be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the signing key {} cannot be used: {source}", path.display())]
    Key { path: PathBuf, source: io::Error },
    #[error("the anchor {} cannot be used: {source}", path.display())]
    Anchor { path: PathBuf, source: io::Error },
    #[error("{0} does not take checkpoints: {1}")]
    Branch(String, #[source] Box<GitHubError>),
    #[error("the webhook does not take checkpoints: {0}")]
    Webhook(String),
}

/// What a signature is for: one for a checkpoint never passes for another statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// The log had this head.
    Checkpoint,
    /// The log may begin after this event.
    Retention,
}

impl Statement {
    fn bytes(self, seq: i64, hash: &str, at: DateTime<Utc>) -> Vec<u8> {
        let name = match self {
            Self::Checkpoint => "foreman.checkpoint.v1",
            Self::Retention => "foreman.retention.v1",
        };
        format!("{name}\n{seq}\n{hash}\n{}\n", to_micros(at)).into_bytes()
    }

    /// Whether the head is signed by the key that it names.
    #[must_use]
    pub fn is_signed(self, head: &SignedHead) -> bool {
        let (Ok(key), Ok(signature)) =
            (hex::decode(&head.public_key), hex::decode(&head.signature))
        else {
            return false;
        };
        let bytes = self.bytes(head.seq, &head.hash, head.at);
        UnparsedPublicKey::new(&ED25519, key).verify(&bytes, &signature).is_ok()
    }
}

/// Our key. Its seed never leaves this value and its file.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl Signer {
    /// Reads the key, or makes one for its owner alone.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Key { path: path.to_owned(), source };
        let seed = match File::open(path) {
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                hex::decode(text.trim()).map_err(|error| failed(io::Error::other(error)))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = vec![0; SEED];
                SystemRandom::new()
                    .fill(&mut seed)
                    .map_err(|_| failed(io::Error::other("the system gives no randomness")))?;
                write_private(path, &format!("{}\n", hex::encode(&seed))).map_err(failed)?;
                seed
            }
            Err(error) => return Err(failed(error)),
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let public = hex::encode(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    /// Our public key, hexadecimal.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    #[must_use]
    pub fn sign(&self, what: Statement, seq: i64, hash: &str, at: DateTime<Utc>) -> SignedHead {
        // What is stored holds microseconds, so no more is signed.
        let at = at.trunc_subsecs(6);
        let signature = self.pair.sign(&what.bytes(seq, hash, at));
        SignedHead {
            seq,
            hash: hash.to_owned(),
            at,
            public_key: self.public.clone(),
            signature: hex::encode(signature.as_ref()),
        }
    }
}

/// Written beside and moved into place: a crash leaves no half key.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    drop(fs::remove_file(&beside));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The hash that each checkpoint says its event has. Where two disagree, the first that contradicts
/// is named: one of them was made for another log.
pub(super) fn hashes<'a>(
    heads: impl IntoIterator<Item = &'a SignedHead>,
) -> Result<BTreeMap<i64, String>, i64> {
    let mut known: BTreeMap<i64, String> = BTreeMap::new();
    for head in heads {
        let hash = known.entry(head.seq).or_insert_with(|| head.hash.clone());
        if *hash != head.hash {
            return Err(head.seq);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys/log.key");
        let first = Signer::open(&path).expect("made");
        let again = Signer::open(&path).expect("read");
        assert_eq!(first.public_key(), again.public_key());
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "zz").expect("written");
        assert!(Signer::open(&path).is_err());
    }

    #[test]
    fn a_signature_holds_for_its_own_statement_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Signer::open(&folder.path().join("key")).expect("made");
        let head = signer.sign(Statement::Checkpoint, 7, "ab", Utc::now());
        assert!(Statement::Checkpoint.is_signed(&head));
        assert!(!Statement::Retention.is_signed(&head));
        for other in [
            SignedHead { seq: 8, ..head.clone() },
            SignedHead { hash: "ac".to_owned(), ..head.clone() },
            SignedHead { signature: String::new(), ..head.clone() },
            SignedHead { at: head.at + chrono::TimeDelta::seconds(1), ..head },
        ] {
            assert!(!Statement::Checkpoint.is_signed(&other), "{other:?}");
        }
    }
}
