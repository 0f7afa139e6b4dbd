//! Regions that lie. Each has its log in memory, so that it can say anything; what of it may be believed is written down
//! beside it.

use std::collections::BTreeMap;

use domovoi::federation::chain::CharterChain;
use domovoi::registry::body::*;
use domovoi::registry::ids::LinkDigest;
use domovoi::registry::statemap::map_key;
use domovoi::tlog::tile::LogPath;
use domovoi::tlog::tree::Frontier;
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;
use rand::RngExt;
use rand::rngs::StdRng;

use super::network::Name;
use super::witnesses::Leaves;
use crate::forge::Served;
use crate::regions::{Place, Region, building, day, key, text};

/// How a region lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Signs two logs, and shows one to some and the other to others, and now and then the other one.
    TwoFaces,
    /// Goes back to what it said before.
    Rollback,
    /// Writes what the rules refuse, or commits to a wrong state.
    Wrong,
}

pub const LIES: [Lie; 3] = [Lie::TwoFaces, Lie::Rollback, Lie::Wrong];

/// One log that the liar shows.
#[derive(Clone)]
pub struct Face {
    region: Region,
    /// Root of the tree and of the state at every size that may be believed.
    pub heads: BTreeMap<u64, (Hash, [u8; 32])>,
    /// Heads after something bad, which may be believed once a charter excepts that.
    doubtful: BTreeMap<u64, (Hash, [u8; 32])>,
    bad: Option<Bad>,
}

/// What makes a log unbelievable from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// The commit of a batch does not have the root of its state.
    Root,
    /// This entry is against the rules.
    Record(u64),
}

impl Face {
    fn note(&mut self) {
        let mut tree = Frontier::new();
        tree.extend(self.region.log.iter().map(|e| leaf_hash(e)));
        let state = self.region.state.head().unwrap().root;
        let heads = if self.bad.is_some() { &mut self.doubtful } else { &mut self.heads };
        heads.insert(tree.size(), (tree.root(), state));
    }
    pub fn head(&self) -> (u64, Hash) {
        let mut tree = Frontier::new();
        tree.extend(self.region.log.iter().map(|e| leaf_hash(e)));
        (tree.size(), tree.root())
    }
    /// It may have had this head, good or bad.
    pub fn has(&self, size: u64, root: Hash) -> bool {
        [&self.heads, &self.doubtful].iter().any(|heads| heads.get(&size).is_some_and(|h| h.0 == root))
    }
    /// What it shows a witness: its leaves and its checkpoint.
    pub fn asks(&self) -> (Leaves, Vec<u8>) {
        (Leaves::of(&self.region.log), self.region.checkpoint())
    }
    fn served(&self) -> Served {
        Served::of(Vec::new(), self.region.checkpoint(), self.region.log.clone())
    }
}

pub struct Liar {
    pub lie: Lie,
    pub place: Place,
    pub faces: Vec<Face>,
    /// What it was before, for the one that goes back.
    earlier: Vec<Served>,
    /// What each asker was shown last.
    shown: BTreeMap<Name, Served>,
    buildings: usize,
    /// A charter has decided: it is honest from now on.
    pub settled: bool,
}

/// What the federation decides about a liar.
pub enum Decision {
    /// Its log goes on from here, under another key.
    Cut(u64, Hash),
    /// This entry counts for nothing.
    Except(u64, Hash),
}

impl Liar {
    pub fn new(place: Place, lie: Lie, chain: &CharterChain) -> Liar {
        let mut face =
            Face { region: Region::new(place, chain), heads: BTreeMap::new(), doubtful: BTreeMap::new(), bad: None };
        face.note();
        Liar {
            lie,
            place,
            faces: vec![face],
            earlier: Vec::new(),
            shown: BTreeMap::new(),
            buildings: 0,
            settled: false,
        }
    }
    pub fn forked(&self) -> bool {
        self.faces.len() > 1
    }
    pub fn has_lied(&self) -> bool {
        self.forked() || self.faces[0].bad.is_some()
    }

    /// What can be decided about it now.
    pub fn decision(&self) -> Option<Decision> {
        if self.settled {
            return None;
        }
        match (self.forked(), self.faces[0].bad) {
            (true, _) => Some(self.faces[0].head()).map(|(size, root)| Decision::Cut(size, root)),
            (false, Some(Bad::Record(index))) => {
                Some(Decision::Except(index, leaf_hash(&self.faces[0].region.log[index as usize])))
            }
            _ => None,
        }
    }
    /// The key it signs with after a cut.
    pub fn new_key(&self) -> SigningKey {
        key(self.place.seed + 5)
    }
    /// It has been decided, in the newest version of `chain`.
    pub fn settle(&mut self, chain: &CharterChain, decision: &Decision) {
        let key = self.new_key();
        let face = &mut self.faces[0];
        if matches!(decision, Decision::Cut(..)) {
            face.region.log_key = key;
        }
        face.bad = None;
        face.heads.append(&mut face.doubtful);
        face.region.given(chain);
        face.region.adopt();
        face.note();
        self.settled = true;
        self.shown.clear();
    }

    /// Says something more. `foreign` is the join link of somebody else's chat, which it claims.
    pub fn speak(&mut self, rng: &mut StdRng, foreign: &str) -> &'static str {
        if self.lie == Lie::TwoFaces && !self.settled && !self.forked() && self.buildings > 4 && rng.random_bool(0.3) {
            self.faces.push(self.faces[0].clone());
        }
        let at = if self.settled { 0 } else { rng.random_range(0..self.faces.len()) };
        if self.lie == Lie::Rollback {
            self.earlier.push(self.faces[at].served());
        }
        self.buildings += 1;
        let n = self.buildings;
        let face = &mut self.faces[at];
        let operator = self.place.operator(0);
        let what = match rng.random_range(0..4) {
            0 => {
                // Somebody else's link, over a house of its own.
                face.region.build(n, vec![]);
                let body = ChatRegistered {
                    kind: ChatKind::House,
                    title: text("Дом 1"),
                    buildings: List(vec![building(n)]),
                    owner: self.place.authority(0),
                    declared: None,
                    link: Some(LinkDigest::of_link(foreign)),
                    max: None,
                    service_account: None,
                    entrance: None,
                };
                let said = face.region.try_say(Body::ChatRegistered(body), Some(day("2026-09-01")), &[&operator]);
                if said.is_ok() { "claims a foreign link" } else { "builds" }
            }
            1 if self.lie == Lie::Wrong && n > 4 && face.bad.is_none() && !self.settled => {
                face.bad = Some(Bad::Record(face.region.log.len() as u64));
                match rng.random_range(0..3) {
                    0 => {
                        // The committed root is not that of the state.
                        face.bad = Some(Bad::Root);
                        let right = face.region.map.clone();
                        face.region.map.set(map_key("building:lie"), [7; 32]);
                        face.region.build(n, vec![]);
                        face.region.map = right;
                        "commits a wrong root"
                    }
                    which => {
                        let mut house =
                            face.region.draft(Body::BuildingRegistered(house(n, self.place.oktmo8())), None);
                        let mut by = key(99);
                        if which == 2 {
                            house.body = Body::BuildingRegistered(house_elsewhere(n));
                            by = operator;
                        }
                        let entry = Region::sign(house, &[&by]);
                        let nothing = face.region.state.overlay().finish();
                        face.region.close(vec![entry], nothing);
                        "writes a bad record"
                    }
                }
            }
            _ => {
                face.region.build(n, vec![]);
                "builds"
            }
        };
        face.note();
        what
    }

    /// The answer to a request for a file of the log.
    pub fn file(&mut self, rng: &mut StdRng, from: Name, path: LogPath) -> Option<Vec<u8>> {
        if path == LogPath::Checkpoint {
            let usual = from % self.faces.len();
            let other = rng.random_range(0..self.faces.len());
            let back = self.lie == Lie::Rollback && !self.settled && !self.earlier.is_empty() && rng.random_bool(0.3);
            let shown = match back {
                true => self.earlier[rng.random_range(0..self.earlier.len())].clone(),
                false if self.settled => self.faces[0].served(),
                false => self.faces[if rng.random_bool(0.2) { other } else { usual }].served(),
            };
            self.shown.insert(from, shown);
        }
        self.shown.get(&from)?.file(path)
    }
}

fn house(n: usize, oktmo: String) -> Building {
    Building {
        building: building(n),
        address: text("ул. Чужая, д. 1"),
        oktmo: oktmo.parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: None,
        flats: None,
        year: None,
        emergency: None,
        applicability: None,
    }
}

/// A building of region 02.
fn house_elsewhere(n: usize) -> Building {
    house(n, "80000000".into())
}
