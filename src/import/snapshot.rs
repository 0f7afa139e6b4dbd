//! A whole snapshot of houses, read before, against the register: links, records, outcomes, questions.

use std::collections::HashSet;

use super::format::Format;
use super::houses::Snapshot;
use super::link;
use super::plan::{Frame, Planned, Planner, RowPlan};
use super::report::{Outcome, Read, Report};
use super::rows::{HouseRow, Tenure};
use super::worklist::Question;
use crate::error::Result;
use crate::registry::ids::{BuildingId, OrgId};
use crate::registry::state::State;
use crate::registry::text::Text;

/// A table as it was read and planned: one line of the report for each row, and the records in their order.
#[derive(Default)]
pub struct Work {
    /// One outcome for each row.
    pub report: Report,
    /// What the source was recognised as.
    pub format: Option<Format>,
    /// The records.
    pub planned: Vec<Planned>,
    /// Buildings of the register that the source no longer has, with their addresses.
    pub vanished: Vec<(String, String)>,
    /// What a person must decide.
    pub questions: Vec<Question>,
}

/// Plans each row that was read; what the planner says becomes the row's outcome.
pub fn plan_rows<T>(
    work: &mut Work,
    planner: &mut Planner<'_>,
    reads: Vec<Read<T>>,
    number: impl Fn(&T) -> u64,
    plan: impl Fn(&mut Planner<'_>, &T) -> RowPlan,
) {
    for mut read in reads {
        if let Some(value) = &read.value {
            let number = number(value);
            let planned = plan(planner, value);
            match (planned, planner.warnings.remove(&number)) {
                (RowPlan::Refused(problem), _) => read.refuse(problem),
                (RowPlan::Unchanged, warning) => {
                    read.outcome = Outcome::Unchanged;
                    read.problems.extend(warning);
                }
                (RowPlan::Records, Some(warning)) => {
                    read.outcome = Outcome::Warned;
                    read.problems.push(warning);
                }
                (RowPlan::Records, None) => {}
            }
        }
        work.report.rows.push(read.outcome());
    }
    work.questions = planner.questions();
}

/// Names that tenures give to organisations.
pub fn names<'t>(tenures: impl Iterator<Item = &'t Tenure>) -> Vec<(OrgId, Text)> {
    tenures.filter_map(|t| Some((t.organisation.clone()?, t.name.clone()?))).collect()
}

/// Plans a snapshot of houses.
///
/// # Errors
/// Those of making a record of an organisation's name.
pub fn houses(state: &State, frame: Frame, snapshot: Snapshot) -> Result<Work> {
    let Snapshot { columns, format, reads, counted } = snapshot;
    let rows: Vec<&HouseRow> = reads.iter().filter_map(|r| r.value.as_ref()).collect();
    let links = link::houses(state, &rows, frame.observed);
    let mut planner = Planner::new(state, frame).with_links(links);
    planner.names(&names(rows.iter().filter_map(|h| h.tenure.as_ref())))?;
    let seen: HashSet<BuildingId> =
        rows.iter().flat_map(|h| std::iter::once(&h.building).chain(&h.also)).cloned().collect();
    let mut keyed_by = vec!["reformagkh", "gar", "gis", "kad"];
    keyed_by.retain(|scheme| rows.iter().any(|h| h.building.scheme() == *scheme));
    // A row that was refused still names its house: what is refused is not gone.
    let refused: HashSet<String> =
        reads.iter().filter(|r| r.value.is_none()).flat_map(|r| r.cells.iter().cloned()).collect();
    let report = Report { columns, rows: Vec::with_capacity(reads.len()), counted };
    let mut work = Work { report, format: Some(format), ..Work::default() };
    plan_rows(&mut work, &mut planner, reads, |h| h.row, |planner, house| planner.house(house));
    for scheme in keyed_by {
        let gone = planner.vanished(scheme, &seen).into_iter().filter(|(id, _)| !refused.contains(id.value()));
        work.vanished.extend(gone.map(|(id, address)| (id.to_string(), address)));
    }
    work.planned = planner.planned;
    Ok(work)
}
