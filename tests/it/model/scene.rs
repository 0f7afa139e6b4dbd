//! Where the model begins, and how what may be said becomes a record.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, RecordId};
use domovoi::registry::record::{DecodedRecord, Draft, Subject};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Overlay, View};
use domovoi::registry::state_proof::Quoted;
use domovoi::registry::text::{Day, Millis};
use domovoi::registry::transfer::*;
use ed25519_dalek::SigningKey;

use super::blind::{Blind, Bug};
use super::region::{Phase, Place, Region, Signed, Who, sign};
use super::spec::{KeyIs, Say, Spec, Standing};
use crate::rules::world::{
    START, amended, assigned, authority, basis, building, chat_over, company, day, granted, house, link, standing,
    text, transfer,
};

/// The two regions as the model finds them, and what the first records are called.
pub struct Scene {
    pub regions: [Region; 2],
    /// The chat: official, over house 0, owned by authority 0, administered by company 0.
    pub chat: ChatNumber,
    registration: RecordId,
    delegation: RecordId,
}

pub static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

/// A day on which everything that ends in the model has ended.
pub fn late_day() -> Day {
    day(40)
}

pub fn thumb(who: Who) -> domovoi::registry::ids::KeyThumb {
    PublicKey::of(&who.key()).thumb()
}

/// Every subject of the model.
pub fn subjects() -> Vec<Subject> {
    let people = (0..4).map(|n| Subject::Authority(authority(n)));
    let keys = (0..4).flat_map(|n| [Who::Key(n), Who::Late(n)]).map(|who| Subject::Key(thumb(who)));
    let things = [Subject::Building(building(0)), Subject::Chat(SCENE.chat)];
    people.chain(keys).chain(things).collect()
}

fn key_for(key: &SigningKey, n: u8, from: u64) -> Body {
    let place = if n < 2 { Place::A } else { Place::B };
    Body::KeyGranted(granted(key, n.into(), "*", place.prefix(), from, 1 << 50))
}

impl Scene {
    fn new() -> Scene {
        let mut regions = Vec::new();
        for place in Place::ALL {
            let mut spec = Spec::new(place);
            let mut region = Region::empty(place, spec.clone());
            let root = [Who::Root(place)];
            for n in if place == Place::A { [0, 1] } else { [2, 3] } {
                let oktmo = List(vec![place.prefix().parse().unwrap()]);
                let enrolled =
                    AuthorityEnrolled { authority: authority(n), name: text("ГЖИ"), oktmo, short_name: None };
                begin(&mut region, Body::AuthorityEnrolled(enrolled), None, &root);
                begin(&mut region, key_for(&Who::Key(n as u8).key(), n as u8, START), None, &root);
                spec.enrolled[n] = true;
                spec.keys[n] = KeyIs::Granted;
            }
            region.spec = spec;
            regions.push(region.commit(Phase::Now, Bug::None));
        }
        let [mut a, mut b]: [Region; 2] = regions.try_into().unwrap();
        // The house lies on the border: both registers have it.
        begin(&mut b, Body::BuildingRegistered(house(0, "40100000", vec![])), None, &[Who::Key(2)]);
        let by = [Who::Key(0)];
        begin(&mut a, Body::BuildingRegistered(house(0, "45100000", vec![])), None, &by);
        begin(&mut a, assigned(0, Some(company(0))), Some(day(1)), &by);
        let registration =
            begin(&mut a, Body::ChatRegistered(chat_over(0, &[0], ChatKind::House, 1)), Some(day(1)), &by);
        let chat = ChatNumber::derive(Place::A.code(), &registration.0);
        let admin = Admin { chat, organisation: company(0) };
        let delegation = begin(&mut a, Body::AdminDelegated(admin), Some(day(2)), &by);
        a.spec.chat = Standing::Official;
        (a.spec.owners, a.spec.manages[0], a.spec.first_open) = (1, true, true);
        Scene { regions: [a, b].map(|r| r.commit(Phase::Now, Bug::None)), chat, registration, delegation }
    }
}

/// Says something at the beginning; the specification does not hear of it.
fn begin(region: &mut Region, body: Body, from: Option<Day>, by: &[Who]) -> RecordId {
    let overlay = region.overlay(Phase::Now, Bug::None);
    let subject = body.subject(&RecordId([0; 32]), region.place.code());
    let signed = sign(draft(region.place, body, from, region.last(&overlay, &subject), false), by);
    region.judge(&Blind::new(&overlay, Bug::None), &signed, Phase::Now).unwrap();
    let id = signed.verified.record().id;
    drop(overlay);
    *region = region.with(signed, Say::CorrectChat, region.spec.clone());
    id
}

pub fn draft(place: Place, body: Body, from: Option<Day>, prev: Option<RecordId>, with_basis: bool) -> Draft {
    Draft {
        log: place.origin().into(),
        issued_at: Millis::new(START).unwrap(),
        submit_before: Millis::new(1 << 50).unwrap(),
        effective_from: from,
        prev,
        basis: with_basis.then(basis),
        batch: None,
        body,
    }
}

/// The subject of what is said.
fn subject(say: Say) -> Subject {
    match say {
        Say::Succeed(n, _) | Say::Suspend(n) | Say::Reinstate(n) => Subject::Authority(authority(n.into())),
        Say::Revoke(who) => Subject::Key(thumb(who)),
        Say::GrantLate(n) => Subject::Key(thumb(Who::Late(n))),
        Say::Assign(_) | Say::End(_) => Subject::Building(building(0)),
        _ => Subject::Chat(SCENE.chat),
    }
}

/// A record about an offer, with what the other region has proved.
pub fn crossing(region: &Region, overlay: &Overlay<'_>, other: &Region, say: Say, by: &[Who]) -> Option<Arc<Signed>> {
    let chat = SCENE.chat;
    let body = match say {
        Say::Offer(to) => {
            let c = overlay.chat(chat)?;
            Body::TransferOffered(TransferOffered {
                chat,
                kind: c.kind,
                entrance: c.entrance,
                title: c.title.clone(),
                buildings: List(c.buildings.clone()),
                from: overlay.holder(&c.owner()?.authority),
                to: authority(to.into()),
                receiving: text(other.place.origin()),
                accept_before: Millis::new(Phase::Late.begins()).unwrap(),
                link: c.link,
                max: c.max,
            })
        }
        Say::Accept(n, k) | Say::Decline(n, k) => {
            let (offer, proof) = (*other.offers.get(usize::from(n))?, other.proofs.get(usize::from(k))?);
            let entry = other.entry(&offer)?;
            let Body::TransferOffered(o) = DecodedRecord::decode(entry).unwrap().record.body else { return None };
            let (entry, proof) = (Quoted::new(entry).unwrap(), proof.proof.clone());
            let (leaving, owner) = (text(other.place.origin()), overlay.holder(&o.to));
            let (from, to, accept_before, buildings) = (o.from, o.to, o.accept_before, o.buildings);
            match say {
                Say::Decline(..) => Body::TransferDeclined(TransferDeclined {
                    chat,
                    offer,
                    leaving,
                    from,
                    to,
                    accept_before,
                    entry,
                    proof,
                }),
                _ => Body::TransferAccepted(TransferAccepted {
                    chat,
                    offer,
                    leaving,
                    from,
                    to,
                    accept_before,
                    owner,
                    kind: o.kind,
                    entrance: o.entrance,
                    title: o.title,
                    buildings,
                    entry,
                    proof,
                    link: o.link,
                    max: o.max,
                    service_account: None,
                }),
            }
        }
        Say::Release(n, outcome, k) => {
            let (offer, proof) = (*region.offers.get(usize::from(n))?, other.proofs.get(usize::from(k))?);
            let answer = if outcome == Ending::Expired { None } else { proof.answer.or(Some(RecordId([9; 32]))) };
            Body::TransferReleased(TransferReleased { chat, offer, outcome, proof: proof.proof.clone(), answer })
        }
        _ => return None,
    };
    let subject = body.subject(&RecordId([0; 32]), region.place.code());
    let prev = region.last(overlay, &subject);
    Some(sign(draft(region.place, body, Some(day(20)), prev, false), by))
}

/// What names a record: what is said, by whom, with a document or without, after which record, about which record.
type Slot = (Place, Say, Vec<Who>, bool, Option<RecordId>, Option<RecordId>, u8);

static RECORDS: LazyLock<Mutex<HashMap<Slot, Arc<Signed>>>> = LazyLock::new(Mutex::default);

/// The signed record that says it now, in this region.
pub fn record(region: &Region, overlay: &Overlay<'_>, say: Say, by: &[Who], with_basis: bool) -> Arc<Signed> {
    let prev = region.last(overlay, &subject(say));
    record_after(region, overlay, say, by, with_basis, prev)
}

/// The same, made against the state in which `prev` was the last record of the subject.
pub fn record_after(
    region: &Region,
    overlay: &Overlay<'_>,
    say: Say,
    by: &[Who],
    with_basis: bool,
    prev: Option<RecordId>,
) -> Arc<Signed> {
    let about = match say {
        Say::CorrectChat => Some(SCENE.registration),
        Say::CorrectDelegation => Some(SCENE.delegation),
        Say::CorrectArrival => overlay.chat(SCENE.chat).and_then(|c| c.arrived.as_ref()).map(|a| a.record),
        Say::End(c) => overlay.building(&building(0)).and_then(|b| {
            let mut managements = b.managements.iter().rev();
            managements.find(|m| m.organisation == Some(company(c.into()))).map(|m| m.record)
        }),
        _ => None,
    };
    let slot = (region.place, say, by.to_vec(), with_basis, prev, about, region.spec.link);
    if let Some(signed) = RECORDS.lock().unwrap().get(&slot) {
        return signed.clone();
    }
    let (body, from) = body(say, about, region.spec.link);
    let signed = sign(draft(region.place, body, from, prev, with_basis), by);
    RECORDS.lock().unwrap().insert(slot, signed.clone());
    signed
}

/// The body that says it, and the day from which it is true.
fn body(say: Say, about: Option<RecordId>, last_link: u8) -> (Body, Option<Day>) {
    let chat = SCENE.chat;
    let about = about.unwrap_or(RecordId([9; 32]));
    let admin = |c: u8| Admin { chat, organisation: company(c.into()) };
    let superseded = || Body::RecordSuperseded(RecordSuperseded { subject: Subject::Chat(chat), record: about });
    let at = |n| Some(day(n));
    match say {
        Say::Transfer(from, to) => (transfer(chat, from.into(), to.into()), at(5)),
        Say::Succeed(old, new) => {
            let (authority, successor) = (authority(old.into()), authority(new.into()));
            (Body::AuthoritySucceeded(AuthoritySucceeded { authority, successor }), at(5))
        }
        Say::Suspend(n) => {
            let (authority, reason) = (authority(n.into()), StandingReason::Compromised);
            (Body::AuthoritySuspended(AuthoritySuspended { authority, reason }), None)
        }
        Say::Reinstate(n) => {
            let place = if n < 2 { Place::A } else { Place::B };
            let oktmo = List(vec![place.prefix().parse().unwrap()]);
            let (authority, name, reinstated) = (authority(n.into()), text("ГЖИ"), Some(true));
            let amended = AuthorityAmended { authority, name, oktmo, short_name: None, reinstated };
            (Body::AuthorityAmended(amended), None)
        }
        Say::Revoke(who) => {
            let (key, reason) = (thumb(who), RevokeReason::Compromised);
            (Body::KeyRevoked(KeyRevoked { key, reason, suspect_from: Some(3) }), None)
        }
        Say::GrantLate(n) => (key_for(&Who::Late(n).key(), n, Phase::Later.begins()), None),
        Say::Assign(c) => (assigned(0, Some(company(c.into()))), at(10)),
        Say::End(_) => {
            (Body::ManagementEnded(ManagementEnded { building: building(0), management: about, goes_on: None }), at(10))
        }
        Say::Delegate(c) => (Body::AdminDelegated(admin(c)), at(11)),
        Say::Withdraw(c) => (Body::AdminWithdrawn(admin(c)), at(12)),
        Say::SuspendChat => (Body::ChatSuspended(standing(chat)), at(5)),
        Say::RestoreChat => (Body::ChatRestored(standing(chat)), at(5)),
        Say::CloseChat => (Body::ChatClosed(standing(chat)), at(5)),
        Say::Relink => {
            let link = Some(link(usize::from(last_link) + 1));
            (Body::ChatAmended(ChatAmended { link, ..amended(chat) }), None)
        }
        Say::CorrectChat | Say::CorrectDelegation | Say::CorrectArrival => (superseded(), None),
        Say::Offer(_) | Say::Accept(..) | Say::Decline(..) | Say::Release(..) => unreachable!("see crossing"),
    }
}
