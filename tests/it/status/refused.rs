//! Status proofs that must be refused, each with its code.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use domovoi::registry::envelope::{Envelope, TYP_NODE};
use domovoi::registry::multi_proof::MultiProof;
use domovoi::registry::statemap::map_key;
use domovoi::registry::status_proof::Name;
use domovoi::registry::z85;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;

use super::{Scene, addressed, chat, cosigned, prove, scene, succession};
use crate::regions::*;

/// A proof over these facts and no others, under a genuine map proof.
fn composed(r: &Region, about: &str, facts: &[(String, String)]) -> String {
    let mut keys: BTreeSet<_> = facts.iter().map(|(name, _)| map_key(name)).collect();
    keys.insert(map_key(about));
    let map = MultiProof::of(&r.map, &keys.into_iter().collect::<Vec<_>>());
    let mut facts = facts.to_vec();
    facts.sort();
    let lines: String = facts.iter().map(|(_, json)| format!("fact {json}\n")).collect();
    let any = prove(r, &Name::Link(link(77))).to_string();
    let rest = &any[any.find("\ncommit ").unwrap() + 1..];
    format!("domovoi/status-proof@v2\nabout {about}\n{lines}map {map}\n{rest}")
}

/// The facts with the names of whose they are.
fn facts(proof: &str) -> Vec<(String, String)> {
    let line = |l: &str| {
        let json = l.strip_prefix("fact ")?;
        let facts: serde_json::Value = serde_json::from_str(json).unwrap();
        let (kind, inner) = facts.as_object().unwrap().iter().find(|(kind, _)| *kind != "chats").unwrap();
        let id = inner.get(kind).unwrap_or(inner).as_str().unwrap();
        Some((format!("{kind}:{id}"), json.to_owned()))
    };
    proof.lines().filter_map(line).collect()
}

/// The text with the line that begins with `word` changed.
fn edit(proof: &str, word: &str, change: impl Fn(&str) -> String) -> String {
    let (head, tail) = proof.split_once("\n\n").unwrap();
    let mut seen = false;
    let mut lines = head.split('\n').map(|line| {
        let hit = !seen && line.starts_with(word);
        seen |= hit;
        if hit { change(line) } else { line.to_owned() }
    });
    let head = lines.by_ref().collect::<Vec<_>>().join("\n");
    assert!(seen, "no line {word}");
    format!("{head}\n\n{tail}")
}

/// The same of the tlog-proof.
fn edit_tlog(proof: &str, change: impl Fn(&str) -> String) -> String {
    let (head, tail) = proof.split_once("\n\n").unwrap();
    format!("{head}\n\n{}", change(tail))
}

fn edit_map(proof: &str, change: impl Fn(&mut String, &mut Vec<u8>)) -> String {
    edit(proof, "map ", |line| {
        let (shape, hashes) = line["map ".len()..].split_once(' ').unwrap();
        let (mut shape, mut hashes) = (shape.to_owned(), z85::decode(hashes).unwrap());
        change(&mut shape, &mut hashes);
        format!("map {shape} {}", z85::encode(&hashes))
    })
}

/// The commit signed anew by another key, over another payload.
pub fn resigned(proof: &str, key: &ed25519_dalek::SigningKey, change: impl Fn(&str) -> String) -> String {
    let payload = proof.lines().find_map(|l| l.strip_prefix("commit ")).map(change).unwrap();
    let entry = Envelope::sign(payload.clone().into_bytes(), TYP_NODE, &[key]);
    let (_, signature) = Envelope::parse(&entry, TYP_NODE, 1 << 14).unwrap().signatures[0];
    let proof = edit(proof, "commit ", |_| format!("commit {payload}"));
    edit(&proof, "signed ", |_| format!("signed {}", BASE64URL_NOPAD.encode(&signature)))
}

/// The checkpoint over the log signed by another key or name, or with another size.
fn recheckpointed(r: &Region, proof: &str, signer: &NoteSigner, size: Option<u64>) -> String {
    let mut tree = Frontier::new();
    tree.extend(r.log.iter().map(|e| domovoi::tlog::leaf_hash(e)).collect::<Vec<_>>());
    let origin = signer.verifier().name().to_owned();
    let note = Checkpoint { origin, size: size.unwrap_or(tree.size()), root: tree.root() }.sign(signer).unwrap();
    edit_tlog(proof, |tlog| format!("{}\n\n{note}", tlog.split_once("\n\n").unwrap().0))
}

fn line_of<'p>(proof: &'p str, word: &str) -> &'p str {
    proof.lines().find(|l| l.starts_with(word)).unwrap()
}

/// Flips the last letter but one of a text of base64, so that it stays canonical.
fn flipped(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = bytes.len() / 2;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

pub type Cases = Vec<(&'static str, &'static str, String)>;

/// What is not written as every proof is.
pub fn forms(good: &str, s: &Scene) -> Cases {
    let first_fact = line_of(good, "fact ").to_owned();
    let repeat = |n: usize| edit(good, "map ", |l| format!("{}{l}", format!("{first_fact}\n").repeat(n)));
    vec![
        ("nothing", "status.form", String::new()),
        ("another version", "status.form", good.replacen("proof@v2", "proof@v1", 1)),
        ("no first line", "status.form", good.split_once('\n').unwrap().1.into()),
        ("a byte order mark", "status.form", format!("\u{feff}{good}")),
        ("line ends of two characters", "status.form", good.replace('\n', "\r\n")),
        ("a space at a line's end", "status.form", edit(good, "signed ", |l| format!("{l} "))),
        ("no empty line", "status.form", good.replacen("\n\n", "\n", 1).replacen("\n\n", "\n", 1)),
        ("nothing asked about", "status.form", good.replacen(&format!("{}\n", line_of(good, "about ")), "", 1)),
        ("asked about twice", "status.form", edit(good, "about ", |l| format!("{l}\n{l}"))),
        ("a line nobody knows", "status.form", edit(good, "map ", |l| format!("note hello\n{l}"))),
        ("a line after the signature", "status.form", edit(good, "signed ", |l| format!("{l}\nnote hello"))),
        ("no map proof", "status.form", good.replacen(&format!("{}\n", line_of(good, "map ")), "", 1)),
        ("no commit", "status.form", good.replacen(&format!("{}\n", line_of(good, "commit ")), "", 1)),
        ("no signature", "status.form", good.replacen(&format!("{}\n", line_of(good, "signed ")), "", 1)),
        ("a kind nobody knows", "subject.unknown", edit(good, "about ", |_| "about flat:7".into())),
        ("a number that is none", "chat.number", edit(good, "about ", |_| "about chat:77".into())),
        ("a number in small letters", "chat.number", edit(good, "about ", |l| l.to_lowercase())),
        ("a digest in capitals", "link.digest", {
            let link = prove(&s.moscow, &Name::Link(link(0xab))).to_string();
            edit(&link, "about ", |l| l.replacen("abab", "ABab", 1))
        }),
        ("facts twice", "status.form", repeat(1)),
        ("more facts than any proof", "status.form", repeat(70)),
        ("facts in another order", "status.form", {
            let mut lines: Vec<&str> = good.split('\n').collect();
            lines.swap(2, 3);
            lines.join("\n")
        }),
        ("a fact without facts", "status.form", edit(good, "fact ", |_| "fact ".into())),
        ("a name before the facts", "status.form", {
            let number = s.first;
            edit(good, "fact {\"chat\":", |l| l.replacen("fact ", &format!("fact chat:{number} "), 1))
        }),
        (
            "facts of a kind that no proof holds",
            "status.form",
            edit(good, "fact ", |l| {
                format!("fact {{\"organisation\":{{\"organisation\":\"inn:7707083893\",\"names\":[]}}}}\n{l}")
            }),
        ),
        (
            "facts with white space",
            "status.form",
            edit(good, "fact {\"chat\":", |l| l.replacen("\"chat\":", "\"chat\": ", 1)),
        ),
        (
            "facts with a field nobody knows",
            "status.form",
            edit(good, "fact {\"chat\":", |l| l.replacen("{\"chat\":\"", "{\"colour\":1,\"chat\":\"", 1)),
        ),
        (
            "facts with a field twice",
            "status.form",
            edit(good, "fact {\"chat\":", |l| l.replacen("\"kind\":", "\"kind\":\"house\",\"kind\":", 1)),
        ),
        ("facts that are no JSON", "status.form", edit(good, "fact {\"chat\":", |l| l[..l.len() - 1].into())),
        ("facts that are an array", "status.form", edit(good, "fact {\"chat\":", |_| "fact []".into())),
        ("a signature that is too short", "status.form", edit(good, "signed ", |l| l[..l.len() - 2].into())),
        (
            "a signature in the other base64",
            "status.form",
            edit(good, "signed ", |l| format!("{}+", &l[..l.len() - 1])),
        ),
        ("a key id before the signature", "status.form", {
            let kid = domovoi::registry::signature::PublicKey::of(&MOSCOW.commit()).thumb();
            edit(good, "signed ", |l| l.replacen("signed ", &format!("signed {kid} "), 1))
        }),
        ("a charter.adopted in place of the commit", "status.form", {
            let adopted = Envelope::parse(&s.moscow.log[0], TYP_NODE, 1 << 14).unwrap();
            let payload = String::from_utf8(adopted.payload.clone()).unwrap();
            resigned(good, &MOSCOW.commit(), |_| payload.clone())
        }),
        (
            "a commit of a version nobody knows",
            "record.version",
            resigned(good, &MOSCOW.commit(), |p| p.replacen("\"v\":0", "\"v\":9", 1)),
        ),
        (
            "a commit with a field nobody knows",
            "record.payload",
            resigned(good, &MOSCOW.commit(), |p| p.replacen("{", "{\"colour\":1,", 1)),
        ),
    ]
}

/// Facts that are not those of the state, or not those of the question.
pub fn maps(good: &str, s: &Scene) -> Cases {
    let about = chat(s.first).to_string();
    let all = facts(good);
    let without = |kind: &str| all.iter().filter(|(n, _)| !n.starts_with(kind)).cloned().collect::<Vec<_>>();
    let with = |more: &[(String, String)]| [all.clone(), more.to_vec()].concat();
    let other = facts(&addressed(&s.moscow, &chat(s.second)).to_string());
    let absent = prove(&s.moscow, &Name::Link(link(99))).to_string();
    let by_link = facts(&addressed(&s.moscow, &Name::Link(link(1))).to_string());
    let foreign = prove(&s.oblast, &Name::Link(link(3))).to_string();
    let mut old = scene();
    old.moscow.build(5, vec![]);
    let newer = addressed(&old.moscow, &chat(s.first)).to_string();
    vec![
        ("a letter nobody knows", "proof.map", edit_map(good, |shape, _| shape.replace_range(0..1, "x"))),
        ("another letter", "proof.map", edit_map(good, |shape, _| *shape = shape.replacen('l', "e", 1))),
        ("an inner node as a letter", "proof.map", edit_map(good, |shape, _| shape.insert(0, 'i'))),
        ("a number of nought", "proof.map", edit_map(good, |shape, _| shape.insert_str(shape.len() - 1, "0l"))),
        ("a number with a nought before it", "proof.map", edit_map(good, |shape, _| shape.insert(0, '0'))),
        (
            "a number larger by one",
            "proof.map",
            edit_map(good, |shape, _| {
                let at = shape.find(['l', 'o', 'e']).unwrap();
                let more = shape[..at].parse::<u32>().unwrap() + 1;
                shape.replace_range(..at, &more.to_string());
            }),
        ),
        ("more places than any proof", "proof.map", edit_map(good, |shape, _| *shape = "16383l".repeat(2))),
        ("a number beyond any", "proof.map", edit_map(good, |shape, _| shape.insert_str(0, &"9".repeat(400)))),
        ("no hashes and no space", "proof.map", edit(good, "map ", |l| l.rsplit_once(' ').unwrap().0.into())),
        (
            "hashes with a character that is none",
            "proof.map",
            edit(good, "map ", |l| format!("{}~", &l[..l.len() - 1])),
        ),
        (
            "hashes in base64",
            "proof.map",
            edit(good, "map ", |l| {
                let (signs, hashes) = l.rsplit_once(' ').unwrap();
                format!("{signs} {}", BASE64.encode(&z85::decode(hashes).unwrap()))
            }),
        ),
        (
            "a group of hashes beyond four bytes",
            "proof.map",
            edit(good, "map ", |l| format!("{}#####", &l[..l.len() - 5])),
        ),
        ("half a group of hashes", "proof.map", edit(good, "map ", |l| l[..l.len() - 2].into())),
        ("a space at the end of the hashes", "proof.map", edit(good, "map ", |l| format!("{l} "))),
        ("a letter is missing", "proof.map", edit_map(good, |shape, _| shape.truncate(shape.len() - 1))),
        ("a letter too many", "proof.map", edit_map(good, |shape, _| shape.push('e'))),
        ("a hash is missing", "proof.map", edit_map(good, |_, hashes| hashes.truncate(hashes.len() - 32))),
        ("a hash too many", "proof.map", edit_map(good, |_, hashes| hashes.extend([7; 32]))),
        ("half a hash", "proof.map", edit_map(good, |_, hashes| hashes.truncate(hashes.len() - 16))),
        ("another hash", "proof.map", edit_map(good, |_, hashes| hashes[3] ^= 1)),
        ("hashes in another order", "proof.map", edit_map(good, |_, hashes| hashes.rotate_left(32))),
        (
            "a proof deeper than a key",
            "proof.map",
            edit_map(good, |shape, hashes| {
                *shape = "300".into();
                *hashes = vec![5; 300 * 32];
            }),
        ),
        ("no letters", "proof.map", edit_map(good, |shape, hashes| (shape.clear(), hashes.clear()).1)),
        ("the map of a later commit", "proof.map", {
            let later = line_of(&newer, "map ").to_owned();
            edit(good, "map ", |_| later.clone())
        }),
        ("another chat's facts in their place", "proof.map", {
            let other = prove(&s.moscow, &chat(s.second)).to_string();
            let theirs = line_of(&other, "fact {\"chat\":").to_owned();
            edit(good, "fact {\"chat\":", |_| theirs.clone())
        }),
        ("the facts of another title", "proof.map", edit(good, "fact {\"chat\":", |l| l.replacen("Дом 1", "Дом 2", 1))),
        ("another address", "proof.map", edit(good, "fact {\"building\":", |l| l.replacen("д. 1", "д. 2", 1))),
        ("another name of the owner", "proof.map", edit(good, "fact {\"authority\":", |l| l.replacen("ГЖИ", "ГЖН", 1))),
        ("a valid proof, said to be about another chat", "proof.map", {
            let number = s.second;
            edit(good, "about ", |_| format!("about chat:{number}"))
        }),
        ("a chat that is there, said to be absent", "proof.map", {
            let mut gone = good.to_owned();
            for (_, json) in facts(good) {
                gone = gone.replacen(&format!("fact {json}\n"), "", 1);
            }
            gone
        }),
        (
            "an absent link, said to be there",
            "proof.map",
            edit(&absent, "map ", |l| format!("fact {{\"link\":\"{}\",\"chats\":[\"{}\"]}}\n{l}", link(99), s.first)),
        ),
        ("an absent link, by the proof of another's absence", "proof.map", {
            // One that ends elsewhere in the map: beside the same leaf, the proof would be good for both.
            let elsewhere = |n: &u8| {
                line_of(&prove(&s.moscow, &Name::Link(link(*n))).to_string(), "map ") != line_of(&absent, "map ")
            };
            let other = (100..200).find(elsewhere).unwrap();
            edit(&absent, "about ", |_| format!("about link:{}", link(other)))
        }),
        (
            "another leaf where nothing is",
            "proof.map",
            edit_map(&absent, |shape, hashes| {
                let last = shape.pop();
                shape.push(if last == Some('e') { 'o' } else { 'e' });
                hashes.extend([1; 64]);
            }),
        ),
        ("the map of another region", "proof.map", {
            let map = line_of(&foreign, "map ").to_owned();
            edit(good, "map ", |_| map.clone())
        }),
        ("the owner is missing", "status.facts", composed(&s.moscow, &about, &without("authority:"))),
        (
            "the chat of a link is missing",
            "status.facts",
            composed(
                &s.moscow,
                &format!("link:{}", link(1)),
                &by_link.iter().filter(|(n, _)| n.starts_with("link:")).cloned().collect::<Vec<_>>(),
            ),
        ),
        (
            "the owner of a link's chat is missing",
            "status.facts",
            composed(
                &s.moscow,
                &format!("link:{}", link(1)),
                &by_link.iter().filter(|(n, _)| !n.starts_with("authority:")).cloned().collect::<Vec<_>>(),
            ),
        ),
        (
            "another chat beside it",
            "status.facts",
            composed(
                &s.moscow,
                &about,
                &with(&other.iter().filter(|(n, _)| n.starts_with("chat:")).cloned().collect::<Vec<_>>()),
            ),
        ),
        (
            "another chat's house beside it",
            "status.facts",
            composed(
                &s.moscow,
                &about,
                &with(&other.iter().filter(|(n, _)| n.starts_with("building:")).cloned().collect::<Vec<_>>()),
            ),
        ),
        (
            "a link beside it",
            "status.facts",
            composed(
                &s.moscow,
                &about,
                &with(&by_link.iter().filter(|(n, _)| n.starts_with("link:")).cloned().collect::<Vec<_>>()),
            ),
        ),
        ("facts beside what is absent", "status.facts", composed(&s.moscow, &format!("link:{}", link(99)), &all)),
        ("the successor of the owner is missing", "status.facts", {
            let mut later = scene();
            succession(&mut later);
            let whole = facts(&addressed(&later.moscow, &chat(later.first)).to_string());
            let successor = format!("authority:{}", MOSCOW.authority(1));
            composed(&later.moscow, &about, &whole.into_iter().filter(|(n, _)| *n != successor).collect::<Vec<_>>())
        }),
    ]
}

/// Commits, paths and checkpoints that do not belong together, or that nobody signed.
pub fn logs(good: &str, s: &Scene) -> Cases {
    let signer = |name: String, key| NoteSigner::new(name, key).unwrap();
    let foreign = prove(&s.oblast, &chat(s.first)).to_string();
    let mut longer = scene();
    longer.moscow.build(5, vec![]);
    let newer = addressed(&longer.moscow, &chat(s.first)).to_string();
    // The commit of before, proved where it stands in the longer log.
    let stale = {
        let leaves: Vec<_> = longer.moscow.log.iter().map(|e| domovoi::tlog::leaf_hash(e)).collect();
        let at = s.moscow.log.len() - 1;
        assert_eq!(leaves.len(), at + 3);
        let path = inclusion(&leaves, at);
        let note = String::from_utf8(longer.moscow.checkpoint()).unwrap();
        edit_tlog(good, |_| format!("c2sp.org/tlog-proof@v1\nindex {at}\n{path}\n{note}"))
    };
    let path_line = |tlog: &str| tlog.split('\n').nth(2).unwrap().to_owned();
    let vkey = signer(MOSCOW.origin(), MOSCOW.log());
    vec![
        ("another time", "commit.signature", edit(good, "commit ", |l| l.replacen("\"time\":1", "\"time\":2", 1))),
        (
            "another root",
            "commit.signature",
            edit(good, "commit ", |l| {
                let at = l.find("\"root\":\"").unwrap() + 8;
                format!("{}{}{}", &l[..at], if &l[at..=at] == "0" { "1" } else { "0" }, &l[at + 1..])
            }),
        ),
        (
            "another signature",
            "commit.signature",
            edit(good, "signed ", |l| {
                let (head, signature) = l.rsplit_once(' ').unwrap();
                format!("{head} {}", flipped(signature))
            }),
        ),
        ("signed by the log key", "commit.signature", resigned(good, &MOSCOW.log(), str::to_owned)),
        ("signed by the region's root key", "commit.signature", resigned(good, &MOSCOW.root(), str::to_owned)),
        ("signed by another region's commit key", "commit.signature", resigned(good, &OBLAST.commit(), str::to_owned)),
        ("signed by the commit key of a later charter", "commit.signature", resigned(good, &key(112), str::to_owned)),
        (
            "a commit that is not in the log",
            "proof.inclusion",
            resigned(good, &MOSCOW.commit(), |p| p.replacen("\"time\":17", "\"time\":18", 1)),
        ),
        ("another region's commit", "note.unsigned", {
            let (commit, signed) = (line_of(&foreign, "commit ").to_owned(), line_of(&foreign, "signed ").to_owned());
            edit(&edit(good, "commit ", |_| commit.clone()), "signed ", |_| signed.clone())
        }),
        ("another region's log", "note.unsigned", {
            let tlog = foreign.split_once("\n\n").unwrap().1.to_owned();
            edit_tlog(good, |_| tlog.clone())
        }),
        (
            "a log nobody knows",
            "charter.origin",
            resigned(good, &MOSCOW.commit(), |p| p.replacen("log.example/77", "log.example/99", 1)),
        ),
        (
            "a charter nobody has",
            "status.charter",
            resigned(good, &MOSCOW.commit(), |p| p.replacen("\"charter\":1", "\"charter\":9", 1)),
        ),
        ("a stale commit under a fresh checkpoint", "status.commit", stale),
        ("a fresh checkpoint over an old commit", "proof.length", {
            let note = newer.split_once("\n\n").unwrap().1.split_once("\n\n").unwrap().1.to_owned();
            edit_tlog(good, |tlog| format!("{}\n\n{note}", tlog.split_once("\n\n").unwrap().0))
        }),
        (
            "an index one less",
            "proof.inclusion",
            edit_tlog(good, |t| {
                let index: usize = line_of(t, "index ")[6..].parse().unwrap();
                t.replacen(&format!("index {index}\n"), &format!("index {}\n", index - 1), 1)
            }),
        ),
        (
            "an index beyond the log",
            "proof.range",
            edit_tlog(good, |t| t.replacen(line_of(t, "index "), "index 9000", 1)),
        ),
        ("an index with a nought before it", "proof.form", edit_tlog(good, |t| t.replacen("index ", "index 0", 1))),
        (
            "an index of 2^64",
            "proof.form",
            edit_tlog(good, |t| t.replacen(line_of(t, "index "), "index 18446744073709551616", 1)),
        ),
        (
            "a hash of the path is missing",
            "proof.length",
            edit_tlog(good, |t| t.replacen(&format!("{}\n", path_line(t)), "", 1)),
        ),
        (
            "a hash of the path too many",
            "proof.length",
            edit_tlog(good, |t| t.replacen(&path_line(t), &format!("{0}\n{0}", path_line(t)), 1)),
        ),
        (
            "another hash of the path",
            "proof.inclusion",
            edit_tlog(good, |t| t.replacen(&path_line(t), &flipped(&path_line(t)), 1)),
        ),
        (
            "a path longer than any",
            "proof.form",
            edit_tlog(good, |t| t.replacen(&path_line(t), &vec![path_line(t); 70].join("\n"), 1)),
        ),
        ("another kind of proof", "proof.form", edit_tlog(good, |t| t.replacen("tlog-proof@v1", "tlog-proof@v2", 1))),
        (
            "data that nothing signs",
            "status.form",
            edit_tlog(good, |t| t.replacen("\nindex", "\nextra aGVsbG8=\nindex", 1)),
        ),
        ("no checkpoint", "proof.form", edit_tlog(good, |t| t.split_once("\n\n").unwrap().0.into())),
        (
            "a checkpoint without signatures",
            "note.separator",
            edit_tlog(good, |t| {
                let (head, note) = t.split_once("\n\n").unwrap();
                format!("{head}\n\n{}\n", note.split_once("\n\n").unwrap().0)
            }),
        ),
        (
            "another size of the checkpoint",
            "note.signature",
            edit_tlog(good, |t| {
                let size = format!("\n{}\n", s.moscow.log.len());
                t.replacen(&size, &format!("\n{}\n", s.moscow.log.len() + 1), 1)
            }),
        ),
        (
            "another origin of the checkpoint",
            "note.signature",
            edit_tlog(good, |t| t.replacen("\n\nlog.example/77\n", "\n\nlog.example/78\n", 1)),
        ),
        (
            "a checkpoint by another key of the same name",
            "note.unsigned",
            recheckpointed(&s.moscow, good, &signer(MOSCOW.origin(), key(99)), None),
        ),
        (
            "a checkpoint by the commit key",
            "note.unsigned",
            recheckpointed(&s.moscow, good, &signer(MOSCOW.origin(), MOSCOW.commit()), None),
        ),
        (
            "a checkpoint of another log by its own key",
            "note.unsigned",
            recheckpointed(&s.moscow, good, &signer(OBLAST.origin(), OBLAST.log()), None),
        ),
        (
            "a checkpoint of a size that is not its tree's",
            "proof.length",
            recheckpointed(&s.moscow, good, &vkey, Some(1 << 40)),
        ),
        (
            "an empty log",
            "checkpoint.root",
            edit_tlog(good, |t| {
                let (head, _) = t.split_once("\n\n").unwrap();
                let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
                let note = domovoi::tlog::note::Note::sign(format!("{}\n0\n{root}\n", MOSCOW.origin()), &vkey).unwrap();
                format!("{head}\n\n{note}")
            }),
        ),
        (
            "a checkpoint with a line more",
            "checkpoint.extension",
            edit_tlog(good, |t| {
                let (head, note) = t.split_once("\n\n").unwrap();
                let text = format!("{}\nmore\n", note.split_once("\n\n").unwrap().0);
                format!("{head}\n\n{}", domovoi::tlog::note::Note::sign(text, &vkey).unwrap())
            }),
        ),
        ("a cosignature over another time", "cosignature.false", {
            let early = cosigned(good, &[(1, 1_800_000_000)]);
            let line = early.lines().last().unwrap();
            let (head, bytes) = line.rsplit_once(' ').unwrap();
            let mut bytes = BASE64.decode(bytes.as_bytes()).unwrap();
            bytes[11] ^= 1;
            early.replacen(line, &format!("{head} {}", BASE64.encode(&bytes)), 1)
        }),
        ("one cosigner's signature under another's name", "cosignature.false", {
            let one = cosigned(good, &[(1, 1_800_000_000)]);
            let two = cosigned(good, &[(2, 1_800_000_000)]);
            let bytes =
                |p: &str| BASE64.decode(p.lines().last().unwrap().rsplit_once(' ').unwrap().1.as_bytes()).unwrap();
            let forged = [&bytes(&one)[..4], &bytes(&two)[4..]].concat();
            let line = one.lines().last().unwrap();
            one.replacen(line, &format!("{} {}", line.rsplit_once(' ').unwrap().0, BASE64.encode(&forged)), 1)
        }),
    ]
}

/// The inclusion path as lines, from the definition.
fn inclusion(leaves: &[domovoi::tlog::Hash], at: usize) -> String {
    fn path(leaves: &[domovoi::tlog::Hash], at: usize, out: &mut Vec<domovoi::tlog::Hash>) {
        use domovoi::tlog::tree::subtree_root;
        if leaves.len() == 1 {
            return;
        }
        let half = leaves.len().next_power_of_two() / 2;
        match at < half {
            true => (path(&leaves[..half], at, out), out.push(root(&leaves[half..]))).1,
            false => (path(&leaves[half..], at - half, out), out.push(subtree_root(&leaves[..half]))).1,
        }
    }
    fn root(leaves: &[domovoi::tlog::Hash]) -> domovoi::tlog::Hash {
        let mut tree = Frontier::new();
        tree.extend(leaves.to_vec());
        tree.root()
    }
    let mut out = Vec::new();
    path(leaves, at, &mut out);
    out.iter().map(|h| format!("{}\n", h.to_base64())).collect()
}
