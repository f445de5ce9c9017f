//! One delivery of an alert or a report to one place: the log, a webhook, or e-mail.
//!
//! Owns the places and how a message goes out to each. Queueing and retries are `watcher.rs`'s
//! business; nothing here ever waits for a night or makes one wait.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::alerts::{self, AlertForm};

/// The longest a place may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The place that is always there.
pub const CONSOLE: &str = "console";
/// What the e-mail is called among the places.
pub const EMAIL: &str = "email";

/// An address that takes JSON.
#[derive(Clone)]
pub struct Webhook {
    /// It may be a secret in itself.
    pub url: SecretString,
    pub form: AlertForm,
    /// Signs the body, so that the receiver knows who sent it.
    pub key: Option<SecretString>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("form", &self.form).finish_non_exhaustive()
    }
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// From the first byte (port 465).
    Implicit,
    /// Begun in the clear and refused where it cannot be protected (port 587).
    StartTls,
    /// Never: for a mail server on this machine.
    None,
}

/// A mail server and who gets what.
#[derive(Debug, Clone)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub from: String,
    pub to: Vec<String>,
    /// User and password.
    pub login: Option<(String, SecretString)>,
}

/// The signature of a body: `sha256=` and the hexadecimal HMAC-SHA-256.
#[must_use]
pub fn signature(key: &SecretString, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes()).as_ref()))
}

/// Posts bodies to webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Post {
    http: reqwest::Client,
}

impl Post {
    pub fn new() -> Result<Self, reqwest::Error> {
        // Already installed by another part is just as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("foreman")
            .build()?;
        Ok(Self { http })
    }

    /// One try. The error names neither address nor key.
    pub async fn send(&self, webhook: &Webhook, id: &str, body: String) -> Result<(), String> {
        let mut request = self
            .http
            .post(webhook.url.expose_secret())
            .header("content-type", "application/json")
            .header("x-foreman-delivery", id);
        if let Some(key) = &webhook.key {
            request = request.header("x-foreman-signature-256", signature(key, &body));
        }
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| causes(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Sends alerts and reports to the places that are configured.
#[derive(Debug, Clone)]
pub struct Sender {
    post: Post,
    webhooks: Vec<(String, Webhook)>,
    email: Option<Email>,
}

impl Sender {
    /// A sender to the log, named webhooks and, where one is given, a mail server.
    #[must_use]
    pub const fn new(post: Post, webhooks: Vec<(String, Webhook)>, email: Option<Email>) -> Self {
        Self { post, webhooks, email }
    }

    /// The names of all places, the log first.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        let hooks = self.webhooks.iter().map(|(name, _)| name.clone());
        let email = self.email.iter().map(|_| EMAIL.to_owned());
        std::iter::once(CONSOLE.to_owned()).chain(hooks).chain(email).collect()
    }

    /// One try at one place.
    pub async fn send(&self, place: &str, id: &str, payload: &Value) -> Result<(), String> {
        if place == CONSOLE {
            say(id, payload);
            return Ok(());
        }
        if place == EMAIL
            && let Some(email) = &self.email
        {
            return mail(email, id, payload).await;
        }
        match self.webhooks.iter().find(|(name, _)| name == place) {
            Some((_, webhook)) => {
                self.post.send(webhook, id, alerts::body(webhook.form, id, payload)).await
            }
            None => Err("it is not configured any more".to_owned()),
        }
    }
}

/// Says it in the log, by its severity.
fn say(id: &str, payload: &Value) {
    let text = payload["text"].as_str().unwrap_or_default();
    let severity = payload["severity"].as_str().unwrap_or("info");
    match severity {
        "high" | "critical" => {
            tracing::error!(target: "foreman::alert", alert = id, severity, "{text}");
        }
        "info" => tracing::info!(target: "foreman::alert", alert = id, severity, "{text}"),
        _ => tracing::warn!(target: "foreman::alert", alert = id, severity, "{text}"),
    }
}

/// One message to all who get it; its id is the delivery's, so that a second try is known as such.
async fn mail(email: &Email, id: &str, payload: &Value) -> Result<(), String> {
    let address = |text: &str| {
        text.parse().map_err(|error| format!("`{text}` is no address of e-mail: {error}"))
    };
    let (subject, text) = alerts::letter(payload);
    let mut message = Message::builder()
        .from(address(&email.from)?)
        .subject(subject)
        .message_id(Some(format!("<{id}@foreman>")))
        .header(ContentType::TEXT_PLAIN);
    for to in &email.to {
        message = message.to(address(to)?);
    }
    let message = message.body(text).map_err(|error| causes(&error))?;
    let parameters = || TlsParameters::new(email.host.clone()).map_err(|error| causes(&error));
    let tls = match email.tls {
        MailTls::Implicit => Tls::Wrapper(parameters()?),
        MailTls::StartTls => Tls::Required(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host)
        .port(email.port)
        .tls(tls)
        .timeout(Some(PATIENCE));
    if let Some((user, password)) = &email.login {
        let password = password.expose_secret().to_owned();
        server = server.credentials(Credentials::new(user.clone(), password));
    }
    server.build().send(message).await.map(drop).map_err(|error| causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_known_hmac() {
        // RFC 4231, test case 2.
        let signed = signature(&SecretString::from("Jefe"), "what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed, format!("sha256={known}"));
    }

    #[tokio::test]
    async fn a_place_that_is_gone_is_told_of() {
        let sender = Sender::new(Post::new().expect("a client"), Vec::new(), None);
        assert_eq!(sender.places(), [CONSOLE]);
        let payload = serde_json::json!({ "severity": "info", "text": "t" });
        assert_eq!(sender.send(CONSOLE, "1", &payload).await, Ok(()));
        let gone = sender.send(EMAIL, "1", &payload).await;
        assert_eq!(gone, Err("it is not configured any more".to_owned()));
    }
}
