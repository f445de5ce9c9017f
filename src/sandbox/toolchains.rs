//! Which of the host's files a build may read: system libraries and toolchains, never credentials.
//!
//! Looks at the environment once, at start. Never mounts a home, /etc as a whole, or a file that
//! holds a token.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What is shown read-only, and how tools find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Toolchains {
    system: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
    path: Vec<PathBuf>,
    env: Vec<(String, OsString)>,
    /// Cargo's configuration, where it holds no secret.
    cargo_config: Option<PathBuf>,
}

/// Folders of the system itself, where they exist.
const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// The part of /etc that programs need to start, resolve users and check certificates.
const ETC: &[&str] = &[
    "passwd",
    "group",
    "nsswitch.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
    "alternatives",
    "localtime",
    "timezone",
    "mime.types",
    "protocols",
    "services",
    "os-release",
    "debian_version",
    "lsb-release",
    "fonts",
    "terminfo",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "java-25-openjdk",
    "maven",
    "gradle",
    "perl",
    "python3",
    "magic",
];

/// Version managers and toolchains: the variable that names one, and where it is below HOME.
const ROOTS: &[(&str, Option<&str>)] = &[
    ("RUSTUP_HOME", Some(".rustup")),
    ("PYENV_ROOT", Some(".pyenv")),
    ("RBENV_ROOT", Some(".rbenv")),
    ("NVM_DIR", Some(".nvm")),
    ("VOLTA_HOME", Some(".volta")),
    ("SDKMAN_DIR", Some(".sdkman")),
    ("ASDF_DATA_DIR", Some(".asdf")),
    ("MISE_DATA_DIR", Some(".local/share/mise")),
    ("BUN_INSTALL", Some(".bun")),
    ("DENO_INSTALL", Some(".deno")),
    ("JAVA_HOME", None),
    ("GOROOT", None),
];

/// Below an installation prefix inside HOME: what programs need, not what people keep there.
const PREFIX_PARTS: &[&str] = &["bin", "lib", "lib64", "libexec", "include", "pkg"];

/// Words that make a cargo configuration a file with a secret in it.
const SECRET_WORDS: &[&str] = &["token", "credential", "password", "secret", "@"];

impl Toolchains {
    /// `look` reads an environment variable.
    pub(super) fn discover(look: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute = |name: &str| look(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let mut tools = Self {
            system: SYSTEM.iter().map(PathBuf::from).filter(|path| path.exists()).collect(),
            ..Self::default()
        };
        for (variable, below_home) in ROOTS {
            let named = absolute(variable);
            let root = named.or_else(|| Some(home.as_ref()?.join((*below_home)?)));
            if let Some(root) = root.filter(|root| root.is_dir())
                && tools.show(&root, home.as_deref())
            {
                tools.env.push(((*variable).to_owned(), root.into()));
            }
        }
        let cargo =
            absolute("CARGO_HOME").or_else(|| home.as_ref().map(|home| home.join(".cargo")));
        if let Some(cargo) = cargo.filter(|cargo| cargo.is_dir()) {
            for part in ["bin", "registry", "git", "env"] {
                tools.show(&cargo.join(part), home.as_deref());
            }
            for config in [cargo.join("config.toml"), cargo.join("config")] {
                if holds_no_secret(&config) {
                    tools.show(&config, home.as_deref());
                    tools.cargo_config = Some(config);
                }
            }
            tools.env.push(("CARGO_HOME".to_owned(), cargo.into()));
        }
        let search = look("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        for folder in std::env::split_paths(&search) {
            tools.add_to_path(&folder, home.as_deref());
        }
        tools
    }

    /// Cargo's own configuration (mirrors, proxies): it goes where cargo's home is.
    pub(super) fn cargo_config(&self) -> Option<&Path> {
        self.cargo_config.as_deref()
    }

    /// Folders of the system, to be shown first.
    pub(super) fn system(&self) -> &[PathBuf] {
        &self.system
    }

    /// Toolchains outside the system's folders.
    pub(super) fn mounts(&self) -> &[PathBuf] {
        &self.mounts
    }

    /// The files below /etc that exist here.
    pub(super) fn etc() -> impl Iterator<Item = PathBuf> {
        ETC.iter().map(|name| Path::new("/etc").join(name)).filter(|path| path.exists())
    }

    pub(super) fn path(&self) -> OsString {
        // Folders that held the separator were left out.
        std::env::join_paths(&self.path).unwrap_or_else(|_| "/usr/bin:/bin".into())
    }

    pub(super) fn env(&self) -> &[(String, OsString)] {
        &self.env
    }

    fn add_to_path(&mut self, folder: &Path, home: Option<&Path>) {
        if !folder.is_absolute() || !folder.is_dir() || self.path.iter().any(|seen| seen == folder)
        {
            return;
        }
        if !self.shows(folder) {
            let inside_home = home.is_some_and(|home| folder.starts_with(home));
            let prefix = folder.parent().filter(|_| folder.file_name() == Some(OsStr::new("bin")));
            match prefix {
                Some(prefix) if !inside_home && prefix.components().count() > 2 => {
                    self.show(prefix, home);
                }
                Some(prefix) if inside_home && prefix.join("VERSION").is_file() => {
                    self.show(prefix, home);
                }
                Some(prefix) if inside_home && Some(prefix) != home => {
                    for part in PREFIX_PARTS {
                        self.show(&prefix.join(part), home);
                    }
                }
                Some(_) | None => {
                    self.show(folder, home);
                }
            }
        }
        if self.shows(folder) {
            self.path.push(folder.to_owned());
        }
    }

    fn shows(&self, path: &Path) -> bool {
        self.system.iter().chain(&self.mounts).any(|shown| path.starts_with(shown))
    }

    /// Adds a path unless it is missing, or so wide that it would show what is not a toolchain.
    fn show(&mut self, path: &Path, home: Option<&Path>) -> bool {
        const NEVER: [&str; 9] =
            ["/etc", "/proc", "/sys", "/dev", "/run", "/var", "/tmp", "/home", "/root"];
        let too_wide = NEVER.iter().any(|wide| path == Path::new(wide))
            || path.components().count() < 2
            || home.is_some_and(|home| home.starts_with(path));
        if too_wide || !path.exists() {
            return false;
        }
        if !self.shows(path) {
            self.mounts.retain(|shown| !shown.starts_with(path));
            self.mounts.push(path.to_owned());
        }
        true
    }
}

fn holds_no_secret(config: &Path) -> bool {
    std::fs::read_to_string(config).is_ok_and(|text| {
        let text = text.to_ascii_lowercase();
        !SECRET_WORDS.iter().any(|word| text.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_out_and_tools_come_in() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home/me");
        for folder in [".cargo/bin", ".cargo/registry", ".rustup/toolchains", ".ssh", ".local/bin"]
        {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::fs::write(home.join(".cargo/credentials.toml"), "token = 'x'").unwrap();
        std::fs::write(home.join(".cargo/config.toml"), "[registries.a]\ntoken = 'x'").unwrap();
        let path = std::env::join_paths([
            home.join(".cargo/bin"),
            home.join(".local/bin"),
            home.clone(),
            "/usr/bin".into(),
        ])
        .unwrap();
        let tools = Toolchains::discover(|name| match name {
            "HOME" => Some(home.clone().into()),
            "PATH" => Some(path.clone()),
            _ => None,
        });
        assert!(tools.shows(&home.join(".cargo/bin")));
        assert!(tools.shows(&home.join(".rustup/toolchains")));
        assert!(tools.shows(&home.join(".local/bin")));
        for secret in ["", ".ssh", ".cargo", ".cargo/credentials.toml", ".cargo/config.toml"] {
            assert!(!tools.shows(&home.join(secret)), "{secret}");
        }
        assert!(!tools.path.contains(&home));
    }

    #[test]
    fn a_configuration_without_secrets_is_shown() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".cargo")).unwrap();
        let config = home.path().join(".cargo/config.toml");
        std::fs::write(&config, "[source.crates-io]\nreplace-with = 'mirror'").unwrap();
        let tools =
            Toolchains::discover(|name| (name == "HOME").then(|| home.path().as_os_str().into()));
        assert!(tools.shows(&config));
    }
}
