//! What the ministry's node does at each step of the federation's log, with a million chats in 89 regions, and what the map of
//! a state needs in memory. Keys, values and claims are hashes of numbers.

use domovoi::registry::ids::{ChatNumber, RegionCode};
use domovoi::registry::link::LinkDigest;
use domovoi::registry::link_map::{LinkClaim, LinkStanding, Links};
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::union_map::Union;
use domovoi::tlog::leaf_hash;

use crate::{Measure, Outcome, REPEATS, median, timed};

/// Leaves of a region's map for each chat: chat, link, building.
const LEAVES: usize = 3;
/// Two intervals may pass between a change in a region and the commit that covers it. The follower needs one, the wait for
/// the next step half a one; with an interval of a minute the other half is left for the step itself.
const LEFT: f64 = 30.0;

/// Resident memory of this process at its most, MB.
fn peak() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("this system does not say the peak")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
}

fn regions() -> Vec<RegionCode> {
    (1..=95).filter_map(|code| RegionCode::new(code).ok()).take(89).collect()
}

fn claims(chats: usize, regions: &[RegionCode]) -> Outcome<Vec<(LinkDigest, LinkClaim)>> {
    let claim = |n: usize| {
        let (of, at) = (n % regions.len(), n as u64);
        let owner = 102_770_000_000 + of as u64;
        let claim = LinkClaim {
            region: regions[of],
            chat: ChatNumber::derive(regions[of], &leaf_hash(&at.to_be_bytes()).0),
            since: 1_790_000_000 + at,
            standing: LinkStanding::Official,
            owner: Some(format!("ogrn:{owner}{}", owner % 11 % 10).parse()?),
        };
        Ok((LinkDigest::of_link(&format!("https://max.ru/join/{n}")), claim))
    };
    (0..chats).map(claim).collect()
}

/// Both maps of a step, from the regions' maps and claims: the time between reading the regions and signing.
pub fn step(chats: usize) -> Outcome<Measure> {
    let regions = regions();
    let each = chats / regions.len();
    let leaf = |of: usize, n: usize| (map_key(&format!("leaf:{of}/{n}")), leaf_hash(&n.to_be_bytes()).0);
    let maps: Vec<StateMap> = (0..regions.len()).map(|of| (0..each * LEAVES).map(|n| leaf(of, n)).collect()).collect();
    let claims = claims(chats, &regions)?;
    let before = peak()?;
    let mut values = Vec::new();
    for _ in 0..REPEATS {
        let (took, count) = timed(|| {
            let (mut union, mut links) = (Union::default(), Links::default());
            regions.iter().zip(&maps).for_each(|(region, map)| union.add(*region, map));
            claims.iter().for_each(|(link, claim)| links.put(*link, claim.clone()));
            let mut union = union.into_map();
            union.root();
            (union.len(), links.into_map().len())
        });
        if count != (each * regions.len() * LEAVES, chats) {
            return Err(format!("the maps hold {count:?}").into());
        }
        values.push(took);
    }
    eprintln!("federation_step: peak memory rose by {:.0} MB over the regions' own", peak()? - before);
    let against = format!("half an interval of a minute; {chats} chats, {LEAVES} leaves each, 89 regions");
    Ok(Measure::new("federation_step", median(values), "s (lower is better)", LEFT, against))
}

/// Peak memory of a process that holds a map of `leaves`.
pub fn memory(leaves: usize) -> Outcome<Measure> {
    let peak = crate::again(&["--map", &leaves.to_string()])?.trim().parse()?;
    let against = format!("1 GB; peak resident memory of a process that builds and hashes a map of {leaves} leaves");
    Ok(Measure::new("map_memory", peak, "MB (lower is better)", 1000.0, against))
}

/// The process of [`memory`]: leaves come one by one, as from a log. Says its own peak, in MB.
pub fn memory_alone(leaves: usize) -> Outcome<()> {
    let mut map = StateMap::new();
    for n in 0..leaves {
        map.set(map_key(&n.to_string()), leaf_hash(&n.to_be_bytes()).0);
        if n % 100_000 == 0 {
            map.root();
        }
    }
    map.root();
    println!("{:.0}", peak()?);
    Ok(())
}
