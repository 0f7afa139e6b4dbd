//! The difference between a table and the register, as records: what is new or changed, and nothing else.
//!
//! A [`Planner`] starts from the verified state of the log. Rows are handed in one after another; each yields drafts of
//! records (or none, when the register says so already) and an outcome for the report. The same table again yields
//! nothing, so an interrupted import is resumed by running it again. Records about one subject are chained by `prev`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::link::{Links, Target};
use super::report::{self, Problem};
use super::rows::{ChatRow, HouseRow, ManagementRow, OrganisationRow, Place, Tenure};
use super::worklist::{Question, core_name, name_of, same_organisation, told_apart};
use crate::error::{Error, Result};
use crate::registry::address::{AddressIndex, AddressKey, Match};
use crate::registry::body::*;
use crate::registry::facts::{BuildingFacts, Facts};
use crate::registry::ids::{BuildingId, Oktmo, OrgId, RecordId};
use crate::registry::record::{Basis, Draft, Record, Subject};
use crate::registry::state::{State, View};
use crate::registry::text::{Day, Millis, Text};

/// What every record of an import has in common.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Origin of the log.
    pub log: Box<str>,
    /// Now, Unix milliseconds.
    pub now: Millis,
    /// The source; its date is the day it was observed.
    pub basis: Basis,
    /// Batch.
    pub batch: Text,
    /// The day of the source.
    pub observed: Day,
    /// The authority chats are registered for.
    pub authority: OrgId,
    /// ОКТМО code of buildings whose source does not tell: the region's prefix.
    pub oktmo: Oktmo,
    /// Delegate the administration of a building's chat to whoever begins to manage it.
    pub delegate: bool,
    /// Also amend flats, year and kind where the source differs; otherwise only the address counts as a change.
    pub attributes: bool,
}

/// A record ready to be signed, and the row it comes from.
#[derive(Debug)]
pub struct Planned {
    /// Row of the source; none for what concerns the whole table.
    pub row: Option<u64>,
    /// Exact payload.
    pub payload: Vec<u8>,
    /// Type, for counting.
    pub type_name: &'static str,
}

/// What a row came to before anything was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowPlan {
    /// Records were made for it.
    Records,
    /// The register says so already.
    Unchanged,
    /// It cannot be used.
    Refused(Problem),
}

/// A management that is open.
#[derive(Debug, Clone)]
struct Open {
    organisation: Option<OrgId>,
    /// First day, where known.
    from: Option<Day>,
    /// The last day of which the register knows it.
    known: Option<Day>,
    /// The record that assigned it.
    record: RecordId,
}

/// Whose word a management is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A snapshot, which says who manages on its day.
    Source,
    /// A clerk, who says that somebody begins to manage.
    Clerk,
}

/// Plans an import against a state.
pub struct Planner<'s> {
    pub(super) state: &'s State,
    pub(super) frame: Frame,
    links: Links,
    addresses: Option<AddressIndex>,
    /// Last record of each subject, planned ones included.
    last: HashMap<Subject, RecordId>,
    /// Managements planned for a building.
    tenures: HashMap<BuildingId, Vec<Open>>,
    names: HashMap<OrgId, Text>,
    /// Houses in which one organisation stands where another stood that may be the same: (earlier, later).
    replaced: BTreeMap<(OrgId, OrgId), usize>,
    /// Ids told apart from a building by what is planned.
    pub(super) told: HashSet<(BuildingId, BuildingId)>,
    /// Of rows that were taken over without a part of what they say.
    pub warnings: HashMap<u64, Problem>,
    /// Records planned so far.
    pub planned: Vec<Planned>,
}

/// Days a signed import may wait before it is submitted.
const DEADLINE_MS: u64 = 7 * 86_400_000;

impl<'s> Planner<'s> {
    /// A planner over the present state.
    pub fn new(state: &'s State, frame: Frame) -> Planner<'s> {
        Planner {
            state,
            frame,
            links: Links::default(),
            addresses: None,
            last: HashMap::new(),
            tenures: HashMap::new(),
            names: HashMap::new(),
            replaced: BTreeMap::new(),
            told: HashSet::new(),
            warnings: HashMap::new(),
            planned: Vec::new(),
        }
    }

    /// Which house each row means, decided before for the whole source.
    pub fn with_links(mut self, links: Links) -> Planner<'s> {
        self.links = links;
        self
    }

    pub(super) fn plan(&mut self, row: Option<u64>, body: Body, effective_from: Option<Day>) -> Result<RecordId> {
        let region = self.state.jurisdiction().region;
        let type_name = body.type_name();
        let begins = matches!(&body, Body::ChatRegistered(b) if b.declared.is_none());
        let subject = body.subject(&RecordId([0; 32]), region);
        let prev = match begins {
            true => None,
            false => {
                self.last.get(&subject).copied().or_else(|| self.state.entry(&subject).and_then(|e| e.last_record()))
            }
        };
        let (record, payload) = Record::encode(Draft {
            log: self.frame.log.clone(),
            issued_at: self.frame.now,
            submit_before: Millis::new(self.frame.now.get() + DEADLINE_MS)?,
            effective_from,
            prev,
            basis: Some(self.frame.basis.clone()),
            batch: Some(self.frame.batch.clone()),
            body,
        })?;
        self.last.insert(record.subject(region), record.id);
        self.planned.push(Planned { row, payload, type_name });
        Ok(record.id)
    }

    /// One house of a snapshot.
    pub fn house(&mut self, h: &HouseRow) -> RowPlan {
        let before = self.planned.len();
        match self.try_house(h) {
            Err(problem) => RowPlan::Refused(problem),
            Ok(()) if self.planned.len() == before => RowPlan::Unchanged,
            Ok(()) => RowPlan::Records,
        }
    }

    fn try_house(&mut self, h: &HouseRow) -> std::result::Result<(), Problem> {
        let (target, add) = match self.links.of(h.row) {
            Some(link) => (link.target.clone(), link.add.clone()),
            None => (self.state.primary(&h.building).map_or(Target::New, Target::Known), h.also.clone()),
        };
        let known = match target {
            Target::New => None,
            Target::Known(id) => self.state.building(&id),
            // Another row of the source speaks for the house.
            Target::Double(_) => return Ok(()),
            Target::Held(question) => {
                let unknown = || Problem::new(&report::RECORD, report::WHOLE_ROW, "", "");
                return Err(self.links.problem(question).unwrap_or_else(unknown));
            }
        };
        self.known_house(h, known, add).map_err(|e| refusal(&e))
    }

    fn known_house(&mut self, h: &HouseRow, known: Option<&BuildingFacts>, add: Vec<BuildingId>) -> Result<()> {
        let id = known.map_or_else(|| h.building.clone(), |b| b.building.clone());
        let body = |also: Option<List<BuildingId, 16>>, oktmo: Oktmo, applicability| Building {
            building: id.clone(),
            address: h.address.clone(),
            oktmo,
            kind: h.kind,
            also,
            flats: h.flats,
            year: h.year,
            emergency: h.emergency,
            applicability,
        };
        match known {
            Some(b) if b.void || b.retired.is_some() => {
                return Err(Error::refuse(
                    "import.house.gone",
                    format!("{id} is retired or was superseded in the register"),
                    "register it under another id, or take the retirement back",
                ));
            }
            // The source that gave the house its primary id describes it; any other adds ids and managements. Else two sources
            // that spell an address in two ways would amend it in turn for ever.
            Some(b) if b.building.scheme() != h.building.scheme() || later(b, self.frame.observed) => {}
            Some(b) => {
                let moved = AddressKey::parse(b.address.as_str()) != AddressKey::parse(h.address.as_str());
                let (flats, year) = (h.flats.or(b.flats), h.year.or(b.year));
                let other = self.frame.attributes && (b.kind != h.kind || b.flats != flats || b.year != year);
                // After a municipal reform the source has new codes. One that only says less than the register changes nothing.
                let vaguer = |o: &Oktmo| b.oktmo.to_string().starts_with(&o.to_string());
                let oktmo = h.oktmo.filter(|o| !vaguer(o)).unwrap_or(b.oktmo);
                if moved || other || oktmo != b.oktmo {
                    let mut new = body((!b.also.is_empty()).then(|| List(b.also.clone())), oktmo, b.applicability);
                    (new.flats, new.year, new.emergency) = (flats, year, h.emergency.or(b.emergency));
                    self.plan(Some(h.row), Body::BuildingAmended(new), None)?;
                }
            }
            None => {
                let also = (!add.is_empty()).then(|| List(add.iter().take(MAX_IDS).cloned().collect()));
                let oktmo = h.oktmo.unwrap_or(self.frame.oktmo);
                self.plan(Some(h.row), Body::BuildingRegistered(body(also, oktmo, None)), None)?;
            }
        }
        if known.is_some() && !add.is_empty() {
            let body = BuildingLinked { building: id.clone(), also: Some(List(add)), distinct: None };
            self.plan(Some(h.row), Body::BuildingLinked(body), None)?;
        }
        match &h.tenure {
            Some(tenure) => self.manage(h.row, &id, tenure, By::Source),
            // "Not told" is no fact: a management that the source no longer names is not ended by that.
            None => Ok(()),
        }
    }

    /// Managements that are open, planned ones included.
    fn open(&self, building: &BuildingId) -> Vec<Open> {
        if let Some(planned) = self.tenures.get(building) {
            return planned.clone();
        }
        let facts = self.state.building(building);
        let open = facts.into_iter().flat_map(|b| &b.managements).filter(|m| !m.void && m.ended.is_none());
        open.map(|m| Open {
            organisation: m.organisation.clone(),
            from: m.from,
            known: m.observed.max(m.from),
            record: m.record,
        })
        .collect()
    }

    /// The building is managed by that organisation from that day on; what was open before ends there.
    fn manage(&mut self, row: u64, building: &BuildingId, t: &Tenure, by: By) -> Result<()> {
        let open = self.open(building);
        let organisation = t.organisation.as_ref().map(|o| self.state.organisation(o));
        let same = |o: &Open| o.organisation.as_ref().map(|o| self.state.organisation(o)) == organisation;
        if open.iter().any(same) {
            return Ok(());
        }
        if open.iter().any(|o| o.known > Some(self.frame.observed)) {
            let (ru, en) = (
                "в реестре более поздние сведения об управлении домом",
                "the register has later facts about who manages the house",
            );
            self.warnings.insert(row, Problem::new(&report::OLDER, report::WHOLE_ROW, ru, en));
            return Ok(());
        }
        if let Some(new) = &organisation {
            for old in open.iter().filter_map(|o| o.organisation.as_ref()) {
                let old = self.state.organisation(old);
                if told_apart(self.state, &old, new) {
                    continue;
                }
                let names = (name_of(self.state, &old), t.name.as_ref());
                let core = |n: Option<&Text>| n.map(|n| core_name(n.as_str())).filter(|n| !n.is_empty());
                let namesake = core(names.0.as_ref()).is_some_and(|n| Some(n) == core(names.1));
                let comparable = self.comparable(&old, new);
                if namesake || !comparable && by == By::Source {
                    *self.replaced.entry((old.clone(), new.clone())).or_default() += 1;
                }
                // A clerk who names another company means another one; a source may only know it by another number.
                if !comparable && (namesake || by == By::Source) {
                    // One organisation has a number of either kind: that they differ says nothing.
                    let (ru, en) = (
                        format!("в реестре управляет {old}, в источнике {new}: одна ли это организация, решит человек"),
                        format!("the register has {old}, the source {new}: a person must say whether they are one"),
                    );
                    self.warnings.insert(row, Problem::new(&report::LINK_ORGANISATION, report::WHOLE_ROW, ru, en));
                    return Ok(());
                }
            }
        }
        for Open { from, record, .. } in &open {
            // A source may name a day before the earlier company began; then all that is known is when it was seen.
            let day = t
                .since
                .filter(|s| from.is_none_or(|f| f <= *s))
                .unwrap_or(self.frame.observed.max(from.unwrap_or(self.frame.observed)));
            let body = ManagementEnded { building: building.clone(), management: *record, goes_on: None };
            self.plan(Some(row), Body::ManagementEnded(body), Some(day))?;
        }
        let assigned = ManagementAssigned {
            building: building.clone(),
            form: t.form,
            organisation: organisation.clone(),
            contract: None,
            licence: None,
        };
        let record = self.plan(Some(row), Body::ManagementAssigned(assigned), t.since)?;
        let known = Some(self.frame.observed).max(t.since);
        let new = Open { organisation: organisation.clone(), from: t.since, known, record };
        self.tenures.insert(building.clone(), vec![new]);
        match &organisation {
            Some(organisation) if self.frame.delegate => self.delegate(row, building, organisation, t.since),
            _ => Ok(()),
        }
    }

    /// Whether two organisations that are not known to be one have numbers of one kind, so that they are two.
    fn comparable(&self, a: &OrgId, b: &OrgId) -> bool {
        let ids = |id: &OrgId| {
            let also = self.organisation_facts(id).map(|o| o.also().to_vec()).unwrap_or_default();
            std::iter::once(id.clone()).chain(also).collect::<Vec<_>>()
        };
        let theirs = ids(b);
        ids(a).iter().any(|a| theirs.iter().any(|b| a.scheme() == b.scheme()))
    }

    /// An organisation of a register of organisations: its numbers are one organisation's. Linked where that is certain.
    pub fn organisation(&mut self, row: &OrganisationRow) -> RowPlan {
        let before = self.planned.len();
        let done = self.try_organisation(row);
        match done {
            Err(problem) => RowPlan::Refused(problem),
            Ok(()) if self.planned.len() == before => RowPlan::Unchanged,
            Ok(()) => RowPlan::Records,
        }
    }

    fn try_organisation(&mut self, row: &OrganisationRow) -> std::result::Result<(), Problem> {
        let Some(first) = row.ids.first() else { return Ok(()) };
        let used = |id: &OrgId| {
            self.state.organisation(id) != *id
                || self.state.buildings_of(id).next().is_some()
                || self.state.entry(&Subject::Organisation(id.clone())).is_some()
        };
        let known: BTreeSet<OrgId> =
            row.ids.iter().filter(|id| used(id)).map(|id| self.state.organisation(id)).collect();
        let stays = known.first().unwrap_or(first).clone();
        let all: Vec<OrgId> = known.iter().chain(&row.ids).cloned().collect();
        // Two numbers of one kind are two organisations, whatever a row says.
        let clash = |id: &OrgId| {
            let of = self.state.organisation(id);
            all.iter().any(|o| {
                let other = self.state.organisation(o);
                other != of && (self.comparable(&other, &of) || told_apart(self.state, &other, &of))
            })
        };
        if let Some(id) = all.iter().find(|id| clash(id)) {
            let list = all.iter().map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
            let list = list.join(", ");
            let (ru, en) = (
                format!("коды строки принадлежат разным организациям ({list}): {id}"),
                format!("ids of the row belong to different organisations ({list}): {id}"),
            );
            return Err(Problem::new(&report::LINK_ORGANISATION, report::WHOLE_ROW, ru, en));
        }
        for other in known.iter().filter(|k| **k != stays) {
            self.same_organisation(Some(row.row), &stays, other).map_err(|e| refusal(&e))?;
        }
        let new: Vec<OrgId> = row.ids.iter().filter(|id| **id != stays && !used(id)).cloned().collect();
        if !new.is_empty() {
            let body = OrganisationLinked { organisation: stays.clone(), also: Some(List(new)), distinct: None };
            self.plan(Some(row.row), Body::OrganisationLinked(body), None).map_err(|e| refusal(&e))?;
        }
        // By its primary id: that is where readers look for it.
        let named: Vec<_> = row.name.iter().map(|name| (stays.clone(), name.clone())).collect();
        self.names(&named).map_err(|e| refusal(&e))
    }

    /// Everything a person must decide: about houses, as the links found it, and about organisations.
    pub fn questions(&mut self) -> Vec<Question> {
        let mut questions = std::mem::take(&mut self.links.questions);
        for ((old, new), houses) in &self.replaced {
            questions.push(same_organisation(self.state, old, new, self.names.get(new), *houses));
        }
        questions
    }

    fn delegate(&mut self, row: u64, building: &BuildingId, organisation: &OrgId, since: Option<Day>) -> Result<()> {
        let day = since.unwrap_or(self.frame.observed);
        for number in self.state.chats_by_building(building) {
            let Some(chat) = self.state.chat(number) else { continue };
            let own = chat.owner().is_some_and(|o| self.state.holder(&o.authority) == self.frame.authority);
            if chat.is_active() && own && chat.buildings.contains(building) {
                let body = Admin { chat: number, organisation: organisation.clone() };
                self.plan(Some(row), Body::AdminDelegated(body), Some(day))?;
            }
        }
        Ok(())
    }

    /// Names that the source gives to organisations: a rename is one record and changes no management. Where one id has
    /// several names, the register's own is kept if it is among them, otherwise the most frequent wins.
    pub fn names(&mut self, rows: &[(OrgId, Text)]) -> Result<()> {
        let mut count: BTreeMap<&OrgId, BTreeMap<&Text, usize>> = BTreeMap::new();
        for (org, name) in rows {
            *count.entry(org).or_default().entry(name).or_default() += 1;
        }
        for (org, names) in count {
            let known = name_of(self.state, org);
            // A source that knows it by another number calls it otherwise; an older source calls it as it was called then.
            if known.is_some() && (self.state.organisation(org) != *org || self.named_later(org)) {
                continue;
            }
            let org = &self.state.organisation(org);
            if known.as_ref().is_some_and(|k| names.contains_key(k)) {
                continue;
            }
            let Some((name, _)) = names.into_iter().max_by_key(|(name, n)| (*n, std::cmp::Reverse(*name))) else {
                continue;
            };
            self.names.insert(org.clone(), name.clone());
            let body = OrganisationNamed { organisation: org.clone(), name: name.clone() };
            // The source does not say since when it is called so.
            self.plan(None, Body::OrganisationNamed(body), None)?;
        }
        Ok(())
    }

    /// Whether the name the register has is of a later day than the source.
    fn named_later(&self, org: &OrgId) -> bool {
        let last = self.organisation_facts(&self.state.organisation(org)).and_then(|o| o.names.last());
        last.is_some_and(|n| n.observed > Some(self.frame.observed))
    }

    /// Buildings of the register that the snapshot no longer has: reported, never retired by themselves.
    pub fn vanished(&self, scheme: &str, seen: &HashSet<BuildingId>) -> Vec<(BuildingId, String)> {
        let gone = self.state.subjects().filter_map(|(_, e)| match &e.facts {
            Facts::Building(b) if !b.void && b.retired.is_none() && b.building.scheme() == scheme => {
                let seen = b.ids().any(|id| seen.contains(id));
                (!seen).then(|| (b.building.clone(), b.address.to_string()))
            }
            _ => None,
        });
        let mut gone: Vec<_> = gone.collect();
        gone.sort();
        gone
    }

    /// The building a clerk's row means.
    fn find(&mut self, place: &Place) -> std::result::Result<BuildingId, Problem> {
        if let Some(id) = &place.building {
            let (ru, en) = (format!("в реестре нет дома {id}"), format!("the register has no building {id}"));
            return self.state.primary(id).ok_or_else(|| Problem::new(&report::PLACE_UNKNOWN, "ID дома", ru, en));
        }
        let address = place.address.as_deref().unwrap_or_default();
        let state = self.state;
        let index = self.addresses.get_or_insert_with(|| {
            let active = state.subjects().filter_map(|(_, e)| match &e.facts {
                Facts::Building(b) if !b.void && b.retired.is_none() => Some((b.building.clone(), b.address.as_str())),
                _ => None,
            });
            AddressIndex::build(active)
        });
        let (code, candidates, ru, en) = match index.find(address) {
            Match::One(id) => return Ok(id),
            Match::Many(found) => {
                let n = found.len();
                let ru = format!("адресу «{address}» подходят дома: {n}");
                (&report::PLACE_AMBIGUOUS, found, ru, format!("«{address}» may be {n} buildings"))
            }
            Match::None(near) => {
                let ru = format!("в реестре нет дома с адресом «{address}»");
                (&report::PLACE_UNKNOWN, near, ru, format!("no building of the register has the address «{address}»"))
            }
        };
        let mut problem = Problem::new(code, "Адрес", ru, en);
        problem.candidates = candidates;
        Err(problem)
    }

    /// One row of a clerk's list of chats.
    pub fn chat(&mut self, c: &ChatRow) -> RowPlan {
        let building = match self.find(&c.place) {
            Ok(id) => id,
            Err(problem) => return RowPlan::Refused(problem),
        };
        let before = self.planned.len();
        match self.try_chat(c, building) {
            Err(e) => RowPlan::Refused(refusal(&e)),
            Ok(()) if self.planned.len() == before => RowPlan::Unchanged,
            Ok(()) => RowPlan::Records,
        }
    }

    fn try_chat(&mut self, c: &ChatRow, building: BuildingId) -> Result<()> {
        let house = self
            .state
            .chats_by_building(&building)
            .into_iter()
            .filter_map(|n| self.state.chat(n))
            .find(|chat| chat.kind == ChatKind::House && chat.is_active() && chat.buildings.contains(&building));
        if let Some(chat) = house {
            let same_link = c.link.is_none() || chat.link == c.link;
            let same_max = c.max.is_none() || chat.max == c.max;
            if same_link && same_max {
                return Ok(());
            }
            // One of the two handles agrees, or what was missing is filled in: the same chat, better known.
            let agrees = (c.link.is_some() && chat.link == c.link) || (c.max.is_some() && chat.max == c.max);
            let fills = (same_link || chat.link.is_none()) && (same_max || chat.max.is_none());
            if !agrees && !fills {
                return Err(Error::refuse(
                    "import.chat.exists",
                    format!("{building} has the official chat {} with another link or chat id", chat.chat),
                    "if the link was rotated, amend the chat; if this is another chat, replace the old one",
                ));
            }
            let body = ChatAmended {
                chat: chat.chat,
                title: None,
                buildings: None,
                entrance: None,
                link: c.link,
                max: c.max,
                service_account: None,
            };
            self.plan(Some(c.row), Body::ChatAmended(body), None)?;
            return Ok(());
        }
        let address = self.state.building(&building).map(|b| b.address.to_string()).unwrap_or_default();
        let title = match &c.title {
            Some(title) => title.clone(),
            None => Text::normalise(&address)?,
        };
        let body = ChatRegistered {
            kind: ChatKind::House,
            title,
            buildings: List(vec![building.clone()]),
            owner: self.frame.authority.clone(),
            declared: None,
            entrance: None,
            link: c.link,
            max: c.max,
            service_account: None,
        };
        let from = self.frame.observed;
        self.plan(Some(c.row), Body::ChatRegistered(body), Some(from))?;
        if self.frame.delegate {
            let chat = crate::registry::ids::ChatNumber::derive(self.state.jurisdiction().region, &self.planned_id().0);
            let open = self.open(&building).into_iter().filter(|o| o.from.is_none_or(|f| f <= from));
            for organisation in open.filter_map(|o| o.organisation) {
                self.plan(Some(c.row), Body::AdminDelegated(Admin { chat, organisation }), Some(from))?;
            }
        }
        Ok(())
    }

    fn planned_id(&self) -> RecordId {
        self.planned.last().map_or(RecordId([0; 32]), |p| crate::registry::envelope::record_id(&p.payload))
    }

    /// One row of a clerk's list of managements.
    pub fn management(&mut self, m: &ManagementRow) -> RowPlan {
        let building = match self.find(&m.place) {
            Ok(id) => id,
            Err(problem) => return RowPlan::Refused(problem),
        };
        let before = self.planned.len();
        match self.manage(m.row, &building, &m.tenure, By::Clerk) {
            Err(e) => RowPlan::Refused(refusal(&e)),
            Ok(()) if self.planned.len() == before => RowPlan::Unchanged,
            Ok(()) => RowPlan::Records,
        }
    }
}

/// Whether the register describes the building as it was on a later day than the source's.
pub(super) fn later(b: &BuildingFacts, observed: Day) -> bool {
    b.described > Some(observed)
}

/// An error of the planner as a problem of the row.
fn refusal(e: &Error) -> Problem {
    let (code, field) = match e.code() {
        "import.house.gone" => (&report::HOUSE_GONE, "ID дома"),
        "import.chat.exists" => (&report::CHAT_EXISTS, "Ссылка"),
        _ => (&report::RECORD, report::WHOLE_ROW),
    };
    let what = e.russian().map_or(e.code(), |(what, _)| what);
    Problem::new(code, field, format!("{what} ({})", e.detail()), e.detail())
}
