//! Gathers cosignatures for the logs this node writes: after each publication, and again while nothing is published, so that
//! a head that stands says that it still does.
//!
//! All are asked at the same time, each with a deadline and a backoff of its own. A witness is sent the checkpoint with a
//! proof from the size it has cosigned last (status 409 names it); a mirror's and a verifier's lines are read from the copy
//! their node serves. Every line is verified before it is put on the published checkpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{Peer, limit};
use crate::error::{Error, Result};
use crate::federation::roster::{Line, Member, Roster};
use crate::node::Node;
use crate::node::cosign::{CosignedView, Gathering, OwnLog, OwnWords};
use crate::node::layout::origin_hash;
use crate::node::witness::Witness;
use crate::storage::log_store::LogReader;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::{Note, parse_signatures};
use crate::tlog::tree::consistency_proof;
use crate::tlog::witness::Request;

/// Time for one cosigner to answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Cosigners asked at the same time.
const PARALLEL: usize = 32;
/// A cosigner is asked this often at most.
const SPACING: Duration = Duration::from_secs(1);
/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(100);
/// How long lines that have come wait for those that are on their way: each time the checkpoint is written anew.
const TOGETHER: Duration = Duration::from_millis(200);
/// How often the charter is read for who cosigns.
const ROSTER: Duration = Duration::from_secs(10);
/// A line whose time is further from this node's clock is not taken, seconds.
const TIME_TOLERANCE: u64 = 300;

/// Makes the peer at a URL.
pub type Connect = Arc<dyn Fn(&str) -> Result<Peer> + Send + Sync>;

/// What is configured beside the charter.
#[derive(Clone)]
pub struct Setting {
    /// Cosigners that the charter does not name.
    pub members: Vec<Member>,
    /// This node's own keys, which never count for its own logs.
    pub own: Vec<CosignerKey>,
    /// A head is cosigned anew after this time.
    pub interval: Duration,
    /// How often a mirror that has not got the head yet is looked at again.
    pub look: Duration,
    /// Reaches the cosigners.
    pub connect: Connect,
}

/// One of the words of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// POST to the witness.
    Witness,
    /// GET of the copy that the node serves.
    Copy,
}

/// One cosigner as it is asked.
struct Asked {
    ask: Ask,
    url: String,
    keys: Vec<CosignerKey>,
    peer: Option<Peer>,
    /// Size the witness has cosigned last, as far as is known.
    last: u64,
    next: Duration,
    failures: u32,
    busy: bool,
}

/// What came of asking a cosigner.
pub enum Came {
    /// Verified lines; the size that the witness has now.
    Lines(Vec<Line>, u64),
    /// The mirror is not there yet.
    NotYet,
}

/// Gathers for one log until `shutdown` turns true.
pub async fn gather(node: Arc<Node>, log: OwnLog, setting: Setting, mut shutdown: watch::Receiver<bool>) {
    let (mut roster, mut asked): (Option<Roster>, Vec<Asked>) = (None, Vec::new());
    let mut roster_at = Duration::ZERO;
    let mut head: Option<(Arc<str>, Gathering)> = None;
    let mut running: JoinSet<(usize, String, Result<Came>)> = JoinSet::new();
    let mut unpublished: Option<Duration> = None;
    while !*shutdown.borrow() {
        let now = node.clock.count();
        if roster.is_none() || now >= roster_at + ROSTER && running.is_empty() {
            roster_at = now;
            if let Some(newer) = read_roster(&node, &log, &setting).await.filter(|n| roster.as_ref() != Some(n)) {
                asked = asks(&newer);
                (roster, head) = (Some(newer), None);
            }
        }
        if let Some(roster) = &roster {
            take_head(&log, roster, &mut head);
            if let Some((_, gathering)) = &head {
                let due = node.clock.now_ms() / 1000;
                for (at, one) in asked.iter_mut().enumerate() {
                    let fresh = |key: &CosignerKey| {
                        gathering.time_of(key).is_some_and(|time| due < time.saturating_add(setting.interval.as_secs()))
                    };
                    if one.busy || now < one.next || running.len() >= PARALLEL || one.keys.iter().all(fresh) {
                        continue;
                    }
                    one.busy = true;
                    one.next = now + SPACING;
                    start(&mut running, at, one, &log, gathering, &setting.connect, due);
                }
                let waited = unpublished.is_some_and(|since| running.is_empty() || now >= since + TOGETHER);
                if waited {
                    unpublished = None;
                    publish(&log, roster, gathering).await;
                }
            }
        }
        let came = tokio::select! {
            came = running.join_next(), if !running.is_empty() => came,
            () = tokio::time::sleep(TICK) => None,
            _ = shutdown.changed() => break,
        };
        let Some(Ok((at, text, came))) = came else { continue };
        let (Some(one), Some((_, gathering))) = (asked.get_mut(at), head.as_mut()) else { continue };
        one.busy = false;
        match came {
            Ok(Came::Lines(lines, size)) => {
                (one.failures, one.last) = (0, size);
                // The log may have moved on meanwhile; then they are of no use any more.
                if text == gathering.text {
                    lines.into_iter().for_each(|line| gathering.add(line));
                    unpublished = unpublished.or(Some(now));
                }
            }
            Ok(Came::NotYet) => one.next = now + setting.look.max(SPACING),
            Err(e) => {
                one.failures = one.failures.saturating_add(1);
                one.next = now + backoff(one.failures);
                tracing::warn!(log = log.origin(), cosigner = %one.url, error = %e, failures = one.failures, "no cosignature");
            }
        }
    }
}

/// Looks at what is followed until `shutdown` turns true: for the verifier's word on times, and whether the witness has cosigned
/// a later head than it remembers.
pub async fn observe(
    node: Arc<Node>,
    words: Arc<OwnWords>,
    witness: Option<Arc<Witness>>,
    every: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let looked: Arc<Mutex<HashMap<String, Arc<str>>>> = Arc::default();
    while !*shutdown.borrow() {
        let (node, words, witness, looked) = (node.clone(), words.clone(), witness.clone(), looked.clone());
        let look = move || {
            words.observe(&node);
            let Some(witness) = witness else { return };
            for followed in node.followed() {
                let Some(text) = followed.view.reader.checkpoint_text() else { continue };
                let before = looked.lock().insert(followed.view.origin.clone(), text.clone());
                if before.is_some_and(|before| Arc::ptr_eq(&before, &text)) {
                    continue;
                }
                let noticed = Note::parse(text.as_bytes()).and_then(|n| witness.notice(&node, &n, node.clock.now_ms()));
                if let Err(e) = noticed {
                    tracing::error!(log = %followed.view.origin, error = %e, "the witness cannot look at a checkpoint");
                }
            }
        };
        // A panic in it must not end the loop.
        let _ = tokio::task::spawn_blocking(look).await;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = shutdown.changed() => break,
        }
    }
}

async fn read_roster(node: &Arc<Node>, log: &OwnLog, setting: &Setting) -> Option<Roster> {
    let (node, of) = (node.clone(), log.clone());
    let read = tokio::task::spawn_blocking(move || of.charter(&node).map(|charter| Roster::of(&charter, of.origin())));
    match read.await {
        Ok(Ok(mut roster)) => {
            roster.members.extend(setting.members.iter().cloned());
            Some(roster.without(&setting.own))
        }
        Ok(Err(e)) => {
            tracing::error!(log = log.origin(), error = %e, "the charter does not say who cosigns");
            None
        }
        Err(_) => None,
    }
}

fn asks(roster: &Roster) -> Vec<Asked> {
    let mut asks: Vec<Asked> = Vec::new();
    for member in &roster.members {
        let copy: Vec<CosignerKey> = member.mirror.iter().chain(&member.verifier).cloned().collect();
        for (ask, url, keys) in
            [(Ask::Witness, &member.witness_url, member.witness.clone()), (Ask::Copy, &member.node_url, copy)]
        {
            // Charter and configuration may name the same one.
            match asks.iter_mut().find(|known| known.ask == ask && known.url == *url) {
                Some(known) => known.keys.extend(keys),
                None if keys.is_empty() => {}
                None => {
                    let (url, peer) = (url.clone(), None);
                    asks.push(Asked { ask, url, keys, peer, last: 0, next: Duration::ZERO, failures: 0, busy: false });
                }
            }
        }
    }
    asks
}

/// Takes the published checkpoint where it is another one than before.
fn take_head(log: &OwnLog, roster: &Roster, head: &mut Option<(Arc<str>, Gathering)>) {
    let Some(published) = log.reader().checkpoint_text() else { return };
    if head.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &published)) {
        return;
    }
    match Gathering::of(&published, roster) {
        // The same head with more lines: those that were put there from here.
        Ok(newer) => match head {
            Some((known, gathering)) if gathering.text == newer.text => *known = published,
            _ => *head = Some((published, newer)),
        },
        Err(e) => tracing::error!(log = log.origin(), error = %e, "the published checkpoint cannot be read"),
    }
    if let Some(counted) = head.as_ref().and_then(|(note, _)| CosignedView::of(roster, note).ok()) {
        for (role, kind) in [("witness", counted.witness), ("mirror", counted.mirror), ("verifier", counted.verifier)] {
            let log = log.origin().to_owned();
            metrics::gauge!("domovoi_cosignatures", "log" => log.clone(), "role" => role).set(f64::from(kind.signed));
            metrics::gauge!("domovoi_cosignatures_needed", "log" => log, "role" => role).set(f64::from(kind.needed));
        }
    }
}

async fn publish(log: &OwnLog, roster: &Roster, gathering: &Gathering) {
    let note = gathering.note(roster);
    let of = log.clone();
    let replaced = match note {
        Ok(note) => tokio::task::spawn_blocking(move || of.replace(&note)).await.unwrap_or(Ok(false)),
        Err(e) => Err(e),
    };
    match replaced {
        Ok(true) => tracing::debug!(log = log.origin(), size = gathering.size, "cosignatures are on the checkpoint"),
        Ok(false) => tracing::debug!(log = log.origin(), size = gathering.size, "the log has moved on"),
        Err(e) => tracing::error!(log = log.origin(), error = %e, "cosignatures could not be published"),
    }
}

fn start(
    running: &mut JoinSet<(usize, String, Result<Came>)>,
    at: usize,
    one: &mut Asked,
    log: &OwnLog,
    gathering: &Gathering,
    connect: &Connect,
    due: u64,
) {
    let peer = match one.peer.clone().map_or_else(|| connect(&one.url), Ok) {
        Ok(peer) => {
            one.peer = Some(peer.clone());
            Ok(peer)
        }
        Err(e) => Err(e),
    };
    let (ask, keys, last, text, size) = (one.ask, one.keys.clone(), one.last, gathering.text.clone(), gathering.size);
    let (reader, hash) = (log.reader().clone(), origin_hash(log.origin()));
    running.spawn(async move {
        let asking = async {
            let peer = peer?;
            match ask {
                Ask::Witness => ask_witness(&peer, &reader, &text, size, last, &keys, due).await,
                Ask::Copy => ask_copy(&peer, &hash, &text, &keys, due).await,
            }
        };
        let late =
            || Err(Error::retry("cosign.late", "the cosigner did not answer in time", "it is asked again later"));
        let came = tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| late());
        (at, text, came)
    });
}

/// Asks the witness at `peer` for lines over the published head (`text`, of `size` entries), a second time where it has cosigned
/// another size than `last`. Only lines by `keys` are taken that verify and are of about now (`due`, Unix seconds).
///
/// # Errors
/// Those of the peer; `cosign.answer` where its answer is of no use; `cosign.ahead` where it names a size the log never had.
pub async fn ask_witness(
    peer: &Peer,
    reader: &LogReader,
    text: &str,
    size: u64,
    last: u64,
    keys: &[CosignerKey],
    due: u64,
) -> Result<Came> {
    let mut old = last.min(size);
    for _ in 0..2 {
        let (source, from) = (reader.clone(), old);
        let proof = tokio::task::spawn_blocking(move || consistency_proof(&source, from, size)).await;
        let proof = proof.map_err(|e| Error::retry("cosign.task", e.to_string(), "it is asked again later"))??;
        // As it is published now; if that is of another head already, the answer is of no use.
        let note = reader.checkpoint_text().and_then(|note| Note::parse(note.as_bytes()).ok());
        let Some(note) = note.filter(|note| note.text() == text) else { return Ok(Came::NotYet) };
        let log = Note::of(text, note.signatures().iter().take(1).cloned().collect())?;
        let body = Request { old, proof, note: log }.to_string().into_bytes();
        let (status, answer) = peer.post("add-checkpoint", body, limit::CHECKPOINT * 2).await?;
        match status.as_u16() {
            200 => {
                let lines = lines_of(text, parse_signatures(&answer)?, keys, due)?;
                return if lines.is_empty() { Err(bad("no line by its key")) } else { Ok(Came::Lines(lines, size)) };
            }
            409 => {
                let named = std::str::from_utf8(&answer).ok().and_then(|t| t.strip_suffix('\n'));
                let named = named.and_then(crate::tlog::decimal).ok_or_else(|| bad("409 without a size"))?;
                if named > size {
                    return Err(Error::isolate(
                        "cosign.ahead",
                        format!("{} says it has cosigned {named} entries of this log, which has {size}", peer.url()),
                        "it lies, or this log has lost what it had: compare with the mirrors («domovoi follow», «domovoi fsck»)",
                    ));
                }
                old = named;
            }
            other => return Err(bad(&format!("status {other}"))),
        }
    }
    Err(bad("409 twice"))
}

/// Reads the copy that a node serves.
async fn ask_copy(peer: &Peer, hash: &str, text: &str, keys: &[CosignerKey], due: u64) -> Result<Came> {
    let Some(bytes) = peer.get(&format!("mirror/{hash}/checkpoint"), limit::CHECKPOINT).await? else {
        return Ok(Came::NotYet);
    };
    let note = Note::parse(&bytes)?;
    if note.text() != text {
        return Ok(Came::NotYet);
    }
    let lines = lines_of(text, note.signatures().to_vec(), keys, due)?;
    Ok(if lines.is_empty() { Came::NotYet } else { Came::Lines(lines, 0) })
}

/// The lines by these keys. Those of others are not looked at; a false one spoils the answer.
fn lines_of(
    text: &str,
    lines: Vec<crate::tlog::note::NoteSignature>,
    keys: &[CosignerKey],
    due: u64,
) -> Result<Vec<Line>> {
    let mut good = Vec::new();
    for line in lines {
        let Some(key) = keys.iter().find(|key| key.made(&line)) else { continue };
        let time = key.time_of_line(text, &line)?;
        if time.abs_diff(due) > TIME_TOLERANCE {
            return Err(bad(&format!("the time of {} is {time}, it is {due} here", key.name())));
        }
        good.push(Line { key: key.clone(), line, time });
    }
    Ok(good)
}

fn bad(what: &str) -> Error {
    Error::isolate("cosign.answer", format!("the cosigner's answer is of no use: {what}"), "ask its operator")
}

/// Doubles with every failure up to [`MAX_BACKOFF`], plus up to a quarter at random.
fn backoff(failures: u32) -> Duration {
    let base = SPACING.saturating_mul(1 << failures.min(9)).min(MAX_BACKOFF);
    base + base.mul_f64(0.25 * f64::from(rand::random::<u16>()) / f64::from(u16::MAX))
}
