//! `domovoi charter new`: the next version of a charter, or a first one, as a draft that nobody has signed.

use std::path::PathBuf;

use clap::Args;

use super::charter::{self, Source};
use super::{Context, charter_words};
use crate::error::{Error, Result};
use crate::federation::charter::{CharterBody, FORMAT, LIFE, MAX_CHARTER};
use crate::federation::draft::{Card, Draft, next, read_key};
use crate::federation::keys::retire;
use crate::federation::roles::{AnnouncedKey, Cut, KeyRole, Quorums, RetireReason, Standing, StandingStatus, Witness};
use crate::node::now_ms;
use crate::registry::body::{KeyBytes, List};
use crate::registry::ids::{RecordId, RegionCode};
use crate::registry::record::RECORD_VERSION;
use crate::registry::text::{Day, Millis, Text};
use crate::storage::durable::{read_bounded, write_atomic};

/// What the next version changes.
#[derive(Debug, Args)]
pub struct New {
    #[command(flatten)]
    source: Source,
    #[arg(long, value_name = "FILE", help = "Куда записать проект (по умолчанию charter-<версия>.draft.json)")]
    out: Option<PathBuf>,
    #[arg(long, help = "Начать новую цепочку: первая версия устава с этим названием")]
    first: Option<String>,
    #[arg(long, value_name = "CARD", help = "Принять регион по его карточке; можно повторять")]
    admit: Vec<PathBuf>,
    #[arg(long, value_name = "CODE", help = "Приостановить участие региона (нужна --reason)")]
    suspend: Vec<RegionCode>,
    #[arg(long, value_name = "CODE", help = "Вернуть регион")]
    reinstate: Vec<RegionCode>,
    #[arg(long, value_name = "CODE", help = "Регион вышел (нужна --reason)")]
    withdraw: Vec<RegionCode>,
    #[arg(long, value_name = "CODE=URL", help = "Новый адрес узла региона; «federation=URL» — узла федерации")]
    url: Vec<String>,
    #[arg(long, value_name = "CODE=ПРЕФИКС,…", help = "Новые префиксы ОКТМО региона")]
    prefix: Vec<String>,
    #[arg(long, value_name = "ROLE[:CODE]=KEY@ДЕНЬ", help = "Объявить ключ, который займёт место не раньше этого дня")]
    announce: Vec<String>,
    #[arg(
        long,
        value_name = "OLD=NEW",
        allow_hyphen_values = true,
        help = "Заменить ключ (как его печатает domovoi key show), где бы он ни стоял"
    )]
    replace_key: Vec<String>,
    #[arg(
        long,
        value_name = "ROLE[:CODE]=KEY",
        help = "Добавить корневой ключ или ключ совместной подписи (строку vkey)"
    )]
    add_key: Vec<String>,
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, help = "Убрать корневой ключ")]
    remove_key: Vec<String>,
    #[arg(long, default_value = "replaced", value_parser = ["replaced", "lost", "compromised"], help = "Почему ключи уходят")]
    because: String,
    #[arg(long, value_name = "[CODE=]N", help = "Сколько корневых ключей должны подписывать; с кодом — в регионе")]
    threshold: Vec<String>,
    #[arg(
        long,
        value_name = "ORIGIN@SIZE@ROOT",
        help = "Обрезать журнал на этой вершине (нужны новый ключ журнала и --reason)"
    )]
    cut: Vec<String>,
    #[arg(long, value_name = "W,M,V", help = "Сколько нужно совместных подписей: свидетелей, зеркал, проверяющих")]
    quorum: Option<String>,
    #[arg(long, num_args = 3, value_names = ["NAME", "VKEY", "URL"], help = "Назвать свидетеля, который не узел федерации")]
    witness: Vec<String>,
    #[arg(long, value_name = "ДЕНЬ", help = "До какого дня устав действует (по умолчанию десять лет)")]
    expires: Option<Day>,
    #[arg(long, help = "Через сколько часов сведения считаются устаревшими")]
    staleness_hours: Option<u32>,
    #[arg(long, help = "Причина: приостановки, выхода, обрезания")]
    reason: Option<String>,
}

fn wrong(what: &str, form: &str) -> Error {
    Error::refuse("cli.field", format!("«{what}» is not {form}"), "correct the value")
}

fn split<'w>(word: &'w str, at: char, form: &str) -> Result<(&'w str, &'w str)> {
    word.split_once(at).ok_or_else(|| wrong(word, form))
}

fn day(day: Day) -> Result<Millis> {
    let text = format!("{day}T00:00:00Z");
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong(&text, "a day"))?;
    Millis::new(u64::try_from(at.as_millisecond()).map_err(|_| wrong(&text, "a day after 1970"))?)
}

/// `region-root:77`, `log`, …
fn place(word: &str) -> Result<(KeyRole, Option<RegionCode>)> {
    let (role, region) = match word.split_once(':') {
        Some((role, code)) => (role, Some(code.parse()?)),
        None => (word, None),
    };
    let role = match role {
        "federation-root" => KeyRole::FederationRoot,
        "region-root" => KeyRole::RegionRoot,
        "log" => KeyRole::Log,
        "commit" => KeyRole::Commit,
        "witness" => KeyRole::Witness,
        "mirror" => KeyRole::Mirror,
        "verifier" => KeyRole::Verifier,
        _ => {
            return Err(wrong(
                word,
                "federation-root, region-root:CODE, log[:CODE], commit, witness, mirror, verifier",
            ));
        }
    };
    Ok((role, region))
}

impl New {
    pub(super) fn run(&self, context: &Context) -> Result<()> {
        let now = now_ms();
        let expires = match self.expires {
            Some(d) => day(d)?.get(),
            None => now + LIFE,
        };
        let (mut body, before) = match &self.first {
            Some(name) => (first(name, now, expires)?, None),
            None => {
                let (chain, bytes) = self.source.chain(context)?;
                (next(chain.latest(), now, expires)?, Some((chain.latest().clone(), bytes)))
            }
        };
        self.change(&mut body, now)?;
        body.regions.0.sort_by_key(|r| r.code);
        if let Some((before, _)) = &before {
            let why = match self.because.as_str() {
                "lost" => RetireReason::Lost,
                "compromised" => RetireReason::Compromised,
                _ => RetireReason::Replaced,
            };
            retire(before.charter(), &mut body, |_| why)?;
        }
        let draft = Draft::new(body, before.as_ref().map(|(_, bytes)| bytes.as_slice()))?;
        let file = self.out.clone().unwrap_or_else(|| format!("charter-{}.draft.json", draft.charter.version).into());
        if file.exists() {
            return Err(Error::refuse("charter.exists", format!("{} exists", file.display()), "choose another --out"));
        }
        write_atomic(&file, draft.to_text()?.as_bytes())?;
        charter::print_draft(context, &file, &draft)?;
        let at = file.display();
        context.out.next(
            &[
                &format!("прочтите и при нужде исправьте {at}"),
                &format!("каждый держатель ключа: domovoi charter sign {at} --key КЛЮЧ"),
            ],
            &[
                &format!("read {at} and correct it where needed"),
                &format!("every key holder: domovoi charter sign {at} --key KEY"),
            ],
        );
        Ok(())
    }

    fn reason(&self) -> Result<Text> {
        let missing = || Error::refuse("cli.field", "--reason is needed", "say why: it stands in the charter");
        Text::normalise(self.reason.as_deref().ok_or_else(missing)?)
    }

    fn change(&self, body: &mut CharterBody, now: u64) -> Result<()> {
        for path in &self.admit {
            let region = Card::open(&read_bounded(path, MAX_CHARTER as u64)?).map_err(|e| e.at(path.display()))?;
            if body.regions.0.iter().any(|r| r.code == region.code) {
                return Err(Error::refuse(
                    "charter.region",
                    format!("region {} takes part already", region.code),
                    "change it with the other options",
                ));
            }
            body.regions.0.push(region);
        }
        for (codes, status) in [(&self.suspend, StandingStatus::Suspended), (&self.withdraw, StandingStatus::Withdrawn)]
        {
            for code in codes {
                let standing = Standing { status, since: Millis::new(now)?, reason: self.reason()? };
                body.region_mut(*code)?.standing = Some(standing);
            }
        }
        for code in &self.reinstate {
            body.region_mut(*code)?.standing = None;
        }
        for word in &self.url {
            let (whose, url) = split(word, '=', "CODE=URL")?;
            let url = Text::new(url)?;
            match (whose, &mut body.federation) {
                ("federation", Some(f)) => f.url = url,
                _ => body.region_mut(whose.parse()?)?.url = url,
            }
        }
        for word in &self.prefix {
            let (code, list) = split(word, '=', "CODE=PREFIX,…")?;
            let list: Result<Vec<_>> = list.split(',').map(|p| p.trim().parse()).collect();
            body.region_mut(code.parse()?)?.oktmo = List(list?);
        }
        for word in &self.announce {
            let form = "ROLE[:CODE]=KEY@DAY";
            let (at, rest) = split(word, '=', form)?;
            let (key, from) = split(rest, '@', form)?;
            let (role, region) = place(at)?;
            let key = AnnouncedKey { role, region, key: KeyBytes(read_key(key)?), from: day(from.parse()?)? };
            body.announced.get_or_insert_default().0.push(key);
        }
        for word in &self.replace_key {
            let (old, new) = split(word, '=', "OLD=NEW")?;
            body.replace_key(&read_key(old)?, &read_key(new)?)?;
        }
        for word in &self.add_key {
            let (at, key) = split(word, '=', "ROLE[:CODE]=KEY")?;
            let (role, region) = place(at)?;
            body.add_key(role, region, key)?;
        }
        for key in &self.remove_key {
            body.remove_key(&read_key(key)?)?;
        }
        for word in &self.threshold {
            let number = |n: &str| n.parse::<u32>().map_err(|_| wrong(word, "[CODE=]N"));
            match word.split_once('=') {
                Some((code, n)) => body.region_mut(code.parse()?)?.root_threshold = number(n)?,
                None => body.threshold = number(word)?,
            }
        }
        for word in &self.cut {
            let form = "ORIGIN@SIZE@ROOT";
            let (origin, rest) = split(word, '@', form)?;
            let (size, root) = split(rest, '@', form)?;
            let cut = Cut {
                origin: Text::new(origin)?,
                size: size.parse().map_err(|_| wrong(word, form))?,
                root: root_of(root)?,
                reason: self.reason()?,
            };
            body.cuts.get_or_insert_default().0.push(cut);
        }
        if let Some(word) = &self.quorum {
            let numbers: Vec<u32> = word.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            let [witness, mirror, verifier] = numbers[..] else { return Err(wrong(word, "W,M,V")) };
            body.quorums = Some(Quorums { witness, mirror, verifier });
        }
        for w in self.witness.chunks_exact(3) {
            let witness = Witness { name: Text::normalise(&w[0])?, vkey: w[1].parse()?, url: Text::new(&w[2])? };
            body.witnesses.get_or_insert_default().0.push(witness);
        }
        body.staleness_hours = self.staleness_hours.unwrap_or(body.staleness_hours);
        Ok(())
    }
}

/// A root as checkpoints (base64) or other places (hex) write it.
fn root_of(text: &str) -> Result<RecordId> {
    use crate::tlog::Hash;
    let hash = Hash::from_hex(text).or_else(|_| Hash::from_base64(text))?;
    Ok(RecordId(hash.0))
}

/// A first version of nothing yet: whoever drafts adds root keys and regions.
pub(super) fn first(name: &str, now: u64, expires: u64) -> Result<CharterBody> {
    Ok(CharterBody {
        format: FORMAT,
        version: 1,
        name: Text::normalise(name)?,
        issued: Millis::new(now)?,
        expires: Millis::new(expires)?,
        previous: None,
        root_keys: List(Vec::new()),
        threshold: 1,
        staleness_hours: 24,
        record_versions: List(vec![RECORD_VERSION]),
        regions: List(Vec::new()),
        federation: None,
        exceptions: None,
        witnesses: None,
        quorums: None,
        announced: None,
        retired: None,
        cuts: None,
    })
}

/// What a draft says, in the language of the output: what changes, or all of it.
pub(super) fn words(context: &Context, draft: &Draft) -> Result<Vec<String>> {
    let said = match draft.before()? {
        Some(before) => charter_words::changes(before.charter(), &draft.charter)?,
        None => charter_words::whole(&draft.charter)?,
    };
    Ok(said.into_iter().map(|(ru, en)| context.out.pick(ru, en)).collect())
}
