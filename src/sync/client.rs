//! A client that expects the worst of the peer: bounded bytes, bounded time, no redirects, no decompression.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;

use crate::error::{Error, Result};
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

/// A peer: where its node is, and how to talk to it.
#[derive(Clone)]
pub struct Peer {
    base: reqwest::Url,
    client: reqwest::Client,
    /// Where the log's files are, under the root.
    files: Arc<str>,
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
        cause = error.to_string();
        at = error.source();
    }
    Error::retry("peer.unreachable", format!("{url}: {cause}"), "check the address and that the node is running")
}

fn too_large(url: &str, max: usize) -> Error {
    Error::isolate("peer.too_large", format!("{url} sends more than {max} bytes"), "the peer is broken or hostile")
}

impl Peer {
    /// A peer at `url` (the node's root). `ca` is the PEM of a development certificate to trust beside the public roots.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Peer> {
        let bad = |why: String| Error::refuse("peer.url", format!("{url}: {why}"), "write https://host:port");
        let mut base = reqwest::Url::parse(url).map_err(|e| bad(e.to_string()))?;
        let loopback = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(bad("only https, or http on loopback".into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .user_agent(concat!("domovoi/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca {
            let certificate =
                reqwest::Certificate::from_pem(pem).map_err(|e| bad(format!("its certificate file: {e}")))?;
            builder = builder.tls_certs_only([certificate]);
        }
        let client = builder.build().map_err(|e| bad(e.to_string()))?;
        Ok(Peer { base, client, files: LOG.into(), simulated: None })
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
    pub fn address(&self, path: &str) -> Result<reqwest::Url> {
        self.base.join(path).map_err(|e| Error::refuse("peer.url", format!("{path}: {e}"), "check the path"))
    }

    /// GET of `path`, at most `max` bytes. `None` where the peer has no such thing.
    pub async fn get(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let (status, body) = self.ask(path, None, max).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => {
                let url = self.address(path)?;
                Err(Error::retry("peer.status", format!("{url} answered {status}"), "try again later"))
            }
        }
    }

    /// POST of `body` to `path`: the status, whatever it is, and at most `max` bytes of the answer.
    pub async fn post(&self, path: &str, body: Vec<u8>, max: usize) -> Result<Answer> {
        self.ask(path, Some(body), max).await
    }

    async fn ask(&self, path: &str, body: Option<Vec<u8>>, max: usize) -> Result<Answer> {
        let url = self.address(path)?;
        let (status, body) = match &self.simulated {
            Some(network) => network.ask(self.url(), path, body).await?,
            None => self.over_http(&url, body, max).await?,
        };
        if body.len() > max {
            return Err(too_large(url.as_str(), max));
        }
        Ok((status, body))
    }

    async fn over_http(&self, url: &reqwest::Url, body: Option<Vec<u8>>, max: usize) -> Result<Answer> {
        let request = match body {
            None => self.client.get(url.clone()),
            Some(body) => self.client.post(url.clone()).body(body),
        };
        let mut answer = request.send().await.map_err(|e| unreachable(url.as_str(), &e))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| unreachable(url.as_str(), &e))? {
            if body.len() + chunk.len() > max {
                return Err(too_large(url.as_str(), max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((answer.status(), body))
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
