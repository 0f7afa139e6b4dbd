//! `domovoi import buildings|organisations|chats|management|links`: a table into records, with a report on every row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::api::Api;
use super::drafts::open_keys;
use super::record::SUBMIT_CHUNK;
use super::source::Opened;
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::import::format::Format;
use crate::import::houses::Houses;
use crate::import::input::Input;
use crate::import::organisations::Organisations;
use crate::import::plan::{Frame, Planned, Planner};
use crate::import::report::{self, Outcome, Problem, Report};
use crate::import::snapshot::{self, Work, names, plan_rows};
use crate::import::table::Limits;
use crate::import::{clerk, gar, houses, worklist};
use crate::registry::envelope::{Envelope, TYP_RECORD};
use crate::registry::facts::Facts;
use crate::registry::ids::{Oktmo, OrgId, RecordId};
use crate::registry::record::{Basis, BasisKind};
use crate::registry::state::State;
use crate::registry::state::View;
use crate::registry::text::{Day, Millis, Text};

/// Imports.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Import {
    #[command(about = "Дома и их управление: выгрузка Реформы ЖКХ, ФРТ, ГИС ЖКХ, ГАР или другой список домов")]
    Buildings(BuildingArgs),
    #[command(about = "Организации: названия и номера (Фонд развития территорий, реестр ГИС ЖКХ)")]
    Organisations(OrganisationArgs),
    #[command(about = "Чаты: таблица с адресом или ID дома, ссылкой и/или ID чата")]
    Chats(ImportArgs),
    #[command(about = "Управление: таблица с адресом или ID дома, организацией и датой")]
    Management(ImportArgs),
    #[command(about = "Решения: заполненный список того, что не связалось само")]
    Links(ImportArgs),
}

/// Options of an import of houses.
#[derive(Debug, Args)]
pub struct BuildingArgs {
    #[command(flatten)]
    common: ImportArgs,
    #[arg(long, help = FORMAT_HELP)]
    format: Option<Format>,
}

/// Options of an import of organisations.
#[derive(Debug, Args)]
pub struct OrganisationArgs {
    #[command(flatten)]
    common: ImportArgs,
    #[arg(long, help = FORMAT_HELP)]
    format: Option<Format>,
    #[arg(long, help = "Записать и организации, у которых в реестре нет домов")]
    all: bool,
}

const FORMAT_HELP: &str = "Что это за выгрузка, если она определяется неверно: reformagkh, frt, gis, gar, mingkh, \
    frt-organisations, gis-organisations, table";

/// Options of every import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[arg(help = "Файл: CSV или XLSX, в том числе в архиве gzip, zip, tar.gz; для ГАР — zip или папка")]
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
    #[arg(long, help = "Отчёт об отказах: .xlsx или .csv (по умолчанию в текущем каталоге)")]
    report: Option<PathBuf>,
    #[arg(long, help = "Список нерешённых вопросов: .xlsx или .csv (по умолчанию в текущем каталоге)")]
    worklist: Option<PathBuf>,
    #[arg(long = "key", help = "Файл ключа (по умолчанию ключ оператора)")]
    keys: Vec<PathBuf>,
}

/// What became of an import, for people and programs.
#[derive(Debug, Serialize)]
struct Summary {
    /// What the source was recognised as.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    rows: u64,
    imported: u64,
    unchanged: u64,
    refused: u64,
    /// Rows by the code of what was found about them.
    reasons: BTreeMap<&'static str, u64>,
    records: BTreeMap<&'static str, u64>,
    /// Buildings of the register that the source no longer has.
    vanished: Vec<(String, String)>,
    /// Questions that only a person can decide.
    questions: Vec<super::report::Open>,
    findings: Vec<Finding>,
    batch: String,
    dry_run: bool,
}

/// One refusal or warning.
#[derive(Debug, Serialize)]
struct Finding {
    row: u64,
    outcome: Outcome,
    field: String,
    code: &'static str,
    reason: String,
    remedy: &'static str,
    candidates: Vec<String>,
}

impl Import {
    /// Reads, plans against the verified state, signs, submits, reports.
    pub fn run(&self, context: &Context) -> Result<()> {
        let (kind, args) = match self {
            Import::Buildings(a) => ("buildings", &a.common),
            Import::Organisations(a) => ("organisations", &a.common),
            Import::Chats(a) => ("chats", a),
            Import::Management(a) => ("management", a),
            Import::Links(a) => ("links", a),
        };
        let source = Opened::of(&args.file, &context.out)?;
        // Keys are opened before the long work, so that a mistyped passphrase is told at once.
        let default = vec![context.config()?.node.data_dir.join("keys/operator.pem")];
        let keys = match args.dry_run {
            true => Vec::new(),
            false => open_keys(if args.keys.is_empty() { &default } else { &args.keys }, &passphrase(context, true)?)?,
        };
        let api = Api::new(context)?;
        let state = api.state(context)?;
        let digest = source.digest()?;
        let batch = format!("{kind} {}", &data_encoding::HEXLOWER.encode(&digest)[..12]);
        let frame = |found| frame(args, &state, digest, &batch, found);
        let mut work = match self {
            Import::Buildings(a) => buildings(&source, a, &state, frame)?,
            Import::Organisations(a) => organisations(&source, a, &state, frame)?,
            Import::Chats(_) => chats(source.input()?, &state, frame)?,
            Import::Management(_) => managements(source.input()?, &state, frame)?,
            Import::Links(_) => links(source.input()?, &state, frame)?,
        };
        source.done();
        let refused = match args.dry_run {
            true => HashMap::new(),
            false => submit(context, &api, &work.planned, &keys)?,
        };
        let records = settle(&mut work, &refused);
        finish(context, args, &work, records, batch)
    }
}

fn frame(args: &ImportArgs, state: &State, digest: [u8; 32], batch: &str, found: Option<Day>) -> Result<Frame> {
    let observed = args.observed.or(found).ok_or_else(|| {
        Error::refuse("import.observed", "the table does not say of which day it is", "give --observed YYYY-MM-DD")
    })?;
    let authorities: Vec<OrgId> = state
        .subjects()
        .filter_map(|(_, e)| match &e.facts {
            Facts::Authority(a) if a.succeeded.is_none() => Some(a.authority.clone()),
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

fn buildings(
    source: &Opened,
    args: &BuildingArgs,
    state: &State,
    frame: impl Fn(Option<Day>) -> Result<Frame>,
) -> Result<Work> {
    let region = state.jurisdiction().region;
    let options = |taken| houses::Options { region: Some(region), taken, limits: Limits::default() };
    let gar = match args.format {
        None | Some(Format::Gar) => source.gar(region, &Limits::default())?,
        Some(_) => None,
    };
    if args.format == Some(Format::Gar) && gar.is_none() {
        return Err(Error::refuse(
            "import.format",
            "the file is no archive of ГАР",
            "leave --format out, or give the file that belongs to it",
        ));
    }
    let read = |taken| match &gar {
        Some(files) => gar::read(files, &options(taken)),
        None => Houses::open_as(source.input()?, options(taken), args.format)?.snapshot(),
    };
    let named = source.day().or_else(|| gar.as_ref()?.day());
    let taken = args.common.observed.or(named).unwrap_or_else(|| today(state));
    let mut snapshot = read(taken)?;
    let newest = snapshot.reads.iter().filter_map(|r| r.value.as_ref()?.updated).max();
    let frame = frame(newest.or(named))?;
    if frame.observed != taken {
        // The file says itself of which day it is; later dates in it are mistakes.
        snapshot = read(frame.observed)?;
    }
    snapshot::houses(state, frame, snapshot)
}

fn organisations(
    source: &Opened,
    args: &OrganisationArgs,
    state: &State,
    frame: impl Fn(Option<Day>) -> Result<Frame>,
) -> Result<Work> {
    let mut opened = Organisations::open(source.input()?, &Limits::default(), args.format)?;
    let mut reads = (&mut opened).collect::<Result<Vec<_>>>()?;
    let mut counted = std::mem::take(&mut opened.counted);
    // What the register does not mention says nothing about its houses, and a country has two hundred thousand organisations.
    let known: HashSet<&OrgId> = state
        .subjects()
        .filter_map(|(_, e)| match &e.facts {
            Facts::Building(b) => Some(b.managements.iter().filter_map(|m| m.organisation.as_ref())),
            _ => None,
        })
        .flatten()
        .collect();
    reads.retain(|read| {
        let keep = args.all || read.value.as_ref().is_none_or(|o| o.ids.iter().any(|id| known.contains(id)));
        if !keep {
            *counted.entry(report::ORGANISATION_UNRELATED.code).or_default() += 1;
        }
        keep
    });
    let mut planner = Planner::new(state, frame(source.day().or(Some(today(state))))?);
    let report = Report { columns: opened.columns.clone(), counted, ..Report::default() };
    let mut work = Work { report, format: Some(opened.format), ..Work::default() };
    plan_rows(&mut work, &mut planner, reads, |row| row.row, |planner, row| planner.organisation(row));
    work.planned = planner.planned;
    Ok(work)
}

fn chats(input: Input<'_>, state: &State, frame: impl Fn(Option<Day>) -> Result<Frame>) -> Result<Work> {
    let opened = clerk::chats(input, &Limits::default())?;
    let mut work = Work { report: Report { columns: opened.columns.clone(), ..Report::default() }, ..Work::default() };
    let mut planner = Planner::new(state, frame(Some(today(state)))?);
    plan_rows(&mut work, &mut planner, opened.collect::<Result<_>>()?, |row| row.row, |planner, row| planner.chat(row));
    work.planned = planner.planned;
    Ok(work)
}

fn managements(input: Input<'_>, state: &State, frame: impl Fn(Option<Day>) -> Result<Frame>) -> Result<Work> {
    // A new management is known before it begins.
    let latest = Day::of_ms(crate::node::now_ms() + 366 * 86_400_000, 3);
    let opened = clerk::managements(input, latest, &Limits::default())?;
    let mut work = Work { report: Report { columns: opened.columns.clone(), ..Report::default() }, ..Work::default() };
    let reads: Vec<_> = opened.collect::<Result<_>>()?;
    let mut planner = Planner::new(state, frame(Some(today(state)))?);
    planner.names(&names(reads.iter().filter_map(|r| Some(&r.value.as_ref()?.tenure))))?;
    plan_rows(&mut work, &mut planner, reads, |row| row.row, |planner, row| planner.management(row));
    work.planned = planner.planned;
    Ok(work)
}

fn links(input: Input<'_>, state: &State, frame: impl Fn(Option<Day>) -> Result<Frame>) -> Result<Work> {
    let (columns, reads) = worklist::read(input, &Limits::default())?;
    let mut work = Work { report: Report { columns, ..Report::default() }, ..Work::default() };
    let mut planner = Planner::new(state, frame(Some(today(state)))?);
    plan_rows(&mut work, &mut planner, reads, |row| row.row, |planner, row| planner.decide(row));
    work.planned = planner.planned;
    Ok(work)
}

fn today(state: &State) -> Day {
    let offset = state.jurisdiction().region.region().map_or(3, |r| r.utc_offset_hours);
    Day::of_ms(crate::node::now_ms(), offset)
}

/// Signs and submits in order; gives the node's refusals by place in the plan.
fn submit(
    context: &Context,
    api: &Api,
    planned: &[Planned],
    keys: &[ed25519_dalek::SigningKey],
) -> Result<HashMap<usize, Problem>> {
    let bar = context.out.progress(planned.len() as u64, "Запись", "Recording");
    let keys: Vec<&ed25519_dalek::SigningKey> = keys.iter().collect();
    let mut refused = HashMap::new();
    for (n, chunk) in planned.chunks(SUBMIT_CHUNK).enumerate() {
        let signed: Vec<Vec<u8>> =
            chunk.par_iter().map(|p| Envelope::sign(p.payload.clone(), TYP_RECORD, &keys)).collect();
        for (i, outcome) in api.submit(&signed, false)?.into_iter().enumerate() {
            if outcome["outcome"] == "refused" {
                refused.insert(n * SUBMIT_CHUNK + i, by_node(&outcome));
            }
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(refused)
}

/// The node's refusal of a record, in both languages as far as this program knows its code.
fn by_node(outcome: &Value) -> Problem {
    let text = |key: &str| outcome[key].as_str().unwrap_or_default();
    let (code, detail) = (text("code"), text("detail"));
    let what = crate::error::russian(code).map_or("узел не принял запись", |(what, _)| what);
    let field = match code {
        "rule.chat.taken" | "rule.chat.handle" => "Ссылка",
        "rule.chat.one_per_house" | "rule.building.id" | "rule.building.unknown" | "rule.building.retired" => "ID дома",
        "rule.oktmo.region" | "rule.signer.oktmo" => "ОКТМО",
        c if c.starts_with("rule.management.") => "Организация",
        _ => report::WHOLE_ROW,
    };
    Problem::new(
        &report::NODE,
        field,
        format!("[{code}] {what} ({detail})"),
        format!("[{code}] {detail} — {}", text("remedy")),
    )
}

/// Counts the records that were written, and marks the rows whose records the node refused.
fn settle(work: &mut Work, refused: &HashMap<usize, Problem>) -> BTreeMap<&'static str, u64> {
    let mut records = BTreeMap::new();
    let mut by_row: HashMap<u64, &Problem> = HashMap::new();
    for (i, planned) in work.planned.iter().enumerate() {
        match (refused.get(&i), planned.row) {
            (None, _) => *records.entry(planned.type_name).or_default() += 1,
            (Some(problem), Some(row)) => {
                by_row.entry(row).or_insert(problem);
            }
            // A name that was refused: the next import offers it again.
            (Some(problem), None) => tracing::warn!(reason = problem.reason_en, "a name was refused"),
        }
    }
    for row in &mut work.report.rows {
        if let Some(problem) = by_row.get(&row.row) {
            row.outcome = Outcome::Refused;
            row.problems.push((*problem).clone());
        }
    }
    records
}

fn finish(
    context: &Context,
    args: &ImportArgs,
    work: &Work,
    records: BTreeMap<&'static str, u64>,
    batch: String,
) -> Result<()> {
    let path = args.report.clone().unwrap_or_else(|| {
        // Beside whoever runs the command, not beside the source, which may be somebody else's folder.
        let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        PathBuf::from(format!("{name}.report.xlsx"))
    });
    let report::Summary { rows, outcomes, problems: reasons } = work.report.summary();
    let count = |o: Outcome| outcomes.get(&o).copied().unwrap_or(0);
    let out = context.out;
    let finding = |row: &report::RowOutcome, p: &Problem| Finding {
        row: row.row,
        outcome: row.outcome,
        field: p.field.clone(),
        code: p.code.code,
        reason: out.say(&p.reason_ru, &p.reason_en).to_owned(),
        remedy: out.say(p.code.remedy_ru, p.code.remedy_en),
        candidates: p.candidates.iter().map(|c| format!("{} — {}", c.id, c.address)).collect(),
    };
    let summary = Summary {
        format: work.format.map(Format::name),
        rows,
        // A row that was taken over without a value that was wrong is imported or known all the same.
        imported: count(Outcome::Imported) + count(Outcome::Warned),
        unchanged: count(Outcome::Unchanged),
        refused: count(Outcome::Refused),
        reasons,
        records,
        vanished: work.vanished.clone(),
        questions: work.questions.iter().map(|q| super::report::Open::of(q, &out)).collect(),
        findings: work.report.rows.iter().flat_map(|r| r.problems.iter().map(move |p| finding(r, p))).collect(),
        batch,
        dry_run: args.dry_run,
    };
    // Rows that are only counted are not for the clerk to correct.
    let listed = work.report.rows.iter().any(|r| r.outcome == Outcome::Refused);
    if listed {
        super::report::write(&path, || work.report.to_csv(), || work.report.to_xlsx())?;
    }
    let list = args.worklist.clone().unwrap_or_else(|| {
        let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        PathBuf::from(format!("{name}.worklist.xlsx"))
    });
    if !work.questions.is_empty() {
        super::report::write_worklist(&list, &work.questions)?;
    }
    out.result(&summary, |out| print(out, &summary));
    let (report, undo) = (path.display(), format!("domovoi undo \"{}\"", summary.batch));
    let (mut ru, mut en) = (Vec::new(), Vec::new());
    if listed {
        ru.push(format!("исправьте отказанные строки в {report} и загрузите этот файл той же командой"));
        en.push(format!("correct the refused rows in {report} and import that file with the same command"));
    }
    if !work.questions.is_empty() {
        let list = list.display();
        ru.push(format!("заполните столбец «решение» в {list} и загрузите его: domovoi import links \"{list}\""));
        en.push(format!("fill in the column «решение» of {list} and import it: domovoi import links \"{list}\""));
    }
    if !args.dry_run && summary.imported > 0 {
        ru.push(format!("{undo} — отменить эту загрузку"));
        en.push(format!("{undo} — take this import back"));
    }
    if !ru.is_empty() {
        out.next(
            &ru.iter().map(String::as_str).collect::<Vec<_>>(),
            &en.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    Ok(())
}

fn print(out: &super::output::Output, s: &Summary) {
    if let Some(format) = s.format {
        out.line(&out.pick(format!("Формат: {format}"), format!("Format: {format}")));
    }
    let head = [
        out.say("Строк", "Rows"),
        out.say("Принято", "Taken over"),
        out.say("Без изменений", "Unchanged"),
        out.say("Отказано", "Refused"),
    ];
    out.table(&head, [[s.rows, s.imported, s.unchanged, s.refused].map(|n| n.to_string()).to_vec()]);
    for (name, n) in &s.records {
        out.line(&format!("  {name}: {n}"));
    }
    if !s.reasons.is_empty() {
        out.line(out.say("Замечания по причинам:", "Rows by reason:"));
        for (code, n) in &s.reasons {
            out.line(&format!("  {code}: {n}"));
        }
    }
    let warned = s.findings.iter().filter(|f| f.outcome == Outcome::Warned).count();
    let gone = s.vanished.len();
    out.line(&out.pick(
        format!("Предупреждений: {warned}; исчезло из источника домов: {gone}"),
        format!("Warnings: {warned}; buildings gone from the source: {gone}"),
    ));
    if !s.questions.is_empty() {
        let open = s.questions.len();
        out.line(&out.pick(
            format!("Не связалось само, решит человек: {open}"),
            format!("Not linked, for a person to decide: {open}"),
        ));
    }
    for f in s.findings.iter().filter(|f| f.outcome == Outcome::Refused).take(10) {
        let place = if f.field.is_empty() { String::new() } else { format!(", «{}»", f.field) };
        out.line(&format!("  {} {}{place}: [{}] {}", out.say("строка", "row"), f.row, f.code, f.reason));
        out.line(&format!("    {}: {}", out.say("что сделать", "what to do"), f.remedy));
    }
    if s.refused > 10 {
        let rest = s.refused - 10;
        out.line(&out.pick(format!("  … и ещё {rest}"), format!("  … and {rest} more")));
    }
}
