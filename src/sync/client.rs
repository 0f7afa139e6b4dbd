//! A client that expects the worst of the peer: bounded bytes, bounded time, no redirects, no decompression.

use std::time::Duration;

use reqwest::StatusCode;

use crate::error::{Error, Result};
use crate::tlog::tile::LogPath;

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
}

/// A peer: where its node is, and how to talk to it.
#[derive(Debug, Clone)]
pub struct Peer {
    base: reqwest::Url,
    client: reqwest::Client,
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
        Ok(Peer { base, client })
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
        let url = self.address(path)?;
        let mut answer = self.client.get(url.clone()).send().await.map_err(|e| unreachable(url.as_str(), &e))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status => {
                return Err(Error::retry("peer.status", format!("{url} answered {status}"), "try again later"));
            }
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| unreachable(url.as_str(), &e))? {
            if body.len() + chunk.len() > max {
                return Err(Error::isolate(
                    "peer.too_large",
                    format!("{url} sends more than {max} bytes"),
                    "the peer is broken or hostile",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// A file of the peer's log.
    pub async fn log_file(&self, path: LogPath) -> Result<Vec<u8>> {
        let max = match path {
            LogPath::Checkpoint => limit::CHECKPOINT,
            LogPath::Tile(_) => limit::TILE,
            LogPath::Bundle(_) => limit::BUNDLE,
        };
        let name = format!("log/{path}");
        self.get(&name, max).await?.ok_or_else(|| {
            Error::isolate(
                "peer.missing",
                format!("{}{name} is missing though the checkpoint covers it", self.base),
                "the peer's log is damaged",
            )
        })
    }
}
