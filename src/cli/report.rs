//! `domovoi report coverage` and `domovoi report worklist`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::Context;
use super::api::Api;
use crate::error::{Error, Result};
use crate::import::report::{csv_table, xlsx_table};
use crate::import::worklist::{self, Choice, Question, Thing};
use crate::registry::text::Day;

/// Reports.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Report {
    #[command(about = "Покрытие: у скольких домов есть официальный чат")]
    Coverage(Coverage),
    #[command(about = "Нерешённое: дома и организации, которые, может быть, записаны дважды")]
    Worklist(Worklist),
}

/// What the register leaves for a person to decide.
#[derive(Debug, Args)]
pub struct Worklist {
    #[arg(long, help = "Сохранить таблицу, чтобы заполнить её и загрузить: .xlsx или .csv")]
    out: Option<PathBuf>,
}

/// A question as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Open {
    code: &'static str,
    ids: Vec<String>,
    label: String,
    row: Option<u64>,
    reason: String,
    remedy: &'static str,
    candidates: Vec<Choice>,
}

impl Open {
    /// A question in the language of the output.
    pub(super) fn of(q: &Question, out: &super::output::Output) -> Open {
        let (ids, label) = match &q.thing {
            Thing::House { ids, address, .. } => (ids.iter().map(ToString::to_string).collect(), address.clone()),
            Thing::Organisation { ids, name } => (ids.iter().map(ToString::to_string).collect(), name.clone()),
        };
        Open {
            code: q.why.code,
            ids,
            label,
            row: q.row,
            reason: out.say(&q.reason_ru, &q.reason_en).to_owned(),
            remedy: out.say(q.why.remedy_ru, q.why.remedy_en),
            candidates: q.choices.clone(),
        }
    }
}

/// Writes a table as CSV or, with any other ending, as a workbook.
pub(super) fn write(
    path: &Path,
    csv: impl FnOnce() -> Result<Vec<u8>>,
    xlsx: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<()> {
    let bytes = if path.extension().is_some_and(|e| e == "csv") { csv()? } else { xlsx()? };
    std::fs::write(path, bytes).map_err(|e| {
        Error::refuse(
            "report.write",
            format!("{}: {e}", path.display()),
            "choose a file that can be written with --report or --worklist",
        )
    })
}

/// Writes a worklist.
pub(super) fn write_worklist(path: &Path, questions: &[Question]) -> Result<()> {
    let rows = || worklist::table(questions);
    write(path, || csv_table(rows()), || xlsx_table(rows()))
}

impl Worklist {
    fn run(&self, context: &Context) -> Result<()> {
        let questions = worklist::of_register(&Api::new(context)?.state(context)?);
        if let Some(path) = &self.out {
            write_worklist(path, &questions)?;
        }
        let open: Vec<Open> = questions.iter().map(|q| Open::of(q, &context.out)).collect();
        context.out.result(&open, |out| {
            let head = [out.say("Коды", "Ids"), out.say("Что", "What"), out.say("Кандидаты", "Candidates")];
            let rows = open.iter().take(SHOWN).map(|o| {
                let candidates = o.candidates.iter().map(|c| c.id.clone()).collect::<Vec<_>>().join(" ");
                vec![o.ids.join(" "), o.label.clone(), candidates]
            });
            out.table(&head, rows.collect::<Vec<_>>());
            let n = open.len();
            out.line(&out.pick(format!("Вопросов: {n}"), format!("Questions: {n}")));
        });
        if self.out.is_none() && !open.is_empty() {
            let next = "domovoi report worklist --out worklist.xlsx";
            context.out.next(&[next], &[next]);
        }
        Ok(())
    }
}

/// Most questions printed; the table has all.
const SHOWN: usize = 50;

/// Coverage by region and municipality.
#[derive(Debug, Args)]
pub struct Coverage {
    #[arg(long, help = "На какой день, ГГГГ-ММ-ДД")]
    as_of: Option<Day>,
    #[arg(long, help = "И по муниципалитетам")]
    municipalities: bool,
    #[arg(long, help = "Показать и неподключённые регионы")]
    all: bool,
    #[arg(long, help = "Сохранить таблицу CSV")]
    csv: Option<PathBuf>,
}

impl Report {
    /// Asks the node and prints.
    pub fn run(&self, context: &Context) -> Result<()> {
        let c = match self {
            Report::Coverage(c) => c,
            Report::Worklist(w) => return w.run(context),
        };
        let query: Vec<_> = c.as_of.map(|d| ("as_of", d.to_string())).into_iter().collect();
        let v: Value = Api::new(context)?.get("coverage", &query)?;
        let out = context.out;
        let head = [
            out.say("Регион", "Region"),
            out.say("Домов", "Buildings"),
            out.say("С чатом", "With a chat"),
            out.say("Доля", "Share"),
            out.say("Не требуется", "Not required"),
            out.say("Без администратора", "No administrator"),
            out.say("Спорное управление", "Contested"),
        ];
        let mut rows = Vec::new();
        for region in v["regions"].as_array().into_iter().flatten() {
            let name = format!("{} {}", region["region"].as_str().unwrap_or(""), region["name"].as_str().unwrap_or(""));
            if !region["counts"].is_null() {
                rows.push(row(name, &region["counts"]));
            } else if c.all || c.csv.is_some() {
                let none = out.say("нет данных", "no data").to_owned();
                rows.push(vec![name, none.clone(), none.clone(), none.clone(), none.clone(), none.clone(), none]);
            }
            if c.municipalities {
                for m in region["municipalities"].as_array().into_iter().flatten() {
                    rows.push(row(format!("  {}", m["oktmo"].as_str().unwrap_or("")), &m["counts"]));
                }
            }
        }
        if let Some(path) = &c.csv {
            let io = |e: csv::Error| {
                Error::refuse("report.write", format!("{}: {e}", path.display()), "choose a file that can be written")
            };
            let mut writer = csv::WriterBuilder::new().delimiter(b';').from_path(path).map_err(io)?;
            writer.write_record(head).map_err(io)?;
            for row in &rows {
                writer.write_record(row).map_err(io)?;
            }
        }
        context.out.result(&v, |out| {
            out.table(&head, rows);
            let (n, total) = (v["connected"].to_string(), v["regions_total"].to_string());
            out.line(&out.pick(
                format!("Подключено регионов: {n} из {total}; об остальных данных нет."),
                format!("Regions connected: {n} of {total}; there are no data about the others."),
            ));
        });
        Ok(())
    }
}

fn row(name: String, c: &Value) -> Vec<String> {
    let n = |k: &str| c[k].as_u64().unwrap_or(0);
    let share = match n("buildings") {
        0 => "—".to_owned(),
        all => format!("{:.1} %", 100.0 * n("with_chat") as f64 / all as f64),
    };
    let count = |k: &str| n(k).to_string();
    vec![
        name,
        count("buildings"),
        count("with_chat"),
        share,
        count("not_required"),
        count("without_administrator"),
        count("contested"),
    ]
}
