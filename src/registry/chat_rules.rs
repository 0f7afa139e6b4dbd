//! Rules of chats, owners, administrators, bots, services and corrections: the second half of [`super::rules`].

use std::collections::BTreeSet;

use super::body::*;
use super::facts::{BuildingFacts, ChatFacts, ChatStatus, Delegation, Facts, MAX_SPANS};
use super::ids::{BuildingId, ChatNumber, LinkDigest, MaxChatId, Oktmo, OrgId};
use super::record::{Record, Subject};
use super::rules::*;
use super::state::{View, still_manages};
use super::text::Day;
use crate::error::Result;

/// The rules of every type that [`super::rules`] does not hold itself.
pub(super) fn check(view: &impl View, record: &Record, subject: &Subject, signers: &Signers<'_>) -> Result<()> {
    match &record.body {
        Body::ChatDeclared(b) => {
            new_subject(view, subject)?;
            in_good_standing(view, &b.authority)?;
            let codes = covered(view, &b.buildings.0)?;
            by_authority(signers, &b.authority, &codes)?;
            handle(view, None, b.link, b.max)
        }
        Body::ChatRegistered(b) => registered(view, b, subject, signers),
        Body::ChatAmended(b) => {
            let chat = active_chat(view, b.chat)?;
            by_owner(view, signers, chat)?;
            if let Some(buildings) = &b.buildings {
                let codes = covered(view, &buildings.0)?;
                let owner = chat.owner().map(|o| view.holder(&o.authority));
                if let Some(owner) = owner {
                    by_authority(signers, &owner, &codes)?;
                }
                if chat.is_active() {
                    one_house_chat(view, chat.kind, &buildings.0, Some(b.chat))?;
                }
            }
            if chat.rotated.len() >= MAX_SPANS {
                return too_many(subject);
            }
            if b.link.is_some() || b.max.is_some() {
                handle(view, Some(b.chat), b.link, b.max)?;
            }
            Ok(())
        }
        Body::ChatSuspended(b) => standing(view, b.chat, signers, subject, |s| s == ChatStatus::Official),
        Body::ChatRestored(b) => {
            standing(view, b.chat, signers, subject, |s| s == ChatStatus::Suspended)?;
            let chat = known_chat(view, b.chat)?;
            match chat.owner() {
                Some(owner) => in_good_standing(view, &view.holder(&owner.authority)),
                None => Ok(()),
            }
        }
        Body::ChatClosed(b) => standing(view, b.chat, signers, subject, |s| {
            matches!(s, ChatStatus::Official | ChatStatus::Suspended | ChatStatus::Declared)
        }),
        Body::ChatReplaced(b) => {
            standing(view, b.chat, signers, subject, |s| matches!(s, ChatStatus::Official | ChatStatus::Suspended))?;
            let old = known_chat(view, b.chat)?;
            let new = known_chat(view, b.successor)?;
            let shared = old.buildings.iter().any(|x| new.buildings.contains(x));
            let in_force = new.is_active() || new.status() == ChatStatus::Declared;
            if b.chat == b.successor || !shared || !in_force {
                return refuse(
                    "rule.chat.successor",
                    format!("{} cannot succeed {}", b.successor, b.chat),
                    "name another chat that is in force or declared and shares a building",
                );
            }
            Ok(())
        }
        Body::ChatObserved(b) => {
            let chat = known_chat(view, b.chat)?;
            by_owner(view, signers, chat)
        }
        Body::OwnershipTransferred(b) => transferred(view, b, record, signers),
        Body::AdminDelegated(b) => {
            let chat = active_chat(view, b.chat)?;
            by_owner(view, signers, chat)?;
            if chat.admins.len() >= MAX_SPANS {
                return too_many(subject);
            }
            let day = record.effective_from;
            if !day.is_some_and(|d| still_manages(view, &b.organisation, &chat.buildings, d)) {
                return refuse(
                    "rule.admin.not_managing",
                    format!("{} does not manage a building of {} on that day", b.organisation, b.chat),
                    "record its management first",
                );
            }
            if day.is_some_and(|d| administers_all(view, chat, &b.organisation, d)) {
                return refuse(
                    "rule.admin.open",
                    "the organisation administers this chat already",
                    "nothing needs to be done",
                );
            }
            Ok(())
        }
        Body::AdminWithdrawn(b) => {
            let chat = active_chat(view, b.chat)?;
            by_owner(view, signers, chat)?;
            match chat.admins.iter().any(|a| !a.void && a.withdrawn.is_none() && a.organisation == b.organisation) {
                true => Ok(()),
                false => refuse("rule.admin.unknown", "no such delegation is open", "nothing needs to be done"),
            }
        }
        Body::BotAttested(b) => {
            in_good_standing(view, &b.authority)?;
            by_authority(signers, &b.authority, &[])?;
            if let Some(Facts::Bot(old)) = view.facts(subject)
                && old.withdrawn.is_none()
                && view.holder(&old.authority) != b.authority
            {
                return refuse(
                    "rule.bot.other",
                    format!("the bot is attested by {}", old.authority),
                    "have it withdrawn first",
                );
            }
            for chat in b.chats.iter().flat_map(|c| &c.0) {
                by_owner(view, signers, active_chat(view, *chat)?)?;
            }
            Ok(())
        }
        Body::BotWithdrawn(_) => match view.facts(subject) {
            Some(Facts::Bot(old)) if old.withdrawn.is_none() => {
                by_authority(signers, &view.holder(&old.authority), &[])
            }
            _ => refuse("rule.bot.unknown", "no such bot is attested", "check the name"),
        },
        Body::ServicesPublished(b) => {
            let building = known_building(view, &b.building)?;
            for service in &b.services.0 {
                let ways = [service.link.is_some(), service.bot.is_some(), service.phone.is_some()];
                if ways.iter().filter(|w| **w).count() != 1 {
                    return refuse("rule.service.way", "a service has exactly one of link, bot, phone", "name one");
                }
            }
            by_any_authority(signers, &building.oktmo)
        }
        Body::RecordSuperseded(b) => superseded(view, b, signers),
        // Everything else is in rules.rs; a type nobody rules on is refused, not waved through.
        _ => refuse("rule.type", "this type has no rule", "report this as a defect"),
    }
}

/// The owner of a chat, or its successor, signed with a key good for all its buildings.
pub(super) fn by_owner(view: &impl View, signers: &Signers<'_>, chat: &ChatFacts) -> Result<()> {
    let codes: Vec<&Oktmo> = chat.buildings.iter().filter_map(|b| view.building(b)).map(|b| &b.oktmo).collect();
    match chat.owner() {
        Some(owner) => by_authority(signers, &view.holder(&owner.authority), &codes),
        None => refuse("rule.chat.owner", "the chat has no owner", "report this as a defect"),
    }
}

/// The buildings are known, distinct and at least one; gives their ОКТМО codes.
pub(super) fn covered<'v>(view: &'v impl View, buildings: &[BuildingId]) -> Result<Vec<&'v Oktmo>> {
    let distinct: BTreeSet<_> = buildings.iter().collect();
    if buildings.is_empty() || distinct.len() != buildings.len() {
        return refuse(
            "rule.chat.buildings",
            "a chat covers at least one building, each named once",
            "correct the list",
        );
    }
    buildings.iter().map(|id| known_building(view, id).map(|b: &BuildingFacts| &b.oktmo)).collect()
}

/// Rule 4: a building has at most one active official chat of kind house.
pub(super) fn one_house_chat(
    view: &impl View,
    kind: ChatKind,
    buildings: &[BuildingId],
    own: Option<ChatNumber>,
) -> Result<()> {
    if kind != ChatKind::House {
        return Ok(());
    }
    for building in buildings {
        let other = view.chats_by_building(building).into_iter().find(|n| {
            Some(*n) != own
                && view
                    .chat(*n)
                    .is_some_and(|c| c.kind == ChatKind::House && c.is_active() && c.buildings.contains(building))
        });
        if let Some(other) = other {
            return refuse(
                "rule.chat.one_per_house",
                format!("{building} has the official chat {other} already"),
                "replace or close that chat, or correct the building",
            );
        }
    }
    Ok(())
}

/// A chat has a link or a MAX id, and shares neither with another chat that is in force or declared.
pub(super) fn handle(
    view: &impl View,
    own: Option<ChatNumber>,
    link: Option<LinkDigest>,
    max: Option<MaxChatId>,
) -> Result<()> {
    if link.is_none() && max.is_none() {
        return refuse("rule.chat.handle", "a chat needs a join link or a MAX chat id", "name at least one");
    }
    let mut others = link.map(|l| view.chats_by_link(&l)).unwrap_or_default();
    others.extend(max.map(|m| view.chats_by_max(&m)).unwrap_or_default());
    let taken = others.into_iter().find(|n| {
        Some(*n) != own && view.chat(*n).is_some_and(|c| c.is_active() || c.status() == ChatStatus::Declared)
    });
    match taken {
        None => Ok(()),
        Some(n) => refuse(
            "rule.chat.taken",
            format!("the link or chat id belongs to the chat {n}"),
            "check which house it is for",
        ),
    }
}

fn registered(view: &impl View, b: &ChatRegistered, subject: &Subject, signers: &Signers<'_>) -> Result<()> {
    let (mut link, mut max) = (b.link, b.max);
    if let Some(number) = b.declared {
        let declared = known_chat(view, number)?;
        let by_right = declared.owner().map(|o| view.holder(&o.authority));
        if declared.status() != ChatStatus::Declared || by_right.as_ref() != Some(&b.owner) {
            return refuse(
                "rule.chat.declared",
                format!("{number} is not declared for {}", b.owner),
                "name a chat declared for it",
            );
        }
        (link, max) = (link.or(declared.link), max.or(declared.max));
    } else {
        new_subject(view, subject)?;
    }
    in_good_standing(view, &b.owner)?;
    let codes = covered(view, &b.buildings.0)?;
    by_authority(signers, &b.owner, &codes)?;
    one_house_chat(view, b.kind, &b.buildings.0, b.declared)?;
    handle(view, b.declared, link, max)
}

fn standing(
    view: &impl View,
    chat: ChatNumber,
    signers: &Signers<'_>,
    subject: &Subject,
    from: impl Fn(ChatStatus) -> bool,
) -> Result<()> {
    let facts = known_chat(view, chat)?;
    if facts.statuses.len() >= MAX_SPANS {
        return too_many(subject);
    }
    if !from(facts.status()) {
        return refuse(
            "rule.chat.standing",
            format!("{chat} is {:?}; this record does not follow from that", facts.status()),
            "look at the chat's current standing",
        );
    }
    by_owner(view, signers, facts)
}

/// Rule 3: both authorities sign, or the region's root with a basis.
fn transferred(view: &impl View, b: &OwnershipTransferred, record: &Record, signers: &Signers<'_>) -> Result<()> {
    let chat = active_chat(view, b.chat)?;
    if chat.owners.len() >= MAX_SPANS {
        return too_many(&Subject::Chat(b.chat));
    }
    let owner = chat.owner().map(|o| view.holder(&o.authority));
    if owner.as_ref() != Some(&b.from) || b.from == b.to {
        return refuse(
            "rule.transfer.owner",
            format!("the owner of {} is {}", b.chat, owner.map_or("nobody".to_owned(), |o| o.to_string())),
            "name the present owner as «from» and another authority as «to»",
        );
    }
    in_good_standing(view, &b.to)?;
    if signers.keys.is_empty() {
        by_root(view, signers)?;
        return needs_basis(record);
    }
    let codes: Vec<&Oktmo> = chat.buildings.iter().filter_map(|x| view.building(x)).map(|x| &x.oktmo).collect();
    by_authority(signers, &b.from, &codes)?;
    by_authority(signers, &b.to, &codes)
}

/// True where open delegations of `organisation` reach every building of the chat that it manages on `day`. One that
/// lost a house and got it back, or got a further one, needs a new delegation: what began before does not revive.
fn administers_all(view: &impl View, chat: &ChatFacts, organisation: &OrgId, day: Day) -> bool {
    let open: Vec<&Delegation> =
        chat.admins.iter().filter(|a| !a.void && a.withdrawn.is_none() && a.organisation == *organisation).collect();
    let managed =
        chat.buildings.iter().filter_map(|b| view.building(b)).filter(|b| b.managed_throughout(organisation, day, day));
    // A delegation that begins later than the new one is open as well.
    managed
        .into_iter()
        .all(|b| open.iter().any(|a| a.from.is_none_or(|f| b.managed_throughout(organisation, f.min(day), f.max(day)))))
}

/// Corrections act forward and touch only what the record itself began; never ownership, revocations or commits.
fn superseded(view: &impl View, b: &RecordSuperseded, signers: &Signers<'_>) -> Result<()> {
    match view.facts(&b.subject) {
        Some(Facts::Building(f)) => {
            by_any_authority(signers, &f.oktmo)?;
            if f.registered == b.record {
                let used = f.managements.iter().any(|m| !m.void)
                    || view.chats_by_building(&f.building).iter().any(|c| {
                        view.chat(*c)
                            .is_some_and(|c| c.status() != ChatStatus::Void && c.buildings.contains(&f.building))
                    });
                return match (f.void, used) {
                    (true, _) => already(),
                    (_, true) => refuse(
                        "rule.supersede.dependants",
                        format!("managements or chats of {} depend on this record", f.building),
                        "supersede them first",
                    ),
                    _ => Ok(()),
                };
            }
            if f.retired.as_ref().is_some_and(|r| r.record == b.record) {
                return Ok(());
            }
            if let Some(ended) = f.managements.iter().find(|m| m.ended == Some(b.record)) {
                return match !ended.void && open_management(f, ended.organisation.as_ref(), ended.form).is_some() {
                    true => refuse(
                        "rule.management.open",
                        format!("{} is managed by the same organisation again since", f.building),
                        "end or supersede the later management first",
                    ),
                    false => Ok(()),
                };
            }
            match f.managements.iter().find(|m| m.record == b.record) {
                Some(m) if m.void => already(),
                Some(_) => Ok(()),
                None => not_correctable(b),
            }
        }
        Some(Facts::Chat(c)) => {
            by_owner(view, signers, c)?;
            if c.admins.iter().any(|a| (a.record == b.record && !a.void) || a.withdrawn == Some(b.record)) {
                return Ok(());
            }
            let began = c.statuses.last().is_some_and(|s| {
                s.record == b.record
                    && matches!(s.status, ChatStatus::Declared | ChatStatus::Official)
                    && s.reason.is_none()
            });
            match c.status() {
                ChatStatus::Void => already(),
                // A chat that was handed on is no longer its first owner's to take back.
                _ if began && c.owner().is_some_and(|o| o.record == b.record) => Ok(()),
                _ => not_correctable(b),
            }
        }
        _ => not_correctable(b),
    }
}

fn already() -> Result<()> {
    refuse("rule.supersede.done", "the record is superseded already", "nothing needs to be done")
}

fn not_correctable(b: &RecordSuperseded) -> Result<()> {
    refuse(
        "rule.supersede.kind",
        format!("the record {} of {} cannot be superseded", b.record, b.subject),
        "ownership, keys and authorities are changed by their own records; amendments by another amendment",
    )
}
