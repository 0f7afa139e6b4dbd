//! A region that does not exist: its keys from fixed seeds, its houses by number.

use std::path::Path;

use domovoi::error::Result;
use domovoi::federation::charter::{Charter, RegionOfOne};
use domovoi::node::layout::Layout;
use domovoi::node::sequencer::{Bounds, Outcome as Verdict};
use domovoi::node::signing::Signing;
use domovoi::node::{Node, Opening, now_ms};
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{BuildingId, OrgId, RecordId, RegionCode};
use domovoi::registry::link::LinkDigest;
use domovoi::registry::record::{Draft, Record};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::storage::{format, keys};
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;
use rayon::prelude::*;
use secrecy::SecretString;

use crate::Outcome;

const ORIGIN: &str = "bench.example/77";
const AUTHORITY: &str = "ogrn:1027700132195";
const YEAR_MS: u64 = 366 * 86_400_000;

fn key(role: u8) -> SigningKey {
    SigningKey::from_bytes(&[role; 32])
}
fn passphrase() -> SecretString {
    SecretString::from("bench")
}

/// Makes signed records of the region.
pub struct World {
    operator: SigningKey,
    authority: OrgId,
    now: u64,
}

impl World {
    /// Creates the data directory of the region's node in `dir` and gives the node, its authority and key registered.
    pub fn create(dir: &Path) -> Outcome<(World, Node)> {
        let layout = Layout::new(dir);
        std::fs::create_dir_all(dir.join("keys"))?;
        format::create(dir)?;
        let [federation, root, log, commit, operator] = [1, 2, 3, 4, 5].map(key);
        keys::write_encrypted(&layout.key("log"), &log, &passphrase())?;
        keys::write_encrypted(&layout.key("commit"), &commit, &passphrase())?;
        let (region, authority): (RegionCode, OrgId) = ("77".parse()?, AUTHORITY.parse()?);
        let oktmo = region.region().ok_or("no such region")?.oktmo.clone();
        let now = now_ms();
        let one = RegionOfOne {
            code: region,
            name: Text::new("Испытательный регион")?,
            oktmo: oktmo.clone(),
            authority: authority.clone(),
            root_key: PublicKey::of(&root),
            commit_key: PublicKey::of(&commit),
            origin: ORIGIN.into(),
            log_vkey: NoteSigner::new(ORIGIN, log)?.verifier().to_string(),
            url: "https://bench.example".into(),
        };
        std::fs::write(layout.charter(), Charter::of_one(one, now, &federation)?)?;
        std::fs::write(layout.origin_file(), ORIGIN)?;
        let world = World { operator, authority: authority.clone(), now };
        let enrolled = Body::AuthorityEnrolled(AuthorityEnrolled {
            authority: authority.clone(),
            name: Text::new("Испытательный орган")?,
            oktmo: List(oktmo.clone()),
            short_name: None,
        });
        let granted = Body::KeyGranted(KeyGranted {
            key: KeyBytes(PublicKey::of(&world.operator)),
            authority,
            scopes: List(vec![Text::new("*")?]),
            oktmo: List(oktmo),
            not_before: Millis::new(now - YEAR_MS)?,
            not_after: Millis::new(now + YEAR_MS)?,
        });
        let founding = [world.sign(enrolled, None, &root)?.1, world.sign(granted, None, &root)?.1];
        let node = open(dir)?;
        submit(&node, founding.to_vec())?;
        Ok((world, node))
    }

    fn sign(&self, body: Body, prev: Option<RecordId>, key: &SigningKey) -> Result<(RecordId, Vec<u8>)> {
        let (record, payload) = Record::encode(Draft {
            log: ORIGIN.into(),
            issued_at: Millis::new(self.now)?,
            submit_before: Millis::new(self.now + YEAR_MS)?,
            effective_from: Some(Day::new(2024, 1, 1)?),
            prev,
            basis: None,
            batch: None,
            body,
        })?;
        Ok((record.id, Envelope::sign(payload, TYP_RECORD, &[key])))
    }

    /// The registration of house number `n`.
    pub fn building(&self, n: usize) -> Result<(BuildingId, RecordId, Vec<u8>)> {
        let id: BuildingId = format!("reformagkh:{}", 1_000_000 + n).parse()?;
        let body = Body::BuildingRegistered(Building {
            building: id.clone(),
            address: Text::new(&format!("Город Испытательный, улица {}-я, дом {}", n / 100 + 1, n % 100 + 1))?,
            oktmo: "45".parse()?,
            kind: BuildingKind::Apartment,
            also: None,
            flats: Some(96),
            year: Some(1985),
            emergency: None,
            applicability: None,
        });
        let (record, bytes) = self.sign(body, None, &self.operator)?;
        Ok((id, record, bytes))
    }

    /// House number `n`, its manager and its chat: three records, in the order they must be submitted in.
    pub fn house(&self, n: usize) -> Result<[Vec<u8>; 3]> {
        let (id, record, building) = self.building(n)?;
        let managed = Body::ManagementAssigned(ManagementAssigned {
            building: id.clone(),
            form: ManagementForm::Company,
            organisation: Some(format!("reformagkh:{}", 5000 + n % 3000).parse()?),
            contract: None,
            licence: None,
        });
        let chat = Body::ChatRegistered(ChatRegistered {
            kind: ChatKind::House,
            title: Text::new(&format!("Дом {n}, общий чат жителей"))?,
            buildings: List(vec![id]),
            owner: self.authority.clone(),
            declared: None,
            entrance: None,
            link: Some(link(n)),
            max: None,
            service_account: None,
        });
        let managed = self.sign(managed, Some(record), &self.operator)?.1;
        Ok([building, managed, self.sign(chat, None, &self.operator)?.1])
    }
}

/// Digest of the join link of house `n`'s chat.
pub fn link(n: usize) -> LinkDigest {
    LinkDigest::of_link(&format!("https://max.ru/join/bench-{n}"))
}

/// Opens the node in `dir`.
pub fn open(dir: &Path) -> Outcome<Node> {
    let opening = Opening {
        data: dir,
        passphrase: Some(&passphrase()),
        bounds: Bounds { records: 4096, bytes: 8 << 20, waiting: 1024 },
        stale_after_hours: 24,
        confirm_restored_head: None,
        signing: Signing::allowed(),
        clock: domovoi::node::clock::Clock::system(),
    };
    Ok(Node::open(opening, &mut |_, _| {})?)
}

/// Hands `entries` in as one submission; all of them must be accepted.
pub fn submit(node: &Node, entries: Vec<Vec<u8>>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    match runtime.block_on(node.submit(entries, false))?.into_iter().find(|v| !matches!(v, Verdict::Accepted { .. })) {
        None => Ok(()),
        Some(other) => Err(format!("a generated record was not accepted: {other:?}").into()),
    }
}

/// A node with `houses` houses in `dir`, about 1000 records a commit, closed.
pub fn generate(dir: &Path, houses: usize) -> Outcome<()> {
    let (world, node) = World::create(dir)?;
    for first in (0..houses).step_by(333) {
        let made: Vec<[Vec<u8>; 3]> =
            (first..houses.min(first + 333)).into_par_iter().map(|n| world.house(n)).collect::<Result<_>>()?;
        submit(&node, made.into_iter().flatten().collect())?;
    }
    node.close();
    Ok(())
}
