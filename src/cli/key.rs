//! `domovoi key`: makes keys for further operators and authorities, shows what a key file holds, and lists what a key
//! signed.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::api::Api;
use super::output::moment;
use super::undo::everything;
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::registry::ids::KeyThumb;
use crate::registry::signature::PublicKey;
use crate::storage::keys;

/// Keys.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Key {
    #[command(about = "Создать ключ")]
    New(KeyFile),
    #[command(about = "Показать открытую часть ключа")]
    Show(KeyFile),
    #[command(about = "Перечислить всё, что подписал ключ: после его утраты или кражи")]
    Signed(Signed),
}

/// What a key signed.
#[derive(Debug, Args)]
pub struct Signed {
    #[arg(help = "Отпечаток ключа, как его печатает domovoi key show")]
    kid: KeyThumb,
    #[arg(long, value_name = "INDEX", default_value_t = 0, help = "Начиная с этой записи журнала")]
    since: u64,
}

impl Signed {
    fn run(&self, context: &Context) -> Result<()> {
        let kid = self.kid.to_string();
        let all = everything(&Api::new(context)?, context)?;
        let undone: HashSet<&str> =
            all.iter().filter(|r| r.r#type == "record.superseded").filter_map(|r| r.body["record"].as_str()).collect();
        let signed = all.iter().filter(|r| r.index >= self.since && r.signers.contains(&kid));
        let rows: Vec<_> = signed
            .map(|r| {
                let superseded = undone.contains(r.id.as_str());
                json!({ "index": r.index, "id": r.id, "type": r.r#type, "recorded_at": r.recorded_at,
                    "batch": r.batch, "suspect": r.suspect, "superseded": superseded })
            })
            .collect();
        let value = json!({ "key": kid, "since": self.since, "records": rows });
        context.out.result(&value, |out| {
            out.line(
                &out.pick(format!("Записей подписано: {}", rows.len()), format!("Records signed: {}", rows.len())),
            );
            let head = match out.is_english() {
                true => ["No.", "Type", "Recorded", "Batch", "Suspect", "Taken back", "Id"],
                false => ["№", "Вид", "Внесена", "Партия", "Под сомнением", "Отменена", "Запись"],
            };
            let mark = |v: &Value| if v == true { "✓".to_owned() } else { String::new() };
            let row = |r: &Value| {
                let text = |k: &str| r[k].as_str().unwrap_or_default().to_owned();
                let at = moment(r["recorded_at"].as_u64().unwrap_or_default());
                vec![
                    r["index"].to_string(),
                    text("type"),
                    at,
                    text("batch"),
                    mark(&r["suspect"]),
                    mark(&r["superseded"]),
                    text("id"),
                ]
            };
            out.table(&head, rows.iter().map(row));
        });
        let since = self.since;
        context.out.next(
            &[
                &format!("domovoi record key.revoked key={kid} reason=compromised suspect_from={since} --key keys/region-root.pem"),
                &format!("domovoi undo --signed-by {kid} --since {since} --dry-run — что будет отменено"),
            ],
            &[
                &format!("domovoi record key.revoked key={kid} reason=compromised suspect_from={since} --key keys/region-root.pem"),
                &format!("domovoi undo --signed-by {kid} --since {since} --dry-run — what will be taken back"),
            ],
        );
        Ok(())
    }
}

/// A key file.
#[derive(Debug, Args)]
pub struct KeyFile {
    #[arg(help = "Файл ключа (PKCS#8, зашифрованный)")]
    file: PathBuf,
}

impl Key {
    /// Makes or opens the key and prints its public half.
    pub fn run(&self, context: &Context) -> Result<()> {
        let (file, key) = match self {
            Key::Signed(s) => return s.run(context),
            Key::New(k) if k.file.exists() => {
                return Err(Error::refuse("key.exists", format!("{} exists", k.file.display()), "choose another file"));
            }
            Key::New(k) => {
                let key = keys::generate();
                keys::write_encrypted(&k.file, &key, &passphrase(context, true)?)?;
                (&k.file, key)
            }
            Key::Show(k) => (&k.file, keys::read(&k.file, &passphrase(context, true)?)?),
        };
        let public = PublicKey::of(&key);
        let bytes = data_encoding::BASE64URL_NOPAD.encode(&public.to_bytes());
        let value = serde_json::json!({ "file": file, "key": bytes, "thumbprint": public.thumb().to_string() });
        context.out.result(&value, |out| {
            out.line(&out.pick(format!("Открытый ключ: {bytes}"), format!("Public key: {bytes}")));
            out.line(&out.pick(format!("Отпечаток: {}", public.thumb()), format!("Thumbprint: {}", public.thumb())));
        });
        let grant = format!(
            "domovoi record key.granted key={bytes} authority=ogrn:… \"scopes=*\" oktmo=… not_before=2026-01-01 not_after=2036-01-01 --key keys/region-root.pem"
        );
        context.out.next(&[&grant], &[&grant]);
        Ok(())
    }
}
