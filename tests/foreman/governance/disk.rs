//! A disk without room, as HTTP shows it: a write is told so, reading goes on, and so does writing as
//! soon as there is room.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::service::GOVERNANCE;
use crate::support::{Server, Town, good_work, script};

/// Bytes of the disk; the write-ahead log takes 4 MB before it is emptied for the first time.
const SIZE: u32 = 12_000_000;
/// Beyond this the disk was not as small as it should be.
const MOST: usize = 5_000;

async fn remember(server: &Server, n: usize) -> crate::support::server::Answer {
    let text = format!("{n} {}", "x".repeat(4_000));
    let entry =
        json!({ "scope": "global", "key": "n", "schema": "note.v1", "value": { "text": text } });
    server.post(&format!("{GOVERNANCE}/memory"), &entry).await
}

async fn recorded(server: &Server) -> usize {
    let path = format!("{GOVERNANCE}/events?type=memory_recorded&limit=1000");
    server.get(&path).await.json["events"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_503_for_writing_until_there_is_room() {
    let town = Town::new(script(good_work), Vec::new()).await.set("FOREMAN_SANDBOX", "off");
    let disk = town.data.path().join("data");
    std::fs::create_dir(&disk).expect("made");
    let server = Server::start_on_a_disk(&town.env, town.data.path(), &disk, SIZE).await;
    for n in 0..3 {
        let answer = remember(&server, n).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    // Somebody else takes the rest of the disk, which only the server's own processes see.
    let inside = format!("/proc/{}/root{}", server.pid(), disk.display());
    let filler = Path::new(&inside).join("filler");
    let mut written = 3;
    for _ in 0..2 {
        // Emptying its own log may give the database a little room again: that goes too.
        let mut options = std::fs::File::options();
        let mut file = options.create(true).append(true).open(&filler).expect("a name");
        while file.write_all(&[7; 4_096]).is_ok() {}
        drop(file);
        let answer = loop {
            let answer = remember(&server, written).await;
            if answer.status != 200 {
                break answer;
            }
            written += 1;
            assert!(written < MOST, "the disk is never full");
        };
        assert_eq!((answer.status, &answer.json["code"]), (503, &json!("storage_full")));
        let said = answer.json["error"].as_str().expect("a sentence");
        assert!(said.contains("no room left") && said.contains("free some disk space"), "{said}");
        assert!(answer.headers.contains_key("retry-after"));
    }
    // Reading goes on, and nothing refused is there.
    assert_eq!(recorded(&server).await, written);
    for path in ["verify", "stats", "memory", "incidents"] {
        let answer = server.get(&format!("{GOVERNANCE}/{path}")).await;
        assert_eq!((answer.status, &answer.json["success"]), (200, &Value::Bool(true)), "{path}");
    }
    assert_eq!(server.get("/healthz").await.status, 200);

    std::fs::remove_file(&filler).expect("removed");
    for n in 0..20 {
        let answer = remember(&server, MOST + 1 + n).await;
        assert_eq!(answer.status, 200, "it goes on by itself: {}", answer.text);
    }
    assert_eq!(recorded(&server).await, written + 20);
    let verified = server.get(&format!("{GOVERNANCE}/verify")).await.json;
    assert_eq!(verified["ok"], true, "{verified}");
    server.kill().await;
}
