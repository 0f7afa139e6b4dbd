//! How each record moves the facts of its subject: a pure fold, whose result is hashed into the state map.

use super::body::*;
use super::facts::*;
use super::ids::{ChatNumber, OrgId, RecordId};
use super::record::{Basis, Record};
use super::text::Day;
use super::transfer;

/// What is rare or large in facts lies in a box.
pub(super) fn boxed(basis: Option<&Basis>) -> Option<Box<Basis>> {
    basis.cloned().map(Box::new)
}

/// Applies `record` to the facts of its subject. Facts that are absent stay absent unless the record begins them.
pub fn evolve(facts: Option<Facts>, subject_chat: Option<ChatNumber>, record: &Record) -> Option<Facts> {
    let (id, from) = (record.id, record.effective_from);
    let observed = record.basis.as_ref().and_then(|b| b.date);
    match (&record.body, facts) {
        (Body::AuthorityEnrolled(b), None) => Some(Facts::Authority(Box::new(AuthorityFacts {
            authority: b.authority.clone(),
            name: b.name.clone(),
            oktmo: b.oktmo.clone(),
            enrolled: id,
            short_name: b.short_name.clone(),
            suspended: None,
            succeeded: None,
        }))),
        (Body::KeyGranted(b), None) => Some(Facts::Key(Box::new(KeyFacts {
            key: b.key.clone(),
            authority: b.authority.clone(),
            scopes: b.scopes.clone(),
            oktmo: b.oktmo.clone(),
            not_before: b.not_before,
            not_after: b.not_after,
            granted: id,
            revoked: None,
        }))),
        (Body::OrganisationNamed(b), facts) => {
            let mut o = organisation(facts, &b.organisation);
            o.names.push(Named { name: b.name.clone(), record: id, from, observed });
            Some(Facts::Organisation(Box::new(o)))
        }
        (Body::OrganisationLinked(b), facts) => {
            let mut o = organisation(facts, &b.organisation);
            let mut also = o.also.take().unwrap_or_default();
            link(&mut also, &mut o.distinct, &b.also, &b.distinct);
            o.also = Some(also).filter(|a| !a.is_empty());
            Some(Facts::Organisation(Box::new(o)))
        }
        (Body::BuildingRegistered(b), None) => Some(Facts::Building(Box::new(BuildingFacts {
            building: b.building.clone(),
            address: b.address.clone(),
            oktmo: b.oktmo,
            kind: b.kind,
            also: b.also.clone().unwrap_or_default().0,
            registered: id,
            void: false,
            managements: Vec::new(),
            services: Vec::new(),
            flats: b.flats,
            year: b.year,
            emergency: b.emergency,
            applicability: b.applicability,
            retired: None,
            objections: None,
            distinct: None,
            described: observed,
        }))),
        (Body::ChatDeclared(b), None) => Some(Facts::Chat(Box::new(ChatFacts {
            chat: subject_chat?,
            kind: b.kind,
            title: b.title.clone(),
            buildings: b.buildings.0.clone(),
            rotated: Vec::new(),
            owners: vec![Owner {
                authority: b.authority.clone(),
                record: id,
                from,
                basis: boxed(record.basis.as_ref()),
            }],
            statuses: vec![Status { status: ChatStatus::Declared, record: id, from, reason: None, basis: None }],
            admins: Vec::new(),
            link: b.link,
            max: b.max,
            service_account: None,
            successor: None,
            observed: None,
            offered: None,
            left: None,
            arrived: None,
            entrance: b.entrance,
            objections: None,
        }))),
        (Body::ChatRegistered(b), facts) => {
            let before = match facts {
                Some(Facts::Chat(c)) => Some(c),
                _ => None,
            };
            let mut rotated = before.as_ref().map(|c| c.rotated.clone()).unwrap_or_default();
            if let Some(old) = before.as_ref().and_then(|c| c.link).filter(|l| b.link.is_some_and(|n| n != *l)) {
                rotated.push(old);
                rotated.retain(|l| Some(*l) != b.link);
            }
            let mut owners = before.as_ref().map(|c| c.owners.clone()).unwrap_or_default();
            owners.push(Owner { authority: b.owner.clone(), record: id, from, basis: boxed(record.basis.as_ref()) });
            let mut statuses = before.as_ref().map(|c| c.statuses.clone()).unwrap_or_default();
            statuses.push(Status { status: ChatStatus::Official, record: id, from, reason: None, basis: None });
            Some(Facts::Chat(Box::new(ChatFacts {
                chat: subject_chat?,
                kind: b.kind,
                title: b.title.clone(),
                buildings: b.buildings.0.clone(),
                rotated,
                owners,
                statuses,
                // Whoever administered the declared chat goes on.
                admins: before.as_ref().map(|c| c.admins.clone()).unwrap_or_default(),
                link: b.link.or_else(|| before.as_ref().and_then(|c| c.link)),
                max: b.max.or_else(|| before.as_ref().and_then(|c| c.max)),
                service_account: b.service_account.clone().or_else(|| before.as_ref()?.service_account.clone()),
                successor: None,
                observed: before.as_ref().and_then(|c| c.observed.clone()),
                entrance: b.entrance,
                objections: before.and_then(|c| c.objections),
                offered: None,
                left: None,
                arrived: None,
            })))
        }
        (Body::BotAttested(b), _) => Some(Facts::Bot(Box::new(BotFacts {
            bot: b.bot.clone(),
            title: b.title.clone(),
            authority: b.authority.clone(),
            chats: b.chats.clone().unwrap_or_default().0,
            attested: id,
            from,
            to: None,
            withdrawn: None,
            basis: record.basis.clone(),
        }))),
        (Body::TransferAccepted(b), facts) if subject_chat.is_some() => Some(transfer::arrive(facts, b, record)),
        (
            Body::TransferOffered(_)
            | Body::TransferAccepted(_)
            | Body::TransferDeclined(_)
            | Body::TransferReleased(_),
            facts,
        ) if subject_chat.is_none() => transfer::evolve_offer(facts, record),
        (Body::ApplicabilitySet(b), facts) => {
            let mut thresholds = match facts {
                Some(Facts::Applicability(a)) => a.thresholds,
                _ => Vec::new(),
            };
            thresholds.push(Threshold { above_flats: b.above_flats, record: id, from, basis: record.basis.clone() });
            Some(Facts::Applicability(Box::new(ApplicabilityFacts { region: b.region, thresholds })))
        }
        (Body::ImpersonationFlagged(b), facts) => {
            let mut flags = match facts {
                Some(Facts::Imitation(i)) => i.flags,
                _ => Vec::new(),
            };
            flags.push(Flag {
                imitates: b.imitates,
                certainty: b.certainty,
                record: id,
                from,
                basis: record.basis.clone(),
                to: None,
                cleared: None,
            });
            Some(Facts::Imitation(Box::new(ImitationFacts { imitation: b.imitation.clone(), flags })))
        }
        (body, Some(mut facts)) => {
            match &mut facts {
                Facts::Authority(a) => evolve_authority(a, body, id, from, record.basis.as_ref()),
                Facts::Key(k) => evolve_key(k, body, id),
                Facts::Building(b) => evolve_building(b, body, id, from, observed),
                Facts::Chat(c) => evolve_chat(c, body, id, from, record.basis.as_ref()),
                Facts::Bot(b) => evolve_bot(b, body, id, from),
                Facts::Imitation(i) => evolve_imitation(i, body, id, from),
                Facts::Organisation(_) | Facts::Applicability(_) | Facts::Transfer(_) => {}
            }
            Some(facts)
        }
        (_, None) => None,
    }
}

/// The organisation's facts so far; the first record that speaks of it begins them.
fn organisation(facts: Option<Facts>, id: &OrgId) -> OrganisationFacts {
    match facts {
        Some(Facts::Organisation(o)) => *o,
        _ => OrganisationFacts { organisation: id.clone(), names: Vec::new(), also: None, distinct: None },
    }
}

/// Ids that come to be a thing's own and ids that are found not to be: each id stands in one of the two lists.
fn link<T: Clone + PartialEq, const N: usize>(
    also: &mut Vec<T>,
    distinct: &mut Option<Vec<T>>,
    own: &Option<List<T, N>>,
    other: &Option<List<T, N>>,
) {
    let mut others = distinct.take().unwrap_or_default();
    for id in own.iter().flat_map(|l| &l.0) {
        others.retain(|o| o != id);
        if !also.contains(id) {
            also.push(id.clone());
        }
    }
    for id in other.iter().flat_map(|l| &l.0) {
        also.retain(|o| o != id);
        if !others.contains(id) {
            others.push(id.clone());
        }
    }
    *distinct = Some(others).filter(|o| !o.is_empty());
}

fn evolve_authority(a: &mut AuthorityFacts, body: &Body, record: RecordId, from: Option<Day>, basis: Option<&Basis>) {
    match body {
        Body::AuthorityAmended(b) => {
            a.name = b.name.clone();
            a.short_name = b.short_name.clone();
            a.oktmo = b.oktmo.clone();
            if b.reinstated == Some(true) {
                a.suspended = None;
            }
        }
        Body::AuthoritySuspended(b) => {
            a.suspended = Some(Standing { record, reason: b.reason, from, basis: basis.cloned() })
        }
        Body::AuthoritySucceeded(b) => {
            a.succeeded = Some(Succession { successor: b.successor.clone(), record, from, basis: boxed(basis) });
        }
        _ => {}
    }
}

fn evolve_key(k: &mut KeyFacts, body: &Body, record: RecordId) {
    if let Body::KeyRevoked(b) = body {
        k.revoked = Some(Revocation { reason: b.reason, record, suspect_from: b.suspect_from });
    }
}

fn evolve_building(f: &mut BuildingFacts, body: &Body, record: RecordId, from: Option<Day>, observed: Option<Day>) {
    match body {
        Body::BuildingAmended(b) => {
            f.address = b.address.clone();
            f.oktmo = b.oktmo;
            f.kind = b.kind;
            f.also.clear();
            link(&mut f.also, &mut f.distinct, &b.also, &None);
            f.described = observed;
            f.flats = b.flats;
            f.year = b.year;
            f.emergency = b.emergency;
            f.applicability = b.applicability;
        }
        Body::BuildingLinked(b) => link(&mut f.also, &mut f.distinct, &b.also, &b.distinct),
        Body::BuildingRetired(b) => {
            let into = b.into.clone().unwrap_or_default().0;
            f.retired = Some(Box::new(Retirement { reason: b.reason, into, record, from }));
        }
        Body::ManagementAssigned(b) => f.managements.push(Management {
            form: b.form,
            record,
            void: false,
            organisation: b.organisation.clone(),
            from,
            observed,
            to: None,
            ended: None,
            contract: b.contract,
            licence: b.licence,
            goes_on: None,
        }),
        Body::ManagementEnded(b) => {
            if let Some(m) = f.managements.iter_mut().find(|m| m.record == b.management) {
                m.to = from;
                m.ended = Some(record);
                m.goes_on = b.goes_on.filter(|goes_on| *goes_on);
            }
        }
        Body::ObjectionNoted(b) => object(&mut f.objections, b, record, from),
        Body::ServicesPublished(b) => f.services = b.services.0.clone(),
        Body::RecordSuperseded(b) => {
            f.void |= f.registered == b.record;
            for m in &mut f.managements {
                m.void |= m.record == b.record;
                if m.ended == Some(b.record) {
                    (m.ended, m.to, m.goes_on) = (None, None, None);
                }
            }
            if f.retired.as_ref().is_some_and(|r| r.record == b.record) {
                f.retired = None;
            }
        }
        _ => {}
    }
}

fn evolve_chat(c: &mut ChatFacts, body: &Body, record: RecordId, from: Option<Day>, basis: Option<&Basis>) {
    let standings = c.statuses.len();
    match body {
        Body::ChatAmended(b) => {
            if let Some(title) = &b.title {
                c.title = title.clone();
            }
            if let Some(buildings) = &b.buildings {
                c.buildings = buildings.0.clone();
            }
            if b.link.is_some() && b.link != c.link {
                c.rotated.extend(c.link);
                c.rotated.retain(|l| Some(*l) != b.link);
                c.link = b.link;
            }
            c.max = b.max.or(c.max);
            c.entrance = b.entrance.or(c.entrance);
            c.service_account = b.service_account.clone().or(c.service_account.take());
        }
        Body::ChatSuspended(b) => c.stand(ChatStatus::Suspended, record, from, Some(b.reason)),
        Body::ChatRestored(b) => c.stand(ChatStatus::Official, record, from, Some(b.reason)),
        Body::ChatClosed(b) => c.stand(ChatStatus::Closed, record, from, Some(b.reason)),
        Body::ChatReplaced(b) => {
            c.stand(ChatStatus::Replaced, record, from, None);
            c.successor = Some(b.successor);
        }
        // A look of an earlier day, entered late, hides no later one.
        Body::ChatObserved(b) if c.observed.as_ref().is_none_or(|o| o.on <= b.on) => {
            c.observed = Some(Box::new(b.clone()))
        }
        Body::ObjectionNoted(b) => object(&mut c.objections, b, record, from),
        Body::OwnershipTransferred(b) => {
            c.owners.push(Owner { authority: b.to.clone(), record, from, basis: boxed(basis) });
        }
        Body::AdminDelegated(b) => c.admins.push(Delegation {
            organisation: b.organisation.clone(),
            record,
            void: false,
            from,
            to: None,
            withdrawn: None,
        }),
        Body::AdminWithdrawn(b) => {
            let open = |a: &&mut Delegation| !a.void && a.withdrawn.is_none() && a.organisation == b.organisation;
            for a in c.admins.iter_mut().filter(open) {
                a.to = from;
                a.withdrawn = Some(record);
            }
        }
        Body::RecordSuperseded(b) => {
            for a in &mut c.admins {
                a.void |= a.record == b.record;
                if a.withdrawn == Some(b.record) {
                    (a.withdrawn, a.to) = (None, None);
                }
            }
            match c.statuses.as_slice() {
                [.., before, last] if last.record == b.record && !c.begins_with(last) => {
                    // The standing before it is back, since the day it began.
                    let (status, from) = (before.status, from.or(before.from));
                    c.successor = None;
                    c.stand(status, record, from, Some(StandingReason::Mistake));
                }
                [.., last] if last.record == b.record => {
                    c.stand(ChatStatus::Void, record, from, Some(StandingReason::Mistake));
                }
                _ => {}
            }
        }
        Body::TransferOffered(_) | Body::TransferReleased(_) => transfer::evolve_chat(c, body, record, from),
        _ => {}
    }
    if let Some(new) = c.statuses.get_mut(standings) {
        new.basis = boxed(basis);
    }
}

fn evolve_bot(f: &mut BotFacts, body: &Body, record: RecordId, from: Option<Day>) {
    if let Body::BotWithdrawn(_) = body {
        (f.to, f.withdrawn) = (from, Some(record));
    }
}

fn evolve_imitation(f: &mut ImitationFacts, body: &Body, record: RecordId, from: Option<Day>) {
    if let (Body::ImpersonationCleared(_), Some(last)) = (body, f.flags.last_mut()) {
        (last.to, last.cleared) = (from, Some(record));
    }
}

/// Notes an objection, or ends the one of that number and day.
fn object(objections: &mut Option<Vec<Objection>>, b: &ObjectionNoted, record: RecordId, from: Option<Day>) {
    let objections = objections.get_or_insert_default();
    let same = |o: &&mut Objection| o.closed.is_none() && o.number == b.number && o.date == b.date;
    match (b.outcome, objections.iter_mut().find(same)) {
        (Some(outcome), Some(o)) => {
            (o.outcome, o.resolved_by) = (Some(outcome), b.resolved_by);
            (o.closed, o.to) = (Some(record), from);
        }
        _ => objections.push(Objection {
            number: b.number.clone(),
            date: b.date,
            record,
            outcome: None,
            resolved_by: None,
            closed: None,
            to: None,
        }),
    }
}
