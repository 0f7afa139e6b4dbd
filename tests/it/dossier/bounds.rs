//! The edges of a dossier: sizes, and histories that a charter or a lying node bent.

use domovoi::error::Error;
use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::ExceptedEntry;
use domovoi::federation::dossier::archive::{self, Files, MAX_FILES, MAX_LEN};
use domovoi::federation::dossier::records::{MAX_SUBJECTS, closure};
use domovoi::federation::dossier::{Contents, Dossier};
use domovoi::registry::envelope::{Envelope, TYP_DOSSIER, TYP_NODE};
use domovoi::registry::ids::RecordId;
use domovoi::registry::record::Subject;
use domovoi::registry::strict::List;
use domovoi::tlog::leaf_hash;

use super::refused::{code, commit_key, files_of, index_of, over, sealed};
use super::scene::{Scene, date, node};
use super::trusted;
use crate::regions::*;

const DAY: &str = "2026-10-03";

fn opened(scene: &Scene, node: &domovoi::node::Node) -> Dossier {
    Dossier::read(&node.dossier(scene.chat, date(DAY), None).unwrap()).unwrap()
}

fn code_of(contents: &Contents, dossier: &Dossier, chain: &CharterChain) -> &'static str {
    code(&sealed(files_of(contents, dossier), &dossier.manifest, &commit_key()), chain)
}

#[test]
fn an_archive_has_no_more_than_it_may() {
    let code = |result: Result<_, Error>| result.map(|_: ()| ()).unwrap_err().code();
    let one = |name: &str, len| archive::write(&Files::from([(name.to_owned(), vec![0; len])]));
    assert_eq!(code(one("a", MAX_LEN).map(drop)), "dossier.too-large");
    // The content alone would fit.
    assert_eq!(code(one("a", MAX_LEN - 40).map(drop)), "dossier.too-large");
    let fits = one("a", MAX_LEN - 200).unwrap();
    assert_eq!(archive::read(&fits).unwrap()["a"].len(), MAX_LEN - 200);
    assert_eq!(code(archive::read(&vec![0; MAX_LEN + 1]).map(drop)), "dossier.too-large");
    for name in ["", "../a", "a/", "/a", "A", "a b", ".a", "a\\b", "а", &"a".repeat(41)] {
        assert_eq!(code(one(name, 1).map(drop)), "dossier.container", "{name}");
    }
    let many: Files = (0..=MAX_FILES).map(|n| (format!("{n:06}"), Vec::new())).collect();
    assert_eq!(code(archive::write(&many).map(drop)), "dossier.too-large");
    // As many headers in a row as no writer of ours makes.
    let headers = many.keys().flat_map(|name| one(name, 0).unwrap()[..30 + name.len()].to_vec()).collect::<Vec<u8>>();
    assert_eq!(code(archive::read(&headers).map(drop)), "dossier.too-large");
}

#[test]
fn what_belongs_to_a_chat_is_bounded() {
    let seeds = |n: usize| (0..n).map(|n| Subject::Building(building(n)));
    let found = |n| closure(seeds(n), &Default::default(), |_| Ok(Vec::new())).map(|all| all.len());
    assert_eq!(found(MAX_SUBJECTS).unwrap(), MAX_SUBJECTS);
    assert_eq!(found(MAX_SUBJECTS + 1).unwrap_err().code(), "dossier.too-large");

    let (scene, _dir, node) = node();
    let (dossier, chain) = (opened(&scene, &node), trusted(&scene.charters));
    let mut contents = dossier.contents.clone();
    contents.now.lines.insert(Subject::Building(building(77)).to_string(), None);
    assert_eq!(code_of(&contents, &dossier, &chain), "dossier.surplus");
    contents.now.lines.extend((0..MAX_SUBJECTS).map(|n| (format!("building:gis:{n}"), None)));
    assert_eq!(code_of(&contents, &dossier, &chain), "dossier.form");
    let mut contents = dossier.contents.clone();
    contents.charters.insert(3, vec![b' '; 8 << 20]);
    assert_eq!(code_of(&contents, &dossier, &chain), "dossier.files");
}

/// An entry that a newer charter undoes is no record; a day whose state had counted it has no dossier.
#[test]
fn what_a_charter_undoes_is_not_shown_as_having_been() {
    let (scene, _dir, node) = node();
    let (dossier, chain) = (opened(&scene, &node), trusted(&scene.charters));
    let undone = index_of(&scene, "chat.amended", 0);
    let leaf = RecordId(leaf_hash(&scene.region.log[undone as usize]).0);
    let charter = next_charter(&scene.chain, |b| {
        b.exceptions = Some(List(vec![ExceptedEntry { origin: text(&MOSCOW.origin()), index: undone, leaf }]));
    });
    let mut later = scene.chain.clone();
    assert!(later.advance(&charter).unwrap());
    let mut region = scene.region.clone();
    region.given(&later);
    region.adopt();
    let mut contents = dossier.contents.clone();
    contents.charters.insert(later.latest().charter().version, charter);
    let head = contents.entries[&undone].clone();
    contents.entries.insert(region.log.len() as u64 - 1, head);
    assert_eq!(code_of(&over(contents.clone(), &region), &dossier, &chain), "dossier.record");
    contents.entries.remove(&undone);
    assert_eq!(code_of(&over(contents, &region), &dossier, &chain), "dossier.excepted");
}

/// What only the holder of the node's commit key could write.
#[test]
fn a_bent_commit_is_refused() {
    let (scene, _dir, node) = node();
    let (dossier, chain) = (opened(&scene, &node), trusted(&scene.charters));
    // The last commit of the day.
    let at = dossier.contents.then.as_ref().unwrap().commit as usize;
    let bent = |entry: Vec<u8>| {
        let mut region = scene.region.clone();
        region.log[at] = entry;
        code_of(&over(dossier.contents.clone(), &region), &dossier, &chain)
    };
    let payload = Envelope::parse(&scene.region.log[at], TYP_NODE, 1 << 16).unwrap().payload;
    let field = |name: &str, value: u64| {
        let said: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let (old, new) = (format!("\"{name}\":{}", said[name]), format!("\"{name}\":{value}"));
        let text = String::from_utf8(payload.clone()).unwrap();
        assert_eq!(text.matches(&old).count(), 1, "{text}");
        Envelope::sign(text.replace(&old, &new).into_bytes(), TYP_NODE, &[&MOSCOW.commit()])
    };
    assert_eq!(bent(field("time", START + 400 * 86_400_000)), "dossier.commit");
    assert_eq!(bent(field("charter", 9)), "dossier.commit");
    assert_eq!(bent(field("first", 0)), "dossier.commit");
    assert_eq!(bent(b"{}".to_vec()), "envelope.malformed");
}

#[test]
fn a_manifest_has_one_spelling_and_charters_reach_back_to_the_readers() {
    let (scene, _dir, node) = node();
    let bytes = node.dossier(scene.chat, date(DAY), None).unwrap();
    let mut files = archive::read(&bytes).unwrap();
    let mut payload = files["manifest.json"].clone();
    payload.push(b'\n');
    files.insert("manifest.jws".into(), Envelope::sign(payload.clone(), TYP_DOSSIER, &[&commit_key()]));
    files.insert("manifest.json".into(), payload);
    assert_eq!(code(&archive::write(&files).unwrap(), &trusted(&scene.charters)), "dossier.manifest");
    // Whoever pinned the second version has nothing to hold the first one against.
    let second = CharterChain::pinned(&scene.charters[1]).unwrap();
    assert_eq!(code(&bytes, &second), "dossier.charter");
}
