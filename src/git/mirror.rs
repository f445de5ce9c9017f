//! A repository's bare mirror: made, repaired, fetched into.
//!
//! Owns `refs/remotes/origin/*`, which follow the repository's branches. Never touches
//! `refs/foreman/*` here, and writes neither URL nor token into the mirror.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::command::{Command, Login};
use super::error::GitError;
use super::{Git, MirrorLock, checkout, paths};
use crate::domain::ids::{CommitId, RepoName};

/// How often something is read from the remote before its failure counts.
const READ_TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Where indexes and the like are made; cleared when a process first opens the mirror.
const SCRATCH: &str = "foreman-tmp";

/// Loose objects beyond which a mirror is packed: some nights' captures. Git's own measure is 6,700.
const MOST_LOOSE: usize = 1_000;

/// Digits in the file name of a loose object; two more name its folder.
const OBJECT_NAME: usize = 38;

/// What a mirror's own configuration holds. Everything else comes with each command.
const CONFIGURATION: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[uploadpack]
\t# A workspace is cloned from any commit we name, also from one that no branch holds.
\tallowAnySHA1InWant = true
";

/// A repository's mirror, with the login for its remote. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(super) git: Git,
    pub(super) cancel: CancellationToken,
    path: PathBuf,
    url: String,
    origin: Option<String>,
    token: Option<SecretString>,
    lock: MirrorLock,
}

impl Mirror {
    pub(super) fn new(
        git: &Git,
        repo: &RepoName,
        clone_url: &str,
        token: Option<SecretString>,
        cancel: CancellationToken,
    ) -> Result<Self, GitError> {
        let (url, origin) = check_url(clone_url, token.is_some())?;
        let path = git.mirrors.join(format!("{}.git", repo.key()));
        Ok(Self { git: git.clone(), cancel, path, url, origin, token, lock: git.lock_of(repo) })
    }

    /// The bare repository's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same mirror with a fresh token: those of a GitHub App live for an hour.
    pub fn with_token(mut self, token: Option<SecretString>) -> Result<Self, GitError> {
        check_url(&self.url, token.is_some())?;
        self.token = token;
        Ok(self)
    }

    /// The same mirror, with its commands ended by another signal.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Makes the mirror or clears what a killed process left, then fetches.
    pub(super) async fn open(&self) -> Result<(), GitError> {
        let mut looked_at = self.lock.lock().await;
        if !*looked_at || !self.path.join("HEAD").is_file() {
            let path = self.path.clone();
            let loose = blocking(move || clear_leftovers(&path)).await?;
            match self.check().await {
                Ok(()) if loose > MOST_LOOSE => self.pack().await,
                Ok(()) => {}
                Err(_) => self.make().await?,
            }
            *looked_at = true;
        }
        match self.fetch_locked().await {
            // What a mirror holds of the repository can be had again; a damaged one would end
            // every night from now on. The damage may be the remote's, so look before.
            Err(GitError::Corrupt { .. }) if !self.is_sound().await? => {
                self.make().await?;
                self.fetch_locked().await
            }
            done => done,
        }
    }

    /// Packs what nights of captures left loose. Here nothing else uses the mirror; at any other
    /// time it is off. Nothing is deleted: stored evidence names trees that no ref holds.
    async fn pack(&self) {
        let packed = self
            .local("gc")
            .config("gc.pruneExpire=never")
            .config("gc.reflogExpire=never")
            .args(["--quiet", "--cruft", "--no-prune"])
            .run(&self.git.children, &self.cancel)
            .await;
        if let Err(error) = packed {
            tracing::warn!(mirror = %self.path.display(), %error, "a mirror was not packed");
        }
    }

    async fn is_sound(&self) -> Result<bool, GitError> {
        let output = self
            .local("fsck")
            .args(["--connectivity-only", "--no-dangling", "--no-progress"])
            .output(&self.git.children, &self.cancel)
            .await?;
        Ok(output.code == Some(0))
    }

    /// Brings the branches up to date: new, moved, and gone ones.
    pub async fn fetch(&self) -> Result<(), GitError> {
        let _held = self.lock.lock().await;
        self.fetch_locked().await
    }

    async fn fetch_locked(&self) -> Result<(), GitError> {
        patiently(&self.cancel, || self.fetch_once()).await
    }

    async fn fetch_once(&self) -> Result<(), GitError> {
        self.remote("fetch")
            .args(["--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"])
            .args(["--no-auto-maintenance", "--no-recurse-submodules", "--end-of-options"])
            .arg(&self.url)
            .arg("+refs/heads/*:refs/remotes/origin/*")
            .run(&self.git.children, &self.cancel)
            .await?;
        Ok(())
    }

    /// The branch's tip as of the last fetch.
    pub async fn tip(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        paths::check_ref(branch)?;
        self.resolve(&format!("refs/remotes/origin/{branch}^{{commit}}")).await
    }

    /// The branch's tip on the remote, now.
    pub async fn remote_tip(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        paths::check_ref(branch)?;
        patiently(&self.cancel, || self.ask_remote_tip(branch)).await
    }

    async fn ask_remote_tip(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        let wanted = format!("refs/heads/{branch}");
        let listed = self
            .remote("ls-remote")
            .args(["--quiet", "--refs", "--end-of-options"])
            .arg(&self.url)
            .arg(&wanted)
            .run(&self.git.children, &self.cancel)
            .await?;
        let listed = String::from_utf8_lossy(&listed);
        // The pattern also matches the end of a longer name.
        let line = listed.lines().find_map(|line| {
            line.split_once('\t').filter(|(_, name)| *name == wanted).map(|(id, _)| id)
        });
        line.map(|id| parse_id("ls-remote", id)).transpose()
    }

    /// A command in the mirror.
    pub(super) fn local(&self, verb: &'static str) -> Command {
        Command::new(verb, &self.path)
    }

    /// A command in the mirror that talks to the remote, the only kind that gets the token.
    pub(super) fn remote(&self, verb: &'static str) -> Command {
        let login = match (&self.origin, &self.token) {
            (Some(origin), Some(token)) => {
                Some(Login { origin: origin.clone(), token: token.clone() })
            }
            (None, _) | (_, None) => None,
        };
        self.local(verb).remote(&self.url, login)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A fresh directory inside the mirror, gone when dropped.
    pub(super) fn scratch(&self) -> Result<tempfile::TempDir, GitError> {
        let place = self.path.join(SCRATCH);
        std::fs::create_dir_all(&place).map_err(GitError::io("make", &place))?;
        tempfile::tempdir_in(&place).map_err(GitError::io("make a directory in", &place))
    }

    /// What a name stands for, or `None` where it stands for nothing.
    pub(super) async fn resolve<T>(&self, name: &str) -> Result<Option<T>, GitError>
    where
        T: std::str::FromStr,
    {
        let output = self
            .local("rev-parse")
            .args(["--verify", "--quiet", "--end-of-options", name])
            .output(&self.git.children, &self.cancel)
            .await?;
        match output.code {
            Some(0) => parse_id("rev-parse", &output.stdout.text()).map(Some),
            Some(1) => Ok(None),
            _ if output.stderr.contains("Needed a single revision") => Ok(None),
            _ => Err(super::command::failure("rev-parse", &self.path, None, &output)),
        }
    }

    async fn check(&self) -> Result<(), GitError> {
        let bare = self
            .local("rev-parse")
            .arg("--is-bare-repository")
            .run(&self.git.children, &self.cancel)
            .await?;
        if bare.trim_ascii() == b"true" {
            return Ok(());
        }
        Err(GitError::Corrupt { path: self.path.clone(), detail: "it is not bare".to_owned() })
    }

    /// Makes an empty mirror beside its place and moves it there, so that a mirror that is in its
    /// place is whole, whenever we were killed.
    async fn make(&self) -> Result<(), GitError> {
        let parent = self.path.parent().unwrap_or(&self.git.mirrors);
        std::fs::create_dir_all(parent).map_err(GitError::io("make", parent))?;
        let made = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(parent)
            .map_err(GitError::io("make a directory in", parent))?;
        Command::new("init", made.path())
            .args(["--quiet", "--bare", "--template=", "--initial-branch=none"])
            .args(["--object-format=sha1"])
            .run(&self.git.children, &self.cancel)
            .await?;
        let config = made.path().join("config");
        std::fs::write(&config, CONFIGURATION).map_err(GitError::io("write", &config))?;
        let (path, made) = (self.path.clone(), made.keep());
        blocking(move || {
            checkout::remove_now(&path)?;
            std::fs::rename(&made, &path).map_err(GitError::io("make", &path))
        })
        .await
    }
}

/// Runs file-system work where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(GitError::Io {
            what: "finish work on",
            path: PathBuf::from("the workspace"),
            source: std::io::Error::other(error),
        }),
    }
}

pub(super) fn parse_id<T: std::str::FromStr>(
    verb: &'static str,
    text: &str,
) -> Result<T, GitError> {
    let unreadable = |_| GitError::Unreadable { verb, output: text.to_owned() };
    text.trim().parse::<T>().map_err(|_| ()).map_err(unreadable)
}

/// Asks again where a failure may pass by itself. For reading alone: a push looks before it repeats.
async fn patiently<T, F>(
    cancel: &CancellationToken,
    mut ask: impl FnMut() -> F,
) -> Result<T, GitError>
where
    F: Future<Output = Result<T, GitError>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..READ_TRIES {
        match ask().await {
            Err(error) if error.is_transient() && !cancel.is_cancelled() => {
                tracing::warn!(%error, "git failed, trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    ask().await
}

/// The URL as git gets it, and the origin that gets the token.
pub(super) fn check_url(
    text: &str,
    with_token: bool,
) -> Result<(String, Option<String>), GitError> {
    let refuse = |why: String| GitError::Url { why };
    let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not shown: it holds a secret.
        return Err(refuse("it holds a credential, which would show in argv and logs".to_owned()));
    }
    match url.scheme() {
        "file" => Ok((text.to_owned(), None)),
        "https" => Ok((text.to_owned(), Some(url.origin().ascii_serialization()))),
        "http" => {
            let here = match url.host() {
                Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            };
            if with_token && !here {
                return Err(refuse(format!("{url} would carry the token unencrypted; use https")));
            }
            Ok((text.to_owned(), Some(url.origin().ascii_serialization())))
        }
        other => Err(refuse(format!("`{other}` is not one of https, http and file"))),
    }
}

/// Removes what a killed git leaves behind: locks, half-written packs and objects, our scratch.
///
/// Sound because the data folder belongs to one process, whose gits die with it, and this runs
/// before that process's first command in the mirror. Says how many objects lie loose.
fn clear_leftovers(mirror: &Path) -> Result<usize, GitError> {
    checkout::remove_now(&mirror.join(SCRATCH))?;
    let mut loose = 0;
    let mut places = vec![mirror.to_owned()];
    while let Some(place) = places.pop() {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                places.push(path);
            } else if name.ends_with(".lock") || name.starts_with("tmp_") {
                std::fs::remove_file(&path).map_err(GitError::io("remove", &path))?;
            } else if name.len() >= OBJECT_NAME && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                loose += 1;
            }
        }
    }
    let Some(parent) = mirror.parent() else { return Ok(loose) };
    let Ok(entries) = std::fs::read_dir(parent) else { return Ok(loose) };
    for entry in entries.flatten() {
        // Of any repository of this owner: younger than an hour, it may be one in the making.
        let old = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| {
            at.elapsed().is_ok_and(|age| age > std::time::Duration::from_secs(3600))
        });
        if old && entry.file_name().to_string_lossy().starts_with(".making-") {
            checkout::remove_now(&entry.path())?;
        }
    }
    Ok(loose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_would_show_a_token_are_refused() {
        for (url, with_token, fine) in [
            ("https://github.com/o/r.git", true, true),
            ("https://x-access-token:abc@github.com/o/r.git", false, false),
            ("http://127.0.0.1:4000/o/r.git", true, true),
            ("http://example.org/o/r.git", true, false),
            ("http://example.org/o/r.git", false, true),
            ("file:///srv/r.git", true, true),
            ("ext::sh -c id", false, false),
            ("ssh://git@github.com/o/r.git", false, false),
            ("--upload-pack=id", false, false),
        ] {
            assert_eq!(check_url(url, with_token).is_ok(), fine, "{url}");
        }
        let (_, origin) = check_url("http://127.0.0.1:4000/o/r.git", true).expect("fine");
        assert_eq!(origin.as_deref(), Some("http://127.0.0.1:4000"));
    }
}
