//! `GET …/runs/{id}/events`: a run's events as server-sent events, the stored ones first.
//!
//! Level-triggered: the log is read from the last event sent, and the store's announcements only
//! say when to read again. So a slow reader, a lagging channel or a reconnect loses nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Api;
use super::error::ApiError;
use super::extract::RunPath;
use crate::domain::event::GovernanceEvent;
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;
use crate::store::{EventQuery, StoreError};

/// Below the time after which proxies drop a silent connection.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events read at once.
const PAGE: u32 = 500;
/// How long we trust the announcements of this process alone: on PostgreSQL another one may work
/// on the run, and its events are only seen by looking.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Answers with the stream; it ends with an `end` event when the run has ended.
pub(super) async fn events(
    State(api): State<Api>,
    RunPath(id): RunPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = last_event_id(&headers)?.unwrap_or(0);
    let announcements = api.overnight.store().subscribe();
    if api.overnight.store().run(&id).await?.is_none() {
        return Err(ApiError::unknown_run(id.as_str()));
    }
    let follower = Follower { api, id, after, announcements, ready: VecDeque::new(), ended: None };
    let sse = Sse::new(stream_of(follower)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
    Ok(([unbuffered], sse).into_response())
}

/// The last event that a reader has seen, if it says so.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    seq.map(Some).ok_or_else(|| {
        ApiError::invalid("invalid_last_event_id", "Last-Event-ID takes the id of an event")
    })
}

struct Follower {
    api: Api,
    id: RunId,
    /// The last event sent.
    after: i64,
    announcements: Receiver<GovernanceEvent>,
    ready: VecDeque<GovernanceEvent>,
    /// How the run ended, once everything before its end was read.
    ended: Option<RunStatus>,
}

fn stream_of(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(follower), |state| async move {
        let mut follower = state?;
        match follower.next().await {
            Ok(Next::Event(event)) => Some((Ok(message(&event)), Some(follower))),
            Ok(Next::Ended(status)) => {
                let data = serde_json::json!({ "status": status }).to_string();
                Some((Ok(Event::default().event("end").data(data)), None))
            }
            Ok(Next::Stopping) => None,
            Err(error) => {
                tracing::error!(run = %follower.id, %error, "the events of run {} could not be read", follower.id);
                let data = "{\"error\":\"The events could not be read; connect again\",\"code\":\"internal\"}";
                Some((Ok(Event::default().event("error").data(data)), None))
            }
        }
    })
}

enum Next {
    Event(GovernanceEvent),
    Ended(RunStatus),
    /// The server stops; the client connects again and goes on.
    Stopping,
}

impl Follower {
    async fn next(&mut self) -> Result<Next, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                return Ok(Next::Event(event));
            }
            if let Some(status) = self.ended {
                return Ok(Next::Ended(status));
            }
            // The status is read before the events: once it says ended, no later event comes.
            let run = self.api.overnight.store().night_status(&self.id).await?;
            let status = run.map_or(RunStatus::Cancelled, |night| night.status);
            self.ready = self.page().await?.into();
            if self.ready.is_empty() {
                if !status.is_active() {
                    self.ended = Some(status);
                } else if !self.wait().await {
                    return Ok(Next::Stopping);
                }
            }
        }
    }

    async fn page(&self) -> Result<Vec<GovernanceEvent>, StoreError> {
        let query = EventQuery {
            runs: vec![self.id.clone()],
            after_seq: Some(self.after),
            limit: PAGE,
            ascending: true,
            ..EventQuery::default()
        };
        self.api.overnight.store().events(query).await
    }

    /// Waits until there may be something new; false when the server stops.
    async fn wait(&mut self) -> bool {
        let stopping = self.api.closing.clone();
        let (id, after) = (self.id.clone(), self.after);
        let announced = async {
            loop {
                match self.announcements.recv().await {
                    Ok(event) if event.run.as_ref() == Some(&id) && event.seq > after => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    // The store is closed: the server stops.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = announced => true,
            () = tokio::time::sleep(LOOK_AGAIN) => true,
            () = stopping.cancelled() => false,
        }
    }
}

pub(super) fn message(event: &GovernanceEvent) -> Event {
    let data = serde_json::to_string(event).unwrap_or_else(|_| "{}".to_owned());
    Event::default().id(event.seq.to_string()).data(data)
}
