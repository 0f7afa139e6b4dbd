//! The map of join links over all regions, and its buckets (docs/protocol.md, "Private check").
//!
//! Whoever asks about one link asks for the whole bucket its digest lies in: all links whose digests begin with the same
//! bits. The bucket's hash is an inner node of the map, so that it proves that it holds all of them and nothing else.

use std::ops::Range;
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::facts::{ChatFacts, ChatStatus};
use super::ids::{ChatNumber, OrgId, RegionCode};
use super::link::LinkDigest;
use super::state::{State, View};
use super::statemap::{Bytes32, EMPTY_ROOT, bit, inner_hash, leaf_hash};
use super::strict::words;
use crate::error::{Error, Result};

const TAG: &[u8] = b"domovoi link leaf v0\n";
/// Fewest links of a bucket, where there are so many.
pub const MIN_LINKS: usize = 128;
/// Longest prefix.
pub const MAX_BITS: u32 = 20;

words!(
    /// How a join link stands in one region's log.
    LinkStanding {
        /// The present link of an official chat whose owner is in good standing.
        Official,
        /// An earlier link of an official chat.
        Rotated,
        /// Of an official chat whose owner is suspended or has no successor yet.
        OwnerSuspended,
        /// Known, ownership in MAX not taken yet.
        Declared,
        /// Suspended.
        Suspended,
        /// Closed.
        Closed,
        /// Replaced by another chat.
        Replaced,
        /// The chat has left for another region's log.
        Moved,
        /// Entered by mistake.
        Void,
    }
);

/// One region's word on a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkClaim {
    /// The region.
    pub region: RegionCode,
    /// The chat that has or had the link.
    pub chat: ChatNumber,
    /// When that log first recorded the chat, Unix seconds.
    pub since: u64,
    /// How the link stands.
    pub standing: LinkStanding,
    /// Who holds the chat; none where it never had an owner.
    pub owner: Option<OrgId>,
}

impl PartialOrd for LinkStanding {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for LinkStanding {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

fn standing_of(state: &State, chat: &ChatFacts, link: LinkDigest) -> LinkStanding {
    match chat.status() {
        ChatStatus::Official if chat.link != Some(link) => LinkStanding::Rotated,
        ChatStatus::Official if !state.is_official(chat) => LinkStanding::OwnerSuspended,
        ChatStatus::Official => LinkStanding::Official,
        ChatStatus::Declared => LinkStanding::Declared,
        ChatStatus::Suspended => LinkStanding::Suspended,
        ChatStatus::Closed => LinkStanding::Closed,
        ChatStatus::Replaced => LinkStanding::Replaced,
        ChatStatus::Moved => LinkStanding::Moved,
        ChatStatus::Void => LinkStanding::Void,
    }
}

fn word(standing: LinkStanding) -> String {
    // A word of a fixed list: there is no other way.
    serde_json::to_value(standing).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What is hashed for a claim, and what a bucket writes of it: `region chat seconds standing owner`, `-` for no owner.
impl std::fmt::Display for LinkClaim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {} ", self.region, self.chat, self.since, word(self.standing))?;
        match &self.owner {
            Some(owner) => write!(f, "{owner}"),
            None => f.write_str("-"),
        }
    }
}

impl FromStr for LinkClaim {
    type Err = Error;
    fn from_str(text: &str) -> Result<LinkClaim> {
        let read = || {
            let mut words = text.split(' ');
            let claim = LinkClaim {
                region: words.next()?.parse().ok()?,
                chat: words.next()?.parse().ok()?,
                since: words.next()?.parse().ok()?,
                standing: serde_json::from_value(words.next()?.into()).ok()?,
                owner: Some(words.next()?).filter(|o| *o != "-").map(str::parse).transpose().ok()?,
            };
            // One spelling for what is hashed.
            (claim.to_string() == text).then_some(claim)
        };
        read().ok_or_else(|| wrong("a claim is not in its one form"))
    }
}

fn wrong(what: &str) -> Error {
    Error::refuse("bucket.form", format!("bucket: {what}"), "do not rely on it; fetch head and bucket again")
}

/// The value of a link's leaf: SHA-256(tag ‖ each claim ‖ 0x0A), sorted.
pub fn link_value(claims: &[LinkClaim]) -> Bytes32 {
    let mut hash = Sha256::new_with_prefix(TAG);
    for claim in claims {
        hash.update(format!("{claim}\n"));
    }
    hash.finalize().into()
}

/// Every region's claims on every link, before they are a map.
#[derive(Debug, Default)]
pub struct Links(Vec<(LinkDigest, LinkClaim)>);

impl Links {
    /// Takes what a region's state says of the links it knows.
    pub fn add(&mut self, state: &State) {
        let region = state.jurisdiction().region;
        for (link, chats) in state.links() {
            for number in chats {
                let Some(chat) = state.chat(number) else { continue };
                let first = state.entry(&super::record::Subject::Chat(number)).and_then(|e| e.history.first());
                let since = first.and_then(|h| state.time_of(h.index)).unwrap_or(0) / 1000;
                let owner = chat.owner().map(|o| state.holder(&o.authority));
                let standing = standing_of(state, chat, link);
                self.put(link, LinkClaim { region, chat: number, since, standing, owner });
            }
        }
    }

    /// Takes one claim.
    pub fn put(&mut self, link: LinkDigest, claim: LinkClaim) {
        self.0.push((link, claim));
    }

    /// The map of all that was added.
    pub fn into_map(mut self) -> LinkMap {
        self.0.par_sort_unstable();
        let claims = self.0;
        let count = claims.chunk_by(|a, b| a.0 == b.0).count();
        let bits = bits_for(&claims);
        let buckets = 1usize << bits;
        // 1 is the root, 2n and 2n + 1 are the halves of n; the buckets are the last row. Each holds two links at least, so
        // that everything above them is an inner node.
        let mut tops = vec![EMPTY_ROOT; 2 * buckets];
        let hash = |number: usize| {
            let of_link = |claims: Vec<LinkClaim>, link: LinkDigest| (link.0, link_value(&claims));
            let leaves: Vec<_> = grouped(&claims[of_bucket(&claims, number, bits)])
                .into_iter()
                .map(|(link, said)| of_link(said, link))
                .collect();
            subtree(&leaves, bits as usize)
        };
        tops[buckets..].par_iter_mut().enumerate().for_each(|(number, top)| *top = hash(number));
        for n in (1..buckets).rev() {
            tops[n] = inner_hash(&tops[2 * n], &tops[2 * n + 1]);
        }
        LinkMap { claims, count, bits, tops }
    }
}

/// Sorted claims, those on one link together.
fn grouped(claims: &[(LinkDigest, LinkClaim)]) -> Vec<(LinkDigest, Vec<LinkClaim>)> {
    let same = claims.chunk_by(|a, b| a.0 == b.0);
    same.map(|said| (said[0].0, said.iter().map(|(_, claim)| claim.clone()).collect())).collect()
}

/// Where a bucket lies in the sorted claims.
fn of_bucket(claims: &[(LinkDigest, LinkClaim)], number: usize, bits: u32) -> Range<usize> {
    let from = claims.partition_point(|(link, _)| number_of(&link.0, bits) < number);
    from..from + claims[from..].partition_point(|(link, _)| number_of(&link.0, bits) == number)
}

/// The largest number of bits for which every bucket holds at least [`MIN_LINKS`].
fn bits_for(claims: &[(LinkDigest, LinkClaim)]) -> u32 {
    let mut held = vec![0usize; 1 << MAX_BITS];
    claims.chunk_by(|a, b| a.0 == b.0).for_each(|said| held[number_of(&said[0].0.0, MAX_BITS)] += 1);
    let mut bits = MAX_BITS;
    while bits > 0 && held.iter().any(|n| *n < MIN_LINKS) {
        held = held.chunks(2).map(|halves| halves.iter().sum()).collect();
        bits -= 1;
    }
    bits
}

/// Number of the bucket of a key: its first bits.
fn number_of(key: &Bytes32, bits: u32) -> usize {
    let first = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    if bits == 0 { 0 } else { (first >> (32 - bits)) as usize }
}

/// The name of the bucket of `link`: its first bits as `0` and `1`, `-` where there are none.
pub fn bucket_name(link: &LinkDigest, bits: u32) -> String {
    match bits {
        0 => "-".to_owned(),
        _ => (0..bits as usize).map(|depth| if bit(&link.0, depth) == 0 { '0' } else { '1' }).collect(),
    }
}

/// The map of all links with their claims, as of one commit of the federation's log.
#[derive(Debug)]
pub struct LinkMap {
    /// Sorted.
    claims: Vec<(LinkDigest, LinkClaim)>,
    count: usize,
    bits: u32,
    /// Hashes of the subtrees from the root to the buckets, as a heap from 1 on.
    tops: Vec<Bytes32>,
}

impl LinkMap {
    /// Its root.
    pub fn root(&self) -> Bytes32 {
        self.tops[1]
    }
    /// Number of links.
    pub fn len(&self) -> usize {
        self.count
    }
    /// True where no link is known.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
    /// Length of the buckets' prefix.
    pub fn bits(&self) -> u32 {
        self.bits
    }
    /// The bucket of that name, if it is one.
    pub fn bucket(&self, name: &str) -> Option<LinkBucket> {
        let number = number_of(&prefix_of(name, self.bits)?, self.bits);
        let at = (1 << self.bits) + number;
        // From the root down: the sibling of each node on the way.
        let siblings = (0..self.bits).rev().map(|up| self.tops[(at >> up) ^ 1]).collect();
        Some(LinkBucket { siblings, links: grouped(&self.claims[of_bucket(&self.claims, number, self.bits)]) })
    }
}

/// The key that begins with the bits of `name` and goes on with zeros.
fn prefix_of(name: &str, bits: u32) -> Option<Bytes32> {
    if bits == 0 {
        return (name == "-").then_some([0; 32]);
    }
    let mut key = [0; 32];
    if name.len() != bits as usize {
        return None;
    }
    for (depth, c) in name.bytes().enumerate() {
        match c {
            b'0' => {}
            b'1' => key[depth / 8] |= 0x80 >> (depth % 8),
            _ => return None,
        }
    }
    Some(key)
}

/// All links under one prefix, and the way from them to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkBucket {
    /// Hashes of the halves not taken, from the root down; as many as the prefix has bits.
    pub siblings: Vec<Bytes32>,
    /// Links, sorted, with their claims, sorted.
    pub links: Vec<(LinkDigest, Vec<LinkClaim>)>,
}

impl LinkBucket {
    /// Verifies that these are all links of the map with this `root` under the first `bits` bits of `link`, and gives what
    /// they say of `link` itself: none where it is proved absent.
    ///
    /// # Errors
    /// `bucket.form`, `bucket.root`.
    pub fn verify(&self, link: &LinkDigest, bits: u32, root: &Bytes32) -> Result<Option<&[LinkClaim]>> {
        if self.siblings.len() != bits as usize || bits > MAX_BITS {
            return Err(wrong("it is not as deep as the committed prefix is long"));
        }
        let number = number_of(&link.0, bits);
        if self.links.iter().any(|(l, _)| number_of(&l.0, bits) != number) {
            return Err(wrong("a link of another bucket lies in it"));
        }
        if !self.links.is_sorted_by(|a, b| a.0 < b.0) || !self.links.iter().all(|(_, c)| c.is_sorted_by(|a, b| a < b)) {
            return Err(wrong("links or claims are not in order, or there twice"));
        }
        if self.links.iter().any(|(_, claims)| claims.is_empty()) {
            return Err(wrong("a link without a claim"));
        }
        let leaves: Vec<(Bytes32, Bytes32)> = self.links.iter().map(|(l, c)| (l.0, link_value(c))).collect();
        let up = |below: Bytes32, (depth, sibling): (usize, &Bytes32)| match bit(&link.0, depth) {
            0 => inner_hash(&below, sibling),
            _ => inner_hash(sibling, &below),
        };
        if self.siblings.iter().enumerate().rev().fold(subtree(&leaves, bits as usize), up) != *root {
            return Err(Error::refuse(
                "bucket.root",
                "the bucket does not lead to the committed root of the links",
                "do not rely on it; fetch head and bucket again",
            ));
        }
        Ok(self.links.binary_search_by_key(link, |(l, _)| *l).ok().map(|at| self.links[at].1.as_slice()))
    }
}

/// Hash of the subtree at `depth` of sorted, distinct leaves that all lie in it. At most 256 calls deep.
fn subtree(leaves: &[(Bytes32, Bytes32)], depth: usize) -> Bytes32 {
    match leaves {
        [] => EMPTY_ROOT,
        [(key, value)] => leaf_hash(key, value),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| bit(key, depth) == 0));
            inner_hash(&subtree(left, depth + 1), &subtree(right, depth + 1))
        }
    }
}

#[cfg(test)]
#[path = "link_map_tests.rs"]
mod tests;
