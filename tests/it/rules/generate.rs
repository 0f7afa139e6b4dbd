//! Long sequences of records, good and bad ones mixed. An [`Op`] is a handful of small numbers; what it means depends on
//! the world it meets, so that a sequence stays meaningful when proptest shortens it.

use domovoi::error::Result;
use domovoi::registry::body::*;
use domovoi::registry::facts::{ChatStatus, Facts};
use domovoi::registry::ids::{ChatNumber, MaxChatId, OrgId, RecordId};
use domovoi::registry::record::Subject;
use domovoi::registry::state::View;
use domovoi::registry::text::{Day, Millis};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::world::*;

#[derive(Debug, Clone, Copy)]
pub struct Op {
    kind: u16,
    a: u8,
    b: u8,
    c: u8,
    signer: u8,
    flaw: u8,
}

impl Op {
    /// The step that seven bytes of a fuzzer mean.
    pub fn of_bytes([high, low, a, b, c, signer, flaw]: [u8; 7]) -> Op {
        Op { kind: u16::from_be_bytes([high, low]), a, b, c, signer, flaw }
    }
}

pub fn ops(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let op = (any::<u16>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>())
        .prop_map(|(kind, a, b, c, signer, flaw)| Op { kind, a, b, c, signer, flaw });
    prop::collection::vec(op, len)
}

/// What is done, and how often.
const KINDS: &[(&str, u16)] = &[
    ("", 20), // ends the batch
    ("authority.enrolled", 4),
    ("authority.amended", 10),
    ("authority.suspended", 2),
    ("authority.succeeded", 1),
    ("key.granted", 8),
    ("key.revoked", 1),
    ("organisation.named", 4),
    ("organisation.linked", 3),
    ("applicability.set", 2),
    ("building.registered", 24),
    ("building.amended", 10),
    ("building.linked", 5),
    ("building.retired", 4),
    ("management.assigned", 24),
    ("management.ended", 12),
    ("chat.declared", 10),
    ("chat.registered", 24),
    ("chat.amended", 14),
    ("chat.suspended", 5),
    ("chat.restored", 6),
    ("chat.closed", 4),
    ("chat.replaced", 5),
    ("chat.observed", 3),
    ("ownership.transferred", 10),
    ("admin.delegated", 18),
    ("admin.withdrawn", 6),
    ("bot.attested", 5),
    ("bot.withdrawn", 3),
    ("services.published", 4),
    ("impersonation.flagged", 9),
    ("impersonation.cleared", 4),
    ("objection.noted", 8),
    ("record.superseded", 14),
];

/// A world and what the sequence has made in it.
pub struct Run {
    pub w: World,
    pub chats: Vec<ChatNumber>,
}

/// What became of one step.
pub enum Step {
    Committed,
    Said(&'static str, Result<RecordId>),
}

fn oktmo(b: usize) -> &'static str {
    match b {
        0..10 => "45100000",
        10..15 => "45200000",
        _ => "46000000",
    }
}

/// Managements begin early, end late, and are delegated to in between, mostly.
fn when(kind: &str, c: usize) -> Day {
    match kind {
        "management.assigned" => day(c % 30),
        "management.ended" => day(15 + c % 45),
        "admin.delegated" => day(20 + c % 40),
        _ => day(c % 60),
    }
}

impl Run {
    pub fn new() -> Run {
        let mut w = World::with_authorities(1);
        for n in 0..8 {
            w.say(Body::BuildingRegistered(house(n, oktmo(n), vec![])), None, &[&authority_key(0, 0)]);
        }
        w.commit();
        Run { w, chats: Vec::new() }
    }

    /// Does one step.
    pub fn step(&mut self, op: Op) -> Step {
        let mut at = op.kind % KINDS.iter().map(|(_, weight)| weight).sum::<u16>();
        let kind = KINDS.iter().find(|(_, weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        let Some((kind, _)) = kind.filter(|(kind, _)| !kind.is_empty() && self.w.pending.len() < 12) else {
            self.w.commit();
            return Step::Committed;
        };
        if op.flaw == 255
            && let Some((.., old)) = self.w.accepted.get(usize::from(op.a))
        {
            let bytes = self.w.log[self.w.accepted[usize::from(op.a)].0 as usize].clone();
            return Step::Said(old.record().body.type_name(), self.w.offer(&bytes));
        }
        let (body, right) = self.body(kind, op);
        let mut draft = self.w.draft(body, Some(when(kind, usize::from(op.c))));
        let keys = self.signers(op, right);
        let rests = ["ownership.transferred", "authority.succeeded", "applicability.set", "objection.noted"];
        if rests.contains(kind) && !op.c.is_multiple_of(8) {
            draft.basis = Some(basis());
        }
        match op.flaw {
            240..243 => draft.prev = Some(RecordId([op.a; 32])),
            243..245 => draft.prev = None,
            245..247 => draft.submit_before = Millis::new(self.w.time() - 1).unwrap(),
            247 => draft.log = "test.example/log/78".into(),
            248..250 => draft.effective_from = None,
            _ => {}
        }
        let entry = World::sign(draft, &keys.iter().collect::<Vec<_>>());
        let result = self.w.offer(&entry);
        if let Ok(id) = &result {
            self.chats.extend(match subject_of(self.w.pending.last().unwrap().1.record()) {
                Subject::Chat(c) if c == ChatNumber::derive(c.region(), &id.0) => Some(c),
                _ => None,
            });
        }
        Step::Said(kind, result)
    }

    /// Mostly those who should sign; sometimes others.
    fn signers(&self, op: Op, right: Vec<usize>) -> Vec<SigningKey> {
        // The fifth of five is the root.
        let of = |n: usize, k: usize| if n == ROOT { root_key() } else { authority_key(n, k) };
        let mut keys: Vec<SigningKey> = right.iter().map(|n| of(*n, 0)).collect();
        let other = usize::from(op.signer) % 4;
        match op.signer {
            220..226 => keys = right.iter().map(|n| of(*n, 1)).collect(),
            226..232 => keys = right.iter().map(|n| of(*n, 2)).collect(),
            232..238 => keys = vec![authority_key(other, 0)],
            238..244 => keys = vec![root_key()],
            244..246 => keys = vec![key(250)],
            246..249 => keys.push(authority_key(other, 0)),
            249..252 => keys.push(root_key()),
            252..254 => keys.truncate(1),
            _ => {}
        }
        keys
    }

    fn owner(&self, chat: ChatNumber) -> usize {
        let overlay = self.w.overlay();
        let owner = overlay.chat(chat).and_then(|c| c.owner()).map(|o| overlay.holder(&o.authority));
        (0..4).find(|n| Some(authority(*n)) == owner).unwrap_or(0)
    }

    /// A body of this type, and which authorities should sign it.
    fn body(&self, kind: &str, op: Op) -> (Body, Vec<usize>) {
        let (a, b, c) = (usize::from(op.a), usize::from(op.b), usize::from(op.c));
        let (office, other, house_no, firm) = (a % 4, b % 4, b % 16, c % 3);
        let overlay = self.w.overlay();
        // Recent chats; for a restoration one that may be restored, if there is one.
        let recent = &self.chats[self.chats.len().saturating_sub(8)..];
        let fits = |n: &&ChatNumber| overlay.chat(**n).is_some_and(|c| c.status() == ChatStatus::Suspended);
        let fitting = recent.iter().find(|n| kind == "chat.restored" && fits(n));
        let chat = fitting.or_else(|| recent.get(a % recent.len().max(1))).copied();
        let chat = chat.unwrap_or(ChatNumber::derive("77".parse().unwrap(), &[1; 32]));
        let owner = self.owner(chat);
        let covered = match c % 6 {
            0 => vec![house_no, (house_no + 1) % 15],
            _ => vec![house_no],
        };
        let chat_kind =
            [ChatKind::House, ChatKind::House, ChatKind::House, ChatKind::Entrance, ChatKind::Complex][c % 5];
        let covered = if chat_kind == ChatKind::Entrance && c % 7 != 0 { vec![house_no] } else { covered };
        let max = (c % 4 == 0).then_some(MaxChatId(-1 - (b % 12) as i64));
        let any_office = vec![a % 3];
        let one_of = |ids: Vec<RecordId>| if ids.is_empty() { RecordId([9; 32]) } else { ids[a % ids.len()] };
        let history =
            |s: &Subject| overlay.entry(s).map(|e| e.history.iter().map(|h| h.id).collect()).unwrap_or_default();
        match kind {
            "authority.enrolled" => (enrolled(office), vec![ROOT]),
            "authority.amended" => {
                let oktmo = List(vec!["45".parse().unwrap()]);
                let name = text("Инспекция");
                let (authority, reinstated) = (authority(office), Some(true));
                (
                    Body::AuthorityAmended(AuthorityAmended { authority, name, oktmo, short_name: None, reinstated }),
                    vec![ROOT],
                )
            }
            "authority.suspended" => {
                let reason = StandingReason::Compromised;
                (Body::AuthoritySuspended(AuthoritySuspended { authority: authority(office), reason }), vec![ROOT])
            }
            "authority.succeeded" => {
                let (authority, successor) = (authority(office), authority(other));
                (Body::AuthoritySucceeded(AuthoritySucceeded { authority, successor }), vec![ROOT])
            }
            "key.granted" => {
                let scope = ["*", "chat.*", "building.registered"][c % 3];
                let to = if c % 2 == 0 { 1 << 50 } else { self.w.time() + 3000 };
                let prefix = ["45", "45", "45100", "46"][b % 4];
                (Body::KeyGranted(granted(&authority_key(office, c % 9), office, scope, prefix, START, to)), vec![ROOT])
            }
            "key.revoked" => {
                let key = KeyBytes(domovoi::registry::signature::PublicKey::of(&authority_key(office, b % 9))).thumb();
                let signer = if c % 2 == 0 { ROOT } else { office };
                (
                    Body::KeyRevoked(KeyRevoked {
                        key,
                        reason: RevokeReason::Compromised,
                        suspect_from: Some(b as u64),
                    }),
                    vec![signer],
                )
            }
            "organisation.named" => {
                let named = OrganisationNamed { organisation: company(firm), name: text("ООО «Дом»") };
                (Body::OrganisationNamed(named), any_office)
            }
            "organisation.linked" => {
                let (one, two) = (vec![company(30 + b % 3)], vec![company(34 + c % 3)]);
                let linked = OrganisationLinked {
                    organisation: company(firm),
                    also: Some(List(one)),
                    distinct: (c % 2 == 0).then_some(List(two)),
                };
                (Body::OrganisationLinked(linked), any_office)
            }
            "building.linked" => {
                let ids = Some(List(vec![alias(a % 6)]));
                let (also, distinct) = if c % 3 == 0 { (None, ids) } else { (ids, None) };
                (Body::BuildingLinked(BuildingLinked { building: building(house_no), also, distinct }), any_office)
            }
            "building.registered" | "building.amended" => {
                let also = if c % 3 == 0 { vec![alias(a % 6)] } else { vec![] };
                let mut h = house(house_no, oktmo(house_no), also);
                if c % 11 == 0 {
                    h.oktmo = "45200000".parse().unwrap();
                }
                h.flats = (a % 5 != 0).then_some(b as u16);
                let exempt = Applicability { state: Applies::Exempt, reason: ApplicabilityReason::Emergency };
                h.applicability = (a % 7 == 0).then_some(exempt);
                let body =
                    if kind == "building.registered" { Body::BuildingRegistered(h) } else { Body::BuildingAmended(h) };
                (body, any_office)
            }
            "building.retired" => {
                let next = |n: usize| building((house_no + n) % 15);
                let (reason, into) = match c % 3 {
                    0 => (RetireReason::Demolished, None),
                    1 => (RetireReason::Merged, Some(List(vec![next(1 + a % 3)]))),
                    _ => (RetireReason::Split, Some(List(vec![next(1), next(a % 3)]))),
                };
                (Body::BuildingRetired(BuildingRetired { building: building(house_no), reason, into }), any_office)
            }
            "management.assigned" => (assigned(house_no, (c % 7 != 0).then(|| company(firm))), any_office),
            "management.ended" => {
                let facts = overlay.building(&building(house_no));
                let all = facts.map(|f| f.managements.iter().map(|m| m.record).collect()).unwrap_or_default();
                (
                    Body::ManagementEnded(ManagementEnded {
                        building: building(house_no),
                        management: one_of(all),
                        goes_on: (c % 3 == 0).then_some(true),
                    }),
                    any_office,
                )
            }
            "chat.declared" => {
                let mut body = declared_over(a % 3, &covered, chat_kind, b % 40);
                if let Body::ChatDeclared(d) = &mut body {
                    d.max = max;
                }
                (body, any_office)
            }
            "chat.registered" => {
                let declared = (c % 3 == 0).then_some(chat);
                let (owner, link_no) = (if declared.is_some() { owner } else { a % 3 }, b % 40);
                let mut body = chat_over(owner, &covered, chat_kind, link_no);
                body.entrance = body.entrance.map(|_| 1 + (a % 3) as u16);
                (body.declared, body.max) = (declared, max);
                if declared.is_some() && c % 2 == 0 {
                    body.link = None;
                }
                (Body::ChatRegistered(body), vec![owner])
            }
            "chat.amended" => {
                let mut body = amended(chat);
                match c % 4 {
                    0 => body.link = Some(link(b % 40)),
                    1 => body.buildings = Some(List(covered.iter().map(|n| building(*n)).collect())),
                    2 => body.max = Some(MaxChatId(-1 - (b % 12) as i64)),
                    _ => body.title = Some(text("Новое имя")),
                }
                (Body::ChatAmended(body), vec![owner])
            }
            "applicability.set" => {
                let set = ApplicabilitySet { region: "77".parse().unwrap(), above_flats: b as u16 };
                (Body::ApplicabilitySet(set), vec![ROOT])
            }
            "impersonation.flagged" | "impersonation.cleared" => {
                let imitation = match c % 3 {
                    0 => Imitation::Link(link(b % 40)),
                    1 => Imitation::Max(MaxChatId(-1 - (b % 12) as i64)),
                    _ => Imitation::Title(text(&format!("Дом {}", b % 4))),
                };
                let flag = match overlay.facts(&Subject::Imitation(imitation.clone())) {
                    Some(Facts::Imitation(i)) => i.open().map(|f| f.imitates),
                    _ => None,
                };
                if kind == "impersonation.cleared" {
                    let signer = flag.map_or(owner, |chat| self.owner(chat));
                    return (Body::ImpersonationCleared(ImpersonationCleared { imitation }), vec![signer]);
                }
                let imitates = flag.filter(|_| a % 4 != 0).unwrap_or(chat);
                let certainty = if a % 2 == 0 { Certainty::Reported } else { Certainty::Confirmed };
                let body = ImpersonationFlagged { imitation, imitates, certainty };
                (Body::ImpersonationFlagged(body), vec![self.owner(imitates)])
            }
            "objection.noted" => {
                let subject = if c % 2 == 0 { Subject::Building(building(house_no)) } else { Subject::Chat(chat) };
                let signer = if c % 2 == 0 { any_office } else { vec![owner] };
                let (outcome, resolved_by) = match a % 5 {
                    0 | 1 => (None, None),
                    2 => (Some(Outcome::Rejected), None),
                    _ => (Some(Outcome::Upheld), overlay.entry(&subject).and_then(|e| e.last_record())),
                };
                let (number, date) = (text(&format!("вх-{}", b % 2)), day(5));
                (Body::ObjectionNoted(ObjectionNoted { subject, number, date, outcome, resolved_by }), signer)
            }
            "chat.suspended" => (Body::ChatSuspended(standing(chat)), vec![owner]),
            "chat.restored" => (Body::ChatRestored(standing(chat)), vec![owner]),
            "chat.closed" => (Body::ChatClosed(standing(chat)), vec![owner]),
            "chat.replaced" => {
                let over = |n: &ChatNumber| overlay.chat(*n).map(|c| c.buildings.clone()).unwrap_or_default();
                let beside = |n: &&ChatNumber| **n != chat && over(n).iter().any(|b| over(&chat).contains(b));
                let successor = self.chats.iter().rev().find(|n| b % 4 == 0 || beside(n)).copied().unwrap_or(chat);
                (Body::ChatReplaced(ChatReplaced { chat, successor }), vec![owner])
            }
            "chat.observed" => {
                let (on, by) = (day(c % 60), ObservedBy::Hand);
                let (owner_seen, former_administrator) = (Finding::Match, b % 2 == 0);
                let seen = ChatObserved {
                    chat,
                    on,
                    by,
                    owner: owner_seen,
                    administrator: Finding::Unknown,
                    link: Finding::Mismatch,
                    former_administrator,
                };
                (Body::ChatObserved(seen), vec![owner])
            }
            "ownership.transferred" => {
                (transfer(chat, owner, other), if c % 5 == 0 { vec![ROOT] } else { vec![owner, other] })
            }
            "admin.delegated" | "admin.withdrawn" => {
                let body = Admin { chat, organisation: self.manager(&overlay, chat, firm) };
                let body =
                    if kind == "admin.delegated" { Body::AdminDelegated(body) } else { Body::AdminWithdrawn(body) };
                (body, vec![owner])
            }
            "bot.attested" => {
                let (bot, chats) = (BotName::new("@dom_bot").unwrap(), (c % 2 == 0).then(|| List(vec![chat])));
                (
                    Body::BotAttested(BotAttested { bot, title: text("Бот"), authority: authority(owner), chats }),
                    vec![owner],
                )
            }
            "bot.withdrawn" => {
                (Body::BotWithdrawn(BotWithdrawn { bot: BotName::new("@dom_bot").unwrap() }), any_office)
            }
            "services.published" => {
                let phone = (c % 4 != 0).then(|| Phone::new("112").unwrap());
                let service =
                    Service {
                        kind: ServiceKind::Emergency, title: text("Аварийная"), link: None, bot: None, phone
                    };
                (
                    Body::ServicesPublished(ServicesPublished {
                        building: building(house_no),
                        services: List(vec![service]),
                    }),
                    any_office,
                )
            }
            _ => {
                let subject = if c % 2 == 0 { Subject::Building(building(house_no)) } else { Subject::Chat(chat) };
                let signer = if c % 2 == 0 { any_office } else { vec![owner] };
                let all: Vec<RecordId> = history(&subject);
                let record = all.last().filter(|_| a % 3 == 0).copied().unwrap_or_else(|| one_of(all));
                (Body::RecordSuperseded(RecordSuperseded { record, subject }), signer)
            }
        }
    }

    /// An organisation that manages a building of the chat, where there is one.
    fn manager(&self, view: &impl View, chat: ChatNumber, firm: usize) -> OrgId {
        let buildings = view.chat(chat).map(|c| c.buildings.clone()).unwrap_or_default();
        let open = view.chat(chat).and_then(|c| c.admins.iter().rfind(|a| a.withdrawn.is_none()));
        if let Some(open) = open.filter(|_| firm == 0) {
            return open.organisation.clone();
        }
        let managements = buildings.iter().filter_map(|b| view.building(b)).flat_map(|b| &b.managements);
        managements.filter_map(|m| m.organisation.clone()).nth(firm / 2).unwrap_or_else(|| company(firm))
    }
}

/// Stands for the region's root among those who should sign.
pub const ROOT: usize = 4;

/// Days the sequences speak of.
pub fn days() -> impl Iterator<Item = Day> {
    (0..70).map(day)
}
