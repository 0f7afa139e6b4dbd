//! Which records an answer rests on and who stands behind it, so that a reader can fetch what was signed.

use super::log_view::LogView;
use super::notes::{BotView, FlagView};
use super::query::{BuildingView, ChatView};
use super::verdict::{Behind, Evidence};
use crate::registry::ids::RecordId;
use crate::registry::record::Subject;
use crate::registry::state::View;
use crate::registry::text::Day;

/// Where these records of a subject stand, in the order of the log; what this log does not have is left out.
fn places<'r>(view: &LogView, subject: &Subject, records: impl IntoIterator<Item = &'r str>) -> Vec<Evidence> {
    let state = view.state();
    let place = |record: &str| {
        let index = state.index_of(&record.parse::<RecordId>().ok()?)?;
        Some(Evidence { log: view.origin.clone(), subject: subject.to_string(), record: record.to_owned(), index })
    };
    let mut places: Vec<Evidence> = records.into_iter().filter_map(place).collect();
    places.sort_by_key(|e| e.index);
    places.dedup();
    places
}

/// A chat: the record that began it, its owner's, its standing's and its last one.
pub(super) fn chat(view: &LogView, c: &ChatView, day: Day) -> Vec<Evidence> {
    let subject = Subject::Chat(c.chat);
    let mut records: Vec<String> = c.owners.last().map(|o| o.record.clone()).into_iter().collect();
    {
        let state = view.state();
        let begun = state.entry(&subject).and_then(|e| e.history.first()).map(|h| h.id.to_string());
        let standing = state.chat(c.chat).and_then(|f| f.status_on(day)).map(|s| s.record.to_string());
        records.extend(begun.into_iter().chain(standing).chain(c.last_record.clone()));
    }
    places(view, &subject, records.iter().map(String::as_str))
}

/// A building: its last record, and the one that says where a chat is required.
pub(super) fn house(view: &LogView, h: &BuildingView) -> Vec<Evidence> {
    let mut all = places(view, &Subject::Building(h.building.clone()), h.last_record.as_deref());
    all.extend(places(view, &Subject::Applicability(view.region), h.chat_required.record.as_deref()));
    all
}

/// What is flagged: the record that says so.
pub(super) fn flag(view: &LogView, f: &FlagView) -> Vec<Evidence> {
    places(view, &Subject::Imitation(f.imitation.clone()), [f.record.as_str()])
}

/// A bot: the record that attests it.
pub(super) fn bot(view: &LogView, b: &BotView) -> Vec<Evidence> {
    places(view, &Subject::Bot(b.bot.clone()), [b.record.as_str()])
}

impl From<&ChatView> for Behind {
    fn from(c: &ChatView) -> Behind {
        let basis = c.basis.as_deref().cloned();
        Behind { authority: Some(c.owner.clone()), name: Some(c.owner_name.clone()), since: c.owner_since, basis }
    }
}

impl From<&FlagView> for Behind {
    fn from(f: &FlagView) -> Behind {
        let name = Some(f.authority_name.clone());
        Behind { authority: f.authority.clone(), name, since: f.from, basis: f.basis.clone() }
    }
}

impl From<&BotView> for Behind {
    fn from(b: &BotView) -> Behind {
        let name = Some(b.authority_name.clone());
        Behind { authority: Some(b.authority.clone()), name, since: b.from, basis: b.basis.clone() }
    }
}

impl From<&BuildingView> for Behind {
    fn from(h: &BuildingView) -> Behind {
        let r = &h.chat_required;
        Behind { authority: None, name: None, since: r.since, basis: r.basis.clone() }
    }
}
