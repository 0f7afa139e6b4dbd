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
use rand::RngExt;
use rand::rngs::StdRng;

use super::network::Name;
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
    bad: bool,
}

impl Face {
    fn note(&mut self) {
        if self.bad {
            return;
        }
        let mut tree = Frontier::new();
        tree.extend(self.region.log.iter().map(|e| leaf_hash(e)));
        let state = self.region.state.head().unwrap().root;
        self.heads.insert(tree.size(), (tree.root(), state));
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
}

impl Liar {
    pub fn new(place: Place, lie: Lie, chain: &CharterChain) -> Liar {
        let mut face = Face { region: Region::new(place, chain), heads: BTreeMap::new(), bad: false };
        face.note();
        Liar { lie, place, faces: vec![face], earlier: Vec::new(), shown: BTreeMap::new(), buildings: 0 }
    }
    pub fn forked(&self) -> bool {
        self.faces.len() > 1
    }
    pub fn has_lied(&self) -> bool {
        self.forked() || self.faces[0].bad
    }

    /// Says something more. `foreign` is the join link of somebody else's chat, which it claims.
    pub fn speak(&mut self, rng: &mut StdRng, foreign: &str) -> &'static str {
        if self.lie == Lie::TwoFaces && !self.forked() && self.buildings > 4 && rng.random_bool(0.3) {
            self.faces.push(self.faces[0].clone());
        }
        let at = rng.random_range(0..self.faces.len());
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
            1 if self.lie == Lie::Wrong && n > 4 && !face.bad => {
                face.bad = true;
                match rng.random_range(0..3) {
                    0 => {
                        // The committed root is not that of the state.
                        let right = face.region.map.clone();
                        face.region.map.set(map_key("building:lie"), [7; 32]);
                        face.region.build(n, vec![]);
                        face.region.map = right;
                        "commits a wrong root"
                    }
                    which => {
                        let mut house = face.region.draft(Body::BuildingRegistered(house(n, self.place.oktmo8())), None);
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
            let back = self.lie == Lie::Rollback && !self.earlier.is_empty() && rng.random_bool(0.3);
            let shown = match back {
                true => self.earlier[rng.random_range(0..self.earlier.len())].clone(),
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
