//! `domovoi dossier`, and the half of `domovoi verify` that reads one: without a network, by the charters alone.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Context;
use super::api::Api;
use super::output::moment;
use super::prove::{cosigners, missing_cosigner, trusted};
use crate::error::Result;
use crate::federation::dossier::Dossier;
use crate::federation::dossier::archive::{MAX_LEN, is_archive};
use crate::node::dossier::open;
use crate::registry::ids::ChatNumber;
use crate::registry::text::Day;
use crate::storage::durable::{read_bounded, write_atomic};

/// Gets a dossier.
#[derive(Debug, Args)]
pub struct DossierCommand {
    #[arg(help = "Номер чата")]
    chat: ChatNumber,
    #[arg(long, help = "На какой день, ГГГГ-ММ-ДД: сегодня или раньше")]
    as_of: Day,
    #[arg(long, help = "Из какого журнала, если не из того, где чат сейчас")]
    log: Option<String>,
    #[arg(long, help = "Файл; без него — dossier-<номер>-<день>.zip")]
    out: Option<PathBuf>,
}

impl DossierCommand {
    /// Asks the node and saves what verifies.
    pub fn run(&self, context: &Context) -> Result<()> {
        let api = Api::new(context)?;
        let mut query = vec![("as_of", self.as_of.to_string())];
        query.extend(self.log.iter().map(|l| ("log", l.clone())));
        let bytes = api.bytes(&format!("dossiers/{}", self.chat), &query)?;
        let dossier = Dossier::read(&bytes)?;
        // What is saved has been verified once.
        let chain = api.charters(context, &dossier.manifest.log)?;
        let opened = open(&bytes, &chain, &[])?;
        let name = format!("dossier-{}-{}.zip", self.chat, self.as_of).to_lowercase();
        let path = self.out.clone().unwrap_or_else(|| PathBuf::from(name));
        write_atomic(&path, &bytes)?;
        let value = json!({
            "file": path.display().to_string(), "chat": self.chat, "as_of": self.as_of, "bytes": bytes.len(),
            "records": opened.proved.in_order().len(), "log": opened.proved.log, "size": opened.proved.head.size,
        });
        context.out.result(&value, |out| {
            let records = opened.proved.in_order().len();
            out.line(&out.pick(
                format!("Записано: {}, байт: {}, записей журнала: {records}", path.display(), bytes.len()),
                format!("Written: {}, bytes: {}, records of the log: {records}", path.display(), bytes.len()),
            ));
            let next = format!("domovoi verify \"{}\"", path.display());
            out.next(&[&next], &[&next]);
        });
        Ok(())
    }
}

/// True where `path` is a file that begins like a dossier.
pub(super) fn is_dossier(path: &Path) -> bool {
    path.is_file() && read_bounded(path, MAX_LEN as u64).is_ok_and(|bytes| is_archive(&bytes))
}

/// Verifies a dossier in a file, and prints what it proves.
pub(super) fn verify_file(context: &Context, path: &Path, charters: &[PathBuf], keys: &[String]) -> Result<()> {
    let bytes = read_bounded(path, MAX_LEN as u64)?;
    let cosigners = cosigners(keys)?;
    let opened = open(&bytes, &trusted(context, charters)?, &cosigners).map_err(|e| e.at(path.display()))?;
    let p = &opened.proved;
    if let Some(e) = missing_cosigner(&cosigners, &p.status.cosigned) {
        return Err(e);
    }
    let value = json!({
        "file": "dossier", "chat": p.chat, "as_of": p.as_of, "log": p.log, "size": p.head.size, "time": p.head.time,
        "state_of_day": p.then.map(|c| json!({ "size": c.size, "time": c.time })),
        "next_state": p.next.map(|c| json!({ "size": c.size, "time": c.time })),
        "made": opened.made, "signed_by": opened.signer, "records": p.in_order().len(),
        "cosigned": p.status.cosigned, "summary": opened.summary,
    });
    context.out.result(&value, |out| {
        let parts = opened.summary.split_once(&format!("\n\n{}\n\n", "=".repeat(72)));
        let (ru, en) = parts.unwrap_or((&opened.summary, &opened.summary));
        out.line(out.say(ru, en));
        out.line("");
        let (made, at) = (moment(opened.made), moment(p.head.time));
        out.line(&out.pick(
            format!("Досье верно. По состоянию на {at}; составлено узлом {made}, ключ {}.", opened.signer),
            format!("The dossier is good. As of {at}; made by the node at {made}, key {}.", opened.signer),
        ));
        for (name, at) in &p.status.cosigned {
            let at = moment(at.saturating_mul(1000));
            out.line(&out.pick(format!("Заверил {name}: {at}"), format!("Cosigned by {name}: {at}")));
        }
    });
    Ok(())
}
