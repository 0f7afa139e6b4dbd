//! The server as a whole: from a router of resources to listening sockets, and to an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_http::catch_panic::CatchPanicLayer;

use super::health::{self, Ready};
use super::limits::{self, Guard};
use super::listener::{Phase, Shared, accept_loop};
use super::live::Live;
use super::{metrics, pages, problem};
use crate::error::{Error, Result};

/// What the server needs beside the router and the configuration.
pub struct Options {
    /// Answers `/readyz`.
    pub ready: Arc<dyn Ready>,
    /// Route templates that take `limits.submit_body_bytes` instead of `limits.body_bytes`.
    pub large_bodies: &'static [&'static str],
}

/// A server that listens and does not serve yet.
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    connections: u32,
    metrics: PrometheusHandle,
}

impl Server {
    /// Puts the frame around `app` (health, metrics, limits, problem documents) and opens all configured addresses.
    ///
    /// Errors: `http.listen` when an address cannot be had, those of the TLS set-up.
    pub async fn bind(app: Router, live: Arc<Live>, options: Options) -> Result<Server> {
        let config = live.config();
        let metrics = metrics::handle()?;
        let app = frame(app, &live, options, metrics.clone());
        let tls = match live.certificate() {
            Some(certificate) => Some(TlsAcceptor::from(Arc::new(certificate.server_config()?))),
            None => None,
        };
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in &config.http.listen {
            let failed = |error: std::io::Error| {
                let detail = format!("cannot listen on {address}: {error}");
                Error::refuse("http.listen", detail, "free the address or change http.listen")
            };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let connections = u32::try_from(config.limits.connections).unwrap_or(u32::MAX);
        let slots = Arc::new(Semaphore::new(connections as usize));
        let proxy = config.proxy_address();
        let shared = Arc::new(Shared { app, live, tls, proxy, slots, phase: phase_seen });
        Ok(Server { listeners, addresses, shared, phase, connections, metrics })
    }

    /// The addresses, with the ports the system chose where 0 was configured.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URL of the first address on this machine.
    pub fn local_url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        let port = self.addresses.first().map_or(0, SocketAddr::port);
        match self.addresses.first().map(SocketAddr::ip) {
            Some(ip) if !ip.is_unspecified() && ip.is_ipv6() => format!("{scheme}://[{ip}]:{port}"),
            Some(ip) if !ip.is_unspecified() => format!("{scheme}://{ip}:{port}"),
            _ => format!("{scheme}://localhost:{port}"),
        }
    }

    /// Serves until `shutdown`, then finishes started requests for at most `limits.shutdown_seconds`.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let upkeep = tokio::spawn(metrics::upkeep(self.metrics));
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept_loop(listener, self.shared.clone())))
            .collect();
        shutdown.await;
        self.shared.live.drain();
        self.phase.send_replace(Phase::Draining);
        for task in accepting {
            // Ended by the phase; a panic in it must not keep the others from being finished.
            let _ = task.await;
        }
        let deadline = Duration::from_secs(self.shared.live.config().limits.shutdown_seconds);
        // Every connection holds a slot, so all slots free means that all of them have ended.
        let ended = tokio::time::timeout(deadline, self.shared.slots.acquire_many(self.connections)).await;
        if ended.is_err() {
            let open = (self.connections as usize).saturating_sub(self.shared.slots.available_permits());
            tracing::warn!(open, "connections still open at the shutdown deadline were cut");
        }
        self.phase.send_replace(Phase::Ended);
        upkeep.abort();
        Ok(())
    }
}

/// [`Server::bind`] and [`Server::run`] as a process does it: SIGTERM and SIGINT end it, SIGHUP reloads.
pub async fn serve(app: Router, live: Arc<Live>, options: Options) -> Result<()> {
    let server = Server::bind(app, live.clone(), options).await?;
    tracing::info!(addresses = ?server.addresses(), url = server.local_url(), "listening");
    run_until_signal(server, live).await
}

/// The second half of [`serve`], for a caller that wants to say the addresses in its own way first.
pub async fn run_until_signal(server: Server, live: Arc<Live>) -> Result<()> {
    run_until(server, live, std::future::pending()).await
}

/// [`run_until_signal`], or until `end`.
pub async fn run_until(server: Server, live: Arc<Live>, end: impl Future<Output = ()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::stop("http.signal", error.to_string(), "report this as a bug");
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let reloading = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let live = live.clone();
            // Files are read and checked: not on the reactor.
            match tokio::task::spawn_blocking(move || live.reload()).await {
                Ok(Ok(waiting)) if waiting.is_empty() => tracing::info!("configuration and certificate reloaded"),
                Ok(Ok(waiting)) => tracing::warn!(?waiting, "reloaded; these settings wait for a restart"),
                Ok(Err(error)) => tracing::error!(%error, "not reloaded, everything stays as it was"),
                Err(error) => tracing::error!(%error, "not reloaded"),
            }
        }
    });
    let ended = server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
                () = end => {}
            }
        })
        .await;
    reloading.abort();
    ended
}

fn frame(app: Router, live: &Arc<Live>, options: Options, handle: PrometheusHandle) -> Router {
    let guard = Arc::new(Guard::new(live.clone(), options.large_bodies));
    app.merge(health::router(options.ready, live.clone()))
        .merge(metrics::router(handle, live.clone()))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        // The last is the outermost.
        .layer(middleware::from_fn_with_state(guard, limits::guard))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(middleware::from_fn(pages::as_pages))
        .layer(middleware::from_fn(limits::observe))
}
