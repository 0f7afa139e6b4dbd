//! Answers: chats, buildings, authorities, organisations, their history, and verdicts, from every log the node has.
//!
//! Every answer says which log it comes from, at which size, and how old that is. `as_of` and `known_at` are taken on
//! every read ([`When`]). Current answers come from memory; answers about the past fold the subject's records from the
//! log's files.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Node;
use super::log_view::{LogView, When, unknown};
use super::notes::{FlagView, ObjectionView, RequirementView, RetiredView, is_suspect};
use super::union::Claim;
use super::verdict::Freshness;
use crate::error::{Error, Result};
use crate::registry::body::{BuildingKind, ChatKind, ChatObserved, ManagementForm, Service, StandingReason};
use crate::registry::check_code::CheckCode;
use crate::registry::facts::{BuildingFacts, ChatFacts, ChatStatus, Facts, Management};
use crate::registry::ids::{BuildingId, ChatNumber, MaxChatId, OrgId};
use crate::registry::link::LinkDigest;
use crate::registry::record::{Basis, Subject};
use crate::registry::state::{Entry, View};
use crate::registry::text::{Day, Millis};
use crate::registry::transfer::{Arrived, Left, Offered};

/// A period of management as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ManagementView {
    /// Form.
    #[schema(value_type = String)]
    pub form: ManagementForm,
    /// Primary id of the organisation, whichever of its ids the record names.
    #[schema(value_type = Option<String>)]
    pub organisation: Option<OrgId>,
    /// Its name.
    pub name: Option<String>,
    /// First day, where known.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// Day of the source it was observed in.
    #[schema(value_type = Option<String>)]
    pub observed: Option<Day>,
    /// First day without it.
    #[schema(value_type = Option<String>)]
    pub to: Option<Day>,
    /// Struck off, it has to go on after `to` until its successor starts.
    pub goes_on: bool,
    /// Holds on the day asked about.
    pub holds: bool,
    /// The record that says so.
    pub record: String,
}

/// A building as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BuildingView {
    /// Primary id.
    #[schema(value_type = String)]
    pub building: BuildingId,
    /// All its ids.
    pub ids: Vec<String>,
    /// Address.
    pub address: String,
    /// ОКТМО code.
    pub oktmo: String,
    /// Kind.
    #[schema(value_type = String)]
    pub kind: BuildingKind,
    /// Flats.
    pub flats: Option<u16>,
    /// Year of commissioning.
    pub year: Option<u16>,
    /// In the register on the day asked about.
    pub active: bool,
    /// Managements, oldest first.
    pub managements: Vec<ManagementView>,
    /// Official services.
    #[schema(value_type = Vec<Object>)]
    pub services: Vec<Service>,
    /// Managements that contradict each other hold on that day.
    pub contested: bool,
    /// Whether an official chat is required of it.
    pub chat_required: RequirementView,
    /// What it became, if it left the register by that day.
    pub retired: Option<RetiredView>,
    /// Objections to its facts, oldest first.
    pub objections: Vec<ObjectionView>,
    /// Its records that a compromised key signed, since when it is suspect.
    pub suspect: Vec<String>,
    /// Chats that cover it.
    #[schema(value_type = Vec<String>)]
    pub chats: Vec<ChatNumber>,
    /// Id of its last record: what the next one must name as `prev`.
    pub last_record: Option<String>,
    /// Where the answer comes from.
    pub freshness: Freshness,
}

/// An owner as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OwnerView {
    /// The authority as recorded.
    #[schema(value_type = String)]
    pub authority: OrgId,
    /// Its name.
    pub name: String,
    /// First day.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// The record that says so.
    pub record: String,
    /// The document it rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Box<Basis>>,
    /// It came to own the chat as the successor of the authority before it.
    pub by_succession: bool,
}

/// An administrator as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdminView {
    /// The organisation.
    #[schema(value_type = String)]
    pub organisation: OrgId,
    /// Its name.
    pub name: Option<String>,
    /// First day.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// First day without it.
    #[schema(value_type = Option<String>)]
    pub to: Option<Day>,
    /// In force on the day asked about.
    pub active: bool,
    /// Not withdrawn, but the organisation no longer manages a building of the chat: it lapsed by itself.
    pub lapsed: bool,
}

/// A chat as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatView {
    /// The registry's permanent number.
    #[schema(value_type = String)]
    pub chat: ChatNumber,
    /// Title in MAX.
    pub title: String,
    /// Kind.
    #[schema(value_type = String)]
    pub kind: ChatKind,
    /// Standing on the day asked about.
    #[schema(value_type = String)]
    pub status: ChatStatus,
    /// Since when.
    #[schema(value_type = Option<String>)]
    pub status_since: Option<Day>,
    /// Why.
    #[schema(value_type = Option<String>)]
    pub status_reason: Option<StandingReason>,
    /// The document the standing rests on, where it is not the owner's.
    #[schema(value_type = Option<Object>)]
    pub status_basis: Option<Box<Basis>>,
    /// Number of the entrance, of a chat of that kind.
    pub entrance: Option<u16>,
    /// The authority that owns it on that day.
    #[schema(value_type = String)]
    pub owner: OrgId,
    /// Its name.
    pub owner_name: String,
    /// False while the owner is suspended: the chat keeps its owner and is not called official.
    pub owner_in_good_standing: bool,
    /// Since when.
    #[schema(value_type = Option<String>)]
    pub owner_since: Option<Day>,
    /// All owners up to that day, successors included, oldest first.
    pub owners: Vec<OwnerView>,
    /// Administrators.
    pub administrators: Vec<AdminView>,
    /// Buildings it covers.
    pub buildings: Vec<BuildingView>,
    /// SHA-256 of the join link.
    #[schema(value_type = Option<String>)]
    pub link_digest: Option<LinkDigest>,
    /// The code on its poster (docs/protocol.md, 14).
    #[schema(value_type = Option<String>)]
    pub check_code: Option<CheckCode>,
    /// Chat id in MAX.
    #[schema(value_type = Option<String>)]
    pub max: Option<MaxChatId>,
    /// Its successor.
    #[schema(value_type = Option<String>)]
    pub successor: Option<ChatNumber>,
    /// The chat in force at the end of the chain of successors, if it is another one.
    #[schema(value_type = Option<String>)]
    pub latest: Option<ChatNumber>,
    /// Objections to its facts, oldest first.
    pub objections: Vec<ObjectionView>,
    /// What is said to imitate it on that day.
    pub imitations: Vec<FlagView>,
    /// Its records that a compromised key signed, since when it is suspect.
    pub suspect: Vec<String>,
    /// When the record that began it was committed, as its log says, Unix milliseconds.
    pub claimed_at: u64,
    /// What was last checked in MAX; apart from what is recorded.
    #[schema(value_type = Option<Object>)]
    pub last_checked_in_max: Option<Box<ChatObserved>>,
    /// How this log's word stands where several logs know the chat.
    pub claim: Claim,
    /// It is offered to another region's log.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<Box<Offered>>,
    /// It has left for another region's log.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Box<Left>>,
    /// It came from another region's log.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Box<Arrived>>,
    /// The document the ownership rests on.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Box<Basis>>,
    /// Id of its last record: what the next one must name as `prev`.
    pub last_record: Option<String>,
    /// Where the answer comes from.
    pub freshness: Freshness,
}

/// An authority as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuthorityView {
    /// Its id.
    #[schema(value_type = String)]
    pub authority: OrgId,
    /// Full name.
    pub name: String,
    /// Short name.
    pub short_name: Option<String>,
    /// ОКТМО prefixes.
    pub oktmo: Vec<String>,
    /// Suspended on that day.
    pub suspended: bool,
    /// Who took over.
    #[schema(value_type = Option<String>)]
    pub successor: Option<OrgId>,
    /// Active chats it owns.
    pub chats: usize,
    /// Id of its last record.
    pub last_record: Option<String>,
    /// Where the answer comes from.
    pub freshness: Freshness,
}

/// An organisation as readers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrganisationView {
    /// Its primary id.
    #[schema(value_type = String)]
    pub organisation: OrgId,
    /// Its further ids.
    #[schema(value_type = Vec<String>)]
    pub also: Vec<OrgId>,
    /// Names, oldest first; the last one holds.
    pub names: Vec<String>,
    /// Buildings it manages on the day asked about (at most 1000 are listed).
    #[schema(value_type = Vec<String>)]
    pub buildings: Vec<BuildingId>,
    /// How many there are.
    pub building_count: usize,
    /// Id of its last record.
    pub last_record: Option<String>,
    /// Where the answer comes from.
    pub freshness: Freshness,
}

/// One line of a subject's history.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// Index in the log.
    pub index: u64,
    /// Record id.
    pub id: String,
    /// Type.
    pub r#type: String,
    /// Commit time, Unix milliseconds.
    pub recorded_at: u64,
    /// Effective from.
    #[schema(value_type = Option<String>)]
    pub effective_from: Option<Day>,
    /// The document.
    #[schema(value_type = Option<Object>)]
    pub basis: Option<Basis>,
    /// Batch.
    pub batch: Option<String>,
    /// The body as signed.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
    /// Key ids of the signatures.
    pub signers: Vec<String>,
    /// One of them is a compromised key, and the record stands where its signatures are suspect.
    #[serde(default)]
    pub suspect: bool,
}

/// A view and the log it was found in, asked for one moment.
pub struct Reader<'n> {
    pub(super) node: &'n Node,
    pub(super) view: Arc<LogView>,
    pub(super) when: When,
    pub(super) day: Day,
    /// Worked out once: every part of an answer names it.
    freshness: OnceCell<Freshness>,
}

impl<'n> Reader<'n> {
    /// Reads `view` as of `when`.
    pub fn new(node: &'n Node, view: Arc<LogView>, when: When) -> Reader<'n> {
        let day = when.as_of.unwrap_or_else(|| view.day_of(node.clock.now_ms()));
        Reader { node, view, when, day, freshness: OnceCell::new() }
    }

    pub(super) fn entry(&self, subject: &Subject) -> Result<Option<Entry>> {
        self.view.entry_when(subject, self.when)
    }

    fn need(&self, subject: &Subject) -> Result<Entry> {
        self.entry(subject)?.ok_or_else(|| unknown(subject))
    }

    /// Where an answer from this log comes from.
    pub fn freshness(&self) -> Freshness {
        self.freshness.get_or_init(|| self.node.freshness(&self.view)).clone()
    }

    fn organisation_name(&self, id: &OrgId) -> Option<String> {
        let state = self.view.state();
        match state.facts(&Subject::Organisation(id.clone()))? {
            Facts::Organisation(o) => {
                let on = o.names.iter().rev().find(|n| n.from.is_none_or(|f| f <= self.day));
                on.or(o.names.last()).map(|n| n.name.to_string())
            }
            _ => None,
        }
    }

    pub(super) fn authority_name(&self, id: &OrgId) -> String {
        self.view.state().authority(id).map_or_else(|| id.to_string(), |a| a.name.to_string())
    }

    fn management(&self, b: &BuildingFacts, m: &Management) -> ManagementView {
        ManagementView {
            form: m.form,
            organisation: m.organisation.as_ref().map(|o| self.view.state().organisation(o)),
            name: m.organisation.as_ref().and_then(|o| self.organisation_name(o)),
            from: m.from,
            observed: m.observed,
            to: m.to,
            goes_on: m.goes_on == Some(true),
            holds: crate::registry::facts::within(m.from, b.end_of(m), self.day),
            record: m.record.to_string(),
        }
    }

    fn building_view(&self, b: &BuildingFacts, last: Option<String>) -> Result<BuildingView> {
        let (chat_required, suspect) =
            (self.requirement(b)?, self.suspect_records(&Subject::Building(b.building.clone()))?);
        let state = self.view.state();
        let contested = b.active_on(self.day) && b.contested_on(self.day, |id| state.organisation(id));
        let chats = state.chats_by_building(&b.building).into_iter();
        let covers = |n: &ChatNumber| state.chat(*n).is_some_and(|c| c.buildings.contains(&b.building));
        let chats = chats.filter(covers).collect();
        drop(state);
        Ok(BuildingView {
            building: b.building.clone(),
            ids: b.ids().map(ToString::to_string).collect(),
            address: b.address.to_string(),
            oktmo: b.oktmo.to_string(),
            kind: b.kind,
            flats: b.flats,
            year: b.year,
            active: b.active_on(self.day),
            managements: b.managements.iter().filter(|m| !m.void).map(|m| self.management(b, m)).collect(),
            services: b.services.clone(),
            contested,
            chat_required,
            retired: self.retired(b),
            objections: self.objections(b.objections.as_deref()),
            suspect,
            chats,
            last_record: last,
            freshness: self.freshness(),
        })
    }

    /// A building by any of its ids.
    pub fn building(&self, id: &BuildingId) -> Result<BuildingView> {
        let primary = self.view.state().primary(id).unwrap_or_else(|| id.clone());
        let entry = self.need(&Subject::Building(primary))?;
        match &entry.facts {
            Facts::Building(b) => self.building_view(b, last_record(&entry)),
            _ => Err(unknown(&Subject::Building(id.clone()))),
        }
    }

    /// A chat by its number.
    pub fn chat(&self, number: ChatNumber) -> Result<ChatView> {
        let subject = Subject::Chat(number);
        let entry = self.need(&subject)?;
        let Facts::Chat(c) = &entry.facts else { return Err(unknown(&subject)) };
        self.chat_view(c, &entry)
    }

    fn chat_view(&self, c: &ChatFacts, entry: &Entry) -> Result<ChatView> {
        let subject = Subject::Chat(c.chat);
        let (Some(status), Some(owner)) = (c.status_on(self.day), c.owner_on(self.day)) else {
            return Err(unknown(&subject));
        };
        let mut buildings = Vec::with_capacity(c.buildings.len());
        let mut facts = Vec::with_capacity(c.buildings.len());
        for id in &c.buildings {
            if let Some(Entry { facts: Facts::Building(b), history }) = self.entry(&Subject::Building(id.clone()))? {
                buildings.push(self.building_view(&b, history.last().map(|h| h.id.to_string()))?);
                facts.push(b);
            }
        }
        let administrators = c.admins.iter().filter(|a| !a.void).map(|a| {
            let open = crate::registry::facts::within(a.from, a.to, self.day);
            let state = self.view.state();
            let holds = facts.iter().any(|b| b.delegation_holds(a, self.day, |id| state.organisation(id)));
            drop(state);
            AdminView {
                organisation: a.organisation.clone(),
                name: self.organisation_name(&a.organisation),
                from: a.from,
                to: a.to,
                active: open && holds,
                lapsed: open && !holds,
            }
        });
        let administrators = administrators.collect();
        let owners = self.owners(c)?;
        let holder = owners.last().map_or_else(|| owner.authority.clone(), |o| o.authority.clone());
        let in_good_standing = self
            .authority_on(&holder)?
            .is_some_and(|a| a.suspended.as_ref().is_none_or(|s| s.from.is_some_and(|from| from > self.day)));
        let claimed_at = entry.history.first().and_then(|h| self.view.state().time_of(h.index)).unwrap_or(0);
        let last_owner = owners.last();
        // Where it went is known from the proof that it went; the other log may not be followed here.
        let (holder, holder_name, in_good_standing) = match &c.left {
            Some(left) if status.status == ChatStatus::Moved => (left.to.clone(), left.to.to_string(), true),
            _ => {
                let name = self.authority_name(&holder);
                (holder, name, in_good_standing)
            }
        };
        Ok(ChatView {
            chat: c.chat,
            title: c.title.to_string(),
            kind: c.kind,
            status: status.status,
            status_since: status.from,
            status_reason: status.reason,
            status_basis: status.basis.clone(),
            entrance: c.entrance,
            owner_name: holder_name,
            owner: holder,
            owner_in_good_standing: in_good_standing,
            owner_since: last_owner.map_or(owner.from, |o| o.from),
            basis: last_owner.map_or_else(|| owner.basis.clone(), |o| o.basis.clone()),
            owners,
            administrators,
            buildings,
            link_digest: c.link,
            check_code: c.link.map(|link| CheckCode::of(c.chat, link)),
            max: c.max,
            successor: c.successor,
            last_checked_in_max: c.observed.clone(),
            latest: self.latest(c)?,
            objections: self.objections(c.objections.as_deref()),
            imitations: self.imitations_of(c.chat)?,
            suspect: self.suspect_records(&subject)?,
            claimed_at,
            claim: self.node.claim_of(&self.view.origin, c),
            offered: c.offered.clone(),
            left: c.left.clone(),
            arrived: c.arrived.clone(),
            last_record: last_record(entry),
            freshness: self.freshness(),
        })
    }

    /// An authority.
    pub fn authority(&self, id: &OrgId) -> Result<AuthorityView> {
        let subject = Subject::Authority(id.clone());
        let entry = self.need(&subject)?;
        let Facts::Authority(a) = &entry.facts else { return Err(unknown(&subject)) };
        let chats = {
            let state = self.view.state();
            let owned = state.subjects().filter(|(_, e)| match &e.facts {
                Facts::Chat(c) => c.is_active() && c.owner().is_some_and(|o| state.holder(&o.authority) == *id),
                _ => false,
            });
            owned.count()
        };
        Ok(AuthorityView {
            authority: id.clone(),
            name: a.name.to_string(),
            short_name: a.short_name.as_ref().map(ToString::to_string),
            oktmo: a.oktmo.0.iter().map(ToString::to_string).collect(),
            suspended: a.suspended.as_ref().is_some_and(|s| s.from.is_none_or(|from| from <= self.day)),
            successor: a.succeeded.as_ref().map(|s| s.successor.clone()),
            chats,
            last_record: last_record(&entry),
            freshness: self.freshness(),
        })
    }

    /// An organisation by any of its ids, and what it manages under any of them.
    pub fn organisation(&self, id: &OrgId) -> Result<OrganisationView> {
        let primary = self.view.state().organisation(id);
        let subject = Subject::Organisation(primary.clone());
        let entry = self.entry(&subject)?;
        let also = match entry.as_ref().map(|e| &e.facts) {
            Some(Facts::Organisation(o)) => o.also().to_vec(),
            _ => Vec::new(),
        };
        let state = self.view.state();
        let ids = || std::iter::once(&primary).chain(&also);
        let managed = ids().flat_map(|id| state.buildings_of(id).map(move |b| (id, b))).filter(|(id, b)| {
            let own = |m: &Management| m.organisation.as_ref() == Some(id);
            state.building(b).is_some_and(|b| b.managements_on(self.day).any(own))
        });
        let buildings: BTreeSet<BuildingId> = managed.map(|(_, b)| b.clone()).collect();
        let mut buildings: Vec<BuildingId> = buildings.into_iter().collect();
        if entry.is_none() && ids().all(|id| state.buildings_of(id).next().is_none()) {
            return Err(unknown(&subject));
        }
        drop(state);
        let building_count = buildings.len();
        buildings.truncate(1000);
        let names = match entry.as_ref().map(|e| &e.facts) {
            Some(Facts::Organisation(o)) => o.names.iter().map(|n| n.name.to_string()).collect(),
            _ => Vec::new(),
        };
        Ok(OrganisationView {
            organisation: primary,
            also,
            names,
            buildings,
            building_count,
            last_record: entry.as_ref().and_then(last_record),
            freshness: self.freshness(),
        })
    }

    /// The history of a subject, oldest first.
    pub fn history(&self, subject: &Subject, from: usize, limit: usize) -> Result<Vec<HistoryView>> {
        let known = self.when.known_at.map_or(u64::MAX, Millis::get);
        let records = self.view.history(subject, from, limit.min(1000))?;
        let suspects = self.compromised()?;
        let marked = |r| {
            let suspect = is_suspect(&suspects, &r);
            history_view(r).map(|v| HistoryView { suspect, ..v })
        };
        records.into_iter().filter(|r| r.time <= known).map(marked).collect()
    }
}

/// One record of a history, for readers.
pub fn history_view(r: super::log_view::HistoryRecord) -> Result<HistoryView> {
    let body = r.record.body.encode()?;
    Ok(HistoryView {
        index: r.index,
        id: r.record.id.to_string(),
        r#type: r.record.body.type_name().to_owned(),
        recorded_at: r.time,
        effective_from: r.record.effective_from,
        basis: r.record.basis,
        batch: r.record.batch.map(|b| b.to_string()),
        body: serde_json::from_str(body.get())
            .map_err(|e| Error::stop("record.body", e.to_string(), "report this as a defect"))?,
        signers: r.signers.iter().map(ToString::to_string).collect(),
        suspect: false,
    })
}

fn last_record(entry: &Entry) -> Option<String> {
    entry.last_record().map(|id| id.to_string())
}

/// By how much the date may have been set back without that the age of what is known is called unknown, milliseconds.
const CLOCK_TOLERANCE: u64 = 5 * 60 * 1000;

impl Node {
    /// Where an answer from `view` comes from.
    pub fn freshness(&self, view: &LogView) -> Freshness {
        let head = view.head();
        let now = self.clock.now_ms();
        let status = self.followed.read().get(&view.origin).cloned();
        let (seen_at, counted) = match &status {
            Some(f) => {
                let status = f.status.read();
                let counted = status.heard.map(|heard| self.clock.count().saturating_sub(heard).as_millis() as u64);
                (status.last_success.or(head.map(|h| h.time)).unwrap_or(0), counted)
            }
            None => (now, None),
        };
        // A date that goes back makes nothing younger: what has passed since was counted, or, if it was before this start, is
        // not known where the date of then has not come yet.
        let age_seconds = now.saturating_sub(seen_at).max(counted.unwrap_or(0)) / 1000;
        let unknown_age = counted.is_none() && seen_at > now.saturating_add(CLOCK_TOLERANCE);
        let expired = view.charter().is_expired(now);
        Freshness {
            log: view.origin.clone(),
            size: head.map_or(0, |h| h.index + 1),
            committed_at: head.map_or(0, |h| h.time),
            seen_at,
            age_seconds,
            expired,
            stale: expired || unknown_age || age_seconds > self.stale_after_hours * 3600,
            held: status.as_ref().and_then(|f| f.status.read().held.as_ref().map(|h| h.code.clone())),
        }
    }
}
