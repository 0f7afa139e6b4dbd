//! A bucket as it is sent: with everything that its answer needs (docs/protocol.md, "Private check").
//!
//! Head and bucket are decoded and bounded here, verified under the federation's keys alone, and turned into an answer
//! without another question to anybody.

use serde::{Deserialize, Serialize};

use super::ids::{ChatNumber, OrgId, RecordId, RegionCode};
use super::jurisdiction::FederationKeys;
use super::link::LinkDigest;
use super::link_map::{LinkBucket, LinkClaim, LinkMap, LinkStanding, MAX_BITS, MIN_LINKS, bucket_name};
use super::node_record::{DecodedNodeRecord, FederationCommit, NodeRecord};
use super::state_proof::Quoted;
use super::strict::{List, from_object, number, object};
use crate::error::{Error, Result};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::tree::verify_inclusion;
use crate::tlog::{Hash, leaf_hash};

/// Largest bucket a client reads, bytes.
pub const MAX_BUCKET: usize = 1 << 20;
/// Buckets are padded to a multiple of this, bytes.
pub const SIZE_CLASS: usize = 4096;
/// Most links of a bucket.
const MAX_LINKS: usize = 16_384;

/// The signed head of the federation's log: its checkpoint and the commit it ends at. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationHead {
    /// Size of the tree the checkpoint is of.
    #[serde(deserialize_with = "number")]
    pub size: u64,
    /// The signed checkpoint.
    pub checkpoint: Quoted,
    /// The `federation.committed` entry at index size − 1.
    pub commit: Quoted,
    /// Path from that entry to the checkpoint's root.
    pub path: List<RecordId, 64>,
}

fn wrong(what: &str) -> Error {
    Error::refuse("bucket.head", format!("bucket: {what}"), "do not rely on it; fetch head and bucket again")
}

fn malformed(what: &str) -> Error {
    Error::refuse("bucket.form", format!("bucket: {what}"), "do not rely on it; fetch head and bucket again")
}

impl FederationHead {
    /// Reads one.
    ///
    /// # Errors
    /// `bucket.head`.
    pub fn decode(json: &[u8]) -> Result<FederationHead> {
        from_object(json).map_err(|e| wrong(&format!("the head: {e}")))
    }

    /// Verifies that the federation's log ends at this commit.
    ///
    /// # Errors
    /// Those of checkpoint, envelope, commit and path; `bucket.head` where they do not belong together.
    pub fn verify(&self, log: &FederationKeys) -> Result<FederationCommit> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), &log.log_key, &log.origin)?;
        let head = checkpoint.checkpoint();
        let entry = DecodedNodeRecord::decode(self.commit.as_bytes())?.verify(&log.commit_key)?;
        let NodeRecord::Federation(commit) = entry.record else { return Err(wrong("the last entry is no commit")) };
        if head.size != self.size || commit.size != self.size || *commit.log != *log.origin {
            return Err(wrong("checkpoint and commit are not of one log at one size"));
        }
        let last = self.size.checked_sub(1).ok_or_else(|| wrong("the log is empty"))?;
        let path: Vec<Hash> = self.path.0.iter().map(|h| Hash(h.0)).collect();
        verify_inclusion(leaf_hash(self.commit.as_bytes()), last, self.size, &path, head.root)?;
        if commit.bits > MAX_BITS || (commit.bits > 0 && commit.count >> commit.bits < MIN_LINKS as u64) {
            return Err(wrong("the prefix is longer than the number of links allows: asking would tell too much"));
        }
        Ok(commit)
    }
}

/// A bucket with the head it is of. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketFile {
    /// What is signed.
    #[serde(deserialize_with = "object")]
    pub head: FederationHead,
    /// Hashes of the halves not taken, from the root down.
    pub siblings: List<RecordId, { MAX_BITS as usize }>,
    /// Owners that claims name by position.
    pub owners: List<OrgId, MAX_LINKS>,
    /// One line a link: digest, then claims.
    pub links: List<String, MAX_LINKS>,
    /// Blanks up to the size class.
    pub pad: String,
}

impl BucketFile {
    /// The bytes of the bucket called `name`, padded; none where there is no such bucket.
    pub fn encode(head: &FederationHead, map: &LinkMap, name: &str) -> Option<Vec<u8>> {
        let bucket = map.bucket(name)?;
        let mut owners: Vec<OrgId> = bucket.links.iter().flat_map(|(_, c)| c).filter_map(|c| c.owner.clone()).collect();
        owners.sort();
        owners.dedup();
        let line = |(link, claims): &(LinkDigest, Vec<LinkClaim>)| {
            let mut line = data_encoding::BASE64URL_NOPAD.encode(&link.0);
            for claim in claims {
                let at = claim.owner.as_ref().and_then(|o| owners.binary_search(o).ok());
                let whole = claim.to_string();
                let facts = whole.rsplit_once(' ').map_or("", |(facts, _)| facts);
                line.push_str(&format!(" {facts} {}", at.map_or("-".to_owned(), |at| at.to_string())));
            }
            line
        };
        let links = bucket.links.iter().map(line).collect();
        let mut file = BucketFile {
            head: head.clone(),
            siblings: List(bucket.siblings.into_iter().map(RecordId).collect()),
            owners: List(owners),
            links: List(links),
            pad: String::new(),
        };
        // Strings and lists written to memory: no way to fail.
        let bare = serde_json::to_vec(&file).ok()?.len();
        file.pad = " ".repeat(bare.next_multiple_of(SIZE_CLASS) - bare);
        serde_json::to_vec(&file).ok()
    }

    /// Reads one.
    ///
    /// # Errors
    /// `bucket.form`.
    pub fn decode(json: &[u8]) -> Result<BucketFile> {
        if json.len() > MAX_BUCKET {
            return Err(malformed("it is larger than 1 MiB"));
        }
        let file: BucketFile = from_object(json).map_err(|e| malformed(&e.to_string()))?;
        match file.pad.bytes().all(|b| b == b' ') {
            true => Ok(file),
            false => Err(malformed("it is padded with something else than blanks")),
        }
    }

    fn bucket(&self) -> Result<LinkBucket> {
        let read = |line: &String| {
            let mut words = line.split(' ');
            let digest = data_encoding::BASE64URL_NOPAD.decode(words.next()?.as_bytes()).ok()?;
            let link = LinkDigest(digest.try_into().ok()?);
            let rest: Vec<&str> = words.collect();
            let claim = |words: &[&str]| {
                let [facts @ .., at] = words else { return None };
                let owner = match *at {
                    "-" => "-",
                    // One spelling: written again it must be the same.
                    at => self.owners.0.get(at.parse::<usize>().ok().filter(|n| n.to_string() == at)?)?.as_str(),
                };
                format!("{} {owner}", facts.join(" ")).parse::<LinkClaim>().ok()
            };
            Some((link, rest.chunks(5).map(claim).collect::<Option<Vec<_>>>()?))
        };
        let links: Option<Vec<_>> = self.links.0.iter().map(read).collect();
        let links = links.ok_or_else(|| malformed("a line of a link is not in its form"))?;
        Ok(LinkBucket { siblings: self.siblings.0.iter().map(|s| s.0).collect(), links })
    }

    /// Verifies everything and gives the answer about `link`. `now` in Unix milliseconds.
    ///
    /// # Errors
    /// Those of [`FederationHead::verify`]; `bucket.form`, `bucket.root`.
    pub fn answer(&self, log: &FederationKeys, link: &LinkDigest, now: u64) -> Result<LinkAnswer> {
        let commit = self.head.verify(log)?;
        let bucket = self.bucket()?;
        let claims = bucket.verify(link, commit.bits, &commit.links.0)?;
        Ok(LinkAnswer::of(claims.unwrap_or_default(), &commit, log, now))
    }
}

/// The name of the bucket to ask for, by a head that verifies.
///
/// # Errors
/// Those of [`FederationHead::verify`].
pub fn bucket_to_ask(head: &FederationHead, log: &FederationKeys, link: &LinkDigest) -> Result<String> {
    head.verify(log).map(|commit| bucket_name(link, commit.bits))
}

/// What may be said of something that no covered region has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// `not_registered` only where every region is covered and none too long ago; else `region_not_connected` or `stale`.
    pub state: &'static str,
    /// Everything recorded up to this moment is covered, Unix milliseconds.
    pub covered: u64,
    /// True where that is longer ago than the charter allows.
    pub stale: bool,
    /// Regions that are not covered.
    pub missing: Vec<RegionCode>,
}

impl Unknown {
    /// By a verified commit.
    pub(super) fn of(commit: &FederationCommit, log: &FederationKeys, now: u64) -> Unknown {
        let covered = commit.oldest.map_or(0, |o| o.get());
        let stale = now.saturating_sub(covered) > log.limit_ms();
        let state = match commit.missing.0.is_empty() {
            false => "region_not_connected",
            true if stale => "stale",
            true => "not_registered",
        };
        Unknown { state, covered, stale, missing: commit.missing.0.clone() }
    }
}

/// What the federation's log proves about one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAnswer {
    /// One of the states of the answers in the protocol.
    pub state: &'static str,
    /// The claim that stands.
    pub claim: Option<LinkClaim>,
    /// Claims of other chats; they change nothing about the one that stands.
    pub disputed_by: Vec<LinkClaim>,
    /// Everything recorded up to this moment is covered, Unix milliseconds.
    pub covered: u64,
    /// True where that is longer ago than the charter allows.
    pub stale: bool,
    /// Regions that are not covered.
    pub missing: Vec<RegionCode>,
    /// True where a messenger may show its badge.
    pub badge: bool,
}

impl LinkAnswer {
    fn of(claims: &[LinkClaim], commit: &FederationCommit, log: &FederationKeys, now: u64) -> LinkAnswer {
        let unknown = Unknown::of(commit, log, now);
        let fresh = now.saturating_sub(commit.time.get()) <= log.limit_ms();
        // Whoever was there first stands, among those in force before those that are not; a transferred chat counts from its
        // first log on.
        let since = |chat: ChatNumber| claims.iter().filter(|c| c.chat == chat).map(|c| c.since).min();
        let best = claims
            .iter()
            .filter(|c| c.standing != LinkStanding::Void)
            .min_by_key(|c| (rank(c.standing), since(c.chat), c.chat, c.region));
        let others = best.into_iter().flat_map(|best| claims.iter().filter(|c| c.chat != best.chat));
        let state = match best.map(|c| c.standing) {
            Some(LinkStanding::Official) => "official",
            Some(LinkStanding::OwnerSuspended | LinkStanding::Suspended) => "suspended",
            Some(LinkStanding::Declared) => "pending_handover",
            Some(LinkStanding::Rotated) => "link_rotated",
            Some(LinkStanding::Moved) => "transferred",
            Some(LinkStanding::Replaced) => "superseded",
            Some(LinkStanding::Closed | LinkStanding::Void) => "closed",
            None => unknown.state,
        };
        LinkAnswer {
            state,
            badge: state == "official" && fresh,
            claim: best.cloned(),
            disputed_by: others.filter(|c| c.standing != LinkStanding::Void).cloned().collect(),
            covered: unknown.covered,
            stale: unknown.stale,
            missing: unknown.missing,
        }
    }
}

fn rank(standing: LinkStanding) -> u8 {
    match standing {
        LinkStanding::Official | LinkStanding::OwnerSuspended | LinkStanding::Suspended => 0,
        LinkStanding::Declared => 1,
        LinkStanding::Rotated => 2,
        LinkStanding::Moved => 3,
        LinkStanding::Replaced => 4,
        LinkStanding::Closed => 5,
        LinkStanding::Void => 6,
    }
}
