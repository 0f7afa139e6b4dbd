//! Logs and the request span: one structured line a message, to stderr.
//!
//! Never logged: bodies, headers, query strings and paths. A path can hold what somebody asked about (a link digest),
//! so requests are logged by route template.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::error::{Error, Result};
use crate::node::config::LogSection;

/// Changes the level of a running process.
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
    let (filter, handle) = reload::Layer::new(filter(&config.level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        _ => lines.boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| Error::stop("log.installed", error.to_string(), "install the log once per process"))?;
    Ok(LogHandle(handle))
}

/// rustls warns on every IP address sent as a server name, which is normal between nodes on loopback.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},rustls=error,hyper=warn,h2=warn,reqwest=warn,sled=warn"))
}
