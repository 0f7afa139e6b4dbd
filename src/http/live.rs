//! What may change while the node runs: the configuration in force and the certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::logging::LogHandle;
use super::tls::CertStore;
use crate::error::Result;
use crate::node::config::Config;

/// Reads the configuration again, from the same file, environment and options as at the start.
pub type Loader = Box<dyn Fn() -> Result<Config> + Send + Sync>;

/// The configuration in force. Readers take it anew for each request, or wait for changes with [`Live::subscribe`].
pub struct Live {
    config: watch::Sender<Arc<Config>>,
    load: Loader,
    certificate: Option<Arc<CertStore>>,
    log: Option<LogHandle>,
    draining: AtomicBool,
}

impl Live {
    /// Takes the configuration read at the start and loads the certificate, unless plain HTTP is configured.
    pub fn open(config: Config, load: Loader, log: Option<LogHandle>) -> Result<Arc<Live>> {
        let certificate = if config.uses_tls() { Some(CertStore::open(&config)?) } else { None };
        let config = watch::Sender::new(Arc::new(config));
        Ok(Arc::new(Live { config, load, certificate, log, draining: AtomicBool::new(false) }))
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// For whoever must act on a change (the follower's list, its interval).
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// The certificate store; none with plain HTTP.
    pub fn certificate(&self) -> Option<&Arc<CertStore>> {
        self.certificate.as_ref()
    }

    /// Reads configuration and certificate again. All or nothing: on an error everything stays as it was.
    /// Returns the changed settings that wait for a restart, as `section.key`.
    pub fn reload(&self) -> Result<Vec<String>> {
        let newer = (self.load)()?;
        if let Some(certificate) = &self.certificate {
            certificate.reload(&newer)?;
        }
        if let Some(log) = &self.log {
            log.set_level(&newer.log.level);
        }
        let waiting = self.config.borrow().restart_needed(&newer);
        self.config.send_replace(Arc::new(newer));
        Ok(waiting)
    }

    /// True once the node is stopping: it is no longer ready, started requests are being finished.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
