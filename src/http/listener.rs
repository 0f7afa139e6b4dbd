//! Connections: accepting them, and everything that bounds one before a request exists.
//!
//! A connection holds one of `limits.connections` slots from accept to end; without a free slot nothing is accepted and
//! the kernel's queue fills. It is cut when the handshake or the headers take too long, or when not one byte moves in
//! either direction for the idle time (which also ends a client that sends a request and never reads the answer).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::limits::Peer;
use super::live::Live;
use crate::node::config::LimitsSection;

/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 128;
/// The transport refuses (431 without a document) what is over twice the limits; `limits::guard` explains the rest.
const HARD_FACTOR: usize = 2;
/// hyper's smallest read buffer, bytes.
const MIN_BUFFER: usize = 8 * 1024;
/// Waits after failed accepts, doubling: out of descriptors ends only when some connection does.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How far the server's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Accept nothing more, finish started requests.
    Draining,
    /// Drop what is left.
    Ended,
}

/// What the connections of a server share.
pub(super) struct Shared {
    pub(super) app: Router,
    pub(super) live: Arc<Live>,
    /// None: plain HTTP, which the configuration allowed.
    pub(super) tls: Option<TlsAcceptor>,
    /// With plain HTTP, the one address beside loopback that may connect.
    pub(super) proxy: Option<IpAddr>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// Where connections come from; a trait so that a test can make accepting fail.
pub(super) trait Accept: Send + Sync {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// Accepts until draining begins. No error ends it.
pub(super) async fn accept_loop(listener: impl Accept, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    let mut draining = pin!(async move {
        // An error means that the server is gone, which is an end as well.
        let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    });
    let mut wait = BACKOFF.0;
    loop {
        let next = async {
            // The semaphore is never closed; were it, there would be nothing more to accept.
            let slot = shared.slots.clone().acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let accepted = tokio::select! {
            biased;
            () = &mut draining => return,
            accepted = next => accepted,
        };
        match accepted {
            None => return,
            Some((slot, Ok((stream, peer)))) => {
                wait = BACKOFF.0;
                let shared = shared.clone();
                tokio::spawn(async move {
                    connection(stream, peer, &shared).await;
                    drop(slot);
                });
            }
            // The client gave up while it waited in the queue.
            Some((_, Err(error))) if is_of_one_connection(&error) => {}
            Some((slot, Err(error))) => {
                drop(slot);
                tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "cannot accept connections");
                tokio::select! {
                    () = &mut draining => return,
                    () = sleep(wait) => {}
                }
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    let config = shared.live.config();
    let limits = &config.limits;
    // Small answers must not wait for more; a socket that refuses the option works as well, only slower.
    let _ = stream.set_nodelay(true);
    let moved = Arc::new(AtomicBool::new(false));
    let stream = Watched { inner: stream, moved: moved.clone() };
    let header_time = Duration::from_secs(limits.header_timeout_seconds);
    let app = shared.app.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        app.clone().oneshot(request)
    });
    match &shared.tls {
        None => {
            let address = peer.ip().to_canonical();
            if !address.is_loopback() && Some(address) != shared.proxy.map(|proxy| proxy.to_canonical()) {
                tracing::warn!(%peer, "refused a plain connection that is not from the configured proxy");
                return;
            }
            let connection = http1_builder(limits, header_time).serve_connection(TokioIo::new(stream), service);
            drive(connection, limits, &moved, shared.phase.clone()).await;
        }
        Some(tls) => {
            let mut phase = shared.phase.clone();
            let handshake = tokio::select! {
                handshake = timeout(header_time, tls.accept(stream)) => handshake,
                _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
            };
            let stream = match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => return tracing::debug!("TLS handshake took too long"),
            };
            let io = |stream| TokioIo::new(stream);
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let connection = http2_builder(limits).serve_connection(io(stream), service);
                drive(connection, limits, &moved, shared.phase.clone()).await;
            } else {
                let connection = http1_builder(limits, header_time).serve_connection(io(stream), service);
                drive(connection, limits, &moved, shared.phase.clone()).await;
            }
        }
    }
}

fn http1_builder(limits: &LimitsSection, header_time: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_headers(limits.header_count.saturating_mul(HARD_FACTOR))
        .max_header_size(limits.header_bytes.saturating_mul(HARD_FACTOR))
        .max_buf_size(limits.header_bytes.saturating_mul(HARD_FACTOR).max(MIN_BUFFER));
    builder
}

fn http2_builder(limits: &LimitsSection) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes.saturating_mul(HARD_FACTOR)).unwrap_or(u32::MAX));
    builder
}

/// Runs one connection to its end, its idle time, or the server's end.
async fn drive<C>(connection: C, limits: &LimitsSection, moved: &AtomicBool, mut phase: watch::Receiver<Phase>)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    const QUIET_TICKS: u32 = 4;
    let mut connection = pin!(connection);
    let mut tick = interval(Duration::from_secs(limits.idle_timeout_seconds) / QUIET_TICKS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut quiet, mut draining) = (0, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = tick.tick() => {
                quiet = if moved.swap(false, Ordering::Relaxed) { 0 } else { quiet + 1 };
                if quiet > QUIET_TICKS {
                    return tracing::debug!("idle connection closed");
                }
            }
            reached = phase.wait_for(|phase| *phase >= if draining { Phase::Ended } else { Phase::Draining }) => {
                if draining || reached.is_err() {
                    return;
                }
                drop(reached);
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream that notes whether bytes moved.
struct Watched<S> {
    inner: S,
    moved: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(polled)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::node::config::Config;

    /// Out of descriptors three times, then a listener.
    struct Exhausted(TcpListener, AtomicUsize);

    impl Accept for Exhausted {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            const EMFILE: i32 = 24;
            if self.1.fetch_add(1, Ordering::Relaxed) < 3 {
                return Err(io::Error::from_raw_os_error(EMFILE));
            }
            self.0.accept().await
        }
    }

    #[tokio::test]
    async fn accepting_survives_running_out_of_descriptors() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let set = ["http.plain_http=true".to_owned()];
        let config = Config::from_layers("", std::path::Path::new(""), &[], &set).unwrap();
        let live = Live::open(config, Box::new(|| Ok(Config::default())), None).unwrap();
        let (end, phase) = watch::channel(Phase::Serving);
        let app = Router::new().route("/", axum::routing::get(async || "here"));
        let slots = Arc::new(Semaphore::new(1));
        let shared = Arc::new(Shared { app, live, tls: None, proxy: None, slots, phase });
        let accepting = tokio::spawn(accept_loop(Exhausted(listener, AtomicUsize::new(0)), shared));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        end.send_replace(Phase::Draining);
        timeout(Duration::from_secs(5), accepting).await.unwrap().unwrap();
    }
}
