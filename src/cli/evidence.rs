//! `domovoi evidence`: what a node keeps against logs that broke their word, and what a file of it proves.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::api::Api;
use super::output::moment;
use super::prove::trusted;
use crate::error::{Error, Result};
use crate::federation::evidence::{Evidence as File, Finding, MAX_EVIDENCE};
use crate::node::standing::proved;
use crate::storage::durable::{read_bounded, write_atomic};

/// Evidence against logs.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Evidence {
    #[command(about = "Перечислить свидетельства, которые хранит узел")]
    List(List),
    #[command(about = "Показать свидетельство словами")]
    Show(Named),
    #[command(about = "Проверить файл свидетельства без сети: что доказано и о ком")]
    Verify(Verify),
    #[command(about = "Сохранить свидетельство в файл, чтобы передать другим")]
    Export(Export),
}

/// Lists.
#[derive(Debug, Args)]
pub struct List {
    #[arg(long, help = "Имя журнала; без него — всех журналов")]
    log: Option<String>,
}

/// One piece of evidence at a node.
#[derive(Debug, Args)]
pub struct Named {
    #[arg(help = "Имя журнала")]
    log: String,
    #[arg(help = "Имя свидетельства из «domovoi evidence list»")]
    name: String,
}

/// Verifies.
#[derive(Debug, Args)]
pub struct Verify {
    #[arg(help = "Файл свидетельства")]
    file: PathBuf,
    #[arg(
        long,
        help = "Устав, которому доверять, и его следующие версии по порядку; без него — устав из каталога данных"
    )]
    charter: Vec<PathBuf>,
}

/// Saves.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    what: Named,
    #[arg(help = "Файл")]
    file: PathBuf,
}

impl Evidence {
    /// Runs one of them.
    pub fn run(&self, context: &Context) -> Result<()> {
        match self {
            Evidence::List(list) => list.run(context),
            Evidence::Show(named) => show(context, &File::decode(&named.fetch(context)?)?),
            Evidence::Verify(verify) => verify.run(context),
            Evidence::Export(export) => export.run(context),
        }
    }
}

impl List {
    fn run(&self, context: &Context) -> Result<()> {
        let log: Vec<_> = self.log.iter().map(|l| ("log", l.clone())).collect();
        let v: Value = Api::new(context)?.get("federation/evidence/list", &log)?;
        context.out.result(&v, |out| {
            let head = [
                out.say("Журнал", "Log"),
                out.say("Причина", "Code"),
                out.say("Когда", "When"),
                out.say("Имя", "Name"),
            ];
            let text = |v: &Value| v.as_str().unwrap_or("—").to_owned();
            let rows = v["evidence"].as_array().into_iter().flatten().map(|e| {
                let when = e["seen_at"].as_u64().filter(|t| *t > 0).map_or("—".to_owned(), moment);
                vec![text(&e["log"]), text(&e["code"]), when, text(&e["name"])]
            });
            out.table(&head, rows);
        });
        Ok(())
    }
}

impl Named {
    fn fetch(&self, context: &Context) -> Result<Vec<u8>> {
        Api::new(context)?.bytes("federation/evidence", &[("log", self.log.clone()), ("name", self.name.clone())])
    }
}

/// What the file says, and which of it is only said.
fn show(context: &Context, e: &File) -> Result<()> {
    context.out.result(e, |out| {
        let why = crate::node::standing::why_held(&e.code, &e.detail);
        out.line(&format!("{} [{}]", out.pick(why.ru, why.en), e.code));
        out.line(&out.pick(format!("Журнал: {}", e.origin), format!("Log: {}", e.origin)));
        let (when, source) = (moment(e.seen_at), &e.source);
        out.line(&out.pick(
            format!("Со слов узла: увидено {when} у {source}: {}", e.detail),
            format!("As the node says: seen {when} at {source}: {}", e.detail),
        ));
        for (note, ru, en) in [
            (&e.accepted_checkpoint, "Принято раньше:", "Accepted before:"),
            (&e.served_checkpoint, "Показано:", "Served:"),
        ] {
            if let Some(note) = note {
                out.line(&format!("{}\n{note}", out.say(ru, en)));
            }
        }
    });
    let next = "domovoi evidence export LOG NAME FILE; domovoi evidence verify FILE";
    context.out.next(&[next], &[next]);
    Ok(())
}

impl Verify {
    fn run(&self, context: &Context) -> Result<()> {
        let evidence =
            File::decode(&read_bounded(&self.file, MAX_EVIDENCE as u64)?).map_err(|e| e.at(self.file.display()))?;
        let finding = evidence.verify(&trusted(context, &self.charter)?).map_err(|e| e.at(self.file.display()))?;
        print(context, &evidence, &finding);
        match finding.is_proof() {
            true => Ok(()),
            // Not an error of the file: whoever asks by the exit code asks whether something is proved.
            false => Err(Error::refuse(
                "evidence.unproved",
                format!("{} proves nothing against anybody by itself", self.file.display()),
                "see above what it shows; keep it, and compare with what other nodes have",
            )),
        }
    }
}

fn print(context: &Context, evidence: &File, finding: &Finding) {
    let words = proved(evidence, finding);
    let value = json!({ "origin": evidence.origin, "code": evidence.code, "proved": finding.is_proof(), "result": finding,
        "text": { "ru": words.ru, "en": words.en } });
    context.out.result(&value, |out| out.line(&out.pick(words.ru.clone(), words.en.clone())));
}

impl Export {
    fn run(&self, context: &Context) -> Result<()> {
        let bytes = self.what.fetch(context)?;
        // What is no evidence is not saved as such.
        File::decode(&bytes)?;
        write_atomic(&self.file, &bytes)?;
        let value = json!({ "file": self.file.display().to_string(), "bytes": bytes.len() });
        context.out.result(&value, |out| out.line(&self.file.display().to_string()));
        let next = format!("domovoi evidence verify \"{}\"", self.file.display());
        context.out.next(&[&next], &[&next]);
        Ok(())
    }
}
