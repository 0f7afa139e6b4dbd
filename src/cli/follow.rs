//! `domovoi follow`: adds a node to follow, or shows how the followed logs stand.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::Context;
use super::api::Api;
use super::output::moment;
use crate::error::{Error, Result};
use crate::storage::durable::{read_bounded, write_atomic};
use crate::sync::client::Peer;
use crate::sync::follower::fetch_charter;

/// Follows a node.
#[derive(Debug, Args)]
pub struct Follow {
    #[arg(help = "Адрес узла; без него — состояние")]
    url: Option<String>,
    #[arg(long, help = "Короткое имя")]
    name: Option<String>,
    #[arg(long, help = "SHA-256 устава, полученный от региона другим путём")]
    charter_sha256: Option<String>,
    #[arg(long, help = "Файл PEM, которому доверять (сертификат для разработки того узла)")]
    peer_ca: Option<PathBuf>,
}

impl Follow {
    /// Adds the section to the configuration, or prints the status.
    pub fn run(&self, context: &Context) -> Result<()> {
        match &self.url {
            None => status(context),
            Some(url) => self.add(context, url.trim_end_matches('/')),
        }
    }

    fn add(&self, context: &Context, url: &str) -> Result<()> {
        let ca = self.peer_ca.as_ref().map(|p| read_bounded(p, 1 << 20)).transpose()?;
        let peer = Peer::new(url, ca.as_deref())?;
        let (charter, _) = super::api::runtime()?.block_on(fetch_charter(&peer, self.charter_sha256.as_deref()))?;
        let sha = charter.sha256().to_string();
        if self.charter_sha256.is_none() {
            return Err(Error::refuse(
                "follow.pin",
                format!("the node at {url} serves the charter {sha}"),
                "compare that SHA-256 with the one the region gave you another way, then repeat with --charter-sha256",
            ));
        }
        let config = context.config()?;
        let file = context.common.config.clone().unwrap_or_else(|| context.common.data.join("domovoi.toml"));
        let mut text = String::from_utf8(read_bounded(&file, 1 << 20)?)
            .map_err(|_| Error::refuse("config.file", format!("{} is not UTF-8", file.display()), "repair the file"))?;
        if config.follow.iter().any(|f| f.url == url) {
            return Err(Error::refuse("follow.known", format!("{url} is followed already"), "see «domovoi follow»"));
        }
        let name = self.name.clone().unwrap_or_else(|| format!("region-{}", config.follow.len() + 1));
        text.push_str(&format!("\n[[follow]]\nname = \"{name}\"\nurl = \"{url}\"\ncharter_sha256 = \"{sha}\"\n"));
        if let Some(ca) = &self.peer_ca {
            let path = std::path::absolute(ca).unwrap_or_else(|_| ca.clone());
            text.push_str(&format!("ca = {}\n", toml::Value::from(path.display().to_string())));
        }
        // What would not load is not written.
        crate::node::config::Config::from_layers(&text, &file, &[], &[])?;
        write_atomic(&file, text.as_bytes())?;
        let logs: Vec<String> = charter.regions().iter().map(|r| r.origin.to_string()).collect();
        context.out.result(
            &serde_json::json!({ "name": name, "url": url, "charter_sha256": sha, "logs": logs }),
            |out| {
                out.line(&out.pick(
                    format!("Узел «{name}» добавлен: {}", logs.join(", ")),
                    format!("The node «{name}» was added: {}", logs.join(", ")),
                ));
            },
        );
        context.out.next(
            &["перезапустите узел (domovoi serve) или пошлите ему SIGHUP", "domovoi follow — состояние"],
            &["restart the node (domovoi serve) or send it SIGHUP", "domovoi follow — status"],
        );
        Ok(())
    }
}

fn status(context: &Context) -> Result<()> {
    let v: Value = Api::new(context)?.get("federation", &[])?;
    context.out.result(&v, |out| {
        let head = [
            out.say("Узел", "Node"),
            out.say("Журнал", "Log"),
            out.say("Записей", "Entries"),
            out.say("Последний успех", "Last success"),
            out.say("Состояние", "State"),
        ];
        let rows = v["members"].as_array().into_iter().flatten().map(|m| {
            let state = match m["standing"].as_str().unwrap_or_default() {
                "held" => {
                    let code = m["status"]["held"]["code"].as_str().unwrap_or_default();
                    out.pick(format!("ОСТАНОВЛЕН: {code}"), format!("HELD: {code}"))
                }
                "frozen" => out.say("узел отстаёт", "kept back").to_owned(),
                "stale" => out.say("устарел", "stale").to_owned(),
                "unreachable" => match m["status"]["via"]["url"].as_str() {
                    Some(url) => out.pick(format!("нет связи, копия с {url}"), format!("unreachable, copy of {url}")),
                    None => out.say("нет связи", "unreachable").to_owned(),
                },
                "awaited" => out.say("ожидается", "awaited").to_owned(),
                _ => out.say("в порядке", "fine").to_owned(),
            };
            let text = |v: &Value| v.as_str().unwrap_or("—").to_owned();
            let seen = m["status"]["last_success"].as_u64().map_or("—".to_owned(), moment);
            vec![
                text(&m["status"]["name"]),
                text(&m["freshness"]["log"]),
                m["freshness"]["size"].to_string(),
                seen,
                state,
            ]
        });
        out.table(&head, rows);
        for m in v["members"].as_array().into_iter().flatten() {
            for key in ["detail", "evidence"] {
                if let Some(text) = m["status"]["held"][key].as_str() {
                    out.line(&format!("{}: {text}", m["freshness"]["log"].as_str().unwrap_or("")));
                }
            }
        }
    });
    Ok(())
}
