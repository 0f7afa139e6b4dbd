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
use crate::node::cosigner_keys::{self, Role};
use crate::node::layout::Layout;
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
    #[command(about = "Создать ключи, которыми узел заверяет чужие журналы: свидетеля, зеркала, проверяющего")]
    Cosigner(CosignerKey),
    #[command(about = "Перечислить всё, что подписал ключ: после его утраты или кражи")]
    Signed(Signed),
}

/// Keys of this node as a cosigner.
#[derive(Debug, Args)]
pub struct CosignerKey {
    #[arg(long, help = "Имя, с которого начинаются имена ключей (по умолчанию — имя журнала или хост узла)")]
    name: Option<String>,
    #[arg(long, help = "Ещё и ключ свидетеля ML-DSA-44, стойкий к квантовым компьютерам")]
    pq: bool,
    #[arg(long, help = "Новые ключи свидетеля взамен старых; что он заверил раньше, забывается")]
    replace: bool,
}

/// What a key signed.
#[derive(Debug, Args)]
pub struct Signed {
    // A key, and what stands for one, is base64url: one in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true, help = "Отпечаток ключа, как его печатает domovoi key show")]
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
        // As the revocation says it; the list of changes does not.
        let revoked = all.iter().filter(|r| r.r#type == "key.revoked" && r.body["key"] == kid.as_str());
        let suspect_from = revoked.filter_map(|r| r.body["suspect_from"].as_u64()).min().unwrap_or(u64::MAX);
        let signed = all.iter().filter(|r| r.index >= self.since && r.signers.contains(&kid));
        let rows: Vec<_> = signed
            .map(|r| {
                let superseded = undone.contains(r.id.as_str());
                json!({ "index": r.index, "id": r.id, "type": r.r#type, "recorded_at": r.recorded_at,
                    "batch": r.batch, "suspect": r.index >= suspect_from, "superseded": superseded })
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
            Key::Cosigner(c) => return c.run(context),
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

impl CosignerKey {
    fn run(&self, context: &Context) -> Result<()> {
        let config = context.config()?;
        let layout = Layout::new(&config.node.data_dir);
        let base = match &self.name {
            Some(name) => name.clone(),
            None => base_name(&layout, config.node.public_url.as_deref())?,
        };
        let passphrase = passphrase(context, true)?;
        if self.replace {
            cosigner_keys::set_aside(&layout)?;
        }
        let roles = Role::ALL.into_iter().filter(|role| self.pq || *role != Role::WitnessPq);
        let made: Vec<(Role, String)> = roles
            .map(|role| Ok((role, cosigner_keys::make(&layout, role, &base, &passphrase)?.to_string())))
            .collect::<Result<_>>()?;
        let value: serde_json::Map<String, serde_json::Value> =
            made.iter().map(|(role, vkey)| (role.file().to_owned(), vkey.clone().into())).collect();
        context.out.result(&value, |out| made.iter().for_each(|(_, vkey)| out.line(vkey)));
        context.out.next(
            &["перезапустите узел: domovoi serve", "передайте эти строки федерации: их назовёт её устав"],
            &["restart the node: domovoi serve", "give these lines to the federation: its charter will name them"],
        );
        Ok(())
    }
}

/// What the names of a node's cosigners begin with.
fn base_name(layout: &Layout, public_url: Option<&str>) -> Result<String> {
    if layout.has_own_log() {
        return layout.origin();
    }
    if layout.federation().has_own_log() {
        return layout.federation().origin();
    }
    let host = public_url.and_then(|url| reqwest::Url::parse(url).ok());
    host.and_then(|url| url.host_str().map(str::to_owned)).ok_or_else(|| {
        Error::refuse("key.name", "this node has no log and no node.public_url", "name the cosigner: --name")
    })
}
