//! `domovoi charter`: the federation's charter, made by several key holders on several machines, without a network.
//!
//! `new` drafts a version, each holder runs `sign` on his machine, `combine` joins the files, `publish` puts the charter into
//! a node's data directory. `show`, `verify` and `policy` read; `card` is what a region asks to be admitted with.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::charter_new::{New, words};
use super::{Context, charter_words, passphrase};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::MAX_CHARTER;
use crate::federation::draft::{Card, Draft, MAX_DRAFT, Tally};
use crate::federation::policy::tlog_policy;
use crate::node::charters::{keep_latest, read_chain, read_version};
use crate::node::cosigner_keys;
use crate::node::layout::Layout;
use crate::storage::durable::{read_bounded, write_atomic};
use crate::storage::keys;

/// The federation's charter.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Charter {
    #[command(about = "Составить проект следующей версии (или первой), без подписей")]
    New(Box<New>),
    #[command(about = "Подписать проект корневым ключом (на машине без сети)")]
    Sign(Sign),
    #[command(about = "Соединить файлы нескольких подписавших и сказать, хватает ли подписей")]
    Combine(Combine),
    #[command(about = "Ввести подписанный устав в действие на этом узле")]
    Publish(Publish),
    #[command(about = "Показать устав словами")]
    Show(Show),
    #[command(about = "Проверить цепочку уставов без сети по закреплённому SHA-256")]
    Verify(Verify),
    #[command(about = "Выгрузить политику журнала (C2SP tlog-policy)")]
    Policy(Policy),
    #[command(about = "Карточка региона: с нею просят о приёме в федерацию")]
    Card(CardCommand),
}

/// Where the charters are that a command reads.
#[derive(Debug, Args)]
pub(super) struct Source {
    #[arg(
        long,
        value_name = "FILE",
        help = "Файл устава вместо каталога данных; можно повторять, от закреплённого к новым"
    )]
    charter: Vec<PathBuf>,
    #[arg(long, help = "Устав журнала федерации (каталог federation), а не узла")]
    federation: bool,
}

impl Source {
    fn layout(&self, context: &Context) -> Result<Layout> {
        let own = Layout::new(&context.config()?.node.data_dir);
        Ok(if self.federation || !own.charter().exists() { own.federation() } else { own })
    }

    /// The chain, and the exact bytes of its newest version.
    pub(super) fn chain(&self, context: &Context) -> Result<(CharterChain, Vec<u8>)> {
        match self.charter.as_slice() {
            [] => {
                let layout = self.layout(context)?;
                let chain = read_chain(&layout)?;
                let bytes = read_version(&layout, &chain, chain.latest().charter().version)?;
                Ok((chain, bytes.unwrap_or_default()))
            }
            files => chain_of(files),
        }
    }
}

/// A chain from files, oldest first.
fn chain_of(files: &[PathBuf]) -> Result<(CharterChain, Vec<u8>)> {
    let mut chain: Option<(CharterChain, Vec<u8>)> = None;
    for path in files {
        let bytes = read_bounded(path, MAX_CHARTER as u64)?;
        let bytes = bytes.strip_suffix(b"\n").map_or(bytes.clone(), <[u8]>::to_vec);
        let done = match &mut chain {
            None => CharterChain::pinned(&bytes).map(|c| chain = Some((c, bytes))),
            Some((c, last)) => c.advance(&bytes).map(|_| *last = bytes),
        };
        done.map_err(|e| e.at(path.display()))?;
    }
    chain.ok_or_else(|| Error::refuse("charter.not-found", "no charter is named", "name its file"))
}

impl Charter {
    /// Runs the command.
    pub fn run(&self, context: &Context) -> Result<()> {
        match self {
            Charter::New(c) => c.run(context),
            Charter::Sign(c) => c.run(context),
            Charter::Combine(c) => c.run(context),
            Charter::Publish(c) => c.run(context),
            Charter::Show(c) => c.run(context),
            Charter::Verify(c) => c.run(context),
            Charter::Policy(c) => c.run(context),
            Charter::Card(c) => c.run(context),
        }
    }
}

fn read_draft(path: &Path) -> Result<Draft> {
    Draft::parse(&read_bounded(path, MAX_DRAFT as u64)?).map_err(|e| e.at(path.display()))
}

/// Says what a draft is: its digest, what it changes, who has signed.
pub(super) fn print_draft(context: &Context, file: &Path, draft: &Draft) -> Result<()> {
    let (old, new) = draft.tally()?;
    let (words, sha) = (words(context, draft)?, draft.sha256()?.to_string());
    let signed: Vec<String> = draft.signed_by()?.iter().map(ToString::to_string).collect();
    let version = draft.charter.version;
    let complete = new.is_enough() && old.is_none_or(|t| t.is_enough());
    let value = json!({ "file": file, "version": version, "charter_sha256": sha, "says": words, "signed_by": signed, "before": old, "after": new, "complete": complete });
    context.out.result(&value, |out| {
        out.line(&out.pick(
            format!("Устав, версия {version}, проект {}:", file.display()),
            format!("Charter, version {version}, draft {}:", file.display()),
        ));
        words.iter().for_each(|w| out.line(&format!("  • {w}")));
        out.line(&out.pick(format!("SHA-256 устава: {sha}"), format!("SHA-256 of the charter: {sha}")));
        let count = |t: Tally| {
            out.pick(
                format!("{} из {} нужных (ключей {})", t.signed, t.needed, t.keys),
                format!("{} of {} needed ({} keys)", t.signed, t.needed, t.keys),
            )
        };
        if let Some(old) = old {
            out.line(&format!(
                "{}: {}",
                out.say("Подписей по прежней версии", "Signatures for the version before"),
                count(old)
            ));
        }
        out.line(&format!("{}: {}", out.say("Подписей по этой версии", "Signatures for this version"), count(new)));
        signed.iter().for_each(|kid| out.line(&format!("  ✓ {kid}")));
    });
    Ok(())
}

/// Signs a draft.
#[derive(Debug, Args)]
pub struct Sign {
    #[arg(help = "Файл проекта")]
    file: PathBuf,
    #[arg(long, value_name = "KEY", help = "Файл корневого ключа")]
    key: PathBuf,
    #[arg(long, help = "Не спрашивать подтверждения")]
    yes: bool,
    #[arg(long, value_name = "FILE", help = "Куда записать (по умолчанию тот же файл)")]
    out: Option<PathBuf>,
}

impl Sign {
    fn run(&self, context: &Context) -> Result<()> {
        let mut draft = read_draft(&self.file)?;
        let key = keys::read(&self.key, &passphrase(context, true)?)?;
        if !self.yes {
            print_draft(context, &self.file, &draft)?;
            confirm(context)?;
        }
        draft.sign(&key)?;
        let file = self.out.as_ref().unwrap_or(&self.file);
        write_atomic(file, draft.to_text()?.as_bytes())?;
        print_draft(context, file, &draft)
    }
}

/// The holder types «да» or «yes»; nothing else signs.
fn confirm(context: &Context) -> Result<()> {
    eprintln!("{}", context.out.say("Подписать именно это? Напишите «да»:", "Sign exactly this? Write «yes»:"));
    let mut line = String::new();
    // An end of input is no consent.
    let _ = std::io::stdin().read_line(&mut line);
    match matches!(line.trim(), "да" | "yes") {
        true => Ok(()),
        false => Err(Error::refuse(
            "charter.not-signed",
            "it was not confirmed",
            "compare the SHA-256, then confirm or use --yes",
        )),
    }
}

/// Joins drafts.
#[derive(Debug, Args)]
pub struct Combine {
    #[arg(required = true, help = "Файлы подписавших")]
    files: Vec<PathBuf>,
    #[arg(long, value_name = "FILE", help = "Куда записать соединённый проект")]
    out: PathBuf,
}

impl Combine {
    fn run(&self, context: &Context) -> Result<()> {
        let mut drafts = self.files.iter().map(|f| read_draft(f));
        let Some(mut all) = drafts.next().transpose()? else { return Ok(()) };
        for draft in drafts {
            all.join(&draft?)?;
        }
        write_atomic(&self.out, all.to_text()?.as_bytes())?;
        print_draft(context, &self.out, &all)?;
        let at = self.out.display();
        match all.envelope() {
            Ok(_) => context
                .out
                .next(&[&format!("domovoi charter publish {at}")], &[&format!("domovoi charter publish {at}")]),
            Err(_) => context.out.next(
                &["соберите подписи остальных и соедините файлы ещё раз"],
                &["get the others' signatures and combine the files again"],
            ),
        }
        Ok(())
    }
}

/// Takes a charter into a node.
#[derive(Debug, Args)]
pub struct Publish {
    #[arg(required = true, help = "Подписанный проект или файлы устава, от старых к новым")]
    files: Vec<PathBuf>,
    #[arg(long, help = "Устав журнала федерации (каталог federation), а не узла")]
    federation: bool,
    #[arg(
        long,
        value_name = "SHA256",
        help = "Закрепить устав с этим SHA-256 вместо прежнего: только до первого запуска узла"
    )]
    pin: Option<String>,
    #[arg(long, value_name = "FILE", help = "Записать устав и в файл, чтобы раздать его другим")]
    out: Option<PathBuf>,
}

/// The charter in a file: of a signed draft, or as it is.
fn charter_in(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bounded(path, MAX_DRAFT as u64)?;
    match Draft::parse(&bytes) {
        Ok(draft) => draft.envelope().map_err(|e| e.at(path.display())),
        Err(e) if bytes.starts_with(b"{\n") => Err(e.at(path.display())),
        Err(_) => Ok(bytes.strip_suffix(b"\n").map_or(bytes.clone(), <[u8]>::to_vec)),
    }
}

impl Publish {
    fn run(&self, context: &Context) -> Result<()> {
        let own = Layout::new(&context.config()?.node.data_dir);
        let layout = if self.federation { own.federation() } else { own };
        let mut files = self.files.iter();
        if let (Some(pin), Some(file)) = (&self.pin, files.as_slice().first()) {
            pin_first(&layout, &charter_in(file)?, pin)?;
            files.next();
        }
        let mut chain = read_chain(&layout)?;
        let mut taken = 0;
        for file in files {
            let bytes = charter_in(file)?;
            if chain.advance(&bytes).map_err(|e| e.at(file.display()))? {
                keep_latest(&layout, &chain, &bytes)?;
                taken += 1;
            }
        }
        let (version, sha) = (chain.latest().charter().version, chain.latest().sha256().to_string());
        if let Some(out) = &self.out {
            write_atomic(out, &read_version(&layout, &chain, version)?.unwrap_or_default())?;
        }
        let value = json!({ "version": version, "charter_sha256": sha, "taken": taken });
        context.out.result(&value, |out| {
            out.line(&out.pick(
                format!("Действует устав версии {version}, новых версий: {taken}. SHA-256: {sha}"),
                format!("The charter in place is of version {version}, new versions: {taken}. SHA-256: {sha}"),
            ));
        });
        context.out.next(
            &["перезапустите узел: он примет устав при запуске; следящие узлы возьмут его сами"],
            &["restart the node: it adopts the charter when it starts; whoever follows takes it by itself"],
        );
        Ok(())
    }
}

/// Pins another charter in the place of the one `init` made. The log's first entry names the charter it began under, so
/// that is possible only before there is one.
fn pin_first(layout: &Layout, bytes: &[u8], pin: &str) -> Result<()> {
    let chain = CharterChain::pinned(bytes)?;
    let sha = chain.first().sha256().to_string();
    if sha != pin {
        return Err(Error::refuse(
            "charter.pin",
            format!("the charter is {sha}, to be pinned is {pin}"),
            "compare the SHA-256 with the one that was said aloud when it was signed",
        ));
    }
    if layout.log().join("checkpoint").exists() {
        return Err(Error::refuse(
            "charter.begun",
            "the log of this node has begun under another charter",
            "a log keeps the chain that it began under: name its next version there, and let the federation's charter name the log",
        ));
    }
    if layout.has_own_log() {
        chain.of_log(&layout.origin()?)?;
    }
    write_atomic(&layout.charter(), bytes)
}

/// Prints a charter.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    source: Source,
    #[arg(help = "Версия (по умолчанию последняя)")]
    number: Option<u64>,
}

impl Show {
    fn run(&self, context: &Context) -> Result<()> {
        let (chain, _) = self.source.chain(context)?;
        let version = self.number.unwrap_or(chain.latest().charter().version);
        let Some(charter) = chain.version(version) else {
            return Err(Error::refuse(
                "charter.not-found",
                format!("there is no version {version}"),
                "see the versions that are there",
            ));
        };
        let sha = charter.sha256().to_string();
        let expired = charter.is_expired(crate::node::now_ms());
        let said = charter_words::whole(charter.charter())?;
        let value = json!({ "charter_sha256": sha, "pinned_sha256": chain.first().sha256().to_string(), "newest": chain.latest().charter().version, "expired": expired, "charter": charter.charter() });
        context.out.result(&value, |out| {
            said.into_iter().for_each(|(ru, en)| out.line(&out.pick(ru, en)));
            out.line(&out.pick(format!("SHA-256 устава: {sha}"), format!("SHA-256 of the charter: {sha}")));
            if expired {
                out.line(out.say(
                    "Срок устава истёк: ответы устарели, записи действуют",
                    "The charter has expired: answers are stale, records stand",
                ));
            }
        });
        Ok(())
    }
}

/// Verifies a chain.
#[derive(Debug, Args)]
pub struct Verify {
    #[arg(required = true, help = "Файлы уставов, от закреплённого к новым")]
    files: Vec<PathBuf>,
    #[arg(long, value_name = "SHA256", help = "SHA-256 первого из них, полученный другим путём")]
    pin: String,
}

impl Verify {
    fn run(&self, context: &Context) -> Result<()> {
        let (chain, _) = chain_of(&self.files)?;
        let sha = chain.first().sha256().to_string();
        if sha != self.pin {
            return Err(Error::refuse(
                "charter.pin",
                format!("the first charter is {sha}, pinned is {}", self.pin),
                "compare the SHA-256 with the one that was said aloud when it was signed",
            ));
        }
        let versions: Vec<_> = chain
            .versions()
            .iter()
            .map(|c| json!({ "version": c.charter().version, "charter_sha256": c.sha256().to_string() }))
            .collect();
        let last = chain.latest();
        let value = json!({ "versions": versions, "expired": last.is_expired(crate::node::now_ms()) });
        context.out.result(&value, |out| {
            out.line(&out.pick(
                format!(
                    "Цепочка верна: версии {}–{}, SHA-256 последней: {}",
                    chain.first().charter().version,
                    last.charter().version,
                    last.sha256()
                ),
                format!(
                    "The chain is good: versions {} to {}, SHA-256 of the last: {}",
                    chain.first().charter().version,
                    last.charter().version,
                    last.sha256()
                ),
            ));
        });
        Ok(())
    }
}

/// Exports a policy.
#[derive(Debug, Args)]
pub struct Policy {
    #[command(flatten)]
    source: Source,
    #[arg(long, help = "Имя журнала")]
    log: String,
}

impl Policy {
    fn run(&self, context: &Context) -> Result<()> {
        let (chain, _) = self.source.chain(context)?;
        let policy = tlog_policy(chain.latest().charter(), &self.log)?;
        context.out.result(&json!({ "policy": policy }), |out| out.line(policy.trim_end()));
        Ok(())
    }
}

/// Makes a region's card.
#[derive(Debug, Args)]
pub struct CardCommand {
    #[arg(
        long,
        value_name = "KEY",
        help = "Корневой ключ региона; можно повторять (по умолчанию keys/region-root.pem)"
    )]
    root: Vec<PathBuf>,
    #[arg(long, value_name = "FILE", help = "Куда записать карточку")]
    out: PathBuf,
}

impl CardCommand {
    fn run(&self, context: &Context) -> Result<()> {
        let layout = Layout::new(&context.config()?.node.data_dir);
        let mut region = read_chain(&layout)?.region(&layout.origin()?)?.clone();
        region.standing = None;
        let passphrase = passphrase(context, true)?;
        region.cosigners = cosigner_keys::for_charter(&layout)?.or(region.cosigners);
        let files = if self.root.is_empty() { vec![layout.key("region-root")] } else { self.root.clone() };
        let roots = files.iter().map(|f| keys::read(f, &passphrase)).collect::<Result<Vec<_>>>()?;
        let bytes = Card::sign(&region, &roots.iter().collect::<Vec<_>>())?;
        Card::open(&bytes)?;
        write_atomic(&self.out, &bytes)?;
        let file = self.out.display().to_string();
        context.out.result(&json!({ "card": file, "region": region }), |out| {
            out.line(&out.pick(
                format!("Карточка региона {}: {file}", region.code),
                format!("Card of region {}: {file}", region.code),
            ));
        });
        Ok(())
    }
}
