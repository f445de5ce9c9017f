//! The escape suite: each attempt is made outside first, as the same user, where it must succeed;
//! then in every box that promises to hold it, where it must not.

use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};

use super::attempts::{Attempt, Holds, attempts};
use super::*;

/// Fewer would be another suite.
const AT_LEAST: usize = 60;

/// The things of the host that a command wants.
pub struct Scene {
    pub root: String,
    pub tcp: u16,
    pub tcp6: Option<u16>,
    pub udp: u16,
    pub dns: u16,
    pub name: String,
    pub neighbour: u32,
    pub key: u32,
    _alive: Vec<Box<dyn std::any::Any + Send>>,
}

impl Scene {
    /// All of it belongs to the box's own user and is open to everybody: what keeps a command away
    /// is the box.
    async fn set(bench: &Bench, stop: &CancellationToken) -> Self {
        let owner = bench.sandbox.identity();
        let own = |path: &Path| {
            if let Some(owner) = owner {
                chown(path, Some(owner.uid), Some(owner.gid)).unwrap();
            }
        };
        let mut alive: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
        for folder in ["other", "mirror", "mirror/objects", "private", "shown"] {
            std::fs::create_dir(bench.path(folder)).unwrap();
            open(&bench.path(folder));
            own(&bench.path(folder));
        }
        for (file, text) in [
            ("secret", "hunter2"),
            ("other/file", "hunter2"),
            ("other/victim", "hunter2"),
            ("mirror/objects/blob", "object"),
            ("private/key", "hunter2"),
            ("shown/tool", "tool"),
        ] {
            std::fs::write(bench.path(file), text).unwrap();
            own(&bench.path(file));
        }
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(bench.path("private"), private).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            bench.path("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o666),
            0,
        )
        .unwrap();
        let pipe = bench.path("pipe");
        std::fs::set_permissions(&pipe, std::fs::Permissions::from_mode(0o666)).unwrap();
        alive.push(Box::new(
            std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap(),
        ));

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let answering = dns.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((count, from)) = answering.recv_from(&mut query) {
                answering.send_to(&query[..count], from).ok();
            }
        });
        let socket = UnixListener::bind(bench.path("host.sock")).unwrap();
        let datagrams = UnixDatagram::bind(bench.path("host.dgram")).unwrap();
        for name in ["host.sock", "host.dgram"] {
            open(&bench.path(name));
        }
        let name = format!("foreman-suite-{}-{:?}", std::process::id(), bench.sandbox.kind());
        let unnamed = super::escapes::bind_abstract(&name);
        let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port();
        let key = std::process::id() ^ 0x466f;
        let mut scene = Self {
            root: bench.root.path().display().to_string(),
            tcp: port(tcp.local_addr()),
            tcp6: tcp6.as_ref().map(|it| port(it.local_addr())),
            udp: port(udp.local_addr()),
            dns: port(dns.local_addr()),
            name,
            neighbour: 0,
            key,
            _alive: Vec::new(),
        };
        alive.push(Box::new((tcp, tcp6, udp, dns, socket, datagrams, unnamed)));
        scene._alive = alive;

        // A process of the same user, with a secret in its environment, its input and its folder.
        let mark = marked_sleep(700);
        let line = format!("exec sleep {mark} <{}", bench.path("secret").display());
        let mut spec = Spec::new("/bin/sh", &bench.path("private")).args(["-c", &line]);
        spec.env.push(("SECRET".into(), "hunter2".into()));
        spec.identity = owner;
        let (children, token) = (bench.children.clone(), stop.clone());
        tokio::spawn(async move { children.run(spec, &token).await });
        while scene.neighbour == 0 {
            scene.neighbour = find(&mark).unwrap_or(0);
            tokio::task::yield_now().await;
        }
        let segment = format!(
            "python3 -c \"import ctypes; c=ctypes.CDLL(None); \
             print(c.shmget({key},4096,0o1666))\""
        );
        bench.outside(&segment).await;
        scene
    }
}

fn find(word: &str) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let sleeps = line.split(|byte| *byte == 0).collect::<Vec<_>>();
        (sleeps.first() == Some(&b"sleep".as_slice()) && sleeps.get(1) == Some(&word.as_bytes()))
            .then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_succeeds() {
    let mut counted = 0;
    for mode in BOXES {
        let Some(mut bench) = Bench::new(mode).await else { continue };
        bench.place.read_only.push(bench.path("shown"));
        let stop = CancellationToken::new();
        std::fs::create_dir_all(bench.path("shown")).ok();
        std::fs::remove_dir(bench.path("shown")).unwrap();
        let scene = Scene::set(&bench, &stop).await;
        let mut escaped = Vec::new();
        let mut tried = Vec::new();
        for attempt in attempts(&scene) {
            let here = match attempt.holds {
                Holds::Everywhere => true,
                Holds::Namespaces => bench.sandbox.kind() == Kind::Bubblewrap,
            };
            if !here {
                continue;
            }
            match attempt_once(&bench, &attempt).await {
                Outcome::NoControl(said) => {
                    assert!(attempt.optional, "{}: no control: {said}", attempt.name);
                    eprintln!("SKIPPED: {} does not work on this machine", attempt.name);
                }
                Outcome::Held => tried.push(attempt.name),
                Outcome::Escaped(said) => escaped.push(format!("{}: {said}", attempt.name)),
            }
        }
        stop.cancel();
        eprintln!(
            "{mode:?}: {} attempts with a working control, {escaped:#?} escaped",
            tried.len()
        );
        assert_eq!(escaped, Vec::<String>::new(), "{mode:?}");
        if bench.sandbox.kind() == Kind::Bubblewrap {
            counted = tried.len();
        }
    }
    assert!(counted >= AT_LEAST || counted == 0, "only {counted} attempts");
}

enum Outcome {
    NoControl(String),
    Held,
    Escaped(String),
}

async fn attempt_once(bench: &Bench, attempt: &Attempt) -> Outcome {
    let line = format!("export PATH=/usr/local/bin:/usr/bin:/bin\n{}", attempt.script);
    reset(bench);
    let control = bench.outside(&line).await;
    if !control.contains("ESCAPED") {
        return Outcome::NoControl(control);
    }
    reset(bench);
    let before = fingerprint(bench);
    let mut shell = Shell::new(format!("{line}\necho still here"), PATIENCE);
    if attempt.may_die {
        // Of the user, so that other tests of this machine count too.
        shell.limits.processes = Some(200);
    }
    let inside = bench.run_shell(&shell).await.stdout.text();
    if inside.contains("ESCAPED") {
        return Outcome::Escaped(inside);
    }
    // Not by what it says alone: the host's files are as they were.
    if fingerprint(bench) != before {
        return Outcome::Escaped("it changed files of the host".to_owned());
    }
    assert!(attempt.may_die || inside.contains("still here"), "{}: {inside}", attempt.name);
    Outcome::Held
}

/// What the control may have changed is put back, and the workspace is emptied.
fn reset(bench: &Bench) {
    let owner = bench.sandbox.identity();
    for (file, text) in
        [("secret", "hunter2"), ("other/victim", "hunter2"), ("mirror/objects/blob", "object")]
    {
        let path = bench.path(file);
        std::fs::remove_file(&path).ok();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        if let Some(owner) = owner {
            chown(&path, Some(owner.uid), Some(owner.gid)).unwrap();
        }
    }
    for file in ["other/written", "written", "shown/written"] {
        std::fs::remove_file(bench.path(file)).ok();
    }
    for entry in std::fs::read_dir(&bench.place.workspace).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    // A program that anybody may run as its owner, where the files allow that.
    let raised = bench.place.workspace.join("raised");
    std::fs::copy("/usr/bin/id", &raised).unwrap();
    std::fs::set_permissions(&raised, std::fs::Permissions::from_mode(0o4755)).unwrap();
}

/// Names, contents, modes, owners, links and times of the host's files.
fn fingerprint(bench: &Bench) -> String {
    let mut lines = Vec::new();
    for folder in ["", "other", "mirror/objects", "private", "shown"] {
        for entry in std::fs::read_dir(bench.path(folder)).unwrap().flatten() {
            let facts = entry.metadata().unwrap();
            if facts.is_file() {
                lines.push(format!(
                    "{:?} {} {:o} {} {} {}",
                    entry.path(),
                    std::fs::read_to_string(entry.path()).unwrap(),
                    facts.mode(),
                    facts.uid(),
                    facts.nlink(),
                    facts.mtime()
                ));
            }
        }
    }
    lines.sort();
    lines.join("\n")
}
