//! A naive model of the federation's maps over random histories of three regions, written from the words of
//! docs/protocol.md: it keeps what was done to each chat, and knows none of the code that folds, maps or proves.

use std::collections::{BTreeMap, BTreeSet};

use domovoi::registry::body::*;
use domovoi::registry::federation_step::{Gathering, Step, Terms, Together};
use domovoi::registry::ids::{ChatNumber, OrgId, RecordId};
use domovoi::registry::map_proof::MapProof;
use domovoi::registry::node_record::NodeRecord;
use domovoi::registry::record::BasisKind;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::View;
use domovoi::registry::statemap::{StateMap, map_key};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::regions::{MOSCOW, OBLAST, Place, Region, TVER, building, day, key, link, ms, pinned, text};

type Leaves = Vec<([u8; 32], [u8; 32])>;

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// Section 9, word for word.
fn naive(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => sha(&[&[0x12]]),
        [(key, value)] => sha(&[&[0x10], key, value]),
        _ => {
            let zero = |key: &[u8; 32]| key[depth / 8] & (0x80 >> (depth % 8)) == 0;
            let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| zero(key));
            sha(&[&[0x11], &naive(&left, depth + 1), &naive(&right, depth + 1)])
        }
    }
}

#[derive(Clone)]
struct Chat {
    since: u64,
    link: u8,
    earlier: BTreeSet<u8>,
    status: &'static str,
    owner: OrgId,
}

/// One region: its log, and what the model remembers of it.
struct Told {
    region: Region,
    chats: BTreeMap<ChatNumber, Chat>,
    suspended: BTreeSet<OrgId>,
    successor: BTreeMap<OrgId, OrgId>,
    /// When it is said to have been seen.
    seen: u64,
}

/// What is tried; much of it is refused, and then nothing has happened.
type Op = (usize, u8, usize, u8);

fn place(n: usize) -> Place {
    [OBLAST, TVER, MOSCOW][n]
}

impl Told {
    fn said(&mut self, body: Body, by: u8) -> Option<(RecordId, u64)> {
        let undated = matches!(body, Body::BuildingRegistered(_) | Body::KeyGranted(_));
        let root = matches!(by, ROOT);
        let key = if root { self.region.place.root() } else { self.region.place.operator(by % 2) };
        let time = self.region.time;
        let mut draft = self.region.draft(body, (!undated).then(|| day("2026-09-01")));
        draft.basis = root.then_some(domovoi::registry::record::Basis {
            kind: BasisKind::Order,
            number: None,
            date: None,
            issuer: None,
            document_sha256: None,
            signature_sha256: None,
        });
        self.region.submit(&Region::sign(draft, &[&key])).ok().map(|id| (id, time))
    }

    fn holder(&self, owner: &OrgId) -> OrgId {
        let mut holder = owner.clone();
        while let Some(next) = self.successor.get(&holder) {
            holder = next.clone();
        }
        holder
    }

    fn chat(&self, n: usize) -> Option<(ChatNumber, Chat)> {
        let of = n % self.chats.len().max(1);
        self.chats.iter().nth(of).map(|(number, chat)| (*number, chat.clone()))
    }

    fn owner_no(&self, chat: &Chat) -> u8 {
        u8::from(self.holder(&chat.owner) == self.region.place.authority(1))
    }

    fn register(&mut self, house: usize, handle: u8, by: u8, declared: Option<ChatNumber>) {
        let owner = self.region.place.authority(by);
        let body = ChatRegistered {
            kind: ChatKind::House,
            title: text("Дом"),
            buildings: List(vec![building(house)]),
            owner: owner.clone(),
            declared,
            link: Some(link(handle)),
            max: None,
            service_account: None,
            entrance: None,
        };
        let Some((id, time)) = self.said(Body::ChatRegistered(body), by) else { return };
        let number = declared.unwrap_or_else(|| ChatNumber::derive(self.region.state.jurisdiction().region, &id.0));
        let new =
            Chat { since: time, link: handle, earlier: BTreeSet::new(), status: "official", owner: owner.clone() };
        let chat = self.chats.entry(number).or_insert(new);
        (chat.status, chat.owner) = ("official", owner);
        if chat.link != handle {
            chat.earlier.insert(chat.link);
            chat.link = handle;
        }
    }

    fn declare(&mut self, house: usize, handle: u8, by: u8) {
        let owner = self.region.place.authority(by);
        let body = ChatDeclared {
            kind: ChatKind::House,
            title: text("Дом"),
            buildings: List(vec![building(house)]),
            authority: owner.clone(),
            link: Some(link(handle)),
            max: None,
            entrance: None,
        };
        let Some((id, since)) = self.said(Body::ChatDeclared(body), by) else { return };
        let number = ChatNumber::derive(self.region.state.jurisdiction().region, &id.0);
        let chat = Chat { since, link: handle, earlier: BTreeSet::new(), status: "declared", owner };
        self.chats.insert(number, chat);
    }

    fn stand(&mut self, n: usize, make: fn(ChatStanding) -> Body, status: &'static str) {
        let Some((number, chat)) = self.chat(n) else { return };
        let body = make(ChatStanding { chat: number, reason: StandingReason::Decision });
        if self.said(body, self.owner_no(&chat)).is_some() {
            self.chats.get_mut(&number).unwrap().status = status;
        }
    }

    fn rotate(&mut self, n: usize, handle: u8) {
        let Some((number, chat)) = self.chat(n) else { return };
        let body = ChatAmended {
            chat: number,
            title: None,
            buildings: None,
            entrance: None,
            link: Some(link(handle)),
            max: None,
            service_account: None,
        };
        if self.said(Body::ChatAmended(body), self.owner_no(&chat)).is_some() && handle != chat.link {
            let chat = self.chats.get_mut(&number).unwrap();
            chat.earlier.insert(chat.link);
            chat.earlier.remove(&handle);
            chat.link = handle;
        }
    }

    fn transfer(&mut self, n: usize) {
        let Some((number, chat)) = self.chat(n) else { return };
        let (from, to) = (self.owner_no(&chat), 1 - self.owner_no(&chat));
        let place = self.region.place;
        let body = OwnershipTransferred { chat: number, from: place.authority(from), to: place.authority(to) };
        let draft = self.region.draft(Body::OwnershipTransferred(body), Some(day("2026-09-02")));
        let entry = Region::sign(draft, &[&place.operator(from), &place.operator(to)]);
        if self.region.submit(&entry).is_ok() {
            self.chats.get_mut(&number).unwrap().owner = place.authority(to);
        }
    }

    fn office(&mut self, n: usize, what: u8) {
        let place = self.region.place;
        let (authority, other) = (place.authority(n as u8 % 2), place.authority(1 - n as u8 % 2));
        match what % 4 {
            0 => {
                let body = AuthoritySuspended { authority: authority.clone(), reason: StandingReason::Decision };
                if self.said(Body::AuthoritySuspended(body), ROOT).is_some() {
                    self.suspended.insert(authority);
                }
            }
            1 | 2 => {
                let oktmo = List(vec![place.oktmo.parse().unwrap()]);
                let body = AuthorityAmended {
                    authority: authority.clone(),
                    name: text("ГЖИ"),
                    oktmo,
                    short_name: None,
                    reinstated: Some(true),
                };
                if self.said(Body::AuthorityAmended(body), ROOT).is_some() {
                    self.suspended.remove(&authority);
                }
            }
            _ => {
                let body = AuthoritySucceeded { authority: authority.clone(), successor: other.clone() };
                if self.said(Body::AuthoritySucceeded(body), ROOT).is_some() {
                    self.successor.insert(authority, other);
                }
            }
        }
    }

    fn act(&mut self, (_, what, n, handle): Op) {
        let (by, handle) = (n as u8 % 2, handle % 9);
        let house = n % 7;
        match what % 14 {
            0 | 1 => {
                let b = Building {
                    building: building(house),
                    address: text("ул. Пограничная, д. 1"),
                    oktmo: self.region.place.oktmo8().parse().unwrap(),
                    kind: BuildingKind::Apartment,
                    also: None,
                    flats: Some(60),
                    year: None,
                    emergency: None,
                    applicability: None,
                };
                self.said(Body::BuildingRegistered(b), by);
            }
            2..=4 => self.register(house, handle, by, None),
            5 => self.declare(house, handle, by),
            6 => {
                if let Some((number, chat)) = self.chat(n).filter(|(_, c)| c.status == "declared") {
                    self.register(house, if n % 3 == 0 { handle } else { chat.link }, by, Some(number));
                }
            }
            7 => self.rotate(n, handle),
            8 => self.stand(n, Body::ChatSuspended, "suspended"),
            9 => self.stand(n, Body::ChatRestored, "official"),
            10 => self.stand(n, Body::ChatClosed, "closed"),
            11 => self.transfer(n),
            12 => self.office(n, handle),
            _ => {
                let (authority, oktmo) =
                    (self.region.place.authority(by), List(vec![self.region.place.oktmo.parse().unwrap()]));
                let granted = KeyGranted {
                    key: KeyBytes(PublicKey::of(&key(200 + handle))),
                    authority,
                    scopes: List(vec![text("*")]),
                    oktmo,
                    not_before: ms(0),
                    not_after: ms(1 << 50),
                };
                self.said(Body::KeyGranted(granted), ROOT);
            }
        }
    }

    /// Section 9.5: how a link stands.
    fn claims(&self) -> impl Iterator<Item = (u8, String)> + '_ {
        self.chats.iter().flat_map(move |(number, chat)| {
            let owner = self.holder(&chat.owner);
            let word = move |handle: u8| match chat.status {
                "official" if handle != chat.link => "rotated",
                "official" if self.suspended.contains(&self.holder(&chat.owner)) => "owner_suspended",
                status => status,
            };
            let (code, since) = (self.region.place.code, chat.since / 1000);
            let line = move |handle: u8| (handle, format!("{code:02} {number} {since} {} {owner}\n", word(handle)));
            chat.earlier.iter().copied().chain([chat.link]).map(line).collect::<Vec<_>>()
        })
    }
}

const ROOT: u8 = 255;

/// The leaves of the link map, by what the model remembers.
fn link_leaves(told: &[Told]) -> Leaves {
    let mut said = BTreeMap::<u8, BTreeSet<String>>::new();
    for (handle, line) in told.iter().flat_map(Told::claims) {
        said.entry(handle).or_default().insert(line);
    }
    let value = |lines: &BTreeSet<String>| {
        let all: Vec<&[u8]> = lines.iter().map(|l| l.as_bytes()).collect();
        sha(&[&b"domovoi link leaf v0\n"[..], &all.concat()])
    };
    said.iter().map(|(handle, lines)| (link(*handle).0, value(lines))).collect()
}

/// A region's leaves by name, from its state, not from its map.
fn named(region: &Region) -> BTreeMap<String, [u8; 32]> {
    region.state.leaves().collect()
}

fn leaves_of(named: &BTreeMap<String, [u8; 32]>) -> Leaves {
    let mut leaves: Leaves =
        named.iter().map(|(name, value)| (sha(&[b"domovoi map key v0\n", name.as_bytes()]), *value)).collect();
    leaves.sort();
    leaves
}

/// The union's leaves, by name.
fn union_leaves(told: &[Told]) -> BTreeMap<String, [u8; 32]> {
    let mut all = BTreeMap::<String, BTreeMap<u8, [u8; 32]>>::new();
    for t in told {
        for (name, value) in named(&t.region) {
            all.entry(name).or_default().insert(t.region.place.code, value);
        }
    }
    let value = |said: BTreeMap<u8, [u8; 32]>| {
        let all: Vec<u8> = said.iter().flat_map(|(code, v)| [format!("{code:02}").as_bytes(), v].concat()).collect();
        sha(&[b"domovoi union leaf v0\n", &all])
    };
    all.into_iter().map(|(name, said)| (name, value(said))).collect()
}

fn together(told: &[&Told]) -> Together {
    let mut gathering = Gathering::default();
    told.iter().for_each(|t| gathering.add(t.seen, &t.region.map, &t.region.state).unwrap());
    gathering.finish()
}

/// Every name of one kind that a log could speak of here, whether it does or not.
fn names(told: &[Told]) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::<&str, Vec<String>>::new();
    let mut put = |kind, name: String| all.entry(kind).or_default().push(name);
    for t in told {
        t.chats.keys().for_each(|n| put("chat", format!("chat:{n}")));
        (0..3).for_each(|n| put("authority", format!("authority:{}", t.region.place.authority(n))));
        (0..2).for_each(|n| put("key", format!("key:{}", PublicKey::of(&t.region.place.operator(n)).thumb())));
    }
    put("chat", "chat:77-0000-0000-0000".into());
    (0..10).for_each(|n| put("link", format!("link:{}", link(n))));
    (0..9).for_each(|n| put("building", format!("building:{}", building(n))));
    (200..210).for_each(|n| put("key", format!("key:{}", PublicKey::of(&key(n)).thumb())));
    all
}

/// The map proves each name to be there or not, as the model has it, and nothing else. Gives how many were there.
fn proves(map: &StateMap, root: &[u8; 32], model: &BTreeMap<String, [u8; 32]>, names: &[String]) -> [usize; 2] {
    let mut count = [0, 0];
    for name in names {
        let key = map_key(name);
        let proof = MapProof::of(map, &key);
        let absent = proof.verify_absent(root, &key).is_ok();
        assert_eq!(absent, !model.contains_key(name), "{name}");
        if let Some(value) = model.get(name) {
            proof.verify_member(root, &key, value).unwrap();
            let other = std::array::from_fn(|n| value[n] ^ u8::from(n == 7));
            assert!(proof.verify_member(root, &key, &other).is_err(), "{name}");
        }
        count[usize::from(absent)] += 1;
    }
    count
}

fn histories(ops: &[Op], mut each: impl FnMut(&[Told])) -> Vec<Told> {
    let places: Vec<Place> = (0..3).map(place).collect();
    let chain = pinned(&places);
    let mut told: Vec<Told> = places
        .iter()
        .map(|p| Told {
            region: Region::new(*p, &chain),
            chats: BTreeMap::new(),
            suspended: BTreeSet::new(),
            successor: BTreeMap::new(),
            seen: 0,
        })
        .collect();
    for (n, op) in ops.iter().enumerate() {
        told[op.0].act(*op);
        // Not the order they speak in: who was seen last is another matter.
        told[(op.0 + 1) % 3].seen = told[op.0].region.time + u64::from(op.3) * 1000;
        if n % 16 == 15 {
            each(&told);
        }
    }
    each(&told);
    told
}

fn op() -> impl Strategy<Value = Op> {
    (0usize..3, any::<u8>(), 0usize..60, any::<u8>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_committed_of_random_histories_is_what_the_naive_model_says(
        ops in prop::collection::vec(op(), 20..110),
        followed in 1usize..4,
    ) {
        let codes: Vec<_> = (0..3).map(|n| domovoi::registry::ids::RegionCode::new(place(n).code).unwrap()).collect();
        let terms = Terms { charter: 1, regions: codes.clone(), staleness_hours: 24 };
        let mut last: Option<Step> = None;
        histories(&ops, |told| {
            // Whoever is followed; handed in backwards.
            let told = &told[..followed];
            let mut said = together(&told.iter().rev().collect::<Vec<_>>());
            let (union, links) = (union_leaves(told), link_leaves(told));
            let size = last.as_ref().map_or(2, |l| l.commit.size + 2);
            let regions = said.regions("f/log");
            let (_, regions_id) = NodeRecord::Regions(regions.clone()).sign(&key(1)).unwrap();
            let commit = said.commit("f/log", &terms, last.as_ref(), (size, regions_id, 5)).unwrap();
            let (_, id) = NodeRecord::Federation(commit.clone()).sign(&key(1)).unwrap();
            assert_eq!(commit.root.0, naive(&leaves_of(&union), 0));
            assert_eq!(commit.links.0, naive(&links, 0));
            assert_eq!((commit.count, commit.bits), (links.len() as u64, 0), "fewer than 256 links are one bucket");
            let seen = |t: &Told| t.seen.max(t.region.state.head().unwrap().time);
            assert_eq!(commit.oldest.map(|o| o.get()), told.iter().map(seen).min());
            assert_eq!(commit.missing.0, codes[followed..]);
            for (head, t) in regions.regions.0.iter().zip(told) {
                assert_eq!(head.size, t.region.log.len() as u64);
                assert_eq!(head.root.0, naive(&leaves_of(&named(&t.region)), 0));
            }
            let step = Step { regions, regions_id, commit, id };
            step.check(last.as_ref(), "f/log", &terms).unwrap();
            step.compare(&said).unwrap();
            // One leaf more, and the comparison fails.
            said.union.set([7; 32], [7; 32]);
            said.root = RecordId(said.union.root());
            assert_eq!(step.compare(&said).unwrap_err().code(), "union.root");
            last = Some(step);
        });
    }

    #[test]
    fn every_kind_of_name_is_proved_there_or_not_as_the_naive_model_has_it(
        ops in prop::collection::vec(op(), 40..160),
    ) {
        let told = histories(&ops, |_| {});
        let all = names(&told);
        let mut said = together(&told.iter().collect::<Vec<_>>());
        let (model, root) = (union_leaves(&told), said.union.root());
        for (kind, names) in &all {
            let [_, absent] = proves(&said.union, &root, &model, names);
            assert!(absent > 0, "{kind}: nothing was absent");
            for t in &told {
                let mut map = t.region.map.clone();
                let root = map.root();
                proves(&map, &root, &named(&t.region), names);
            }
        }
    }
}

/// The histories do reach what they are to test: each kind of name in the union, each standing, links and buildings that
/// several regions have.
#[test]
fn random_histories_reach_every_standing_and_disputed_names() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut words, mut disputed) = (BTreeMap::<String, usize>::new(), BTreeMap::<&str, usize>::new());
    for _ in 0..20 {
        let ops = prop::collection::vec(op(), 110).new_tree(&mut runner).unwrap().current();
        let told = histories(&ops, |_| {});
        told.iter().flat_map(Told::claims).for_each(|(_, line)| {
            *words.entry(line.split(' ').nth(3).unwrap().to_owned()).or_default() += 1;
        });
        for (kind, names) in names(&told) {
            let several = |name: &&String| told.iter().filter(|t| named(&t.region).contains_key(*name)).count() > 1;
            *disputed.entry(kind).or_default() += names.iter().filter(several).count();
        }
    }
    for word in ["official", "rotated", "owner_suspended", "declared", "suspended", "closed"] {
        assert!(words.get(word).is_some_and(|n| *n > 3), "{word}: {words:?}");
    }
    for kind in ["link", "building", "key"] {
        assert!(disputed[kind] > 5, "{kind}: {disputed:?}");
    }
}

#[test]
fn a_foreign_claim_changes_nothing_about_the_chat_that_was_there_first() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (mut first, mut second) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    first.build(1, vec![]);
    let incumbent = first.chat(&[1], 7);
    second.time = first.time + 10_000_000;
    second.build(2, vec![]);
    second.chat(&[2], 7);
    for order in [[&first, &second], [&second, &first]] {
        let mut gathering = Gathering::default();
        order.iter().for_each(|r| gathering.add(0, &r.map, &r.state).unwrap());
        let map = gathering.finish().links;
        let bucket = map.bucket("-").unwrap();
        let claims = bucket.verify(&link(7), 0, &map.root()).unwrap().unwrap();
        // By region, whoever is read first: 50 before 77.
        assert_eq!(claims.iter().map(|c| c.region.number()).collect::<Vec<_>>(), [50, 77]);
        assert!(claims.iter().all(|c| c.standing == domovoi::registry::link_map::LinkStanding::Official));
        let earliest = claims.iter().min_by_key(|c| c.since).unwrap();
        assert_eq!(earliest.chat, incumbent);
    }
}
