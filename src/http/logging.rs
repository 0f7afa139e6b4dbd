//! Logs and the request span: one structured line a message, to stderr.
//!
//! Never logged: bodies, headers, query strings and paths. A path can hold what somebody asked about (a link digest),
//! so requests are logged by route template.

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::error::{Error, Result};
use crate::node::config::LogSection;

/// Changes the level of a running process.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Sets the level: error, warn, info, debug or trace.
    pub fn set_level(&self, level: &str) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// Installs the process-wide subscriber; fails with `log.installed` when there is one already.
pub fn init(config: &LogSection) -> Result<LogHandle> {
    let (subscriber, handle) = subscriber(config, std::io::stderr);
    subscriber
        .try_init()
        .map_err(|error| Error::stop("log.installed", error.to_string(), "install the log once per process"))?;
    Ok(handle)
}

/// A subscriber as configured that writes to `writer`, and the handle that changes its level.
pub fn subscriber<W>(config: &LogSection, writer: W) -> (impl Subscriber + Send + Sync + 'static, LogHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(&config.level));
    let lines = fmt::layer().with_writer(writer);
    let lines = match config.format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        _ => lines.with_ansi(false).boxed(),
    };
    (tracing_subscriber::registry().with(filter).with(lines), LogHandle(handle))
}

/// The level is this crate's. Of the libraries only warnings pass, at any level: their details would show paths and
/// headers. rustls warns on every IP address sent as a server name, which is normal between nodes on loopback.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(match level {
        "error" => "error".to_owned(),
        _ => format!("warn,rustls=error,domovoi={level}"),
    })
}
