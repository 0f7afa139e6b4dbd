//! `domovoi prove`, and the half of `domovoi verify` that reads a proof from a file: without a network, by the charters alone.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use super::api::Api;
use super::output::moment;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::MAX_CHARTER;
use crate::node::charters::read_chain;
use crate::node::layout::Layout;
use crate::node::proved::{Proved, proved};
use crate::registry::ids::{BuildingId, ChatNumber};
use crate::registry::link::{LinkDigest, canonical_link};
use crate::registry::record::Subject;
use crate::registry::status_proof::{MAX_LEN, Name, StatusProof};
use crate::storage::durable::{read_bounded, write_atomic};
use crate::tlog::cosignature::CosignerKey;

/// Gets a proof.
#[derive(Debug, Args)]
pub struct Prove {
    #[arg(help = "chat:…, link:…, building:…, authority:…, key:…; или ссылка, номер чата, идентификатор дома")]
    what: String,
    #[arg(long, help = "Из какого журнала, если не из того, который выберет узел")]
    log: Option<String>,
    #[arg(long, help = "Вложить и сведения о домах чата: иначе дом назван только идентификатором, без адреса")]
    with_address: bool,
    #[arg(long, help = "Файл; без него доказательство печатается")]
    out: Option<PathBuf>,
}

/// What a person means: a name as it stands in a proof, or what he has at hand.
fn name(what: &str) -> Result<Name> {
    if let Ok(name) = what.parse::<Name>() {
        return Ok(name);
    }
    if let Ok(number) = what.parse::<ChatNumber>() {
        return Ok(Name::Subject(Subject::Chat(number)));
    }
    if let Ok(building) = what.parse::<BuildingId>() {
        return Ok(Name::Subject(Subject::Building(building)));
    }
    Ok(Name::Link(LinkDigest::of_link(&canonical_link(what)?)))
}

fn read(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|e| Error::refuse("status.form", format!("status proof: {e}"), "get the proof again, unchanged"))
}

impl Prove {
    /// Asks the node. A join link is hashed here: the node learns its digest, never the link.
    pub fn run(&self, context: &Context) -> Result<()> {
        let (api, name) = (Api::new(context)?, name(self.what.trim())?);
        let mut query: Vec<_> = self.log.iter().map(|l| ("log", l.clone())).collect();
        query.extend(self.with_address.then(|| ("with_address", "1".to_owned())));
        let text = api.bytes(&format!("proofs/{name}"), &query)?;
        let proof = StatusProof::parse(read(&text)?)?;
        // What is saved has been verified once.
        let chain = api.charters(context, proof.origin())?;
        proof.verify(&chain.of_log(proof.origin())?, &[])?;
        match &self.out {
            None => context.out.line(read(&text)?.trim_end()),
            Some(path) => {
                write_atomic(path, &text)?;
                let next = format!("domovoi verify \"{}\"", path.display());
                context.out.next(&[&next], &[&next]);
            }
        }
        Ok(())
    }
}

/// True where `path` is a file that begins like a status proof.
pub(super) fn is_proof(path: &Path) -> bool {
    let begins = |bytes: Vec<u8>| bytes.starts_with(b"domovoi/status-proof@");
    path.is_file() && read_bounded(path, MAX_LEN as u64).is_ok_and(begins)
}

/// The chain of charter files, oldest first.
pub(super) fn chain_of(pinned: &Path, later: &[PathBuf]) -> Result<CharterChain> {
    let bytes = read_bounded(pinned, MAX_CHARTER as u64)?;
    let mut chain = CharterChain::pinned(&bytes).map_err(|e| e.at(pinned.display()))?;
    for path in later {
        chain.advance(&read_bounded(path, MAX_CHARTER as u64)?).map_err(|e| e.at(path.display()))?;
    }
    Ok(chain)
}

/// The charters a reader trusts: files, oldest first, or those of the data directory.
pub(super) fn trusted(context: &Context, charters: &[PathBuf]) -> Result<CharterChain> {
    match charters {
        [] => read_chain(&Layout::new(&context.common.data)),
        [pinned, later @ ..] => chain_of(pinned, later),
    }
}

/// Keys of cosigners as they were given.
pub(super) fn cosigners(keys: &[String]) -> Result<Vec<CosignerKey>> {
    keys.iter().map(|k| CosignerKey::parse(k)).collect()
}

/// The error where one of the cosigners asked for has not signed.
pub(super) fn missing_cosigner(asked: &[CosignerKey], signed: &[(String, u64)]) -> Option<Error> {
    let silent = asked.iter().find(|k| !signed.iter().any(|(name, _)| name == k.name()))?;
    Some(Error::refuse(
        "status.cosigner",
        format!("{} has not signed this proof's checkpoint", silent.name()),
        "get a newer proof, or do without this cosigner",
    ))
}

/// Verifies a proof in a file.
pub(super) fn verify_file(context: &Context, path: &Path, charters: &[PathBuf], keys: &[String]) -> Result<()> {
    let bytes = read_bounded(path, MAX_LEN as u64)?;
    let text = read(&bytes)?;
    let chain = trusted(context, charters)?;
    let cosigners = cosigners(keys)?;
    let proof = StatusProof::parse(text).map_err(|e| e.at(path.display()))?;
    let verified = proof.verify(&chain.of_log(proof.origin())?, &cosigners).map_err(|e| e.at(path.display()))?;
    if let Some(e) = missing_cosigner(&cosigners, &verified.cosigned) {
        return Err(e);
    }
    print(context, &proved(&verified));
    Ok(())
}

fn print(context: &Context, p: &Proved) {
    context.out.result(p, |out| {
        out.line(&out.pick(p.text.ru.clone(), p.text.en.clone()));
        for said in &p.recorded {
            out.line(&out.pick(said.ru.clone(), said.en.clone()));
        }
        out.line(&out.pick(p.advice.ru.clone(), p.advice.en.clone()));
        let as_of = moment(p.as_of);
        out.line(&out.pick(
            format!("Подписи верны. Журнал {}, записей: {}, по состоянию на {as_of}.", p.log, p.size),
            format!("The signatures are good. Log {}, entries: {}, as of {as_of}.", p.log, p.size),
        ));
        for (name, at) in &p.cosigned {
            let at = moment(at.saturating_mul(1000));
            out.line(&out.pick(format!("Заверил {name}: {at}"), format!("Cosigned by {name}: {at}")));
        }
    });
}
