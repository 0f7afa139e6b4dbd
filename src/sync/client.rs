//! A client that expects the worst of the peer: bounded bytes, time, rate and places, checked addresses, no redirects, no
//! decompression.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::dns::Resolve;
use reqwest::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::addresses::{Checked, Forbidden, Reach, SystemNames, literal};
use crate::error::{Error, Result};
use crate::node::config::ranges::AddressRange;
use crate::node::layout::origin_hash;
use crate::tlog::tile::LogPath;

/// Where a node serves its own log.
const LOG: &str = "log/";

/// Largest answer of each kind, in bytes.
pub mod limit {
    /// A checkpoint.
    pub const CHECKPOINT: usize = 8 * 1024;
    /// A hash tile.
    pub const TILE: usize = 256 * 32;
    /// An entry bundle: 256 entries of the longest kind, each with two bytes of length.
    pub const BUNDLE: usize = crate::tlog::tile::MAX_BUNDLE_LEN;
    /// A charter.
    pub const CHARTER: usize = 1 << 20;
    /// The heads a node knows: 256 checkpoints, escaped, with their origins.
    pub const HEADS: usize = 256 * 10 * 1024;
}

/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence, before the headers and between pieces of the body. Over HTTP/2 a piece is a frame, which has come when all of
/// it has: frames stay as small as they are (16 KiB), or an honest peer on a slow line would pass for a silent one.
const SILENCE: Duration = Duration::from_secs(10);
/// A whole request.
const REQUEST: Duration = Duration::from_secs(60);
/// After this time an answer must have come at [`LOWEST_RATE`] on average, so that a byte a second holds no place for long.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes a second.
const LOWEST_RATE: u64 = 1024;
/// Bytes of an answer that room is made for when they are announced: a bundle of usual entries has half of it.
const USUAL: u64 = 512 * 1024;
/// Headers of an answer.
const HEADERS: usize = 64;
/// Bytes of an answer's headers, over HTTP/2; HTTP/1 is bounded by the transport's buffer, 400 KiB.
const HEADER_BYTES: u32 = 16 * 1024;
/// A peer that asks for patience (429 or 503 with `Retry-After`) is left alone so long, at most.
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);
/// Where it names no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests to one peer at a time.
pub const PER_PEER: usize = 8;
/// Requests of the whole process beside the first one to each peer. Every peer has one place that nobody else takes, so that
/// peers which hold theirs for as long as they may leave the others their own.
static SHARED: Semaphore = Semaphore::const_new(48);

/// How peers are reached: which addresses are allowed, and who resolves names.
#[derive(Clone)]
pub struct Network {
    allowed: Vec<AddressRange>,
    names: Arc<dyn Resolve>,
    simulated: Option<Arc<dyn Transport>>,
}

impl Network {
    /// The real one; `allowed` are the ranges of `sync.allow_addresses`.
    pub fn new(allowed: Vec<AddressRange>) -> Network {
        Network::with_names(allowed, Arc::new(SystemNames))
    }

    /// With another resolver of names.
    pub fn with_names(allowed: Vec<AddressRange>, names: Arc<dyn Resolve>) -> Network {
        Network { allowed, names, simulated: None }
    }

    /// One that a simulation makes.
    pub fn simulated(transport: Arc<dyn Transport>) -> Network {
        Network { simulated: Some(transport), ..Network::default() }
    }

    /// A peer whose URL the operator wrote into the configuration.
    ///
    /// # Errors
    /// `peer.url`, `peer.address`.
    pub fn configured(&self, url: &str, ca: Option<&[u8]>) -> Result<Peer> {
        self.peer(url, ca, Reach::configured(url, &self.allowed))
    }

    /// A peer whose URL somebody else named: a charter, another peer.
    ///
    /// # Errors
    /// `peer.url`, `peer.address`.
    pub fn named(&self, url: &str, ca: Option<&[u8]>) -> Result<Peer> {
        self.peer(url, ca, Reach::public(&self.allowed))
    }

    fn peer(&self, url: &str, ca: Option<&[u8]>, reach: Reach) -> Result<Peer> {
        let peer = Peer::reaching(url, ca, reach, self.names.clone())?;
        Ok(match &self.simulated {
            Some(transport) => peer.over(transport.clone()),
            None => peer,
        })
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new(Vec::new())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// A peer: where its node is, and how to talk to it.
#[derive(Clone)]
pub struct Peer {
    base: reqwest::Url,
    client: reqwest::Client,
    /// Where the log's files are, under the root.
    files: Arc<str>,
    /// The first place of its own, and the others, for which a shared one is needed too.
    own: Arc<Semaphore>,
    more: Arc<Semaphore>,
    /// Until when it asked to be left alone.
    quiet: Arc<Mutex<Option<Instant>>>,
    /// Stands in for the network; none where there is a real one.
    simulated: Option<Arc<dyn Transport>>,
}

/// What a peer answered: status and body.
pub type Answer = (StatusCode, Vec<u8>);

/// A network that a simulation makes: it sees every request and says what comes back. All that a [`Peer`] checks of an
/// answer it checks of these too.
pub trait Transport: Send + Sync {
    /// The answer to `GET path` (`body` is none) or `POST path`.
    ///
    /// # Errors
    /// As the network has them: `peer.unreachable`.
    fn ask<'a>(&'a self, base: &'a str, path: &'a str, body: Option<Vec<u8>>) -> BoxFuture<'a, Result<Answer>>;
}

fn unreachable(url: &str, e: &reqwest::Error) -> Error {
    // The error's own chain names the cause (refused, certificate, time-out); the URL is said once.
    let mut cause = String::new();
    let mut at: Option<&dyn std::error::Error> = Some(e);
    while let Some(error) = at {
        if error.is::<Forbidden>() {
            return forbidden(url, &error.to_string());
        }
        cause = error.to_string();
        at = error.source();
    }
    Error::retry("peer.unreachable", format!("{url}: {cause}"), "check the address and that the node is running")
}

fn forbidden(url: &str, why: &str) -> Error {
    Error::retry(
        "peer.address",
        format!("{url}: {why}"),
        "where that is meant, allow the range in sync.allow_addresses",
    )
}

fn too_large(url: &str, max: usize) -> Error {
    Error::isolate("peer.too_large", format!("{url} sends more than {max} bytes"), "the peer is broken or hostile")
}

/// A place that a request holds until it is over.
type Place = (OwnedSemaphorePermit, Option<SemaphorePermit<'static>>);

impl Peer {
    /// A peer at `url` (the node's root) that a person typed and whose answer he sees: any address. `ca` is the PEM of a
    /// development certificate to trust in place of the public roots. A process that acts on its own uses [`Network`].
    ///
    /// # Errors
    /// `peer.url` where it is not an https URL (http only on loopback), or the certificate is none.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Peer> {
        Peer::reaching(url, ca, Reach::anywhere(), Arc::new(SystemNames))
    }

    fn reaching(url: &str, ca: Option<&[u8]>, reach: Reach, names: Arc<dyn Resolve>) -> Result<Peer> {
        let bad = |why: String| Error::refuse("peer.url", format!("{url}: {why}"), "write https://host:port");
        let mut base = reqwest::Url::parse(url).map_err(|e| bad(e.to_string()))?;
        let host = base.host_str().unwrap_or_default();
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(bad("only https, or http on loopback".into()));
        }
        if !base.username().is_empty()
            || base.password().is_some()
            || base.query().is_some()
            || base.fragment().is_some()
        {
            return Err(bad("a user, query or fragment has no place in it".into()));
        }
        // A resolver is not asked about an address that is written out.
        if literal(host).is_some_and(|address| !reach.permits(address)) {
            return Err(forbidden(url, &Forbidden(host.to_owned()).to_string()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            // A proxy would resolve names itself, where nobody checks what they lead to.
            .no_proxy()
            .dns_resolver(Checked { reach, names })
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(REQUEST)
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(HEADER_BYTES)
            .user_agent(concat!("domovoi/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca {
            let certificate =
                reqwest::Certificate::from_pem(pem).map_err(|e| bad(format!("its certificate file: {e}")))?;
            builder = builder.tls_certs_only([certificate]);
        }
        let client = builder.build().map_err(|e| bad(e.to_string()))?;
        let (own, more) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(PER_PEER - 1)));
        Ok(Peer { base, client, files: LOG.into(), own, more, quiet: Arc::default(), simulated: None })
    }

    /// The copy that this peer keeps of the log `origin`, in the place of a log of its own.
    pub fn copy_of(&self, origin: &str) -> Peer {
        self.files_at(&format!("mirror/{}/", origin_hash(origin)))
    }

    fn files_at(&self, files: &str) -> Peer {
        Peer { files: files.into(), ..self.clone() }
    }

    /// The files of a log as [`Heads`](crate::node::heads::Heads) name them: this peer's own log or its copy of `origin`, and
    /// nothing else.
    pub fn files_of(&self, origin: &str, own: bool) -> Peer {
        if own { self.files_at(LOG) } else { self.copy_of(origin) }
    }

    /// A file of the log, under the node's root.
    pub fn log_path(&self, path: LogPath) -> String {
        format!("{}{path}", self.files)
    }

    /// The same peer over a simulated network.
    pub fn over(self, network: Arc<dyn Transport>) -> Peer {
        Peer { simulated: Some(network), ..self }
    }

    /// The node's root.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// The HTTP client, for the API's own calls.
    pub fn http(&self) -> &reqwest::Client {
        &self.client
    }

    /// The address of `path` under the node's root.
    ///
    /// # Errors
    /// `peer.url` where the path leads out of it.
    pub fn address(&self, path: &str) -> Result<reqwest::Url> {
        let bad = |why: String| Error::refuse("peer.url", format!("{path}: {why}"), "check the path");
        let url = self.base.join(path).map_err(|e| bad(e.to_string()))?;
        match url.as_str().starts_with(self.base.as_str()) {
            true => Ok(url),
            false => Err(bad(format!("leads out of {}", self.base))),
        }
    }

    /// GET of `path`, at most `max` bytes. `None` where the peer has no such thing.
    ///
    /// # Errors
    /// `peer.status`, `peer.redirect`, `peer.busy`, `peer.encoding`, `peer.too_large`, `peer.slow`, `peer.address`,
    /// `peer.unreachable`.
    pub async fn get(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let (status, body) = self.ask(path, None, max).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => {
                let url = self.address(path)?;
                Err(Error::retry("peer.status", format!("{url} answered {status} where 200 is due"), "try again later"))
            }
        }
    }

    /// POST of `body` to `path`: the status, whatever it is but a redirect, and at most `max` bytes of the answer.
    ///
    /// # Errors
    /// As [`Peer::get`], but for `peer.status`.
    pub async fn post(&self, path: &str, body: Vec<u8>, max: usize) -> Result<Answer> {
        self.ask(path, Some(body), max).await
    }

    async fn ask(&self, path: &str, body: Option<Vec<u8>>, max: usize) -> Result<Answer> {
        let url = self.address(path)?;
        if let Some(left) = self.quiet.lock().and_then(|until| until.checked_duration_since(Instant::now())) {
            return Err(busy(&format!("{url} asked to be left alone, for {} s more", left.as_secs() + 1)));
        }
        let _place = self.place().await?;
        let (status, body) = match &self.simulated {
            Some(network) => network.ask(self.url(), path, body).await?,
            None => self.over_http(&url, body, max).await?,
        };
        if body.len() > max {
            return Err(too_large(url.as_str(), max));
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let what = format!("{url} answered {status}: a log has one address, and a redirect is not followed");
            return Err(Error::retry("peer.redirect", what, "follow the address at which the node answers itself"));
        }
        Ok((status, body))
    }

    /// The peer's own place, or one of its further ones together with a shared one, whichever is free first.
    async fn place(&self) -> Result<Place> {
        let closed = || Error::retry("peer.busy", "the client is ending", "try again");
        if let Ok(own) = self.own.clone().try_acquire_owned() {
            return Ok((own, None));
        }
        tokio::select! {
            own = self.own.clone().acquire_owned() => own.map(|own| (own, None)).map_err(|_| closed()),
            both = async {
                let more = self.more.clone().acquire_owned().await.map_err(|_| closed())?;
                Ok((more, Some(SHARED.acquire().await.map_err(|_| closed())?)))
            } => both,
        }
    }

    async fn over_http(&self, url: &reqwest::Url, body: Option<Vec<u8>>, max: usize) -> Result<Answer> {
        let request = match body {
            None => self.client.get(url.clone()),
            Some(body) => self.client.post(url.clone()).body(body),
        };
        let started = Instant::now();
        let mut answer = request.send().await.map_err(|e| unreachable(url.as_str(), &e))?;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let asked = answer.headers().get(header::RETRY_AFTER);
            if status == StatusCode::TOO_MANY_REQUESTS || asked.is_some() {
                // Seconds only: a date would be read by this node's clock, and is as good as none.
                let seconds = asked.and_then(|v| v.to_str().ok()?.trim().parse().ok());
                let pause = seconds.map_or(PATIENCE, Duration::from_secs).min(LONGEST_PATIENCE);
                *self.quiet.lock() = Instant::now().checked_add(pause);
                return Err(busy(&format!("{url} answered {status}; it is left alone for {} s", pause.as_secs())));
            }
        }
        // Not asked for, and a few bytes of it could stand for gigabytes.
        let encoding = answer.headers().get(header::CONTENT_ENCODING);
        if let Some(encoding) = encoding.filter(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let what = format!("{url} answers in the content encoding {encoding:?}, which was not asked for");
            return Err(Error::retry("peer.encoding", what, "a proxy in front of the peer may be to blame"));
        }
        if answer.content_length().is_some_and(|announced| announced > max as u64) {
            return Err(too_large(url.as_str(), max));
        }
        // Room for what is announced, and no more than usual answers have before it is there.
        let announced = answer.content_length().unwrap_or(0).min(USUAL);
        let mut body = Vec::with_capacity(announced as usize);
        while let Some(chunk) = answer.chunk().await.map_err(|e| unreachable(url.as_str(), &e))? {
            if body.len() + chunk.len() > max {
                return Err(too_large(url.as_str(), max));
            }
            body.extend_from_slice(&chunk);
            let took = started.elapsed();
            if took > GRACE && (body.len() as u64) < took.as_secs() * LOWEST_RATE {
                let what = format!("{url} sent {} bytes in {} s", body.len(), took.as_secs());
                return Err(Error::retry(
                    "peer.slow",
                    what,
                    "its line is overloaded, or it keeps others waiting on purpose",
                ));
            }
        }
        Ok((status, body))
    }

    /// A file of the peer's log.
    pub async fn log_file(&self, path: LogPath) -> Result<Vec<u8>> {
        let max = match path {
            LogPath::Checkpoint => limit::CHECKPOINT,
            LogPath::Tile(_) => limit::TILE,
            LogPath::Bundle(_) => limit::BUNDLE,
        };
        let name = self.log_path(path);
        self.get(&name, max).await?.ok_or_else(|| {
            Error::isolate(
                "peer.missing",
                format!("{}{name} is missing though the checkpoint covers it", self.base),
                "the peer's log is damaged",
            )
        })
    }
}

fn busy(what: &str) -> Error {
    Error::retry("peer.busy", what, "it is asked again when that time is over")
}
