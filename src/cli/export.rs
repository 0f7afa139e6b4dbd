//! `domovoi export snapshot`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use super::api::Api;
use crate::error::{Error, Result};

/// Exports.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Export {
    #[command(about = "Подписанный снимок: все факты журнала, JSON Lines")]
    Snapshot(Snapshot),
}

/// A signed snapshot.
#[derive(Debug, Args)]
pub struct Snapshot {
    #[arg(help = "Файл")]
    file: PathBuf,
    #[arg(long, help = "Имя журнала, если не собственный журнал узла")]
    log: Option<String>,
}

impl Export {
    /// Fetches the snapshot, verifies it and keeps it only if it holds.
    pub fn run(&self, context: &Context) -> Result<()> {
        let Export::Snapshot(s) = self;
        let api = Api::new(context)?;
        let mut url = api.peer().address("api/v1/export/snapshot")?;
        if let Some(log) = &s.log {
            url.query_pairs_mut().append_pair("log", log);
        }
        let folder = s.file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
        let io = |e: std::io::Error| {
            Error::refuse("export.write", format!("{}: {e}", s.file.display()), "choose a file that can be written")
        };
        let net = |e: reqwest::Error| Error::retry("cli.node", e.to_string(), "try again");
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let bar = context.out.progress(0, "Снимок", "Snapshot");
        api.block_on(async {
            let mut answer = api.peer().http().get(url).send().await.map_err(net)?.error_for_status().map_err(net)?;
            while let Some(chunk) = answer.chunk().await.map_err(net)? {
                file.write_all(&chunk).map_err(io)?;
                bar.inc(chunk.len() as u64);
            }
            Ok::<_, Error>(())
        })?;
        bar.finish_and_clear();
        let report = super::inspect::snapshot(file.path())?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(&s.file).map_err(|e| io(e.error))?;
        context.out.result(&report, |out| {
            out.line(&out.pick(
                format!("Снимок проверен и записан: {}", s.file.display()),
                format!("The snapshot was verified and written: {}", s.file.display()),
            ));
            out.line(&report.to_string());
        });
        let show = format!("domovoi inspect {}", s.file.display());
        context.out.next(&[&show], &[&show]);
        Ok(())
    }
}
