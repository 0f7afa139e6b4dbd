//! Commands that work on files: `fsck`, `reindex`, `backup`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Context;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::node::charters::read_chain;
use crate::node::cosigner_keys::Role;
use crate::node::federation_check::{self, Checked};
use crate::node::layout::Layout;
use crate::node::load::{load, ring_of};
use crate::node::open_index;
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::state::State;
use crate::storage::backup;
use crate::storage::fsck::{self, DirSource, FsckSource};
use crate::storage::index::Index;
use crate::storage::lock::Lock;
use crate::storage::log_store::LogReader;
use crate::sync::charters::fetch_chain;
use crate::sync::client::Peer;
use crate::sync::cut::CutCheck;
use crate::sync::url_source::UrlSource;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::VerifierKey;

/// Checks a log completely.
#[derive(Debug, Args)]
pub struct Fsck {
    #[arg(
        help = "Каталог журнала, каталог данных узла или адрес узла (по умолчанию — свой); с --mirror — имя журнала"
    )]
    what: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        requires = "what",
        conflicts_with = "repair",
        help = "Адрес узла, у которого лежит копия этого журнала: проверить её там"
    )]
    mirror: Option<String>,
    #[arg(long, help = "Ключ журнала (строка vkey), если рядом нет устава")]
    vkey: Option<String>,
    #[arg(long, help = "Исправить то, что можно восстановить из самого каталога; узел должен быть остановлен")]
    repair: bool,
    #[arg(long, value_name = "DIR", requires = "repair", help = "Копия узла, из которой взять недостающее")]
    from: Option<PathBuf>,
}

impl Fsck {
    /// Every tile, bundle, hash, signature, record, rule and state root.
    pub fn run(&self, context: &Context) -> Result<()> {
        let what = self.what.clone().unwrap_or_else(|| context.common.data.display().to_string());
        let runtime = super::api::runtime()?;
        let repaired = match self.repair {
            true if what.starts_with("http") || self.mirror.is_some() => {
                return Err(Error::refuse(
                    "fsck.remote",
                    "a node's address cannot be repaired from here",
                    "name its data directory, on its machine",
                ));
            }
            true => super::repair::run(&context.out, std::path::Path::new(&what), self.from.as_deref())?.done,
            false => Vec::new(),
        };
        let federation = match what.starts_with("http") || self.mirror.is_some() {
            true => None,
            false => federation_of(Path::new(&what))
                .map(|(log, node)| FederationFound::check(context, &log, node.as_ref()))
                .transpose()?,
        };
        if let Some(found) = federation.as_ref().filter(|f| f.alone) {
            return found.print(context, repaired);
        }
        let remote = |url: &str| {
            let ca =
                context.common.ca.as_ref().map(|p| crate::storage::durable::read_bounded(p, 1 << 20)).transpose()?;
            Peer::new(url.trim_end_matches('/'), ca.as_deref())
        };
        let (source, chain): (Box<dyn FsckSource>, _) = if let Some(url) = &self.mirror {
            // Whoever keeps the copy has no say in which keys are the log's.
            let source = UrlSource::new(remote(url)?.copy_of(&what), runtime.handle().clone());
            (Box::new(source), charters_of(&Layout::new(&context.common.data), &what)?)
        } else if what.starts_with("http") {
            let peer = remote(&what)?;
            let chain = runtime.block_on(fetch_chain(&peer)).ok();
            (Box::new(UrlSource::new(peer, runtime.handle().clone())), chain)
        } else {
            let given = PathBuf::from(&what);
            let (log, data) = match given.join("log").is_dir() {
                true => (given.join("log"), given),
                false => (given.clone(), given.parent().map(PathBuf::from).unwrap_or_default()),
            };
            let data = Layout::new(&data);
            // A charter that is there and does not verify is a finding, not a log without a charter.
            let chain = data.charter().exists().then(|| read_chain(&data)).transpose()?;
            (Box::new(DirSource::new(&log)), chain)
        };
        let note = source.read(&crate::tlog::tile::LogPath::Checkpoint, 8192)?;
        let origin =
            note.as_deref().and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| n.lines().next().map(str::to_owned));
        if let (Some(url), Some(served)) = (&self.mirror, origin.as_deref().filter(|o| *o != what)) {
            return Err(Error::isolate(
                "peer.copy",
                format!("{url} serves the log «{served}» in the place of «{what}»"),
                "do not rely on that node; take another copy",
            ));
        }
        let charters = chain.as_ref().and_then(|c| c.of_log(origin.as_deref()?).ok());
        // Which charter the log has adopted last is not known before it is read: the newest that signed it.
        let signed_by = |key: &&VerifierKey| {
            note.as_deref().zip(origin.as_deref()).is_some_and(|(n, o)| Checkpoint::open(n, key, o).is_ok())
        };
        let vkey: Option<VerifierKey> = match (&self.vkey, &charters) {
            (Some(v), _) => Some(VerifierKey::parse(v.trim())?),
            (None, Some(c)) => {
                let keys: Vec<&VerifierKey> = c.versions().iter().rev().map(|j| &j.log_key).collect();
                Some(keys.iter().copied().find(signed_by).unwrap_or(keys[0]).clone())
            }
            (None, None) => None,
        };
        let mut history = charters.as_ref().map(|c| CutCheck::new(c.clone()));
        let mut replay = charters.map(|charters| {
            let state = State::new(charters);
            let (preparer, ring) = (Preparer::after(&state, Trust::Verify), ring_of(&state));
            (preparer, state, Replay::default(), ring)
        });
        let bar = context.out.progress(0, "Проверка", "Checking");
        let mut records = Ok(());
        let report = fsck::check(
            source.as_ref(),
            vkey.as_ref(),
            &mut |first, entries| {
                history.iter_mut().for_each(|h| h.take(entries));
                if let (Some((preparer, state, replay, ring)), true) = (&mut replay, records.is_ok()) {
                    let chunk = preparer.prepare(first, entries, ring);
                    records =
                        replay.apply(state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at));
                }
                Ok(())
            },
            &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            },
        )?;
        bar.finish_and_clear();
        let mut problems: Vec<Error> = report.problems;
        problems.extend(records.err());
        if let Some((_, state, _, _)) = &replay
            && problems.is_empty()
            && state.size() != report.size
        {
            problems.push(Error::refuse(
                "log.commit",
                "the log does not end at a state.committed",
                "restore it from a mirror",
            ));
        }
        if let (Some(history), Some((_, state, _, _)), true) = (history, &replay, problems.is_empty()) {
            let signed = |key: &VerifierKey| signed_by(&key);
            problems.extend(history.finish(state.charter(), report.size, signed).err());
        }
        problems.extend(federation.iter().flat_map(|f| f.problems()));
        let mut notes: Vec<String> = federation.iter().flat_map(|f| f.notes(context)).collect();
        let mut note = |ru: &str, en: &str| notes.push(context.out.say(ru, en).to_owned());
        if vkey.is_none() {
            note(
                "подпись контрольной точки не проверена: нет ни устава, ни --vkey",
                "the checkpoint's signature was not checked: neither a charter nor --vkey",
            );
        }
        if replay.is_none() {
            note("записи и правила не проверены: нет устава", "records and rules were not checked: no charter");
        }
        let root = replay.as_ref().and_then(|(_, s, _, _)| s.head()).map(|h| data_encoding::HEXLOWER.encode(&h.root));
        let mut value = json!({ "origin": report.origin, "size": report.size, "root": report.root.to_string(), "state_root": root, "repaired": repaired });
        if let Some(found) = &federation {
            value["federation"] = found.value();
        }
        let line = format!("{}: {} ({})", report.origin, report.size, report.root);
        print_checked(context, value, &[line], &repaired, &notes, &problems)
    }
}

/// The charters that this data directory has of a log: its own ones, or those of the copy it keeps.
fn charters_of(data: &Layout, origin: &str) -> Result<Option<CharterChain>> {
    for layout in [data.clone(), data.mirror(origin)] {
        if layout.charter().exists() {
            let chain = read_chain(&layout)?;
            if chain.of_log(origin).is_ok() {
                return Ok(Some(chain));
            }
        }
    }
    Ok(None)
}

/// Says what a check found; an error where that is a problem.
fn print_checked(
    context: &Context,
    mut value: serde_json::Value,
    lines: &[String],
    repaired: &[String],
    notes: &[String],
    problems: &[Error],
) -> Result<()> {
    let list: Vec<_> =
        problems.iter().map(|p| json!({ "code": p.code(), "detail": p.detail(), "remedy": p.remedy() })).collect();
    (value["notes"], value["problems"]) = (json!(notes), json!(list));
    context.out.result(&value, |out| {
        lines.iter().for_each(|l| out.line(l));
        repaired.iter().for_each(|r| out.line(&format!("✓ {r}")));
        notes.iter().for_each(|n| out.line(n));
        for p in problems {
            let what = p.russian().map_or("", |(what, _)| what);
            out.line(
                &out.pick(
                    format!("✗ [{}] {what} ({})", p.code(), p.detail()),
                    format!("✗ [{}] {}", p.code(), p.detail()),
                ),
            );
        }
        if problems.is_empty() {
            out.line(out.say("Журнал цел.", "The log is whole."));
        }
    });
    match problems.len() {
        0 => Ok(()),
        n => Err(Error::refuse(
            "fsck.problems",
            format!("{n} problems"),
            "restore the damaged files from a mirror or a backup",
        )),
    }
}

/// The federation's log in a node's data directory, or in its folder `federation` alone, and the node it is of.
fn federation_of(given: &Path) -> Option<(Layout, Option<Layout>)> {
    let data = Layout::new(given);
    if data.federation().has_own_log() {
        return Some((data.federation(), Some(data)));
    }
    let origin = data.origin().ok()?;
    let named = read_chain(&data).ok()?.latest().federation()?.origin;
    (*named == *origin).then_some((data, None))
}

/// What the check of a federation's log found.
struct FederationFound {
    checked: Checked,
    /// False where a node's own log is checked beside it.
    alone: bool,
    recomputed: bool,
}

impl FederationFound {
    fn check(context: &Context, log: &Layout, node: Option<&Layout>) -> Result<FederationFound> {
        let bar = context.out.progress(0, "Проверка журнала федерации", "Checking the federation's log");
        let checked = federation_check::check(log, node, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        let whole = checked.report.problems.is_empty() && checked.steps > 0;
        let recomputed = node.is_some() && whole && checked.without_copy.is_empty();
        Ok(FederationFound { checked, recomputed, alone: node.is_none_or(|n| !n.has_own_log()) })
    }

    fn problems(&self) -> impl Iterator<Item = Error> + '_ {
        self.checked.report.problems.iter().cloned()
    }

    fn value(&self) -> serde_json::Value {
        let (report, without) = (&self.checked.report, &self.checked.without_copy);
        json!({ "origin": report.origin, "size": report.size, "root": report.root.to_string(), "steps": self.checked.steps,
            "recomputed": self.recomputed, "without_copy": without.iter().map(ToString::to_string).collect::<Vec<_>>() })
    }

    fn notes(&self, context: &Context) -> Vec<String> {
        let codes: Vec<String> = self.checked.without_copy.iter().map(ToString::to_string).collect();
        let codes = codes.join(", ");
        match (self.recomputed, self.checked.report.problems.is_empty()) {
            (true, _) => vec![context.out.pick(
                "итог федерации пересчитан по журналам регионов".to_owned(),
                "the federation's roots were computed again from the regions' logs".to_owned(),
            )],
            (_, true) => vec![context.out.pick(
                format!("итог федерации не пересчитан: здесь нет журналов регионов ({codes})"),
                format!("the federation's roots were not computed again: the regions' logs are not here ({codes})"),
            )],
            _ => Vec::new(),
        }
    }

    fn print(&self, context: &Context, repaired: Vec<String>) -> Result<()> {
        let (report, mut value) = (&self.checked.report, self.value());
        (value["state_root"], value["repaired"]) = (serde_json::Value::Null, json!(repaired));
        let line = format!("{}: {} ({})", report.origin, report.size, report.root);
        let problems: Vec<Error> = self.problems().collect();
        print_checked(context, value, &[line], &repaired, &self.notes(context), &problems)
    }
}

/// Rebuilds the index.
#[derive(Debug, Args)]
pub struct Reindex {
    #[arg(long, help = "Имя журнала, за которым узел следит, вместо собственного")]
    log: Option<String>,
}

impl Reindex {
    /// Empties the index and replays the log into it.
    pub fn run(&self, context: &Context) -> Result<()> {
        let mut layout = Layout::new(&context.config()?.node.data_dir);
        if let Some(log) = &self.log {
            layout = layout.mirror(log);
        }
        let origin = layout.origin()?;
        let charters = read_chain(&layout)?.of_log(&origin)?;
        // A running node holds the lock; two writers of one index would ruin it.
        let _lock = Lock::acquire(&layout.private().join("lock"))?;
        let reader = LogReader::open(&layout.log())?;
        let mut index = open_index(&layout)?;
        let before = index.applied()?;
        index.wipe()?;
        crate::storage::durable::remove(&layout.hot())?;
        let bar = context.out.progress(0, "Построение индекса", "Rebuilding the index");
        let (state, _) = load(&reader, &mut index, &charters, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        let root = state.head().map(|h| data_encoding::HEXLOWER.encode(&h.root)).unwrap_or_default();
        let same = before.filter(|b| b.size == state.size()).map(|b| data_encoding::HEXLOWER.encode(&b.root) == root);
        let value = json!({ "log": origin, "size": state.size(), "subjects": state.len(), "state_root": root, "same_as_before": same });
        context.out.result(&value, |out| {
            out.line(&out.pick(
                format!("Индекс построен: записей {}, корень состояния {root}", state.size()),
                format!("The index is rebuilt: {} entries, state root {root}", state.size()),
            ));
        });
        Ok(())
    }
}

/// What a backup of a data directory has beside the log: by its name there, and where it lies.
fn files_of(layout: &Layout) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for name in ["charter.json", "origin", "log.vkey", "domovoi.toml"] {
        files.push((name.to_owned(), layout.data().join(name)));
    }
    for role in ["federation-root", "region-root", "log", "commit", "operator"] {
        files.push((format!("keys/{role}.pem"), layout.key(role)));
    }
    // Not the witness's: what it has cosigned would come back older than it was, and it must not go on from there.
    for role in [Role::Mirror, Role::Verifier].map(Role::file) {
        files.push((format!("keys/{role}.pem"), layout.key(role)));
        files.push((format!("keys/{role}.vkey"), layout.cosigner(role)));
    }
    files.retain(|(_, path)| path.exists());
    for entry in std::fs::read_dir(layout.charters()).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|n| n.ends_with(".json")) {
            files.push((format!("charters/{name}"), entry.path()));
        }
    }
    files
}

/// Copies a running node.
#[derive(Debug, Args)]
pub struct Backup {
    #[arg(help = "Новый каталог для копии")]
    out: PathBuf,
}

impl Backup {
    /// The log up to its published checkpoint, charter, keys (as they are, encrypted), configuration; verified.
    pub fn run(&self, context: &Context) -> Result<()> {
        let layout = Layout::new(&context.config()?.node.data_dir);
        let reader = LogReader::open(&layout.log())?;
        let federation = match layout.federation() {
            f if f.has_own_log() => Some((LogReader::open(&f.log())?, files_of(&f))),
            _ => None,
        };
        let part = federation.as_ref().map(|(reader, files)| (reader, files.as_slice()));
        let report = backup::backup_with(&reader, &files_of(&layout), part, &self.out)?;
        let value = json!({ "out": self.out, "size": report.size, "files": report.files });
        let out_dir = self.out.display();
        context.out.result(&value, |out| {
            out.line(&out.pick(
                format!("Копия снята и проверена: {out_dir}, записей {}", report.size),
                format!("The copy is made and verified: {out_dir}, {} entries", report.size),
            ));
        });
        context.out.next(
            &[&format!("domovoi --data НОВЫЙ restore {out_dir}")],
            &[&format!("domovoi --data NEW restore {out_dir}")],
        );
        Ok(())
    }
}
