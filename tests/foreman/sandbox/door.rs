//! The one way out: to one address, or to listed registries, and nowhere else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use foreman::domain::registry::Registry;
use foreman::sandbox::{Door, Refusals};

use super::*;

/// A server of the host that says its name to every request and keeps what it was sent.
struct Host {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || answer(stream, name, &sink));
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

fn answer(mut stream: std::net::TcpStream, name: &str, sink: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = [0];
    if reader.read_exact(&mut first).is_err() {
        return;
    }
    if first == [22] {
        sink.lock().unwrap().push("a TLS greeting".to_owned());
        return;
    }
    let mut head = String::from_utf8_lossy(&first).into_owned();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    sink.lock().unwrap().push(head);
    let body = format!("this is {name}\n");
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok();
}

async fn through(bench: &Bench, door: &Door, command: &str) -> String {
    let shell = Shell { door: Some(door.clone()), ..Shell::new(command, PATIENCE) };
    bench.run_shell(&shell).await.stdout.text()
}

fn registries(entries: &[String]) -> (Door, Refusals) {
    let allowed: Vec<_> = entries.iter().flat_map(|it| Registry::parse(it).unwrap()).collect();
    let refused = Refusals::default();
    (Door::Registries { allowed: allowed.into(), refused: refused.clone() }, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reaches_the_one_address_that_it_needs() {
    let Some(bench) = Bench::new(Mode::Bubblewrap).await else { return };
    let (wanted, other) = (Host::new("the model"), Host::new("another"));
    let door = Door::Address { host: "127.0.0.1".to_owned(), port: wanted.port };
    let inside = format!("http://127.0.0.1:{}/v1/models", Door::port());
    let ask = format!("curl -sS --max-time 5 {inside}");

    let mut shell = Shell { door: Some(door.clone()), ..Shell::new("", PATIENCE) };
    shell.command = format!("cat; {ask}; curl -sS --max-time 5 http://127.0.0.1:{}/", other.port);
    shell.stdin = Some(b"the task\n".to_vec());
    let said = bench.run_shell(&shell).await.stdout.text();
    assert!(said.starts_with("the task\nthis is the model\n"), "{said}");
    assert!(!said.contains("another") && other.heard().is_empty(), "{said}");
    assert!(wanted.heard().contains("GET /v1/models"), "{}", wanted.heard());

    // Each box has a port of its own: two at once are two ways.
    let second = Door::Address { host: "127.0.0.1".to_owned(), port: other.port };
    let (one, two) = tokio::join!(through(&bench, &door, &ask), through(&bench, &second, &ask));
    assert_eq!((one.as_str(), two.as_str()), ("this is the model\n", "this is another\n"));

    // Without input the command sees an empty one, and without a door there is nobody.
    assert_eq!(through(&bench, &door, "cat; echo end").await, "end\n");
    let said = bench.says(&format!("{ask} || echo nobody")).await;
    assert!(said.contains("nobody"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_without_a_network_of_its_own_opens_no_door() {
    let Some(bench) = Bench::new(Mode::Landlock).await else { return };
    let door = Door::Address { host: "127.0.0.1".to_owned(), port: 1 };
    let shell = Shell { door: Some(door), ..Shell::new("true", PATIENCE) };
    let refused = bench.sandbox.run(&bench.place, &shell, &CancellationToken::new()).await;
    assert!(matches!(refused, Err(SandboxError::NoDoor { .. })), "{refused:?}");
}

/// Each way around the list works outside, where there is no list.
#[tokio::test(flavor = "multi_thread")]
async fn only_listed_registries_are_reached() {
    let Some(bench) = Bench::new(Mode::Bubblewrap).await else { return };
    let (listed, tls, other) = (Host::new("listed"), Host::new("tls"), Host::new("another"));
    let (door, refused) = registries(&[
        format!("http://127.0.0.1:{}", listed.port),
        format!("https://localhost:{}", tls.port),
    ]);
    let get = format!("curl -sS --max-time 5 http://127.0.0.1:{}/pkg?v=1", listed.port);
    let said = through(&bench, &door, &get).await;
    assert_eq!(said, "this is listed\n", "{:?}", refused.sentences());
    assert!(listed.heard().contains("GET /pkg?v=1 HTTP/1.1"), "{}", listed.heard());
    let tunnel = format!("curl -sS --max-time 5 -p http://127.0.0.1:{}/", listed.port);
    assert_eq!(through(&bench, &door, &tunnel).await, "this is listed\n");

    let other_port = other.port;
    let around = [
        format!("curl -sS --max-time 5 http://127.0.0.1:{other_port}/"),
        format!("curl -sS --max-time 5 --noproxy '*' http://127.0.0.1:{other_port}/"),
        format!("curl -sS --max-time 5 -p http://127.0.0.1:{other_port}/"),
        format!("curl -sS --max-time 5 http://localhost:{other_port}/"),
        format!(
            "curl -sS --max-time 5 --socks5 127.0.0.1:{other_port} http://x/ || true; \
                 curl -sS --max-time 5 http://127.0.0.1:{other_port}/a"
        ),
        format!(
            "exec 3<>/dev/tcp/127.0.0.1/{other_port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
        ),
    ];
    for attempt in &around {
        let line = format!("bash -c \"{}\" 2>&1", attempt.replace('"', "\\\""));
        let control = bench.outside(&line).await;
        assert!(control.contains("this is another"), "no control: {attempt}\n{control}");
        let said = through(&bench, &door, &line).await;
        assert!(!said.contains("this is another"), "{attempt}\n{said}");
    }
    let heard = other.heard().lines().filter(|line| line.contains(" HTTP/1.")).count();
    assert_eq!(heard, around.len(), "only the controls were heard: {}", other.heard());
    let sentences = refused.sentences().join("\n");
    assert!(sentences.contains(&format!("127.0.0.1:{other_port} is not among")), "{sentences}");

    // A header that names another server goes nowhere else.
    let lie = format!("{get} -H 'Host: 127.0.0.1:{other_port}'");
    assert_eq!(through(&bench, &door, &lie).await, "this is listed\n");
    assert!(!listed.heard().contains(&format!("Host: 127.0.0.1:{other_port}")));

    // Within a tunnel: TLS for this very name.
    let greet = |name: &str| {
        format!(
            "PATH=/usr/bin:/bin python3 -c \"import socket,ssl\ns=socket.create_connection(('127.0.0.1',{}))\n\
             s.send(b'CONNECT localhost:{} HTTP/1.1\\r\\n\\r\\n')\nprint(s.recv(99)[:12])\n\
             c=ssl.create_default_context()\ntry: c.wrap_socket(s,server_hostname='{name}')\n\
             except Exception as e: print(type(e).__name__)\"",
            Door::port(),
            tls.port
        )
    };
    let said = through(&bench, &door, &greet("files.evil.example")).await;
    assert!(said.contains("HTTP/1.1 200"), "{said}");
    assert_eq!(tls.heard(), "", "a tunnel for another name was opened");
    assert!(refused.sentences().iter().any(|it| it.contains("asks for files.evil.example")));
    through(&bench, &door, &greet("localhost")).await;
    assert_eq!(tls.heard(), "a TLS greeting", "{:?}", refused.sentences());
    let plain = format!("curl -sS --max-time 5 -p http://localhost:{}/", tls.port);
    assert!(!through(&bench, &door, &plain).await.contains("this is tls"));
}
