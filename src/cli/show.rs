//! `domovoi show` and `domovoi verify`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Context;
use super::api::Api;
use super::output::{Output, moment};
use crate::error::Result;
use crate::registry::link::{LinkDigest, canonical_link};
use crate::registry::text::Day;

/// As of, known at.
#[derive(Debug, Args, Clone, Default)]
pub struct WhenArgs {
    #[arg(long, help = "На какой день, ГГГГ-ММ-ДД")]
    as_of: Option<Day>,
    #[arg(long, help = "По тому, что было записано к этому дню (включительно), ГГГГ-ММ-ДД")]
    known_at: Option<Day>,
}

impl WhenArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let as_of = self.as_of.map(|d| ("as_of", d.to_string()));
        let known_at = self.known_at.map(|d| ("known_at", d.to_string()));
        as_of.into_iter().chain(known_at).collect()
    }
}

/// Shows one subject.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Show {
    #[command(about = "Чат по номеру реестра")]
    Chat(One),
    #[command(about = "Дом по идентификатору")]
    Building(One),
    #[command(about = "Орган-владелец")]
    Authority(One),
    #[command(about = "Организация (УК, ТСЖ)")]
    Organisation(One),
    #[command(about = "История: chat:…, building:…, authority:…, key:…, organisation:…, bot:…")]
    History(One),
}

/// One subject at one moment.
#[derive(Debug, Args)]
pub struct One {
    #[arg(help = "Идентификатор")]
    id: String,
    #[command(flatten)]
    when: WhenArgs,
}

impl Show {
    /// Asks the node and prints.
    pub fn run(&self, context: &Context) -> Result<()> {
        let api = Api::new(context)?;
        let get = |kind: &str, one: &One| api.get::<Value>(&format!("{kind}/{}", one.id), &one.when.query());
        match self {
            Show::Chat(one) => {
                let v = get("chats", one)?;
                context.out.result(&v, |out| chat(out, &v));
                let history = format!("domovoi show history chat:{}", one.id);
                context.out.next(&[&history], &[&history]);
            }
            Show::Building(one) => {
                let v = get("buildings", one)?;
                context.out.result(&v, |out| building(out, &v));
            }
            Show::Authority(one) => fields(
                context,
                &get("authorities", one)?,
                &["authority", "name", "oktmo", "suspended", "successor", "chats"],
            ),
            Show::Organisation(one) => {
                fields(context, &get("organisations", one)?, &["organisation", "also", "names", "building_count"])
            }
            Show::History(one) => {
                let mut query = one.when.query();
                query.push(("subject", one.id.clone()));
                let v: Value = api.get("history", &query)?;
                context.out.result(&v, |out| {
                    let head = [
                        out.say("№", "no."),
                        out.say("Записано", "Recorded"),
                        out.say("Действует с", "Effective"),
                        out.say("Тип", "Type"),
                        out.say("Содержание", "Body"),
                    ];
                    let rows = v["items"].as_array().into_iter().flatten().map(|i| {
                        vec![
                            i["index"].to_string(),
                            moment(i["recorded_at"].as_u64().unwrap_or(0)),
                            text(&i["effective_from"]),
                            text(&i["type"]),
                            i["body"].to_string(),
                        ]
                    });
                    out.table(&head, rows);
                });
            }
        }
        Ok(())
    }
}

fn text(v: &Value) -> String {
    match v {
        Value::Null => "—".into(),
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn fields(context: &Context, v: &Value, names: &[&str]) {
    context.out.result(v, |out| {
        for name in names {
            out.line(&format!("{name}: {}", text(&v[*name])));
        }
        freshness(out, &v["freshness"]);
    });
}

fn freshness(out: &Output, v: &Value) {
    let (log, size, time) = (text(&v["log"]), v["size"].to_string(), moment(v["committed_at"].as_u64().unwrap_or(0)));
    let stale = if v["stale"] == true { out.say(" УСТАРЕЛО", " STALE") } else { "" };
    out.line(&out.pick(
        format!("Источник: журнал {log}, записей {size}, последняя {time}.{stale}"),
        format!("Source: log {log}, {size} entries, last one {time}.{stale}"),
    ));
}

fn chat(out: &Output, v: &Value) {
    out.line(&format!("{} «{}»", text(&v["chat"]), text(&v["title"])));
    out.line(&format!(
        "{}: {} {} {}",
        out.say("Статус", "Status"),
        text(&v["status"]),
        out.say("с", "since"),
        text(&v["status_since"])
    ));
    out.line(&format!(
        "{}: {} ({}) {} {}",
        out.say("Владелец", "Owner"),
        text(&v["owner_name"]),
        text(&v["owner"]),
        out.say("с", "since"),
        text(&v["owner_since"])
    ));
    for a in v["administrators"].as_array().into_iter().flatten() {
        let state = match (a["active"] == true, a["lapsed"] == true) {
            (true, _) => out.say("действует", "in force"),
            (_, true) => out.say("прекратилось: больше не управляет домом", "lapsed: no longer manages the house"),
            _ => out.say("не действует", "not in force"),
        };
        out.line(&format!(
            "{}: {} ({}) {} {} — {state}",
            out.say("Администратор", "Administrator"),
            text(&a["name"]),
            text(&a["organisation"]),
            out.say("с", "since"),
            text(&a["from"])
        ));
    }
    for b in v["buildings"].as_array().into_iter().flatten() {
        building(out, b);
    }
    for f in v["imitations"].as_array().into_iter().flatten() {
        let what = out.say("Подделка", "Imitation");
        out.line(&format!("{what}: {} ({})", text(&f["imitation"]), text(&f["certainty"])));
    }
    objections(out, v);
    if let Some(code) = v["check_code"].as_str() {
        out.line(&format!("{}: {code}", out.say("Код проверки на плакате", "Check code of its poster")));
    }
    let checked = &v["last_checked_in_max"];
    let seen = if checked.is_null() {
        out.say("не проверялось", "not checked").to_owned()
    } else {
        checked.to_string()
    };
    out.line(&format!("{}: {seen}", out.say("Последняя проверка в MAX", "Last checked in MAX")));
}

/// Open objections, and records that a compromised key signed.
fn objections(out: &Output, v: &Value) {
    for o in v["objections"].as_array().into_iter().flatten().filter(|o| o["open"] == true) {
        let what = out.say("Возражение не рассмотрено", "Open objection");
        out.line(&format!("{what}: {} {}", text(&o["number"]), text(&o["date"])));
    }
    for record in v["suspect"].as_array().into_iter().flatten() {
        let what = out.say("Под сомнением (ключ скомпрометирован)", "Suspect (compromised key)");
        out.line(&format!("{what}: {}", text(record)));
    }
}

fn building(out: &Output, v: &Value) {
    out.line(&format!(
        "{}: {} ({}, {} {})",
        out.say("Дом", "Building"),
        text(&v["address"]),
        text(&v["building"]),
        "ОКТМО",
        text(&v["oktmo"])
    ));
    for m in v["managements"].as_array().into_iter().flatten() {
        let mark = if m["holds"] == true { "●" } else { "○" };
        let since = match m["from"].as_str() {
            Some(from) => from.to_owned(),
            None => out.pick(
                format!("не позднее {}", text(&m["observed"])),
                format!("{} at the latest", text(&m["observed"])),
            ),
        };
        out.line(&format!(
            "  {mark} {} ({}) {} {since} {} {}",
            text(&m["name"]),
            text(&m["organisation"]),
            out.say("с", "from"),
            out.say("по", "to"),
            text(&m["to"])
        ));
    }
    if v["contested"] == true {
        out.line(out.say("  Управление оспаривается: периоды пересекаются", "  Contested: managements overlap"));
    }
    if !v["retired"].is_null() {
        let what = out.say("  Снят с учёта", "  Left the register");
        out.line(&format!("{what}: {} → {}", text(&v["retired"]["from"]), text(&v["retired"]["into"])));
    }
    if v["chat_required"]["required"] == false {
        out.line(out.say("  Чат не обязателен", "  No chat is required"));
    }
    objections(out, v);
    freshness(out, &v["freshness"]);
}

/// Is this chat official?
#[derive(Debug, Args)]
pub struct Verify {
    #[arg(
        help = "Ссылка, номер чата в реестре, max:…, идентификатор дома, @бот или файл с доказательством либо досье"
    )]
    what: String,
    #[arg(long, help = "Для какого дома спрашивают (идентификатор)")]
    building: Option<String>,
    #[arg(
        long,
        conflicts_with_all = ["private", "nowhere"],
        help = "Как называется этот чат: сравнить с названиями официальных"
    )]
    title: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Устав федерации, полученный не от этого узла; для файла — все версии, от старой к новой (по умолчанию из каталога данных)"
    )]
    charter: Vec<PathBuf>,
    #[arg(long, help = "Ключ того, кто должен был заверить файл: имя+номер+ключ")]
    cosigner: Vec<String>,
    #[arg(long, conflicts_with_all = ["building", "as_of", "known_at"],
        help = "Не сообщать узлу, какая ссылка проверяется: ответ проверяется здесь по уставу федерации")]
    private: bool,
    #[arg(long, conflicts_with_all = ["private", "building", "as_of", "known_at"],
        help = "Доказать, что этого нет ни в одном регионе федерации (узел узнаёт, о чём речь)")]
    nowhere: bool,
    #[command(flatten)]
    when: WhenArgs,
}

impl Verify {
    /// Asks the node. A join link is hashed here: the node learns its digest, never the link.
    pub fn run(&self, context: &Context) -> Result<()> {
        let what = self.what.trim();
        if super::prove::is_proof(Path::new(what)) {
            return super::prove::verify_file(context, Path::new(what), &self.charter, &self.cosigner);
        }
        if super::dossier::is_dossier(Path::new(what)) {
            return super::dossier::verify_file(context, Path::new(what), &self.charter, &self.cosigner);
        }
        if self.private {
            return super::private::check(context, what, &self.charter);
        }
        if self.nowhere {
            let name = match what.parse::<crate::registry::ids::ChatNumber>() {
                Ok(number) => format!("chat:{number}"),
                Err(_) if what.starts_with('@') => format!("bot:{what}"),
                Err(_) => match what.parse::<crate::registry::ids::BuildingId>() {
                    Ok(id) => format!("building:{id}"),
                    Err(_) => format!("link:{}", LinkDigest::of_link(&canonical_link(what)?)),
                },
            };
            return super::private::nowhere(context, &name.parse()?, &self.charter);
        }
        let mut query = self.when.query();
        query.push(match what.split_once(':') {
            Some(("max", _)) => ("max", what.to_owned()),
            Some(("gar" | "gis" | "kad" | "reformagkh", _)) => ("building", what.to_owned()),
            _ if what.starts_with('@') => ("bot", what.to_owned()),
            _ if what.parse::<crate::registry::ids::ChatNumber>().is_ok() => ("chat", what.to_owned()),
            _ => ("digest", LinkDigest::of_link(&canonical_link(what)?).to_string()),
        });
        if let Some(building) = &self.building {
            query.push(("for_building", building.clone()));
        }
        if let Some(title) = &self.title {
            query.push(("title", title.clone()));
        }
        let v: Value = Api::new(context)?.get("verify", &query)?;
        let lang = context.out.say("ru", "en");
        context.out.result(&v, |out| {
            out.line(&format!("[{}] {}", text(&v["state"]), text(&v["text"][lang])));
            for said in ["recorded", "checked_in_max"] {
                if !v[said].is_null() {
                    out.line(&text(&v[said][lang]));
                }
            }
            for note in v["notes"].as_array().into_iter().flatten() {
                out.line(&format!("! {}", text(&note[lang])));
            }
            for e in v["evidence"].as_array().into_iter().flatten() {
                let (subject, log, index) = (text(&e["subject"]), text(&e["log"]), text(&e["index"]));
                out.line(&format!("{} {subject} ({log}, {index})", out.say("Запись:", "Record:")));
            }
            out.line(&text(&v["advice"][lang]));
            for c in v["chats"].as_array().into_iter().flatten() {
                out.line("");
                chat(out, c);
            }
        });
        Ok(())
    }
}
