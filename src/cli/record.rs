//! `domovoi record`, `sign`, `submit`: one record, made, signed (here or on a machine without a network), handed in.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::api::Api;
use super::drafts::{Frame, body, draft, open_keys, sign};
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::registry::body::TYPES;
use crate::registry::envelope::{Envelope, MAX_PROOF_ENTRY, TYP_RECORD};
use crate::registry::record::{Basis, BasisKind, Record};
use crate::registry::text::{Day, Text};
use crate::storage::durable::{read_bounded, write_atomic};

/// The document a record rests on.
#[derive(Debug, Args, Clone, Default)]
pub struct BasisArgs {
    #[arg(
        long,
        help = "Вид документа-основания: order, decision, contract, regulation, licence_register, dataset, notice, generated"
    )]
    basis: Option<String>,
    #[arg(long, help = "Номер документа")]
    basis_number: Option<String>,
    #[arg(long, help = "Дата документа, ГГГГ-ММ-ДД")]
    basis_date: Option<Day>,
    #[arg(long, help = "Кто издал документ")]
    basis_issuer: Option<String>,
    #[arg(long, help = "Файл документа: в запись попадёт только его SHA-256")]
    basis_file: Option<PathBuf>,
}

impl BasisArgs {
    /// The basis, if one was given.
    pub fn basis(&self) -> Result<Option<Basis>> {
        let Some(kind) = &self.basis else { return Ok(None) };
        let kind: BasisKind = serde_json::from_value(Value::from(kind.as_str())).map_err(|_| {
            Error::refuse("cli.basis", format!("«{kind}» is no kind of document"), "see --help for the kinds")
        })?;
        let text = |t: &Option<String>| t.as_deref().map(Text::normalise).transpose();
        let hash = |p: &PathBuf| read_bounded(p, 256 << 20).map(|b| crate::registry::ids::RecordId(sha256(&b)));
        Ok(Some(Basis {
            kind,
            number: text(&self.basis_number)?,
            date: self.basis_date,
            issuer: text(&self.basis_issuer)?,
            document_sha256: self.basis_file.as_ref().map(hash).transpose()?,
            signature_sha256: None,
        }))
    }
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// One record of any type.
#[derive(Debug, Args)]
pub struct RecordCommand {
    #[arg(help = "Тип записи, например chat.amended; без типа — список типов")]
    r#type: Option<String>,
    #[arg(help = "Поля: имя=значение; списки через запятую")]
    fields: Vec<String>,
    #[arg(long, help = "С какого дня действует, ГГГГ-ММ-ДД")]
    effective_from: Option<Day>,
    #[arg(long, help = "Партия")]
    batch: Option<String>,
    #[command(flatten)]
    basis: BasisArgs,
    #[arg(long = "key", help = "Файл ключа; можно несколько (по умолчанию ключ оператора)")]
    keys: Vec<PathBuf>,
    #[arg(long, help = "Только проверить, ничего не записывать")]
    dry_run: bool,
    #[arg(long, help = "Не подписывать и не подавать: сохранить для подписи на другой машине")]
    out: Option<PathBuf>,
    #[arg(long, default_value_t = 1, help = "Срок подачи, дней")]
    deadline_days: u64,
}

impl RecordCommand {
    /// Makes, signs and submits the record.
    pub fn run(self, context: &Context) -> Result<()> {
        let Some(type_name) = &self.r#type else {
            context.out.result(&TYPES, |out| TYPES.iter().for_each(|t| out.line(t)));
            return Ok(());
        };
        let body = body(type_name, &self.fields)?;
        let api = Api::new(context)?;
        let frame = Frame {
            effective_from: self.effective_from,
            basis: self.basis.basis()?,
            batch: self.batch.as_deref().map(Text::normalise).transpose()?,
            deadline_days: self.deadline_days,
        };
        let draft = draft(&api, body, &frame)?;
        if let Some(out) = &self.out {
            let (record, payload) = Record::encode(draft)?;
            write_atomic(out, &payload)?;
            context
                .out
                .result(&serde_json::json!({ "id": record.id, "file": out }), |o| o.line(&out.display().to_string()));
            let file = out.display();
            context.out.next(
                &[&format!("domovoi sign {file} --key КЛЮЧ --out {file}.jws"), &format!("domovoi submit {file}.jws")],
                &[&format!("domovoi sign {file} --key KEY --out {file}.jws"), &format!("domovoi submit {file}.jws")],
            );
            return Ok(());
        }
        let default = vec![context.config()?.node.data_dir.join("keys/operator.pem")];
        let keys = open_keys(if self.keys.is_empty() { &default } else { &self.keys }, &passphrase(context, true)?)?;
        let (_, envelope) = sign(draft, &keys)?;
        let outcomes = api.submit(&[envelope], self.dry_run)?;
        print_outcomes(context, &outcomes)
    }
}

/// Prints outcomes; an error when one was refused.
pub fn print_outcomes(context: &Context, outcomes: &[Value]) -> Result<()> {
    let text = |v: &Value, k: &str| v[k].as_str().unwrap_or_default().to_owned();
    context.out.result(&outcomes, |out| {
        for o in outcomes {
            let index = o["index"].as_u64().map_or(String::new(), |i| i.to_string());
            let line = match o["outcome"].as_str() {
                Some("accepted") => out.pick(
                    format!("Записано: № {index}, {}", text(o, "id")),
                    format!("Recorded: no. {index}, {}", text(o, "id")),
                ),
                Some("known") => out.pick(format!("Уже было: № {index}",), format!("Known already: no. {index}")),
                Some("fine") => {
                    out.say("Проверено: запись будет принята", "Checked: the record would be accepted").to_owned()
                }
                _ => {
                    let (code, detail, remedy) = (text(o, "code"), text(o, "detail"), text(o, "remedy"));
                    out.pick(
                        format!("Отказано {}", out.explain(&code, &detail, &remedy)),
                        format!("[{code}] {detail} — {remedy}"),
                    )
                }
            };
            out.line(&line);
        }
    });
    match outcomes.iter().find(|o| o["outcome"] == "refused") {
        None => Ok(()),
        Some(o) => Err(Error::refuse(
            "cli.refused",
            format!("[{}] {}", text(o, "code"), text(o, "detail")),
            "see the reason above",
        )),
    }
}

/// Signs a payload, or adds a signature to an envelope.
#[derive(Debug, Args)]
pub struct Sign {
    #[arg(help = "Файл: запись без подписи или с подписью другого органа")]
    file: PathBuf,
    #[arg(long = "key", required = true, help = "Файл ключа; можно несколько")]
    keys: Vec<PathBuf>,
    #[arg(long, help = "Куда записать подписанное")]
    out: PathBuf,
}

impl Sign {
    /// Signs; shows first what is signed.
    pub fn run(&self, context: &Context) -> Result<()> {
        let bytes = read_bounded(&self.file, 2 * MAX_PROOF_ENTRY as u64)?;
        let mut envelope = match Envelope::parse(&bytes, TYP_RECORD, MAX_PROOF_ENTRY) {
            Ok(envelope) => envelope,
            Err(_) => Envelope::unsigned(bytes, TYP_RECORD),
        };
        // Nothing is signed that this program cannot read.
        let record = Record::decode(&envelope.payload)?;
        for key in open_keys(&self.keys, &passphrase(context, true)?)? {
            envelope.add_signature(&key);
        }
        write_atomic(&self.out, &envelope.to_bytes())?;
        let value = serde_json::json!({ "id": record.id, "type": record.body.type_name(), "signatures": envelope.signatures.len(), "file": self.out });
        context.out.result(&value, |out| {
            out.line(&format!("{}  {}", record.body.type_name(), record.id));
            out.line(&self.out.display().to_string());
        });
        let file = self.out.display();
        context.out.next(&[&format!("domovoi submit {file}")], &[&format!("domovoi submit {file}")]);
        Ok(())
    }
}

/// Hands signed records in.
#[derive(Debug, Args)]
pub struct Submit {
    #[arg(required = true, help = "Файлы: по одной подписанной записи в строке")]
    files: Vec<PathBuf>,
    #[arg(long, help = "Только проверить, ничего не записывать")]
    dry_run: bool,
}

impl Submit {
    /// Submits all records of all files, in order.
    pub fn run(&self, context: &Context) -> Result<()> {
        let mut records = Vec::new();
        for file in &self.files {
            let bytes = read_bounded(file, 256 << 20)?;
            records.extend(bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec));
        }
        let api = Api::new(context)?;
        let mut outcomes = Vec::with_capacity(records.len());
        for chunk in records.chunks(SUBMIT_CHUNK) {
            outcomes.extend(api.submit(chunk, self.dry_run)?);
        }
        print_outcomes(context, &outcomes)
    }
}

/// Records sent in one request: well under the node's body limit.
pub const SUBMIT_CHUNK: usize = 1000;
