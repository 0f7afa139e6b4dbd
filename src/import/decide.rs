//! What a clerk decided about a worklist, as records: ids linked, ids told apart, houses merged or registered.
//!
//! Nothing moves the history of a house or an organisation: its primary id stays, and so do its records and its chats.

use std::collections::BTreeSet;

use super::link::holder;
use super::plan::{Planner, RowPlan};
use super::report::{self, Problem};
use super::worklist::{Decided, Decision, Thing};
use crate::error::{Error, Result};
use crate::registry::body::*;
use crate::registry::facts::Facts;
use crate::registry::ids::{BuildingId, Oktmo, OrgId};
use crate::registry::record::Subject;
use crate::registry::state::View;
use crate::registry::text::Text;

/// Why a decision makes no record.
fn wrong<T>(ru: &str, en: &str) -> std::result::Result<T, Problem> {
    Err(Problem::new(&report::LINK_DECISION, "решение", ru, en))
}

fn failed(e: &Error) -> Problem {
    let what = e.russian().map_or(e.code(), |(what, _)| what);
    Problem::new(&report::RECORD, report::WHOLE_ROW, format!("{what} ({})", e.detail()), e.detail())
}

fn some<T, const N: usize>(ids: Vec<T>) -> Option<List<T, N>> {
    (!ids.is_empty()).then_some(List(ids))
}

impl Planner<'_> {
    /// One row of a worklist that was filled in.
    pub fn decide(&mut self, d: &Decided) -> RowPlan {
        let before = self.planned.len();
        let done = match &d.thing {
            Thing::House { ids, address, oktmo, kind } => self.decide_house(d, ids, address, *oktmo, *kind),
            Thing::Organisation { ids, .. } => self.decide_organisation(d, ids),
        };
        match done {
            Err(problem) => RowPlan::Refused(problem),
            Ok(()) if self.planned.len() == before => RowPlan::Unchanged,
            Ok(()) => RowPlan::Records,
        }
    }

    fn decide_house(
        &mut self,
        d: &Decided,
        ids: &[BuildingId],
        address: &str,
        oktmo: Option<Oktmo>,
        kind: BuildingKind,
    ) -> std::result::Result<(), Problem> {
        let named = |id: &BuildingId| Some(holder(self.state, id)?.0);
        let candidates: BTreeSet<BuildingId> =
            d.choices.iter().filter_map(|c| c.parse().ok()).filter_map(|id| named(&id)).collect();
        match &d.decision {
            Decision::Same(id) => {
                let house = id.parse().ok().and_then(|id| named(&id));
                let Some(house) = house else {
                    return wrong(
                        "в реестре нет дома с кодом из столбца «решение»",
                        "the register has no house of the id decided",
                    );
                };
                // Ids that another house holds: its further ones are taken from it; with its own it is merged.
                let (mut new, mut its, mut ended) = (Vec::new(), Vec::new(), BTreeSet::new());
                for id in ids {
                    match self.state.primary(id) {
                        Some(other) if holder(self.state, id).is_some_and(|(h, _)| h == house) && other != house => {}
                        Some(other) if other == house => its.push(id.clone()),
                        Some(other) if other == *id => {
                            self.merge(d.row, &other, &house)?;
                            its.push(id.clone());
                            ended.insert(other);
                        }
                        Some(other) => {
                            self.tell_apart(d.row, &other, std::slice::from_ref(id))?;
                            new.push(id.clone());
                        }
                        None => new.push(id.clone()),
                    }
                }
                its.extend(new.iter().cloned());
                for other in candidates.iter().filter(|c| **c != house && !ended.contains(*c)) {
                    self.tell_apart(d.row, other, &its)?;
                }
                // A candidate that is not in the register yet has nowhere to remember it: this house does.
                let absent: Vec<BuildingId> = d.choices.iter().filter_map(|c| c.parse().ok()).collect();
                let absent: Vec<_> = absent.into_iter().filter(|c| named(c).is_none() && !ids.contains(c)).collect();
                self.tell_apart(d.row, &house, &absent)?;
                if !new.is_empty() {
                    let body = BuildingLinked { building: house, also: some(new), distinct: None };
                    self.plan(Some(d.row), Body::BuildingLinked(body), None).map_err(|e| failed(&e))?;
                }
                Ok(())
            }
            Decision::Other | Decision::New if candidates.is_empty() => {
                wrong("ни одного из кандидатов в реестре нет", "none of the candidates is in the register")
            }
            Decision::Other | Decision::New => {
                // What cannot be remembered with every candidate would be asked again.
                let known = |c: &String| c.parse().is_ok_and(|id| named(&id).is_some());
                if !d.choices.iter().all(known) {
                    return wrong("кандидата ещё нет в реестре", "a candidate is not in the register yet");
                }
                for house in &candidates {
                    self.tell_apart(d.row, house, ids)?;
                }
                match &d.decision {
                    Decision::New => self.register(d.row, ids, address, oktmo, kind),
                    _ => Ok(()),
                }
            }
        }
    }

    /// These ids are not that house's: remembered with the house, so that nobody is asked again.
    fn tell_apart(&mut self, row: u64, house: &BuildingId, ids: &[BuildingId]) -> std::result::Result<(), Problem> {
        let known = self.state.building(house).map(|b| b.distinct().to_vec()).unwrap_or_default();
        let mut new: Vec<BuildingId> = ids.iter().filter(|id| *id != house && !known.contains(id)).cloned().collect();
        // Said already for this house by an earlier part of the same decision.
        new.retain(|id| self.told.insert((house.clone(), id.clone())));
        if new.is_empty() {
            return Ok(());
        }
        let body = BuildingLinked { building: house.clone(), also: None, distinct: some(new) };
        self.plan(Some(row), Body::BuildingLinked(body), None).map(drop).map_err(|e| failed(&e))
    }

    /// Two houses of the register are one: the first ends as merged into the second, whose history and chats stay.
    fn merge(&mut self, row: u64, house: &BuildingId, into: &BuildingId) -> std::result::Result<(), Problem> {
        let chats = self.state.chats_by_building(house);
        if chats.iter().filter_map(|n| self.state.chat(*n)).any(|c| c.is_active()) {
            return wrong(
                "у этого дома есть действующий чат: оставьте этот дом, а присоедините другой, или сначала замените чат",
                "this house has an active chat: let it stay and merge the other one, or replace the chat first",
            );
        }
        let body =
            BuildingRetired { building: house.clone(), reason: RetireReason::Merged, into: some(vec![into.clone()]) };
        let day = self.frame.observed;
        self.plan(Some(row), Body::BuildingRetired(body), Some(day)).map(drop).map_err(|e| failed(&e))
    }

    fn register(
        &mut self,
        row: u64,
        ids: &[BuildingId],
        address: &str,
        oktmo: Option<Oktmo>,
        kind: BuildingKind,
    ) -> std::result::Result<(), Problem> {
        // In the register already: the question was about its ids, or the row was imported meanwhile.
        let Some((building, rest)) =
            ids.split_first().filter(|_| ids.iter().all(|id| self.state.primary(id).is_none()))
        else {
            return Ok(());
        };
        let body = Building {
            building: building.clone(),
            address: Text::normalise(address).map_err(|e| failed(&e))?,
            oktmo: oktmo.unwrap_or(self.frame.oktmo),
            kind,
            also: some(rest.iter().take(MAX_IDS).cloned().collect()),
            flats: None,
            year: None,
            emergency: None,
            applicability: None,
        };
        self.plan(Some(row), Body::BuildingRegistered(body), None).map(drop).map_err(|e| failed(&e))
    }

    fn decide_organisation(&mut self, d: &Decided, ids: &[OrgId]) -> std::result::Result<(), Problem> {
        let candidates: BTreeSet<OrgId> =
            d.choices.iter().filter_map(|c| c.parse().ok()).map(|id: OrgId| self.state.organisation(&id)).collect();
        match &d.decision {
            Decision::Same(id) => {
                let Ok(to) = id.parse::<OrgId>() else {
                    return wrong("в столбце «решение» не код организации", "the decision is no id of an organisation");
                };
                let to = self.state.organisation(&to);
                for id in ids.iter().map(|id| self.state.organisation(id)).collect::<BTreeSet<_>>() {
                    self.same_organisation(Some(d.row), &to, &id).map_err(|e| failed(&e))?;
                }
                Ok(())
            }
            Decision::Other => {
                for to in candidates {
                    let known = self.organisation_facts(&to).map(|o| o.distinct().to_vec()).unwrap_or_default();
                    let new: Vec<OrgId> = ids.iter().filter(|id| **id != to && !known.contains(id)).cloned().collect();
                    if !new.is_empty() {
                        let body = OrganisationLinked { organisation: to, also: None, distinct: some(new) };
                        self.plan(Some(d.row), Body::OrganisationLinked(body), None).map_err(|e| failed(&e))?;
                    }
                }
                Ok(())
            }
            Decision::New => wrong(
                "организации не регистрируются: напишите «другой»",
                "organisations are not registered: write «other»",
            ),
        }
    }

    pub(super) fn organisation_facts(&self, id: &OrgId) -> Option<&crate::registry::facts::OrganisationFacts> {
        match self.state.facts(&Subject::Organisation(id.clone()))? {
            Facts::Organisation(o) => Some(o),
            _ => None,
        }
    }

    /// Two organisations, by their primary ids, are one. The first stays primary; further ids of the second come along.
    pub(super) fn same_organisation(&mut self, row: Option<u64>, stays: &OrgId, other: &OrgId) -> Result<()> {
        if stays == other {
            return Ok(());
        }
        let further = self.organisation_facts(other).map(|o| o.also().to_vec()).unwrap_or_default();
        if !further.is_empty() {
            let body = OrganisationLinked { organisation: other.clone(), also: None, distinct: some(further.clone()) };
            self.plan(row, Body::OrganisationLinked(body), None)?;
        }
        let also = std::iter::once(other.clone()).chain(further).collect();
        let body = OrganisationLinked { organisation: stays.clone(), also: some(also), distinct: None };
        self.plan(row, Body::OrganisationLinked(body), None).map(drop)
    }
}
