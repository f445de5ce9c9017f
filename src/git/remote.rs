//! Which remotes git may talk to, and which of them get the token.
//!
//! Asks nobody. A token goes over https, to this machine, or, where the operator runs GitHub's API itself
//! over plain http, to that same host.

use url::{Host, Url};

use super::error::GitError;

/// The URL as git gets it, and the origin that gets the token; `None`: it goes without.
///
/// `plain_host`: the host of a `GITHUB_API_URL` that is plain http. Whoever set that sends the token
/// there unencrypted anyway.
pub(super) fn check_url(
    text: &str,
    plain_host: Option<&str>,
) -> Result<(String, Option<String>), GitError> {
    let refuse = |why: String| GitError::Url { why };
    let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not shown: it holds a secret.
        return Err(refuse("it holds a credential, which would show in argv and logs".to_owned()));
    }
    let origin = Some(url.origin().ascii_serialization());
    match url.scheme() {
        "file" => Ok((text.to_owned(), None)),
        "https" => Ok((text.to_owned(), origin)),
        "http" if is_here(&url) => Ok((text.to_owned(), origin)),
        "http" if plain_host.is_some_and(|host| url.host_str() == Some(host)) => {
            tracing::warn!("the token goes to {url} unencrypted, as it does to GITHUB_API_URL");
            Ok((text.to_owned(), origin))
        }
        "http" => {
            tracing::warn!("{url} is plain http: it is asked without the token");
            Ok((text.to_owned(), None))
        }
        other => Err(refuse(format!("`{other}` is not one of https, http and file"))),
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
    fn the_token_goes_where_it_is_safe_or_where_the_operator_sends_it() {
        for (url, plain_host, expected) in [
            ("https://github.com/o/r.git", None, Some(Some("https://github.com"))),
            ("https://x-access-token:abc@github.com/o/r.git", None, None),
            ("http://127.0.0.1:4000/o/r.git", None, Some(Some("http://127.0.0.1:4000"))),
            ("http://git.local/o/r.git", None, Some(None)),
            ("http://git.local:81/o/r.git", Some("git.local"), Some(Some("http://git.local:81"))),
            ("http://other.local/o/r.git", Some("git.local"), Some(None)),
            ("http://git.local.evil.example/o/r.git", Some("git.local"), Some(None)),
            ("file:///srv/r.git", None, Some(None)),
            ("ext::sh -c id", None, None),
            ("ssh://git@github.com/o/r.git", None, None),
            ("--upload-pack=id", None, None),
        ] {
            let found = check_url(url, plain_host).ok().map(|(_, origin)| origin);
            assert_eq!(found, expected.map(|origin| origin.map(str::to_owned)), "{url}");
        }
    }
}
