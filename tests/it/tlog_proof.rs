//! Cosignatures and the offline proof of an entry, against their specifications' words and every changed byte.

use data_encoding::BASE64;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::{Cosigner, CosignerKey, MAX_TIME};
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey};
use domovoi::tlog::proof::TlogProof;
use domovoi::tlog::tree::subtree_root;
use domovoi::tlog::{Hash, leaf_hash, node_hash};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn leaves() -> Vec<Hash> {
    (0..5).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect()
}

/// A checkpoint of five entries, cosigned by two.
fn cosigned() -> (String, NoteSigner, Vec<Cosigner>) {
    let log = NoteSigner::new("log.example/5", key(1)).unwrap();
    let head = Checkpoint { origin: "log.example/5".into(), size: 5, root: subtree_root(&leaves()) };
    let mut note = Note::parse(head.sign(&log).unwrap().as_bytes()).unwrap();
    let cosigners: Vec<_> = (2..4).map(|n| Cosigner::new(format!("witness.example/w{n}"), key(n)).unwrap()).collect();
    for (time, cosigner) in (1_700_000_000..).zip(&cosigners) {
        note.add_line(cosigner.cosign(note.text(), time).unwrap()).unwrap();
    }
    (note.to_string(), log, cosigners)
}

/// The proof of entry 4, the lone right edge of a tree of five: one hash.
fn proof() -> (TlogProof, NoteSigner) {
    let (checkpoint, log, _) = cosigned();
    let l = leaves();
    let left = node_hash(&node_hash(&l[0], &l[1]), &node_hash(&l[2], &l[3]));
    (TlogProof { extra: None, index: 4, path: vec![left], checkpoint }, log)
}

#[test]
fn cosignature_bytes_are_those_of_the_specification() {
    let (note, _, cosigners) = cosigned();
    let note = Note::parse(note.as_bytes()).unwrap();
    let public = key(2).verifying_key();
    let id = Sha256::new().chain_update(b"witness.example/w2\n\x04").chain_update(public.as_bytes()).finalize();
    let signed = key(2).sign(format!("cosignature/v1\ntime 1700000000\n{}", note.text()).as_bytes());
    let bytes = [&id[..4], &1_700_000_000u64.to_be_bytes(), &signed.to_bytes()].concat();
    let line = format!("\u{2014} witness.example/w2 {}\n", BASE64.encode(&bytes));
    assert!(note.to_string().contains(&line));
    assert_eq!(cosigners[0].verifier().time_of(&note).unwrap(), Some(1_700_000_000));
    assert_eq!(cosigners[1].verifier().time_of(&note).unwrap(), Some(1_700_000_001));
}

#[test]
fn a_cosigner_counts_only_by_its_own_key_and_kind() {
    let (note, log, cosigners) = cosigned();
    let note = Note::parse(note.as_bytes()).unwrap();
    // Somebody else, the same key under another name, and the log's own key as a cosigner.
    for (name, seed) in [("witness.example/w2", 9), ("witness.example/other", 2), ("log.example/5", 1)] {
        let other = CosignerKey::new(name, key(seed).verifying_key()).unwrap();
        assert_eq!(other.time_of(&note).unwrap(), None, "{name}");
    }
    // A cosignature is not a note signature and the other way about.
    let as_log = VerifierKey::new("witness.example/w2", key(2).verifying_key()).unwrap();
    assert_eq!(note.verify(&as_log).unwrap_err().code(), "note.unsigned");
    assert_eq!(CosignerKey::parse(&log.verifier().to_string()).unwrap_err().code(), "vkey.type");
    assert_eq!(VerifierKey::parse(&cosigners[0].verifier().to_string()).unwrap_err().code(), "vkey.type");
    let parsed = CosignerKey::parse(&cosigners[0].verifier().to_string()).unwrap();
    assert_eq!(&parsed, cosigners[0].verifier());
    assert_eq!(cosigners[0].cosign(note.text(), MAX_TIME + 1).unwrap_err().code(), "cosignature.time");
}

#[test]
fn a_false_cosignature_is_named_and_a_newer_one_replaces_the_older() {
    let (note, _, cosigners) = cosigned();
    let mut note = Note::parse(note.as_bytes()).unwrap();
    let honest = cosigners[0].cosign(note.text(), 1_700_000_777).unwrap();
    for bit in 0..honest.signature.len() * 8 {
        let mut line = honest.clone();
        line.signature[bit / 8] ^= 1 << (bit % 8);
        note.add_line(line).unwrap();
        assert_eq!(cosigners[0].verifier().time_of(&note).unwrap_err().code(), "cosignature.false", "bit {bit}");
        assert_eq!(cosigners[1].verifier().time_of(&note).unwrap(), Some(1_700_000_001));
    }
    note.add_line(honest).unwrap();
    assert_eq!(cosigners[0].verifier().time_of(&note).unwrap(), Some(1_700_000_777));
    assert_eq!(note.signatures().len(), 3);
}

#[test]
fn a_proof_verifies_and_no_changed_byte_does() {
    let (proof, log) = proof();
    let leaf = leaves()[4];
    let text = proof.to_string();
    assert_eq!(TlogProof::parse(&text).unwrap(), proof);
    proof.verify(leaf, log.verifier()).unwrap();
    // Cosignatures are the reader's business: up to them, every byte matters.
    let covered = text.find("\u{2014} witness").unwrap();
    for at in 0..covered {
        for change in [1u8, 0x20] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= change;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let outcome = TlogProof::parse(&changed).and_then(|p| p.verify(leaf, log.verifier()));
            assert!(outcome.is_err(), "byte {at}");
        }
    }
    assert_eq!(proof.verify(leaves()[3], log.verifier()).unwrap_err().code(), "proof.inclusion");
}

#[test]
fn proofs_that_are_not_written_canonically_are_refused() {
    let (proof, _) = proof();
    let text = proof.to_string();
    let extra = TlogProof { extra: Some(b"anything".to_vec()), ..proof.clone() };
    assert_eq!(TlogProof::parse(&extra.to_string()).unwrap(), extra);
    let long = TlogProof { path: vec![leaves()[0]; 64], ..proof };
    for wrong in [
        text.replace("@v1", "@v2"),
        text.replace("index 4", "index 04"),
        text.replace("index 4", "index +4"),
        text.replace("index 4\n", "index 4\r\n"),
        text.replace("index 4\n", ""),
        text.replace("index 4\n", "extra \nextra \nindex 4\n"),
        text.replace("index 4\n", "extra YQ=\nindex 4\n"),
        text.replacen("=\n", "=\n\u{20}", 1),
        text.replace("\n\n", "\n"),
        format!("\n{text}"),
        long.to_string(),
    ] {
        assert_eq!(TlogProof::parse(&wrong).unwrap_err().code(), "proof.form", "{wrong}");
    }
    assert_eq!(TlogProof::parse(&"x".repeat(1 << 20)).unwrap_err().code(), "proof.too-long");
}
