//! Everything the log reads from strangers: arbitrary bytes never panic, what is taken is written back as it was, and
//! each kind of fault is refused under its own code.

use std::fmt::Display;

use domovoi::error::Result;
use domovoi::tlog::checkpoint::{Checkpoint, MAX_CHECKPOINT_LEN};
use domovoi::tlog::note::{MAX_NOTE_LEN, MAX_SIGNATURES, MAX_TEXT_LEN, Note, NoteSigner, VerifierKey};
use domovoi::tlog::tile::{
    BundleId, LogPath, TileId, bundles_between, decode_bundle, decode_tile, encode_bundle, encode_tile, tiles_of,
};
use domovoi::tlog::{Hash, MAX_SIZE};
use ed25519_dalek::{SigningKey, VerifyingKey};
use proptest::prelude::*;

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", SigningKey::from_bytes(&[1; 32])).unwrap()
}

fn head() -> Checkpoint {
    Checkpoint { origin: "example.com/log".into(), size: 70_000, root: Hash([9; 32]) }
}

#[track_caller]
fn refused<T>(result: Result<T>, code: &str) {
    assert_eq!(result.err().expect("is refused").code(), code);
}

#[test]
fn paths_have_one_spelling() {
    let good = [
        ("checkpoint", LogPath::Checkpoint),
        ("tile/0/000", TileId { level: 0, index: 0, width: 256 }.into()),
        ("tile/0/x001/067.p/5", TileId { level: 0, index: 1067, width: 5 }.into()),
        ("tile/63/000.p/255", TileId { level: 63, index: 0, width: 255 }.into()),
        ("tile/entries/x001/x234/067", BundleId { index: 1_234_067, width: 256 }.into()),
        ("tile/entries/999.p/1", BundleId { index: 999, width: 1 }.into()),
        // The last place of the largest tree.
        ("tile/0/x036/x028/x797/x018/x963/967.p/255", TileId { level: 0, index: MAX_SIZE / 256, width: 255 }.into()),
    ];
    for (text, path) in good {
        assert_eq!(LogPath::parse(text).unwrap(), path);
        assert_eq!(path.to_string(), text);
    }
    let bad = [
        "",
        "/checkpoint",
        "checkpoint/",
        "Checkpoint",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile//000",
        "/tile/0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/-01",
        "tile/0/+01",
        "tile/0/ 01",
        "tile/0/00a",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/a/000",
        "tile/256/000",
        "tile/0/x001",
        "tile/0/001/067",
        "tile/0/x000/067",
        "tile/0/x001/x067",
        "tile/0/X001/067",
        "tile/0/x1/067",
        "tile/0/x0001/067",
        "tile/0/x001//067",
        "tile/0/x001/067/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/000p/1",
        "tile/8/0/000",
        "tile/data/000",
        "tile/entries/",
        "tile/entries/00",
        "tile/0/../000",
        "tile/0/x001/../000",
        "tile/0/%30%30%30",
        "tile/0/\u{661}\u{661}\u{661}",
        "tile/0/000\0",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/x000/x000/x000/x000/x000/000",
    ];
    for text in bad {
        refused(LogPath::parse(text), "tile.path");
    }
}

#[test]
fn widths_follow_the_size() {
    let tile = |level, index, width| TileId { level, index, width };
    assert!(tile(0, 0, 1).within(1) && !tile(0, 0, 2).within(1) && !tile(0, 0, 0).within(1));
    assert!(tile(1, 0, 1).within(256) && !tile(1, 0, 1).within(255));
    assert!(!tile(0, 0, 257).within(1000) && !tile(8, 0, 1).within(u64::MAX) && !tile(63, 0, 1).within(u64::MAX));
    assert!(!tile(0, u64::MAX, 256).within(u64::MAX) && !tile(255, 0, 1).within(u64::MAX));
    assert_eq!(TileId::in_tree(0, 273, 70_000), Some(tile(0, 273, 112)));
    assert_eq!(TileId::in_tree(0, 0, 0), None);
    assert_eq!(TileId::in_tree(0, 1, 256), None);
    assert_eq!(BundleId::in_tree(u64::MAX, u64::MAX), None);
    let bundles: Vec<_> = bundles_between(255, 513).map(|b| (b.index, b.width)).collect();
    assert_eq!(bundles, [(0, 256), (1, 256), (2, 1)]);
    assert_eq!((bundles_between(5, 5).count(), bundles_between(6, 5).count(), tiles_of(0).count()), (0, 0, 0));
    // A claimed size costs nothing until its tiles are walked.
    assert_eq!(tiles_of(MAX_SIZE).next(), Some(tile(0, 0, 256)));
}

#[test]
fn tiles_and_bundles_are_exact() {
    refused(decode_tile(&[0; 32], 0), "tile.width");
    refused(decode_tile(&[0; 32 * 257], 257), "tile.width");
    refused(decode_tile(&[0; 63], 2), "tile.truncated");
    refused(decode_tile(&[0; 65], 2), "tile.trailing");
    let bundle = encode_bundle(&[&b"ab"[..], b"", b"c"]).unwrap();
    assert_eq!(bundle, b"\0\x02ab\0\0\0\x01c");
    assert_eq!(decode_bundle(&bundle, 3).unwrap(), [2..4, 6..6, 8..9]);
    refused(decode_bundle(&bundle, 0), "tile.width");
    refused(decode_bundle(&bundle, 257), "tile.width");
    refused(decode_bundle(&bundle, 2), "bundle.trailing");
    refused(decode_bundle(&bundle, 4), "bundle.truncated");
    refused(decode_bundle(&bundle[..8], 3), "bundle.truncated");
    refused(decode_bundle(&bundle[..7], 3), "bundle.truncated");
    refused(encode_bundle(&[] as &[&[u8]]), "tile.width");
    refused(encode_bundle(&[b"x"; 257]), "tile.width");
    refused(encode_bundle(&[vec![0; 65_536]]), "bundle.entry-too-long");
    assert!(encode_bundle(&[vec![0; 65_535]]).is_ok());
}

#[test]
fn hashes_have_one_spelling() {
    let good = Hash([255; 32]);
    assert_eq!(Hash::from_base64(&good.to_base64()).unwrap(), good);
    assert_eq!(Hash::from_hex(&good.to_string()).unwrap(), good);
    let text = good.to_base64();
    let stray_bits = text.replace("8=", "9=");
    assert_ne!(stray_bits, text);
    for bad in [&stray_bits, &text[..43], "", &text.replace('/', "_"), &format!("{text}\n"), &text.replace("8=", "==")]
    {
        refused(Hash::from_base64(bad), "hash.base64");
    }
    for bad in ["", "ff", &"FF".repeat(32), &"ff".repeat(33), &"fg".repeat(32)] {
        refused(Hash::from_hex(bad), "hash.hex");
    }
}

#[test]
fn notes_are_refused_by_name() {
    let (signer, text) = (signer(), "one line\n");
    let good = Note::sign(text, &signer).unwrap().to_string();
    let line = &good[text.len() + 1..];
    let signature = line.rsplit(' ').next().unwrap().trim_end();
    let stray = good.replace("=\n", "\n").replace(signature.trim_end_matches('='), "AAAAAAF=");
    let cases = [
        ("note.newline", String::new()),
        ("note.newline", good.trim_end().to_owned()),
        ("note.separator", text.to_owned()),
        ("note.separator", good.replace("\n\n", "\n")),
        ("note.signatures", format!("{text}\n")),
        ("note.signatures", format!("{text}\n{}", line.repeat(MAX_SIGNATURES + 1))),
        ("note.control", good.replace(' ', "\t")),
        ("note.control", good.replace('\n', "\r\n")),
        ("note.control", good.replace("one", "o\0e")),
        ("note.signature-line", good.replace('\u{2014}', "-")),
        ("note.signature-line", good.replace("\u{2014} ", "\u{2014}")),
        ("note.signature-line", good.replace("log ", "log  ")),
        ("note.signature-line", good.replace("example.com/log", "")),
        ("note.signature-line", good.replace("example.com/log", "a+b")),
        ("note.signature-line", good.replace("example.com/log", "a\u{2003}b")),
        ("note.signature-line", good.replace(&format!(" {signature}"), "")),
        ("note.signature-line", good.replace(signature, "AAAAAA==")), // a key id and nothing more
        ("note.signature-line", good.replace(signature, "AAAAAAA")),  // no padding
        ("note.signature-line", stray),                               // bits under the padding
        ("note.signature-line", good.replace(signature, &signature.replace('=', ""))),
        ("note.signature-line", format!("{good}— x {}\n", "A".repeat(8192))),
        ("note.signature-line", format!("{good}x\n")),
        ("note.signature-line", format!("{good}\u{2014}\n")),
        ("note.text-too-long", format!("{}{good}", "x".repeat(MAX_TEXT_LEN))),
        ("note.too-long", "x".repeat(MAX_NOTE_LEN + 1)),
        ("note.unsigned", good.replace("example.com/log", "example.com/loh")),
        ("note.signature", good.replace("one line", "two line")),
        ("note.signature", format!("{good}— example.com/log {}\n", &signature.replace(&signature[10..14], "AAAA"))),
    ];
    for (code, note) in cases {
        assert_ne!(note, good);
        let error = Note::open(note.as_bytes(), signer.verifier()).expect_err(&note);
        assert_eq!(error.code(), code, "{:?}", &note[..note.len().min(200)]);
    }
    refused(Note::parse(b"\xff\n\n"), "note.utf8");
    // 64 lines are taken, another key's lines are ignored, the same line twice is one key's word.
    Note::open(format!("{text}\n{}", line.repeat(MAX_SIGNATURES)).as_bytes(), signer.verifier()).unwrap();
    Note::open(format!("{good}— other AAAAAAA=\n").as_bytes(), signer.verifier()).unwrap();

    refused(Note::sign("no newline", &signer), "note.newline");
    refused(Note::sign("tab\t\n", &signer), "note.control");
    refused(Note::sign("x".repeat(MAX_TEXT_LEN) + "\n", &signer), "note.text-too-long");
    let mut full = Note::parse(format!("{text}\n{}", "— other AAAAAAA=\n".repeat(MAX_SIGNATURES)).as_bytes()).unwrap();
    refused(full.add_signature(&signer), "note.signatures");
    let mut again = Note::sign(text, &signer).unwrap();
    again.add_signature(&signer).unwrap();
    assert_eq!(again.to_string(), good);
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{1}b", &"x".repeat(256)] {
        refused(NoteSigner::new(name, SigningKey::from_bytes(&[1; 32])), "note.name");
    }
}

#[test]
fn verifier_keys_are_refused_by_name() {
    use data_encoding::BASE64;
    let good = signer().verifier().to_string();
    let [name, id, key] = good.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
    let with_key = |bytes: &[u8]| format!("{name}+{id}+{}", BASE64.encode(bytes));
    let raw = BASE64.decode(key.as_bytes()).unwrap();
    let flipped = format!("{id:0>8}").replace(&id[..1], if id.starts_with('0') { "1" } else { "0" });
    let ecdsa = [&[2], &raw[1..]].concat();
    // y = 2 is not on the curve; y = p + 1 is the identity in another encoding; the all-zero point has order 4.
    let (mut two, mut shifted) = ([0; 33], [255; 33]);
    (two[0], two[1]) = (1, 2);
    (shifted[0], shifted[1], shifted[32]) = (1, 0xee, 0x7f);
    let cases = [
        ("vkey.form", String::new()),
        ("vkey.form", name.to_owned()),
        ("vkey.form", format!("{name}+{id}")),
        ("vkey.form", format!("{name}+{}+{key}", id.to_uppercase())),
        ("vkey.form", format!("{name}+{}+{key}", &id[1..])),
        ("vkey.form", format!("{name}+{id}+{}", key.trim_end_matches(char::is_alphanumeric))),
        ("vkey.form", format!("{good}=")),
        ("vkey.form", format!("{good}\n")),
        ("vkey.form", with_key(&[])),
        ("vkey.form", with_key(&raw[..32])),
        ("vkey.form", with_key(&[&raw[..], &[0]].concat())),
        ("vkey.form", format!("{}{good}", "x".repeat(1000))),
        ("vkey.type", with_key(&ecdsa)),
        ("vkey.point", with_key(&two)),
        ("vkey.point", with_key(&shifted)),
        ("vkey.point", with_key(&[&[1][..], &[0; 32]].concat())),
        ("vkey.id", format!("{name}+{flipped}+{key}")),
        ("vkey.id", good.replacen("log", "loh", 1)),
        ("note.name", good.replacen("example", "exa mple", 1)),
        ("note.name", good.replacen("example.com/log", "", 1)),
    ];
    for (code, text) in cases {
        let error = VerifierKey::parse(&text).expect_err(&text);
        assert_eq!(error.code(), code, "{text:?}");
    }
    // Every encoding of y = p .. p + 18, the only ones that are not canonical.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            if let Ok(point) = VerifyingKey::from_bytes(&bytes) {
                refused(VerifierKey::new("example.com/log", point), "vkey.point");
            }
        }
    }
    // A torsion component makes a key that no one can tell from an honest one by its signatures alone.
    let torsion = curve25519_dalek::constants::EIGHT_TORSION[1];
    let mixed = (signer().verifier().verifying_key().to_edwards() + torsion).compress();
    let mixed = VerifyingKey::from_bytes(mixed.as_bytes()).unwrap();
    refused(VerifierKey::new("example.com/log", mixed), "vkey.point");
}

#[test]
fn checkpoints_are_refused_by_name() {
    let (signer, head) = (signer(), head());
    let text = head.to_text();
    let root = head.root.to_base64();
    let cases = [
        ("checkpoint.form", String::new()),
        ("checkpoint.form", text.trim_end().to_owned()),
        ("checkpoint.form", "example.com/log\n70000\n".into()),
        ("checkpoint.form", format!("{text}\n")),
        ("checkpoint.form", text.replace('\n', "\r\n")),
        ("checkpoint.extension", format!("{text}extension\n")),
        ("checkpoint.extension", format!("{text}extension\n\n")),
        ("checkpoint.origin", text.replace("example.com/log", "")),
        ("checkpoint.origin", text.replace("example.com/log", &"x".repeat(1025))),
        ("checkpoint.size", text.replace("70000", "")),
        ("checkpoint.size", text.replace("70000", "070000")),
        ("checkpoint.size", text.replace("70000", "00")),
        ("checkpoint.size", text.replace("70000", "+70000")),
        ("checkpoint.size", text.replace("70000", "-1")),
        ("checkpoint.size", text.replace("70000", "7e4")),
        ("checkpoint.size", text.replace("70000", " 70000")),
        ("checkpoint.size", text.replace("70000", "9223372036854775808")),
        ("checkpoint.size", text.replace("70000", "18446744073709551616")),
        ("checkpoint.root", text.replace("70000", "0")),
        ("checkpoint.root", text.replace(&root, "")),
        ("checkpoint.root", text.replace(&root, &root[1..])),
        ("checkpoint.root", text.replace('=', "")),
        ("checkpoint.root", text.replace("k=", "l=")), // bits under the padding
        ("checkpoint.too-long", "x".repeat(MAX_CHECKPOINT_LEN + 1)),
    ];
    for (code, bad) in cases {
        assert_ne!(bad, text);
        let error = Checkpoint::parse(&bad).expect_err(&bad);
        assert_eq!(error.code(), code, "{bad:?}");
        // A good signature does not make it better.
        if let Ok(note) = Note::sign(bad, &signer) {
            let opened = Checkpoint::open(note.to_string().as_bytes(), signer.verifier(), "example.com/log");
            refused(opened, code);
        }
    }
    assert_eq!(Checkpoint::parse(&text.replace("70000", "9223372036854775807")).unwrap().size, MAX_SIZE);
    let empty = Checkpoint { size: 0, root: Hash::EMPTY_TREE, ..head.clone() };
    assert_eq!(Checkpoint::parse(&empty.to_text()).unwrap(), empty);

    refused(Checkpoint { origin: "two\nlines".into(), ..head.clone() }.sign(&signer), "checkpoint.origin");
    refused(Checkpoint { size: MAX_SIZE + 1, ..head.clone() }.sign(&signer), "checkpoint.size");
    refused(Checkpoint { size: 0, ..head.clone() }.sign(&signer), "checkpoint.root");
    let note = head.sign(&signer).unwrap();
    refused(Checkpoint::open(note.as_bytes(), signer.verifier(), "example.com/other"), "checkpoint.origin");
    refused(Checkpoint::open(text.as_bytes(), signer.verifier(), "example.com/log"), "note.separator");
    let stranger = NoteSigner::new("example.com/log", SigningKey::from_bytes(&[2; 32])).unwrap();
    refused(Checkpoint::open(note.as_bytes(), stranger.verifier(), "example.com/log"), "note.unsigned");
    refused(Checkpoint::open(&vec![b'\n'; 8193], signer.verifier(), "example.com/log"), "checkpoint.too-long");
}

/// A key's holder can make a signature with a small-order R, on which verifiers of different make disagree.
#[test]
fn signatures_with_small_order_r_are_refused() {
    use curve25519_dalek::Scalar;
    use ed25519_dalek::Verifier;
    use sha2::{Digest, Sha512};
    let (signer, pair, text) = (signer(), SigningKey::from_bytes(&[1; 32]), "one line\n");
    let mut identity = [0; 32];
    identity[0] = 1;
    let hash = Sha512::new().chain_update(identity).chain_update(pair.verifying_key().as_bytes()).chain_update(text);
    let s = Scalar::from_bytes_mod_order_wide(&hash.finalize().into()) * pair.to_scalar();
    let crafted = ed25519_dalek::Signature::from_components(identity, s.to_bytes());
    assert!(pair.verifying_key().verify(text.as_bytes(), &crafted).is_ok(), "a lax verifier takes it");
    let line = [&signer.verifier().key_id()[..], &crafted.to_bytes()].concat();
    let note = format!("{text}\n\u{2014} example.com/log {}\n", data_encoding::BASE64.encode(&line));
    refused(Note::open(note.as_bytes(), signer.verifier()), "note.signature");
}

/// What is read is written back the same; reading may refuse, but not panic.
fn same<T: Display>(text: &str, read: Result<T>) -> Result<(), TestCaseError> {
    if let Ok(value) = read {
        prop_assert_eq!(value.to_string(), text);
    }
    Ok(())
}

/// Text that is close to being right, so that the decoders get far into it.
fn near() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "checkpoint",
        "tile",
        "/",
        "0",
        "entries",
        "000",
        "x001",
        "067",
        ".p/",
        "5",
        "255",
        "\n",
        "\n\n",
        "\u{2014} ",
        " ",
        "example.com/log",
        "+",
        "AAAAAAA=",
        "AAAAAA==",
        "12",
        "é",
        "=",
        "\0",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn texts_never_panic(text in prop_oneof![near(), any::<String>()]) {
        same(&text, LogPath::parse(&text))?;
        same(&text, VerifierKey::parse(&text))?;
        same(&text, Note::parse(text.as_bytes()))?;
        same(&text, Checkpoint::parse(&text).map(|c| c.to_text()))?;
        same(&text, Hash::from_base64(&text).map(|h| h.to_base64()))?;
        same(&text, Hash::from_hex(&text))?;
        prop_assert!(Checkpoint::open(text.as_bytes(), signer().verifier(), "example.com/log").is_err());
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), 0..8u8, any::<u8>()], 0..600), width in 0..300u16) {
        if let Ok(hashes) = decode_tile(&bytes, width) {
            prop_assert_eq!(encode_tile(&hashes), &bytes[..]);
        }
        if let Ok(ranges) = decode_bundle(&bytes, width) {
            let entries: Vec<&[u8]> = ranges.into_iter().map(|r| &bytes[r]).collect();
            prop_assert_eq!(encode_bundle(&entries).unwrap(), &bytes[..]);
        }
        let _ = Note::parse(&bytes);
    }

    #[test]
    fn paths_come_back(level in 0..64u8, index in 0..=MAX_SIZE / 256, shift in 0..56u32, width in 1..=256u16) {
        let index = index >> shift;
        for path in [LogPath::from(TileId { level, index, width }), BundleId { index, width }.into()] {
            prop_assert_eq!(LogPath::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn tiles_and_bundles_come_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=256)) {
        let bytes = encode_bundle(&entries).unwrap();
        let ranges = decode_bundle(&bytes, entries.len() as u16).unwrap();
        let back: Vec<_> = ranges.into_iter().map(|r| bytes[r].to_vec()).collect();
        prop_assert_eq!(&back, &entries);
        for cut in 0..bytes.len().min(50) {
            prop_assert!(decode_bundle(&bytes[..bytes.len() - 1 - cut], entries.len() as u16).is_err());
        }
        let hashes: Vec<Hash> = entries.iter().map(|e| domovoi::tlog::leaf_hash(e)).collect();
        prop_assert_eq!(decode_tile(&encode_tile(&hashes), hashes.len() as u16).unwrap(), hashes);
    }

    #[test]
    fn checkpoints_come_back(origin in "[^\\x00-\\x1f]{1,40}", size in 1..=MAX_SIZE, root in prop::array::uniform32(any::<u8>())) {
        let head = Checkpoint { origin, size, root: Hash(root) };
        let note = head.sign(&signer()).unwrap();
        let open = Checkpoint::open(note.as_bytes(), signer().verifier(), &head.origin).unwrap();
        prop_assert_eq!(open.checkpoint(), &head);
        prop_assert_eq!(open.note_text(), note);
    }

    #[test]
    fn notes_come_back(text in "([^\\x00-\\x1f]|\n){0,60}\n", name in "[^\\x00-\\x1f\\s+]{1,20}", seed in any::<[u8; 32]>()) {
        let signer = NoteSigner::new(name, SigningKey::from_bytes(&seed)).unwrap();
        let vkey = signer.verifier().to_string();
        prop_assert_eq!(&VerifierKey::parse(&vkey).unwrap(), signer.verifier());
        let note = Note::sign(text.clone(), &signer).unwrap().to_string();
        let open = Note::open(note.as_bytes(), signer.verifier()).unwrap();
        prop_assert_eq!(open.text(), text);
        prop_assert_eq!(open.to_string(), note);
    }
}

/// Every single bit of a signed note counts, and of the key that verifies it.
#[test]
fn no_flipped_bit_passes() {
    let signer = signer();
    let note = head().sign(&signer).unwrap().into_bytes();
    let vkey = signer.verifier().to_string().into_bytes();
    for bit in 0..8 * note.len() {
        let mut bad = note.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Note::open(&bad, signer.verifier()).is_err(), "bit {bit} of the note");
    }
    for bit in 0..8 * vkey.len() {
        let mut bad = vkey.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let parsed = std::str::from_utf8(&bad).ok().and_then(|text| VerifierKey::parse(text).ok());
        assert!(parsed.is_none(), "bit {bit} of the key");
    }
}
