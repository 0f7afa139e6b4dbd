//! Gossip: a node compares the heads it has accepted with those that other nodes know (docs/protocol.md, "Gossip").
//!
//! A head counts only if the log's own key signed it, so nobody can speak ill of a region but the region itself. Two heads
//! that cannot be of one log are a fork: evidence is made on the spot and the log is held. A newer head than the region's
//! own node shows says that this node is kept back. Evidence another node has is fetched and verified like any other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::client::{Peer, limit};
use super::hold::{self, Seen};
use super::meters;
use super::round;
use crate::error::{Action, Error, Result};
use crate::federation::charter::Charter;
use crate::federation::evidence::{Evidence, FORK, FORMAT, Finding, MAX_EVIDENCE, Proof, split as split_of};
use crate::node::alarms::Alarm;
use crate::node::charters::read_version;
use crate::node::heads::{CharterHead, Head, Heads};
use crate::node::log_view::LogView;
use crate::node::{Followed, Node};
use crate::registry::ids::RecordId;
use crate::registry::strict::from_object;
use crate::storage::evidence_store;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tree::{self, consistency_proof};

/// A node's heads are compared at the first round with it and then at every so many.
pub const EVERY: u64 = 4;

/// Compares the heads of `peer` with those of this node. What is wrong with one log keeps no other from being compared.
///
/// # Errors
/// Those of the peer's answer; `gossip.form` where it is none.
pub async fn compare(node: &Arc<Node>, peer: &Peer) -> Result<()> {
    let Some(bytes) = peer.get("api/v1/federation/heads", limit::HEADS).await? else { return Ok(()) };
    let heads: Heads = from_object(&bytes).map_err(|e| {
        let what = format!("{} serves no list of heads: {e}", peer.url());
        Error::isolate("gossip.form", what, "the peer is broken or hostile; it is asked again later")
    })?;
    if let Some(theirs) = &heads.charter
        && let Err(e) = charters(node, theirs, peer).await
    {
        tracing::warn!(peer = peer.url(), error = %e, "its charter could not be compared");
    }
    let followed = node.followed();
    for head in heads.heads.0 {
        if let Some(own) = node.own().filter(|v| v.origin == head.origin) {
            own_log(node, own, &head, peer);
        }
        let Some(followed) = followed.iter().find(|f| f.view.origin == head.origin) else { continue };
        if hold::is_forked(followed) {
            continue;
        }
        if let Err(e) = log(node, followed, &head, peer).await {
            tracing::warn!(peer = peer.url(), origin = %followed.view.origin, error = %e, "a head could not be compared");
        }
    }
    Ok(())
}

/// A file that a peer serves as a charter, with its digest where it is one.
type ServedCharter = (Option<RecordId>, Vec<u8>);

/// Two charters of one version: whoever holds the federation's root keys signed both. The one that a node has stays; its
/// people are told. Compared is the newest version that both have: whoever differs before that differs there too, since each
/// version names the one before it.
async fn charters(node: &Arc<Node>, theirs: &CharterHead, peer: &Peer) -> Result<()> {
    let own = node.own().map(|view| (view.clone(), node.layout.clone()));
    let followed = node.followed().into_iter().map(|f| (f.view.clone(), node.layout.mirror(&f.view.origin)));
    // The logs of a federation share their charters: each version is asked for once.
    let mut served: BTreeMap<u64, Option<ServedCharter>> = BTreeMap::new();
    for (view, layout) in own.into_iter().chain(followed) {
        let chain = view.chain();
        let version = theirs.version.min(chain.latest().charter().version);
        let Some(known) = chain.version(version).map(|ours| ours.sha256()) else { continue };
        if chain.first().sha256() != theirs.pinned || (version == theirs.version && known == theirs.sha256) {
            continue;
        }
        let other = match served.entry(version) {
            Entry::Occupied(asked) => asked.into_mut(),
            Entry::Vacant(new) => {
                let bytes = peer.get(&format!("api/v1/federation/charters/{version}"), limit::CHARTER).await?;
                new.insert(bytes.map(|bytes| (Charter::open(&bytes).ok().map(|c| c.sha256()), bytes)))
            }
        };
        // The other may have gone further and be of one mind as far as this.
        let Some((_, other)) = other.take_if(|(digest, _)| *digest != Some(known)) else { continue };
        let Some(ours) = read_version(&layout, &chain, version)? else { return Ok(()) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let evidence = Evidence {
            format: FORMAT.into(),
            origin: view.origin.clone(),
            code: CONFLICT.into(),
            detail: format!("{} has another charter of version {version}", peer.url()),
            seen_at: node.clock.now_ms(),
            source: peer.url().to_owned(),
            accepted_checkpoint: None,
            served_checkpoint: None,
            proof: Some(Proof::Charters { first: text(ours), second: text(other) }),
        };
        let finding = evidence.verify(&chain)?;
        let kept = evidence_store::keep(&layout.evidence(), &evidence);
        tracing::error!(
            peer = peer.url(),
            evidence = ?kept.as_ref().ok(),
            ?finding,
            code = CONFLICT,
            "the federation's root keys signed two charters of one version"
        );
        node.alarms.set(Alarm::Charters, view.origin.clone(), kept.ok());
        meters::alarm(Alarm::Charters);
        return Ok(());
    }
    Ok(())
}

/// One log's head at another node.
async fn log(node: &Arc<Node>, followed: &Arc<Followed>, head: &Head, peer: &Peer) -> Result<()> {
    let view = &followed.view;
    let layout = node.layout.mirror(&view.origin);
    if let Some(name) = &head.evidence
        && let Some((evidence, finding)) = fetch_evidence(view, peer, name).await?
    {
        let e = hold::fork(format!("{} has evidence that the log's key signed two trees: {finding:?}", peer.url()));
        hold::hold_with(&layout, followed, &node.clock, &e, &evidence);
        hold::save(&layout, followed);
        return Ok(());
    }
    let Some((accepted, text)) = hold::accepted(followed) else { return Ok(()) };
    let heard = |size| followed.status.write().heard_of(peer.url(), size, node.clock.now_ms());
    if same(&head.checkpoint, &text) {
        heard(None);
        return Ok(());
    }
    let served = round::open_checkpoint(head.checkpoint.as_bytes(), &log_keys(view), &view.origin)?;
    let files = peer.files_of(&view.origin, head.own);
    match split(view, &accepted, served.checkpoint(), &files).await {
        Ok(Some(proof)) if hold::proves_fork(followed, &head.checkpoint, &proof) => {
            let seen = Seen {
                served: Some(head.checkpoint.as_bytes().to_vec()),
                proof: Some(proof),
                source: peer.url().to_owned(),
            };
            let (a, b) = (accepted.size, served.checkpoint().size);
            let e = hold::fork(format!(
                "the log's key signed two trees: one of size {a} shown here, one of {b} shown to {}",
                peer.url()
            ));
            hold::hold(&layout, followed, &node.clock, &e, &seen);
            hold::save(&layout, followed);
        }
        found => {
            let size = served.checkpoint().size;
            heard(Some(size).filter(|size| *size > accepted.size));
            found?;
        }
    }
    Ok(())
}

/// This node's own key signed something that this node did not: somebody has the key, or a second copy of the node runs.
fn own_log(node: &Arc<Node>, own: &Arc<LogView>, head: &Head, peer: &Peer) {
    let keys = log_keys(own);
    let Ok(served) = round::open_checkpoint(head.checkpoint.as_bytes(), &keys, &own.origin) else { return };
    // Read after the other's: a head that this node has signed is not larger than this.
    let Some(text) = own.reader.checkpoint_text() else { return };
    let Ok(accepted) = round::open_checkpoint(text.as_bytes(), &keys, &own.origin) else { return };
    let (here, there) = (accepted.checkpoint(), served.checkpoint());
    let proof = match there.size <= here.size {
        true => match split_here(own, here, there) {
            Ok(Some(proof)) => Some(proof),
            _ => return,
        },
        false => None,
    };
    let evidence = Evidence {
        format: FORMAT.into(),
        origin: own.origin.clone(),
        code: OWN.into(),
        detail: format!(
            "{} has a head of {} entries that this node did not sign; it has {}",
            peer.url(),
            there.size,
            here.size
        ),
        seen_at: node.clock.now_ms(),
        source: peer.url().to_owned(),
        accepted_checkpoint: Some(text.to_string()),
        served_checkpoint: Some(head.checkpoint.clone()),
        proof,
    };
    let kept = evidence_store::keep(&node.layout.evidence(), &evidence);
    tracing::error!(peer = peer.url(), size = there.size, here = here.size, evidence = ?kept.as_ref().ok(), code = OWN, "this node's own key signed a head that this node did not: a second copy of the node runs, or somebody has the key");
    node.alarms.set(Alarm::Doubled, own.origin.clone(), kept.ok());
    meters::alarm(Alarm::Doubled);
}

/// Code of a head of the node's own log that somebody else signed.
pub const OWN: &str = "own.fork";
/// Code of two charters of one version.
pub const CONFLICT: &str = "charter.conflict";

/// True where both notes say the same of the log, whoever cosigned them.
fn same(one: &str, other: &str) -> bool {
    let text = |note: &str| note.rfind("\n\n").map(|at| note[..at].to_owned());
    text(one).is_some() && text(one) == text(other)
}

/// Keys that may sign the log's checkpoints now.
fn log_keys(view: &LogView) -> Vec<VerifierKey> {
    let state = view.state();
    state.charters().log_keys(state.charter()).cloned().collect()
}

/// Evidence of a fork that the peer has, if it is that.
async fn fetch_evidence(view: &LogView, peer: &Peer, name: &str) -> Result<Option<(Evidence, Finding)>> {
    if !evidence_store::is_name(name) {
        return Ok(None);
    }
    let origin: String = url_encoded(&view.origin);
    let path = format!("api/v1/federation/evidence?log={origin}&name={name}");
    let Some(bytes) = peer.get(&path, MAX_EVIDENCE).await? else { return Ok(None) };
    let evidence = Evidence::decode(&bytes).map_err(|e| e.with_action(Action::Isolate))?;
    if evidence.origin != view.origin || evidence.code != FORK {
        let what = format!("{} names evidence that is about something else", peer.url());
        return Err(Error::isolate("gossip.form", what, "the peer is broken or hostile; it is asked again later"));
    }
    // What the node cannot verify under its own chain is nobody's guilt yet.
    let finding = evidence.verify(&view.chain())?;
    Ok(matches!(finding, Finding::SplitView { .. }).then_some((evidence, finding)))
}

fn url_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Shows that two signed heads cannot be of one log; none where they can. A smaller one is held against the tiles here, a
/// larger one against those of the peer that has it.
///
/// # Errors
/// Where nothing can be shown: the peer does not serve what it has, or serves other hashes than were signed.
pub async fn split(view: &LogView, accepted: &Checkpoint, other: &Checkpoint, files: &Peer) -> Result<Option<Proof>> {
    if other.size <= accepted.size {
        return split_here(view, accepted, other);
    }
    if accepted.size == 0 {
        return Ok(None);
    }
    let (root, path) = round::beginning(files, accepted.size, other.size).await?;
    split_of(accepted, other, root, &path)
}

fn split_here(view: &LogView, accepted: &Checkpoint, other: &Checkpoint) -> Result<Option<Proof>> {
    if other.size == 0 {
        return Ok(None);
    }
    if other.size == accepted.size {
        // Of two equal ones the accepted stands for the smaller.
        return split_of(accepted, other, other.root, &[]);
    }
    let root = tree::root(&view.reader, other.size)?;
    let path = consistency_proof(&view.reader, other.size, accepted.size)?;
    split_of(other, accepted, root, &path)
}
