//! `domovoi federation`: founds the federation's log on the ministry's node, and makes the next version of its charter.
//!
//! A charter names the regions that the node follows, and its own, each as the newest charter says that its node serves:
//! pinned by the digest it is followed with. Others can be added from files.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ed25519_dalek::SigningKey;
use secrecy::SecretString;
use serde_json::json;

use super::charter_new::first;
use super::{Context, api, passphrase};
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::{Charter, FederationLog, LIFE, MAX_CHARTER, Region};
use crate::federation::draft::next;
use crate::federation::keys::retire;
use crate::federation::roles::RetireReason;
use crate::node::charters::{keep_latest, read_chain};
use crate::node::cosigner_keys;
use crate::node::layout::Layout;
use crate::node::now_ms;
use crate::registry::body::{KeyBytes, List};
use crate::registry::ids::RegionCode;
use crate::registry::signature::PublicKey;
use crate::registry::text::Text;
use crate::storage::durable::{create_dir, read_bounded, write_atomic};
use crate::storage::keys;
use crate::sync::charters::walk;
use crate::sync::client::Peer;
use crate::sync::follower::fetch_charter;
use crate::tlog::note::NoteSigner;

/// The federation's log and charter.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Federation {
    #[command(about = "Основать журнал федерации на этом узле: ключи и устав о регионах, за которыми он следит")]
    Found(Found),
    #[command(about = "Выпустить следующую версию устава: новые регионы, их новые ключи, новые ключи журнала")]
    Amend(Amend),
}

/// Who takes part, and who signs.
#[derive(Debug, Args)]
struct Members {
    #[arg(long, value_name = "FILE", help = "Устав региона, за которым узел не следит; можно повторять")]
    region_charter: Vec<PathBuf>,
    #[arg(
        long,
        value_name = "KEY",
        help = "Корневой ключ федерации; можно повторять (по умолчанию federation/keys/federation-root.pem)"
    )]
    root: Vec<PathBuf>,
}

/// Founds the log.
#[derive(Debug, Args)]
pub struct Found {
    #[arg(long, help = "Имя журнала, например federation.example.ru/log")]
    origin: String,
    #[arg(long, help = "Название федерации")]
    name: String,
    #[arg(long, help = "Адрес узла федерации (по умолчанию — из настроек)")]
    url: Option<String>,
    #[arg(long, help = "Сколько корневых ключей должны подписать устав (по умолчанию — все названные)")]
    threshold: Option<u32>,
    #[arg(long, default_value_t = 24, help = "Через сколько часов сведения считаются устаревшими")]
    staleness_hours: u32,
    #[command(flatten)]
    members: Members,
}

/// The next version.
#[derive(Debug, Args)]
pub struct Amend {
    #[arg(long, value_name = "CODE", help = "Код региона, который больше не участвует; можно повторять")]
    drop: Vec<RegionCode>,
    #[arg(long, help = "Через сколько часов сведения считаются устаревшими")]
    staleness_hours: Option<u32>,
    #[arg(long, help = "Заменить ключ, которым подписываются итоги")]
    new_commit_key: bool,
    #[arg(long, help = "Заменить ключ, которым подписываются контрольные точки")]
    new_log_key: bool,
    #[command(flatten)]
    members: Members,
}

impl Federation {
    /// Makes keys and a charter in `federation/` of the data directory. A running node takes them at its next start.
    pub fn run(&self, context: &Context) -> Result<()> {
        match self {
            Federation::Found(f) => f.run(context),
            Federation::Amend(a) => a.run(context),
        }
    }
}

impl Members {
    /// Every region of the charters that this node has, follows, or was given a file of.
    fn regions(&self, context: &Context, layout: &Layout) -> Result<Vec<Region>> {
        let mut chains = Vec::new();
        if layout.has_own_log() {
            chains.push(read_chain(layout)?);
        }
        let runtime = api::runtime()?;
        for follow in &context.config()?.follow {
            let ca = follow.ca.as_ref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
            let peer = Peer::new(&follow.url, ca.as_deref())?;
            chains.push(runtime.block_on(async {
                let (_, pinned) = fetch_charter(&peer, Some(&follow.charter_sha256)).await?;
                let mut chain = CharterChain::pinned(&pinned)?;
                walk(&peer, &mut chain).await.map(|_| chain)
            })?);
        }
        for path in &self.region_charter {
            let bytes = read_bounded(path, MAX_CHARTER as u64)?;
            chains.push(CharterChain::pinned(&bytes).map_err(|e| e.at(path.display()))?);
        }
        let mut regions: Vec<Region> = Vec::new();
        for region in chains.iter().flat_map(|c| c.latest().regions()) {
            // Two charters may name one region alike; where they differ, the charter's own check refuses both.
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        regions.sort_by_key(|r| r.code);
        Ok(regions)
    }

    /// The keys that sign; the one `found` has made where none is named.
    fn keys(&self, layout: &Layout, passphrase: &SecretString) -> Result<Vec<SigningKey>> {
        match self.root.as_slice() {
            [] => Ok(vec![keys::read(&layout.key(ROOT), passphrase)?]),
            named => named.iter().map(|path| keys::read(path, passphrase)).collect(),
        }
    }
}

const ROOT: &str = "federation-root";

fn make_key(layout: &Layout, role: &str, passphrase: &SecretString) -> Result<SigningKey> {
    let key = keys::generate();
    keys::write_encrypted(&layout.key(role), &key, passphrase)?;
    Ok(key)
}

/// Where this node is, in the words of its configuration.
fn data(context: &Context) -> Result<Layout> {
    Ok(Layout::new(&context.config()?.node.data_dir))
}

impl Found {
    fn run(&self, context: &Context) -> Result<()> {
        let node = data(context)?;
        let layout = node.federation();
        if layout.has_own_log() || layout.charter().exists() {
            return Err(Error::refuse(
                "federation.exists",
                format!("{} holds a federation's log already", layout.data().display()),
                "change its charter with «domovoi federation amend»",
            ));
        }
        let config = context.config()?;
        let url = self.url.clone().or(config.node.public_url).ok_or_else(|| {
            Error::refuse(
                "federation.url",
                "the configuration has no node.public_url",
                "give the node's address: --url",
            )
        })?;
        let regions = self.members.regions(context, &node)?;
        if regions.is_empty() {
            return Err(Error::refuse(
                "federation.regions",
                "this node follows no region and has none of its own",
                "follow the regions first (domovoi follow), or name their charters: --region-charter",
            ));
        }
        let passphrase = passphrase(context, true)?;
        create_dir(&layout.data().join("keys"))?;
        if self.members.root.is_empty() {
            make_key(&layout, ROOT, &passphrase)?;
        }
        let roots = self.members.keys(&layout, &passphrase)?;
        let (log, commit) = (make_key(&layout, "log", &passphrase)?, make_key(&layout, "commit", &passphrase)?);
        let vkey = NoteSigner::new(&self.origin, log)?.verifier().to_string();
        let now = now_ms();
        let mut body = first(&self.name, now, now + LIFE)?;
        body.root_keys = List(roots.iter().map(|k| KeyBytes(PublicKey::of(k))).collect());
        body.threshold = self.threshold.unwrap_or(roots.len() as u32);
        body.staleness_hours = self.staleness_hours;
        body.regions = List(regions);
        body.federation = Some(FederationLog {
            origin: Text::new(&self.origin)?,
            log_vkey: Text::new(&vkey)?,
            commit_key: KeyBytes(PublicKey::of(&commit)),
            url: Text::new(&url)?,
            // With a log of its own the node is named with its region already.
            cosigners: if node.has_own_log() { None } else { cosigner_keys::for_charter(&node)? },
        });
        let bytes = Charter::sign(&body, &roots.iter().collect::<Vec<_>>())?;
        let chain = CharterChain::pinned(&bytes)?;
        write_atomic(&layout.vkey(), format!("{vkey}\n").as_bytes())?;
        write_atomic(&layout.charter(), &bytes)?;
        // What makes a log of the folder comes last.
        write_atomic(&layout.origin_file(), format!("{}\n", self.origin).as_bytes())?;
        print(context, &chain, &layout.charter());
        let root = layout.key(ROOT).display().to_string();
        context.out.next(
            &[
                "перезапустите узел: domovoi serve",
                "раздайте устав и его SHA-256 всем, кто будет проверять ответы федерации",
                &format!("перенесите {root} на носитель без сети"),
            ],
            &[
                "restart the node: domovoi serve",
                "give the charter and its SHA-256 to all who will check the federation's answers",
                &format!("move {root} to a medium without a network"),
            ],
        );
        Ok(())
    }
}

impl Amend {
    fn run(&self, context: &Context) -> Result<()> {
        let node = data(context)?;
        let layout = node.federation();
        let mut chain = read_chain(&layout)?;
        let now = now_ms();
        let mut body = next(chain.latest(), now, now + LIFE)?;
        let Some(log) = &mut body.federation else {
            return Err(Error::refuse(
                "federation.charter",
                format!("{} names no federation log", layout.charter().display()),
                "found one with «domovoi federation found»",
            ));
        };
        for region in self.members.regions(context, &node)? {
            match body.regions.0.iter_mut().find(|r| r.code == region.code) {
                Some(known) => {
                    // Standing and cosigners are the federation's word, which a region's own charter need not know.
                    let (standing, cosigners) = (known.standing.take(), known.cosigners.take());
                    *known = Region { standing, cosigners: cosigners.or(region.cosigners.clone()), ..region };
                }
                None => body.regions.0.push(region),
            }
        }
        for code in &self.drop {
            let before = body.regions.0.len();
            body.regions.0.retain(|r| r.code != *code);
            if body.regions.0.len() == before {
                return Err(Error::refuse(
                    "federation.region",
                    format!("the charter has no region {code}"),
                    "see «domovoi inspect» of the charter",
                ));
            }
        }
        body.regions.0.sort_by_key(|r| r.code);
        let passphrase = passphrase(context, true)?;
        let roots = self.members.keys(&layout, &passphrase)?;
        let mut renewed = Vec::new();
        if self.new_log_key {
            let key = keys::generate();
            log.log_vkey = Text::new(&NoteSigner::new(log.origin.as_str(), key.clone())?.verifier().to_string())?;
            renewed.push(("log", key));
        }
        if self.new_commit_key {
            let key = keys::generate();
            log.commit_key = KeyBytes(PublicKey::of(&key));
            renewed.push(("commit", key));
        }
        let vkey = log.log_vkey.to_string();
        retire(chain.latest().charter(), &mut body, |_| RetireReason::Replaced)?;
        body.staleness_hours = self.staleness_hours.unwrap_or(body.staleness_hours);
        let bytes = Charter::sign(&body, &roots.iter().collect::<Vec<_>>())?;
        chain.advance(&bytes)?;
        // After a stop in between, the charter names keys that are not there yet or not any more: the node says so and does
        // not start. Both are there under the version they came with.
        for (role, key) in renewed {
            let path = layout.key(role);
            let old = layout.key(&format!("{role}-before-{}", body.version));
            std::fs::rename(&path, &old)
                .map_err(|e| Error::stop("federation.key", format!("{}: {e}", path.display()), "restore the key"))?;
            keys::write_encrypted(&path, &key, &passphrase)?;
        }
        keep_latest(&layout, &chain, &bytes)?;
        write_atomic(&layout.vkey(), format!("{vkey}\n").as_bytes())?;
        print(context, &chain, &layout.charters().join(format!("{}.json", body.version)));
        context.out.next(&["перезапустите узел: domovoi serve"], &["restart the node: domovoi serve"]);
        Ok(())
    }
}

fn print(context: &Context, chain: &CharterChain, file: &std::path::Path) {
    let charter = chain.latest();
    let regions: Vec<String> = charter.regions().iter().map(|r| r.code.to_string()).collect();
    let (version, sha) = (charter.charter().version, charter.sha256().to_string());
    let value = json!({ "charter": file, "version": version, "charter_sha256": sha, "regions": regions });
    context.out.result(&value, |out| {
        let (file, regions) = (file.display(), regions.join(", "));
        out.line(&out.pick(
            format!("Устав федерации, версия {version}: {file}; регионы: {regions}"),
            format!("The federation's charter, version {version}: {file}; regions: {regions}"),
        ));
        out.line(&out.pick(format!("SHA-256 устава: {sha}"), format!("SHA-256 of the charter: {sha}")));
    });
}
