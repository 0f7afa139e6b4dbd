//! `domovoi search`: a building by its address.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::api::Api;
use crate::error::Result;

/// Which building is meant?
#[derive(Debug, Args)]
pub struct Search {
    #[arg(required = true, help = "Адрес, как его пишут: «ленина 5к2», «пр-т Ленина, д. 5, корп. 2»")]
    text: Vec<String>,
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=20), help = "Сколько домов показать, до 20")]
    limit: u8,
}

impl Search {
    /// Asks the node, which learns what is looked for.
    pub fn run(&self, context: &Context) -> Result<()> {
        let query = [("q", self.text.join(" ")), ("limit", self.limit.to_string())];
        let found: Value = Api::new(context)?.get("search", &query)?;
        context.out.result(&found, |out| {
            let rows = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let yes = |v: &Value| out.say(if *v == true { "да" } else { "нет" }, if *v == true { "yes" } else { "no" });
            let address = |row: &Value| match row["active"] == true {
                true => text(&row["address"]),
                false => format!("{} ({})", text(&row["address"]), out.say("снят с учёта", "no longer registered")),
            };
            if rows.is_empty() {
                out.line(out.say("Такого дома нет", "There is no such building"));
            } else {
                let head = ["Дом", "Адрес", "Регион", "Есть чат"];
                let head_en = ["Building", "Address", "Region", "Has a chat"];
                let row = |r: &Value| {
                    vec![text(&r["building"]), address(r), text(&r["region"]), yes(&r["has_chat"]).to_owned()]
                };
                out.table(if out.is_english() { &head_en } else { &head }, rows.iter().map(row));
            }
            let pending = found["pending"].as_array().map_or(0, Vec::len);
            if pending > 0 {
                out.line(&out.pick(
                    format!("Ещё не просмотрены журналы: {pending}"),
                    format!("Logs not searched yet: {pending}"),
                ));
            }
        });
        Ok(())
    }
}
