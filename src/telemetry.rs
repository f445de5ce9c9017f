//! The log: one subscriber to standard error, for people or as JSON, each line redacted before it
//! leaves the process. Never decides what is worth logging.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};
use crate::domain::redact::Redactor;

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("RUST_LOG is `{got}`; it takes a level or target=level, comma separated ({source})")]
    Filter { got: String, source: tracing_subscriber::filter::ParseError },
    #[error("the log is already started: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the log of this process. Only once. `level` holds where `RUST_LOG` says nothing.
pub fn init(log: &Log, level: &str, redactor: Arc<Redactor>) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let terminal = io::stderr().is_terminal();
    let filter = filter(log, level)?;
    let writer = Redacted { redactor, inner: io::stderr };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if is_json(log.format, terminal) {
        builder.json().flatten_event(true).with_span_list(false).finish().try_init()?;
    } else {
        builder.with_ansi(terminal).with_target(false).finish().try_init()?;
    }
    Ok(())
}

fn filter(log: &Log, level: &str) -> Result<EnvFilter, TelemetryError> {
    let filter = log.filter.as_deref().unwrap_or(level);
    EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { got: filter.to_owned(), source })
}

const fn is_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// Makes writers that redact. A record is formatted whole and written once, so no secret is cut
/// in two between writes.
#[derive(Clone)]
pub struct Redacted<M> {
    redactor: Arc<Redactor>,
    inner: M,
}

impl<M> Redacted<M> {
    pub fn new(redactor: Arc<Redactor>, inner: M) -> Self {
        Self { redactor, inner }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacted<M> {
    type Writer = RedactedWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedWriter {
            redactor: Arc::clone(&self.redactor),
            inner: self.inner.make_writer(),
            pending: Vec::new(),
        }
    }
}

/// Holds one record until it is whole.
pub struct RedactedWriter<W: Write> {
    redactor: Arc<Redactor>,
    inner: W,
    pending: Vec<u8>,
}

impl<W: Write> Write for RedactedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.pending);
        self.inner.write_all(self.redactor.redact(&text).as_bytes())?;
        self.pending.clear();
        self.inner.flush()
    }
}

impl<W: Write> Drop for RedactedWriter<W> {
    fn drop(&mut self) {
        // A log that cannot be written must not stop the work.
        self.flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let memory = Memory::default();
        let sink = memory.clone();
        let redactor = Arc::new(Redactor::new(["s3cret-token"]));
        let writer = Redacted::new(redactor, move || sink.clone());
        let builder = tracing_subscriber::fmt().with_writer(writer).with_ansi(false);
        let act = || tracing::info!(token = "s3cret-token", "asked with s3cret-token");
        if json {
            tracing::subscriber::with_default(builder.json().finish(), act);
        } else {
            tracing::subscriber::with_default(builder.finish(), act);
        }
        let bytes = memory.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn secrets_leave_in_neither_format() {
        for json in [false, true] {
            let line = logged(json);
            assert!(line.contains("asked with [redacted]"), "{line}");
            assert!(!line.contains("s3cret"), "{line}");
            assert_eq!(line.matches('\n').count(), 1, "{line}");
        }
    }

    #[test]
    fn auto_is_for_people_on_a_terminal_only() {
        assert!(is_json(LogFormat::Auto, false) && !is_json(LogFormat::Auto, true));
        assert!(is_json(LogFormat::Json, true) && !is_json(LogFormat::Human, false));
    }
}
