//! `domovoi report coverage`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Context;
use super::api::Api;
use crate::error::{Error, Result};
use crate::registry::text::Day;

/// Reports.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Report {
    #[command(about = "Покрытие: у скольких домов есть официальный чат")]
    Coverage(Coverage),
}

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
        let Report::Coverage(c) = self;
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
