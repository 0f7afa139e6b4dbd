//! Walking the charter chain forward with what a peer serves. A peer is only believed what the root keys have signed.

use super::client::{Peer, limit};
use crate::error::{Action, Error, Result};
use crate::federation::chain::CharterChain;
use crate::node::layout::Layout;
use crate::storage::durable::read_optional;

/// Most versions taken in one go.
const MAX_STEPS: usize = 64;

/// The pinned charter that a node serves: its exact bytes.
pub async fn fetch_pinned(peer: &Peer) -> Result<Vec<u8>> {
    peer.get("api/v1/federation/charter", limit::CHARTER).await?.ok_or_else(|| {
        Error::refuse("peer.charter", format!("{} serves no charter", peer.url()), "is this a domovoi node?")
    })
}

/// Takes the versions after the newest of `chain`, as far as the peer has them. Gives their bytes, oldest first.
pub async fn walk(peer: &Peer, chain: &mut CharterChain) -> Result<Vec<Vec<u8>>> {
    walk_under(peer, chain, "api/v1/federation/charters").await
}

/// Takes the versions after the newest of `chain` that the node has already, its own or with a log that it follows. What does
/// not follow there is of another chain and is passed over. Gives their bytes, oldest first.
///
/// # Errors
/// Those of the disk.
pub fn walk_kept(data: &Layout, chain: &mut CharterChain) -> Result<Vec<Vec<u8>>> {
    let mut folders = vec![data.charters(), data.federation().charters()];
    let mirrors = std::fs::read_dir(data.data().join("mirrors")).into_iter().flatten().flatten();
    folders.extend(mirrors.map(|m| Layout::new(&m.path()).charters()));
    let mut taken = Vec::new();
    for _ in 0..MAX_STEPS {
        let name = format!("{}.json", chain.latest().charter().version + 1);
        let kept = folders.iter().filter_map(|f| read_optional(&f.join(&name), limit::CHARTER as u64).ok().flatten());
        let mut kept = kept.filter(|bytes| chain.may_follow(bytes)).collect::<Vec<_>>().into_iter();
        let Some(bytes) = kept.find(|bytes| chain.advance(bytes).is_ok_and(|new| new)) else { break };
        taken.push(bytes);
    }
    Ok(taken)
}

/// [`walk`], over the charter of the federation whose log the peer writes.
pub async fn walk_federation(peer: &Peer, chain: &mut CharterChain) -> Result<()> {
    walk_under(peer, chain, "api/v1/verify/charters").await.map(|_| ())
}

async fn walk_under(peer: &Peer, chain: &mut CharterChain, path: &str) -> Result<Vec<Vec<u8>>> {
    walk_asking(peer, chain, path, "").await
}

/// The charters under which the log `origin` is verified, as a peer keeps them beside its copy of the log or serves them as its
/// own: the pinned one and those after it, oldest first. None where the peer has not the one that is pinned.
///
/// # Errors
/// Those of the peer; those of a charter that does not follow.
pub async fn fetch_of_log(peer: &Peer, origin: &str, pin: &str) -> Result<Option<(CharterChain, Vec<Vec<u8>>)>> {
    let mut query = peer.address("")?;
    query.query_pairs_mut().append_pair("log", origin);
    let query = format!("?{}", query.query().unwrap_or_default());
    for query in [query.as_str(), ""] {
        let path = format!("api/v1/federation/charter{query}");
        let Some(bytes) = peer.get(&path, limit::CHARTER).await? else { continue };
        let Ok(mut chain) = CharterChain::pinned(&bytes) else { continue };
        if chain.first().sha256().to_string() == pin {
            let later = walk_asking(peer, &mut chain, "api/v1/federation/charters", query).await?;
            return Ok(Some((chain, [vec![bytes], later].concat())));
        }
    }
    Ok(None)
}

async fn walk_asking(peer: &Peer, chain: &mut CharterChain, path: &str, query: &str) -> Result<Vec<Vec<u8>>> {
    let mut taken = Vec::new();
    for _ in 0..MAX_STEPS {
        let next = chain.latest().charter().version + 1;
        let Some(bytes) = peer.get(&format!("{path}/{next}{query}"), limit::CHARTER).await? else { break };
        match chain.advance(&bytes).map_err(|e| e.with_action(Action::Isolate))? {
            true => taken.push(bytes),
            false => break,
        }
    }
    Ok(taken)
}

/// The whole chain a node serves, from the charter it pins.
pub async fn fetch_chain(peer: &Peer) -> Result<CharterChain> {
    let mut chain = CharterChain::pinned(&fetch_pinned(peer).await?)?;
    walk(peer, &mut chain).await?;
    Ok(chain)
}
