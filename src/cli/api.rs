//! A node's API as commands use it: blocking calls over the hardened client.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;
use crate::error::{Error, Result, known_code};
use crate::federation::chain::CharterChain;
use crate::registry::ids::RecordId;
use crate::registry::record::Subject;
use crate::registry::state::State;
use crate::storage::durable::read_bounded;
use crate::sync::charters::fetch_chain;
use crate::sync::client::Peer;
use crate::sync::snapshot::fetch_state;

/// Largest JSON answer a command reads.
const MAX_ANSWER: usize = 64 << 20;

/// A node.
pub struct Api {
    peer: Peer,
    runtime: tokio::runtime::Runtime,
}

/// Which log a node writes.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct NodeInfo {
    /// Origin of its own log.
    pub origin: Option<String>,
    /// Two-digit region code.
    pub region: Option<String>,
}

impl Api {
    /// The node named on the command line, or the one of the data directory.
    pub fn new(context: &Context) -> Result<Api> {
        let config = context.config()?;
        let url = match (&context.common.node, config.http.listen.first()) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(address)) => {
                let scheme = if config.uses_tls() { "https" } else { "http" };
                let host =
                    if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                format!("{scheme}://{host}:{}", address.port())
            }
            (None, None) => return Err(Error::refuse("cli.node", "no node is named", "give --node https://host:port")),
        };
        let ca = match &context.common.ca {
            Some(path) => Some(read_bounded(path, 1 << 20)?),
            // The node's own development certificate, where this is its machine.
            None if context.common.node.is_none() && config.tls.certificate.is_none() => {
                read_bounded(&config.node.data_dir.join("tls").join(crate::http::tls::DEVELOPMENT_CERT), 1 << 20).ok()
            }
            None => None,
        };
        Api::open(&url, ca.as_deref())
    }

    /// The node at `url`.
    pub fn open(url: &str, ca: Option<&[u8]>) -> Result<Api> {
        let runtime = runtime()?;
        Ok(Api { peer: Peer::new(url, ca)?, runtime })
    }

    /// The peer behind it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Runs a future of the client.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// GET, as JSON.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        json(&self.bytes(path, query)?)
    }

    /// GET, as the bytes of the answer.
    pub fn bytes(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>> {
        let mut url = self.peer.address(&format!("api/v1/{path}"))?;
        for (key, value) in query {
            url.query_pairs_mut().append_pair(key, value);
        }
        self.answer(self.peer.http().get(url))
    }

    /// POST of records, one envelope per line; gives the outcomes.
    pub fn submit(&self, records: &[Vec<u8>], dry_run: bool) -> Result<Vec<Value>> {
        let mut url = self.peer.address("api/v1/submit")?;
        if dry_run {
            url.query_pairs_mut().append_pair("dry_run", "1");
        }
        let body = records.join(&b'\n');
        let request = self.peer.http().post(url).header("content-type", "application/jsonl").body(body);
        let answer: Value = json(&self.answer(request)?)?;
        Ok(answer["outcomes"].as_array().cloned().unwrap_or_default())
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>> {
        let (ok, body) = self.runtime.block_on(async {
            let mut answer = request.send().await.map_err(|e| {
                let remedy = "start the node with «domovoi serve», or name another with --node (and --ca for a development certificate)";
                let mut cause: &dyn std::error::Error = &e;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                Error::retry("cli.node", format!("{}: {cause}", self.peer.url()), remedy)
            })?;
            let mut body = Vec::new();
            let broken = |e: reqwest::Error| Error::retry("cli.node", e.to_string(), "try again");
            while let Some(chunk) = answer.chunk().await.map_err(broken)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(Error::refuse("cli.answer", "the node's answer is larger than 64 MiB", "ask for less at a time"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((answer.status().is_success(), body))
        })?;
        match ok {
            true => Ok(body),
            false => Err(problem(&body)),
        }
    }

    /// Which log the node writes.
    pub fn info(&self) -> Result<NodeInfo> {
        self.get("node", &[])
    }

    /// Origin of the log the node writes.
    pub fn origin(&self) -> Result<String> {
        self.info()?.origin.ok_or_else(|| {
            Error::refuse("submit.no_log", "this node has no log of its own", "name the region's own node with --node")
        })
    }

    /// The last record of a subject: what the next one names as `prev`.
    pub fn last_record(&self, subject: &Subject) -> Result<Option<RecordId>> {
        let answer: Value = self.get("subjects/last", &[("subject", subject.to_string())])?;
        answer["last_record"].as_str().map(str::parse).transpose()
    }

    /// The verified state of the node's own log, replayed from its entries.
    pub fn state(&self, context: &Context) -> Result<State> {
        let origin = self.origin()?;
        let chain = self.charters(context, &origin)?;
        let bar = context.out.progress(0, "Проверка журнала", "Verifying the log");
        let state = self.runtime.block_on(fetch_state(&self.peer, &chain, &origin, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        }))?;
        bar.finish_and_clear();
        Ok(state.state)
    }

    /// The charters to verify the log `origin` with: those of the data directory if they name the log, otherwise those the node serves.
    pub fn charters(&self, context: &Context, origin: &str) -> Result<CharterChain> {
        let own = crate::node::charters::read_chain(&crate::node::layout::Layout::new(&context.common.data));
        match own.ok().filter(|c| c.of_log(origin).is_ok()) {
            Some(chain) => Ok(chain),
            None => self.runtime.block_on(fetch_chain(&self.peer)),
        }
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| {
        Error::refuse("cli.answer", format!("the node's answer: {e}"), "is it a domovoi node of this version?")
    })
}

/// A runtime for commands.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::stop("thread.spawn", e.to_string(), "raise the limit of threads"))
}

/// An RFC 9457 answer as an error. A code that this program knows stays the node's, so that its Russian text is found; any
/// other is named in the detail.
fn problem(body: &[u8]) -> Error {
    let v: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |k: &str| v[k].as_str().unwrap_or("").to_owned();
    let (code, detail, remedy) = (text("code"), text("detail"), text("remedy"));
    match known_code(&code) {
        Some(code) => {
            Error::refuse(code, format!("the node answers: {detail} — {remedy}"), "see the node's answer above")
        }
        None => Error::refuse("cli.refused", format!("{detail} [{code}] {remedy}"), "see the node's answer"),
    }
}
