//! What others know of this node's own log, and what follows from it (docs/protocol.md, "The log never forks").
//!
//! A directory cannot tell whether it is the newest copy of itself. The nodes that keep copies of the log can: a checkpoint
//! that the log's key signed is true whoever shows it. What the key has not signed is nobody's business, whoever claims it.

use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Network, Peer, limit};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::node::config::Config;
use crate::node::layout::origin_hash;
use crate::registry::jurisdiction::Charters;
use crate::storage::durable::read_bounded;
use crate::storage::log_store::{LogReader, open_by_any};
use crate::tlog::Hash;
use crate::tlog::checkpoint::VerifiedCheckpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{BundleId, LogPath, bundles_between};
use crate::tlog::tree;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Who may know this node's log: one that keeps a copy of it, or a witness, who remembers the newest head alone.
#[derive(Clone)]
pub struct Keeper {
    /// Its name in the configuration, or its URL.
    pub name: String,
    /// How it is reached, read for its copy.
    pub peer: Peer,
    /// True where the operator named it as a mirror: only such answers are waited for.
    pub named: bool,
    /// Where a witness has the head, under the peer's URL; none of one that keeps a copy.
    witness: Option<String>,
}

impl Keeper {
    /// Both things a node may be, with a copy and as a witness.
    pub fn of_node(name: &str, peer: &Peer, origin: &str, named: bool) -> [Keeper; 2] {
        let witness = format!("witness/{}/checkpoint", origin_hash(origin));
        let copy = Keeper { name: name.into(), peer: peer.copy_of(origin), named, witness: None };
        [copy.clone(), Keeper { name: format!("{name} (witness)"), named: false, witness: Some(witness), ..copy }]
    }

    /// A witness by itself, by the URL before `/add-checkpoint`.
    fn of_witness(name: String, peer: &Peer, origin: &str) -> Keeper {
        let witness = format!("{}/checkpoint", origin_hash(origin));
        Keeper { name, peer: peer.copy_of(origin), named: false, witness: Some(witness) }
    }

    /// True where there may be entries to take.
    pub fn has_copy(&self) -> bool {
        self.witness.is_none()
    }

    fn path(&self) -> String {
        self.witness.clone().unwrap_or_else(|| self.peer.log_path(LogPath::Checkpoint))
    }
}

/// Whoever may know the log `origin`: the mirrors of the configuration first, then the nodes that are followed, then those of
/// the charter, each with its copy and as a witness; then witnesses that are nothing else.
///
/// # Errors
/// `peer.url` of a named mirror; its certificate file cannot be read.
pub fn keepers(config: &Config, chain: &CharterChain, origin: &str) -> Result<Vec<Keeper>> {
    let network = Network::new(config.sync.allow_addresses.clone());
    let mut found: Vec<Keeper> = Vec::new();
    let mut urls: Vec<String> = Vec::new();
    let own = chain.latest().region_by_origin(origin).map(|r| r.url.to_string());
    urls.extend(own);
    urls.extend(config.node.public_url.clone());
    for mirror in &config.mirror {
        let ca = mirror.ca.as_ref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
        let peer = network.configured(&mirror.url, ca.as_deref())?;
        urls.push(mirror.url.clone());
        found.extend(Keeper::of_node(&mirror.name, &peer, origin, true));
    }
    let followed = config.follow.iter().map(|f| (f.name.clone(), f.url.clone(), f.ca.clone(), true));
    let regions = chain.latest().regions().iter().map(|r| r.url.to_string());
    let federation = chain.latest().charter().federation.as_ref().map(|f| f.url.to_string());
    let named = regions.chain(federation).map(|url| (url.clone(), url, None, false));
    for (name, url, ca, typed) in followed.chain(named) {
        if urls.contains(&url) {
            continue;
        }
        let ca = ca.and_then(|path| read_bounded(&path, 1 << 20).ok());
        let peer = if typed { network.configured(&url, ca.as_deref()) } else { network.named(&url, ca.as_deref()) };
        // What cannot be asked is not asked: nobody waits for it.
        if let Ok(peer) = peer {
            found.extend(Keeper::of_node(&name, &peer, origin, false));
        }
        urls.push(url);
    }
    let typed = config.cosigner.iter().filter(|c| c.kind == "witness");
    let typed = typed.map(|c| (c.url.clone(), c.ca.clone(), true));
    let of_charter = chain.latest().charter().witnesses.iter().flat_map(|list| &list.0);
    let of_charter = of_charter.map(|w| (w.url.to_string(), None, false));
    for (url, ca, typed) in typed.chain(of_charter) {
        let node = url.trim_end_matches('/').trim_end_matches("/witness").to_owned();
        if urls.contains(&node) || urls.contains(&url) {
            continue;
        }
        let ca = ca.and_then(|path| read_bounded(&path, 1 << 20).ok());
        let peer = if typed { network.configured(&url, ca.as_deref()) } else { network.named(&url, ca.as_deref()) };
        found.extend(peer.ok().map(|peer| Keeper::of_witness(url.clone(), &peer, origin)));
        urls.push(url);
    }
    Ok(found)
}

/// What one of them said.
#[derive(Debug)]
pub enum Answer {
    /// A head that the log's key signed.
    Head(Box<VerifiedCheckpoint>),
    /// It keeps no copy.
    Nothing,
    /// A head that no key of the log signed: ignored, and named.
    Claim(Error),
    /// No answer.
    Silent(Error),
}

/// Asks all of them at once for the newest checkpoint they have of the log; the answers stand in their order.
pub async fn ask(keepers: &[Keeper], charters: &Charters) -> Vec<Answer> {
    let mut running = JoinSet::new();
    for (place, keeper) in keepers.iter().enumerate() {
        let (keeper, charters) = (keeper.clone(), charters.clone());
        running.spawn(async move {
            let path = keeper.path();
            let answer = match tokio::time::timeout(ANSWER, keeper.peer.get(&path, limit::CHECKPOINT)).await {
                Ok(Ok(Some(note))) => opened(&note, &charters),
                Ok(Ok(None)) => Answer::Nothing,
                Ok(Err(e)) => Answer::Silent(e),
                Err(_) => Answer::Silent(Error::retry(
                    "peer.unreachable",
                    format!("{} does not answer in time", keeper.peer.url()),
                    "check the address and that the node is running",
                )),
            };
            (place, answer)
        });
    }
    let mut answers: Vec<Answer> = keepers.iter().map(|_| Answer::Nothing).collect();
    while let Some(done) = running.join_next().await {
        // A task that panicked has said nothing.
        if let Ok((place, answer)) = done {
            answers[place] = answer;
        }
    }
    answers
}

/// A checkpoint by any key that the charter named or names for this log.
fn opened(note: &[u8], charters: &Charters) -> Answer {
    let keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
    match open_by_any(note, &keys) {
        Ok(head) => Answer::Head(Box::new(head)),
        Err(e) => Answer::Claim(Error::isolate(
            "recovery.claim",
            format!("what it shows is no checkpoint of this log: {e}"),
            "it is ignored; tell its operator",
        )),
    }
}

/// What this node has itself.
pub struct Own<'a> {
    /// Its log.
    pub reader: &'a LogReader,
    /// The head of the fence: signed, or about to be, and perhaps not published yet.
    pub fence: (u64, Hash),
    /// Version of the charter that its log has adopted last.
    pub charter: u64,
    /// The charters.
    pub charters: &'a Charters,
}

/// What follows from the answers.
#[derive(Debug)]
pub enum Finding {
    /// So many showed a head, and none knows more than this node.
    Clear,
    /// Too few showed one: nothing is signed yet.
    Waiting(Error),
    /// A longer log was signed than this node has: by places among the keepers, the longest first.
    Behind(Vec<(usize, VerifiedCheckpoint)>),
    /// Two heads were signed of which neither extends the other: the keeper's place, and what it shows.
    Fork(Error, usize, Box<VerifiedCheckpoint>),
}

/// Judges the answers; `must` of the named mirrors have to show a head. What is no answer of theirs is reported to the log.
///
/// # Errors
/// Those of the log's files.
pub fn judge(own: &Own<'_>, keepers: &[Keeper], answers: Vec<Answer>, must: usize) -> Result<Finding> {
    let (mut answered, mut silent, mut ahead) = (0, Vec::new(), Vec::new());
    // After the answers: what others have seen was published before.
    let newest = newest(own);
    for (place, (keeper, answer)) in keepers.iter().zip(answers).enumerate() {
        match answer {
            Answer::Head(head) if !stands(own, &head) => {
                tracing::warn!(peer = %keeper.name, size = head.checkpoint().size, "shows a head by a key whose time was over; it is ignored");
                silent.push(format!("{}: a head by an old key", keeper.name));
            }
            Answer::Head(head) => {
                answered += usize::from(keeper.named);
                let (size, root) = (head.checkpoint().size, head.checkpoint().root);
                if size > newest.0 {
                    ahead.push((place, *head));
                    continue;
                }
                let ours = root_at(own, size)?;
                if ours != root && is_decided(own, &head) {
                    silent.push(format!("{}: a history that the charter decided against", keeper.name));
                    answered -= usize::from(keeper.named);
                } else if ours != root {
                    let detail = format!(
                        "{} shows a checkpoint of {size} entries that this log's key signed, with the root {root}; here it is {ours}",
                        keeper.name
                    );
                    return Ok(Finding::Fork(fork(detail), place, head));
                }
            }
            // Whoever witnesses nothing was not asked to.
            Answer::Nothing if !keeper.has_copy() => {}
            Answer::Nothing => silent.push(format!("{}: keeps no copy of this log", keeper.name)),
            Answer::Claim(e) => {
                tracing::warn!(peer = %keeper.name, error = %e, "claims a head of this log that its key did not sign");
                silent.push(format!("{}: {}", keeper.name, e.detail()));
            }
            Answer::Silent(e) => silent.push(format!("{}: {}", keeper.name, e.detail())),
        }
    }
    if !ahead.is_empty() {
        ahead.sort_by_key(|(_, head)| std::cmp::Reverse(head.checkpoint().size));
        return Ok(Finding::Behind(ahead));
    }
    // Of a log that nothing was signed in nobody can have a copy.
    if answered < must && newest.0 > 0 {
        return Ok(Finding::Waiting(Error::retry(
            "recovery.waiting",
            format!(
                "{answered} of {must} mirrors have shown a copy of this log; nothing is signed until then ({})",
                silent.join("; ")
            ),
            "start them, correct [[mirror]], or change recovery.peers_must_answer",
        )));
    }
    Ok(Finding::Clear)
}

/// The newest head of this node: the published one, or the fenced one where that is not published yet.
fn newest(own: &Own<'_>) -> (u64, Hash) {
    if own.reader.size() >= own.fence.0 { own.reader.head() } else { own.fence }
}

/// The root of this node's tree of so many entries, at most as many as its newest head has.
fn root_at(own: &Own<'_>, size: u64) -> Result<Hash> {
    let newest = newest(own);
    if size == newest.0 {
        Ok(newest.1)
    } else if size <= own.reader.size() {
        tree::root(own.reader, size)
    } else {
        // Between what is published and what is fenced no head was ever signed here.
        Ok(Hash::EMPTY_TREE)
    }
}

/// True where only keys signed it that were there before a cut: which of two histories stands, the charter has said.
fn is_decided(own: &Own<'_>, head: &VerifiedCheckpoint) -> bool {
    let cut = own.charters.cuts().map(|cut| cut.version).max().unwrap_or(0);
    let mut later = own.charters.versions().iter().filter(|j| j.charter_version >= cut);
    cut > 0 && !later.any(|j| head.note().verify(&j.log_key).is_ok())
}

/// What a head that was shown earlier says now: none where this log contains it, or it is void.
///
/// # Errors
/// Those of the log's files.
pub fn remembered(own: &Own<'_>, head: VerifiedCheckpoint) -> Result<Option<Remembered>> {
    let size = head.checkpoint().size;
    Ok(match stands(own, &head) {
        true if size > newest(own).0 => Some(Remembered::Longer(head)),
        true if root_at(own, size)? != head.checkpoint().root && !is_decided(own, &head) => {
            Some(Remembered::Fork(head))
        }
        _ => None,
    })
}

/// A head that was shown earlier and that this log does not contain.
pub enum Remembered {
    /// It is longer.
    Longer(VerifiedCheckpoint),
    /// It is another history.
    Fork(VerifiedCheckpoint),
}

/// True where a key signed that could: of a head beyond what is here, only the key in force or a later one, and none that a cut
/// has made void.
fn stands(own: &Own<'_>, head: &VerifiedCheckpoint) -> bool {
    let size = head.checkpoint().size;
    let longer = size > own.reader.size().max(own.fence.0);
    let from = if longer { own.charters.in_force(own.charter).charter_version } else { 0 };
    let mut signers = own.charters.versions().iter().filter(|j| j.charter_version >= from);
    signers.any(|j| head.note().verify(&j.log_key).is_ok() && own.charters.stands(j.charter_version, size).is_ok())
}

/// The error of a log that has two heads.
pub fn fork(detail: String) -> Error {
    Error::stop(
        "recovery.fork",
        detail,
        "another copy of this node has signed, or an old one did: stop all but one; both checkpoints are kept in evidence/; which history stands is for a charter version with a cut to say",
    )
}

/// True where the peer has entries up to this head to give: the first and the last bundle that are missing here.
pub async fn has_entries(peer: &Peer, from: u64, head: &VerifiedCheckpoint) -> bool {
    let size = head.checkpoint().size;
    // A head may claim any size: nothing is counted up to it.
    let (first, last) = (bundles_between(from, size).next(), BundleId::in_tree(size.saturating_sub(1) / 256, size));
    for id in [first, last].into_iter().flatten() {
        match peer.get(&peer.log_path(LogPath::Bundle(id)), limit::BUNDLE).await {
            Ok(Some(_)) => {}
            _ => return false,
        }
    }
    true
}
