//! Alerts: a small JSON document, sent to the operator's own address when a log is held, kept back or stale, and when it is fine
//! again.
//!
//! There is no queue to overflow: what was reported last is held against what is now, log by log, until the receiver takes
//! it. What came and went while nobody listened is not told. Nothing secret is in a message; with a secret shared with the
//! receiver it bears its HMAC.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::client::Peer;
use super::gossip;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::alarms::{Alarm, Alarms};
use crate::node::config::Config;
use crate::node::standing::Standing;
use crate::storage::durable::read_bounded;

/// How often the logs are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Time for one message.
const DEADLINE: Duration = Duration::from_secs(10);
/// First pause after a message that was not taken; it doubles.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(300);

/// One message.
#[derive(Debug, Clone, Serialize)]
struct Message<'m> {
    /// `held`, `frozen`, `stale`, `fine`; `doubled` of the node's own log; `charters` of the charters that a log is under.
    event: &'m str,
    /// Origin of the log.
    log: &'m str,
    /// The followed node's name in the configuration; the node's own is empty.
    name: &'m str,
    /// Stable code, where it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'m str>,
    /// Entries of the last good state.
    size: u64,
    /// When the message was made, Unix milliseconds.
    at: u64,
    /// Where the evidence is, under this node's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
}

/// What is worth telling about a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    event: &'static str,
    code: Option<String>,
    evidence: Option<String>,
    name: String,
    size: u64,
}

impl State {
    /// True where the other one is news after this one.
    fn differs(&self, other: &State) -> bool {
        (self.event, &self.code) != (other.event, &other.code)
    }
}

const FINE: &str = "fine";

/// Sends alerts until `stopping` turns true. `config` is looked at before every message.
pub async fn watch(node: Arc<Node>, config: impl Fn() -> Arc<Config>, mut stopping: watch::Receiver<bool>) {
    let mut reported: BTreeMap<Matter, State> = BTreeMap::new();
    let mut pause = Duration::ZERO;
    while !*stopping.borrow() {
        tokio::select! {
            () = tokio::time::sleep(TICK.max(pause)) => {}
            _ = stopping.changed() => return,
        }
        let config = config();
        let Some(url) = config.alerts.webhook.as_deref() else {
            reported.clear();
            continue;
        };
        let sent = tokio::select! {
            sent = send_news(&node, &config, url, &mut reported) => sent,
            _ = stopping.changed() => return,
        };
        pause = match sent {
            Ok(()) => Duration::ZERO,
            Err(e) => {
                let next = (pause * 2).clamp(PAUSE, LONGEST);
                tracing::warn!(error = %e, again_in_seconds = next.as_secs(), "an alert was not taken");
                next
            }
        };
    }
}

/// Tells what is new; the first message that is not taken ends it.
async fn send_news(node: &Node, config: &Config, url: &str, reported: &mut BTreeMap<Matter, State>) -> Result<()> {
    let now = states(node);
    reported.retain(|matter, _| now.contains_key(matter));
    for (matter, state) in now {
        let before = reported.get(&matter).cloned().unwrap_or(State { event: FINE, ..State::default() });
        if !before.differs(&state) {
            continue;
        }
        let message = Message {
            event: state.event,
            log: &matter.0,
            name: &state.name,
            code: state.code.as_deref(),
            size: state.size,
            at: node.clock.now_ms(),
            evidence: state.evidence.clone(),
        };
        post(config, url, &message).await?;
        reported.insert(matter, state);
    }
    Ok(())
}

fn address_of(origin: &str, evidence: &str) -> String {
    format!("/api/v1/federation/evidence?log={origin}&name={evidence}")
}

/// A log, or what was found beside how it stands.
type Matter = (String, Option<Alarm>);

/// How every log stands now. A log whose node only does not answer is not worth a message before its data are stale.
fn states(node: &Node) -> BTreeMap<Matter, State> {
    let mut states = BTreeMap::new();
    for followed in node.followed() {
        let standing = node.standing(&followed);
        let status = followed.status.read().clone();
        let event = match standing {
            Standing::Held => "held",
            Standing::Frozen => "frozen",
            Standing::Stale => "stale",
            Standing::Unreachable | Standing::Awaited | Standing::Fine => FINE,
        };
        let origin = &followed.view.origin;
        let evidence = status.held.as_ref().map(|h| address_of(origin, &h.evidence));
        let size = followed.view.head().map_or(0, |h| h.index + 1);
        let code = status.held.map(|h| h.code);
        states.insert((origin.clone(), None), State { event, code, evidence, name: status.name, size });
    }
    for alarm in Alarms::ALL {
        let Some(raised) = node.alarms.get(alarm) else { continue };
        let (event, code) = match alarm {
            Alarm::Doubled => ("doubled", gossip::OWN),
            Alarm::Charters => ("charters", gossip::CONFLICT),
        };
        let size = node.view(&raised.origin).and_then(|v| v.head()).map_or(0, |h| h.index + 1);
        let evidence = raised.evidence.map(|name| address_of(&raised.origin, &name));
        let state = State { event, code: Some(code.into()), evidence, size, ..State::default() };
        states.insert((raised.origin, Some(alarm)), state);
    }
    states
}

async fn post(config: &Config, url: &str, message: &Message<'_>) -> Result<()> {
    let alerts = &config.alerts;
    let ca = alerts.ca.as_deref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
    let body = serde_json::to_vec(message).map_err(|e| untaken(e.to_string()))?;
    let target = reqwest::Url::parse(url).map_err(|e| untaken(e.to_string()))?;
    let mut root = target.clone();
    root.set_path("/");
    root.set_query(None);
    root.set_fragment(None);
    // The same client as for peers: https only, no redirects. The address was typed by the operator.
    let peer = Peer::new(root.as_str(), ca.as_deref())?;
    let mut request = peer.http().post(target).timeout(DEADLINE).header("content-type", "application/json");
    if let Some(path) = &alerts.secret_file {
        request = request.header(SIGNATURE, format!("sha256={}", signature(path, &body)?));
    }
    let answer = request.body(body).send().await.map_err(|e| untaken(e.without_url().to_string()))?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(untaken(format!("the receiver answered {}", answer.status()))),
    }
}

/// Header with the HMAC-SHA256 of the body under the shared secret, lower-case hex.
const SIGNATURE: &str = "domovoi-signature";

fn untaken(why: String) -> Error {
    Error::retry("alerts.send", why, "check alerts.webhook and its receiver; it is tried again")
}

fn signature(path: &Path, body: &[u8]) -> Result<String> {
    let secret = read_bounded(path, 4096)?;
    let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
    if secret.len() < 16 {
        let what = format!("{} holds fewer than 16 bytes", path.display());
        return Err(Error::retry("alerts.secret", what, "put a longer secret there, the same as at the receiver"));
    }
    Ok(data_encoding::HEXLOWER.encode(&hmac_sha256(secret, body)))
}

/// RFC 2104 over SHA-256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| data_encoding::HEXLOWER.encode(&bytes);
        assert_eq!(
            hex(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let key = [0xaa; 131];
        assert_eq!(
            hex(hmac_sha256(&key, b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
