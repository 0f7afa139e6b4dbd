//! Dossiers that must be refused: what came to harm on the way, and what somebody who holds the node's own key might make.

use domovoi::error::Result;
use domovoi::federation::chain::CharterChain;
use domovoi::federation::dossier::archive::{self, Files};
use domovoi::federation::dossier::manifest::Manifest;
use domovoi::federation::dossier::{Contents, Dossier, SUMMARY};
use domovoi::node::dossier::open;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::ChatNumber;
use domovoi::registry::record::{DecodedRecord, Subject};
use domovoi::registry::status_proof::Name;
use domovoi::tlog::Hash;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::proof::TlogProof;
use domovoi::tlog::tree::Frontier;
use ed25519_dalek::SigningKey;

use super::scene::{Scene, date, node};
use super::trusted;
use crate::regions::*;

const AS_OF: &str = "2026-10-15";

/// The commit key in force at the end of the scene.
pub fn commit_key() -> SigningKey {
    key(112)
}

/// The same files, listed and signed anew.
pub fn sealed(mut files: Files, manifest: &Manifest, key: &SigningKey) -> Vec<u8> {
    let anew = Manifest::over(&files, manifest.chat, manifest.as_of, &manifest.log, manifest.size, manifest.made);
    anew.seal(&mut files, key);
    archive::write(&files).unwrap()
}

pub fn code(bytes: &[u8], trusted: &CharterChain) -> &'static str {
    match open(bytes, trusted, &[]) {
        Ok(_) => "good",
        Err(e) => {
            assert!(!e.detail().is_empty());
            e.code()
        }
    }
}

/// Index of the `n`-th record of this type.
pub fn index_of(scene: &Scene, kind: &str, n: usize) -> u64 {
    let is = |e: &Vec<u8>| DecodedRecord::decode(e).is_ok_and(|d| d.record.body.type_name() == kind);
    let found = scene.region.log.iter().enumerate().filter(|(_, e)| is(e)).nth(n);
    found.unwrap_or_else(|| panic!("{kind} {n}")).0 as u64
}

fn names(index: u64) -> [String; 2] {
    ["json", "proof"].map(|ending| format!("log/{index:012}.{ending}"))
}

/// The files without an entry and its proof.
fn without(files: &Files, index: u64) -> Files {
    let mut files = files.clone();
    for name in names(index) {
        files.remove(&name).unwrap();
    }
    files
}

/// Every bit of a sample, in the archive as it is; then in every file of it, with the archive written anew; then with the
/// manifest signed anew too, as only the node could: nothing passes, and each has a code.
#[test]
fn a_dossier_with_a_byte_changed_is_refused() {
    let (scene, _dir, node) = node();
    let bytes = node.dossier(scene.chat, date(AS_OF), None).unwrap();
    let trusted = trusted(&scene.charters);
    assert_eq!(code(&bytes, &trusted), "good");
    for at in (0..bytes.len()).step_by(bytes.len() / 1500) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert_ne!(code(&changed, &trusted), "good", "byte {at}");
    }
    for cut in (0..bytes.len()).step_by(bytes.len() / 97) {
        assert_ne!(code(&bytes[..cut], &trusted), "good", "cut at {cut}");
    }
    let files = archive::read(&bytes).unwrap();
    let manifest = Dossier::read(&bytes).unwrap().manifest;
    for (name, content) in &files {
        let step = (content.len() / 12).max(1);
        for at in (0..content.len()).step_by(step) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 1 << (at % 7);
            let found = code(&archive::write(&changed).unwrap(), &trusted);
            assert!(!["good", "dossier.container"].contains(&found), "{name} {at}: {found}");
            if !name.starts_with("manifest.") {
                let found = code(&sealed(changed, &manifest, &commit_key()), &trusted);
                assert!(!["good", "dossier.files", "dossier.container"].contains(&found), "{name} {at}: {found}");
            }
        }
        let mut gone = files.clone();
        gone.remove(name);
        let found = code(&archive::write(&gone).unwrap(), &trusted);
        assert!(["dossier.files", "dossier.manifest"].contains(&found), "{name}: {found}");
    }
}

fn path(leaves: &[Hash], at: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, other) = if at < split { (path(left, at), right) } else { (path(right, at - split), left) };
    let mut tree = Frontier::new();
    tree.extend(other.to_vec());
    path.push(tree.root());
    path
}

/// The contents with what they have of this log taken from another one.
pub fn over(mut contents: Contents, region: &Region) -> Contents {
    contents.status = crate::status::prove(region, &Name::Subject(Subject::Chat(contents.chat)));
    let leaves: Vec<Hash> = region.log.iter().map(|e| leaf_hash(e)).collect();
    for (index, (entry, proof)) in &mut contents.entries {
        *entry = region.log[*index as usize].clone();
        let checkpoint = contents.status.checkpoint().to_owned();
        *proof = TlogProof { extra: None, index: *index, path: path(&leaves, *index as usize), checkpoint };
    }
    contents
}

/// Files of these contents, with the summary of the dossier they came from.
pub fn files_of(contents: &Contents, dossier: &Dossier) -> Files {
    let mut files = contents.files();
    files.insert(SUMMARY.into(), dossier.summary.clone());
    files
}

fn replaced(files: &Files, name: &str, change: impl FnOnce(String) -> String) -> Files {
    let mut files = files.clone();
    let text = String::from_utf8(files.remove(name).unwrap()).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "{name}");
    files.insert(name.into(), changed.into_bytes());
    files
}

#[test]
fn a_dossier_that_leaves_out_or_puts_in_is_refused_though_the_node_signed_it() {
    let (scene, _dir, node) = node();
    let bytes = node.dossier(scene.chat, date(AS_OF), None).unwrap();
    let trusted = trusted(&scene.charters);
    let (files, dossier) = (archive::read(&bytes).unwrap(), Dossier::read(&bytes).unwrap());
    let manifest = &dossier.manifest;
    let seal = |files: Files| sealed(files, manifest, &commit_key());
    let index = |kind: &str, n| index_of(&scene, kind, n);
    let other = |chat: ChatNumber, day: &str| archive::read(&node.dossier(chat, date(day), None).unwrap()).unwrap();
    let quiet = other(scene.quiet, AS_OF);
    let swap = |name: &str, from: &Files| {
        let mut files = files.clone();
        files.insert(name.into(), from[name].clone());
        files
    };
    let proved = open(&bytes, &trusted, &[]).unwrap().proved;
    let (then, next) = (proved.then.unwrap().size - 1, proved.next.unwrap().size - 1);
    let cases: Vec<(&str, &[&str], Vec<u8>)> = vec![
        ("the chat's last record is missing", &["dossier.facts"], seal(without(&files, index("objection.noted", 0)))),
        ("a record within its chain is missing", &["dossier.record"], seal(without(&files, index("chat.amended", 0)))),
        ("the suspension is missing", &["dossier.record"], seal(without(&files, index("chat.suspended", 0)))),
        (
            "the chat's first record is missing",
            &["dossier.record", "rule.stale"],
            seal(without(&files, index("chat.registered", 0))),
        ),
        ("the succession is missing", &["dossier.surplus"], seal(without(&files, index("authority.succeeded", 0)))),
        (
            "the last company's beginning is missing",
            &["dossier.surplus"],
            seal(without(&files, index("management.assigned", 2))),
        ),
        ("a company's name is missing", &["dossier.facts"], seal(without(&files, index("organisation.named", 1)))),
        ("the grant of a key is missing", &["rule.key.unknown"], seal(without(&files, index("key.granted", 1)))),
        ("the retirement of a key is missing", &["dossier.facts"], seal(without(&files, index("key.revoked", 0)))),
        ("the commit of a record is missing", &["dossier.commit"], seal(without(&files, index("chat.amended", 0) + 1))),
        ("the day's last commit is missing", &["dossier.commit"], seal(without(&files, then))),
        ("the commit after it is missing", &["dossier.commit"], seal(without(&files, next))),
        ("the newest commit is missing", &["dossier.commit"], seal(without(&files, manifest.size - 1))),
        ("the facts of the day are missing", &["dossier.commit"], {
            let mut files = files.clone();
            files.remove("facts.then.txt");
            seal(files)
        }),
        ("today's facts as those of the day", &["dossier.commit"], {
            let mut files = files.clone();
            files.insert("facts.then.txt".into(), files["facts.now.txt"].clone());
            seal(files)
        }),
        ("facts of another day", &["dossier.commit"], seal(swap("facts.then.txt", &other(scene.chat, "2026-10-03")))),
        ("facts of another chat", &["dossier.incomplete"], seal(swap("facts.now.txt", &quiet))),
        ("another chat's status", &["dossier.form"], seal(swap("status.txt", &quiet))),
        ("another day's summary", &["dossier.summary"], seal(swap(SUMMARY, &other(scene.chat, "2026-10-03")))),
        (
            "a name in the summary",
            &["dossier.summary"],
            seal(replaced(&files, SUMMARY, |s| s.replace("Вторая", "Первая"))),
        ),
        (
            "a title in today's facts",
            &["dossier.facts"],
            seal(replaced(&files, "facts.now.txt", |s| s.replace("Дом 1,", "Дом 2,"))),
        ),
        (
            "an address in the day's facts",
            &["dossier.facts"],
            seal(replaced(&files, "facts.then.txt", |s| s.replace("д. 1", "д. 7"))),
        ),
        ("facts that say somebody has none", &["dossier.facts"], {
            seal(replaced(&files, "facts.now.txt", |s| {
                let line = s.lines().find(|l| l.starts_with("fact bot:")).unwrap();
                s.replace(line, &format!("none {}", line.split('\t').next().unwrap().strip_prefix("fact ").unwrap()))
            }))
        }),
        (
            "a sign of the map's way",
            &["proof.map"],
            seal(replaced(&files, "facts.then.txt", |s| s.replacen("map ", "map l", 1))),
        ),
        (
            "a file of facts of another version",
            &["dossier.form"],
            seal(replaced(&files, "facts.now.txt", |s| s.replacen("@v2", "@v1", 1))),
        ),
        ("two entries in each other's place", &["proof.inclusion"], {
            let mut files = files.clone();
            let [a, b] = [names(index("chat.amended", 0))[0].clone(), names(index("chat.suspended", 0))[0].clone()];
            let (x, y) = (files[&a].clone(), files[&b].clone());
            files.insert(a, y);
            files.insert(b, x);
            seal(files)
        }),
        ("an entry without its proof", &["dossier.files"], {
            let mut files = files.clone();
            files.remove(&names(index("chat.amended", 0))[1]);
            seal(files)
        }),
        ("a proof of another index", &["dossier.checkpoint"], {
            let name = &names(index("chat.amended", 0))[1];
            seal(replaced(&files, name, |s| s.replacen("\nindex ", "\nindex 1", 1)))
        }),
        ("extra data in a proof", &["dossier.checkpoint"], {
            let name = &names(index("chat.amended", 0))[1];
            seal(replaced(&files, name, |s| s.replacen("\nindex ", "\nextra aGVsbG8=\nindex ", 1)))
        }),
        ("the records of another chat", &["dossier.surplus"], {
            let mut all = quiet.clone();
            all.extend(files.clone());
            seal(all)
        }),
        ("a commit that nothing needs", &["dossier.surplus"], {
            let mut contents = dossier.contents.clone();
            contents.entries.insert(index("building.registered", 1) + 1, contents.entries[&then].clone());
            seal(files_of(&over(contents, &scene.region), &dossier))
        }),
        ("an entry that is neither record nor commit", &["dossier.surplus"], {
            let mut contents = dossier.contents.clone();
            contents.entries.insert(0, contents.entries[&then].clone());
            seal(files_of(&over(contents, &scene.region), &dossier))
        }),
        ("a file nobody knows", &["dossier.files"], {
            let mut files = files.clone();
            files.insert("notes.txt".into(), b"hello".to_vec());
            seal(files)
        }),
        (
            "an older checkpoint for the entries",
            &["dossier.checkpoint", "proof.length", "proof.inclusion", "dossier.commit"],
            {
                let mut shorter = scene.region.clone();
                shorter.log.truncate(next as usize + 1);
                let status = crate::status::prove(&scene.region, &Name::Subject(Subject::Chat(scene.chat)));
                let mut contents = dossier.contents.clone();
                contents.entries.retain(|i, _| *i <= next);
                let leaves: Vec<Hash> = shorter.log.iter().map(|e| leaf_hash(e)).collect();
                let note = String::from_utf8(shorter.checkpoint()).unwrap();
                for (index, (_, proof)) in &mut contents.entries {
                    (proof.path, proof.checkpoint) = (path(&leaves, *index as usize), note.clone());
                }
                contents.status = status;
                seal(files_of(&contents, &dossier))
            },
        ),
        ("an earlier charter is missing from the chain", &["status.charter"], {
            let mut files = files.clone();
            files.remove("charters/2.json");
            seal(files)
        }),
        ("a charter under another version's name", &["dossier.charter"], {
            let mut files = files.clone();
            files.insert("charters/3.json".into(), files["charters/2.json"].clone());
            seal(files)
        }),
        ("signed by the log key", &["dossier.signature"], sealed(files.clone(), manifest, &scene.region.log_key)),
        ("signed by the retired commit key", &["dossier.signature"], sealed(files.clone(), manifest, &MOSCOW.commit())),
        ("signed by an authority", &["dossier.signature"], sealed(files.clone(), manifest, &MOSCOW.operator(1))),
        (
            "signed by another region's commit key",
            &["dossier.signature"],
            sealed(files.clone(), manifest, &OBLAST.commit()),
        ),
    ];
    let found = cases.iter().map(|(what, expected, bytes)| (what, expected, code(bytes, &trusted)));
    let others: Vec<_> = found.filter(|(_, expected, found)| !expected.contains(found)).collect();
    assert!(others.is_empty(), "{others:#?}");
    // Each change of the manifest itself, signed by whoever may.
    let m = |chat, day: &str, log: &str, size, made| {
        let mut files = files.clone();
        Manifest::over(&files, chat, date(day), log, size, ms(made)).seal(&mut files, &commit_key());
        archive::write(&files).unwrap()
    };
    let (log, size, made) = (&*manifest.log, manifest.size, manifest.made.get());
    for (what, expected, bytes) in [
        ("another chat", "dossier.form", m(scene.quiet, AS_OF, log, size, made)),
        ("another day", "dossier.commit", m(scene.chat, "2026-10-03", log, size, made)),
        ("another log", "dossier.manifest", m(scene.chat, AS_OF, "log.example/78", size, made)),
        ("another size", "dossier.manifest", m(scene.chat, AS_OF, log, size + 1, made)),
        ("made before its own checkpoint", "dossier.manifest", m(scene.chat, AS_OF, log, size, START)),
        ("nothing else", "good", m(scene.chat, AS_OF, log, size, made)),
    ] {
        assert_eq!(code(&bytes, &trusted), expected, "{what}");
    }
    // Other charters than the one it was made under.
    let foreign = CharterChain::pinned(&first_charter(&[MOSCOW, OBLAST], |b| b.name = text("Другая"))).unwrap();
    assert_eq!(code(&bytes, &foreign), "charter.conflict");
    let mut later = scene.chain.clone();
    assert!(!later.advance(&scene.charters[1]).unwrap());
    assert_eq!(code(&bytes, &later), "good");
}

/// A node that writes what nobody might sign, and signs and proves it as its own: whoever opens the dossier sees who signed.
#[test]
fn a_record_by_a_key_that_might_not_sign_it_is_refused_though_it_stands_in_the_log() {
    let (scene, _dir, node) = node();
    let bytes = node.dossier(scene.chat, date(AS_OF), None).unwrap();
    let (trusted, dossier) = (trusted(&scene.charters), Dossier::read(&bytes).unwrap());
    let signed_by = |kind: &str, n: usize, keys: &[&SigningKey]| -> Result<()> {
        let mut region = scene.region.clone();
        let at = index_of(&scene, kind, n) as usize;
        let payload = Envelope::parse(&region.log[at], TYP_RECORD, 1 << 16).unwrap().payload;
        region.log[at] = Envelope::sign(payload, TYP_RECORD, keys);
        let contents = over(dossier.contents.clone(), &region);
        open(&sealed(files_of(&contents, &dossier), &dossier.manifest, &commit_key()), &trusted, &[]).map(|_| ())
    };
    let (first, second) = (MOSCOW.operator(0), MOSCOW.operator(1));
    let root = MOSCOW.root();
    // The facts are the same, whoever signed: only who might does differ.
    assert!(signed_by("chat.registered", 0, &[&first]).is_ok());
    assert!(signed_by("chat.registered", 0, &[&first, &root]).is_err(), "the summary names who signed");
    for (what, kind, n, keys, expected) in [
        ("a stranger registers", "chat.registered", 0, vec![&key(9)], "rule.key.unknown"),
        ("another authority registers", "chat.registered", 0, vec![&second], "rule.signer.authority"),
        ("an authority names its successor", "authority.succeeded", 0, vec![&first], "rule.signer.root"),
        ("a retired key", "objection.noted", 0, vec![&first], "rule.key.revoked"),
        ("an authority grants itself a key", "key.granted", 1, vec![&first], "rule.signer.root"),
        ("another authority suspends", "chat.suspended", 0, vec![&second], "rule.signer.authority"),
        ("a stranger names the company", "management.assigned", 1, vec![&key(9)], "rule.key.unknown"),
        ("the root of another region", "authority.succeeded", 0, vec![&OBLAST.root()], "rule.key.unknown"),
    ] {
        let found = signed_by(kind, n, &keys).unwrap_err();
        assert_eq!(found.code(), expected, "{what}: {}", found.detail());
    }
}
