//! One step of the federation's log, as a pure function of what the regions say (docs/protocol.md, "Federation log"):
//! [`Gathering`] takes the regions in, [`Together`] is their maps, [`Step`] the two entries that commit to them.

use super::ids::{RecordId, RegionCode};
use super::link_map::{LinkMap, Links, MAX_BITS, MIN_LINKS};
use super::node_record::{FederationCommit, FederationRegions, RegionHead};
use super::record::RECORD_VERSION;
use super::state::{State, View};
use super::statemap::StateMap;
use super::strict::List;
use super::text::Millis;
use super::union_map::Union;
use crate::error::{Error, Result};

/// What a charter says of the federation's log.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Version of the charter.
    pub charter: u64,
    /// Its regions, sorted.
    pub regions: Vec<RegionCode>,
    /// Hours after which what a region said is stale.
    pub staleness_hours: u32,
}

/// Regions, taken in one after another.
#[derive(Debug, Default)]
pub struct Gathering {
    heads: Vec<RegionHead>,
    union: Union,
    links: Links,
}

impl Gathering {
    /// Takes in what a region's log says at one commit; `map` is the map of that state. `seen`: when its node last answered
    /// and all verified, Unix milliseconds. A log without a commit says nothing and is not covered. Each region once.
    ///
    /// # Errors
    /// `time.millis`.
    pub fn add(&mut self, seen: u64, map: &StateMap, state: &State) -> Result<()> {
        let Some(head) = state.head() else { return Ok(()) };
        let region = state.jurisdiction().region;
        let (time, seen) = (Millis::new(head.time)?, Millis::new(seen.max(head.time))?);
        self.heads.push(RegionHead { region, size: state.size(), root: RecordId(head.root), time, seen });
        self.union.add(region, map);
        self.links.add(state);
        Ok(())
    }

    /// Computes the maps: seconds of work where a million chats are.
    pub fn finish(mut self) -> Together {
        self.heads.sort_by_key(|h| h.region);
        let mut union = self.union.into_map();
        Together { heads: self.heads, root: RecordId(union.root()), union, links: self.links.into_map() }
    }
}

/// What the covered regions say together.
#[derive(Debug)]
pub struct Together {
    /// The regions, sorted.
    pub heads: Vec<RegionHead>,
    /// The union map.
    pub union: StateMap,
    /// Its root.
    pub root: RecordId,
    /// The link map.
    pub links: LinkMap,
}

impl Together {
    /// The entry that comes first.
    pub fn regions(&self, log: &str) -> FederationRegions {
        FederationRegions { v: RECORD_VERSION, log: log.into(), regions: List(self.heads.clone()) }
    }

    /// The entry that closes the step: `size` with it, `regions` the id of the first entry, `last` the step before, `now` in
    /// Unix milliseconds.
    ///
    /// # Errors
    /// `time.millis`.
    pub fn commit(
        &self,
        log: &str,
        terms: &Terms,
        last: Option<&Step>,
        (size, regions, now): (u64, RecordId, u64),
    ) -> Result<FederationCommit> {
        // Strictly increasing, also when the clock goes back.
        let time = last.map_or(0, |l| l.commit.time.get() + 1).max(now);
        Ok(FederationCommit {
            v: RECORD_VERSION,
            log: log.into(),
            size,
            time: Millis::new(time)?,
            previous: last.map(|l| l.id),
            charter: terms.charter,
            regions,
            oldest: oldest(&self.heads),
            missing: List(missing(&self.heads, terms)),
            root: self.root,
            links: RecordId(self.links.root()),
            count: self.links.len() as u64,
            bits: self.links.bits(),
        })
    }
}

fn oldest(heads: &[RegionHead]) -> Option<Millis> {
    heads.iter().map(|h| h.seen).min_by_key(|s| s.get())
}

fn missing(heads: &[RegionHead], terms: &Terms) -> Vec<RegionCode> {
    terms.regions.iter().filter(|code| heads.iter().all(|h| h.region != **code)).copied().collect()
}

/// A step as the log has it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its first entry.
    pub regions: FederationRegions,
    /// Id of that.
    pub regions_id: RecordId,
    /// Its second entry.
    pub commit: FederationCommit,
    /// Id of that.
    pub id: RecordId,
}

fn wrong(size: u64, what: &str) -> Error {
    Error::refuse(
        "union.commit",
        format!("the step of the federation's log that ends at size {size}: {what}"),
        "do not rely on it; report this to whoever runs the federation's node",
    )
}

impl Step {
    /// True where these regions (code, size, when last seen), sorted by code, have to be committed anew: one has grown, come or
    /// gone, the charter is another, or half of the time has passed after which what was committed is stale, and a later one
    /// can be given. `now` in Unix milliseconds.
    pub fn is_overtaken(&self, covered: &[(RegionCode, u64, u64)], terms: &Terms, now: u64) -> bool {
        let sizes = covered.iter().map(|(code, size, _)| (*code, *size));
        if self.commit.charter != terms.charter || !sizes.eq(self.regions.regions.0.iter().map(|r| (r.region, r.size)))
        {
            return true;
        }
        let half = u64::from(terms.staleness_hours) * 3_600_000 / 2;
        let committed = self.commit.oldest.map_or(0, Millis::get);
        let at_best = covered.iter().map(|(_, _, seen)| *seen).min().unwrap_or(0);
        now.saturating_sub(committed) > half && at_best > committed
    }

    /// True where the step covers just these regions, sizes and roots.
    pub fn covers(&self, heads: &[RegionHead]) -> bool {
        let of = |h: &RegionHead| (h.region, h.size, h.root);
        self.regions.regions.0.iter().map(of).eq(heads.iter().map(of))
    }

    /// Checks all of a step that needs no region's data: that it continues `last`, that its two entries belong together, and
    /// that it says of the regions what the charter and the first entry say. Roots and number of links are left.
    ///
    /// # Errors
    /// `union.commit`.
    pub fn check(&self, last: Option<&Step>, log: &str, terms: &Terms) -> Result<()> {
        let (commit, heads) = (&self.commit, &self.regions.regions.0);
        let fail = |what: &str| Err(wrong(commit.size, what));
        if *commit.log != *log || *self.regions.log != *log || commit.regions != self.regions_id {
            return fail("its two entries do not belong together");
        }
        if commit.previous != last.map(|l| l.id)
            || commit.size != last.map_or(0, |l| l.commit.size) + 2
            || last.is_some_and(|l| commit.time.get() <= l.commit.time.get() || commit.charter < l.commit.charter)
        {
            return fail("it does not continue the one before it");
        }
        if commit.charter != terms.charter || heads.iter().any(|h| !terms.regions.contains(&h.region)) {
            return fail("it names a charter or region that is not in force");
        }
        if !heads.is_sorted_by(|a, b| a.region < b.region) || heads.iter().any(|h| h.seen.get() < h.time.get()) {
            return fail("its regions are not in order, or seen before they spoke");
        }
        if commit.oldest != oldest(heads) || commit.missing.0 != missing(heads, terms) {
            return fail("it does not say which regions are missing, or how old the oldest is");
        }
        if commit.bits > MAX_BITS || (commit.bits > 0 && commit.count >> commit.bits < MIN_LINKS as u64) {
            return fail("its buckets are smaller than they may be");
        }
        Ok(())
    }

    /// Compares what was committed with what follows from the regions' own logs at the same sizes.
    ///
    /// # Errors
    /// `union.root`.
    pub fn compare(&self, together: &Together) -> Result<()> {
        let commit = &self.commit;
        let differs = |what: &str| {
            Err(Error::refuse(
                "union.root",
                format!(
                    "size {}: {what} is not what the regions' logs say at the sizes that are committed",
                    commit.size
                ),
                "do not rely on it; report this to whoever runs the federation's node",
            ))
        };
        if !self.covers(&together.heads) {
            return differs("a region's root");
        }
        if commit.root != together.root {
            return differs("the root of the union map");
        }
        let links = &together.links;
        if (commit.links, commit.count, commit.bits) != (RecordId(links.root()), links.len() as u64, links.bits()) {
            return differs("the root, number or prefix of the links");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn region(n: u8) -> RegionCode {
        RegionCode::new(n).unwrap()
    }

    /// A step of nothing, at hour 100, over region 77 (size 9, seen at hour 99) and 50 (size 5, hour 98).
    fn step(terms: &Terms) -> Step {
        let head = |n: u8, size: u64, seen: u64| {
            let (time, seen) = (Millis::new(1).unwrap(), Millis::new(seen * HOUR).unwrap());
            RegionHead { region: region(n), size, root: RecordId([n; 32]), time, seen }
        };
        let mut together = Gathering::default().finish();
        together.heads = vec![head(50, 5, 98), head(77, 9, 99)];
        let (regions, id) = (together.regions("f/log"), RecordId([1; 32]));
        let commit = together.commit("f/log", terms, None, (2, id, 100 * HOUR)).unwrap();
        Step { regions, regions_id: id, commit, id: RecordId([2; 32]) }
    }

    #[test]
    fn ages_are_renewed_at_half_of_what_is_stale_and_only_with_later_ones() {
        let terms = Terms { charter: 1, regions: vec![region(50), region(69), region(77)], staleness_hours: 24 };
        let step = step(&terms);
        assert_eq!((step.commit.oldest.unwrap().get(), &step.commit.missing.0[..]), (98 * HOUR, &[region(69)][..]));
        let due = |seen: [u64; 2], now: u64| {
            step.is_overtaken(&[(region(50), 5, seen[0] * HOUR), (region(77), 9, seen[1] * HOUR)], &terms, now)
        };
        assert!(!due([98, 99], 100 * HOUR), "nothing has changed");
        assert!(!due([109, 109], 110 * HOUR), "12 hours after 98 have not passed");
        assert!(!due([110, 110], 110 * HOUR));
        assert!(due([110, 110], 110 * HOUR + 1), "half of 24 hours has");
        assert!(!due([98, 110], 130 * HOUR), "no later age can be given: region 50 has been silent");
        assert!(due([99, 110], 130 * HOUR));
        // Growth, a region more or less, and another charter are committed at once.
        let now = 100 * HOUR;
        let both = [(region(50), 5, 0), (region(77), 9, 0)];
        assert!(!step.is_overtaken(&both, &terms, now));
        assert!(step.is_overtaken(&[(region(50), 6, 0), both[1]], &terms, now));
        assert!(step.is_overtaken(&both[..1], &terms, now));
        assert!(step.is_overtaken(&[both[0], (region(69), 1, 0), both[1]], &terms, now));
        assert!(step.is_overtaken(&both, &Terms { charter: 2, ..terms }, now));
    }

    #[test]
    fn a_step_that_says_something_else_is_refused() {
        let terms = Terms { charter: 1, regions: vec![region(50), region(69), region(77)], staleness_hours: 24 };
        let good = step(&terms);
        good.check(None, "f/log", &terms).unwrap();
        let refused = |change: &dyn Fn(&mut Step)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check(None, "f/log", &terms).unwrap_err().code().to_owned()
        };
        let changes: [&dyn Fn(&mut Step); 10] = [
            &|s| s.commit.log = "other/log".into(),
            &|s| s.regions_id = RecordId([9; 32]),
            &|s| s.commit.previous = Some(RecordId([9; 32])),
            &|s| s.commit.size = 4,
            &|s| s.commit.charter = 2,
            &|s| s.commit.oldest = Millis::new(99 * HOUR).ok(),
            &|s| s.commit.missing.0.clear(),
            &|s| s.regions.regions.0.swap(0, 1),
            &|s| s.regions.regions.0[0].region = region(1),
            &|s| (s.commit.bits, s.commit.count) = (3, 1023),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            assert_eq!(refused(change), "union.commit", "change {n}");
        }
        // The next one continues it, or is refused.
        let mut next = good.clone();
        (next.commit.previous, next.commit.size) = (Some(good.id), 4);
        next.commit.time = Millis::new(100 * HOUR + 1).unwrap();
        next.check(Some(&good), "f/log", &terms).unwrap();
        next.commit.time = good.commit.time;
        assert_eq!(next.check(Some(&good), "f/log", &terms).unwrap_err().code(), "union.commit");
    }
}
