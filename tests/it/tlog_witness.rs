//! ML-DSA-44 cosignatures against another implementation's vectors, and `add-checkpoint` requests: their form, and what a
//! witness decides over them.

use domovoi::tlog::checkpoint::{Checkpoint, Head};
use domovoi::tlog::cosignature::{Cosigner, CosignerKey, MAX_TIME, MAX_VKEY_LEN};
use domovoi::tlog::note::{MAX_SIGNATURES, Note, NoteSignature, NoteSigner, VerifierKey, parse_signatures};
use domovoi::tlog::tree::subtree_root;
use domovoi::tlog::witness::{MAX_PROOF, MAX_REQUEST, Request, Seen};
use domovoi::tlog::{Hash, leaf_hash, mldsa};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/cosignature/mldsa44.json")).unwrap()
}

fn text<'v>(v: &'v Value, name: &str) -> &'v str {
    v[name].as_str().unwrap()
}

fn line(v: &Value) -> NoteSignature {
    parse_signatures(format!("{}\n", text(v, "line")).as_bytes()).unwrap().remove(0)
}

#[test]
fn ml_dsa_lines_of_another_implementation_verify_and_every_changed_one_does_not() {
    for v in vectors() {
        let key = CosignerKey::parse(text(&v, "vkey")).unwrap();
        assert_eq!((key.to_string().as_str(), key.public().len()), (text(&v, "vkey"), mldsa::PUBLIC_LEN));
        let (time, body) = (v["time"].as_u64().unwrap(), text(&v, "text"));
        assert_eq!(key.time_of_line(body, &line(&v)).unwrap(), time);
        let own = Cosigner::of_seed(key.name(), &[v["seed"].as_u64().unwrap() as u8; 32]).unwrap();
        assert_eq!(*own.verifier(), key);
        let made = own.cosign(body, time).unwrap();
        assert_eq!(key.time_of_line(body, &made).unwrap(), time);
        assert_eq!(made, own.cosign(body, time).unwrap(), "the same bytes each time");
        assert_eq!(format!("{own:?}"), format!("Cosigner({})", key.name()));

        // Extension lines are not signed; everything else is.
        assert!(key.time_of_line(&format!("{body}one more line\n"), &made).is_ok());
        let mut head = body.split('\n');
        let (origin, size) = (head.next().unwrap(), head.next().unwrap());
        for other in [
            body.replacen(origin, &format!("{}x", &origin[..origin.len() - 1]), 1),
            body.replacen(size, "5", 1),
            body.replacen("=\n", "\n", 1),
        ] {
            assert_eq!(key.time_of_line(&other, &made).unwrap_err().code(), "cosignature.false");
        }
        for at in [0, 7, 8, 9, 40, 2427] {
            let mut bent = made.clone();
            bent.signature[at] ^= 1;
            assert_eq!(key.time_of_line(body, &bent).unwrap_err().code(), "cosignature.false", "byte {at}");
        }
        let mut short = made.clone();
        short.signature.pop();
        assert!(key.time_of_line(body, &short).is_err());
        // A line without a time is about no newest head.
        let mut timeless = made;
        timeless.signature[..8].fill(0);
        assert!(key.time_of_line(body, &timeless).is_err());
    }
}

#[test]
fn an_ml_dsa_line_is_a_line_of_a_note_beside_others() {
    let log = NoteSigner::new("log.example", SigningKey::from_bytes(&[1; 32])).unwrap();
    let head = Checkpoint { origin: "log.example".into(), size: 1, root: leaf_hash(b"entry") };
    let mut note = Note::parse(head.sign(&log).unwrap().as_bytes()).unwrap();
    let both = [
        Cosigner::new("witness.example/w", SigningKey::from_bytes(&[2; 32])).unwrap(),
        Cosigner::of_seed("witness.example/w", &[2; 32]).unwrap(),
    ];
    for cosigner in &both {
        note.add_line(cosigner.cosign(note.text(), 7).unwrap()).unwrap();
    }
    // One name, two keys: neither takes the other's line for its own.
    assert_eq!(note.signatures().len(), 3);
    for cosigner in &both {
        assert_eq!(cosigner.verifier().time_of(&note).unwrap(), Some(7));
    }
    let opened = Checkpoint::open(note.to_string().as_bytes(), log.verifier(), "log.example").unwrap();
    assert_eq!(opened.note(), &note);
    // A second, false line of the key spoils its word.
    let mut false_line = both[1].cosign(note.text(), 8).unwrap();
    false_line.signature[100] ^= 1;
    let lines = note.signatures().iter().cloned().chain([false_line]).collect();
    let spoilt = Note::of(note.text(), lines).unwrap();
    assert_eq!(both[1].verifier().time_of(&spoilt).unwrap_err().code(), "cosignature.false");
    assert_eq!(both[0].verifier().time_of(&spoilt).unwrap(), Some(7));
}

#[test]
fn times_origins_and_vkeys_out_of_range_are_refused() {
    let cosigners =
        [Cosigner::new("w", SigningKey::from_bytes(&[2; 32])).unwrap(), Cosigner::of_seed("w", &[2; 32]).unwrap()];
    let head = format!("o\n0\n{}\n", Hash::EMPTY_TREE.to_base64());
    for cosigner in &cosigners {
        for time in [0, MAX_TIME + 1] {
            assert_eq!(cosigner.cosign(&head, time).unwrap_err().code(), "cosignature.time");
        }
        assert!(cosigner.cosign(&head, MAX_TIME).is_ok());
    }
    let long = format!("{}\n0\n{}\n", "o".repeat(256), Hash::EMPTY_TREE.to_base64());
    assert_eq!(cosigners[1].cosign(&long, 1).unwrap_err().code(), "cosignature.origin");
    assert!(cosigners[0].cosign(&long, 1).is_ok());

    let vkey = cosigners[1].verifier().to_string();
    let (name, rest) = vkey.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    for (bad, code) in [
        (format!("{name}+00000000+{key}"), "vkey.id"),
        (format!("{name}+{}+{key}", id.to_uppercase()), "vkey.id"),
        (format!("other+{id}+{key}"), "vkey.id"),
        (format!("+{id}+{key}"), "note.name"),
        (format!("{name}+{id}+{}", &key[..key.len() - 4]), "vkey.form"),
        (format!("{name}+{id}+{key}AAAA"), "vkey.form"),
        (format!("{name}+{id}"), "vkey.form"),
        ("w".repeat(MAX_VKEY_LEN + 1), "vkey.form"),
        (format!("{name}+{id}+{}", data_encoding::BASE64.encode(&[6; 33])), "vkey.form"),
    ] {
        assert_eq!(CosignerKey::parse(&bad).unwrap_err().code(), code, "{bad}");
    }
    // A log's key is no cosigner's.
    assert_eq!(VerifierKey::parse(&vkey).unwrap_err().code(), "vkey.form");
    assert!(mldsa::Key::new("w", &[0; mldsa::PUBLIC_LEN]).is_ok());
    assert_ne!(cosigners[0].verifier().key_id(), cosigners[1].verifier().key_id());
    assert!(format!("{:?}", cosigners[1].verifier()).starts_with("CosignerKey"));
}

#[test]
fn signature_lines_alone_are_read_and_nothing_between_them() {
    let line = "\u{2014} w AAAAAAAA\n";
    assert_eq!(parse_signatures(line.repeat(2).as_bytes()).unwrap().len(), 2);
    for (bad, code) in [
        (String::new(), "note.signatures"),
        (line.repeat(MAX_SIGNATURES + 1), "note.signatures"),
        (format!("{line}\n{line}"), "note.signature-line"),
        (format!("x\n{line}"), "note.signature-line"),
        (line.trim_end().to_owned(), "note.newline"),
    ] {
        assert_eq!(parse_signatures(bad.as_bytes()).unwrap_err().code(), code, "{bad:?}");
    }
    assert!(Note::of("text\n", Vec::new()).is_err());
    assert!(Note::of("text", vec![]).is_err());
}

#[test]
fn the_head_of_any_log_is_its_first_three_lines() {
    let root = Hash([7; 32]);
    let good = format!("o\n12\n{}\n", root.to_base64());
    for text in [good.clone(), format!("{good}extension\n"), format!("{good}a\nb\n")] {
        assert_eq!(Head::parse(&text).unwrap(), Head { origin: "o", size: 12, root });
    }
    let base = root.to_base64();
    for (bad, code) in [
        (String::new(), "checkpoint.form"),
        ("o\n1\n".into(), "checkpoint.form"),
        (good.trim_end().to_owned(), "checkpoint.form"),
        (format!("{good}\n"), "checkpoint.form"),
        (format!("{good}\nx\n"), "checkpoint.form"),
        (format!("\n1\n{base}\n"), "checkpoint.origin"),
        (format!("{}\n1\n{base}\n", "o".repeat(1025)), "checkpoint.origin"),
        (format!("o\t\n1\n{base}\n"), "checkpoint.origin"),
        (format!("o\n01\n{base}\n"), "checkpoint.size"),
        (format!("o\n9223372036854775808\n{base}\n"), "checkpoint.size"),
        ("o\n1\nAAAA\n".into(), "checkpoint.root"),
    ] {
        assert_eq!(Head::parse(&bad).unwrap_err().code(), code, "{bad:?}");
    }
}

const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

#[test]
fn the_example_of_the_specification_is_read_and_written_as_it_is() {
    let request = Request::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len(), request.note.signatures().len()), (20_852_014, 4, 2));
    assert_eq!(request.head().unwrap().origin, "example.com/behind-the-sofa");
    assert_eq!(request.to_string(), EXAMPLE);
}

#[test]
fn what_is_not_of_the_form_is_no_request() {
    let note = EXAMPLE.split_once("\n\n").unwrap().1;
    let hash = Hash([1; 32]).to_base64();
    for bad in [
        String::new(),
        EXAMPLE.replacen("old ", "", 1),
        EXAMPLE.replacen("old ", "Old ", 1),
        EXAMPLE.replacen("old ", "old  ", 1),
        EXAMPLE.replacen("old ", "old 0", 1),
        EXAMPLE.replacen("old ", "old -", 1),
        EXAMPLE.replacen("old 20852014", "old 20852014 ", 1),
        EXAMPLE.replacen("old 20852014", "old 9223372036854775808", 1),
        EXAMPLE.replacen("kaw=", "kaw", 1),
        EXAMPLE.replacen("kaw=", "kax=", 1),
        EXAMPLE.replacen("\n\n", "\n", 1),
        EXAMPLE.replace('\n', "\r\n"),
        EXAMPLE.trim_end().to_owned(),
        format!("old 5\n{}\n{note}", format!("{hash}\n").repeat(MAX_PROOF + 1)),
        format!("old 5\n\n{}{note}", "x".repeat(MAX_REQUEST)),
        format!("old 5\n\n{}\n", "x\n".repeat(24_000)),
        format!("old 5\n\n{}", note.replacen("20852163", "20852163x", 1)),
        "old 5\n\nnot a note\n".into(),
    ] {
        assert!(Request::parse(bad.as_bytes()).is_err(), "{:?}", bad.chars().take(60).collect::<String>());
    }
    assert!(Request::parse(b"old 5\n\n\xff\xfe").is_err());
    let most = format!("old 5\n{}\n{note}", format!("{hash}\n").repeat(MAX_PROOF));
    assert_eq!(Request::parse(most.as_bytes()).unwrap().to_string(), most);
}

fn leaves(n: u8, branch: u8) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&[i, if i < 6 { 0 } else { branch }])).collect()
}

fn log() -> NoteSigner {
    NoteSigner::new("log.example", SigningKey::from_bytes(&[1; 32])).unwrap()
}

fn head(leaves: &[Hash]) -> Checkpoint {
    Checkpoint { origin: "log.example".into(), size: leaves.len() as u64, root: subtree_root(leaves) }
}

fn request(old: u64, proof: Vec<Hash>, of: &[Hash]) -> Request {
    Request { old, proof, note: Note::parse(head(of).sign(&log()).unwrap().as_bytes()).unwrap() }
}

#[test]
fn a_head_follows_the_last_one_by_a_proof_alone() {
    let known = [log().verifier().clone()];
    let (four, eight) = (leaves(4, 0), leaves(8, 0));
    let last = Seen { size: 4, root: subtree_root(&four) };
    let proof = vec![subtree_root(&eight[4..])];
    let decide = |request: &Request, last| request.signed_by(&known).unwrap().extends(last).map_err(|e| e.code());
    assert_eq!(decide(&request(4, proof.clone(), &eight), last), Ok(()));
    assert_eq!(decide(&request(0, vec![], &eight), Seen::NOTHING), Ok(()));
    assert_eq!(decide(&request(4, vec![], &four), last), Ok(()));
    for (old, proof, of, last, code) in [
        (9, vec![], &eight, last, "witness.old-size"),
        (0, vec![], &eight, last, "witness.conflict"),
        (5, proof.clone(), &eight, last, "witness.conflict"),
        (4, proof.clone(), &eight, Seen::NOTHING, "witness.conflict"),
        (4, vec![], &eight, last, "witness.proof"),
        (4, [proof.clone(), proof.clone()].concat(), &eight, last, "witness.proof"),
        (4, proof.clone(), &leaves(8, 1), last, "witness.proof"),
        (0, proof.clone(), &eight, Seen::NOTHING, "witness.proof"),
        (8, vec![], &leaves(8, 1), Seen { size: 8, root: subtree_root(&eight) }, "witness.proof"),
        (8, proof.clone(), &eight, Seen { size: 8, root: subtree_root(&eight) }, "witness.proof"),
    ] {
        assert_eq!(decide(&request(old, proof, of), last), Err(code), "old {old}");
    }
}

#[test]
fn only_the_logs_own_keys_open_a_request() {
    let eight = leaves(8, 0);
    let other = NoteSigner::new("log.example", SigningKey::from_bytes(&[9; 32])).unwrap();
    let mut both = request(0, vec![], &eight);
    both.note.add_signature(&other).unwrap();
    let (own, other) = (log().verifier().clone(), other.verifier().clone());
    assert_eq!(both.signed_by(std::slice::from_ref(&own)).unwrap().line.key_id, own.key_id());
    assert_eq!(both.signed_by(&[]).unwrap_err().code(), "witness.key");
    assert_eq!(request(0, vec![], &eight).signed_by(std::slice::from_ref(&other)).unwrap_err().code(), "witness.key");
    assert!(both.signed_by(&[other.clone(), own.clone()]).is_ok());
    // One good line does not make up for a false one of a key that is known.
    let mut lines = both.note.signatures().to_vec();
    lines[1].signature[0] ^= 1;
    both.note = Note::of(both.note.text(), lines).unwrap();
    assert_eq!(both.signed_by(&[own.clone(), other]).unwrap_err().code(), "note.signature");
    assert!(both.signed_by(&[own]).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_same_bytes_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn a_bent_request_is_read_to_the_same_bytes_or_refused(
        at in 0..EXAMPLE.len(), cut in 0..3usize, put in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }

    /// Whatever is asked in whatever order: a witness that follows its decisions only ever holds heads of one branch.
    #[test]
    fn a_witness_never_holds_two_branches(
        asked in prop::collection::vec((0u8..12, 0u8..12, 0u8..2, any::<bool>()), 1..40),
    ) {
        let known = [log().verifier().clone()];
        let (mut last, mut held) = (Seen::NOTHING, Vec::new());
        for (old, size, branch, honest) in asked {
            let of = leaves(size, branch);
            let proof = if honest { consistency(&of, old) } else { consistency(&leaves(12, 1 - branch), old) };
            let request = request(old.into(), proof, &of);
            if let Ok(signed) = request.signed_by(&known)
                && signed.extends(last).is_ok()
            {
                last = signed.seen();
                held.push((size, branch));
            }
        }
        for pair in held.windows(2) {
            let ((a, x), (b, y)) = (pair[0], pair[1]);
            prop_assert!(a <= b);
            prop_assert!(x == y || a <= 6, "{held:?}");
        }
    }
}

/// RFC 6962, section 2.1.2, word for word.
fn consistency(leaves: &[Hash], old: u8) -> Vec<Hash> {
    fn subproof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
        if m == d.len() {
            return if whole { vec![] } else { vec![subtree_root(d)] };
        }
        let k = 1 << (d.len() - 1).ilog2();
        match m <= k {
            true => [subproof(m, &d[..k], whole), vec![subtree_root(&d[k..])]].concat(),
            false => [subproof(m - k, &d[k..], false), vec![subtree_root(&d[..k])]].concat(),
        }
    }
    let m = usize::from(old);
    if m == 0 || m > leaves.len() { vec![] } else { subproof(m, leaves, true) }
}
