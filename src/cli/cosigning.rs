//! What of `serve` has to do with cosignatures: this node's witness, its words as a mirror, and gathering those of others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::federation::roster::Member;
use crate::node::Node;
use crate::node::config::{Config, CosignerEntry, WitnessLog};
use crate::node::cosign::{OwnLog, OwnWords};
use crate::node::cosigner_keys::CosignerKeys;
use crate::node::layout::Layout;
use crate::node::witness::Witness;
use crate::storage::durable::read_bounded;
use crate::sync::client::Network;
use crate::sync::cosign::{Connect, Setting, gather, observe};
use crate::tlog::cosignature::CosignerKey;

/// How this node cosigns and is cosigned.
pub(super) struct Cosigning {
    /// The witness, or why there is none.
    pub witness: Result<Arc<Witness>>,
    /// Its words about the logs it mirrors.
    pub words: Arc<OwnWords>,
    own: Vec<CosignerKey>,
}

impl Cosigning {
    /// A witness that does not know what it has cosigned says so and stays away; the node does its other work.
    pub(super) fn open(layout: &Layout, keys: CosignerKeys, config: &Config) -> Cosigning {
        let own = keys.public();
        let witness = open_witness(layout, keys.witness, config, keys.claim);
        let words = Arc::new(OwnWords::new(keys.mirror, keys.verifier));
        Cosigning { witness, words, own }
    }

    /// Starts what goes on in the background; each task ends when `stopping` turns true.
    pub(super) fn start(
        &self,
        node: &Arc<Node>,
        config: &Config,
        stopping: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let every = Duration::from_secs(config.sync.interval_seconds);
        let setting = Setting {
            members: config.cosigner.iter().filter_map(member).collect(),
            own: self.own.clone(),
            interval: Duration::from_secs(config.cosign.interval_seconds),
            look: every / 8,
            connect: connect(config),
        };
        let logs = OwnLog::all(node).into_iter();
        let gathering = logs.map(|log| tokio::spawn(gather(node.clone(), log, setting.clone(), stopping.clone())));
        let witness = self.witness.as_ref().ok().cloned();
        let observing = tokio::spawn(observe(node.clone(), self.words.clone(), witness, every / 4, stopping.clone()));
        gathering.chain([observing]).collect()
    }
}

fn open_witness(
    layout: &Layout,
    signers: Vec<crate::tlog::cosignature::Cosigner>,
    config: &Config,
    claim: Option<crate::storage::lock::KeyClaim>,
) -> Result<Arc<Witness>> {
    let Some(claim) = claim else {
        return Err(Error::refuse("witness.none", "this node has no witness key", "make one: domovoi key cosigner"));
    };
    let foreign = config.witness_log.iter().map(WitnessLog::key).collect::<Result<_>>()?;
    let opened = Witness::open(&layout.witness(), signers, foreign, claim);
    opened.map(Arc::new).inspect_err(|e| tracing::error!(error = %e, "this node's witness cosigns nothing"))
}

/// A configured cosigner. Its key was read when the configuration was.
fn member(entry: &CosignerEntry) -> Option<Member> {
    let (key, url) = (CosignerKey::parse(&entry.vkey).ok()?, entry.url.clone());
    Some(match entry.kind.as_str() {
        "mirror" => Member { node_url: url, mirror: Some(key), ..Member::default() },
        "verifier" => Member { node_url: url, verifier: Some(key), ..Member::default() },
        _ => Member { witness_url: url, witness: vec![key], ..Member::default() },
    })
}

/// Reaches cosigners: those whose node the configuration names with the certificate it gives, those of a charter only where a
/// charter's word may lead.
fn connect(config: &Config) -> Connect {
    let cosigners = config.cosigner.iter().map(|c| (c.url.clone(), c.ca.clone()));
    let followed = config.follow.iter().map(|f| (f.url.clone(), f.ca.clone()));
    let known: Vec<(String, Option<PathBuf>)> = cosigners.chain(followed).collect();
    let network = Network::new(config.sync.allow_addresses.clone());
    Arc::new(move |url| {
        let of = |known: &str| url == known || url.strip_prefix(known).is_some_and(|rest| rest == "/witness");
        match known.iter().find(|(known, _)| of(known)) {
            // Read each time: a node that starts with this one may have no certificate yet.
            Some((_, ca)) => {
                let pem = ca.as_ref().map(|path| read_bounded(path, 1 << 20)).transpose()?;
                network.configured(url, pem.as_deref())
            }
            None => network.named(url, None),
        }
    })
}
