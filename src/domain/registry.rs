//! A package registry that a setup step may reach: a host and a port, never a pattern.
//!
//! Pure. The names of the well-known ones stand for the hosts that their tools talk to.

use std::fmt;

use url::{Host, Url};

/// One host and port that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registry {
    host: String,
    port: u16,
    tls: bool,
}

/// Names people write, and the hosts behind each. The first word of a host names it too.
const KNOWN: &[(&[&str], &[&str])] = &[
    (&["crates.io", "cargo"], &["index.crates.io", "static.crates.io"]),
    (&["npm", "npmjs", "npmjs.com"], &["registry.npmjs.org"]),
    (&["yarn"], &["registry.yarnpkg.com", "registry.npmjs.org"]),
    (&["pypi", "pip", "pypi.org"], &["pypi.org", "files.pythonhosted.org"]),
    (
        &["go", "proxy.golang.org"],
        &["proxy.golang.org", "sum.golang.org", "storage.googleapis.com"],
    ),
    (&["maven", "maven-central"], &["repo.maven.apache.org", "repo1.maven.org"]),
    (&["rubygems", "rubygems.org"], &["rubygems.org", "index.rubygems.org"]),
];

const HTTPS: u16 = 443;
const HTTP: u16 = 80;

impl Registry {
    /// Reads one entry of `[setup] registries`: a well-known name, a host, `host:port`, or an
    /// address with `http://` or `https://` whose path does not matter.
    pub fn parse(entry: &str) -> Result<Vec<Self>, String> {
        let entry = entry.trim();
        let lower = entry.to_ascii_lowercase();
        if let Some((_, hosts)) = KNOWN.iter().find(|(names, _)| names.contains(&lower.as_str())) {
            return Ok(hosts.iter().map(|host| Self::https(host)).collect());
        }
        let complaint = || {
            format!(
                "`{entry}` is no registry: write crates.io, npm, yarn, pypi, go, maven, rubygems, \
                 a host, host:port or an address"
            )
        };
        let (text, tls) = match lower.split_once("://") {
            Some(("http", _)) => (lower.clone(), false),
            Some(("https", _)) => (lower.clone(), true),
            Some(_) => return Err(complaint()),
            None => (format!("https://{lower}"), true),
        };
        let url = Url::parse(&text).map_err(|_| complaint())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "`{}` holds a login, and a setup step has none",
                url.host_str().unwrap_or("it")
            ));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if name.contains('*') => return Err(complaint()),
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(complaint()),
        };
        let port = url.port().unwrap_or(if tls { HTTPS } else { HTTP });
        Ok(vec![Self { host, port, tls }])
    }

    fn https(host: &str) -> Self {
        Self { host: host.to_owned(), port: HTTPS, tls: true }
    }

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is said there must be TLS for this very host.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Whether a client that names this host and port means this entry.
    #[must_use]
    pub fn is(&self, host: &str, port: u16) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        self.port == port && self.host.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entry: &str) -> Vec<String> {
        Registry::parse(entry).expect(entry).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_hosts_and_addresses() {
        assert_eq!(hosts("crates.io"), ["index.crates.io:443", "static.crates.io:443"]);
        assert_eq!(hosts("registry.example.com"), ["registry.example.com:443"]);
        assert_eq!(hosts("Registry.Example.com:8443"), ["registry.example.com:8443"]);
        assert_eq!(hosts("https://r.example/npm/"), ["r.example:443"]);
        assert_eq!(hosts("http://127.0.0.1:9000/simple"), ["127.0.0.1:9000"]);
        assert_eq!(hosts("http://[::1]:9000"), ["::1:9000"]);
        assert!(!Registry::parse("http://a.example").expect("valid")[0].tls());
    }

    #[test]
    fn patterns_logins_and_other_schemes_are_refused() {
        for bad in
            ["", "*", "*.example.com", "ftp://a", "https://me:pw@a.example", "a b", "https://"]
        {
            assert!(Registry::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_meant_whatever_its_case_and_never_a_part_of_it() {
        let npm = &Registry::parse("npm").expect("known")[0];
        assert!(npm.is("Registry.NPMjs.org", 443) && npm.is("registry.npmjs.org.", 443));
        assert!(!npm.is("registry.npmjs.org.evil.example", 443));
        assert!(!npm.is("evil-registry.npmjs.org", 443));
        assert!(!npm.is("registry.npmjs.org", 80));
    }
}
