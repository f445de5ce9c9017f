//! Alerts that arrive, once, signed; incidents that are one for each cause.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use foreman::demo::github::{FakeGitHub, Options};
use foreman::domain::event::{EventType, NewEvent, Severity};
use foreman::domain::ids::RepoName;
use foreman::github::{Credential, GitHub};
use foreman::governance::alerts::AlertForm;
use foreman::governance::delivery::{Email, MailTls, Webhook, signature};
use foreman::governance::{Governance, Settings};
use secrecy::SecretString;
use serde_json::Value;

use super::event;
use crate::store::lab::{Lab, NOON, SECOND};

crate::store::on_both!(
    an_alert_arrives_once_and_signed,
    a_receiver_that_is_down_is_tried_again,
    a_letter_and_the_report_go_out,
    one_incident_for_one_cause,
    an_incident_has_one_issue,
);

#[derive(Clone, Default)]
struct Received {
    bodies: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    /// How many of the next ones are refused.
    refuse: Arc<Mutex<u32>>,
}

impl Received {
    async fn take(State(this): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let mut refuse = this.refuse.lock().expect("lock");
        if *refuse > 0 {
            *refuse -= 1;
            return StatusCode::BAD_GATEWAY;
        }
        this.bodies.lock().expect("lock").push((headers, body));
        StatusCode::NO_CONTENT
    }

    fn all(&self) -> Vec<(HeaderMap, String)> {
        self.bodies.lock().expect("lock").clone()
    }
}

async fn receiver() -> (Received, String) {
    let received = Received::default();
    let app = axum::Router::new()
        .route("/hook", axum::routing::post(Received::take))
        .with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (received, url)
}

async fn alerting(lab: &Lab, folder: &std::path::Path, form: AlertForm) -> (Governance, Received) {
    let (received, url) = receiver().await;
    let key = Some(SecretString::from("shared key"));
    let webhook = Webhook { url: SecretString::from(url), form, key };
    let webhooks = vec![("hook".to_owned(), webhook)];
    let settings = Settings { webhooks, ..Settings::in_folder(folder) };
    (super::with(lab, settings).await, received)
}

async fn an_alert_arrives_once_and_signed(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    lab.store.append(vec![event("history").severity(Severity::Critical)]).await.expect("written");
    let (governance, received) = alerting(lab, folder.path(), AlertForm::Json).await;
    let blocked = || NewEvent::new(EventType::PrBlocked, "refused").severity(Severity::High);
    lab.store.append(vec![event("quiet"), blocked(), blocked()]).await.expect("written");
    governance.look().await.expect("looked");
    governance.look().await.expect("looked again");
    assert_eq!(
        governance.deliver_due().await.expect("delivered"),
        2,
        "two alike are one: log, hook"
    );
    assert_eq!(governance.deliver_due().await.expect("nothing left"), 0);
    let all = received.all();
    assert_eq!(all.len(), 1, "history is no news: {all:?}");
    let (headers, body) = &all[0];
    let key = SecretString::from("shared key");
    assert_eq!(headers["x-foreman-signature-256"], signature(&key, body).as_str());
    let sent: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&sent["event"]["type"], &sent["text"]), (&"pr_blocked".into(), &"refused".into()));
    assert_eq!(headers["x-foreman-delivery"], sent["id"].as_str().expect("an id"));
    // After the window it is news again.
    lab.set_clock(NOON + 601 * SECOND);
    lab.store.append(vec![blocked()]).await.expect("written");
    governance.look().await.expect("looked");
    assert_eq!(governance.deliver_due().await.expect("delivered"), 2);
    assert_eq!(received.all().len(), 2);
}

async fn a_receiver_that_is_down_is_tried_again(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let (governance, received) = alerting(lab, folder.path(), AlertForm::Slack).await;
    *received.refuse.lock().expect("lock") = 2;
    lab.store.append(vec![event("bad <b>").severity(Severity::High)]).await.expect("written");
    governance.look().await.expect("looked");
    let mut now = NOON;
    for pause in [0, 5, 30] {
        assert_eq!(received.all().len(), 0);
        if pause > 0 {
            assert_eq!(governance.deliver_due().await.expect("not due"), 0);
        }
        now += pause * SECOND;
        lab.set_clock(now);
        governance.deliver_due().await.expect("tried");
    }
    let all = received.all();
    assert_eq!(all.len(), 1);
    let sent: Value = serde_json::from_str(&all[0].1).expect("JSON");
    assert_eq!(sent["text"], "*Foreman · high* bad &lt;b&gt;");

    // One that never gets through is given up, with an event that alerts nobody.
    *received.refuse.lock().expect("lock") = 100;
    lab.store
        .append(vec![
            event("worse").severity(Severity::Critical).issue(foreman::domain::ids::IssueNumber(1)),
        ])
        .await
        .expect("written");
    governance.look().await.expect("looked");
    for _ in 0..7 {
        now += 3_600 * SECOND;
        lab.set_clock(now);
        governance.deliver_due().await.expect("tried");
    }
    assert_eq!(lab.store.next_alert_in().await.expect("read"), None);
    let events = governance.log().query(&Default::default()).await.expect("read");
    assert_eq!(events[0].kind, EventType::AlertFailed);
    assert!(events[0].description.contains("502"), "{}", events[0].description);
}

/// A mail server that takes one message; says what was said to it.
async fn mail_server() -> (u16, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 here\r\n").await.expect("said");
        let (mut heard, mut in_message) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.expect("heard") == 0 {
                return heard;
            }
            heard.push_str(&line);
            let answer: &[u8] = match line.trim_end() {
                "." => {
                    in_message = false;
                    b"250 taken\r\n"
                }
                _ if in_message => continue,
                "DATA" => {
                    in_message = true;
                    b"354 go on\r\n"
                }
                "QUIT" => return heard,
                _ => b"250 fine\r\n",
            };
            stream.write_all(answer).await.expect("said");
        }
    });
    (port, heard)
}

async fn a_letter_and_the_report_go_out(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, heard) = mail_server().await;
    let email = Email {
        host: "127.0.0.1".to_owned(),
        port,
        tls: MailTls::None,
        from: "foreman@example.org".to_owned(),
        to: vec!["ann@example.org".to_owned(), "bob@example.org".to_owned()],
        login: None,
    };
    let settings = Settings {
        email: Some(email),
        report: Some(|run| format!("the whole report of {}", run.repo)),
        ..Settings::in_folder(folder.path())
    };
    let governance = super::with(lab, settings).await;
    let fence = lab.night("octo/app").await;
    let ended = NewEvent::new(EventType::OvernightExecutionCompleted, "The night is over");
    lab.store.append(vec![ended.clone().run(&fence.run)]).await.expect("written");
    governance.look().await.expect("looked");
    assert_eq!(governance.deliver_due().await.expect("delivered"), 2, "the log and the letter");
    let heard = heard.await.expect("it ended");
    for said in [
        "RCPT TO:<ann@example.org>",
        "RCPT TO:<bob@example.org>",
        "Subject: Foreman: The night is over",
        "Message-ID: <",
        "the whole report of app",
    ] {
        assert!(heard.contains(said), "{said}: {heard}");
    }
    // The same run told of again, as after a restart in the wrong moment, is no second report.
    lab.store.append(vec![ended.run(&fence.run)]).await.expect("written");
    governance.look().await.expect("looked");
    assert_eq!(governance.deliver_due().await.expect("nothing"), 0);
}

async fn one_incident_for_one_cause(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = super::governance(lab, folder.path()).await;
    let fence = lab.night("Octo/App").await;
    let failed = |why: &str| {
        NewEvent::new(EventType::OvernightExecutionFailed, why)
            .severity(Severity::High)
            .run(&fence.run)
    };
    lab.store.append(vec![failed("no credential")]).await.expect("written");
    governance.look().await.expect("looked");
    lab.store.append(vec![failed("still none")]).await.expect("written");
    governance.look().await.expect("looked");
    let open = lab.store.incidents(true).await.expect("read");
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].cause.as_str(), open[0].times), ("night_failed:octo/app", 2));
    assert_eq!(open[0].detail, "still none");
    let completed = NewEvent::new(EventType::OvernightExecutionCompleted, "fine").run(&fence.run);
    lab.store.append(vec![completed.with("status", "completed")]).await.expect("written");
    assert!(governance.look().await.expect("looked"), "a night ended");
    assert_eq!(lab.store.incidents(true).await.expect("read"), []);
    lab.store.append(vec![failed("again")]).await.expect("written");
    governance.look().await.expect("looked");
    let all = lab.store.incidents(false).await.expect("read");
    assert_eq!(all.iter().map(|incident| incident.open).collect::<Vec<_>>(), [true, false]);
}

async fn an_incident_has_one_issue(lab: &Lab) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let fake = FakeGitHub::start(Options::default()).await.expect("loopback");
    let repo: RepoName = "octo/app".parse().expect("valid");
    fake.create_repo(&repo, &[("README.md", "# App\n")]).expect("git works");
    let token = Some(Credential::Token(SecretString::from(fake.token())));
    let github = GitHub::new(&fake.api_url(), token).expect("usable");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        incident_issues: true,
        checkpoint_every: Duration::from_secs(3_600),
        ..Settings::in_folder(folder.path())
    };
    let governance = Governance::open(lab.store.clone(), github, settings).await.expect("opened");
    governance.begin().await.expect("begun");
    let stopping = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (governance, stopping) = (governance.clone(), stopping.clone());
        async move { governance.run(stopping).await }
    });
    let fence = lab.night("octo/app").await;
    let halted = || {
        NewEvent::new(EventType::OvernightExecutionHalted, "the base is red")
            .severity(Severity::High)
            .run(&fence.run)
    };
    lab.store.append(vec![halted()]).await.expect("written");
    let begun = std::time::Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let told = loop {
        tick.tick().await;
        let open = lab.store.incidents(true).await.expect("read");
        if let Some(url) = open.first().and_then(|incident| incident.issue_url.clone()) {
            break url;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was told: {open:?}");
    };
    assert!(told.ends_with("/octo/app/issues/1"), "{told}");
    lab.store.append(vec![halted()]).await.expect("written");
    stopping.cancel();
    running.await.expect("it ends");
    governance.look().await.expect("looked");
    let listed = governance.verify().await.expect("verified");
    assert_eq!((listed.ok, listed.anchored_through.is_some()), (true, true), "signed at the end");
    assert_eq!(fake.effects().iter().filter(|effect| effect.changed()).count(), 1);
}
