//! `domovoi poster`: the poster of one chat, or of every chat of the clerk's table.
//!
//! The log holds digests of links only, so the link comes from the clerk. The node is asked for the digest and never learns the link.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Context;
use super::api::Api;
use super::output::Output;
use super::source::Opened;
use crate::error::{Error, Result, russian};
use crate::import::posters::{PosterRow, read};
use crate::import::report::csv_table;
use crate::import::table::Limits;
use crate::poster::Poster;
use crate::poster::facts::{Answer, Facts, check};
use crate::poster::site::Site;
use crate::registry::ids::{BuildingId, ChatNumber};
use crate::registry::secret_link::SecretLink;
use crate::storage::durable::{create_dir, read_optional, write_private};

/// Largest poster that is looked at, in bytes.
const MAX_POSTER: u64 = 4 << 20;
/// What became of the rows, beside the posters.
const REPORT: &str = "posters.csv";
/// Most findings printed; the report has all.
const SHOWN: usize = 20;

/// A poster, or all of a table.
#[derive(Debug, Args)]
pub struct PosterArgs {
    #[arg(help = "Номер чата в реестре", required_unless_present = "table", conflicts_with = "table")]
    chat: Option<ChatNumber>,
    #[arg(
        long,
        help = "Ссылка этого чата; без неё будет спрошена (или прочитана со стандартного ввода)",
        conflicts_with = "table"
    )]
    link: Option<Pasted>,
    #[arg(long, help = "Таблица чатов со ссылками: плакат для каждого")]
    table: Option<PathBuf>,
    #[arg(
        long,
        help = "Файл PDF (по умолчанию — номер чата); для таблицы — каталог",
        required_unless_present = "chat"
    )]
    out: Option<PathBuf>,
    #[arg(long, help = "Только показать, что получится", requires = "table")]
    dry_run: bool,
}

/// A link as it was given, not to be printed.
#[derive(Clone)]
struct Pasted(Zeroizing<String>);

impl std::str::FromStr for Pasted {
    type Err = std::convert::Infallible;
    fn from_str(s: &str) -> std::result::Result<Pasted, Self::Err> {
        Ok(Pasted(Zeroizing::new(s.to_owned())))
    }
}

impl std::fmt::Debug for Pasted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl PosterArgs {
    /// Asks the node, draws, writes.
    pub fn run(&self, context: &Context) -> Result<()> {
        let site = Site::of(context.config()?.node.public_url.as_deref())?;
        match (&self.table, &self.out, self.chat) {
            (Some(table), Some(out), _) => {
                Batch { api: Api::new(context)?, site, out, dry_run: self.dry_run }.run(context, table)
            }
            (_, out, Some(chat)) => self.one(context, &site, chat, out.as_deref()),
            // The arguments are checked before.
            _ => Err(Error::refuse("cli.poster", "neither a chat nor a table is named", "see «domovoi poster --help»")),
        }
    }

    fn one(&self, context: &Context, site: &Site, chat: ChatNumber, out: Option<&Path>) -> Result<()> {
        let pasted = match &self.link {
            Some(given) => given.0.clone(),
            None => ask(&context.out)?,
        };
        let link = SecretLink::parse(&pasted)
            .map_err(|why| Error::refuse("poster.link", why.en(), "copy the link from the chat itself"))?;
        let facts = facts(&Api::new(context)?, &link, Some(chat), None)?;
        let poster = Poster::new(&facts, &link, site);
        let path = out.map_or_else(|| PathBuf::from(Poster::file_name(chat)), Path::to_owned);
        write_private(&path, &poster.render()?)?;
        #[derive(Serialize)]
        struct Made<'m> {
            chat: ChatNumber,
            file: &'m Path,
            check_code: String,
            contested: bool,
        }
        let made = Made { chat, file: &path, check_code: poster.code().to_string(), contested: facts.contested };
        context.out.result(&made, |out| {
            let (file, code) = (path.display(), &made.check_code);
            out.line(&out.pick(
                format!("Плакат записан: {file}. Код проверки: {code}"),
                format!("The poster was written: {file}. Check code: {code}"),
            ));
            if facts.contested {
                let (what, remedy) = explain(out, &contested(facts.chat));
                out.line(&format!("{what}: {remedy}"));
            }
        });
        context.out.next(
            &["напечатайте на A4 без изменения размера и проверьте код телефоном"],
            &["print it on A4 at its own size, and try the code with a telephone"],
        );
        Ok(())
    }
}

/// The link, from the terminal without showing it, or from standard input.
fn ask(out: &Output) -> Result<Zeroizing<String>> {
    let none =
        |e: std::io::Error| Error::refuse("poster.link", e.to_string(), "give --link, or the link on standard input");
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        return rpassword::prompt_password(out.say("Ссылка чата: ", "Link of the chat: "))
            .map(Zeroizing::new)
            .map_err(none);
    }
    let mut line = Zeroizing::new(String::new());
    std::io::Read::take(&mut stdin, 4096).read_line(&mut line).map_err(none)?;
    Ok(line)
}

fn facts(api: &Api, link: &SecretLink, chat: Option<ChatNumber>, house: Option<&BuildingId>) -> Result<Facts> {
    let digest = link.digest();
    let answer: Answer = api.get("verify", &[("digest", digest.to_string())])?;
    check(&answer, digest, chat, house)
}

fn contested(chat: ChatNumber) -> Error {
    let detail = format!("{chat} is official, but an objection is open or managements overlap");
    Error::refuse("poster.contested", detail, "look at «domovoi show chat» before the poster is hung up")
}

fn explain(out: &Output, e: &Error) -> (String, String) {
    match russian(e.code()) {
        Some((what, remedy)) if !out.is_english() => (what.to_owned(), remedy.to_owned()),
        _ => (e.detail().to_owned(), e.remedy().to_owned()),
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Drawn and written.
    Made,
    /// It is there already and says the same.
    Kept,
    /// Another row is of the same chat.
    Repeated,
    /// No poster.
    Refused,
}

/// A row's line in the report.
#[derive(Debug, Serialize)]
struct Line {
    row: u64,
    place: String,
    chat: Option<ChatNumber>,
    check_code: Option<String>,
    outcome: Outcome,
    /// Why there is none, or what is worth a look.
    code: Option<&'static str>,
    reason: String,
    remedy: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Summary {
    rows: usize,
    made: usize,
    kept: usize,
    repeated: usize,
    refused: usize,
    reasons: BTreeMap<&'static str, u64>,
    findings: Vec<Line>,
    /// Posters in the folder that this table does not confirm.
    leftover: Vec<String>,
    dry_run: bool,
}

struct Batch<'b> {
    api: Api,
    site: Site,
    out: &'b Path,
    dry_run: bool,
}

impl Batch<'_> {
    fn run(&self, context: &Context, table: &Path) -> Result<()> {
        let source = Opened::of(table, &context.out)?;
        let rows = read(source.input()?, &Limits::default())?;
        source.done();
        if !self.dry_run {
            create_dir(self.out)?;
        }
        let bar = context.out.progress(rows.len() as u64, "Плакаты", "Posters");
        let seen = Mutex::new(BTreeSet::new());
        let lines: Vec<Line> = rows
            .par_iter()
            .map(|row| {
                let line = self.row(&context.out, row, &seen);
                bar.inc(1);
                line
            })
            .collect::<Result<_>>()?;
        bar.finish_and_clear();
        if !self.dry_run {
            write_private(&self.out.join(REPORT), &csv_table(report(&lines))?)?;
        }
        let count = |outcome| lines.iter().filter(|l| l.outcome == outcome).count();
        let mut reasons = BTreeMap::new();
        for code in lines.iter().filter_map(|l| l.code) {
            *reasons.entry(code).or_default() += 1;
        }
        let summary = Summary {
            rows: lines.len(),
            made: count(Outcome::Made),
            kept: count(Outcome::Kept),
            repeated: count(Outcome::Repeated),
            refused: count(Outcome::Refused),
            reasons,
            leftover: self.leftover(&lines),
            findings: lines.into_iter().filter(|l| l.code.is_some()).collect(),
            dry_run: self.dry_run,
        };
        context.out.result(&summary, |out| print(out, &summary));
        if !self.dry_run {
            let report = self.out.join(REPORT);
            context.out.next(
                &[&format!("что стало с каждой строкой: {}", report.display())],
                &[&format!("what became of each row: {}", report.display())],
            );
        }
        Ok(())
    }

    /// One row. An error ends the batch: the node does not answer, or the disk is full; the same command then goes on.
    fn row(&self, out: &Output, row: &PosterRow, seen: &Mutex<BTreeSet<ChatNumber>>) -> Result<Line> {
        let mut line = Line {
            row: row.row,
            place: row.place.clone(),
            chat: None,
            check_code: None,
            outcome: Outcome::Refused,
            code: None,
            reason: String::new(),
            remedy: String::new(),
            detail: String::new(),
        };
        match self.poster(row, seen, &mut line) {
            Ok(None) => return Ok(line),
            Ok(Some(note)) => say(out, &mut line, &note),
            Err(e) if e.code().starts_with("poster.") => say(out, &mut line, &e),
            Err(e) => return Err(e.at(format!("row {}", row.row))),
        }
        Ok(line)
    }

    /// Makes the poster where it is due; gives what is worth a look.
    fn poster(&self, row: &PosterRow, seen: &Mutex<BTreeSet<ChatNumber>>, line: &mut Line) -> Result<Option<Error>> {
        let (link, house) = row.value.as_ref().map_err(Clone::clone)?;
        let facts = facts(&self.api, link, None, house.as_ref())?;
        line.chat = Some(facts.chat);
        if line.place.is_empty() {
            line.place = facts.address().to_owned();
        }
        // Poisoned only where another row's thread panicked, which ends the batch anyway.
        let first = seen.lock().map_or(true, |mut seen| seen.insert(facts.chat));
        if !first {
            line.outcome = Outcome::Repeated;
            return Ok(None);
        }
        let poster = Poster::new(&facts, link, &self.site);
        line.check_code = Some(poster.code().to_string());
        let path = self.out.join(Poster::file_name(facts.chat));
        let there = read_optional(&path, MAX_POSTER).is_ok_and(|file| file.is_some_and(|file| poster.is_in(&file)));
        if there {
            line.outcome = Outcome::Kept;
        } else {
            let page = poster.render()?;
            if !self.dry_run {
                write_private(&path, &page)?;
            }
            line.outcome = Outcome::Made;
        }
        Ok(facts.contested.then(|| contested(facts.chat)))
    }

    /// Posters in the folder that no row was made or kept for: of chats that left the table or are official no more.
    fn leftover(&self, lines: &[Line]) -> Vec<String> {
        let due: BTreeSet<ChatNumber> =
            lines.iter().filter(|l| l.outcome != Outcome::Refused).filter_map(|l| l.chat).collect();
        let files = std::fs::read_dir(self.out).into_iter().flatten().flatten();
        let names = files.map(|f| f.file_name().to_string_lossy().into_owned());
        let mut left: Vec<String> =
            names.filter(|n| Poster::of_file_name(n).is_some_and(|chat| !due.contains(&chat))).collect();
        left.sort();
        left
    }
}

fn say(out: &Output, line: &mut Line, e: &Error) {
    let (reason, remedy) = explain(out, e);
    (line.code, line.reason, line.remedy, line.detail) = (Some(e.code()), reason, remedy, e.detail().to_owned());
}

/// Header and rows of the report: which file is which house's, and what was refused.
fn report(lines: &[Line]) -> impl Iterator<Item = Vec<String>> {
    let head = ["строка", "дом", "чат", "код проверки", "файл", "итог", "причина", "что сделать"].map(str::to_owned);
    let rows = lines.iter().map(|l| {
        let chat = l.chat.map(|c| c.to_string()).unwrap_or_default();
        let file = l.chat.filter(|_| l.outcome != Outcome::Refused).map(Poster::file_name).unwrap_or_default();
        let outcome = match l.outcome {
            Outcome::Made => "готов",
            Outcome::Kept => "был и не изменился",
            Outcome::Repeated => "тот же чат, что в другой строке",
            Outcome::Refused => "отказ",
        };
        let code = l.check_code.clone().unwrap_or_default();
        vec![
            l.row.to_string(),
            l.place.clone(),
            chat,
            code,
            file,
            outcome.to_owned(),
            l.reason.clone(),
            l.remedy.clone(),
        ]
    });
    std::iter::once(head.to_vec()).chain(rows)
}

fn print(out: &Output, s: &Summary) {
    let head = [
        out.say("Строк", "Rows"),
        out.say("Готово", "Made"),
        out.say("Без изменений", "Unchanged"),
        out.say("Повторов", "Repeated"),
        out.say("Отказано", "Refused"),
    ];
    out.table(&head, [[s.rows, s.made, s.kept, s.repeated, s.refused].map(|n| n.to_string()).to_vec()]);
    for (code, n) in &s.reasons {
        out.line(&format!("  {code}: {n}"));
    }
    for f in s.findings.iter().take(SHOWN) {
        let (row, code) = (out.say("строка", "row"), f.code.unwrap_or_default());
        out.line(&format!("  {row} {} {}: [{code}] {} ({})", f.row, f.place, f.reason, f.detail));
        out.line(&format!("    {}: {}", out.say("что сделать", "what to do"), f.remedy));
    }
    if s.findings.len() > SHOWN {
        let rest = s.findings.len() - SHOWN;
        out.line(&out.pick(format!("  … и ещё {rest}"), format!("  … and {rest} more")));
    }
    if !s.leftover.is_empty() {
        let names = s.leftover.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        out.line(&out.pick(
            format!(
                "В каталоге есть плакаты, которых эта таблица не подтверждает ({}): {names}. Не вешайте их.",
                s.leftover.len()
            ),
            format!(
                "The folder has posters that this table does not confirm ({}): {names}. Do not hang them up.",
                s.leftover.len()
            ),
        ));
    }
}
