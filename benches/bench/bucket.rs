//! What a private check costs: the largest bucket of a federation with a million chats.

use domovoi::registry::bucket_file::{BucketFile, FederationHead};
use domovoi::registry::ids::{ChatNumber, RecordId, RegionCode};
use domovoi::registry::link::LinkDigest;
use domovoi::registry::link_map::{LinkClaim, LinkStanding, Links, MIN_LINKS, bucket_name};
use domovoi::registry::node_record::{FederationCommit, NodeRecord};
use domovoi::registry::state_proof::Quoted;
use domovoi::registry::strict::List;
use domovoi::registry::text::Millis;
use domovoi::tlog::Hash;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;

use crate::{Measure, Outcome};

/// Hashes of a path in a log of a million entries.
const PATH: usize = 20;

/// Bytes of the largest bucket of `chats` chats, each with a link of its own. Log, keys and links are generated; path and
/// previous commit are hashes of nothing, as many as a log of a million entries has.
pub fn bytes(chats: u64) -> Outcome<Measure> {
    let mut links = Links::default();
    let regions: Vec<RegionCode> = (1..=95).filter_map(|code| RegionCode::new(code).ok()).collect();
    for n in 0..chats {
        let of = n % regions.len() as u64;
        let (region, owner) = (regions[of as usize], 102_770_000_000 + of);
        let claim = LinkClaim {
            region,
            chat: ChatNumber::derive(region, &leaf_hash(&n.to_be_bytes()).0),
            since: 1_790_000_000 + n,
            standing: LinkStanding::Official,
            owner: Some(format!("ogrn:{owner}{}", owner % 11 % 10).parse()?),
        };
        links.put(LinkDigest::of_link(&format!("https://max.ru/join/{n}")), claim);
    }
    let map = links.into_map();
    let (origin, key) = ("federation.example/log", SigningKey::from_bytes(&[1; 32]));
    let filler = |n: usize| RecordId(leaf_hash(&n.to_be_bytes()).0);
    let commit = FederationCommit {
        v: 0,
        log: origin.into(),
        size: 1_000_000,
        time: Millis::new(1_790_000_000_000)?,
        previous: Some(filler(0)),
        charter: 17,
        regions: filler(1),
        oldest: Some(Millis::new(1_790_000_000_000)?),
        missing: List(Vec::new()),
        root: filler(2),
        links: RecordId(map.root()),
        count: map.len() as u64,
        bits: map.bits(),
    };
    let checkpoint = Checkpoint { origin: origin.into(), size: commit.size, root: Hash([7; 32]) };
    let head = FederationHead {
        size: commit.size,
        checkpoint: Quoted::new(checkpoint.sign(&NoteSigner::new(origin, key.clone())?)?.as_bytes())?,
        commit: Quoted::new(&NodeRecord::Federation(commit).sign(&key)?.0)?,
        path: List((0..PATH).map(filler).collect()),
    };
    let (mut largest, mut fewest) = (0, usize::MAX);
    for number in 0..1u32 << map.bits() {
        // A digest that begins with the bucket's bits.
        let mut digest = LinkDigest([0; 32]);
        digest.0[..4].copy_from_slice(&(u64::from(number) << (32 - map.bits()) as u64).to_be_bytes()[4..]);
        let name = bucket_name(&digest, map.bits());
        let bucket = map.bucket(&name).ok_or("no bucket")?;
        bucket.verify(&digest, map.bits(), &map.root())?;
        fewest = fewest.min(bucket.links.len());
        largest = largest.max(BucketFile::encode(&head, &map, &name).ok_or("no bucket")?.len());
    }
    if chats >= 256 && fewest < MIN_LINKS {
        return Err(format!("a bucket holds {fewest} links").into());
    }
    eprintln!("bucket_bytes: {chats} links, {} bits, at least {fewest} links a bucket", map.bits());
    Ok(Measure::new("bucket_bytes", largest as f64, "bytes (largest bucket)", 40_000.0, "40 KB"))
}
