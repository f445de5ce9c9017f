//! Where a clone's remote is and whether it gets our credential.
//!
//! The address is that of `origin`, as written; rewriting rules, proxies and helpers of the clone do
//! not exist here. The credential goes to GitHub's host and to the host that GitHub itself names for
//! the repository, and nowhere else.

use std::path::Path;

use secrecy::SecretString;
use url::{Host, Url};

use crate::domain::ids::RepoName;
use crate::github::{GitHub, GitHubError};

/// An address as `origin` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A folder on this machine, as a path or a `file://` address.
    Folder(String),
    /// Without user and password.
    Web(Url),
    /// Host and path of an SSH address; asked over HTTPS.
    Ssh {
        host: String,
        path: String,
    },
    Other,
}

/// Where git talks to, and as whom.
pub(super) struct Route {
    pub url: String,
    pub token: Option<SecretString>,
    pub repo: Option<RepoName>,
}

impl Origin {
    pub fn parse(text: &str, root: &Path) -> Self {
        let text = text.trim();
        if let Some((scheme, _)) = text.split_once("://") {
            return match scheme {
                "file" => Self::Folder(text.to_owned()),
                "http" | "https" => Url::parse(text).map_or(Self::Other, |mut url| {
                    // A web address takes both; whoever put a secret there keeps it.
                    url.set_username("").ok();
                    url.set_password(None).ok();
                    Self::Web(url)
                }),
                "ssh" | "git+ssh" => {
                    Url::parse(text).map_or(Self::Other, |url| match url.host_str() {
                        Some(host) => Self::ssh(host, url.path()),
                        None => Self::Other,
                    })
                }
                _ => Self::Other,
            };
        }
        // `transport::address` runs a program named after it.
        if text.is_empty() || text.contains("::") || text.starts_with('-') {
            return Self::Other;
        }
        match text.split_once(':') {
            Some((host, path)) if !host.contains('/') => {
                Self::ssh(host.rsplit('@').next().unwrap_or(host), path)
            }
            Some(_) | None => Self::Folder(root.join(text).to_string_lossy().into_owned()),
        }
    }

    fn ssh(host: &str, path: &str) -> Self {
        // GitHub's SSH over the port of HTTPS has a host of its own.
        let host = match host {
            "ssh.github.com" => "github.com",
            other => other,
        };
        let path = path.trim_start_matches('/').to_owned();
        Self::Ssh { host: host.to_ascii_lowercase(), path }
    }
}

/// The repository that an address's path names on GitHub.
fn repo_of(path: &str) -> Option<RepoName> {
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, name) = path.rsplit_once('/')?;
    RepoName::new(owner.rsplit('/').next()?, name).ok()
}

/// Where people's browsers and gits find what the API is about.
fn web_of(api: &Url) -> Url {
    let mut web = api.clone();
    if api.host_str() == Some("api.github.com") {
        web.set_host(Some("github.com")).ok();
    }
    web
}

/// The way to a clone's remote, or why there is none.
pub(super) async fn route(
    github: &GitHub,
    api: &Url,
    origin: Option<&str>,
    root: &Path,
) -> Result<Route, String> {
    let Some(text) = origin else {
        return Err("it has no remote `origin`; run `git remote add origin URL`".to_owned());
    };
    let web = web_of(api);
    match Origin::parse(text, root) {
        Origin::Folder(url) => Ok(Route { url, token: None, repo: None }),
        Origin::Web(url) => {
            let repo = repo_of(url.path());
            let at_github = url.origin() == web.origin();
            let token = trusted(github, repo.as_ref(), at_github, &url).await;
            Ok(Route { url: url.into(), token, repo })
        }
        Origin::Ssh { host, path } => over_https(github, &web, &host, &path).await,
        Origin::Other => {
            Err("its `origin` is no address that Foreman fetches from; use https, http or a path"
                .to_owned())
        }
    }
}

/// Our token, if that host may have it.
async fn trusted(
    github: &GitHub,
    repo: Option<&RepoName>,
    at_github: bool,
    url: &Url,
) -> Option<SecretString> {
    let repo = repo.filter(|_| github.has_credential())?;
    if url.scheme() == "http" && !is_here(url) {
        // Never unencrypted over a network.
        return None;
    }
    let named = async || {
        let found = github.repository(repo).await.ok()?;
        let clone_url = Url::parse(&found.clone_url).ok()?;
        (clone_url.origin() == url.origin()).then_some(())
    };
    if !at_github {
        named().await?;
    }
    token(github, repo).await
}

async fn token(github: &GitHub, repo: &RepoName) -> Option<SecretString> {
    match github.token_for_git(repo).await {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(%error, "no credential for {repo}; its remote is asked without one");
            None
        }
    }
}

/// SSH needs a person's key, which Foreman has none of: the same repository is asked over HTTPS.
async fn over_https(github: &GitHub, web: &Url, host: &str, path: &str) -> Result<Route, String> {
    let refused = |why: &str| {
        Err(format!("its `origin` is an SSH address at {host}, and {why}; use an https address"))
    };
    let Some(repo) = repo_of(path) else { return refused("it names no repository of GitHub") };
    if !github.has_credential() {
        if web.host_str() != Some(host) {
            return refused("that is not GitHub's host");
        }
        let mut url = web.clone();
        url.set_path(&format!("/{}/{}.git", repo.owner(), repo.name()));
        return Ok(Route { url: url.into(), token: None, repo: Some(repo) });
    }
    match github.repository(&repo).await {
        Ok(found) => {
            let url = Url::parse(&found.clone_url).ok();
            let same = url.as_ref().is_some_and(|url| url.host_str() == Some(host));
            let Some(url) = url.filter(|_| same) else {
                return refused("GitHub names another host for it");
            };
            let token = token(github, &repo).await;
            Ok(Route { url: url.into(), token, repo: Some(repo) })
        }
        Err(error @ GitHubError::NoCredential) => refused(&error.to_string()),
        Err(error) => refused(&format!("GitHub did not say where it is ({error})")),
    }
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let root = Path::new("/home/me/app");
        let ssh = |host: &str, path: &str| Origin::Ssh { host: host.into(), path: path.into() };
        for (text, expected) in [
            ("/srv/a.git", Origin::Folder("/srv/a.git".into())),
            ("../a.git", Origin::Folder("/home/me/app/../a.git".into())),
            ("file:///srv/a.git", Origin::Folder("file:///srv/a.git".into())),
            (
                "https://me:secret@github.com/o/r.git",
                Origin::Web("https://github.com/o/r.git".parse().expect("a url")),
            ),
            ("git@GitHub.com:o/r.git", ssh("github.com", "o/r.git")),
            ("ssh://git@ssh.github.com:443/o/r", ssh("github.com", "o/r")),
            ("ext::sh -c id", Origin::Other),
            ("git://github.com/o/r", Origin::Other),
            ("--upload-pack=id", Origin::Other),
            ("", Origin::Other),
        ] {
            assert_eq!(Origin::parse(text, root), expected, "{text}");
        }
    }

    #[test]
    fn repositories_are_read_from_paths() {
        for (path, expected) in [
            ("/o/r.git", Some("o/r")),
            ("o/r", Some("o/r")),
            ("/git/o/r.git/", Some("o/r")),
            ("/r.git", None),
            ("", None),
        ] {
            assert_eq!(repo_of(path).map(|repo| repo.to_string()).as_deref(), expected, "{path}");
        }
    }
}
