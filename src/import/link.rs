//! Which house of the register each row of a source means, before anything is recorded.
//!
//! A house known under one scheme of ids gets the ids of another when a second source names it. A shared id decides first.
//! Where there is none, an address decides only when the match is certain: it fits one house of the register and no
//! other, that house is fitted by one row of the source and no other, both tell enough to be surely one address
//! ([`AddressKey::is_surely`]), ОКТМО and kind do not contradict, and the house has no id of the row's own scheme, since
//! a source that gives two numbers means two houses. Everything else is not guessed: it becomes a [`Question`].
//!
//! The whole source is looked at before any row is decided, so that what stands in two rows is seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::plan::later;
use super::report::{self, Code, Problem};
use super::rows::HouseRow;
use super::worklist::{Choice, Question, Thing};
use crate::registry::address::{AddressIndex, AddressKey, Candidate, bag, street_types};
use crate::registry::body::{BuildingKind, MAX_IDS, RetireReason};
use crate::registry::facts::{BuildingFacts, Facts};
use crate::registry::ids::{BuildingId, Oktmo};
use crate::registry::state::{State, View};
use crate::registry::text::Day;

/// What a row of the source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A house the register does not know.
    New,
    /// This house, by its primary id.
    Known(BuildingId),
    /// This house once more: another row of the source speaks for it.
    Double(BuildingId),
    /// A person must say; the number of the question.
    Held(usize),
}

/// A row's house, and the ids of the row to be added to it (for a new house: its further ids).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The house.
    pub target: Target,
    /// Ids that it does not have yet.
    pub add: Vec<BuildingId>,
}

/// What became of all rows of a source.
#[derive(Debug, Default)]
pub struct Links {
    rows: HashMap<u64, Link>,
    /// What a person must decide.
    pub questions: Vec<Question>,
}

impl Links {
    /// The link of a row.
    pub fn of(&self, row: u64) -> Option<&Link> {
        self.rows.get(&row)
    }

    /// Why a row is held back, as its problem in the report.
    pub fn problem(&self, question: usize) -> Option<Problem> {
        let question = self.questions.get(question)?;
        let mut problem =
            Problem::new(question.why, report::WHOLE_ROW, question.reason_ru.clone(), question.reason_en.clone());
        let candidate = |c: &Choice| Some(Candidate { id: c.id.parse().ok()?, address: c.label.as_str().into() });
        problem.candidates = question.choices.iter().filter_map(candidate).collect();
        Some(problem)
    }
}

/// Most houses named in one question.
pub const MAX_CHOICES: usize = 20;

/// Decides for every row of a source of that day, together.
pub fn houses(state: &State, rows: &[&HouseRow], observed: Day) -> Links {
    let mut linker = Linker { state, rows, ids: Vec::new(), targets: Vec::new(), questions: Vec::new() };
    linker.read_ids();
    linker.by_id();
    linker.once_each();
    linker.by_address(observed);
    let mut links = Links::default();
    for (i, row) in rows.iter().enumerate() {
        let add = linker.additions(i);
        let target = linker.targets[i].clone().unwrap_or(Target::New);
        links.rows.insert(row.row, Link { target, add });
    }
    links.questions = linker.questions;
    links
}

/// The house that holds an id today: where houses were merged, the one they became. The second value is true where a
/// merger was followed.
pub fn holder(state: &State, id: &BuildingId) -> Option<(BuildingId, bool)> {
    let mut at = state.primary(id)?;
    let mut merged = false;
    // A chain of mergers is short; a loop, which nothing forbids, ends here too.
    for _ in 0..8 {
        let Some(retired) = state.building(&at).and_then(|b| b.retired.as_ref()) else { break };
        match retired.into.as_slice() {
            [one] if retired.reason == RetireReason::Merged => match state.primary(one) {
                Some(next) => (at, merged) = (next, true),
                None => break,
            },
            _ => break,
        }
    }
    Some((at, merged))
}

struct Linker<'a> {
    state: &'a State,
    rows: &'a [&'a HouseRow],
    /// Ids of each row that nothing contradicts.
    ids: Vec<Vec<BuildingId>>,
    targets: Vec<Option<Target>>,
    questions: Vec<Question>,
}

impl Linker<'_> {
    fn facts(&self, id: &BuildingId) -> Option<&BuildingFacts> {
        self.state.building(id)
    }

    fn choice(&self, id: &BuildingId) -> Choice {
        let label = self.facts(id).map(|b| b.address.to_string()).unwrap_or_default();
        Choice { id: id.to_string(), label }
    }

    fn ask(
        &mut self,
        i: usize,
        why: &'static Code,
        ids: Vec<BuildingId>,
        choices: Vec<Choice>,
        said: (String, String),
    ) -> usize {
        let row = self.rows[i];
        let mut choices = choices;
        choices.truncate(MAX_CHOICES);
        self.questions.push(Question {
            why,
            thing: Thing::House { ids, address: row.address.to_string(), oktmo: row.oktmo, kind: row.kind },
            choices,
            row: Some(row.row),
            reason_ru: said.0,
            reason_en: said.1,
        });
        self.questions.len() - 1
    }

    /// The ids of each row, without those that were found to be another house's, and without those that the source itself
    /// gives to several of its rows.
    fn read_ids(&mut self) {
        for row in self.rows {
            let all: Vec<BuildingId> = std::iter::once(&row.building).chain(&row.also).cloned().collect();
            let owners: Vec<Option<BuildingId>> = all.iter().map(|id| Some(holder(self.state, id)?.0)).collect();
            let denied = |id: &BuildingId| {
                owners.iter().flatten().any(|b| self.facts(b).is_some_and(|f| f.distinct().contains(id)))
            };
            // The house that has the id was said not to be this row's.
            let refused = |owner: &Option<BuildingId>| {
                let facts = owner.as_ref().and_then(|b| self.facts(b));
                facts.is_some_and(|f| f.distinct().contains(&row.building))
            };
            let kept = all.iter().zip(&owners);
            let kept = kept.filter(|(id, owner)| **id == row.building || !denied(id) && !refused(owner));
            self.ids.push(kept.map(|(id, _)| id.clone()).collect());
        }
        let mut claims: BTreeMap<BuildingId, Vec<usize>> = BTreeMap::new();
        for (i, ids) in self.ids.iter().enumerate() {
            ids.iter().for_each(|id| claims.entry(id.clone()).or_default().push(i));
        }
        claims.retain(|_, rows| rows.len() > 1);
        for (id, rows) in claims {
            let others: Vec<usize> = rows.iter().copied().filter(|&i| self.rows[i].building != id).collect();
            others.iter().for_each(|&i| self.ids[i].retain(|x| *x != id));
            // The house a row means by its other ids; else what it will be registered under.
            let house = |i: usize| {
                let known = std::iter::once(&self.rows[i].building).chain(&self.ids[i]).filter(|own| **own != id);
                let known = known.filter_map(|own| holder(self.state, own)).next();
                known.map_or_else(|| self.rows[i].building.clone(), |(b, _)| b)
            };
            let owner = holder(self.state, &id).map(|(b, _)| b);
            // Rows that speak of the house which has the id already ask nothing.
            if others.iter().all(|&i| owner.as_ref() == Some(&house(i))) {
                continue;
            }
            let choices: BTreeMap<String, String> =
                rows.iter().map(|&i| (house(i).to_string(), self.rows[i].address.to_string())).collect();
            let n = rows.len();
            let said = (
                format!("код {id} стоит в нескольких строках источника ({n}); он не учтён"),
                format!("{id} stands in {n} rows of the source; it is left out"),
            );
            let choices = choices.into_iter().map(|(id, label)| Choice { id, label }).collect();
            self.ask(others[0], &report::LINK_SHARED, vec![id], choices, said);
        }
    }

    /// Houses that a row's ids name. Several: the row's own key decides which house it is, and the rest is asked.
    fn by_id(&mut self) {
        for i in 0..self.rows.len() {
            let named: Vec<(BuildingId, BuildingId)> =
                self.ids[i].iter().filter_map(|id| Some((id.clone(), holder(self.state, id)?.0))).collect();
            let houses: BTreeSet<&BuildingId> = named.iter().map(|(_, b)| b).collect();
            let own = holder(self.state, &self.rows[i].building).map(|(b, _)| b);
            let target = match (houses.len(), own) {
                (0, _) => None,
                (1, _) => named.first().map(|(_, b)| Target::Known(b.clone())),
                (_, own) => {
                    let choices = houses.iter().map(|b| self.choice(b)).collect();
                    let foreign: Vec<BuildingId> =
                        named.iter().filter(|(_, b)| Some(b) != own.as_ref()).map(|(id, _)| id.clone()).collect();
                    let list = named.iter().map(|(id, b)| format!("{id} → {b}")).collect::<Vec<_>>().join(", ");
                    let said = (
                        format!("коды строки принадлежат разным домам реестра: {list}"),
                        format!("ids of the row belong to different houses of the register: {list}"),
                    );
                    self.ids[i].retain(|id| !foreign.contains(id));
                    let question = self.ask(i, &report::LINK_IDS, foreign, choices, said);
                    Some(own.map_or(Target::Held(question), Target::Known))
                }
            };
            self.targets.push(target);
        }
    }

    /// Each house is one row's. Of several rows that name it by an id of their own one speaks for it; a row that has only
    /// a further id of it, while its own key is unknown, contradicts that.
    fn once_each(&mut self) {
        let mut of: BTreeMap<BuildingId, Vec<usize>> = BTreeMap::new();
        for (i, target) in self.targets.iter().enumerate() {
            if let Some(Target::Known(b)) = target {
                of.entry(b.clone()).or_default().push(i);
            }
        }
        for (house, rows) in of.into_iter().filter(|(_, rows)| rows.len() > 1) {
            let rank = |i: usize| match holder(self.state, &self.rows[i].building) {
                _ if self.rows[i].building == house => 0,
                Some((_, false)) => 1,
                Some((_, true)) => 2,
                None => 3,
            };
            let best = rows.iter().copied().min_by_key(|&i| (rank(i), i)).unwrap_or_default();
            for i in rows {
                if rank(i) == 3 {
                    let ids = self.ids[i].clone();
                    let said = (
                        format!("код строки принадлежит дому {house}, о котором есть и другая строка источника"),
                        format!("an id of the row belongs to {house}, of which the source has another row"),
                    );
                    let choices = vec![self.choice(&house)];
                    let question = self.ask(i, &report::LINK_IDS, ids, choices, said);
                    self.targets[i] = Some(Target::Held(question));
                } else if i != best {
                    self.targets[i] = Some(Target::Double(house.clone()));
                }
            }
        }
    }

    /// Rows whose ids nobody knows: by their address, where that is certain.
    fn by_address(&mut self, observed: Day) {
        let unknown: Vec<usize> = (0..self.rows.len()).filter(|&i| self.targets[i].is_none()).collect();
        let schemes: HashSet<&str> = unknown.iter().map(|&i| self.rows[i].building.scheme()).collect();
        let active: Vec<&BuildingFacts> = self
            .state
            .subjects()
            .filter_map(|(_, e)| match &e.facts {
                Facts::Building(b) if !b.void && b.retired.is_none() => Some(&**b),
                _ => None,
            })
            .collect();
        let lacks = |b: &&BuildingFacts| schemes.iter().any(|s| !b.ids().any(|id| id.scheme() == *s));
        if !active.iter().any(lacks) {
            // Every house has a number of the source's own: what it numbers otherwise is another house.
            return;
        }
        // A house that the source itself describes stands where the source will have put it, not where it stood.
        let mut described: HashMap<&BuildingId, &str> = HashMap::new();
        for (row, target) in self.rows.iter().zip(&self.targets) {
            if let Some(Target::Known(b)) = target
                && self.facts(b).is_some_and(|f| b.scheme() == row.building.scheme() && !later(f, observed))
            {
                described.insert(b, row.address.as_str());
            }
        }
        let address = |b: &&BuildingFacts| described.get(&b.building).copied();
        let register =
            AddressIndex::build(active.iter().map(|b| (b.building.clone(), address(b).unwrap_or(b.address.as_str()))));
        let mut bags: HashMap<String, Vec<&BuildingFacts>> = HashMap::new();
        for b in &active {
            bags.entry(bag(address(b).unwrap_or(b.address.as_str()))).or_default().push(b);
        }
        let mut source_bags: HashMap<String, usize> = HashMap::new();
        for row in self.rows {
            *source_bags.entry(bag(row.address.as_str())).or_default() += 1;
        }
        let source = AddressIndex::build(self.rows.iter().map(|r| (r.building.clone(), r.address.as_str())));
        let claimed: HashSet<BuildingId> = self
            .targets
            .iter()
            .flatten()
            .filter_map(|t| match t {
                Target::Known(b) | Target::Double(b) => Some(b.clone()),
                _ => None,
            })
            .collect();
        // Ids that rows of this source give to a house count as if it had them already; else the same source, coming again,
        // would find another house there.
        let mut given: HashMap<BuildingId, Vec<BuildingId>> = HashMap::new();
        for (ids, target) in self.ids.iter().zip(&self.targets) {
            if let Some(Target::Known(b)) = target {
                given.entry(b.clone()).or_default().extend(ids.iter().cloned());
            }
        }
        // First the rows whose address fits a house, then those that only resemble one: by then it is known which are taken.
        let mut taken = claimed.clone();
        let mut queue: VecDeque<(usize, bool)> = unknown.into_iter().map(|i| (i, false)).collect();
        while let Some((i, last)) = queue.pop_front() {
            let row = self.rows[i];
            let key = AddressKey::parse(row.address.as_str());
            let scheme = row.building.scheme();
            let other_scheme = |b: &BuildingFacts| {
                let more = given.get(&b.building).map(Vec::as_slice).unwrap_or_default();
                !b.ids().chain(more).any(|id| id.scheme() == scheme)
            };
            let same_bag = bags.get(&bag(row.address.as_str())).map(Vec::as_slice).unwrap_or_default();
            let denied = |b: &BuildingFacts| self.ids[i].iter().any(|id| b.distinct().contains(id));
            let fitting: Vec<&BuildingFacts> =
                register.fitting(&key).iter().filter_map(|f| self.facts(f.id)).filter(|b| !denied(b)).collect();
            let (asked, told_apart): (Vec<&BuildingFacts>, Vec<_>) = fitting.into_iter().partition(|b| other_scheme(b));
            let choices: Vec<Choice> = asked.iter().map(|b| self.choice(&b.building)).collect();
            let (why, said) = match asked.as_slice() {
                [] if !last => {
                    queue.push_back((i, true));
                    continue;
                }
                [] => {
                    let beside = register.beside(&key);
                    let near: Vec<&BuildingFacts> = beside
                        .iter()
                        .filter_map(|f| self.facts(f.id))
                        .filter(|b| other_scheme(b) && !denied(b) && !taken.contains(&b.building))
                        // A house that another row fits is that row's.
                        .filter(|b| source.fitting(&AddressKey::parse(b.address.as_str())).is_empty())
                        // The same words in another order: nobody can tell what is type and what is name.
                        .chain(
                            same_bag
                                .iter()
                                .copied()
                                .filter(|b| other_scheme(b) && !denied(b) && !taken.contains(&b.building)),
                        )
                        .collect();
                    if near.is_empty() {
                        continue;
                    }
                    let choices = near.iter().map(|b| self.choice(&b.building)).collect();
                    let said = (
                        "в реестре такого адреса нет, но есть похожий дом, которого нет в источнике".to_owned(),
                        "the register has no such address, but a similar one that the source lacks".to_owned(),
                    );
                    let question = self.ask(i, &report::LINK_NEAR, self.ids[i].clone(), choices, said);
                    self.targets[i] = Some(Target::Held(question));
                    continue;
                }
                [one] if told_apart.is_empty() => {
                    let rivals = source.fitting(&AddressKey::parse(one.address.as_str())).len();
                    let rivals = rivals.max(1 + usize::from(claimed.contains(&one.building)));
                    let twins = |address: &str| source_bags.get(&bag(address)).copied().unwrap_or(0);
                    let rivals = rivals.max(twins(row.address.as_str())).max(twins(one.address.as_str()));
                    let beside = same_bag.iter().chain(bags.get(&bag(one.address.as_str())).into_iter().flatten());
                    let rivals = rivals.max(1 + usize::from(beside.into_iter().any(|b| b.building != one.building)));
                    match self.contradiction(i, &key, one, rivals) {
                        None => {
                            let house = one.building.clone();
                            taken.insert(house.clone());
                            self.targets[i] = Some(Target::Known(house));
                            continue;
                        }
                        Some(why) => why,
                    }
                }
                several => {
                    let n = several.len() + told_apart.len();
                    let said = (
                        format!("адресу подходят дома реестра: {n}"),
                        format!("{n} houses of the register fit the address"),
                    );
                    (&report::LINK_SEVERAL, said)
                }
            };
            let question = self.ask(i, why, self.ids[i].clone(), choices, said);
            self.targets[i] = Some(Target::Held(question));
        }
    }

    /// Why a row and the one house that its address fits are not certainly the same; nothing when they are.
    fn contradiction(
        &self,
        i: usize,
        key: &AddressKey,
        b: &BuildingFacts,
        rivals: usize,
    ) -> Option<(&'static Code, (String, String))> {
        let row = self.rows[i];
        let digits = match shared_oktmo(row.oktmo, b.oktmo) {
            Err(()) => {
                let said = (
                    format!(
                        "адрес тот же, а ОКТМО разные: {} и {}",
                        row.oktmo.map(|o| o.to_string()).unwrap_or_default(),
                        b.oktmo
                    ),
                    "the same address with another ОКТМО".to_owned(),
                );
                return Some((&report::LINK_UNSURE, said));
            }
            Ok(digits) => digits,
        };
        if rivals > 1 {
            let said = (
                format!("этому дому подходят строки источника: {rivals}"),
                format!("{rivals} rows of the source fit this house"),
            );
            return Some((&report::LINK_SEVERAL, said));
        }
        if row.kind != b.kind && row.kind != BuildingKind::Untyped && b.kind != BuildingKind::Untyped {
            let said = ("адрес тот же, а вид дома другой", "the same address with another kind of building");
            return Some((&report::LINK_UNSURE, (said.0.to_owned(), said.1.to_owned())));
        }
        if let Some(id) = b.ids().find(|id| self.ids[i].iter().any(|own| own.scheme() == id.scheme())) {
            let said = (
                format!("адрес тот же, но у дома другой код: {id}"),
                format!("the same address, but the house has the id {id}"),
            );
            return Some((&report::LINK_OTHER, said));
        }
        let region = self.state.jurisdiction().region;
        let types = street_types(row.address.as_str()) == street_types(b.address.as_str());
        if !types || !key.is_surely(&AddressKey::parse(b.address.as_str()), region, digits) {
            let said = (
                "адрес подходит, но записан неполно или иначе: это может быть и другой дом",
                "the address fits but is told in part, or otherwise: it may be another house",
            );
            return Some((&report::LINK_UNSURE, (said.0.to_owned(), said.1.to_owned())));
        }
        None
    }

    /// Ids of a row that its house does not have yet. An id of a scheme of which the house has another one, unless the row
    /// names that one too, is not added but asked about.
    fn additions(&mut self, i: usize) -> Vec<BuildingId> {
        let house = match &self.targets[i] {
            None => {
                return self.ids[i].iter().filter(|id| **id != self.rows[i].building).take(MAX_IDS).cloned().collect();
            }
            Some(Target::Known(b)) => b.clone(),
            _ => return Vec::new(),
        };
        let Some(facts) = self.facts(&house).filter(|b| !b.void && b.retired.is_none()) else { return Vec::new() };
        let own: Vec<BuildingId> = facts.ids().cloned().collect();
        let room = MAX_IDS.saturating_sub(facts.also.len());
        let new: Vec<BuildingId> = self.ids[i]
            .iter()
            .filter(|id| holder(self.state, id).is_none() && !facts.distinct().contains(id))
            .cloned()
            .collect();
        let agrees = |id: &BuildingId| {
            let same = |other: &&BuildingId| other.scheme() == id.scheme();
            !own.iter().any(|o| same(&o)) || own.iter().filter(same).any(|o| self.ids[i].contains(o))
        };
        let (mut add, mut ask): (Vec<BuildingId>, Vec<BuildingId>) = new.into_iter().partition(agrees);
        ask.extend(add.split_off(add.len().min(room)));
        if !ask.is_empty() {
            let (asked, has) = (list(&ask), list(&own));
            let said = (
                format!("у дома уже есть другой код того же вида: {has}; {asked} не учтён"),
                format!("the house has another id of that scheme, {has}; {asked} is left out"),
            );
            let choices = vec![self.choice(&house)];
            self.ask(i, &report::LINK_OTHER, ask, choices, said);
        }
        add
    }
}

fn list(ids: &[BuildingId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How many digits of ОКТМО are told on both sides and the same; an error when they contradict.
fn shared_oktmo(a: Option<Oktmo>, b: Oktmo) -> Result<u8, ()> {
    let Some(a) = a else { return Ok(0) };
    for digits in [11, 8] {
        if let (Some(x), Some(y)) = (a.prefix(digits), b.prefix(digits)) {
            return if x == y { Ok(digits) } else { Err(()) };
        }
    }
    Ok(0)
}
