//! The state of one region's log: a pure function of (charter chain, log prefix).
//!
//! [`State`] holds the facts of every subject as of the last commit. Records are tried on an [`Overlay`]: `check` may
//! refuse, `apply` cannot fail, and the state underneath is not touched until the whole batch is committed with
//! [`State::absorb`]. A batch that turns out wrong (a peer's root that differs, a disk that failed) is simply dropped.
//! The same code runs in the node that writes a log and in every node that verifies it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::body::{BotName, RevokeReason};
use super::facts::{ChatFacts, Facts, LinkFacts, evolve, leaf_value, names};
use super::ids::{BuildingId, ChatNumber, KeyThumb, LinkDigest, MaxChatId, OrgId, RecordId};
use super::jurisdiction::Charters;
pub use super::jurisdiction::Jurisdiction;
use super::node_record::{Adopted, Commit};
use super::record::{Record, Subject};
use super::row::row_of;
use super::statemap::{Bytes32, map_key};
use super::transfer;

/// A table in memory. The seed is each process's own, so that keys that fall together cannot be chosen beforehand.
pub type Table<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Below this number of changed subjects, spreading them over cores costs more than it saves.
const PARALLEL_FROM: usize = 256;

/// Most successions from the authority that was first given something to the one that holds it.
pub const MAX_SUCCESSIONS: usize = 32;

/// One record in a subject's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryItem {
    /// Index of the entry in the log.
    pub index: u64,
    /// Id of the record.
    pub id: RecordId,
}

/// What the state holds about one subject: its facts and the records they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Facts after the last record.
    pub facts: Facts,
    /// Every record of the subject, oldest first; never empty.
    pub history: Vec<HistoryItem>,
}

impl Entry {
    /// Gives back the memory that lists hold for growing: most have one item for ever, and there are millions.
    fn shrink(&mut self) {
        self.history.shrink_to_fit();
        self.facts.shrink();
    }
    /// The id a next record must name as `prev`.
    pub fn last_record(&self) -> Option<RecordId> {
        self.history.last().map(|h| h.id)
    }
}

/// The last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Index of its entry; the tree size is one more.
    pub index: u64,
    /// Its id, which the next one names.
    pub id: RecordId,
    /// Its time, Unix milliseconds.
    pub time: u64,
    /// Root of the state map.
    pub root: [u8; 32],
}

/// Where to look for what. A finder only grows, so it may name a subject whose facts have since changed: whoever asks
/// compares with the facts ([`has_max`], [`covers`], [`has_alias`], [`has_org_alias`]). Else a node that read its state back from the index,
/// where only the present facts are, would decide otherwise than one that never stopped. A chat's links stay in its
/// facts for ever, so they need no comparing.
#[derive(Debug, Default, Clone)]
struct Finders {
    links: Table<LinkDigest, Few>,
    max: Table<MaxChatId, Few>,
    aliases: Table<BuildingId, BuildingId>,
    chats_of: Table<BuildingId, Few>,
    buildings_of: Table<OrgId, BTreeSet<BuildingId>>,
    named_by: Table<Subject, BTreeSet<Subject>>,
    compromised: BTreeSet<KeyThumb>,
    organisations: Table<OrgId, OrgId>,
    bots: BTreeSet<BotName>,
}

/// A set of chats that nearly always has one member, and then needs no memory of its own: there is one such set for every
/// link and every building.
#[derive(Debug, Default, Clone)]
enum Few {
    #[default]
    None,
    One(ChatNumber),
    #[expect(clippy::box_collection, reason = "one word instead of three, in every link and building")]
    More(Box<BTreeSet<ChatNumber>>),
}

impl Few {
    fn insert(&mut self, chat: ChatNumber) {
        match self {
            Few::None => *self = Few::One(chat),
            Few::One(there) if *there == chat => {}
            Few::One(there) => *self = Few::More(Box::new([*there, chat].into())),
            Few::More(all) => drop(all.insert(chat)),
        }
    }
    fn iter(&self) -> impl Iterator<Item = ChatNumber> + '_ {
        let (one, more) = match self {
            Few::None => (None, None),
            Few::One(chat) => (Some(*chat), None),
            Few::More(all) => (None, Some(all.iter().copied())),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }
    fn absorb(&mut self, other: &Few) {
        other.iter().for_each(|chat| self.insert(chat));
    }
}

impl Finders {
    fn note(&mut self, subject: &Subject, facts: &Facts) {
        for named in names(facts) {
            self.named_by.entry(named).or_default().insert(subject.clone());
        }
        match facts {
            Facts::Building(b) => {
                // A building entered by mistake gives its further ids back.
                for id in b.also.iter().filter(|_| !b.void) {
                    self.aliases.insert(id.clone(), b.building.clone());
                }
                for org in b.managements.iter().filter_map(|m| m.organisation.as_ref()) {
                    self.buildings_of.entry(org.clone()).or_default().insert(b.building.clone());
                }
            }
            Facts::Chat(c) => {
                for link in c.rotated.iter().chain(&c.link) {
                    self.links.entry(*link).or_default().insert(c.chat);
                }
                if let Some(max) = c.max {
                    self.max.entry(max).or_default().insert(c.chat);
                }
                for building in &c.buildings {
                    self.chats_of.entry(building.clone()).or_default().insert(c.chat);
                }
            }
            Facts::Key(k) if k.revoked.as_ref().is_some_and(|r| r.reason == RevokeReason::Compromised) => {
                self.compromised.insert(k.key.thumb());
            }
            Facts::Organisation(o) => {
                for id in o.also() {
                    self.organisations.insert(id.clone(), o.organisation.clone());
                }
            }
            Facts::Bot(b) => drop(self.bots.insert(b.bot.clone())),
            _ => {}
        }
    }

    fn absorb(&mut self, other: Finders) {
        for (k, v) in other.links {
            self.links.entry(k).or_default().absorb(&v);
        }
        for (k, v) in other.max {
            self.max.entry(k).or_default().absorb(&v);
        }
        self.aliases.extend(other.aliases);
        for (k, v) in other.chats_of {
            self.chats_of.entry(k).or_default().absorb(&v);
        }
        for (k, v) in other.buildings_of {
            self.buildings_of.entry(k).or_default().extend(v);
        }
        for (k, v) in other.named_by {
            self.named_by.entry(k).or_default().extend(v);
        }
        self.compromised.extend(other.compromised);
        self.organisations.extend(other.organisations);
        self.bots.extend(other.bots);
    }
}

/// What rules and readers may ask of a state, or of a state with a batch tried on top of it.
pub trait View {
    /// The charter's word on this log.
    fn jurisdiction(&self) -> &Jurisdiction;
    /// Facts and history of a subject.
    fn entry(&self, subject: &Subject) -> Option<&Entry>;
    /// The index of a record, if the log has it.
    fn index_of(&self, id: &RecordId) -> Option<u64>;
    /// Chats that have or had this join link.
    fn chats_by_link(&self, link: &LinkDigest) -> BTreeSet<ChatNumber>;
    /// Chats whose facts name this MAX id.
    fn chats_by_max(&self, id: &MaxChatId) -> BTreeSet<ChatNumber>;
    /// Chats whose facts name this building (primary id), ended ones included.
    fn chats_by_building(&self, building: &BuildingId) -> BTreeSet<ChatNumber>;
    /// Subjects whose facts name this one ([`names`]).
    fn named_by(&self, subject: &Subject) -> BTreeSet<Subject>;
    /// The primary id of a building known under any of its present ids.
    fn primary(&self, id: &BuildingId) -> Option<BuildingId>;
    /// The primary id of an organisation known under any of its present ids; an id that nobody linked is its own. Two ids
    /// are one organisation where this is the same.
    fn organisation(&self, id: &OrgId) -> OrgId;

    /// Facts of a subject.
    fn facts(&self, subject: &Subject) -> Option<&Facts> {
        self.entry(subject).map(|e| &e.facts)
    }
    /// Facts of a building, by primary id.
    fn building(&self, id: &BuildingId) -> Option<&super::facts::BuildingFacts> {
        match self.facts(&Subject::Building(id.clone()))? {
            Facts::Building(b) => Some(b),
            _ => None,
        }
    }
    /// Facts of a chat.
    fn chat(&self, id: ChatNumber) -> Option<&ChatFacts> {
        match self.facts(&Subject::Chat(id))? {
            Facts::Chat(c) => Some(c),
            _ => None,
        }
    }
    /// Facts of an offer of a chat to another region, as this log has them.
    fn transfer(&self, offer: &RecordId) -> Option<&transfer::TransferFacts> {
        match self.facts(&Subject::Transfer(*offer))? {
            Facts::Transfer(t) => Some(t),
            _ => None,
        }
    }
    /// Facts of an authority.
    fn authority(&self, id: &OrgId) -> Option<&super::facts::AuthorityFacts> {
        match self.facts(&Subject::Authority(id.clone()))? {
            Facts::Authority(a) => Some(a),
            _ => None,
        }
    }
    /// Facts of a key.
    fn key(&self, id: &KeyThumb) -> Option<&super::facts::KeyFacts> {
        match self.facts(&Subject::Key(*id))? {
            Facts::Key(k) => Some(k),
            _ => None,
        }
    }
    /// The threshold of flats in force on `day`.
    fn threshold(&self, day: super::text::Day) -> Option<&super::facts::Threshold> {
        match self.facts(&Subject::Applicability(self.jurisdiction().region))? {
            Facts::Applicability(a) => a.on(day),
            _ => None,
        }
    }
    /// Who holds today what `authority` was given: the end of its chain of successions. The rules refuse loops and longer
    /// chains.
    fn holder(&self, authority: &OrgId) -> OrgId {
        let mut at = authority.clone();
        for _ in 0..MAX_SUCCESSIONS {
            match self.authority(&at).and_then(|a| a.succeeded.as_ref()) {
                Some(s) => at = s.successor.clone(),
                None => break,
            }
        }
        at
    }
    /// True where `chat` is official by rule 1: its last standing is official and whoever holds it is enrolled, neither
    /// suspended nor succeeded. A suspension of an authority moves none of its chats: they keep their owner and their
    /// buildings' place, nobody can act on them but the region's root, and **readers must not call them official** until
    /// the authority is reinstated or they are transferred.
    fn is_official(&self, chat: &ChatFacts) -> bool {
        let holder = chat.owner().map(|o| self.holder(&o.authority));
        let standing =
            holder.and_then(|h| self.authority(&h)).is_some_and(|a| a.suspended.is_none() && a.succeeded.is_none());
        chat.status() == super::facts::ChatStatus::Official && standing
    }
}

/// Facts of every subject of one log as of its last commit.
#[derive(Debug, Clone)]
pub struct State {
    charters: Arc<Charters>,
    subjects: Table<Subject, Entry>,
    ids: Table<RecordId, u64>,
    finders: Finders,
    head: Option<Head>,
    commits: Vec<(u64, u64)>,
    charter: u64,
}

impl State {
    /// The state of an empty log under these charters.
    pub fn new(charters: impl Into<Charters>) -> State {
        State {
            charters: Arc::new(charters.into()),
            subjects: Table::default(),
            ids: Table::default(),
            finders: Finders::default(),
            head: None,
            commits: Vec::new(),
            charter: 0,
        }
    }
    /// The charter chain.
    pub fn charters(&self) -> &Arc<Charters> {
        &self.charters
    }
    /// Takes a longer chain of the same federation. The state stays what it is, so that must be true of it: no version that
    /// is new makes an entry the state covers a no-op (that takes a replay).
    pub fn extend_charters(&mut self, charters: Arc<Charters>) {
        self.charters = charters;
    }
    /// Number of entries the state covers.
    pub fn size(&self) -> u64 {
        self.head.map_or(0, |h| h.index + 1)
    }
    /// The last commit.
    pub fn head(&self) -> Option<Head> {
        self.head
    }
    /// Version of the charter the log has adopted last; 0 before the first.
    pub fn charter(&self) -> u64 {
        self.charter
    }
    /// (tree size, time) of every commit.
    pub fn commits(&self) -> &[(u64, u64)] {
        &self.commits
    }
    /// Commit time of the entry at `index`, Unix milliseconds.
    pub fn time_of(&self, index: u64) -> Option<u64> {
        let at = self.commits.partition_point(|(size, _)| *size <= index);
        self.commits.get(at).map(|(_, time)| *time)
    }
    /// Every subject.
    pub fn subjects(&self) -> impl Iterator<Item = (&Subject, &Entry)> {
        self.subjects.iter()
    }
    /// Number of subjects.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }
    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }
    /// Buildings an organisation manages or managed.
    pub fn buildings_of(&self, org: &OrgId) -> impl Iterator<Item = &BuildingId> {
        self.finders.buildings_of.get(org).into_iter().flatten()
    }
    /// Keys that were revoked as compromised: what they signed may be suspect.
    pub fn compromised_keys(&self) -> impl Iterator<Item = &KeyThumb> {
        self.finders.compromised.iter()
    }
    /// Bots that were attested at any time; an authority has a handful.
    pub fn bots(&self) -> impl Iterator<Item = &BotName> {
        self.finders.bots.iter()
    }
    /// Makes room for about so many more subjects and records, so that adding them moves nothing.
    pub fn reserve(&mut self, subjects: usize, records: usize) {
        self.subjects.reserve(subjects);
        self.ids.reserve(records);
    }
    /// Takes a subject as the index had it. Only for loading: the caller compares the map's root afterwards.
    pub fn restore_entry(&mut self, subject: Subject, mut entry: Entry) {
        entry.shrink();
        self.finders.note(&subject, &entry.facts);
        self.ids.extend(entry.history.iter().map(|h| (h.id, h.index)));
        self.subjects.insert(subject, entry);
    }
    /// Ends loading: the last commit, all commits, the charter adopted.
    pub fn restore_head(&mut self, head: Head, commits: Vec<(u64, u64)>, charter: u64) {
        self.head = Some(head);
        self.commits = commits;
        self.charter = charter;
    }
    /// Every leaf of the state map, (key name, value), for a map built anew.
    pub fn leaves(&self) -> impl Iterator<Item = (String, Bytes32)> + '_ {
        let subjects = self.subjects.par_iter().map(|(s, e)| (s.to_string(), leaf_value(&e.facts.encode())));
        subjects.collect::<Vec<_>>().into_iter().chain(self.link_leaves())
    }
    /// Every join link that a chat has or had, with its chats.
    pub fn links(&self) -> impl Iterator<Item = (LinkDigest, BTreeSet<ChatNumber>)> + '_ {
        self.finders.links.iter().map(|(link, chats)| (*link, chats.iter().collect()))
    }
    /// The leaves of the join links alone, (key name, value).
    pub fn link_leaves(&self) -> Vec<(String, Bytes32)> {
        self.finders.links.par_iter().map(|(link, chats)| link_leaf(*link, &chats.iter().collect())).collect()
    }
    /// Begins a batch whose first entry has index [`State::size`].
    pub fn overlay(&self) -> Overlay<'_> {
        Overlay {
            base: self,
            subjects: Table::default(),
            ids: Table::default(),
            finders: Finders::default(),
            charter: self.charter,
        }
    }
    /// Makes a finished batch part of the state.
    pub fn absorb(&mut self, changes: Changes, commit: &Commit, commit_id: RecordId, index: u64) {
        self.subjects.extend(changes.subjects);
        self.ids.extend(changes.ids);
        self.finders.absorb(changes.finders);
        self.charter = changes.charter;
        self.head = Some(Head { index, id: commit_id, time: commit.time.get(), root: commit.root.0 });
        self.commits.push((index + 1, commit.time.get()));
    }
}

/// The leaf of a join link: its name and value.
pub fn link_leaf(link: LinkDigest, chats: &BTreeSet<ChatNumber>) -> (String, Bytes32) {
    let facts = LinkFacts { link, chats: chats.iter().copied().collect() };
    // As in Facts::encode: plain data, no way to fail.
    (format!("link:{link}"), leaf_value(&serde_json::to_vec(&facts).unwrap_or_default()))
}

impl View for State {
    fn jurisdiction(&self) -> &Jurisdiction {
        self.charters.in_force(self.charter)
    }
    fn entry(&self, subject: &Subject) -> Option<&Entry> {
        self.subjects.get(subject)
    }
    fn index_of(&self, id: &RecordId) -> Option<u64> {
        self.ids.get(id).copied()
    }
    fn chats_by_link(&self, link: &LinkDigest) -> BTreeSet<ChatNumber> {
        self.finders.links.get(link).into_iter().flat_map(Few::iter).collect()
    }
    fn chats_by_max(&self, id: &MaxChatId) -> BTreeSet<ChatNumber> {
        self.finders.max.get(id).into_iter().flat_map(Few::iter).filter(|n| has_max(self, *n, id)).collect()
    }
    fn chats_by_building(&self, building: &BuildingId) -> BTreeSet<ChatNumber> {
        self.finders
            .chats_of
            .get(building)
            .into_iter()
            .flat_map(Few::iter)
            .filter(|n| covers(self, *n, building))
            .collect()
    }
    fn named_by(&self, subject: &Subject) -> BTreeSet<Subject> {
        still_naming(self, self.finders.named_by.get(subject).into_iter().flatten().cloned(), subject)
    }
    fn primary(&self, id: &BuildingId) -> Option<BuildingId> {
        if self.subjects.contains_key(&Subject::Building(id.clone())) {
            return Some(id.clone());
        }
        self.finders.aliases.get(id).filter(|p| has_alias(self, p, id)).cloned()
    }
    fn organisation(&self, id: &OrgId) -> OrgId {
        let known = self.finders.organisations.get(id).filter(|p| has_org_alias(self, p, id));
        known.unwrap_or(id).clone()
    }
}

fn has_max(view: &impl View, chat: ChatNumber, id: &MaxChatId) -> bool {
    view.chat(chat).is_some_and(|c| c.max == Some(*id))
}

fn covers(view: &impl View, chat: ChatNumber, building: &BuildingId) -> bool {
    view.chat(chat).is_some_and(|c| c.buildings.contains(building))
}

fn still_naming(view: &impl View, found: impl Iterator<Item = Subject>, subject: &Subject) -> BTreeSet<Subject> {
    found.filter(|s| view.facts(s).is_some_and(|f| names(f).contains(subject))).collect()
}

fn has_alias(view: &impl View, primary: &BuildingId, id: &BuildingId) -> bool {
    view.building(primary).is_some_and(|b| !b.void && b.also.contains(id))
}

fn has_org_alias(view: &impl View, primary: &OrgId, id: &OrgId) -> bool {
    match view.facts(&Subject::Organisation(primary.clone())) {
        Some(Facts::Organisation(o)) => o.also().contains(id),
        _ => false,
    }
}

/// A state with a batch tried on top of it.
#[derive(Debug)]
pub struct Overlay<'s> {
    base: &'s State,
    subjects: Table<Subject, Entry>,
    ids: Table<RecordId, u64>,
    finders: Finders,
    charter: u64,
}

/// What a batch changes, cut loose from the state it was tried on.
#[derive(Debug)]
pub struct Changes {
    /// New facts and histories.
    pub subjects: Table<Subject, Entry>,
    /// The rows of these subjects with their names, where they were kept when the facts were encoded.
    rows: Option<Vec<(String, Vec<u8>)>>,
    /// Leaves of the state map to set, (key, value).
    pub leaves: Vec<(Bytes32, Bytes32)>,
    ids: Table<RecordId, u64>,
    finders: Finders,
    /// Version of the charter in force after the batch.
    pub charter: u64,
}

impl Overlay<'_> {
    /// Makes room for so many records.
    pub fn reserve(&mut self, records: usize) {
        self.ids.reserve(records);
        self.subjects.reserve(records);
    }
    /// Applies a record that the rules have passed, as the entry at `index`. Cannot fail.
    pub fn apply(&mut self, checked: super::rules::Checked<'_>, index: u64) {
        let record: &Record = checked.record();
        let subject = record.subject(self.jurisdiction().region);
        self.ids.insert(record.id, index);
        self.evolve(subject, record, index);
        if let Some(offer) = transfer::beside(record) {
            self.evolve(Subject::Transfer(offer), record, index);
        }
    }
    fn evolve(&mut self, subject: Subject, record: &Record, index: u64) {
        let chat = if let Subject::Chat(c) = &subject { Some(*c) } else { None };
        let before = self.subjects.remove(&subject).or_else(|| self.base.subjects.get(&subject).cloned());
        let (facts, mut history) = match before {
            Some(e) => (Some(e.facts), e.history),
            None => (None, Vec::new()),
        };
        history.push(HistoryItem { index, id: record.id });
        if let Some(facts) = evolve(facts, chat, record) {
            self.finders.note(&subject, &facts);
            self.subjects.insert(subject, Entry { facts, history });
        }
    }
    /// Applies a `charter.adopted` entry.
    pub fn adopt(&mut self, adopted: &Adopted, id: RecordId, index: u64) {
        self.charter = adopted.version;
        self.ids.insert(id, index);
    }
    /// Version of the charter in force.
    pub fn charter(&self) -> u64 {
        self.charter
    }
    /// The charter chain.
    pub fn charters(&self) -> &Charters {
        &self.base.charters
    }
    /// Ends the batch.
    pub fn finish(self) -> Changes {
        self.end(false, None)
    }
    /// Ends the batch, for whoever has an index: rows are kept ([`Changes::take_rows`]).
    pub fn finish_with_rows(self) -> Changes {
        self.end(true, None)
    }
    /// Ends the batch; from so many changes on they are spread over the cores, where the usual number is not right.
    pub(super) fn end(self, keep_rows: bool, spread_from: Option<usize>) -> Changes {
        let spread_from = spread_from.unwrap_or(PARALLEL_FROM);
        let links: Vec<LinkDigest> = self.finders.links.keys().copied().collect();
        let mut leaves = map_each(&links, spread_from, |link| {
            let (name, value) = link_leaf(*link, &self.chats_by_link(link));
            (map_key(&name), value)
        });
        let subjects: Vec<(&Subject, &Entry)> = self.subjects.iter().collect();
        let encode = |(s, e): &(&Subject, &Entry)| {
            let (name, mut row, facts) = row_of(s, e);
            let leaf = (map_key(&name), leaf_value(&row[facts..]));
            let kept = keep_rows.then(|| {
                // They may wait for the index by the hundred thousand.
                row.shrink_to_fit();
                (name, row)
            });
            (leaf, kept)
        };
        let (of_subjects, rows): (Vec<_>, Vec<_>) = map_each(&subjects, spread_from, encode).into_iter().unzip();
        leaves.extend(of_subjects);
        let rows = rows.into_iter().collect();
        let Overlay { mut subjects, ids, finders, charter, .. } = self;
        subjects.values_mut().for_each(Entry::shrink);
        Changes { subjects, rows, leaves, ids, finders, charter }
    }
}

impl Changes {
    /// The rows for an index, with the names of their subjects; made now where they were not kept.
    pub fn take_rows(&mut self) -> Vec<(String, Vec<u8>)> {
        let made = || self.subjects.iter().map(|(s, e)| row_of(s, e)).map(|(name, row, _)| (name, row)).collect();
        self.rows.take().unwrap_or_else(made)
    }
}

/// `of` each of these, on all cores where they are so many.
fn map_each<T: Sync, R: Send>(items: &[T], spread_from: usize, of: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    if items.len() < spread_from { items.iter().map(of).collect() } else { items.par_iter().map(of).collect() }
}

fn union<K: std::hash::Hash + Eq>(base: BTreeSet<ChatNumber>, over: &Table<K, Few>, key: &K) -> BTreeSet<ChatNumber> {
    let mut all = base;
    all.extend(over.get(key).into_iter().flat_map(Few::iter));
    all
}

impl View for Overlay<'_> {
    fn jurisdiction(&self) -> &Jurisdiction {
        self.base.charters.in_force(self.charter)
    }
    fn entry(&self, subject: &Subject) -> Option<&Entry> {
        self.subjects.get(subject).or_else(|| self.base.subjects.get(subject))
    }
    fn index_of(&self, id: &RecordId) -> Option<u64> {
        self.ids.get(id).copied().or_else(|| self.base.index_of(id))
    }
    fn chats_by_link(&self, link: &LinkDigest) -> BTreeSet<ChatNumber> {
        union(self.base.chats_by_link(link), &self.finders.links, link)
    }
    fn chats_by_max(&self, id: &MaxChatId) -> BTreeSet<ChatNumber> {
        let mut all = union(self.base.chats_by_max(id), &self.finders.max, id);
        all.retain(|n| has_max(self, *n, id));
        all
    }
    fn chats_by_building(&self, building: &BuildingId) -> BTreeSet<ChatNumber> {
        let mut all = union(self.base.chats_by_building(building), &self.finders.chats_of, building);
        all.retain(|n| covers(self, *n, building));
        all
    }
    fn named_by(&self, subject: &Subject) -> BTreeSet<Subject> {
        let known = [&self.base.finders, &self.finders].into_iter().filter_map(|f| f.named_by.get(subject));
        still_naming(self, known.flatten().cloned(), subject)
    }
    fn primary(&self, id: &BuildingId) -> Option<BuildingId> {
        if self.entry(&Subject::Building(id.clone())).is_some() {
            return Some(id.clone());
        }
        let mut known = [&self.finders, &self.base.finders].into_iter().filter_map(|f| f.aliases.get(id));
        known.find(|p| has_alias(self, p, id)).cloned()
    }
    fn organisation(&self, id: &OrgId) -> OrgId {
        let mut known = [&self.finders, &self.base.finders].into_iter().filter_map(|f| f.organisations.get(id));
        known.find(|p| has_org_alias(self, p, id)).unwrap_or(id).clone()
    }
}

/// True where a delegation of `organisation` over a chat of `buildings` still has a management under it on `day`.
pub fn still_manages(view: &impl View, organisation: &OrgId, buildings: &[BuildingId], day: super::text::Day) -> bool {
    buildings.iter().any(|id| {
        view.building(id).is_some_and(|b| b.managements_on(day).any(|m| m.organisation.as_ref() == Some(organisation)))
    })
}
