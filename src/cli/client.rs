//! Talking to a running Foreman over its own API. One request is one try; only the event stream
//! is taken up again, from the last event seen.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::config::Config;
use crate::domain::event::GovernanceEvent;

/// How long a server on this or the next machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a broken stream is taken up again without a new event in between.
const STREAM_TRIES: u32 = 5;
const STREAM_PAUSE: Duration = Duration::from_secs(1);
/// Longer than the server's keep-alive: a stream silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(45);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no Foreman answers at {url} (FOREMAN_URL): {source}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{error}")]
    Refused { status: StatusCode, code: String, error: String },
    #[error("what answers at {url} (FOREMAN_URL) is not Foreman")]
    Foreign { url: String },
    #[error("the connection to {url} broke: {source}")]
    Broken { url: String, source: reqwest::Error },
    #[error("the run's events could not be followed any further")]
    Lost,
}

impl ClientError {
    /// Whether there is no Foreman there at all.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Foreign { .. } => true,
            Self::Refused { .. } | Self::Broken { .. } | Self::Lost => false,
        }
    }
}

impl ClientError {
    /// The error's stable name: the server's own where it gave one.
    #[must_use]
    pub const fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code.as_str(),
            Self::Unreachable { .. } => "server_unreachable",
            Self::Foreign { .. } => "not_foreman",
            Self::Broken { .. } | Self::Lost => "connection_broken",
        }
    }
}

pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<SecretString>,
}

impl Client {
    /// To the server of this configuration, with the most able of its tokens.
    pub fn new(config: &Config) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder().read_timeout(SILENCE + CONNECT);
        Self::with(config, builder)
    }

    /// The same for an answer that takes as long as the server says: a local clone's own check runs
    /// before it.
    pub fn waiting(config: &Config) -> Result<Self, ClientError> {
        Self::with(config, reqwest::Client::builder())
    }

    fn with(config: &Config, builder: reqwest::ClientBuilder) -> Result<Self, ClientError> {
        let url = config.server.url.clone();
        let http = builder
            .connect_timeout(CONNECT)
            .no_proxy()
            .build()
            .map_err(|source| ClientError::Unreachable { url: url.clone(), source })?;
        let token = config.auth.tokens.iter().max_by_key(|token| token.role);
        Ok(Self { http, url, token: token.map(|token| token.secret.clone()) })
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    /// Gives each event of a run to `on_event`, until the run ended.
    pub async fn follow(
        &self,
        run: &str,
        mut on_event: impl FnMut(&GovernanceEvent),
    ) -> Result<(), ClientError> {
        let path = format!("/api/foreman/overnight/runs/{run}/events");
        let (mut after, mut tries) = (0_i64, 0);
        loop {
            let before = after;
            let request =
                self.request(Method::GET, &path).header("last-event-id", after.to_string());
            match self.stream(request, &mut after, &mut on_event).await {
                Ok(true) => return Ok(()),
                Err(error @ ClientError::Refused { .. }) => return Err(error),
                Ok(false) | Err(_) => {}
            }
            tries = if after > before { 0 } else { tries + 1 };
            if tries >= STREAM_TRIES {
                return Err(ClientError::Lost);
            }
            tokio::time::sleep(STREAM_PAUSE).await;
        }
    }

    /// One connection; true when the run ended.
    async fn stream(
        &self,
        request: RequestBuilder,
        after: &mut i64,
        on_event: &mut impl FnMut(&GovernanceEvent),
    ) -> Result<bool, ClientError> {
        let mut response = self.send(request).await?;
        let mut lines = Lines::default();
        loop {
            let chunk = response.chunk().await.map_err(|source| self.broken(source))?;
            let Some(chunk) = chunk else { return Ok(false) };
            for message in lines.push(&chunk) {
                match message.event.as_str() {
                    "end" => return Ok(true),
                    "error" => return Ok(false),
                    _ => {
                        if let Ok(event) = serde_json::from_str::<GovernanceEvent>(&message.data) {
                            *after = event.seq;
                            on_event(&event);
                        }
                    }
                }
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = request.send().await.map_err(|source| {
            // Once the connection stood, the server may have done what was asked.
            if source.is_connect() {
                ClientError::Unreachable { url: self.url.clone(), source }
            } else {
                self.broken(source)
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.json().await.map_err(|_| self.foreign())?;
        match (body["error"].as_str(), body["code"].as_str()) {
            (Some(error), Some(code)) => {
                let mut error = error.to_owned();
                if status == StatusCode::UNAUTHORIZED {
                    error.push_str("; set FOREMAN_API_TOKEN to a token of the server at ");
                    error.push_str(&self.url);
                }
                Err(ClientError::Refused { status, code: code.to_owned(), error })
            }
            (Some(_) | None, Some(_) | None) => Err(self.foreign()),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        let body: Value = self.send(request).await?.json().await.map_err(|_| self.foreign())?;
        if body["success"] == true { Ok(body) } else { Err(self.foreign()) }
    }

    /// A text answer, like a report.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response.text().await.map_err(|source| self.broken(source))
    }

    fn foreign(&self) -> ClientError {
        ClientError::Foreign { url: self.url.clone() }
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        ClientError::Broken { url: self.url.clone(), source }
    }
}

/// Server-sent events from bytes as they come.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    message: Message,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Message {
    event: String,
    data: String,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let message = std::mem::take(&mut self.message);
                if !message.data.is_empty() {
                    messages.push(message);
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } else if let Some(event) = line.strip_prefix("event:") {
                event.trim().clone_into(&mut self.message.event);
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_however_it_is_cut() {
        let text = ": keep-alive\n\nid: 1\ndata: {\"a\":\ndata: 1}\r\n\r\nevent: end\ndata: x\n\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let messages: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|chunk| lines.push(chunk)).collect();
            assert_eq!(messages.len(), 2, "{size}");
            assert_eq!(messages[0].data, "{\"a\":\n1}");
            assert_eq!(messages[1].event, "end");
        }
    }
}
