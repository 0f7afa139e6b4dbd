//! Rules of `record.superseded`: what may be taken back, and what depends on it.

use super::body::RecordSuperseded;
use super::chat_rules::{Place, by_owner, handle};
use super::facts::{BuildingFacts, ChatFacts, ChatStatus, Facts, MAX_SPANS};
use super::record::Subject;
use super::rules::*;
use super::state::View;
use crate::error::Result;

/// Dependants that a refusal names.
const NAMED: usize = 16;

/// Corrections act forward and touch only what the record itself began; never ownership, revocations or commits.
pub(super) fn superseded(view: &impl View, b: &RecordSuperseded, signers: &Signers<'_>) -> Result<()> {
    match view.facts(&b.subject) {
        Some(Facts::Building(f)) => {
            by_any_authority(signers, &f.oktmo)?;
            building(view, f, b)
        }
        Some(Facts::Chat(c)) => {
            by_owner(view, signers, c)?;
            chat(view, c, b)
        }
        _ => not_correctable(b),
    }
}

fn building(view: &impl View, f: &BuildingFacts, b: &RecordSuperseded) -> Result<()> {
    if f.registered == b.record {
        return match f.void {
            true => already(),
            false => no_dependants(b, on_building(view, f)),
        };
    }
    if f.retired.as_ref().is_some_and(|r| r.record == b.record) {
        return Ok(());
    }
    if let Some(ended) = f.managements.iter().find(|m| m.ended == Some(b.record)) {
        return match !ended.void && open_management(view, f, ended.organisation.as_ref(), ended.form).is_some() {
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

fn chat(view: &impl View, c: &ChatFacts, b: &RecordSuperseded) -> Result<()> {
    if c.admins.iter().any(|a| (a.record == b.record && !a.void) || a.withdrawn == Some(b.record)) {
        return Ok(());
    }
    match c.statuses.as_slice() {
        _ if c.status() == ChatStatus::Void => already(),
        [.., before, last] if last.record == b.record && !c.begins_with(last) => restored(view, c, before.status),
        // A chat that was handed on is no longer its first owner's to take back.
        [.., last] if last.record == b.record && c.owner().is_some_and(|o| o.record == b.record) => {
            no_dependants(b, on_chat(view, c))
        }
        _ => not_correctable(b),
    }
}

/// The standing before the last one comes back, if nothing took the chat's place meanwhile.
fn restored(view: &impl View, c: &ChatFacts, status: ChatStatus) -> Result<()> {
    if c.statuses.len() >= MAX_SPANS {
        return too_many(&Subject::Chat(c.chat));
    }
    let active = matches!(status, ChatStatus::Official | ChatStatus::Suspended);
    if c.is_active() || !(active || status == ChatStatus::Declared) {
        return Ok(());
    }
    if active {
        if !c.buildings.iter().any(|b| stands(view, b)) {
            return refuse(
                "rule.building.retired",
                format!("no building of {} stands any more", c.chat),
                "supersede the retirement first, or let the chat stay as it is",
            );
        }
        Place { kind: c.kind, entrance: c.entrance, buildings: &c.buildings }.free(view, Some(c.chat))?;
    }
    // Earlier links too: they lead to this chat again.
    c.rotated.iter().try_for_each(|link| handle(view, Some(c.chat), Some(*link), None))?;
    handle(view, Some(c.chat), c.link, c.max)
}

/// What rests on the registration of a building.
fn on_building(view: &impl View, f: &BuildingFacts) -> Vec<String> {
    let managements = f.managements.iter().filter(|m| !m.void).map(|m| format!("management.assigned {}", m.record));
    let covers = |c: &ChatFacts| c.status() != ChatStatus::Void && c.buildings.contains(&f.building);
    let chats = view.chats_by_building(&f.building).into_iter().filter(|n| view.chat(*n).is_some_and(covers));
    let became = view.named_by(&Subject::Building(f.building.clone()));
    managements
        .chain(chats.map(|n| Subject::Chat(n).to_string()))
        .chain(became.iter().map(ToString::to_string))
        .collect()
}

/// What rests on the beginning of a chat: chats it succeeded, bots attested for it, flags of what imitates it.
fn on_chat(view: &impl View, c: &ChatFacts) -> Vec<String> {
    let in_force = |s: &&Subject| match view.facts(s) {
        Some(Facts::Bot(b)) => b.withdrawn.is_none(),
        Some(Facts::Imitation(i)) => i.open().is_some_and(|f| f.imitates == c.chat),
        _ => true,
    };
    view.named_by(&Subject::Chat(c.chat)).iter().filter(in_force).map(ToString::to_string).collect()
}

fn no_dependants(b: &RecordSuperseded, dependants: Vec<String>) -> Result<()> {
    if dependants.is_empty() {
        return Ok(());
    }
    let more = dependants.len().saturating_sub(NAMED);
    let named = dependants.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    refuse(
        "rule.supersede.dependants",
        format!("these depend on the record {} of {}: {named}{more}", b.record, b.subject),
        "supersede, withdraw or end them first",
    )
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
