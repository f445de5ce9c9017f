//! A package registry on loopback: files by path, and what it was asked for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

pub struct PackageRegistry {
    pub port: u16,
    files: Files,
    asked: Arc<Mutex<Vec<String>>>,
}

impl PackageRegistry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (files, asked): (Files, Arc<Mutex<Vec<String>>>) = Default::default();
        let (known, log) = (Arc::clone(&files), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, log) = (Arc::clone(&known), Arc::clone(&log));
                std::thread::spawn(move || answer(stream, &known, &log));
            }
        });
        Self { port, files, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().expect("files").insert(path.to_owned(), bytes.into());
    }

    /// The paths asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("log").clone()
    }

    /// Publishes a crate `name` 1.0.0 with this library; its checksum.
    pub fn publish_crate(&self, name: &str, library: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = format!("{name}-1.0.0");
        std::fs::create_dir_all(dir.path().join(&folder).join("src")).expect("made");
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        std::fs::write(dir.path().join(&folder).join("Cargo.toml"), manifest).expect("written");
        std::fs::write(dir.path().join(&folder).join("src/lib.rs"), library).expect("written");
        let packed = Command::new("tar")
            .args(["-czf", "-", "--owner=0", "--group=0", &folder])
            .current_dir(dir.path())
            .output()
            .expect("tar starts");
        let sum = hex::encode(Sha256::digest(&packed.stdout));
        self.put(&format!("/dl/{name}/1.0.0.crate"), packed.stdout);
        let dl = format!("{{\"dl\":\"{}/dl/{{crate}}/{{version}}.crate\"}}", self.url());
        self.put("/index/config.json", dl);
        let row = format!(
            "{{\"name\":\"{name}\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{sum}\",\"features\":{{}},\"yanked\":false}}\n"
        );
        self.put(&format!("/index/{}/{}/{name}", &name[..2], &name[2..4]), row);
        sum
    }
}

fn answer(mut stream: TcpStream, files: &Files, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let Some(Ok(first)) = lines.next() else { return };
    for line in lines.by_ref() {
        if line.map_or(true, |line| line.is_empty()) {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = files.lock().expect("files").get(&path).cloned();
    log.lock().expect("log").push(path);
    let (status, body) = match found {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", b"not here\n".to_vec()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok();
}
