//! The one builder of git commands: every flag that makes git safe to run is set here.
//!
//! Owns environment, configuration and credential of a git child. Never runs git on a directory
//! whose configuration others could write: the git directory is always named outright.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::error::{GitError, Trouble, trouble};
use crate::domain::redact::Redactor;
use crate::process::{Captured, Children, Ending, Handed, Spec};

/// Local work: generous, a checkout of a large repository takes a minute on a slow disk.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Transfers: a first clone may be gigabytes; a stalled one is ended by `http.lowSpeedTime`.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Bytes kept of what git says when nothing else is asked for.
const OUTPUT_CAP: usize = 4 << 20;
/// Bytes of a listing or a file that are read at most.
pub(super) const READ_CAP: usize = 64 << 20;
/// Tells git's credential helper the number of the pipe that the token is in.
const TOKEN_PIPE: &str = "FOREMAN_TOKEN_PIPE";
/// How often one git command may ask for it.
const TOKEN_LINES: usize = 8;

/// Settings of every command, each with the reason why it is not left to git.
const SETTINGS: &[&str] = &[
    // No program named by a repository or a user may run: hooks, monitor, signing, diff drivers.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "commit.gpgSign=false",
    // What is ignored or converted follows from the tree alone, never from this machine's files.
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.safecrlf=false",
    // Links and modes are content. Guessing from the file system would change trees.
    "core.symlinks=true",
    "core.fileMode=true",
    "core.ignoreCase=false",
    "core.precomposeUnicode=false",
    // Names that are `.git` on a Mac or on Windows are refused here too: others check our trees out.
    "core.protectHFS=true",
    "core.protectNTFS=true",
    // Nothing in the background: it would outlive its command and hold locks.
    "gc.auto=0",
    "maintenance.auto=false",
    // After a power loss the database must not name objects that the disk does not hold; by
    // default loose objects, and so all that `capture` writes, are not synced.
    "core.fsync=committed,reference",
    "core.fsyncMethod=batch",
    // Malformed objects are refused where they come in, but for the odd author lines and modes that
    // old tools left in the history of many public repositories and that harm nobody.
    "transfer.fsckObjects=true",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.badDateOverflow=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    // Submodules are other people's URLs.
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    // A renamed repository redirects the first request. The credential is bound to its host, so a
    // redirect elsewhere does not get it.
    "http.followRedirects=initial",
    // A transfer slower than 1 kB/s for a minute is dead.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    // An empty value forgets helpers set elsewhere.
    "credential.helper=",
    "push.followTags=false",
    "advice.detachedHead=false",
];

/// The environment of every command; it starts empty, so no proxy, trace or askpass gets in.
const ENVIRONMENT: &[(&str, &str)] = &[
    // Messages are read by `error`.
    ("LC_ALL", "C"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    // Nobody is there to answer.
    ("GIT_TERMINAL_PROMPT", "0"),
    // libcurl reads `.netrc` of HOME, or of the passwd entry when HOME is unset.
    ("HOME", "/nonexistent"),
    // No ssh, no git://, no `ext::` which runs commands.
    ("GIT_ALLOW_PROTOCOL", "file:http:https"),
    // An object is what its name says; replacement refs would show another.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    // No filter is configured, so none can run; this is for a git built with one inside.
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_PAGER", "cat"),
    ("GIT_EDITOR", "false"),
];

/// Who we are to one host.
#[derive(Clone)]
pub(super) struct Login {
    /// `scheme://host[:port]`, the only one that gets the token.
    pub(super) origin: String,
    pub(super) token: SecretString,
}

/// One git command, being put together.
pub(super) struct Command {
    verb: &'static str,
    config: Vec<&'static str>,
    args: Vec<OsString>,
    git_dir: PathBuf,
    work_tree: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    output_cap: usize,
    /// Where it talks to, and as whom.
    remote: Option<(String, Option<Login>)>,
}

/// What a command said, whatever its exit code.
pub(super) struct Output {
    pub(super) code: Option<i32>,
    pub(super) stdout: Captured,
    pub(super) stderr: String,
}

impl Command {
    pub(super) fn new(verb: &'static str, git_dir: &Path) -> Self {
        Self {
            verb,
            config: Vec::new(),
            args: Vec::new(),
            git_dir: git_dir.to_owned(),
            work_tree: None,
            env: Vec::new(),
            stdin: None,
            output_cap: OUTPUT_CAP,
            remote: None,
        }
    }

    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.into_iter().map(OsString::from));
        self
    }

    /// A setting of this command alone; it goes before the common ones.
    pub(super) fn config(mut self, setting: &'static str) -> Self {
        self.config.push(setting);
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    pub(super) fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(input.into());
        self
    }

    pub(super) fn cap(mut self, bytes: usize) -> Self {
        self.output_cap = bytes;
        self
    }

    pub(super) fn work_tree(mut self, dir: &Path) -> Self {
        self.work_tree = Some(dir.to_owned());
        self
    }

    pub(super) fn remote(mut self, url: &str, login: Option<Login>) -> Self {
        self.remote = Some((url.to_owned(), login));
        self
    }

    /// Runs it and hands back whatever came of it.
    pub(super) async fn output(
        self,
        children: &Children,
        cancel: &CancellationToken,
    ) -> Result<Output, GitError> {
        let verb = self.verb;
        let login = self.remote.as_ref().and_then(|(_, login)| login.clone());
        let timeout = if self.remote.is_some() { NETWORK_TIMEOUT } else { LOCAL_TIMEOUT };
        let finished = children.run(self.spec(timeout), cancel).await?;
        let code = match finished.ending {
            Ending::Exited(code) => Some(code),
            Ending::Signalled(_) => None,
            Ending::TimedOut => return Err(GitError::TimedOut { verb, after: timeout }),
            Ending::Cancelled => return Err(GitError::Cancelled { verb }),
        };
        let stderr = finished.stderr.text();
        let stderr = match login {
            // Git does not print it, but a server may echo what it was sent.
            Some(login) => Redactor::new([login.token.expose_secret()]).redact(&stderr),
            None => stderr,
        };
        Ok(Output { code, stdout: finished.stdout, stderr })
    }

    /// Runs it; anything but exit code 0 is an error.
    pub(super) async fn run(
        self,
        children: &Children,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, GitError> {
        let (verb, cap, git_dir) = (self.verb, self.output_cap, self.git_dir.clone());
        let url = self.remote.as_ref().map(|(url, _)| url.clone());
        let output = self.output(children, cancel).await?;
        if output.code != Some(0) {
            return Err(failure(verb, &git_dir, url, &output));
        }
        if output.stdout.left_out() > 0 {
            return Err(GitError::TooLarge { what: format!("what `git {verb}` says"), limit: cap });
        }
        Ok(output.stdout.bytes())
    }

    fn spec(self, timeout: Duration) -> Spec {
        let cwd = self.work_tree.as_deref().unwrap_or(&self.git_dir);
        let mut spec = Spec::new("git", cwd);
        for setting in SETTINGS.iter().chain(&self.config) {
            spec = spec.args(["-c", setting]);
        }
        for (key, value) in ENVIRONMENT {
            spec = spec.env(*key, *value);
        }
        // Where git and the shell of its credential helper are found.
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        spec = spec.env("PATH", path).env("GIT_DIR", &self.git_dir);
        if let Some(dir) = &self.work_tree {
            spec = spec.env("GIT_WORK_TREE", dir);
        }
        if let Some((_, Some(login))) = &self.remote {
            // The token travels in a pipe that this one git inherits: it stands in no argument,
            // environment, file, URL or configuration, reaches no log, and is gone with the
            // process even after `kill -9`. Git's own transport hands the pipe on to the helper,
            // which is bound to one origin; hooks and filters are off. `read` and `printf` are
            // builtins of the shell, so that no argv shows the value. Each time it is asked it
            // takes one line, for git may make more than one connection.
            let helper = format!(
                "credential.{}.helper=!f() {{ test \"$1\" = get && \
                 IFS= read -r token </proc/self/fd/${TOKEN_PIPE} && printf \
                 'username=x-access-token\\npassword=%s\\n' \"$token\"; }}; f",
                login.origin
            );
            let line = format!("{}\n", login.token.expose_secret());
            let bytes = line.repeat(TOKEN_LINES).into_bytes();
            spec.handed = Some(Handed { variable: TOKEN_PIPE, bytes });
            spec = spec.args(["-c".to_owned(), helper]);
        }
        spec = spec.args([self.verb]).args(self.args);
        spec.env.extend(self.env);
        spec.stdin = self.stdin;
        spec.output_cap = self.output_cap;
        spec.timeout = Some(timeout);
        spec
    }
}

/// The error that git's message speaks of.
pub(super) fn failure(
    verb: &'static str,
    git_dir: &Path,
    url: Option<String>,
    output: &Output,
) -> GitError {
    let detail = in_short(&output.stderr);
    match (trouble(&output.stderr), url) {
        (Trouble::Disk, _) => GitError::Disk { detail },
        (Trouble::Auth, Some(url)) => GitError::AuthRefused { url, detail },
        (Trouble::Missing, Some(url)) => GitError::RepositoryMissing { url, detail },
        (Trouble::Network, Some(url)) => GitError::Network { url, detail },
        (Trouble::Rejected, Some(url)) => GitError::Rejected { url, detail },
        (Trouble::Corrupt, _) => GitError::Corrupt { path: git_dir.to_owned(), detail },
        (
            Trouble::Auth
            | Trouble::Missing
            | Trouble::Network
            | Trouble::Rejected
            | Trouble::Other,
            _,
        ) => GitError::Failed { verb, code: output.code, detail },
    }
}

/// The lines that carry the cause, cut to what fits a sentence.
pub(super) fn in_short(stderr: &str) -> String {
    const LONGEST: usize = 400;
    let lines: Vec<_> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .collect();
    let text = if lines.is_empty() { "it gave no reason".to_owned() } else { lines.join("; ") };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
