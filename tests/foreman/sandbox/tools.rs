//! What must work inside: toolchains, fetched dependencies, input and output, the report.

use foreman::sandbox::Door;

use super::*;

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

/// Dependencies that the host has fetched, and folders shown beside the workspace.
#[tokio::test(flavor = "multi_thread")]
async fn fetched_dependencies_are_read_offline() {
    let Some(mut bench) = Bench::new(Mode::Bubblewrap).await else { return };
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.place.read_only.push(own.to_owned());
    let own = own.display();
    let done =
        bench.run(&format!("cargo tree --offline --locked --manifest-path {own}/Cargo.toml")).await;
    let said = done.stdout.text();
    assert!(done.ending.success() && said.contains("tokio v1"), "{said}");
    let said = bench.says(&format!("touch {own}/foreman-test && echo ESCAPED")).await;
    assert!(said.contains("Read-only") && !said.contains("ESCAPED"), "{said}");

    // A link left where the next command's mount point will be leads nowhere.
    let (shown, target) = (bench.path("shown"), bench.path("target"));
    for folder in [&shown, &target] {
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        open(folder);
    }
    std::fs::write(shown.join("inner/f"), "shown").unwrap();
    let root = bench.path("").display().to_string();
    let trap = format!("mkdir -p {root} && ln -s {} {}", target.display(), shown.display());
    bench.says(&trap).await;
    bench.place.read_only = vec![shown.join("inner")];
    let said = bench.says(&format!("cat {}/inner/f", shown.display())).await;
    assert_eq!(said, "shown");
}

/// Runtimes reserve far more address space than they use: limits must let them start.
#[tokio::test(flavor = "multi_thread")]
async fn the_machines_tools_start_in_the_box() {
    let Some(bench) = Bench::new(Mode::Bubblewrap).await else { return };
    for tool in [
        "git init -q repo && git -C repo status",
        "python3 -c 'print(1)'",
        "node -e 'console.log(1)'",
        "java -version",
        "go version",
        "make --version",
        "cc --version",
        "getent hosts localhost",
    ] {
        let program = tool.split(' ').next().unwrap();
        if bench.outside(&format!("command -v {program}")).await.is_empty() {
            eprintln!("SKIPPED: this machine has no {program}");
            continue;
        }
        let done = bench.run(tool).await;
        assert!(done.ending.success(), "{tool}: {}", done.stdout.text());
    }
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
        if mode != Mode::Landlock {
            assert_eq!(report.advice.is_some(), mode == Mode::Off, "{report:?}");
        }
        eprintln!("{report:#?}");
    }
}

/// The figure in docs/security.md comes from here; the bound is for a machine under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_starts_quickly() {
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    for mode in [Mode::Bubblewrap, Mode::Landlock, Mode::Off] {
        let begun = std::time::Instant::now();
        let Some(bench) = Bench::new(mode).await else { continue };
        eprintln!("{mode:?}: detected and proven in {:?}", begun.elapsed());
        let door = Door::Address { host: "127.0.0.1".to_owned(), port: 1 };
        for door in [None, Some(door)] {
            if door.is_some() && mode != Mode::Bubblewrap {
                continue;
            }
            let shell = Shell { door, ..Shell::new("true", PATIENCE) };
            let (mut times, mut plain) = (Vec::new(), Vec::new());
            for _ in 0..40 {
                let begun = std::time::Instant::now();
                assert!(bench.run_shell(&shell).await.ending.success());
                times.push(begun.elapsed());
                // The baseline under the same load: the helper, a shell, and no box.
                let begun = std::time::Instant::now();
                bench.outside("true").await;
                plain.push(begun.elapsed());
            }
            let (median, plain) = (median(times), median(plain));
            eprintln!("{mode:?}, door {}: {median:?}; unheld {plain:?}", shell.door.is_some());
            assert!(median < plain * 20 + Duration::from_millis(100), "{mode:?}: {median:?}");
        }
    }
}
