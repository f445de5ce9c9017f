//! Finding a sandbox that works: try, prove by attempting to get out, say why not.

use std::ffi::OsString;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::advice::{advice_for, obstacle_from};
use super::cgroup::Totals;
use super::landlock::closed_to_others;
use super::report::{Facts, SandboxReport};
use super::toolchains::Toolchains;
use super::{
    Inner, Kind, Mode, NOBODY, Obstacle, Place, Sandbox, SandboxError, Shell, bubblewrap,
    prepare_place,
};
use crate::process::{Children, Identity, Settings, Spec, exec, probe};

/// A trial command takes milliseconds; a machine under load some more.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts that must fail in every box.
const MUST_STOP: [(&str, &str); 8] = [
    ("connect", "a command reached a listener of the host"),
    ("udp", "a command's datagram left the box"),
    ("unix", "a command reached a socket in the host's files"),
    ("abstract", "a command reached an abstract socket of the host"),
    ("privilege", "a command could raise its privilege, or its kernel calls are not filtered"),
    ("read", "a command read a file of the host"),
    ("write", "a command wrote a file of the host"),
    ("environ", "a command read the environment of another process"),
];

/// Attempts that a weaker box may let through, and what the report calls them.
const MAY_PASS: [(&str, &str); 1] = [("signal", "signals to processes")];

pub(super) async fn detect(
    children: Children,
    mode: Mode,
    helper: PathBuf,
) -> Result<Sandbox, SandboxError> {
    let helper = helper.canonicalize().map_err(SandboxError::SelfTest)?;
    let root = rustix::process::geteuid().is_root();
    let machine = Machine {
        children,
        helper,
        root,
        tools: Toolchains::discover(|name| std::env::var_os(name)),
    };
    let kinds: &[Kind] = match mode {
        Mode::Auto => &[Kind::Bubblewrap, Kind::Landlock],
        Mode::Bubblewrap => &[Kind::Bubblewrap],
        Mode::Landlock => &[Kind::Landlock],
        Mode::Off => return Ok(machine.unheld()),
    };
    let mut tried = Vec::new();
    for kind in kinds {
        match machine.attempt(*kind, &tried).await? {
            Ok(sandbox) => return Ok(sandbox),
            Err(obstacle) => tried.push((*kind, obstacle)),
        }
    }
    let advice = advice_for(&tried);
    Err(SandboxError::Unavailable { tried, advice })
}

struct Machine {
    children: Children,
    helper: PathBuf,
    root: bool,
    tools: Toolchains,
}

impl Machine {
    fn unheld(self) -> Sandbox {
        let facts = Facts {
            identity: None,
            root: self.root,
            totals: Some("the sandbox is off".to_owned()),
            reached: Vec::new(),
            closed: None,
            advice: Some(
                "FOREMAN_SANDBOX=off lets commands do all that Foreman may; use it only for \
                 repositories and issues you trust, and otherwise `auto`."
                    .to_owned(),
            ),
        };
        self.sandbox(Kind::None, PathBuf::new(), None, None, facts)
    }

    fn sandbox(
        &self,
        kind: Kind,
        bwrap: PathBuf,
        identity: Option<Identity>,
        totals: Option<Totals>,
        facts: Facts,
    ) -> Sandbox {
        Sandbox {
            inner: Arc::new(Inner {
                children: self.children.clone(),
                kind,
                helper: self.helper.clone(),
                bwrap,
                identity,
                tools: self.tools.clone(),
                totals,
                report: SandboxReport::new(kind, facts),
            }),
        }
    }

    /// A sandbox that passed its self-test, or what stood in the way.
    async fn attempt(
        &self,
        kind: Kind,
        tried: &[(Kind, Obstacle)],
    ) -> Result<Result<Sandbox, Obstacle>, SandboxError> {
        let bwrap = match kind {
            Kind::Bubblewrap => match find("bwrap") {
                Some(path) => path,
                None => return Ok(Err(Obstacle::Missing("`bwrap` is not on PATH".to_owned()))),
            },
            Kind::Landlock | Kind::None => PathBuf::new(),
        };
        let identity = self.root.then_some(NOBODY);
        let (totals, no_totals) = match Totals::detect() {
            Ok(totals) => (Some(totals), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let closed = self.closed_toolchain(kind);
        let facts = |reached| Facts {
            identity,
            root: self.root,
            totals: no_totals.clone(),
            reached,
            closed: closed.clone(),
            advice: match (tried, &closed) {
                ([], None) => None,
                ([], Some(_)) => {
                    Some("Use bubblewrap, which shows toolchains wherever they are.".to_owned())
                }
                (tried, _) => Some(advice_for(tried)),
            },
        };
        let trial = self.sandbox(kind, bwrap.clone(), identity, totals, facts(Vec::new()));
        let reached = match self.prove(&trial).await? {
            Ok(reached) => reached,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        let Some(inner) = Arc::into_inner(trial.inner) else {
            return Err(SandboxError::SelfTest(io::Error::other("the trial is still in use")));
        };
        let report = SandboxReport::new(kind, facts(reached));
        Ok(Ok(Sandbox { inner: Arc::new(Inner { report, ..inner }) }))
    }

    /// Landlock shows paths where they are: the unprivileged user must be able to walk there.
    fn closed_toolchain(&self, kind: Kind) -> Option<String> {
        if kind != Kind::Landlock || !self.root {
            return None;
        }
        self.tools.mounts().iter().find_map(|path| {
            let closed = closed_to_others(path)?;
            Some(format!(
                "{} cannot be used: {} is closed to the unprivileged user of the box",
                path.display(),
                closed.display()
            ))
        })
    }

    /// Tries to get out. Every attempt is made outside first, where it must succeed: an attempt
    /// that fails everywhere proves nothing.
    async fn prove(
        &self,
        sandbox: &Sandbox,
    ) -> Result<Result<Vec<&'static str>, Obstacle>, SandboxError> {
        let trial = Trial::prepare(sandbox.identity()).map_err(SandboxError::SelfTest)?;
        let attempts = trial.attempts();
        let mut control = Spec::new(probe::PROGRAM, trial.outside.path()).args(&attempts);
        control.identity = sandbox.identity();
        control.timeout = Some(TRIAL_TIMEOUT);
        let control = self.children.run(control, &CancellationToken::new()).await?.stdout.text();
        for (name, _) in MUST_STOP.iter().filter(|(name, _)| *name != "environ") {
            if !control.contains(&format!("{name} reached")) {
                let why = format!("outside the box `{name}` did not work either: {control}");
                return Err(SandboxError::SelfTest(io::Error::other(why)));
            }
        }

        let helper = match sandbox.kind() {
            Kind::Bubblewrap => PathBuf::from(bubblewrap::HELPER),
            Kind::Landlock | Kind::None => self.helper.clone(),
        };
        let mut line = vec![quoted(&helper), exec::SUBCOMMAND.to_owned()];
        let own = Settings::default().arguments();
        line.extend(own.iter().map(|arg| quoted(Path::new(arg))));
        line.extend(["--".to_owned(), probe::PROGRAM.to_owned()]);
        line.extend(attempts.iter().map(|arg| quoted(Path::new(arg))));
        let command = format!("{} && echo the box works", line.join(" "));
        let shell = Shell::new(command, TRIAL_TIMEOUT);
        let finished = sandbox.run(&trial.place, &shell, &CancellationToken::new()).await?;
        let said = finished.stdout.text();
        if !finished.ending.success() || !said.contains("the box works") {
            return Ok(Err(obstacle_from(sandbox.kind(), &said)));
        }
        let passed = |name: &str| !said.contains(&format!("{name} stopped"));
        for (name, what) in MUST_STOP {
            if passed(name) {
                return Ok(Err(Obstacle::Leaks(what.to_owned())));
            }
        }
        Ok(Ok(MAY_PASS.iter().filter(|(name, _)| passed(name)).map(|(_, what)| *what).collect()))
    }
}

/// Things outside that a box must keep a command from.
struct Trial {
    place: Place,
    outside: tempfile::TempDir,
    listener: TcpListener,
    datagrams: UdpSocket,
    /// The name of the abstract socket.
    name: String,
    _sockets: [UnixListener; 2],
    _inside: tempfile::TempDir,
}

impl Trial {
    fn prepare(identity: Option<Identity>) -> io::Result<Self> {
        let outside = open_folder()?;
        std::fs::write(outside.path().join("canary"), "canary")?;
        std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o777))?;
        let inside = open_folder()?;
        let place =
            prepare_place(&inside.path().join("work"), &inside.path().join("own"), identity)?;
        let socket = outside.path().join("socket");
        let in_files = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777))?;
        let name = format!("foreman-trial-{}", uuid::Uuid::new_v4().simple());
        let unnamed = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        Ok(Self {
            place,
            outside,
            listener: TcpListener::bind(("127.0.0.1", 0))?,
            datagrams: UdpSocket::bind(("127.0.0.1", 0))?,
            name,
            _sockets: [in_files, unnamed],
            _inside: inside,
        })
    }

    fn attempts(&self) -> Vec<OsString> {
        let path = |name: &str| self.outside.path().join(name).display().to_string();
        let port = |address: io::Result<std::net::SocketAddr>| address.map_or(0, |it| it.port());
        let (tcp, udp) = (port(self.listener.local_addr()), port(self.datagrams.local_addr()));
        let own = std::process::id();
        [
            format!("connect=127.0.0.1:{tcp}"),
            format!("udp=127.0.0.1:{udp}"),
            format!("unix={}", path("socket")),
            format!("abstract={}", self.name),
            "privilege=".to_owned(),
            format!("read={}", path("canary")),
            format!("write={}", path("written")),
            format!("environ={own}"),
            format!("signal={own}"),
        ]
        .map(OsString::from)
        .to_vec()
    }
}

/// A folder that only a box, not its permissions, keeps others from.
fn open_folder() -> io::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("foreman-trial-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn find(program: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search)
        .chain(["/usr/bin".into(), "/usr/local/bin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_absolute() && path.is_file())
}
