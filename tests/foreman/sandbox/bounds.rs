//! Ends and limits: nothing outlives its command, and nothing grows without bound.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_its_command() {
    for (number, mode) in [(10, Mode::Bubblewrap), (20, Mode::Landlock), (30, Mode::Off)] {
        let Some(bench) = Bench::new(mode).await else { continue };
        let mark = marked_sleep(number);
        let orphan = format!("(setsid sh -c 'sleep {mark} & sleep {mark}' >/dev/null 2>&1 &)");

        let done = bench.run(&format!("{orphan}; exit 3")).await;
        assert_eq!(done.ending, Ending::Exited(3), "{mode:?}");
        assert_eq!(living(&mark), 0, "{mode:?}: after its end");

        // Whoever watches the command can't be killed by it. Everything it may reach is tried only
        // where a PID namespace keeps a broken box from the rest of this machine.
        let attack = match bench.sandbox.kind() {
            Kind::Bubblewrap => Some("kill -9 $PPID 1; kill -9 -1"),
            Kind::Landlock => Some("kill -9 $PPID"),
            Kind::None => None,
        };
        if let Some(attack) = attack {
            bench.run(&format!("{orphan}; {attack}")).await;
            assert_eq!(living(&mark), 0, "{mode:?}: after killing its supervisor");
        }

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
        .args(["sandbox::bounds::a_box_dies_with_foreman", "--exact"])
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
        let eat = "for i in 1 2 3 4; do python3 -c 'x=bytearray(60<<20); \
                   import time; time.sleep(0.5); print(\"done\")' & done; wait; echo end";
        let shell = |memory: u64| Shell {
            limits: Limits { memory: Some(memory), ..Limits::default() },
            ..Shell::new(eat, PATIENCE)
        };
        let said = bench.run_shell(&shell(2 << 30)).await.stdout.text();
        assert_eq!(said.matches("done").count(), 4, "{mode:?} control: {said}");
        let said = bench.run_shell(&shell(150 << 20)).await.stdout.text();
        assert!(said.matches("done").count() < 4, "{mode:?}: {said}");
    }
}

/// Many files, each below its own limit, together beyond the disk's.
#[tokio::test(flavor = "multi_thread")]
async fn the_disk_a_command_takes_is_bounded() {
    for mode in BOXES {
        let Some(bench) = Bench::new(mode).await else { continue };
        let fill = "for i in $(seq 400); do head -c 2000000 /dev/zero >f$i; sleep 0.02; done; \
                    echo never; sleep 20";
        assert!(
            bench.outside("head -c 2000000 /dev/zero >f && echo works").await.contains("works")
        );
        let mut shell = Shell::new(fill, PATIENCE);
        shell.disk = Some(40 << 20);
        let done = bench.run_shell(&shell).await;
        assert_eq!(done.ending, Ending::Signalled(9), "{mode:?}: {}", done.stdout.text());
        let why = done.overrun.expect("the watch ended it");
        assert!(why.contains("40 MiB of disk"), "{why}");
        assert!(!done.stdout.text().contains("never"));
        // What stays below is left alone.
        let mut shell =
            Shell::new("rm -f f*; head -c 2000000 /dev/zero >f; sleep 0.6; echo end", PATIENCE);
        shell.disk = Some(40 << 20);
        let done = bench.run_shell(&shell).await;
        assert!(
            done.ending.success() && done.overrun.is_none(),
            "{mode:?}: {}",
            done.stdout.text()
        );
    }
}

/// What a control group does, where none can be made.
#[tokio::test(flavor = "multi_thread")]
async fn totals_are_watched_from_outside() {
    let Some(bench) = Bench::new(Mode::Bubblewrap).await else { return };
    let eat = "for i in 1 2 3 4; do PATH=/usr/bin:/bin python3 -c 'x=bytearray(60<<20); \
               import time; time.sleep(3); print(\"done\")' & done; wait; echo end";
    let run = async |watch: Watch, command: &str| {
        let mut spec = Spec::new("/bin/sh", &bench.place.workspace).args(["-c", command]);
        spec.identity = bench.sandbox.identity();
        spec.supervise = true;
        spec.watch = Some(watch);
        bench.children.run(spec, &CancellationToken::new()).await.unwrap()
    };
    let roomy = Watch { memory: Some(2 << 30), processes: Some(100), ..Watch::default() };
    let done = run(roomy, "sleep 0.6; echo end").await;
    assert!(done.overrun.is_none() && done.stdout.text().contains("end"));
    let lean = Watch { memory: Some(150 << 20), ..Watch::default() };
    let done = run(lean, eat).await;
    assert!(done.overrun.is_some_and(|why| why.contains("150 MiB of memory")));
    assert!(!done.stdout.text().contains("done"));
    let mark = marked_sleep(50);
    let few = Watch { processes: Some(20), ..Watch::default() };
    let done = run(few, &format!("for i in $(seq 40); do sleep {mark} & done; wait")).await;
    assert!(done.overrun.is_some_and(|why| why.contains("20 processes")));
    assert_eq!(living(&mark), 0);
}
