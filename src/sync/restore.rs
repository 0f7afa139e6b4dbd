//! A lost node's log, made anew from the copies that others keep (docs/protocol.md, "The log never forks").

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::charters::fetch_of_log;
use super::own_head::{Answer, Keeper, ask, fork};
use super::rebuild::{Ahead, Rebuild, Watch, marker};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::roster::Roster;
use crate::node::charters::keep_latest;
use crate::node::cosign::CosignedView;
use crate::node::layout::Layout;
use crate::storage::durable::{create_dir, remove, sync_dir, write_atomic};
use crate::storage::format;
use crate::tlog::Hash;
use crate::tlog::checkpoint::VerifiedCheckpoint;

/// Longest wait for one node's charters, all versions together.
const CHARTERS: Duration = Duration::from_secs(60);

/// What those who were asked have.
pub struct Survey {
    /// The charters, from the pinned one on.
    pub chain: CharterChain,
    /// Their bytes.
    bytes: Vec<Vec<u8>>,
    /// Heads that the log's key signed, with who shows them, the longest first.
    pub heads: Vec<(Keeper, VerifiedCheckpoint)>,
    /// Who shows none, and why.
    pub silent: Vec<String>,
}

/// Asks for charters and heads of the log `origin`. Nothing is written.
///
/// # Errors
/// `restore.charter` where nobody has the pinned charter, `charter.conflict` where two have different charters of one version,
/// `charter.origin`, `restore.nobody` where nobody has a copy.
pub async fn survey(keepers: &[Keeper], origin: &str, pin: &str) -> Result<Survey> {
    let mut longest: Option<(CharterChain, Vec<Vec<u8>>)> = None;
    let mut silent = Vec::new();
    let copies: Vec<Keeper> = keepers.iter().filter(|k| k.has_copy()).cloned().collect();
    for (keeper, chain) in copies.iter().zip(chains(&copies, origin, pin).await) {
        match chain {
            Ok(Some((chain, bytes))) => match &mut longest {
                None => longest = Some((chain, bytes)),
                Some((known, _)) if agree(known, &chain)? && chain.versions().len() <= known.versions().len() => {}
                Some(known) => *known = (chain, bytes),
            },
            Ok(None) => silent.push(format!("{}: does not have the pinned charter", keeper.name)),
            Err(e) => silent.push(format!("{}: {e}", keeper.name)),
        }
    }
    let Some((chain, bytes)) = longest else {
        return Err(Error::retry(
            "restore.charter",
            format!("nobody serves the charter {pin} for the log «{origin}» ({})", silent.join("; ")),
            "check the SHA-256 and the origin; name nodes that follow this log with --peer",
        ));
    };
    let charters = chain.of_log(origin)?;
    let mut heads = Vec::new();
    for (keeper, answer) in keepers.iter().zip(ask(keepers, &charters).await) {
        match answer {
            Answer::Head(head) => heads.push((keeper.clone(), *head)),
            Answer::Nothing if !keeper.has_copy() => {}
            Answer::Nothing => silent.push(format!("{}: keeps no copy of this log", keeper.name)),
            Answer::Claim(e) | Answer::Silent(e) => silent.push(format!("{}: {}", keeper.name, e.detail())),
        }
    }
    heads.sort_by_key(|(_, head)| std::cmp::Reverse(head.checkpoint().size));
    match heads.is_empty() {
        false => Ok(Survey { chain, bytes, heads, silent }),
        true => Err(Error::retry(
            "restore.nobody",
            format!("nobody shows a copy of the log «{origin}» that its key signed ({})", silent.join("; ")),
            "start the nodes that follow it, or name others with --peer",
        )),
    }
}

/// The charters that each of them has, if it has the pinned one, and their bytes.
type Chain = Option<(CharterChain, Vec<Vec<u8>>)>;

/// Asks all of them at once for the charters of the log; the answers stand in their order. Who stalls holds up nobody.
async fn chains(keepers: &[Keeper], origin: &str, pin: &str) -> Vec<Result<Chain>> {
    let mut running = JoinSet::new();
    for (place, keeper) in keepers.iter().enumerate() {
        let (peer, origin, pin) = (keeper.peer.clone(), origin.to_owned(), pin.to_owned());
        running.spawn(async move {
            let late = |_| {
                Err(Error::retry(
                    "peer.unreachable",
                    format!("{} does not give its charters in time", peer.url()),
                    "check the address and that the node is running",
                ))
            };
            let found = timeout(CHARTERS, fetch_of_log(&peer, &origin, &pin)).await.unwrap_or_else(late);
            (place, found)
        });
    }
    let mut found: Vec<Result<Chain>> = keepers.iter().map(|_| Ok(None)).collect();
    while let Some(done) = running.join_next().await {
        // A task that panicked has given nothing.
        if let Ok((place, chain)) = done {
            found[place] = chain;
        }
    }
    found
}

/// True where no version of the one contradicts the other.
fn agree(one: &CharterChain, other: &CharterChain) -> Result<bool> {
    for charter in other.versions() {
        let version = charter.charter().version;
        if one.version(version).is_some_and(|held| held.sha256() != charter.sha256()) {
            return Err(Error::refuse(
                "charter.conflict",
                format!("two nodes have different charters of version {version}, both signed"),
                "the federation's root keys signed two: ask its office which one holds",
            ));
        }
    }
    Ok(true)
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// Entries.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
    /// Root of the state map at its last commit.
    pub state_root: Option<[u8; 32]>,
    /// Whose copy it was taken from.
    pub from: String,
    /// A longer head that the key signed and nobody had the entries of.
    pub ahead: Option<u64>,
    /// Who has cosigned the head, of those whom the charter names.
    pub cosigned: CosignedView,
}

/// The lines of all who show this very head, counted by the charter in force.
fn cosigned(survey: &Survey, origin: &str, head: &VerifiedCheckpoint) -> CosignedView {
    let notes = survey.heads.iter().map(|(_, other)| other.note()).filter(|note| note.text() == head.note().text());
    CosignedView::of_notes(&Roster::of(survey.chain.latest(), origin), &notes.collect::<Vec<_>>())
}

/// Makes the log anew in `layout`, a directory without one, from what was surveyed: the longest head whose entries somebody
/// has, which must contain all shorter ones. A run that was interrupted goes on where it stopped. `watch` sees the log while
/// it grows.
///
/// # Errors
/// `restore.entries` where nobody gave any log; `recovery.fork` where two signed heads contradict each other; those of a
/// follower's round.
pub async fn restore(layout: &Layout, origin: &str, survey: &Survey, mut watch: impl FnMut(Watch)) -> Result<Restored> {
    create_dir(layout.data())?;
    write_atomic(&marker(layout.data()), origin.as_bytes())?;
    let mut kept: Option<CharterChain> = None;
    for bytes in &survey.bytes {
        match &mut kept {
            None => {
                write_atomic(&layout.charter(), bytes)?;
                kept = Some(CharterChain::pinned(bytes)?);
            }
            Some(chain) => {
                chain.advance(bytes)?;
                keep_latest(layout, chain, bytes)?;
            }
        }
    }
    let at = (layout.clone(), origin.to_owned());
    let opened = tokio::task::spawn_blocking(move || Rebuild::open(&at.0, &at.1, &mut |_, _| {}));
    let mut rebuild = opened.await.map_err(|e| Error::retry("sync.task", e.to_string(), "try again"))??;
    watch(rebuild.watch());
    let (mut taken, mut refused) = (None, None);
    for (_, head) in &survey.heads {
        let size = head.checkpoint().size;
        if size < rebuild.published() {
            break;
        }
        if size < rebuild.view.reader.size() {
            rebuild = rebuild.anew(origin)?;
            watch(rebuild.watch());
        }
        let holds =
            |(keeper, head): &&(Keeper, VerifiedCheckpoint)| keeper.has_copy() && head.checkpoint().size >= size;
        let holders: Vec<&Keeper> = survey.heads.iter().filter(holds).map(|(keeper, _)| keeper).collect();
        match rebuild.take_from(&holders, head).await {
            Ok(from) => {
                taken = Some((head, from));
                break;
            }
            Err(e) => refused = Some(e),
        }
    }
    let none = || Error::retry("restore.entries", "nobody gave the log's entries", "ask more nodes");
    let Some((head, from)) = taken else { return Err(refused.unwrap_or_else(none)) };
    for (keeper, other) in survey.heads.iter().filter(|(_, h)| h.checkpoint().size <= head.checkpoint().size) {
        if !rebuild.contains(other)? {
            let (size, root) = (other.checkpoint().size, other.checkpoint().root);
            return Err(fork(format!(
                "{} shows a checkpoint of {size} entries, root {root}, that is no part of the one of {} entries; the log's key signed both",
                keeper.name,
                head.checkpoint().size
            )));
        }
    }
    let highest = &survey.heads[0].1;
    let ahead = (highest.checkpoint().size > head.checkpoint().size).then_some(highest);
    if let Some(ahead) = ahead {
        Ahead(layout).keep(ahead)?;
    }
    let (size, root) = rebuild.view.reader.head();
    let state_root = rebuild.view.head().map(|h| h.root);
    rebuild.finish()?;
    let charters = survey.chain.of_log(origin)?;
    write_atomic(&layout.vkey(), format!("{}\n", charters.latest().log_key).as_bytes())?;
    write_atomic(&layout.origin_file(), format!("{origin}\n").as_bytes())?;
    // Only now it is a node's directory.
    format::create(layout.data())?;
    remove(&marker(layout.data()))?;
    sync_dir(layout.data())?;
    let cosigned = cosigned(survey, origin, head);
    Ok(Restored { size, root, state_root, from, ahead: ahead.map(|h| h.checkpoint().size), cosigned })
}
