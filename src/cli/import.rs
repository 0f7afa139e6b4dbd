//! `domovoi import buildings|chats|management`: a table into records, with a report on every row.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rayon::prelude::*;

use super::api::Api;
use super::drafts::open_keys;
use super::record::{SUBMIT_CHUNK, sha256};
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::import::plan::{Frame, Planned, Planner, RowPlan};
use crate::import::report::{Finding, Language, NodeRefusal, Outcome, Report};
use crate::import::table::Table;
use crate::import::{clerk, reformagkh};
use crate::registry::envelope::{Envelope, TYP_RECORD};
use crate::registry::ids::{Oktmo, OrgId, RecordId};
use crate::registry::record::{Basis, BasisKind};
use crate::registry::state::{State, View};
use crate::registry::text::{Day, Millis, Text};
use crate::storage::durable::read_bounded;

/// Imports.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Import {
    #[command(about = "Дома и их управление: файл портала Реформа ЖКХ")]
    Buildings(ImportArgs),
    #[command(about = "Чаты: таблица с адресом или ID дома, ссылкой и/или ID чата")]
    Chats(ImportArgs),
    #[command(about = "Управление: таблица с адресом или ID дома, организацией и датой")]
    Management(ImportArgs),
}

/// Options of every import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[arg(help = "Файл: CSV, XLSX, в том числе сжатый gzip")]
    file: PathBuf,
    #[arg(long, help = "День, на который верны данные, ГГГГ-ММ-ДД (если его нет в самом файле)")]
    observed: Option<Day>,
    #[arg(long, help = "Кто выпустил данные")]
    issuer: Option<String>,
    #[arg(long, help = "Орган-владелец, если в регионе их несколько")]
    authority: Option<OrgId>,
    #[arg(long, help = "Код ОКТМО домов, у которых он не указан (по умолчанию — код региона)")]
    oktmo: Option<Oktmo>,
    #[arg(long, help = "Сразу делегировать администрирование чата тому, кто управляет домом")]
    delegate_admin: bool,
    #[arg(long, help = "Обновлять и число квартир, год, вид дома")]
    attributes: bool,
    #[arg(long, help = "Данные сгенерированы (для показа): так и будет записано")]
    generated: bool,
    #[arg(long, help = "Только показать, что изменится")]
    dry_run: bool,
    #[arg(long, help = "Отчёт об отказах: .xlsx или .csv (по умолчанию рядом с файлом)")]
    report: Option<PathBuf>,
    #[arg(long = "key", help = "Файл ключа (по умолчанию ключ оператора)")]
    keys: Vec<PathBuf>,
}

/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 30;

impl Import {
    /// Reads, plans against the verified state, signs, submits, reports.
    pub fn run(&self, context: &Context) -> Result<()> {
        let (kind, args) = match self {
            Import::Buildings(a) => ("buildings", a),
            Import::Chats(a) => ("chats", a),
            Import::Management(a) => ("management", a),
        };
        let bytes = read_bounded(&args.file, MAX_FILE)?;
        let table = Table::read(&bytes)?;
        // Keys are opened before the long work, so that a mistyped passphrase is told at once.
        let default = vec![context.config()?.node.data_dir.join("keys/operator.pem")];
        let keys = match args.dry_run {
            true => Vec::new(),
            false => open_keys(if args.keys.is_empty() { &default } else { &args.keys }, &passphrase(context, true)?)?,
        };
        let api = Api::new(context)?;
        let state = api.state(context)?;
        let digest = sha256(&bytes);
        let batch = format!("{kind} {}", &data_encoding::HEXLOWER.encode(&digest)[..12]);
        let mut report =
            Report { rows: table.rows.len() as u64, batch: batch.clone(), dry_run: args.dry_run, ..Report::default() };
        let (plans, planned) = plan(kind, args, &table, &state, digest, &batch, &mut report)?;
        let refused = match args.dry_run {
            true => HashMap::new(),
            false => submit(context, &api, &planned, &keys)?,
        };
        count(&mut report, &table, plans, &planned, &refused);
        finish(context, args, &table, &report)
    }
}

fn frame(args: &ImportArgs, state: &State, digest: [u8; 32], batch: &str, found: Option<Day>) -> Result<Frame> {
    let observed = args.observed.or(found).ok_or_else(|| {
        Error::refuse("import.observed", "the table does not say of which day it is", "give --observed YYYY-MM-DD")
    })?;
    let authorities: Vec<OrgId> = state
        .subjects()
        .filter_map(|(_, e)| match &e.facts {
            crate::registry::facts::Facts::Authority(a) if a.succeeded.is_none() => Some(a.authority.clone()),
            _ => None,
        })
        .collect();
    let authority = match (&args.authority, authorities.as_slice()) {
        (Some(a), _) => a.clone(),
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(Error::refuse(
                "import.authority",
                "the region has several authorities",
                "name one with --authority",
            ));
        }
    };
    let jurisdiction = state.jurisdiction();
    let prefix = jurisdiction.oktmo.first().map(ToString::to_string).unwrap_or_default();
    let oktmo = match &args.oktmo {
        Some(oktmo) => *oktmo,
        None => prefix.parse()?,
    };
    Ok(Frame {
        log: jurisdiction.origin.clone(),
        now: Millis::new(crate::node::now_ms())?,
        basis: Basis {
            kind: if args.generated { BasisKind::Generated } else { BasisKind::Dataset },
            number: None,
            date: Some(observed),
            issuer: args.issuer.as_deref().map(Text::normalise).transpose()?,
            document_sha256: Some(RecordId(digest)),
            signature_sha256: None,
        },
        batch: Text::normalise(batch)?,
        observed,
        authority,
        oktmo,
        delegate: args.delegate_admin,
        attributes: args.attributes,
    })
}

type Plans = Vec<(u64, RowPlan)>;

fn plan(
    kind: &str,
    args: &ImportArgs,
    table: &Table,
    state: &State,
    digest: [u8; 32],
    batch: &str,
    report: &mut Report,
) -> Result<(Plans, Vec<Planned>)> {
    let frame = |found| frame(args, state, digest, batch, found);
    let mut plans = Vec::with_capacity(table.rows.len());
    let named = |organisation: &Option<OrgId>, name: &Option<Text>| Some((organisation.clone()?, name.clone()?));
    let planned = match kind {
        "buildings" => {
            if !reformagkh::recognises(table) {
                return Err(Error::refuse(
                    "import.columns",
                    "this is no house file of a known kind",
                    "see the manual for the kinds of house files",
                ));
            }
            let houses = reformagkh::read(table, args.observed);
            report.findings.extend(houses.findings);
            let mut planner = Planner::new(state, frame(houses.newest)?);
            let names: Vec<_> = houses
                .rows
                .iter()
                .filter_map(|h| h.tenure.as_ref())
                .filter_map(|t| named(&t.organisation, &t.name))
                .collect();
            planner.names(&names)?;
            for house in &houses.rows {
                plans.push((house.row, planner.house(house)));
            }
            report.vanished =
                planner.vanished("reformagkh", &houses.seen).into_iter().map(|(id, a)| (id.to_string(), a)).collect();
            planner.planned
        }
        "chats" => {
            let (rows, findings) = clerk::chats(table)?;
            report.findings.extend(findings);
            let mut planner = Planner::new(state, frame(Some(today(state)))?);
            for row in &rows {
                plans.push((row.row, planner.chat(row)));
            }
            planner.planned
        }
        _ => {
            let (rows, findings) = clerk::managements(table)?;
            report.findings.extend(findings);
            let mut planner = Planner::new(state, frame(Some(today(state)))?);
            let names: Vec<_> = rows.iter().filter_map(|r| named(&r.tenure.organisation, &r.tenure.name)).collect();
            planner.names(&names)?;
            for row in &rows {
                plans.push((row.row, planner.management(row)));
            }
            planner.planned
        }
    };
    Ok((plans, planned))
}

fn today(state: &State) -> Day {
    let offset = state.jurisdiction().region.region().map_or(3, |r| r.utc_offset_hours);
    Day::of_ms(crate::node::now_ms(), offset)
}

/// Signs and submits in order; gives the refusals by place in the plan.
fn submit(
    context: &Context,
    api: &Api,
    planned: &[Planned],
    keys: &[ed25519_dalek::SigningKey],
) -> Result<HashMap<usize, NodeRefusal>> {
    let bar = context.out.progress(planned.len() as u64, "Запись", "Recording");
    let keys: Vec<&ed25519_dalek::SigningKey> = keys.iter().collect();
    let mut refused = HashMap::new();
    for (n, chunk) in planned.chunks(SUBMIT_CHUNK).enumerate() {
        let signed: Vec<Vec<u8>> =
            chunk.par_iter().map(|p| Envelope::sign(p.payload.clone(), TYP_RECORD, &keys)).collect();
        for (i, outcome) in api.submit(&signed, false)?.into_iter().enumerate() {
            if outcome["outcome"] == "refused" {
                refused.insert(n * SUBMIT_CHUNK + i, serde_json::from_value(outcome).unwrap_or_default());
            }
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(refused)
}

fn count(report: &mut Report, table: &Table, plans: Plans, planned: &[Planned], refused: &HashMap<usize, NodeRefusal>) {
    let mut by_row: BTreeMap<u64, &NodeRefusal> = BTreeMap::new();
    for (i, p) in planned.iter().enumerate() {
        match refused.get(&i) {
            None => *report.records.entry(p.type_name.to_owned()).or_default() += 1,
            Some(e) => {
                by_row.entry(p.row.unwrap_or(0)).or_insert(e);
            }
        }
    }
    for (row, plan) in plans {
        match (plan, by_row.remove(&row)) {
            (RowPlan::Records, None) => report.imported += 1,
            (RowPlan::Unchanged, _) => report.unchanged += 1,
            (RowPlan::Records, Some(e)) => report.findings.push(Finding::by_node(row, e)),
            (RowPlan::Refused(field, e, candidates), _) => {
                report.findings.push(Finding::at(row, Outcome::Refused, field, &e, candidates));
            }
        }
    }
    for (row, e) in by_row {
        report.findings.push(Finding::by_node(row, e));
    }
    report.findings.sort_by_key(|f| f.row);
    report.unchanged += report.findings.iter().filter(|f| f.outcome == Outcome::Unchanged).count() as u64;
    let rows: std::collections::BTreeSet<u64> =
        report.findings.iter().filter(|f| f.outcome == Outcome::Refused && f.row > 0).map(|f| f.row).collect();
    report.refused = rows.len() as u64;
    debug_assert_eq!(report.imported + report.unchanged + report.refused, table.rows.len() as u64);
}

fn finish(context: &Context, args: &ImportArgs, table: &Table, report: &Report) -> Result<()> {
    let path = args.report.clone().unwrap_or_else(|| args.file.with_extension("report.xlsx"));
    let language = if context.out.is_english() { Language::English } else { Language::Russian };
    if report.refused > 0 {
        match path.extension().is_some_and(|e| e == "csv") {
            true => report.write_csv(table, &path, language)?,
            false => report.write_xlsx(table, &path, language)?,
        }
    }
    let out = context.out;
    out.result(report, |out| {
        let head = [
            out.say("Строк", "Rows"),
            out.say("Записано", "Imported"),
            out.say("Без изменений", "Unchanged"),
            out.say("Отказано", "Refused"),
        ];
        out.table(
            &head,
            [vec![
                report.rows.to_string(),
                report.imported.to_string(),
                report.unchanged.to_string(),
                report.refused.to_string(),
            ]],
        );
        for (name, n) in &report.records {
            out.line(&format!("  {name}: {n}"));
        }
        let warned = report.findings.iter().filter(|f| f.outcome == Outcome::Warned).count();
        out.line(&out.pick(
            format!("Предупреждений: {warned}; исчезло из источника домов: {}", report.vanished.len()),
            format!("Warnings: {warned}; buildings gone from the source: {}", report.vanished.len()),
        ));
        for f in report.findings.iter().filter(|f| f.outcome == Outcome::Refused).take(10) {
            let place = match f.column(table, language) {
                "" => String::new(),
                column => format!(", «{column}»"),
            };
            let (row, reason) = (f.row, f.reason_in(language));
            // Names of organisations are records of the whole table, not of a row.
            let at = match row {
                0 => out.say("вся таблица", "whole table").to_owned(),
                _ => format!("{} {row}{place}", out.say("строка", "row")),
            };
            out.line(&format!("  {at}: {reason}"));
            out.line(&format!("    {}: {}", out.say("что сделать", "what to do"), f.remedy_in(language)));
        }
        if report.refused > 10 {
            out.line(
                &out.pick(
                    format!("  … и ещё {}", report.refused - 10),
                    format!("  … and {} more", report.refused - 10),
                ),
            );
        }
    });
    let (again, undo) = (path.display().to_string(), format!("domovoi undo \"{}\"", report.batch));
    let (mut ru, mut en) = (Vec::new(), Vec::new());
    if report.refused > 0 {
        ru.push(format!("исправьте отказанные строки в {again} и загрузите этот файл той же командой"));
        en.push(format!("correct the refused rows in {again} and import that file with the same command"));
    }
    if !report.dry_run && report.imported > 0 {
        ru.push(format!("{undo} — отменить эту загрузку"));
        en.push(format!("{undo} — take this import back"));
    }
    let borrow = |v: &[String]| v.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let (ru, en) = (borrow(&ru), borrow(&en));
    if !ru.is_empty() {
        out.next(
            &ru.iter().map(String::as_str).collect::<Vec<_>>(),
            &en.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    Ok(())
}
