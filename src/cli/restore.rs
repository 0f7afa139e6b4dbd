//! `domovoi restore`: a node from a backup, or from the copies of its log that other nodes keep.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::task::JoinHandle;

use super::Context;
use super::init::config_text;
use crate::error::{Error, Result};
use crate::node::config::Config;
use crate::node::cosign::{CosignedView, Signed};
use crate::node::layout::Layout;
use crate::storage::backup;
use crate::storage::durable::{create_dir, read_bounded, write_atomic, write_private};
use crate::storage::log_store::LogReader;
use crate::sync::client::Peer;
use crate::sync::own_head::Keeper;
use crate::sync::rebuild::marker;
use crate::sync::restore::{Restored, Survey, restore, survey};

/// Restores a node.
#[derive(Debug, Args)]
pub struct Restore {
    #[arg(help = "Каталог копии", required_unless_present = "from_peers", conflicts_with = "from_peers")]
    from: Option<PathBuf>,
    #[arg(long, help = "Собрать журнал по копиям у других узлов", requires_all = ["origin", "charter_sha256"])]
    from_peers: bool,
    #[arg(long, help = "Имя журнала, например chats.example.ru/77", requires = "from_peers")]
    origin: Option<String>,
    #[arg(long, help = "SHA-256 устава, с которого начинал узел", requires = "from_peers")]
    charter_sha256: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help = "Узел, который следит за этим журналом; можно несколько раз",
        requires = "from_peers"
    )]
    peer: Vec<String>,
    #[arg(long, help = "Файл PEM, которому доверять (сертификаты для разработки этих узлов)", requires = "from_peers")]
    peer_ca: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = "Каталог с сохранёнными ключами узла (keys)", requires = "from_peers")]
    keys: Option<PathBuf>,
    #[arg(long, default_value = "127.0.0.1:8443", help = "Где принимать соединения", requires = "from_peers")]
    listen: String,
    #[arg(long, help = "Только спросить и показать, что было бы восстановлено", requires = "from_peers")]
    dry_run: bool,
}

impl Restore {
    /// Into an empty data directory. The node then signs nothing until it is clear that nobody saw more.
    pub fn run(&self, context: &Context) -> Result<()> {
        match (&self.from, &self.origin, &self.charter_sha256) {
            (None, Some(origin), Some(pin)) => self.rebuild(context, origin, pin),
            (Some(from), _, _) => from_backup(context, from),
            _ => Err(Error::refuse("restore.argument", "neither a copy nor --from-peers is given", "name one")),
        }
    }

    fn rebuild(&self, context: &Context, origin: &str, pin: &str) -> Result<()> {
        let layout = Layout::new(&context.common.data);
        let begun = must_be_new(&layout, origin)?;
        let keepers = self.keepers(context, &layout, origin)?;
        let runtime = super::api::runtime()?;
        let found = runtime.block_on(survey(&keepers, origin, pin))?;
        if self.dry_run {
            print_survey(context, &found, begun);
            return Ok(());
        }
        if let Some(keys) = &self.keys {
            copy_keys(keys, &layout)?;
        }
        let longest = found.heads.first().map_or(0, |(_, head)| head.checkpoint().size);
        let bar = context.out.progress(longest, "Получение и проверка", "Fetching and verifying");
        let mut looking: Option<JoinHandle<()>> = None;
        let restored = runtime.block_on(restore(&layout, origin, &found, |watch| {
            let bar = bar.clone();
            let next = tokio::spawn(async move {
                loop {
                    bar.set_position(watch.kept());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            if let Some(last) = looking.replace(next) {
                last.abort();
            }
        }));
        if let Some(looking) = looking {
            looking.abort();
        }
        bar.finish_and_clear();
        let restored = restored?;
        self.configure(context, &layout, &found, origin)?;
        print_restored(context, &layout, &found, &restored);
        Ok(())
    }

    /// Whom to ask: the nodes on the command line, and the mirrors of a configuration that is there already.
    fn keepers(&self, context: &Context, layout: &Layout, origin: &str) -> Result<Vec<Keeper>> {
        let ca = self.peer_ca.as_ref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
        let mut found = Vec::new();
        for (n, url) in self.peer.iter().enumerate() {
            let peer = Peer::new(url.trim_end_matches('/'), ca.as_deref())?;
            found.extend(Keeper::of_node(&format!("peer-{}", n + 1), &peer, origin, true));
        }
        if layout.config().exists() || context.common.config.is_some() {
            for mirror in &context.config()?.mirror {
                let ca = mirror.ca.as_ref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
                let peer = Peer::new(&mirror.url, ca.as_deref())?;
                found.extend(Keeper::of_node(&mirror.name, &peer, origin, true));
            }
        }
        match found.is_empty() {
            false => Ok(found),
            true => Err(Error::refuse(
                "restore.argument",
                "no node is named that could have a copy",
                "name the nodes that follow this log with --peer",
            )),
        }
    }

    /// A configuration where there is none: the node asks the same nodes at every start.
    fn configure(&self, context: &Context, layout: &Layout, found: &Survey, origin: &str) -> Result<()> {
        if layout.config().exists() || context.common.config.is_some() {
            return Ok(());
        }
        let url = found.chain.region(origin)?.url.to_string();
        let mut text = config_text(&self.listen, &url);
        for (n, url) in self.peer.iter().enumerate() {
            let url = toml::Value::from(url.trim_end_matches('/'));
            text.push_str(&format!("\n[[mirror]]\nname = \"peer-{}\"\nurl = {url}\n", n + 1));
            if let Some(ca) = &self.peer_ca {
                let path = std::path::absolute(ca).unwrap_or_else(|_| ca.clone());
                text.push_str(&format!("ca = {}\n", toml::Value::from(path.display().to_string())));
            }
        }
        Config::from_layers(&text, &layout.config(), &[], &[])?;
        write_atomic(&layout.config(), text.as_bytes())
    }
}

/// A directory without a log, or one in which this very restore was interrupted: then true.
fn must_be_new(layout: &Layout, origin: &str) -> Result<bool> {
    let begun = crate::storage::durable::read_optional(&marker(layout.data()), 512)?;
    if let Some(of) = begun {
        return match of == origin.as_bytes() {
            true => Ok(true),
            false => Err(Error::refuse(
                "restore.not-empty",
                format!("{} holds an unfinished restore of another log", layout.data().display()),
                "name a new directory",
            )),
        };
    }
    let taken = [layout.log(), layout.private(), layout.index(), layout.origin_file(), layout.data().join("FORMAT")];
    match taken.iter().find(|path| path.exists()) {
        None => Ok(false),
        Some(path) => Err(Error::refuse(
            "restore.not-empty",
            format!("{} exists: this directory holds a node", path.display()),
            "name a new directory; a node that is behind is brought up by «domovoi serve»",
        )),
    }
}

fn copy_keys(from: &Path, layout: &Layout) -> Result<()> {
    create_dir(&layout.data().join("keys"))?;
    let names = std::fs::read_dir(from).map_err(|e| crate::storage::durable::read_error(from, &e))?;
    for entry in names.flatten() {
        let name = entry.file_name();
        if Path::new(&name).extension().is_some_and(|e| e == "pem") {
            write_private(&layout.data().join("keys").join(&name), &read_bounded(&entry.path(), 1 << 16)?)?;
        }
    }
    Ok(())
}

fn heads_value(found: &Survey) -> Vec<serde_json::Value> {
    let head = |(keeper, head): &(Keeper, crate::tlog::checkpoint::VerifiedCheckpoint)| json!({ "peer": keeper.peer.url(), "keeps": if keeper.has_copy() { "copy" } else { "head" }, "size": head.checkpoint().size, "root": head.checkpoint().root.to_string() });
    found.heads.iter().map(head).collect()
}

fn print_survey(context: &Context, found: &Survey, begun: bool) {
    let value = json!({ "heads": heads_value(found), "silent": found.silent, "charter": found.chain.latest().charter().version, "begun": begun });
    context.out.result(&value, |out| {
        let head = [
            out.say("Узел", "Node"),
            out.say("Хранит", "Keeps"),
            out.say("Записей", "Entries"),
            out.say("Корень", "Root"),
        ];
        let rows = found.heads.iter().map(|(keeper, head)| {
            let head = head.checkpoint();
            let keeps = if keeper.has_copy() {
                out.say("копию", "a copy")
            } else {
                out.say("голову (свидетель)", "the head (witness)")
            };
            vec![keeper.peer.url().to_owned(), keeps.to_owned(), head.size.to_string(), head.root.to_string()]
        });
        out.table(&head, rows);
        found.silent.iter().for_each(|line| out.line(line));
    });
}

fn print_restored(context: &Context, layout: &Layout, found: &Survey, restored: &Restored) {
    let keys = layout.key("log").exists() && layout.key("commit").exists();
    let root = restored.state_root.map(|r| data_encoding::HEXLOWER.encode(&r));
    let value = json!({ "data": layout.data(), "size": restored.size, "root": restored.root.to_string(), "state_root": root,
        "from": restored.from, "ahead": restored.ahead, "cosigned": restored.cosigned, "keys": keys, "heads": heads_value(found), "silent": found.silent });
    context.out.result(&value, |out| {
        let (size, from) = (restored.size, &restored.from);
        out.line(&out.pick(
            format!("Журнал восстановлен и проверен: записей {size}, взят у «{from}»"),
            format!("The log is restored and verified: {size} entries, taken from «{from}»"),
        ));
        let CosignedView { witness, mirror, verifier } = restored.cosigned;
        let of = |s: Signed| format!("{} ({})", s.signed, s.needed);
        let (witness, mirror, verifier) = (of(witness), of(mirror), of(verifier));
        out.line(&out.pick(
            format!("Эту голову подписали (по уставу нужно): свидетели — {witness}, зеркала — {mirror}, проверяющие — {verifier}"),
            format!("That head was cosigned by (the charter asks for): witnesses {witness}, mirrors {mirror}, verifiers {verifier}"),
        ));
        if let Some(ahead) = restored.ahead {
            out.line(&out.pick(
                format!("ВНИМАНИЕ: подписан журнал длиннее, записей {ahead}, но их ни у кого нет"),
                format!("ATTENTION: a longer log was signed, {ahead} entries, but nobody has them"),
            ));
        }
    });
    let (at, size) = (layout.data().display(), restored.size);
    let serve = format!("domovoi --data {at} serve");
    let word = format!("domovoi --data {at} serve --confirm-restored-head {size}");
    let cut_ru = "новые ключи и новая версия устава с обрезкой журнала: «domovoi charter new --cut», раздел «Узел потерян» руководства";
    let cut_en =
        "new keys and a charter version with a cut: «domovoi charter new --cut», section «A lost node» of the manual";
    match (keys, restored.ahead) {
        (true, None) => context.out.next(
            &[
                &format!("{serve} — узел спросит остальных, читать его уже можно"),
                &format!("если потерянных ответов быть не могло: {word}"),
                &format!("иначе {cut_ru}"),
            ],
            &[
                &format!("{serve} — the node asks the others; it can be read already"),
                &format!("if no answer can have been lost: {word}"),
                &format!("otherwise {cut_en}"),
            ],
        ),
        (true, Some(_)) => context.out.next(
            &[
                "запустите все узлы, которые следят за этим журналом: недостающее может найтись",
                &format!("иначе {cut_ru}"),
            ],
            &["start every node that follows this log: the rest may turn up", &format!("otherwise {cut_en}")],
        ),
        (false, _) => context.out.next(
            &["ключей в каталоге нет: положите сохранённые в keys/", &format!("если ключи потеряны: {cut_ru}")],
            &[
                "there are no keys in the directory: put the saved ones into keys/",
                &format!("if the keys are lost: {cut_en}"),
            ],
        ),
    }
}

/// From a backup.
fn from_backup(context: &Context, from: &Path) -> Result<()> {
    let data = &context.common.data;
    let report = backup::restore(from, data)?;
    context.out.result(&json!({ "data": data, "size": report.size }), |out| {
        out.line(
            &out.pick(format!("Восстановлено записей: {}", report.size), format!("Entries restored: {}", report.size)),
        );
    });
    let (at, size, layout) = (data.display(), report.size, Layout::new(data));
    let mut confirm = String::new();
    if layout.has_own_log() {
        confirm.push_str(&format!(" --confirm-restored-head {size}"));
    }
    if layout.federation().has_own_log() {
        let size = LogReader::open(&layout.federation().log())?.size();
        confirm.push_str(&format!(" --confirm-restored-federation-head {size}"));
    }
    if confirm.is_empty() {
        return Ok(());
    }
    context.out.next(
        &[
            "если в настройках названы узлы с копиями журнала ([[mirror]]), запустите узел: он спросит их сам и догонит журнал",
            "если таких нет, спросите следящие узлы, не видели ли они журнал длиннее: domovoi follow на их стороне",
            &format!("если никто не видел больше: domovoi --data {at} serve{confirm}"),
        ],
        &[
            "if the configuration names nodes that keep copies of the log ([[mirror]]), start the node: it asks them itself and catches up",
            "if not, ask the nodes that follow you whether they saw a longer log: domovoi follow on their side",
            &format!("if nobody saw more: domovoi --data {at} serve{confirm}"),
        ],
    );
    Ok(())
}
