//! Cases about the log as files and proofs: tiles, bundles, paths, hashes, notes, checkpoints, verifier keys.

use data_encoding::BASE64;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::{Hash, leaf_hash, node_hash};
use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::{Case, bare, case};

fn paths() -> Vec<Case> {
    let long = format!("tile/0/{}000", "x001/".repeat(12));
    let bad = [
        ("empty", ""),
        ("a leading slash", "/checkpoint"),
        ("a closing slash", "checkpoint/"),
        ("upper case", "Checkpoint"),
        ("no level", "tile//000"),
        ("no number", "tile/0/"),
        ("two digits", "tile/0/00"),
        ("four digits", "tile/0/0000"),
        ("a sign", "tile/0/+01"),
        ("a letter", "tile/0/00a"),
        ("level 64", "tile/64/000"),
        ("a level with a zero", "tile/01/000"),
        ("the old name of bundles", "tile/data/000"),
        ("a tile height", "tile/8/0/000"),
        ("only a leading group", "tile/0/x001"),
        ("a group without x", "tile/0/001/067"),
        ("an empty leading group", "tile/0/x000/067"),
        ("x at the last group", "tile/0/x001/x067"),
        ("width 0", "tile/0/000.p/0"),
        ("width 256", "tile/0/000.p/256"),
        ("a width with a zero", "tile/0/000.p/01"),
        ("a width without a number", "tile/0/000.p/"),
        ("two widths", "tile/0/000.p/1.p/1"),
        ("dots", "tile/0/x001/../000"),
        ("percent signs", "tile/0/%30%30%30"),
        ("other scripts' digits", "tile/0/\u{661}\u{661}\u{661}"),
        ("a zero byte", "tile/0/000\0"),
        ("beyond the largest tree", "tile/0/x036/x028/x797/x018/x963/968"),
        ("beyond 64 bits", &long),
    ];
    let mut cases: Vec<Case> = bad.iter().map(|(n, p)| case(&format!("path: {n}"), "path", p, "tile.path")).collect();
    cases.push(case("a good path", "path", "tile/entries/x001/x234/067.p/5", ""));
    cases
}

fn hex(h: &Hash) -> Value {
    h.to_string().into()
}

/// Proofs in the tree of the entries "0", "1", "2".
fn proofs() -> Vec<Case> {
    let leaves: Vec<Hash> = ["0", "1", "2"].iter().map(|e| leaf_hash(e.as_bytes())).collect();
    let two = node_hash(&leaves[0], &leaves[1]);
    let root = node_hash(&two, &leaves[2]);
    let inclusion = |name: &str, code, index: u64, size: u64, proof: &[Hash], of: &Hash| {
        bare(name, "inclusion", code)
            .with("leaf", hex(&leaves[0]))
            .with("index", index)
            .with("size", size)
            .with("proof", proof.iter().map(hex).collect::<Vec<_>>())
            .with("root", hex(of))
    };
    let consistency = |name: &str, code, old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]| {
        bare(name, "consistency", code)
            .with("old_size", old.0)
            .with("old_root", hex(old.1))
            .with("size", new.0)
            .with("root", hex(new.1))
            .with("proof", proof.iter().map(hex).collect::<Vec<_>>())
    };
    let (good, empty) = ([leaves[1], leaves[2]], Hash::EMPTY_TREE);
    let huge = 1u64 << 63;
    vec![
        inclusion("a good inclusion proof", "", 0, 3, &good, &root),
        inclusion("inclusion: another entry's place", "proof.inclusion", 1, 3, &good, &root),
        inclusion("inclusion: the hashes in another order", "proof.inclusion", 0, 3, &[leaves[2], leaves[1]], &root),
        inclusion("inclusion: another root", "proof.inclusion", 0, 3, &good, &two),
        inclusion("inclusion: a hash too few", "proof.length", 0, 3, &good[..1], &root),
        inclusion("inclusion: a hash too many", "proof.length", 0, 3, &[good[0], good[1], root], &root),
        inclusion("inclusion: no hashes", "proof.length", 0, 3, &[], &root),
        inclusion("inclusion: an index at the size", "proof.range", 3, 3, &good, &root),
        inclusion("inclusion: in an empty tree", "proof.range", 0, 0, &[], &empty),
        inclusion("inclusion: a size beyond 2^63-1", "tree.size", 0, huge, &good, &root),
        consistency("a good consistency proof", "", (2, &two), (3, &root), &[leaves[2]]),
        consistency("consistency: another old root", "proof.consistency", (2, &root), (3, &root), &[leaves[2]]),
        consistency("consistency: another new root", "proof.consistency", (2, &two), (3, &two), &[leaves[2]]),
        consistency("consistency: one size, two roots", "proof.consistency", (3, &two), (3, &root), &[]),
        consistency("consistency: an empty tree with a root", "proof.consistency", (0, &two), (3, &root), &[]),
        consistency("consistency: a new size of 0 with a root", "proof.consistency", (0, &empty), (0, &root), &[]),
        consistency("consistency: a hash too few", "proof.length", (2, &two), (3, &root), &[]),
        consistency("consistency: a hash too many", "proof.length", (2, &two), (3, &root), &[leaves[2], two]),
        consistency("consistency: a proof of equal sizes", "proof.length", (3, &root), (3, &root), &[two]),
        consistency("consistency: a tree that shrinks", "proof.range", (3, &root), (2, &two), &[]),
        consistency("consistency: a size beyond 2^63-1", "tree.size", (2, &two), (huge, &root), &[leaves[2]]),
    ]
}

pub fn tiles() -> Vec<Case> {
    let tile = |name: &str, code, width: u64, len: usize| {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        case(name, "tile", bytes, code).with("width", width)
    };
    let bundle = |name: &str, code, width: u64, bytes: &[u8]| case(name, "bundle", bytes, code).with("width", width);
    let three = b"\0\x02ab\0\0\0\x01c";
    let mut cases = vec![
        tile("a good tile", "", 2, 64),
        tile("tile: width 0", "tile.width", 0, 0),
        tile("tile: width 257", "tile.width", 257, 32),
        tile("tile: a hash short", "tile.truncated", 2, 32),
        tile("tile: a byte short", "tile.truncated", 2, 63),
        tile("tile: empty", "tile.truncated", 1, 0),
        tile("tile: a byte too many", "tile.trailing", 2, 65),
        tile("tile: a hash too many", "tile.trailing", 2, 96),
        bundle("a good bundle", "", 3, three),
        bundle("bundle: width 0", "tile.width", 0, b""),
        bundle("bundle: width 257", "tile.width", 257, three),
        bundle("bundle: an entry too few", "bundle.truncated", 4, three),
        bundle("bundle: an entry cut short", "bundle.truncated", 3, &three[..8]),
        bundle("bundle: a length cut short", "bundle.truncated", 3, &three[..7]),
        bundle("bundle: empty", "bundle.truncated", 1, b""),
        bundle("bundle: a length beyond the end", "bundle.truncated", 1, b"\xff\xffab"),
        bundle("bundle: an entry too many", "bundle.trailing", 2, three),
        bundle("bundle: a byte too many", "bundle.trailing", 3, b"\0\x02ab\0\0\0\x01cd"),
    ];
    let hash = Hash([0xfb; 32]);
    let (base64, hexed) = (hash.to_base64(), hash.to_string());
    cases.extend([
        case("a good hash in base64", "hash_base64", &base64, ""),
        case("hash: base64 without padding", "hash_base64", &base64[..43], "hash.base64"),
        case("hash: base64url", "hash_base64", base64.replace('+', "-").replace('/', "_"), "hash.base64"),
        case("hash: base64 with loose bits", "hash_base64", base64.replace("s=", "t="), "hash.base64"),
        case("hash: base64 and a line end", "hash_base64", format!("{base64}\n"), "hash.base64"),
        case(
            "hash: base64 padded in the middle",
            "hash_base64",
            format!("AAE={}", &BASE64.encode(&[1; 30])[..40]),
            "hash.base64",
        ),
        case("hash: base64 of 31 bytes", "hash_base64", BASE64.encode(&[1; 31]), "hash.base64"),
        case("a good hash in hexadecimal", "hash_hex", &hexed, ""),
        case("hash: upper-case hexadecimal", "hash_hex", hexed.to_uppercase(), "hash.hex"),
        case("hash: 63 digits", "hash_hex", &hexed[..63], "hash.hex"),
        case("hash: a letter that is no digit", "hash_hex", hexed.replacen('f', "g", 1), "hash.hex"),
    ]);
    cases.extend(paths());
    cases.extend(proofs());
    cases
}

const ORIGIN: &str = "log.example/77";

fn signer(n: u8, name: &str) -> NoteSigner {
    NoteSigner::new(name, SigningKey::from_bytes(&[n; 32])).unwrap()
}

/// A text signed by the log's key.
fn signed(text: &str) -> String {
    Note::sign(text, &signer(3, ORIGIN)).unwrap().to_string()
}

pub fn checkpoints() -> Vec<Case> {
    let key = signer(3, ORIGIN);
    let vkey = key.verifier().to_string();
    let head = Checkpoint { origin: ORIGIN.into(), size: 5, root: Hash([9; 32]) };
    let good = head.sign(&key).unwrap();
    let root = head.root.to_base64();
    let note = |name: &str, code, bytes: &[u8]| case(name, "note", bytes, code).with("vkey", vkey.clone());
    let checkpoint = |name: &str, code, bytes: &str| {
        case(name, "checkpoint", bytes, code).with("vkey", vkey.clone()).with("origin", ORIGIN)
    };
    let line = good.lines().last().unwrap();
    let by_other = head.sign(&signer(4, ORIGIN)).unwrap();
    let text = |text: &str| signed(text);
    let many = format!("{}{}", good, format!("{}\n", by_other.lines().last().unwrap()).repeat(64));
    let false_line = {
        let mut bytes = good.clone().into_bytes();
        let at = bytes.len() - 30;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut cases = vec![
        note("a good note", "", good.as_bytes()),
        note("note: no UTF-8", "note.utf8", b"\xff\n\n"),
        note("note: CR LF", "note.control", good.replace('\n', "\r\n").as_bytes()),
        note("note: a tab", "note.control", good.replacen('5', "\t", 1).as_bytes()),
        note("note: no line end", "note.newline", good.trim_end().as_bytes()),
        note("note: empty", "note.newline", b""),
        note("note: no empty line", "note.separator", good.replace("\n\n", "\n").as_bytes()),
        note("note: no signature", "note.signatures", b"text\n\n"),
        note("note: 65 signatures", "note.signatures", many.as_bytes()),
        note("note: a hyphen for the dash", "note.signature-line", good.replace('\u{2014}', "-").as_bytes()),
        note(
            "note: a signature without a name",
            "note.signature-line",
            good.replace(&format!("{ORIGIN} "), " ").as_bytes(),
        ),
        note(
            "note: a name with a plus",
            "note.signature-line",
            good.replace(&format!("— {ORIGIN}"), "— a+b").as_bytes(),
        ),
        note(
            "note: a signature that is no base64",
            "note.signature-line",
            good.replace(line, &format!("{line}!")).as_bytes(),
        ),
        note(
            "note: a signature padded in the middle",
            "note.signature-line",
            format!("a\n\n— {ORIGIN} AAE=AAAAAAAA\n").as_bytes(),
        ),
        note(
            "note: a signature of four bytes",
            "note.signature-line",
            format!("a\n\n— {ORIGIN} AAAAAA==\n").as_bytes(),
        ),
        note("note: by another key", "note.unsigned", by_other.as_bytes()),
        note("note: by another name", "note.unsigned", head.sign(&signer(3, "log.example/78")).unwrap().as_bytes()),
        note("note: a changed signature", "note.signature", false_line.as_bytes()),
        note("note: a changed text", "note.signature", good.replacen('5', "6", 1).as_bytes()),
        note(
            "note: a second line of the key that is false",
            "note.signature",
            format!("{good}{}\n", false_line.lines().last().unwrap()).as_bytes(),
        ),
        note("note: a text of 65 kB", "note.text-too-long", format!("{}\n\n{line}\n", "x".repeat(65_537)).as_bytes()),
        note("note: half a megabyte", "note.too-long", &vec![b'x'; 600_000]),
        checkpoint("a good checkpoint", "", &good),
        checkpoint("checkpoint: another origin", "checkpoint.origin", &text(&format!("log.example/78\n5\n{root}\n"))),
        checkpoint("checkpoint: no origin", "checkpoint.origin", &text(&format!("\n5\n{root}\n"))),
        checkpoint(
            "checkpoint: an extension line",
            "checkpoint.extension",
            &text(&format!("{ORIGIN}\n5\n{root}\nmore\n")),
        ),
        checkpoint("checkpoint: two lines", "checkpoint.form", &text(&format!("{ORIGIN}\n5\n"))),
        checkpoint("checkpoint: an empty last line", "checkpoint.form", &text(&format!("{ORIGIN}\n5\n{root}\n\n"))),
        checkpoint("checkpoint: a size with a zero", "checkpoint.size", &text(&format!("{ORIGIN}\n05\n{root}\n"))),
        checkpoint("checkpoint: a negative size", "checkpoint.size", &text(&format!("{ORIGIN}\n-5\n{root}\n"))),
        checkpoint("checkpoint: a size in hexadecimal", "checkpoint.size", &text(&format!("{ORIGIN}\n0x5\n{root}\n"))),
        checkpoint(
            "checkpoint: a size of 2^63",
            "checkpoint.size",
            &text(&format!("{ORIGIN}\n9223372036854775808\n{root}\n")),
        ),
        checkpoint("checkpoint: no size", "checkpoint.size", &text(&format!("{ORIGIN}\n\n{root}\n"))),
        checkpoint(
            "checkpoint: a root of 31 bytes",
            "checkpoint.root",
            &text(&format!("{ORIGIN}\n5\n{}\n", BASE64.encode(&[9; 31]))),
        ),
        checkpoint(
            "checkpoint: a root in hexadecimal",
            "checkpoint.root",
            &text(&format!("{ORIGIN}\n5\n{}\n", head.root)),
        ),
        checkpoint("checkpoint: a root of an empty log", "checkpoint.root", &text(&format!("{ORIGIN}\n0\n{root}\n"))),
        checkpoint("checkpoint: 9 kB", "checkpoint.too-long", &"x".repeat(9_000)),
        checkpoint("checkpoint: by another key", "note.unsigned", &by_other),
    ];
    let id = vkey.split('+').nth(1).unwrap();
    let weak = |bytes: [u8; 32]| format!("{ORIGIN}+{id}+{}", BASE64.encode(&[&[1u8][..], &bytes].concat()));
    let mut low = [0; 32];
    low[0] = 1;
    let key_bytes = key.verifier().verifying_key().as_bytes();
    cases.extend([
        case("a good verifier key", "vkey", &vkey, ""),
        case("vkey: no id", "vkey", ORIGIN, "vkey.form"),
        case("vkey: an id in upper case", "vkey", vkey.replacen(id, &id.to_uppercase(), 1), "vkey.form"),
        case("vkey: a key that is no base64", "vkey", format!("{vkey}!"), "vkey.form"),
        case(
            "vkey: a key padded in the middle",
            "vkey",
            format!("{ORIGIN}+{id}+AQ=={}", BASE64.encode(key.verifier().verifying_key().as_bytes())),
            "vkey.form",
        ),
        case("vkey: a key of 31 bytes", "vkey", format!("{ORIGIN}+{id}+{}", BASE64.encode(&[1; 32])), "vkey.form"),
        case("vkey: too long", "vkey", "x".repeat(400), "vkey.form"),
        case(
            "vkey: another type",
            "vkey",
            format!("{ORIGIN}+{id}+{}", BASE64.encode(&[&[2u8][..], key_bytes].concat())),
            "vkey.type",
        ),
        case("vkey: a point of small order", "vkey", weak(low), "vkey.point"),
        case("vkey: no point", "vkey", weak([2; 32]), "vkey.point"),
        case("vkey: another name's id", "vkey", vkey.replacen("77", "78", 1), "vkey.id"),
        case("vkey: a name with a space", "vkey", vkey.replacen("log", "lo g", 1), "note.name"),
        case("vkey: no name", "vkey", &vkey[ORIGIN.len()..], "note.name"),
    ]);
    cases
}
