//! `domovoi fsck --repair`: what of a damaged data directory can be made whole from what is redundant in it, or taken from
//! another copy. Everything that is written is judged by the charter and the signed checkpoint; what is replaced or cannot be
//! restored is kept in `private/damaged/`.

use std::path::Path;

use super::output::Output;
use crate::error::{Error, Result};
use crate::federation::charter::{Charter, VerifiedCharter};
use crate::node::charters::read_chain;
use crate::node::layout::Layout;
use crate::storage::durable::{read_bounded, read_optional, write_atomic};
use crate::storage::fence::{Age, Fence};
use crate::storage::journal::Journal;
use crate::storage::lock::Lock;
use crate::storage::log_store::open_by_any;
use crate::storage::{format, repair};
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::LogPath;

/// What was done, one sentence each.
pub struct Repairs<'o> {
    out: &'o Output,
    /// The sentences.
    pub done: Vec<String>,
}

impl Repairs<'_> {
    fn say(&mut self, ru: String, en: String) {
        self.done.push(self.out.pick(ru, en));
    }
}

/// Repairs the data directory (or a mirror's) `data`; `from` is a backup of it or another copy, laid out alike.
///
/// Errors: `storage.locked` while a node works on it, `fsck.charter` where the charter itself is beyond help, those of
/// [`repair::repair`] and of the disk.
pub fn run<'o>(out: &'o Output, data: &Path, from: Option<&Path>) -> Result<Repairs<'o>> {
    let layout = Layout::new(data);
    let mut repairs = Repairs { out, done: Vec::new() };
    let private = layout.private();
    let _lock = Lock::acquire(&private.join("lock"))?;
    let own = layout.key("log").exists() || private.join("fence").exists();
    if own {
        marker(&layout, &mut repairs)?;
    }
    charter(&layout, from, &mut repairs)?;
    let chain = read_chain(&layout)?;
    let origin = origin(&layout, chain.latest(), &mut repairs)?;
    let charters = chain.of_log(&origin)?;
    let keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
    let vkey = &charters.latest().log_key;
    if own {
        let line = format!("{vkey}\n");
        if read_optional(&layout.vkey(), 4096)?.as_deref() != Some(line.as_bytes()) {
            write_atomic(&layout.vkey(), line.as_bytes())?;
            repairs
                .say("log.vkey записан заново по уставу".into(), "log.vkey was written anew from the charter".into());
        }
    }
    log(&layout, &keys, own, from, &mut repairs)?;
    Ok(repairs)
}

/// The marker of the format: written anew where it is damaged, not where it names another version.
fn marker(layout: &Layout, repairs: &mut Repairs<'_>) -> Result<()> {
    let Err(wrong) = format::check(layout.data()) else { return Ok(()) };
    let found = read_optional(&layout.data().join(format::FILE), 256).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&found).into_owned();
    let other = text.strip_prefix("domovoi data ").and_then(|n| n.strip_suffix('\n')?.parse::<u32>().ok());
    if other.is_some() {
        return Err(wrong);
    }
    format::create(layout.data())?;
    repairs.say("FORMAT записан заново".into(), "FORMAT was written anew".into());
    Ok(())
}

fn damaged_charter(layout: &Layout, why: &str) -> Error {
    Error::stop(
        "fsck.charter",
        format!("{}: {why}", layout.charter().display()),
        "restore charter.json from a backup, or give one with --from: its SHA-256 is the one you gave to those who follow you",
    )
}

fn charter(layout: &Layout, from: Option<&Path>, repairs: &mut Repairs<'_>) -> Result<()> {
    let path = layout.charter();
    let wrong = match crate::node::read_charter(&path) {
        Ok(_) => return Ok(()),
        Err(e) => e,
    };
    let given = from.map(|f| read_bounded(&Layout::new(f).charter(), 1 << 20)).transpose()?;
    let Some(bytes) = given else { return Err(damaged_charter(layout, &wrong.to_string())) };
    let charter = Charter::open(&bytes)?;
    if path.exists() {
        repair::set_aside(&path, &layout.private())?;
    }
    write_atomic(&path, &bytes)?;
    let sha = charter.sha256();
    repairs.say(
        format!("charter.json взят из другой копии, SHA-256 {sha}: сверьте его с тем, что вы сообщали следящим узлам"),
        format!(
            "charter.json was taken from the other copy, SHA-256 {sha}: compare it with the one you gave to others"
        ),
    );
    Ok(())
}

/// The origin: as its file says if the charter knows it, else the checkpoint's, else the charter's only one.
fn origin(layout: &Layout, charter: &VerifiedCharter, repairs: &mut Repairs<'_>) -> Result<String> {
    let known = |o: &String| charter.region_by_origin(o).is_some();
    if let Some(origin) = layout.origin().ok().filter(known) {
        return Ok(origin);
    }
    let note = read_optional(&layout.log().join("checkpoint"), 1 << 16)?.unwrap_or_default();
    let said = String::from_utf8_lossy(&note).lines().next().unwrap_or_default().to_owned();
    let only = charter.regions().first().filter(|_| charter.regions().len() == 1).map(|r| r.origin.to_string());
    let origin = Some(said)
        .filter(known)
        .or(only)
        .ok_or_else(|| damaged_charter(layout, "it does not say which log this is"))?;
    write_atomic(&layout.origin_file(), format!("{origin}\n").as_bytes())?;
    repairs.say(format!("origin записан заново: {origin}"), format!("origin was written anew: {origin}"));
    Ok(origin)
}

fn log(
    layout: &Layout,
    keys: &[&VerifierKey],
    own: bool,
    from: Option<&Path>,
    repairs: &mut Repairs<'_>,
) -> Result<()> {
    let (dir, private) = (layout.log(), layout.private());
    let note = read_optional(&dir.join("checkpoint"), 1 << 16)?;
    let verified = note.as_deref().map(|n| open_by_any(n, keys));
    let mut head: Option<(u64, Hash)> = None;
    match verified {
        Some(Ok(v)) => head = Some((v.checkpoint().size, v.checkpoint().root)),
        Some(Err(e)) => {
            let place = repair::set_aside(&dir.join("checkpoint"), &private)?;
            repairs.say(
                format!(
                    "повреждённая контрольная точка убрана в {} ({}); узел подпишет её заново при запуске",
                    place.display(),
                    e.code()
                ),
                format!(
                    "the damaged checkpoint was moved to {} ({}); the node signs it again when it starts",
                    place.display(),
                    e.code()
                ),
            );
        }
        None => {}
    }
    let mut journalled = Vec::new();
    if own {
        let path = private.join("fence");
        let record = Journal::open(&private.join("journal"))?.1;
        match Fence::read(&path) {
            Ok(Some(fence)) => {
                head = head.or((fence.age == Age::Known && fence.size > 0).then_some((fence.size, fence.root)));
            }
            Err(e) if e.code() != "fence.form" && e.code() != "disk.too-large" => return Err(e),
            damaged => {
                if damaged.is_err() {
                    repair::set_aside(&path, &private)?;
                }
                // A checkpoint that is there and not readable leaves it open what was signed.
                let published = head.or(note.is_none().then_some((0, Hash::EMPTY_TREE)));
                let made = published.map(|p| repair::fence(&path, p, record.as_ref())).transpose()?.flatten();
                let fence = made.ok_or_else(|| {
                    Error::stop(
                        "fsck.fence",
                        format!("{}: neither journal nor checkpoint says which head was signed last", path.display()),
                        "restore the node from a backup, or cut the log key over in the charter",
                    )
                })?;
                let size = fence.size;
                repairs.say(
                    format!("памятка о последней подписи сделана заново по журналу, размер {size}: спросите следящие узлы, не видели ли они больше, и запустите узел с --confirm-restored-head {size}"),
                    format!("the fence was made anew from the journal, size {size}: ask the nodes that follow you whether they saw more, then start with --confirm-restored-head {size}"),
                );
            }
        }
        journalled = record.map(|r| r.entries).unwrap_or_default();
    }
    let Some((size, root)) = head else { return Ok(()) };
    let other = from.map(|f| Layout::new(f).log());
    let done = repair::repair(&dir, size, root, &journalled, other.as_deref())?;
    for path in done.written {
        repairs.say(format!("{path} восстановлен"), format!("{path} was restored"));
    }
    for (bundle, missing) in done.lost {
        let path = dir.join(LogPath::from(bundle).to_string());
        if path.exists() {
            repair::set_aside(&path, &private)?;
        }
        repairs.say(
            format!("{bundle}: не найдено записей: {missing}; повреждённый файл убран в private/damaged. Укажите копию: --from КАТАЛОГ"),
            format!("{bundle}: {missing} entries are nowhere to be found; the damaged file is in private/damaged. Give a copy: --from DIR"),
        );
    }
    Ok(())
}
