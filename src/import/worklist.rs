//! The worklist: what could not be linked by itself, as a table that a clerk fills in and imports back.
//!
//! A [`Question`] is one row: the thing in question (a house with its ids and address, or an organisation), why it is
//! asked, the candidates, and an empty column «решение». The clerk writes there the id of the thing it is, «другой» (none
//! of the candidates) or «новый» (none of them; register it now), and imports the table with `domovoi import links`. What
//! is decided goes into the log, both that two ids are one thing and that they are not, so nobody is asked twice, on
//! whichever machine. A row without a decision stays open.
//!
//! Questions are never stored: they are found anew from the register and a source, so what is settled disappears.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::cells::{Columns, Synonyms, is_unknown};
use super::input::Input;
use super::link::MAX_CHOICES;
use super::report::{self, Code, Outcome, Problem, Read};
use super::table::{Limits, Table};
use crate::error::{Error, Result};
use crate::registry::address::AddressKey;
use crate::registry::body::BuildingKind;
use crate::registry::facts::{BuildingFacts, Facts};
use crate::registry::ids::{BuildingId, Oktmo, OrgId};
use crate::registry::state::{State, View};
use crate::registry::text::Text;

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A house as the source tells it.
    House {
        /// The ids in question.
        ids: Vec<BuildingId>,
        /// Its address.
        address: String,
        /// ОКТМО, where the source tells.
        oktmo: Option<Oktmo>,
        /// Kind.
        kind: BuildingKind,
    },
    /// An organisation.
    Organisation {
        /// The ids in question.
        ids: Vec<OrgId>,
        /// What it is called.
        name: String,
    },
}

/// A candidate: an id of the register and how people know the thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Id of a building or organisation.
    pub id: String,
    /// Address or name.
    pub label: String,
}

/// Something only a person can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The kind of question.
    pub why: &'static Code,
    /// What it is about.
    pub thing: Thing,
    /// What it may be.
    pub choices: Vec<Choice>,
    /// Row of the source, where one row raised it.
    pub row: Option<u64>,
    /// Why, in Russian.
    pub reason_ru: String,
    /// Why, in English.
    pub reason_en: String,
}

/// What the clerk decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is this one.
    Same(String),
    /// It is none of the candidates.
    Other,
    /// It is none of the candidates, and is to be registered now.
    New,
}

/// A row of a worklist that was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Row of the table, 1-based.
    pub row: u64,
    /// What the question was about.
    pub thing: Thing,
    /// Ids of the candidates.
    pub choices: Vec<String>,
    /// The decision.
    pub decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Question,
    Ids,
    Label,
    Oktmo,
    Kind,
    Choices,
    Decision,
}

const COLUMNS: &Synonyms<Column> = &[
    (Column::Question, &["вопрос", "question"]),
    (Column::Ids, &["коды", "ids"]),
    (Column::Label, &["адрес или название", "address or name"]),
    (Column::Oktmo, &["октмо", "oktmo"]),
    (Column::Kind, &["вид дома", "kind"]),
    (Column::Choices, &["кандидаты", "candidates"]),
    (Column::Decision, &["решение", "decision"]),
];

const HEADER: [&str; 9] =
    ["вопрос", "почему", "коды", "адрес или название", "октмо", "вид дома", "строка источника", "кандидаты", "решение"];

/// The worklist as rows of a table, header first.
pub fn table(questions: &[Question]) -> impl Iterator<Item = Vec<String>> {
    let join = |ids: &mut dyn Iterator<Item = String>| ids.collect::<Vec<_>>().join("\n");
    let rows = questions.iter().map(move |q| {
        let (ids, label, oktmo, kind) = match &q.thing {
            Thing::House { ids, address, oktmo, kind } => (
                join(&mut ids.iter().map(ToString::to_string)),
                address.clone(),
                oktmo.map(|o| o.to_string()).unwrap_or_default(),
                kind_word(*kind).to_owned(),
            ),
            Thing::Organisation { ids, name } => {
                (join(&mut ids.iter().map(ToString::to_string)), name.clone(), String::new(), String::new())
            }
        };
        vec![
            q.why.code.to_owned(),
            format!("{}. {}", q.reason_ru, q.why.remedy_ru),
            ids,
            label,
            oktmo,
            kind,
            q.row.map(|r| r.to_string()).unwrap_or_default(),
            join(&mut q.choices.iter().map(|c| format!("{} — {}", c.id, c.label))),
            String::new(),
        ]
    });
    std::iter::once(HEADER.map(str::to_owned).to_vec()).chain(rows)
}

const KINDS: [(BuildingKind, &str); 3] =
    [(BuildingKind::Apartment, "многоквартирный"), (BuildingKind::Dormitory, "общежитие"), (BuildingKind::Untyped, "")];

fn kind_word(kind: BuildingKind) -> &'static str {
    KINDS.iter().find(|(k, _)| *k == kind).map_or("", |(_, word)| word)
}

/// Reads a worklist that was filled in: one outcome for each row, an open one being unchanged.
///
/// # Errors
/// Those of [`Table::open`]; `import.header` when a column is missing.
pub fn read<'a>(input: impl Into<Input<'a>>, limits: &Limits) -> Result<(Vec<String>, Vec<Read<Decided>>)> {
    let mut table = Table::open(input, limits, &|names| Columns::count(names, COLUMNS))?;
    let columns = table.columns.clone();
    let read = Columns::of(&columns, COLUMNS);
    if [Column::Ids, Column::Choices, Column::Decision].iter().any(|&c| !read.has(c)) {
        return Err(Error::refuse(
            "import.header",
            "the table is no worklist: it lacks «коды», «кандидаты» or «решение»",
            "take the table that «domovoi import buildings» or «domovoi report worklist» wrote",
        ));
    }
    let rows = table.by_ref().map(|row| {
        let row = row?;
        let mut out = Read {
            row: row.number,
            cells: row.cells.clone(),
            value: None,
            outcome: Outcome::Unchanged,
            problems: Vec::new(),
        };
        let cell = |column| read.known(&row, column).unwrap_or_default();
        let written = cell(Column::Decision);
        if is_unknown(written) {
            return Ok(out);
        }
        match decided(row.number, &cell, written) {
            Ok(value) => {
                out.outcome = Outcome::Imported;
                out.value = Some(value);
            }
            Err((column, ru, en)) => {
                out.outcome = Outcome::Refused;
                out.problems.push(Problem::new(&report::LINK_DECISION, read.name(column), ru, en));
            }
        }
        Ok(out)
    });
    let rows = rows.collect::<Result<_>>()?;
    Ok((columns, rows))
}

type Wrong = (Column, String, String);

fn decided<'c>(row: u64, cell: &dyn Fn(Column) -> &'c str, written: &str) -> std::result::Result<Decided, Wrong> {
    let ids: Vec<&str> = cell(Column::Ids).split_whitespace().collect();
    let bad = |column, text: &str| {
        let shown: String = text.chars().take(60).collect();
        (column, format!("«{shown}» не разобрано"), format!("«{shown}» is not understood"))
    };
    let houses: Option<Vec<BuildingId>> = ids.iter().map(|s| s.parse().ok()).collect();
    let organisations: Option<Vec<OrgId>> = ids.iter().map(|s| s.parse().ok()).collect();
    let label = cell(Column::Label).to_owned();
    // A portal's number is a house's or an organisation's: the question tells.
    let organisation = cell(Column::Question).contains("organisation");
    let thing = match (houses, organisations) {
        (Some(ids), _) if !organisation && !ids.is_empty() => {
            let oktmo = match cell(Column::Oktmo) {
                "" => None,
                text => Some(text.parse().map_err(|_| bad(Column::Oktmo, text))?),
            };
            let word = cell(Column::Kind).to_lowercase();
            let kind = KINDS.iter().find(|(_, w)| *w == word).map(|(k, _)| *k);
            Thing::House { ids, address: label, oktmo, kind: kind.ok_or_else(|| bad(Column::Kind, &word))? }
        }
        (_, Some(ids)) if organisation && !ids.is_empty() => Thing::Organisation { ids, name: label },
        _ => return Err(bad(Column::Ids, cell(Column::Ids))),
    };
    let choices =
        cell(Column::Choices).lines().filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect();
    let first = written.split_whitespace().next().unwrap_or_default();
    let decision = match written.trim().to_lowercase().as_str() {
        "другой" | "другая" | "не тот" | "не тот же" | "other" | "not the same" => {
            Decision::Other
        }
        "новый" | "новая" | "new" => Decision::New,
        _ if first.parse::<BuildingId>().is_ok() || first.parse::<OrgId>().is_ok() => Decision::Same(first.to_owned()),
        _ => return Err(bad(Column::Decision, written)),
    };
    Ok(Decided { row, thing, choices, decision })
}

/// What the register itself leaves open: houses that stand at one address under several ids, and organisations of one
/// name that followed each other in the same houses.
pub fn of_register(state: &State) -> Vec<Question> {
    let mut questions = twins(state);
    questions.extend(namesakes(state));
    questions
}

fn twins(state: &State) -> Vec<Question> {
    let mut at: BTreeMap<(String, String), Vec<&BuildingFacts>> = BTreeMap::new();
    for (_, entry) in state.subjects() {
        if let Facts::Building(b) = &entry.facts
            && !b.void
            && b.retired.is_none()
        {
            let municipality = b.oktmo.prefix(8).map(|o| o.to_string()).unwrap_or_default();
            at.entry((AddressKey::parse(b.address.as_str()).to_string(), municipality)).or_default().push(b);
        }
    }
    let mut questions = Vec::new();
    for mut houses in at.into_values().filter(|houses| houses.len() > 1) {
        houses.sort_by(|a, b| a.building.cmp(&b.building));
        let apart = |a: &BuildingFacts, b: &BuildingFacts| a.distinct().iter().any(|id| b.ids().any(|own| own == id));
        for (i, house) in houses.iter().enumerate().skip(1) {
            let open = |other: &&&BuildingFacts| !apart(house, other) && !apart(other, house);
            let choices: Vec<Choice> = houses[..i]
                .iter()
                .filter(open)
                .take(MAX_CHOICES)
                .map(|b| Choice { id: b.building.to_string(), label: b.address.to_string() })
                .collect();
            if choices.is_empty() {
                continue;
            }
            questions.push(Question {
                why: &report::LINK_TWIN,
                thing: Thing::House {
                    ids: vec![house.building.clone()],
                    address: house.address.to_string(),
                    oktmo: Some(house.oktmo),
                    kind: house.kind,
                },
                choices,
                row: None,
                reason_ru: "в реестре несколько домов с одним адресом".to_owned(),
                reason_en: "the register has several houses of one address".to_owned(),
            });
        }
    }
    questions
}

/// A name without case, quotes, punctuation and the legal form: «ООО "УК Гольяново"» and «АО УК ГОЛЬЯНОВО» agree.
pub fn core_name(name: &str) -> String {
    let folded = name.to_lowercase().replace('ё', "е");
    let form = |w: &&str| {
        !matches!(
            *w,
            "ооо"
                | "оао"
                | "зао"
                | "ао"
                | "пао"
                | "гбу"
                | "гуп"
                | "муп"
                | "гку"
                | "фгуп"
                | "г"
                | "москвы"
        )
    };
    let words: Vec<&str> =
        folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).filter(form).collect();
    words.concat()
}

/// The last name of an organisation, by its primary id.
pub fn name_of(state: &State, id: &OrgId) -> Option<Text> {
    match state.facts(&crate::registry::record::Subject::Organisation(state.organisation(id)))? {
        Facts::Organisation(o) => o.names.last().map(|n| n.name.clone()),
        _ => None,
    }
}

/// Whether two organisations were found not to be the same.
pub fn told_apart(state: &State, a: &OrgId, b: &OrgId) -> bool {
    let says = |a: &OrgId, b: &OrgId| {
        let facts = state.facts(&crate::registry::record::Subject::Organisation(state.organisation(a)));
        matches!(facts, Some(Facts::Organisation(o)) if o.distinct().iter().any(|d| d == b || state.organisation(d) == state.organisation(b)))
    };
    says(a, b) || says(b, a)
}

/// A question whether two organisations are one, and in how many houses it matters.
pub fn same_organisation(state: &State, old: &OrgId, new: &OrgId, name: Option<&Text>, houses: usize) -> Question {
    let label = |id: &OrgId| name_of(state, id).map(|n| n.to_string()).unwrap_or_default();
    let new_name = name.map_or_else(|| label(new), ToString::to_string);
    Question {
        why: &report::LINK_ORGANISATION,
        thing: Thing::Organisation { ids: vec![new.clone()], name: new_name },
        choices: vec![Choice { id: old.to_string(), label: label(old) }],
        row: None,
        reason_ru: format!("похоже на одну организацию под двумя кодами; домов, где один код сменил другой: {houses}"),
        reason_en: format!(
            "this looks like one organisation under two ids; houses where one id replaced the other: {houses}"
        ),
    }
}

fn namesakes(state: &State) -> Vec<Question> {
    let mut pairs: BTreeMap<(OrgId, OrgId), usize> = BTreeMap::new();
    let mut cores: HashMap<OrgId, String> = HashMap::new();
    for (_, entry) in state.subjects() {
        let Facts::Building(b) = &entry.facts else { continue };
        let held: Vec<_> = b.managements.iter().filter(|m| !m.void).collect();
        for (old, new) in held.iter().zip(held.iter().skip(1)) {
            if let (Some(a), Some(b)) = (&old.organisation, &new.organisation) {
                let (a, b) = (state.organisation(a), state.organisation(b));
                if a != b {
                    *pairs.entry((a, b)).or_default() += 1;
                }
            }
        }
    }
    let mut core = |id: &OrgId| {
        let core = || name_of(state, id).map(|n| core_name(n.as_str())).unwrap_or_default();
        cores.entry(id.clone()).or_insert_with(core).clone()
    };
    let mut seen: BTreeSet<(OrgId, OrgId)> = BTreeSet::new();
    let mut questions = Vec::new();
    for ((old, new), houses) in pairs {
        let name = core(&old);
        let unordered = if old < new { (old.clone(), new.clone()) } else { (new.clone(), old.clone()) };
        if !name.is_empty() && name == core(&new) && !told_apart(state, &old, &new) && seen.insert(unordered) {
            questions.push(same_organisation(state, &old, &new, None, houses));
        }
    }
    questions
}
