//! What an honest region's people hand in: houses, chats, transfers between two authorities, companies that come and go, and
//! what must be refused. Beside it a naive model of who owns what, which knows none of the code that folds facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use domovoi::node::log_view::LogView;
use domovoi::node::sequencer::Outcome;
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{BuildingId, ChatNumber, LinkDigest, OrgId, RecordId};
use domovoi::registry::record::{Basis, BasisKind, DecodedRecord, Draft, Record};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::View;
use ed25519_dalek::SigningKey;
use rand::RngExt;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

use super::member::Honest;
use crate::regions::{day, ms, ogrn, text};

/// Owner of every chat that was registered, and whether it is in force.
pub type Owners = BTreeMap<ChatNumber, (OrgId, bool)>;

/// A deed that is to be accepted or refused, and what it does to the owners.
pub struct Deed {
    pub record: Vec<u8>,
    /// Refused with this code; none where it must be accepted.
    pub refused: Option<&'static str>,
    effect: Effect,
    pub what: &'static str,
}

enum Effect {
    None,
    House(BuildingId),
    Chat(BuildingId, usize),
    Moves(ChatNumber, OrgId),
    Ends(ChatNumber),
    Succession,
}

/// The people of one region.
pub struct Office {
    pub region: Honest,
    pub owners: Arc<Owners>,
    houses: u64,
    /// Houses without a chat in force.
    free: Vec<BuildingId>,
    over: BTreeMap<ChatNumber, BuildingId>,
    /// The join link of each chat.
    pub links: BTreeMap<ChatNumber, String>,
    succeeded: bool,
    accepted: Vec<Vec<u8>>,
    /// Handed in, and the power went.
    waiting: Option<Deed>,
}

/// The join link of the `n`-th house of a region.
pub fn link(region: &str, n: u64) -> String {
    let token = Sha256::digest(format!("{region} {n}"));
    format!("https://max.ru/join/{}", BASE64URL_NOPAD.encode(&token))
}

fn basis() -> Basis {
    Basis {
        kind: BasisKind::Order,
        number: Some(text("17-р")),
        date: Some(day("2026-08-01")),
        issuer: None,
        document_sha256: None,
        signature_sha256: None,
    }
}

impl Office {
    pub fn new(region: Honest) -> Office {
        Office {
            region,
            owners: Arc::default(),
            houses: 0,
            free: Vec::new(),
            over: BTreeMap::new(),
            links: BTreeMap::new(),
            succeeded: false,
            accepted: Vec::new(),
            waiting: None,
        }
    }

    fn draft(&self, view: &LogView, now: u64, body: Body) -> Draft {
        let state = view.state();
        let subject = body.subject(&RecordId([0; 32]), state.jurisdiction().region);
        let undated = matches!(body, Body::BuildingRegistered(_) | Body::KeyGranted(_) | Body::AuthorityEnrolled(_));
        Draft {
            log: self.region.origin().as_str().into(),
            issued_at: ms(now),
            submit_before: ms(now + 400 * 86_400_000),
            effective_from: (!undated).then(|| day("2026-09-01")),
            prev: state.entry(&subject).and_then(|e| e.last_record()),
            basis: None,
            batch: None,
            body,
        }
    }
    fn sign(draft: Draft, keys: &[&SigningKey]) -> Vec<u8> {
        Envelope::sign(Record::encode(draft).unwrap().1, TYP_RECORD, keys)
    }

    /// The two authorities, each with a key for everything.
    pub fn founding(&self, view: &LogView, now: u64) -> Vec<Vec<u8>> {
        let root = self.region.key("root");
        let mut records = Vec::new();
        for n in 0..2 {
            let authority = self.region.authority(n);
            let oktmo = List(self.region.oktmo.clone());
            let enrolled = AuthorityEnrolled {
                authority: authority.clone(),
                name: text("ГЖИ"),
                oktmo: oktmo.clone(),
                short_name: None,
            };
            let granted = KeyGranted {
                key: KeyBytes(PublicKey::of(&self.region.operator(n))),
                authority,
                scopes: List(vec![text("*")]),
                oktmo: List(oktmo.0.clone()),
                not_before: ms(0),
                not_after: ms(1 << 50),
            };
            for body in [Body::AuthorityEnrolled(enrolled), Body::KeyGranted(granted)] {
                records.push(Office::sign(self.draft(view, now, body), &[&root]));
            }
        }
        records
    }

    fn house(&self, n: u64, oktmo: &str) -> Building {
        let mut id = Sha256::digest(format!("{} {n}", self.region.code)).to_vec();
        id.truncate(16);
        let hex = data_encoding::HEXLOWER.encode(&id);
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        Building {
            building: format!("gar:{uuid}").parse().unwrap(),
            address: text(&format!("ул. Пробная, д. {n}")),
            oktmo: format!("{oktmo:0<8}").parse().unwrap(),
            kind: BuildingKind::Apartment,
            also: None,
            flats: Some(60),
            year: None,
            emergency: None,
            applicability: None,
        }
    }

    fn chat(&self, house: &BuildingId, number: u64, owner: usize) -> Body {
        Body::ChatRegistered(ChatRegistered {
            kind: ChatKind::House,
            title: text(&format!("Дом {number}")),
            buildings: List(vec![house.clone()]),
            owner: self.region.authority(owner),
            declared: None,
            link: Some(LinkDigest::of_link(&link(&self.region.code.to_string(), number))),
            max: None,
            service_account: None,
            entrance: None,
        })
    }

    /// Which of the two authorities this is.
    fn place(&self, authority: &OrgId) -> usize {
        usize::from(*authority == self.region.authority(1))
    }

    /// What somebody hands in next. `foreign` is a link of another region's chat.
    pub fn deed(&mut self, view: &LogView, now: u64, rng: &mut StdRng, foreign: &str) -> Deed {
        let operator = |n: usize| self.region.operator(n);
        let oktmo = self.region.oktmo[0].to_string();
        let in_force: Vec<(ChatNumber, OrgId)> =
            self.owners.iter().filter(|(_, (_, live))| *live).map(|(c, (o, _))| (*c, o.clone())).collect();
        let number = self.houses + 1;
        let deed = |what, record, refused, effect| Deed { record, refused, effect, what };
        let signs = if self.succeeded { 1 } else { rng.random_range(0..2) };
        let draft = |body| self.draft(view, now, body);
        let one = |body, by: usize| Office::sign(draft(body), &[&operator(by)]);
        if in_force.is_empty() || rng.random_bool(0.25) {
            let house = self.house(number, &oktmo);
            let id = house.building.clone();
            return deed("house", one(Body::BuildingRegistered(house), signs), None, Effect::House(id));
        }
        let (chat, owner) = in_force[rng.random_range(0..in_force.len())].clone();
        let by = self.place(&owner);
        let transfer = || {
            Body::OwnershipTransferred(OwnershipTransferred {
                chat,
                from: owner.clone(),
                to: self.region.authority(1 - by),
            })
        };
        match rng.random_range(0..14) {
            0..4 if !self.free.is_empty() => {
                let at = rng.random_range(0..self.free.len());
                let body = self.chat(&self.free[at], self.accepted.len() as u64, signs);
                deed("chat", one(body, signs), None, Effect::Chat(self.free[at].clone(), signs))
            }
            4 | 5 if !self.succeeded => {
                let record = Office::sign(draft(transfer()), &[&operator(0), &operator(1)]);
                deed("transfer", record, None, Effect::Moves(chat, self.region.authority(1 - by)))
            }
            6 if !self.succeeded => {
                deed("robbery", one(transfer(), 1 - by), Some("rule.signer.authority"), Effect::None)
            }
            7 => {
                let again = self.chat(&self.over[&chat], 1 << 40, signs);
                deed("second chat", one(again, signs), Some("rule.chat.one_per_house"), Effect::None)
            }
            8 => {
                let elsewhere = if oktmo.starts_with('7') { "03" } else { "73" };
                let house = self.house(number + 1_000_000, elsewhere);
                deed(
                    "foreign house",
                    one(Body::BuildingRegistered(house), signs),
                    Some("rule.oktmo.region"),
                    Effect::None,
                )
            }
            9 => {
                let body = Body::ManagementAssigned(ManagementAssigned {
                    building: self.over[&chat].clone(),
                    form: ManagementForm::Company,
                    organisation: Some(ogrn(90_000 + self.accepted.len() as u64)),
                    contract: None,
                    licence: None,
                });
                deed("company", one(body, signs), None, Effect::None)
            }
            10 => {
                let closed = ChatStanding { chat, reason: StandingReason::Decision };
                let mut draft = draft(Body::ChatClosed(closed));
                draft.basis = Some(basis());
                deed("closing", Office::sign(draft, &[&operator(by)]), None, Effect::Ends(chat))
            }
            11 => {
                let flagged = ImpersonationFlagged {
                    imitation: Imitation::Link(LinkDigest::of_link(foreign)),
                    imitates: chat,
                    certainty: Certainty::Reported,
                };
                // Said of the same link twice, or of a chat of one's own, it may well be refused.
                deed("flag", one(Body::ImpersonationFlagged(flagged), by), Some("?"), Effect::None)
            }
            12 if !self.succeeded && rng.random_bool(0.2) => {
                let body = Body::AuthoritySucceeded(AuthoritySucceeded {
                    authority: self.region.authority(0),
                    successor: self.region.authority(1),
                });
                let mut draft = draft(body);
                draft.basis = Some(basis());
                deed("succession", Office::sign(draft, &[&self.region.key("root")]), None, Effect::Succession)
            }
            _ => {
                let at = rng.random_range(0..self.accepted.len());
                deed("again", self.accepted[at].clone(), Some("known"), Effect::None)
            }
        }
    }

    /// Takes note of what became of a deed. An error says what should not be.
    pub fn done(&mut self, deed: Deed, outcome: &Outcome) -> Result<(), String> {
        match (outcome, deed.refused) {
            (Outcome::Accepted { .. }, None | Some("?")) => {
                self.accepted(&deed);
                Ok(())
            }
            (Outcome::Known { .. }, Some("known")) | (Outcome::Refused(_), Some("?")) => Ok(()),
            (Outcome::Refused(e), Some(code)) if e.code() == code => Ok(()),
            (outcome, expected) => Err(format!("{}: {outcome:?}, expected {expected:?}", deed.what)),
        }
    }

    /// Nobody was answered.
    pub fn waits(&mut self, deed: Deed) {
        self.waiting = Some(deed);
    }

    /// The node is up again: what was handed in last is in its log, or is not.
    pub fn settle(&mut self, accepted: bool) {
        if let Some(deed) = self.waiting.take().filter(|_| accepted) {
            self.accepted(&deed);
        }
    }

    /// What an accepted deed means.
    fn accepted(&mut self, deed: &Deed) {
        let id = DecodedRecord::decode(&deed.record).unwrap().record.id;
        let owners = Arc::make_mut(&mut self.owners);
        match &deed.effect {
            Effect::None => {}
            Effect::House(building) => {
                self.houses += 1;
                self.free.push(building.clone());
            }
            Effect::Chat(house, owner) => {
                let chat = ChatNumber::derive(self.region.code, &id.0);
                owners.insert(chat, (self.region.authority(*owner), true));
                self.free.retain(|b| b != house);
                self.over.insert(chat, house.clone());
                let link = link(&self.region.code.to_string(), self.accepted.len() as u64);
                self.links.insert(chat, link);
            }
            Effect::Moves(chat, to) => owners.get_mut(chat).unwrap().0 = to.clone(),
            Effect::Ends(chat) => {
                owners.get_mut(chat).unwrap().1 = false;
                self.free.push(self.over[chat].clone());
            }
            Effect::Succession => {
                self.succeeded = true;
                let heir = self.region.authority(1);
                owners.values_mut().for_each(|(owner, _)| *owner = heir.clone());
            }
        }
        self.accepted.push(deed.record.clone());
    }
}
