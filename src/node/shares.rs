//! What one key may take of the queue into the log, so that one organisation that floods it leaves room for the others.
//!
//! A submission holds a place for every key it is signed with until it is answered. The first half of a key's places is given
//! on the key's name alone, which costs nothing; beyond it a signature must verify, so that whoever only names another's key
//! cannot use up that key's share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::log_view::LogView;
use crate::error::{Error, Result};
use crate::registry::envelope::{Envelope, MAX_ENTRY, TYP_RECORD};
use crate::registry::facts::Facts;
use crate::registry::ids::KeyThumb;
use crate::registry::record::Subject;
use crate::registry::signature::{PublicKey, verify_one};
use crate::registry::state::View;

/// Places by key.
pub(super) struct KeyShares {
    each: usize,
    held: Mutex<HashMap<KeyThumb, usize>>,
}

/// Places of one submission, given back when it is dropped.
pub(super) struct Share {
    shares: Arc<KeyShares>,
    keys: Vec<KeyThumb>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        for key in &self.keys {
            if let Some(n) = held.get_mut(key) {
                *n -= 1;
                if *n == 0 {
                    held.remove(key);
                }
            }
        }
    }
}

impl KeyShares {
    /// At most `each` submissions at a time for a key.
    pub(super) fn new(each: usize) -> Arc<KeyShares> {
        Arc::new(KeyShares { each, held: Mutex::default() })
    }

    /// Takes a place for every key that signed one of these records. What is no record takes none: refusing it costs the
    /// writer less than a place is worth. May read the state: not for the reactor.
    ///
    /// # Errors
    /// `submit.share` where one of the keys has its share in work already.
    pub(super) fn take(self: &Arc<Self>, view: &LogView, entries: &[Vec<u8>]) -> Result<Share> {
        let mut named: BTreeMap<[u8; 32], (KeyThumb, Envelope)> = BTreeMap::new();
        for entry in entries {
            let Ok(envelope) = Envelope::parse(entry, TYP_RECORD, MAX_ENTRY) else { continue };
            for (kid, _) in &envelope.signatures {
                named.entry(kid.0).or_insert_with(|| (*kid, envelope.clone()));
            }
        }
        let held = |key: &KeyThumb| self.held.lock().get(key).copied().unwrap_or(0);
        for (key, envelope) in named.values() {
            if held(key) >= self.each / 2 && !is_by(view, key, envelope) {
                return Err(full(key));
            }
        }
        let keys: Vec<KeyThumb> = named.into_values().map(|(key, _)| key).collect();
        let mut held = self.held.lock();
        if let Some(key) = keys.iter().find(|key| held.get(*key).is_some_and(|n| *n >= self.each)) {
            return Err(full(key));
        }
        for key in &keys {
            *held.entry(*key).or_default() += 1;
        }
        drop(held);
        Ok(Share { shares: self.clone(), keys })
    }
}

fn full(key: &KeyThumb) -> Error {
    Error::retry(
        "submit.share",
        format!("as many submissions signed by the key {key} as one key may have are in work"),
        "wait for their answers before you send more",
    )
}

/// Whether the log knows the key and the envelope's signature by it verifies.
fn is_by(view: &LogView, key: &KeyThumb, envelope: &Envelope) -> bool {
    let public: Option<PublicKey> = {
        let state = view.state();
        match state.entry(&Subject::Key(*key)).map(|entry| &entry.facts) {
            Some(Facts::Key(facts)) => Some(facts.key.0.clone()),
            _ => {
                let mut roots = state.charters().versions().iter().flat_map(|version| &version.root_keys);
                roots.find(|root| root.thumb() == *key).cloned()
            }
        }
    };
    let signature = envelope.signatures.iter().find(|(kid, _)| kid == key).map(|(_, signature)| signature);
    match (public, signature) {
        (Some(public), Some(signature)) => verify_one(&public, &envelope.signing_input(key), signature),
        _ => false,
    }
}
