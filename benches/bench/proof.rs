//! Measures of status proofs: making one from hot state, verifying one, and keeping the map they are made from.

use std::hint::black_box;
use std::path::Path;

use domovoi::node::charters::read_chain;
use domovoi::node::layout::Layout;
use domovoi::registry::record::Subject;
use domovoi::registry::signature::{PublicKey, verify_batch};
use domovoi::registry::state::State;
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::status_proof::{Name, StatusProof};
use ed25519_dalek::{Signer, SigningKey};

use crate::{Measure, Outcome, REPEATS, median, timed, world};

/// Proofs a repetition makes or verifies.
const PROOFS: usize = 2_000;
/// Records whose change updates the map.
const CHANGED: usize = 10_000;

/// Some of the node's chats, spread over all.
fn chats(state: &State) -> Vec<Name> {
    let all = state.subjects().map(|(subject, _)| subject).filter(|s| matches!(s, Subject::Chat(_)));
    let mut all: Vec<&Subject> = all.collect();
    all.sort();
    let step = (all.len() / PROOFS).max(1);
    all.into_iter().step_by(step).take(PROOFS).cloned().map(Name::Subject).collect()
}

/// Microseconds of one signature and of one strict verification, on one core.
fn signature() -> (f64, f64) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let message = [9; 300];
    let made = key.sign(&message);
    let sum = || (0..PROOFS).map(|_| usize::from(key.sign(&message).to_bytes()[0])).sum::<usize>();
    let (sign, total) = timed(sum);
    black_box(total);
    let verified = || (0..PROOFS).all(|_| key.verifying_key().verify_strict(&message, &made).is_ok());
    let (verify, good) = timed(verified);
    assert!(black_box(good));
    (sign * 1e6 / PROOFS as f64, verify * 1e6 / PROOFS as f64)
}

/// Making a proof of a chat and its owner.
pub fn make(dir: &Path) -> Outcome<Measure> {
    let node = world::open(dir)?;
    let names = node.own().map(|view| chats(&view.state())).unwrap_or_default();
    let (mut values, mut limits, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..REPEATS {
        let (took, made) = timed(|| {
            let proofs = names.iter().map(|name| node.prove(name, None, false));
            proofs.map(|p| p.map(|p| p.to_string().len())).sum::<domovoi::error::Result<usize>>()
        });
        bytes = made? / names.len();
        values.push(took * 1e6 / names.len() as f64);
        limits.push(10.0 * signature().0);
    }
    node.close();
    let against = format!("10 Ed25519 signatures; {} chats sampled, {bytes} bytes a proof", names.len());
    Ok(Measure::new("proof_make", median(values), "µs (lower is better)", median(limits), against))
}

/// Reading and verifying one.
pub fn verify(dir: &Path) -> Outcome<Measure> {
    let node = world::open(dir)?;
    let names = node.own().map(|view| chats(&view.state())).unwrap_or_default();
    let texts: Vec<String> =
        names.iter().map(|n| Ok(node.prove(n, None, false)?.to_string())).collect::<domovoi::error::Result<_>>()?;
    node.close();
    let layout = Layout::new(dir);
    let charters = read_chain(&layout)?.of_log(&layout.origin()?)?;
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let good = |text: &String| StatusProof::parse(text).and_then(|p| p.verify(&charters, &[])).is_ok();
        let (took, all) = timed(|| texts.iter().all(good));
        if !all {
            return Err("a proof does not verify".into());
        }
        values.push(took * 1e6 / texts.len() as f64);
        limits.push(10.0 * 2.0 * signature().1);
    }
    let against = "10 times the two signatures in it, verified alone";
    Ok(Measure::new("proof_verify", median(values), "µs (lower is better)", median(limits), against))
}

/// A batch of changed records in a map as large as the node's.
pub fn map_update(dir: &Path) -> Outcome<Measure> {
    let node = world::open(dir)?;
    let leaves: Vec<_> = node.own().map(|view| view.state().leaves().collect()).unwrap_or_default();
    node.close();
    let mut map: StateMap = leaves.iter().map(|(name, value)| (map_key(name), *value)).collect();
    map.root();
    let keys: Vec<SigningKey> = (0..8).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
    let public: Vec<PublicKey> = keys.iter().map(PublicKey::of).collect();
    let messages: Vec<[u8; 300]> = (0..CHANGED).map(|n| [n as u8; 300]).collect();
    let signed: Vec<[u8; 64]> = messages.iter().zip(keys.iter().cycle()).map(|(m, k)| k.sign(m).to_bytes()).collect();
    let items: Vec<(&PublicKey, &[u8], [u8; 64])> =
        messages.iter().zip(public.iter().cycle()).zip(&signed).map(|((m, k), s)| (k, m.as_slice(), *s)).collect();
    let (mut values, mut limits) = (Vec::new(), Vec::new());
    for round in 0..REPEATS {
        let step = (leaves.len() / CHANGED).max(1);
        let changed = leaves.iter().skip(round).step_by(step).take(CHANGED);
        let (took, _) = timed(|| {
            changed
                .for_each(|(name, value)| map.set(map_key(name), std::array::from_fn(|i| value[i] ^ round as u8 ^ 1)));
            map.root()
        });
        let (limit, good) = timed(|| verify_batch(&items).into_iter().all(|good| good));
        if !good {
            return Err("a signature does not verify".into());
        }
        values.push(took * 1e3);
        limits.push(limit * 1e3);
    }
    let against = format!("verifying {CHANGED} signatures in batches; a map of {} leaves", map.len());
    Ok(Measure::new("map_update", median(values), "ms (lower is better)", median(limits), against))
}
