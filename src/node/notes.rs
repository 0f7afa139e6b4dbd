//! What stands beside the facts of a subject: objections, imitations, whether a chat is required, what a building became,
//! the chain of owners, and what a compromised key signed. For readers, on the day they ask about.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::log_view::HistoryRecord;
use super::query::{ChatView, OwnerView, Reader};
use super::verdict::Freshness;
use crate::error::Result;
use crate::registry::body::{
    ApplicabilityReason, Applies, BotName, Certainty, Imitation, Outcome, RetireReason, RevokeReason,
};
use crate::registry::facts::{AuthorityFacts, BuildingFacts, ChatFacts, Facts, Objection, Threshold, within};
use crate::registry::ids::{BuildingId, ChatNumber, KeyThumb, OrgId, RecordId};
use crate::registry::record::{Basis, Subject};
use crate::registry::state::{MAX_SUCCESSIONS, View};
use crate::registry::text::Day;

/// An objection as readers see it. Who objects is not on record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ObjectionView {
    /// Number under which it came in.
    pub number: String,
    /// Day it came in.
    #[schema(value_type = String)]
    pub date: Day,
    /// Nobody had decided about it on the day asked about.
    pub open: bool,
    /// How it ended.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<Outcome>,
    /// The record that settles it.
    pub resolved_by: Option<String>,
    /// First day without it.
    #[schema(value_type = Option<String>)]
    pub to: Option<Day>,
    /// The record that noted it.
    pub record: String,
}

/// Something that is said to imitate an official chat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FlagView {
    /// What imitates.
    #[schema(value_type = String)]
    pub imitation: Imitation,
    /// How sure that is.
    #[schema(value_type = String)]
    pub certainty: Certainty,
    /// The official chat it imitates.
    #[schema(value_type = String)]
    pub imitates: ChatNumber,
    /// Title of that chat.
    pub title: String,
    /// The authority that says so, the owner of that chat.
    #[schema(value_type = Option<String>)]
    pub authority: Option<OrgId>,
    /// Its name.
    pub authority_name: String,
    /// First day.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// The document it rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Basis>,
    /// The record that says so.
    pub record: String,
    /// The log it stands in, and how old that is.
    pub freshness: Freshness,
}

/// A bot as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BotView {
    /// Its name.
    #[schema(value_type = String)]
    pub bot: BotName,
    /// What it is called.
    pub title: String,
    /// The authority that vouches for it.
    #[schema(value_type = String)]
    pub authority: OrgId,
    /// Its name.
    pub authority_name: String,
    /// Only for these chats; empty = for all of the authority.
    #[schema(value_type = Vec<String>)]
    pub chats: Vec<ChatNumber>,
    /// Attested on that day, by an authority in good standing.
    pub active: bool,
    /// First day.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// First day without it.
    #[schema(value_type = Option<String>)]
    pub to: Option<Day>,
    /// The document it rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Basis>,
    /// The record that attests it.
    pub record: String,
    /// Where the answer comes from.
    pub freshness: Freshness,
}

/// Whether an official chat is required of a building, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RequirementView {
    /// Absent where it is not known: no threshold in force, or the number of flats unknown.
    pub required: Option<bool>,
    /// Why the building is an exception, if it is one.
    #[schema(value_type = Option<String>)]
    pub exception: Option<ApplicabilityReason>,
    /// The threshold in force: required of buildings with more flats.
    pub above_flats: Option<u16>,
    /// Since when the threshold is in force.
    #[schema(value_type = Option<String>)]
    pub since: Option<Day>,
    /// The document the threshold rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Basis>,
    /// The record that set the threshold.
    pub record: Option<String>,
}

/// The end of a building.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RetiredView {
    /// Why.
    #[schema(value_type = String)]
    pub reason: RetireReason,
    /// What it became.
    #[schema(value_type = Vec<String>)]
    pub into: Vec<BuildingId>,
    /// First day without it.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// The record that says so.
    pub record: String,
}

/// True where one of the record's signers is a compromised key, from the entry on at which it is suspect.
pub(super) fn is_suspect(suspects: &BTreeMap<KeyThumb, u64>, r: &HistoryRecord) -> bool {
    r.signers.iter().any(|kid| suspects.get(kid).is_some_and(|from| r.index >= *from))
}

impl Reader<'_> {
    /// Facts of an authority as they were known.
    pub(super) fn authority_on(&self, id: &OrgId) -> Result<Option<AuthorityFacts>> {
        if self.when.is_now() {
            return Ok(self.view.state().authority(id).cloned());
        }
        match self.entry(&Subject::Authority(id.clone()))?.map(|e| e.facts) {
            Some(Facts::Authority(a)) => Ok(Some(*a)),
            _ => Ok(None),
        }
    }

    /// Everybody who owned the chat up to the day, in order: those on record, and after each those who succeeded it while
    /// it held the chat.
    pub(super) fn owners(&self, c: &ChatFacts) -> Result<Vec<OwnerView>> {
        let begun = |from: Option<Day>| from.is_none_or(|f| f <= self.day);
        let recorded: Vec<_> = c.owners.iter().filter(|o| begun(o.from)).collect();
        let place = |record: &RecordId| self.view.state().index_of(record);
        let mut out = Vec::new();
        for (i, owner) in recorded.iter().enumerate() {
            let mut at = owner.authority.clone();
            let view = |authority: &OrgId, from, record: String, basis: Option<Box<Basis>>, by_succession| OwnerView {
                authority: authority.clone(),
                name: self.authority_name(authority),
                from,
                record,
                basis,
                by_succession,
            };
            out.push(view(&at, owner.from, owner.record.to_string(), owner.basis.clone(), false));
            let until = recorded.get(i + 1).and_then(|next| place(&next.record)).unwrap_or(u64::MAX);
            for _ in 0..MAX_SUCCESSIONS {
                let next = self.authority_on(&at)?.and_then(|a| a.succeeded);
                let Some(s) = next.filter(|s| begun(s.from) && place(&s.record).is_some_and(|at| at < until)) else {
                    break;
                };
                at = s.successor;
                // Who succeeded before the chat was his predecessor's owned it from the first day.
                let from = s.from.max(owner.from);
                out.push(view(&at, from, s.record.to_string(), s.basis, true));
            }
        }
        Ok(out)
    }

    /// The chat at the end of the chain of successors.
    pub(super) fn latest(&self, c: &ChatFacts) -> Result<Option<ChatNumber>> {
        let (mut at, mut next) = (None, c.successor);
        // A chat that was replaced is nobody's successor, so the chain has an end; 64 links are enough for a reader.
        for _ in 0..64 {
            let Some(number) = next else { break };
            at = Some(number);
            next = match self.entry(&Subject::Chat(number))?.map(|e| e.facts) {
                Some(Facts::Chat(c)) => c.successor,
                _ => None,
            };
        }
        Ok(at)
    }

    /// Objections that had come in by the day.
    pub(super) fn objections(&self, objections: Option<&[Objection]>) -> Vec<ObjectionView> {
        let came = objections.unwrap_or_default().iter().filter(|o| o.date <= self.day);
        let view = |o: &Objection| ObjectionView {
            number: o.number.to_string(),
            date: o.date,
            open: o.open_on(self.day),
            outcome: o.outcome,
            resolved_by: o.resolved_by.map(|r| r.to_string()),
            to: o.to,
            record: o.record.to_string(),
        };
        came.map(view).collect()
    }

    /// Whether a chat is required of the building.
    pub(super) fn requirement(&self, b: &BuildingFacts) -> Result<RequirementView> {
        let threshold: Option<Threshold> = match self.when.is_now() {
            true => self.view.state().threshold(self.day).cloned(),
            false => match self.entry(&Subject::Applicability(self.view.region))?.map(|e| e.facts) {
                Some(Facts::Applicability(a)) => a.on(self.day).cloned(),
                _ => None,
            },
        };
        let required = b.chat_required(threshold.as_ref());
        let exception = b.applicability.filter(|a| a.state == Applies::Exempt || required == Some(true));
        Ok(RequirementView {
            required,
            exception: exception.map(|a| a.reason),
            above_flats: threshold.as_ref().map(|t| t.above_flats),
            since: threshold.as_ref().and_then(|t| t.from),
            record: threshold.as_ref().map(|t| t.record.to_string()),
            basis: threshold.and_then(|t| t.basis),
        })
    }

    /// What the building became by the day.
    pub(super) fn retired(&self, b: &BuildingFacts) -> Option<RetiredView> {
        let retired = b.retired.as_ref().filter(|r| r.from.is_none_or(|f| f <= self.day))?;
        Some(RetiredView {
            reason: retired.reason,
            into: retired.into.clone(),
            from: retired.from,
            record: retired.record.to_string(),
        })
    }

    /// The flag that stands on this imitation on the day.
    pub(super) fn flag(&self, imitation: &Imitation) -> Result<Option<FlagView>> {
        let entry = self.entry(&Subject::Imitation(imitation.clone()))?;
        let Some(Facts::Imitation(facts)) = entry.map(|e| e.facts) else { return Ok(None) };
        let Some(flag) = facts.flag_on(self.day) else { return Ok(None) };
        let imitated = match self.entry(&Subject::Chat(flag.imitates))?.map(|e| e.facts) {
            Some(Facts::Chat(c)) => Some(c),
            _ => None,
        };
        let owner = match &imitated {
            Some(c) => self.owners(c)?.pop(),
            None => None,
        };
        Ok(Some(FlagView {
            imitation: imitation.clone(),
            certainty: flag.certainty,
            imitates: flag.imitates,
            title: imitated.map(|c| c.title.to_string()).unwrap_or_default(),
            authority_name: owner.as_ref().map(|o| o.name.clone()).unwrap_or_default(),
            authority: owner.map(|o| o.authority),
            from: flag.from,
            basis: flag.basis.clone(),
            record: flag.record.to_string(),
            freshness: self.freshness(),
        }))
    }

    /// What is said to imitate this chat on the day.
    pub(super) fn imitations_of(&self, chat: ChatNumber) -> Result<Vec<FlagView>> {
        let named = self.view.state().named_by(&Subject::Chat(chat));
        let mut out = Vec::new();
        for subject in named {
            if let Subject::Imitation(imitation) = subject {
                out.extend(self.flag(&imitation)?.filter(|f| f.imitates == chat));
            }
        }
        Ok(out)
    }

    /// A bot, if this log knows it.
    pub(super) fn bot(&self, name: &BotName) -> Result<Option<BotView>> {
        let Some(Facts::Bot(b)) = self.entry(&Subject::Bot(name.clone()))?.map(|e| e.facts) else { return Ok(None) };
        let mut holder = b.authority.clone();
        let mut good = false;
        for _ in 0..=MAX_SUCCESSIONS {
            let Some(a) = self.authority_on(&holder)? else { break };
            match a.succeeded.filter(|s| s.from.is_none_or(|f| f <= self.day)) {
                Some(s) => holder = s.successor,
                None => {
                    good = a.suspended.is_none_or(|s| s.from.is_some_and(|f| f > self.day));
                    break;
                }
            }
        }
        Ok(Some(BotView {
            bot: b.bot,
            title: b.title.to_string(),
            authority_name: self.authority_name(&holder),
            authority: holder,
            chats: b.chats,
            active: good && within(b.from, b.to, self.day),
            from: b.from,
            to: b.to,
            basis: b.basis,
            record: b.attested.to_string(),
            freshness: self.freshness(),
        }))
    }

    /// The official bots that may speak in a chat on the day: those of its owner for all its chats, and those named for it.
    pub fn bots_of(&self, chat: &ChatView) -> Result<Vec<BotView>> {
        let names: Vec<BotName> = self.view.state().bots().cloned().collect();
        let mut out = Vec::new();
        for name in names {
            out.extend(self.bot(&name)?.filter(|b| {
                let named = b.chats.contains(&chat.chat) || b.chats.is_empty() && b.authority == chat.owner;
                b.active && named
            }));
        }
        Ok(out)
    }

    /// Compromised keys by then, each with the entry from which on it is suspect; where nobody said, all of it.
    pub(super) fn compromised(&self) -> Result<BTreeMap<KeyThumb, u64>> {
        let keys: Vec<KeyThumb> = self.view.state().compromised_keys().copied().collect();
        let mut out = BTreeMap::new();
        for key in keys {
            // A revocation is known or it is not; it has no day on which it begins to be true.
            let when = super::log_view::When { as_of: None, known_at: self.when.known_at };
            if let Some(Facts::Key(k)) = self.view.entry_when(&Subject::Key(key), when)?.map(|e| e.facts)
                && let Some(r) = k.revoked.filter(|r| r.reason == RevokeReason::Compromised)
            {
                out.insert(key, r.suspect_from.unwrap_or(0));
            }
        }
        Ok(out)
    }

    /// Records of a subject that are suspect. Reads the log only where a key of it was compromised.
    pub(super) fn suspect_records(&self, subject: &Subject) -> Result<Vec<String>> {
        let suspects = self.compromised()?;
        let Some(first) = suspects.values().min() else { return Ok(Vec::new()) };
        let history = match self.entry(subject)? {
            Some(entry) => entry.history,
            None => return Ok(Vec::new()),
        };
        let mut out = Vec::new();
        for item in history.iter().filter(|h| h.index >= *first) {
            let record = self.view.record(*item, 0)?;
            if is_suspect(&suspects, &record) {
                out.push(item.id.to_string());
            }
        }
        Ok(out)
    }
}
