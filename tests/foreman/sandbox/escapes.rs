//! Ways out: files, network, processes, environment, privilege.

use super::*;

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

pub(super) fn bind_abstract(name: &str) -> std::os::unix::net::UnixListener {
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
