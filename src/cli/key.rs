//! `domovoi key`: makes keys for further operators and authorities, and shows what a key file holds.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Context, passphrase};
use crate::error::{Error, Result};
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
