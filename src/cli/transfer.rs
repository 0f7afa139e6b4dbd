//! `domovoi transfer`: a chat moves to another region's log. What the other region's log says is fetched whole and verified
//! here, and the proof is made from that: nothing of the other node is taken on trust.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::api::Api;
use super::drafts::{Frame, draft, open_keys, sign};
use super::record::{BasisArgs, print_outcomes};
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::node::charters::read_chain;
use crate::node::layout::Layout;
use crate::registry::body::{Body, List};
use crate::registry::ids::{BuildingId, ChatNumber, OrgId, RecordId};
use crate::registry::record::{DecodedRecord, Record};
use crate::registry::state::{State, View};
use crate::registry::state_proof::Quoted;
use crate::registry::text::{Day, Millis, Text};
use crate::registry::transfer::*;
use crate::storage::durable::{read_bounded, write_atomic};
use crate::sync::client::Peer;
use crate::sync::snapshot::{FetchedLog, fetch_state};

/// Moving a chat to another region.
#[derive(Debug, Subcommand)]
pub enum Transfer {
    /// Offers a chat to another region.
    #[command(about = "Предложить чат другому региону: чат закрывается для изменений до ответа")]
    Offer(Offer),
    /// Accepts an offered chat.
    #[command(about = "Принять чат, предложенный другим регионом")]
    Accept(Accept),
    /// Declines an offered chat.
    #[command(about = "Отказаться от чата, предложенного другим регионом")]
    Decline(Answer),
    /// Records what became of an offer.
    #[command(about = "Записать, чем кончилось предложение: принято, отклонено или истёк срок")]
    Release(Release),
}

/// How a record is signed and handed in.
#[derive(Debug, Args)]
struct Finish {
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

/// The other region's node.
#[derive(Debug, Args)]
struct Other {
    #[arg(long, help = "Адрес узла другого региона")]
    from: String,
    #[arg(long, help = "Файл PEM, которому доверять (сертификат того узла для разработки)")]
    peer_ca: Option<PathBuf>,
}

/// Offers.
#[derive(Debug, Args)]
pub struct Offer {
    #[arg(help = "Номер чата в реестре")]
    chat: ChatNumber,
    #[arg(long, help = "Орган другого региона, который примет чат: ogrn:… или inn:…")]
    to: OrgId,
    #[arg(long, help = "Имя журнала другого региона, как в уставе")]
    log: String,
    #[arg(long, help = "До какого дня можно принять (не дальше 92 дней), ГГГГ-ММ-ДД")]
    accept_before: Day,
    #[command(flatten)]
    finish: Finish,
}

/// Accepts or declines.
#[derive(Debug, Args)]
pub struct Answer {
    #[arg(help = "Предложение: идентификатор записи transfer.offered")]
    offer: RecordId,
    #[command(flatten)]
    other: Other,
    #[arg(long, help = "С какого дня действует, ГГГГ-ММ-ДД")]
    effective_from: Option<Day>,
    #[command(flatten)]
    finish: Finish,
}

/// Accepts.
#[derive(Debug, Args)]
pub struct Accept {
    #[command(flatten)]
    answer: Answer,
    #[arg(long, help = "Служебная учётная запись, которой принадлежит чат в MAX")]
    service_account: Option<String>,
}

/// Records the end.
#[derive(Debug, Args)]
pub struct Release {
    #[arg(help = "Номер чата в реестре")]
    chat: ChatNumber,
    #[command(flatten)]
    other: Other,
    #[arg(long, help = "С какого дня действует, ГГГГ-ММ-ДД")]
    effective_from: Option<Day>,
    #[command(flatten)]
    finish: Finish,
}

impl Transfer {
    /// Makes the record, signs it and hands it in.
    pub fn run(self, context: &Context) -> Result<()> {
        match self {
            Transfer::Offer(o) => o.run(context),
            Transfer::Accept(a) => a.answer.run(context, Some(a.service_account)),
            Transfer::Decline(a) => a.run(context, None),
            Transfer::Release(r) => r.run(context),
        }
    }
}

impl Finish {
    fn hand_in(self, context: &Context, api: &Api, body: Body, effective_from: Option<Day>) -> Result<()> {
        let (basis, deadline_days) = (self.basis.basis()?, self.deadline_days);
        let draft = draft(api, body, &Frame { effective_from, basis, batch: None, deadline_days })?;
        if let Some(out) = &self.out {
            let (record, payload) = Record::encode(draft)?;
            write_atomic(out, &payload)?;
            let value = serde_json::json!({ "id": record.id, "file": out });
            context.out.result(&value, |o| o.line(&out.display().to_string()));
            return Ok(());
        }
        let default = vec![context.config()?.node.data_dir.join("keys/operator.pem")];
        let keys = open_keys(if self.keys.is_empty() { &default } else { &self.keys }, &passphrase(context, true)?)?;
        let (_, envelope) = sign(draft, &keys)?;
        let outcomes: Vec<Value> = api.submit(&[envelope], self.dry_run)?;
        print_outcomes(context, &outcomes)
    }
}

impl Other {
    /// The other region's log, fetched and verified under this node's own charters.
    fn log(&self, context: &Context, origin: Option<&str>) -> Result<(Peer, FetchedLog, String)> {
        let ca = self.peer_ca.as_ref().map(|p| read_bounded(p, 1 << 20)).transpose()?;
        let api = Api::open(self.from.trim_end_matches('/'), ca.as_deref())?;
        let origin = match origin {
            Some(origin) => origin.to_owned(),
            None => api.origin()?,
        };
        let chain: CharterChain = read_chain(&Layout::new(&context.config()?.node.data_dir))?;
        let bar = context.out.progress(0, "Проверка журнала другого региона", "Verifying the other region's log");
        let log = api.block_on(fetch_state(api.peer(), &chain, &origin, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        }))?;
        bar.finish_and_clear();
        Ok((api.peer().clone(), log, origin))
    }
}

impl Offer {
    fn run(self, context: &Context) -> Result<()> {
        let api = Api::new(context)?;
        let state = api.state(context)?;
        let chat = state.chat(self.chat).ok_or_else(|| unknown("chat", &self.chat))?;
        let owner = chat.owner().map(|o| state.holder(&o.authority)).ok_or_else(|| unknown("chat", &self.chat))?;
        let midnight = self.accept_before.date().to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
        let until = midnight.ok().and_then(|t| u64::try_from(t.as_millisecond()).ok()).unwrap_or(0);
        let body = TransferOffered {
            chat: self.chat,
            kind: chat.kind,
            title: chat.title.clone(),
            buildings: List(chat.buildings.clone()),
            from: owner,
            to: self.to,
            receiving: Text::new(&self.log)?,
            accept_before: Millis::new(until)?,
            link: chat.link,
            max: chat.max,
            entrance: chat.entrance,
        };
        self.finish.hand_in(context, &api, Body::TransferOffered(body), None)?;
        let next = "domovoi transfer accept … --from";
        context.out.next(
            &[&format!("передайте номер записи другому региону; там: {next} АДРЕС_ЭТОГО_УЗЛА")],
            &[&format!("give the record's id to the other region; there: {next} URL_OF_THIS_NODE")],
        );
        Ok(())
    }
}

impl Answer {
    /// `accept`: the service account, if one is named; nothing: declines.
    fn run(self, context: &Context, accept: Option<Option<String>>) -> Result<()> {
        let api = Api::new(context)?;
        let own = api.state(context)?;
        let (peer, log, leaving) = self.other.log(context, None)?;
        let index = log.state.index_of(&self.offer).ok_or_else(|| unknown("offer", &self.offer))?;
        let entry = api.block_on(log.entry(&peer, index))?;
        let Body::TransferOffered(o) = DecodedRecord::decode(&entry)?.record.body else {
            return Err(unknown("offer", &self.offer));
        };
        let (entry, proof) = (Quoted::new(&entry)?, log.prove(&TransferFacts::name(&self.offer))?);
        let (offer, leaving) = (self.offer, Text::new(&leaving)?);
        let body = match accept {
            Some(service_account) => Body::TransferAccepted(TransferAccepted {
                chat: o.chat,
                offer,
                leaving,
                from: o.from,
                owner: own.holder(&o.to),
                to: o.to,
                accept_before: o.accept_before,
                kind: o.kind,
                title: o.title,
                buildings: List(primaries(&own, &o.buildings.0)?),
                entry,
                proof,
                link: o.link,
                max: o.max,
                service_account: service_account.as_deref().map(Text::normalise).transpose()?,
                entrance: o.entrance,
            }),
            None => Body::TransferDeclined(TransferDeclined {
                chat: o.chat,
                offer,
                leaving,
                from: o.from,
                to: o.to,
                accept_before: o.accept_before,
                entry,
                proof,
            }),
        };
        self.finish.hand_in(context, &api, body, self.effective_from)
    }
}

impl Release {
    fn run(self, context: &Context) -> Result<()> {
        let api = Api::new(context)?;
        let own = api.state(context)?;
        let offered =
            own.chat(self.chat).and_then(|c| c.offered.clone()).ok_or_else(|| unknown("offer", &self.chat))?;
        let (_, log, _) = self.other.log(context, Some(offered.receiving.as_str()))?;
        let offer = offered.offer;
        let (outcome, answer) = match log.state.transfer(&offer).map(|t| (t.standing, t.record)) {
            Some((OfferStanding::Accepted, record)) => (Ending::Accepted, Some(record)),
            Some((_, record)) => (Ending::Declined, Some(record)),
            None => (Ending::Expired, None),
        };
        let proof = log.prove(&TransferFacts::name(&offer))?;
        let body = TransferReleased { chat: self.chat, offer, outcome, proof, answer };
        self.finish.hand_in(context, &api, Body::TransferReleased(body), self.effective_from)
    }
}

/// Primary ids, in this log, of buildings that the offer names by those of its own.
fn primaries(own: &State, offered: &[BuildingId]) -> Result<Vec<BuildingId>> {
    let mut found = Vec::with_capacity(offered.len());
    for id in offered {
        let missing = || {
            Error::refuse(
                "rule.transfer.buildings",
                format!("{id} of the offer is not registered in this log"),
                "register the buildings of the offer in this log first, with the ids they have there",
            )
        };
        let primary = own.primary(id).ok_or_else(missing)?;
        if !found.contains(&primary) {
            found.push(primary);
        }
    }
    Ok(found)
}

fn unknown(what: &str, id: &impl std::fmt::Display) -> Error {
    Error::refuse(
        "transfer.unknown",
        format!("the log has no {what} {id}, or none that is open"),
        "check the id and that you ask the right node",
    )
}
