//! Who takes part: 89 regions and the ministry, the keys of each, and the charters that name them.

use domovoi::federation::charter::{CharterBody, FederationLog, Region as Member};
use domovoi::federation::roles::Quorums;
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::ids::{OktmoPrefix, OrgId, RegionCode};
use domovoi::registry::regions;
use domovoi::registry::signature::PublicKey;
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use super::liar::{LIES, Lie};
use super::network::Name;
use super::witnesses::cosigners;
use crate::regions::{MOSCOW, OBLAST, Place, TVER, first_charter, ogrn, text};

/// The regions that lie, and nothing else: nobody runs a node for them here.
pub const LIARS: [Place; 3] = [OBLAST, TVER, MOSCOW];

/// One honest region.
#[derive(Clone)]
pub struct Honest {
    pub code: RegionCode,
    pub oktmo: Vec<OktmoPrefix>,
    seed: u64,
}

/// A key of this run: no other run on this machine may have it, since a node claims its log key.
fn key(seed: u64, of: &str, role: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(format!("{seed} {of} {role}")).into())
}

impl Honest {
    pub fn origin(&self) -> String {
        format!("log.example/{}", self.code)
    }
    pub fn key(&self, role: &str) -> SigningKey {
        key(self.seed, &self.code.to_string(), role)
    }
    /// Its `n`-th authority, and the key of that one's operator.
    pub fn authority(&self, n: usize) -> OrgId {
        ogrn(u64::from(self.code.number()) * 100 + n as u64)
    }
    pub fn operator(&self, n: usize) -> SigningKey {
        self.key(&format!("operator {n}"))
    }
    fn member(&self) -> Member {
        let name = regions::by_number(self.code.number()).unwrap().name_ru;
        Member {
            code: self.code,
            name: domovoi::registry::text::Text::normalise(name).unwrap(),
            oktmo: List(self.oktmo.clone()),
            authority: self.authority(0),
            root_keys: List(vec![KeyBytes(PublicKey::of(&self.key("root")))]),
            root_threshold: 1,
            origin: text(&self.origin()),
            log_vkey: text(&NoteSigner::new(self.origin(), self.key("log")).unwrap().verifier().to_string()),
            commit_key: KeyBytes(PublicKey::of(&self.key("commit"))),
            url: text(&format!("https://{}.example", self.code)),
            cosigners: None,
            standing: None,
        }
    }
}

/// A region of the charter.
#[derive(Clone)]
pub enum Region {
    Honest(Honest),
    Liar(Place),
}

impl Region {
    pub fn code(&self) -> RegionCode {
        match self {
            Region::Honest(h) => h.code,
            Region::Liar(place) => RegionCode::new(place.code).unwrap(),
        }
    }
    pub fn origin(&self) -> String {
        format!("log.example/{}", self.code())
    }
}

/// The first `count` regions of the country; those that lie are always among them.
pub fn regions(seed: u64, count: usize) -> Vec<Region> {
    let liar = |code: RegionCode| LIARS.into_iter().find(|p| p.code == code.number());
    let mut rest = count - LIARS.len();
    let mut chosen = Vec::new();
    for r in regions::all() {
        match liar(r.code) {
            Some(place) => chosen.push(Region::Liar(place)),
            None if rest > 0 => {
                rest -= 1;
                chosen.push(Region::Honest(Honest { code: r.code, oktmo: r.oktmo.clone(), seed }));
            }
            None => {}
        }
    }
    chosen
}

/// How `place` lies in this run.
pub fn lie_of(seed: u64, place: &Place) -> Lie {
    let which = LIARS.iter().position(|p| p.code == place.code).unwrap();
    LIES[(which + seed as usize % LIES.len()) % LIES.len()]
}

/// Witnesses a head needs: two heads that have them share three of five, of whom one lies.
pub const QUORUM: u32 = 4;

/// The key a region's node cosigns with.
pub fn witness_key(seed: u64, code: &str) -> SigningKey {
    key(seed, code, "witness")
}

/// Whose nodes cosign: honest ones, and one that lies about that, too.
pub fn witnesses(seed: u64, members: &[Region]) -> (Vec<Name>, Name) {
    let honest = (0..members.len()).filter(|n| matches!(members[*n], Region::Honest(_))).take(QUORUM as usize);
    let lies = |m: &Region| matches!(m, Region::Liar(place) if lie_of(seed, place) == Lie::Rollback);
    (honest.collect(), members.iter().position(lies).unwrap())
}

pub const FEDERATION: &str = "log.example/federation";

pub fn federation_key(seed: u64, role: &str) -> SigningKey {
    key(seed, "federation", role)
}

/// The first charter of them all.
pub fn charter(seed: u64, members: &[Region]) -> Vec<u8> {
    first_charter(&[], |body: &mut CharterBody| {
        let of = |r: &Region| match r {
            Region::Honest(h) => h.member(),
            Region::Liar(place) => place.member(),
        };
        body.regions = List(members.iter().map(of).collect());
        let (honest, false_one) = witnesses(seed, members);
        for name in honest.into_iter().chain([false_one]) {
            let (region, code) = (&mut body.regions.0[name], members[name].code().to_string());
            region.cosigners = Some(cosigners(seed, &code));
            region.url = text(&format!("https://{code}.example"));
        }
        body.quorums = Some(Quorums { witness: QUORUM, mirror: 0, verifier: 0 });
        let log = NoteSigner::new(FEDERATION, federation_key(seed, "log")).unwrap();
        body.federation = Some(FederationLog {
            origin: text(FEDERATION),
            log_vkey: text(&log.verifier().to_string()),
            commit_key: KeyBytes(PublicKey::of(&federation_key(seed, "commit"))),
            url: text("https://ministry.example"),
            cosigners: None,
        });
    })
}
