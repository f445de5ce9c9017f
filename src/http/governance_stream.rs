//! The event log as a stream: server-sent events that follow it, and its export.
//!
//! Both read the log from the last event sent, page by page and as fast as the reader takes them. A
//! follower that takes nothing for a while is dropped; with the last id it saw it goes on where it
//! was, so it loses nothing, and what it holds in memory stays small.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::Api;
use super::error::ApiError;
use super::query::{self, ExportFormat};
use super::stream::{KEEP_ALIVE, last_event_id, message};
use crate::domain::event::GovernanceEvent;
use crate::governance::export;
use crate::store::{EventQuery, StoreError};

/// Events read at once.
const PAGE: u32 = 500;
/// Events that wait for one follower.
const BACKLOG: usize = 64;
/// How long a follower may take nothing before it is dropped.
const SLOWEST: Duration = Duration::from_secs(30);

/// `GET …/events/stream`: events that match, from now on or after `Last-Event-ID`, until the reader
/// leaves or the server stops.
pub(super) async fn follow(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let filter = query::followed(&query.unwrap_or_default())?;
    let announced = api.governance.log().watch();
    let after = match last_event_id(&headers)? {
        Some(after) => after,
        None => {
            api.governance.log().refresh().await?;
            *announced.borrow()
        }
    };
    let reader = Reader::new(api, filter, after);
    let (to, events) = mpsc::channel(BACKLOG);
    tokio::spawn(feed(reader, announced, to));
    let events = ReceiverStream::new(events).map(Ok::<Event, Infallible>);
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
    Ok(([unbuffered], sse).into_response())
}

/// Sends events until the follower leaves, is too slow, or the server stops.
async fn feed(mut reader: Reader, mut announced: watch::Receiver<i64>, to: mpsc::Sender<Event>) {
    let closing = reader.api.closing.clone();
    loop {
        // Marked as seen before reading: what comes meanwhile wakes us again.
        let last = *announced.borrow_and_update();
        loop {
            let event = match reader.next(last).await {
                Ok(Some(event)) => message(&event),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the event log could not be followed");
                    let data = "{\"error\":\"The events could not be read; connect again\",\"code\":\"internal\"}";
                    drop(to.send(Event::default().event("error").data(data)).await);
                    return;
                }
            };
            tokio::select! {
                sent = to.send_timeout(event, SLOWEST) => match sent {
                    Ok(()) => {}
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                        tracing::info!("a follower of the event log took nothing and is dropped");
                        return;
                    }
                },
                () = closing.cancelled() => return,
            }
        }
        tokio::select! {
            changed = announced.changed() => if changed.is_err() { return },
            () = to.closed() => return,
            () = closing.cancelled() => return,
        }
    }
}

/// `GET …/export`: the whole log or what the filters leave of it, oldest first.
pub(super) async fn export(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (format, filter) = query::export(&query.unwrap_or_default())?;
    api.governance.log().refresh().await?;
    // What is written while we export is not part of it: it ends.
    let end = *api.governance.log().watch().borrow();
    let source = format!("{}/api/foreman", api.config.server.url);
    let filter = EventQuery { before_seq: Some(end + 1), ..filter };
    let (kind, name) = match format {
        ExportFormat::Jsonl => (export::JSONL, "governance.jsonl"),
        ExportFormat::CloudEvents => (export::CLOUDEVENTS, "governance.cloudevents.json"),
    };
    let reader = Reader::new(api, filter, 0);
    let export = Export { reader, format, source, end, begun: false, done: false };
    let headers = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, Body::from_stream(chunks_of(export))).into_response())
}

struct Export {
    reader: Reader,
    format: ExportFormat,
    source: String,
    end: i64,
    begun: bool,
    done: bool,
}

fn chunks_of(export: Export) -> impl Stream<Item = Result<Bytes, StoreError>> {
    // An error in the middle breaks the connection off: what came is not taken for the whole.
    stream::try_unfold(export, |mut export| async move {
        if export.done {
            return Ok(None);
        }
        let mut chunk = String::new();
        let batch = export.format == ExportFormat::CloudEvents;
        if batch && !export.begun {
            chunk.push('[');
        }
        for _ in 0..PAGE {
            let Some(event) = export.reader.next(export.end).await? else {
                export.done = true;
                break;
            };
            match export.format {
                ExportFormat::Jsonl => chunk.push_str(&format!("{}\n", export::jsonl(&event))),
                ExportFormat::CloudEvents => {
                    chunk.push_str(if export.begun { ",\n" } else { "\n" });
                    chunk.push_str(&export::cloud_event(&event, &export.source).to_string());
                }
            }
            export.begun = true;
        }
        export.begun = true;
        if export.done && batch {
            chunk.push_str("\n]\n");
        }
        Ok(Some((Bytes::from(chunk), export)))
    })
}

/// Reads matching events in order, each once.
struct Reader {
    api: Api,
    filter: EventQuery,
    /// The last event that was looked at.
    after: i64,
    ready: VecDeque<Arc<GovernanceEvent>>,
}

impl Reader {
    fn new(api: Api, filter: EventQuery, after: i64) -> Self {
        let filter = EventQuery { ascending: true, limit: PAGE, ..filter };
        Self { api, filter, after, ready: VecDeque::new() }
    }

    /// The next match through `last`, if there is one.
    async fn next(&mut self, last: i64) -> Result<Option<Arc<GovernanceEvent>>, StoreError> {
        if self.ready.is_empty() && self.after < last {
            let query = EventQuery { after_seq: Some(self.after), ..self.filter.clone() };
            self.ready = self.api.governance.log().query(&query).await?.into();
            if self.ready.len() < PAGE as usize {
                // Everything through `last` was looked at; a match beyond it is sent as well.
                self.after = self.ready.back().map_or(last, |event| event.seq.max(last));
            } else if let Some(event) = self.ready.back() {
                self.after = event.seq;
            }
        }
        Ok(self.ready.pop_front())
    }
}
