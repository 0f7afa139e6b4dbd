//! Rules of chats, owners, administrators, bots and services: the second half of [`super::rules`].

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
            Place { kind: b.kind, entrance: b.entrance, buildings: &b.buildings.0 }.fits()?;
            handle(view, None, b.link, b.max)
        }
        Body::ChatRegistered(b) => registered(view, b, subject, signers),
        Body::ChatAmended(b) => {
            let chat = active_chat(view, b.chat)?;
            by_owner(view, signers, chat)?;
            let place = Place {
                kind: chat.kind,
                entrance: b.entrance.or(chat.entrance),
                buildings: b.buildings.as_ref().map_or(&chat.buildings, |l| &l.0),
            };
            place.fits()?;
            if chat.is_active() && (b.buildings.is_some() || b.entrance.is_some()) {
                place.free(view, Some(b.chat))?;
            }
            if let Some(buildings) = &b.buildings {
                let codes = covered(view, &buildings.0)?;
                let owner = chat.owner().map(|o| view.holder(&o.authority));
                if let Some(owner) = owner {
                    by_authority(signers, &owner, &codes)?;
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
            // A closed chat may get a successor later: two houses that merge have two chats, and one of them has to end first.
            standing(view, b.chat, signers, subject, |s| {
                matches!(s, ChatStatus::Official | ChatStatus::Suspended | ChatStatus::Closed)
            })?;
            let old = known_chat(view, b.chat)?;
            let new = known_chat(view, b.successor)?;
            let shared = with_what_became(view, &old.buildings).iter().any(|x| new.buildings.contains(x));
            let in_force = new.is_active() || new.status() == ChatStatus::Declared;
            if b.chat == b.successor || !shared || !in_force {
                return refuse(
                    "rule.chat.successor",
                    format!("{} cannot succeed {}", b.successor, b.chat),
                    "name another chat that is in force or declared and shares a building, or covers what one became",
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

/// What a chat takes up: a house as a whole, or one of its entrances.
pub(super) struct Place<'r> {
    pub(super) kind: ChatKind,
    pub(super) entrance: Option<u16>,
    pub(super) buildings: &'r [BuildingId],
}

impl Place<'_> {
    /// A chat of an entrance is of one building and says of which entrance; no other chat has one.
    fn fits(&self) -> Result<()> {
        let right = match self.kind {
            ChatKind::Entrance => self.buildings.len() == 1 && self.entrance.is_some_and(|n| n > 0),
            ChatKind::House | ChatKind::Complex => self.entrance.is_none(),
        };
        if right {
            return Ok(());
        }
        refuse(
            "rule.chat.entrance",
            "a chat of an entrance names one building and the number of the entrance, no other chat has such a number",
            "correct kind, entrance or buildings",
        )
    }
    /// Rule 4: a building has at most one active official chat of kind house, and an entrance at most one of its own.
    pub(super) fn free(&self, view: &impl View, own: Option<ChatNumber>) -> Result<()> {
        if self.kind == ChatKind::Complex {
            return Ok(());
        }
        for building in self.buildings {
            let same = |c: &ChatFacts| {
                c.is_active()
                    && c.kind == self.kind
                    && c.entrance == self.entrance
                    && c.buildings.contains(building)
                    && Some(c.chat) != own
            };
            let others = view.chats_by_building(building);
            if let Some(other) = others.into_iter().find(|n| view.chat(*n).is_some_and(same)) {
                return refuse(
                    "rule.chat.one_per_house",
                    format!("{building} has the official chat {other} already"),
                    "replace or close that chat, or correct the building or entrance",
                );
            }
        }
        Ok(())
    }
}

/// These buildings and all they became, through merger and split.
fn with_what_became(view: &impl View, buildings: &[BuildingId]) -> BTreeSet<BuildingId> {
    let (mut all, mut next): (BTreeSet<BuildingId>, Vec<BuildingId>) = (BTreeSet::new(), buildings.to_vec());
    while let Some(id) = next.pop() {
        next.extend(view.building(&id).and_then(|b| b.retired.as_ref()).into_iter().flat_map(|r| r.into.clone()));
        all.insert(id);
    }
    all
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
    let place = Place { kind: b.kind, entrance: b.entrance, buildings: &b.buildings.0 };
    place.fits()?;
    place.free(view, b.declared)?;
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
    let primary = |id: &OrgId| view.organisation(id);
    let same = |a: &&Delegation| primary(&a.organisation) == primary(organisation);
    let open: Vec<&Delegation> = chat.admins.iter().filter(|a| !a.void && a.withdrawn.is_none()).filter(same).collect();
    let through = |b: &BuildingFacts, from, to| b.managed_throughout(organisation, from, to, primary);
    let mut managed = chat.buildings.iter().filter_map(|b| view.building(b)).filter(|b| through(b, day, day));
    // A delegation that begins later than the new one is open as well.
    managed.all(|b| open.iter().any(|a| a.from.is_none_or(|f| through(b, f.min(day), f.max(day)))))
}
