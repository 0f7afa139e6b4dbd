//! `domovoi verify LINK --private`: the node learns a few bits of the link's digest, shared by at least 128 links.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::api::Api;
use super::output::{Output, moment};
use super::prove::chain_of;
use crate::error::{Error, Result};
use crate::node::now_ms;
use crate::registry::absence::AbsenceProof;
use crate::registry::bucket_file::{BucketFile, FederationHead, LinkAnswer, MAX_BUCKET, bucket_to_ask};
use crate::registry::ids::RegionCode;
use crate::registry::jurisdiction::FederationKeys;
use crate::registry::link::{LinkDigest, canonical_link};
use crate::registry::status_proof::Name;
use crate::sync::charters::walk_federation;

/// Largest head, bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Times that head and bucket are asked for, while the federation's log goes on in between.
const TRIES: usize = 3;

/// Asks, verifies, and prints.
pub fn check(context: &Context, pasted: &str, charters: &[PathBuf]) -> Result<()> {
    let link = LinkDigest::of_link(&canonical_link(pasted)?);
    let (api, keys) = federation(context, charters)?;
    for _ in 0..TRIES {
        let fetched = api.block_on(api.peer().get("api/v1/verify/bucket", MAX_HEAD))?;
        let Some(head) = fetched else { break };
        let head = FederationHead::decode(&head)?;
        // Verified before anything of the link is told: a prefix that somebody made longer tells more.
        let path = format!("api/v1/verify/bucket/{}/{}", head.size, bucket_to_ask(&head, &keys, &link)?);
        if let Some(bytes) = api.block_on(api.peer().get(&path, MAX_BUCKET))? {
            let answer = BucketFile::decode(&bytes)?.answer(&keys, &link, now_ms())?;
            print(context, &answer);
            return Ok(());
        }
    }
    Err(Error::refuse(
        "bucket.none",
        "the node gives no bucket of the federation's links",
        "ask the node of the federation (--node), or again in a minute",
    ))
}

/// The node, and the federation's keys by its charter: by the newest version that the node can prove to follow from those
/// that were given.
fn federation(context: &Context, charters: &[PathBuf]) -> Result<(Api, FederationKeys)> {
    let [pinned, later @ ..] = charters else {
        return Err(Error::refuse(
            "cli.charter",
            "a private check is verified here, and needs the federation's charter",
            "give it with --charter FILE; it comes from the federation, not from the node that is asked",
        ));
    };
    let mut chain = chain_of(pinned, later)?;
    if chain.latest().federation().is_none() {
        return Err(Error::refuse(
            "cli.federation",
            format!("{} names no federation log", pinned.display()),
            "give the charter of a federation that has one",
        ));
    }
    let api = Api::new(context)?;
    api.block_on(walk_federation(api.peer(), &mut chain))?;
    let keys = chain.latest().federation().ok_or_else(|| {
        Error::refuse(
            "cli.federation",
            format!("version {} of the charter names no federation log any more", chain.latest().charter().version),
            "give the charter of a federation that has one",
        )
    })?;
    Ok((api, keys))
}

/// `domovoi verify NAME --nowhere`: the node proves that no region has the name, or says that one has.
pub fn nowhere(context: &Context, name: &Name, charters: &[PathBuf]) -> Result<()> {
    let (api, keys) = federation(context, charters)?;
    let json: serde_json::Value = api.get("verify/absence", &[("name", name.to_string())])?;
    let answer = AbsenceProof::decode(json.to_string().as_bytes())?.verify(&keys, name, now_ms())?;
    let value = json!({
        "state": answer.state, "name": name.to_string(), "covered": answer.covered, "stale": answer.stale,
        "missing": answer.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    context.out.result(&value, |out| {
        let (ru, en) = match answer.state {
            "not_registered" => ("Этого нет ни в одном регионе федерации", "No region of the federation has this"),
            state => sentence(state),
        };
        out.line(&format!("[{}] {}", answer.state, out.say(ru, en)));
        out.line(&as_of(out, answer.covered, &answer.missing));
    });
    Ok(())
}

fn as_of(out: &Output, covered: u64, missing: &[RegionCode]) -> String {
    let (moment, codes) = (moment(covered), missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    match missing.is_empty() {
        true => out.pick(format!("По состоянию на {moment}"), format!("As of {moment}")),
        false => out.pick(
            format!("По состоянию на {moment}; нет данных регионов: {codes}"),
            format!("As of {moment}; regions not covered: {codes}"),
        ),
    }
}

fn print(context: &Context, answer: &LinkAnswer) {
    let claim = |c: &crate::registry::link_map::LinkClaim| {
        json!({ "region": c.region.to_string(), "chat": c.chat.to_string(), "since": c.since * 1000, "standing": c.standing,
            "owner": c.owner.as_ref().map(ToString::to_string) })
    };
    let value = json!({
        "state": answer.state,
        "claim": answer.claim.as_ref().map(claim),
        "disputed_by": answer.disputed_by.iter().map(claim).collect::<Vec<_>>(),
        "covered": answer.covered,
        "stale": answer.stale,
        "missing": answer.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "badge": answer.badge,
    });
    context.out.result(&value, |out| {
        let (ru, en) = sentence(answer.state);
        out.line(&format!("[{}] {}", answer.state, out.say(ru, en)));
        out.line(&as_of(out, answer.covered, &answer.missing));
        if let Some(c) = &answer.claim {
            let owner = c.owner.as_ref().map_or("-".to_owned(), ToString::to_string);
            out.line(&out.pick(
                format!("Чат {}, регион {}, владелец {owner}", c.chat, c.region),
                format!("Chat {}, region {}, owner {owner}", c.chat, c.region),
            ));
        }
        for c in &answer.disputed_by {
            out.line(&out.pick(
                format!("! Эту ссылку позже заявил и регион {}: чат {}", c.region, c.chat),
                format!("! Region {} claimed this link later, too: chat {}", c.region, c.chat),
            ));
        }
        if answer.stale {
            out.line(out.say("! Данные устарели", "! The data are stale"));
        }
        out.line(
            out.say("Никто официальный не попросит код из СМС", "Nobody official asks for a code from a text message"),
        );
    });
}

fn sentence(state: &str) -> (&'static str, &'static str) {
    match state {
        "official" => ("Официальный чат", "An official chat"),
        "suspended" => ("Чат приостановлен", "The chat is suspended"),
        "pending_handover" => ("Чат известен, владение ещё не передано", "Known; its ownership is not taken yet"),
        "link_rotated" => ("Прежняя ссылка официального чата; её заменили", "An earlier link of an official chat"),
        "transferred" => ("Чат передан в другой регион", "The chat was transferred to another region"),
        "superseded" => ("Чат заменён другим", "The chat was replaced by another"),
        "closed" => ("Чат закрыт", "The chat is closed"),
        "not_registered" => ("Ссылки нет ни в одном регионе федерации", "No region of the federation has this link"),
        "stale" => ("Неизвестно: данные устарели", "Not known: the data are stale"),
        _ => ("Неизвестно: участвуют не все регионы", "Not known: not every region is covered"),
    }
}
