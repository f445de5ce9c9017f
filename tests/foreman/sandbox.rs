//! The box: each way out is tried inside, and outside as the control that it is one.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foreman::process::{Children, Ending, Finished, Limits, Spec};
use foreman::sandbox::{Kind, Mode, Place, Sandbox, SandboxError, Shell, prepare_place};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_foreman");
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    sandbox: Sandbox,
    children: Children,
    place: Place,
    root: tempfile::TempDir,
}

impl Bench {
    /// `None`, said aloud, where this machine lacks the mechanism.
    async fn new(mode: Mode) -> Option<Self> {
        let children = Children::start(BINARY.into()).unwrap();
        let sandbox = match Sandbox::detect(children.clone(), mode, BINARY.into()).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                assert!(matches!(error, SandboxError::Unavailable { .. }), "{error}");
                assert!(std::env::var_os("CI").is_none(), "CI must have it: {error}");
                eprintln!("SKIPPED: {mode:?} does not work here: {error}");
                return None;
            }
        };
        // Open permissions: what keeps the box in must be the box.
        let root = tempfile::tempdir().unwrap();
        open(root.path());
        let place =
            prepare_place(&root.path().join("work"), &root.path().join("own"), sandbox.identity())
                .unwrap();
        Some(Self { sandbox, children, place, root })
    }

    async fn run(&self, command: &str) -> Finished {
        self.run_shell(&Shell::new(command, PATIENCE)).await
    }

    async fn run_shell(&self, shell: &Shell) -> Finished {
        self.sandbox.run(&self.place, shell, &CancellationToken::new()).await.unwrap()
    }

    async fn says(&self, command: &str) -> String {
        self.run(command).await.stdout.text()
    }

    /// The same command outside, as the same user.
    async fn outside(&self, command: &str) -> String {
        let mut spec = Spec::new("/bin/sh", &self.place.workspace).args(["-c", command]);
        spec.env.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
        spec.identity = self.sandbox.identity();
        spec.merge_output = true;
        self.children.run(spec, &CancellationToken::new()).await.unwrap().stdout.text()
    }

    /// Succeeds outside, printing ESCAPED; must not inside.
    async fn must_hold(&self, attempt: &str) {
        let control = self.outside(attempt).await;
        assert!(control.contains("ESCAPED"), "the control is no control: {attempt}\n{control}");
        let inside = self.says(&format!("{attempt}\necho still here")).await;
        assert!(!inside.contains("ESCAPED"), "{attempt}\n{inside}");
        assert!(inside.contains("still here"), "{attempt}\n{inside}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

fn open(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// How many processes of the host have this word among their arguments.
fn living(word: &str) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
        .count()
}

/// A duration for `sleep` that no other test uses, so that its process can be found.
fn marked_sleep(number: u32) -> String {
    format!("86{number}.{}", std::process::id())
}

const BOXES: [Mode; 2] = [Mode::Bubblewrap, Mode::Landlock];

#[tokio::test(flavor = "multi_thread")]
async fn host_files_are_closed() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        std::fs::write(bench.path("secret"), "hunter2").unwrap();
        let other = bench.path("other");
        std::fs::create_dir(&other).unwrap();
        open(&other);
        let (secret, other) = (bench.path("secret"), other.display().to_string());
        let secret = secret.display();
        bench.must_hold(&format!("cat {secret} && echo ESCAPED")).await;
        bench.must_hold(&format!("ls {other} && echo ESCAPED")).await;
        bench.must_hold(&format!("echo x > {other}/written && echo ESCAPED")).await;
        bench.must_hold(&format!("ln -sfn {secret} link && cat link && echo ESCAPED")).await;
        bench.must_hold(&format!("ln -sfn {other} out; echo x > out/f && echo ESCAPED")).await;
        bench.must_hold(&format!("cat ../secret {secret} && echo ESCAPED")).await;
        bench.must_hold("cat /etc/hostname /etc/fstab >/dev/null && echo ESCAPED").await;
        assert!(!bench.says("cat /etc/shadow; echo done").await.contains("root:"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn toolchains_are_read_only_and_without_credentials() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        let said = bench
            .says(
                "for d in /usr/bin $CARGO_HOME/bin $CARGO_HOME $RUSTUP_HOME / /etc /dev; do \
                 touch $d/foreman-test && echo ESCAPED $d; done; \
                 cat $CARGO_HOME/credentials.toml && echo ESCAPED; echo end",
            )
            .await;
        assert!(said.contains("end") && !said.contains("ESCAPED"), "{said}");
        for folder in ["/usr/bin", "/"] {
            assert!(!Path::new(folder).join("foreman-test").exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_closed() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = |family: &str, kind: &str, address: &str| {
            format!(
                "python3 -c \"import socket; s=socket.socket(socket.{family},socket.{kind}); \
                 s.connect({address}); s.send(b'x'); print('ESCAPED')\""
            )
        };
        bench.must_hold(&connect("AF_INET", "SOCK_STREAM", &format!("('127.0.0.1',{port})"))).await;

        let socket = bench.path("host.sock");
        let _unix = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
        let address = format!("'{}'", socket.display());
        bench.must_hold(&connect("AF_UNIX", "SOCK_STREAM", &address)).await;

        let name = format!("foreman-{}-{mode:?}", std::process::id());
        let _abstract = bind_abstract(&name);
        bench.must_hold(&connect("AF_UNIX", "SOCK_STREAM", &format!("'\\\\0{name}'"))).await;

        // A datagram needs no listener to leave.
        let datagram = connect("AF_INET", "SOCK_DGRAM", "('192.0.2.1',53)");
        let said = bench.says(&format!("{datagram}; echo end")).await;
        assert!(said.contains("end") && !said.contains("ESCAPED"), "{said}");
        if Path::new("/dev/vsock").exists() {
            let vsock = "python3 -c \"import socket; \
                         socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); print('ESCAPED')\"";
            bench.must_hold(vsock).await;
        }
    }
}

fn bind_abstract(name: &str) -> std::os::unix::net::UnixListener {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    std::os::unix::net::UnixListener::bind_addr(&address).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_out_of_reach() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        // A process of the box's own user: no permission but the box keeps them apart.
        let mark = marked_sleep(1);
        let stop = CancellationToken::new();
        let mut spec = Spec::new("/bin/sleep", Path::new("/")).args([&mark]);
        spec.env.push(("SECRET".into(), "hunter2".into()));
        spec.identity = bench.sandbox.identity();
        let (children, token) = (bench.children.clone(), stop.clone());
        let neighbour = tokio::spawn(async move { children.run(spec, &token).await.unwrap() });
        let find = format!(
            "for p in /proc/[0-9]*; do \
             if tr '\\0' '\\n' < $p/cmdline 2>/dev/null | grep -qx '{mark}'; then"
        );
        while !bench.outside(&format!("{find} echo there; fi; done")).await.contains("there") {}

        bench
            .must_hold(&format!(
                "{find} grep -qa hunter2 $p/environ && echo ESCAPED; fi; done; true"
            ))
            .await;
        if bench.sandbox.kind() == Kind::Bubblewrap {
            bench.must_hold(&format!("{find} echo ESCAPED; fi; done; true")).await;
        }
        let kill = format!("{find} kill -0 ${{p#/proc/}} && echo ESCAPED; fi; done; true");
        bench.must_hold(&kill).await;
        assert!(
            bench.says("cat /proc/1/environ | tr '\\0' '\\n'").await.find("CARGO_BIN").is_none()
        );
        stop.cancel();
        neighbour.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_holds_nothing_of_ours() {
    for mode in [Mode::Bubblewrap, Mode::Landlock, Mode::Off] {
        let Some(bench) = Bench::new(mode).await else { continue };
        let mut shell = Shell::new("env", PATIENCE);
        shell.env.push(("EXTRA".into(), "given".into()));
        let env = bench.run_shell(&shell).await.stdout.text();
        const KNOWN: [&str; 26] = [
            "PATH",
            "HOME",
            "TMPDIR",
            "USER",
            "LANG",
            "TERM",
            "CI",
            "CARGO_NET_OFFLINE",
            "CARGO_TARGET_DIR",
            "RUSTUP_AUTO_INSTALL",
            "GOTOOLCHAIN",
            "GIT_CONFIG_GLOBAL",
            "GIT_TERMINAL_PROMPT",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "PYENV_ROOT",
            "RBENV_ROOT",
            "NVM_DIR",
            "VOLTA_HOME",
            "SDKMAN_DIR",
            "ASDF_DATA_DIR",
            "JAVA_HOME",
            "GOROOT",
            "EXTRA",
            "PWD",
            "SHLVL",
        ];
        for line in env.lines() {
            let name = line.split('=').next().unwrap();
            assert!(KNOWN.contains(&name) || name == "_", "{mode:?}: {line}");
        }
        assert!(env.contains("EXTRA=given") && env.contains("CARGO_NET_OFFLINE=true"), "{env}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_privilege_is_left_and_none_can_be_had() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        let said = bench.says("id -u; cat /proc/self/status").await;
        assert!(!said.starts_with("0\n"), "{said}");
        for (field, value) in [
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            assert!(said.contains(&format!("{field}:\t{value}")), "{field}: {said}");
        }
        // Control: unprivileged user namespaces are open outside, where they are.
        let attempt = "unshare --user --map-root-user true && echo ESCAPED";
        if bench.outside(attempt).await.contains("ESCAPED") {
            bench.must_hold(attempt).await;
        }
        let trace = "python3 -c \"import ctypes; c=ctypes.CDLL(None, use_errno=True); \
                     print('ESCAPED' if c.ptrace(0,0,0,0)==0 else ctypes.get_errno())\"";
        bench.must_hold(trace).await;
        let ring = "python3 -c \"import ctypes; c=ctypes.CDLL(None, use_errno=True); \
                    b=ctypes.create_string_buffer(120); \
                    print('ESCAPED' if c.syscall(425,1,b)>=0 else ctypes.get_errno())\"";
        if bench.outside(ring).await.contains("ESCAPED") {
            bench.must_hold(ring).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_its_command() {
    for (number, mode) in [(10, Mode::Bubblewrap), (20, Mode::Landlock), (30, Mode::Off)] {
        let Some(bench) = Bench::new(mode).await else { continue };
        let mark = marked_sleep(number);
        let orphan = format!("(setsid sh -c 'sleep {mark} & sleep {mark}' >/dev/null 2>&1 &)");

        let done = bench.run(&format!("{orphan}; exit 3")).await;
        assert_eq!(done.ending, Ending::Exited(3), "{mode:?}");
        assert_eq!(living(&mark), 0, "{mode:?}: after its end");

        let mut shell = Shell::new(format!("{orphan}; sleep {mark}"), PATIENCE);
        shell.timeout = Duration::from_millis(700);
        assert_eq!(bench.run_shell(&shell).await.ending, Ending::TimedOut, "{mode:?}");
        assert_eq!(living(&mark), 0, "{mode:?}: after its timeout");

        let cancel = CancellationToken::new();
        let shell = Shell::new(format!("{orphan}; sleep {mark}"), PATIENCE);
        let (running, ()) = tokio::join!(bench.sandbox.run(&bench.place, &shell, &cancel), async {
            while living(&mark) < 3 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        });
        assert_eq!(running.unwrap().ending, Ending::Cancelled, "{mode:?}");
        assert_eq!(living(&mark), 0, "{mode:?}: after its cancellation");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        let limited =
            |command: &str, limits: Limits| Shell { limits, ..Shell::new(command, PATIENCE) };
        let bomb = "for i in $(seq 200); do sleep 5 & done; echo never";
        let few = Limits { processes: Some(40), ..Limits::default() };
        let said = bench.run_shell(&limited(bomb, few)).await.stdout.text();
        assert!(
            !said.contains("never") || said.to_lowercase().contains("fork"),
            "{mode:?}: {said}"
        );

        let eat = "python3 -c 'x=bytearray(600<<20); print(\"never\")'; echo after";
        let lean = Limits { memory: Some(300 << 20), ..Limits::default() };
        let said = bench.run_shell(&limited(eat, lean)).await.stdout.text();
        assert!(said.contains("after") && !said.contains("never"), "{mode:?}: {said}");

        let fill = "head -c 3000000 /dev/zero > big; stat -c %s big";
        let small = Limits { file_size: Some(1 << 20), ..Limits::default() };
        let said = bench.run_shell(&limited(fill, small)).await.stdout.text();
        assert!(said.contains("1048576"), "{mode:?}: {said}");

        let mut loud = Shell::new("head -c 300000000 /dev/zero; echo the end", PATIENCE);
        loud.output_cap = 1 << 16;
        let done = bench.run_shell(&loud).await;
        assert!(done.stdout.bytes().len() <= 1 << 16 && done.stdout.total() > 300_000_000);
        assert!(done.stdout.text().ends_with("the end\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_merged_output_pass() {
    for mode in [Mode::Bubblewrap, Mode::Landlock, Mode::Off] {
        let Some(bench) = Bench::new(mode).await else { continue };
        let mut shell = Shell::new("cat; echo err >&2; pwd; echo kept > f", PATIENCE);
        shell.stdin = Some(b"input\n".to_vec());
        let said = bench.run_shell(&shell).await.stdout.text();
        let inside = bench.sandbox.workspace_inside(&bench.place);
        assert_eq!(said, format!("input\nerr\n{}\n", inside.display()), "{mode:?}");
        assert_eq!(std::fs::read_to_string(bench.place.workspace.join("f")).unwrap(), "kept\n");
        assert_eq!(bench.run("kill -9 $$").await.ending, Ending::Exited(137), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_is_tested_offline() {
    let Some(bench) = Bench::new(Mode::Bubblewrap).await else { return };
    let make = "mkdir src && printf '[package]\\nname=\"tiny\"\\nversion=\"0.1.0\"\\n\
                edition=\"2021\"\\n' > Cargo.toml && \
                echo '#[test] fn works() { let l = std::net::TcpListener::bind(\"127.0.0.1:0\")\
                .unwrap(); assert!(std::net::TcpStream::connect(l.local_addr().unwrap()).is_ok()); \
                }' > src/lib.rs && cargo test --offline";
    let done = bench.run(make).await;
    let said = done.stdout.text();
    assert!(done.ending.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_and_the_error_say_what_is() {
    for mode in [Mode::Bubblewrap, Mode::Landlock, Mode::Off] {
        let Some(bench) = Bench::new(mode).await else { continue };
        let report = bench.sandbox.report();
        match report.kind {
            Kind::Bubblewrap => assert!(report.held.iter().any(|held| held.contains("network"))),
            Kind::Landlock => assert!(report.not_held.iter().any(|not| not.contains("visible"))),
            Kind::None => assert!(report.not_held.iter().any(|not| not == "network")),
        }
        assert_eq!(report.advice.is_some(), mode == Mode::Off, "{report:?}");
        println!("{}", serde_json::to_string_pretty(&report).unwrap());
    }
}

/// This test starts itself once more as the Foreman that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_dies_with_foreman() {
    const ROLE: &str = "FOREMAN_TEST_VICTIM";
    if let Ok(mark) = std::env::var(ROLE) {
        let bench = Bench::new(Mode::Bubblewrap).await.unwrap();
        bench.run(&format!("setsid sleep {mark} & sleep {mark}")).await;
        return;
    }
    if Bench::new(Mode::Bubblewrap).await.is_none() {
        return;
    }
    let mark = marked_sleep(40);
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["sandbox::a_box_dies_with_foreman", "--exact"])
        .env(ROLE, &mark)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while living(&mark) < 2 {
        assert!(victim.try_wait().unwrap().is_none(), "it never ran");
        tokio::task::yield_now().await;
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let begun = std::time::Instant::now();
    while living(&mark) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the box lives on");
        tokio::task::yield_now().await;
    }
}

/// Many processes below their own limits, together beyond the box's.
#[tokio::test(flavor = "multi_thread")]
async fn totals_hold_where_the_report_says_so() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        if !bench.sandbox.report().held.iter().any(|held| held.contains("control group")) {
            eprintln!("SKIPPED: no control group can be made here");
            continue;
        }
        let eat = "for i in 1 2 3 4; do python3 -c 'x=bytearray(120<<20); \
                   import time; time.sleep(1); print(\"done\")' & done; wait; echo end";
        let shell = |memory: u64| Shell {
            limits: Limits { memory: Some(memory), ..Limits::default() },
            ..Shell::new(eat, PATIENCE)
        };
        let said = bench.run_shell(&shell(2 << 30)).await.stdout.text();
        assert_eq!(said.matches("done").count(), 4, "{mode:?} control: {said}");
        let said = bench.run_shell(&shell(300 << 20)).await.stdout.text();
        assert!(said.matches("done").count() < 4, "{mode:?}: {said}");
    }
}
