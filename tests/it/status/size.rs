//! How long a status proof is in a region of usual size.

use domovoi::node::proved::proved;
use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, RecordId};
use domovoi::registry::node_record::{Commit, NodeRecord};
use domovoi::registry::record::{Basis, BasisKind, RECORD_VERSION};
use domovoi::registry::state::View;
use domovoi::registry::statemap::map_key;
use domovoi::registry::status_proof::StatusProof;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::proof::TlogProof;
use domovoi::tlog::tree::Frontier;

use super::{chat, cosigner};
use crate::regions::*;

/// 20 000 houses, each with a chat and its link; as many records and a management each.
const LEAVES: u32 = 60_000;
const RECORDS: u64 = 60_000;
/// Issue 4 hopes for 4096 bytes; with the house, whose address people read, it is not reached (decision 0019).
const LIMIT: usize = 5300;

fn decree() -> Basis {
    Basis {
        kind: BasisKind::Order,
        number: Some(text("153-р")),
        date: Some(day("2026-08-28")),
        issuer: None,
        document_sha256: Some(RecordId([0x5a; 32])),
        signature_sha256: None,
    }
}

/// A chat as clerks enter it, over a house with its company, in a state map and a log of such a region. The rest of the region
/// stands in both by hashes alone: neither map nor tree shows more of it to a proof.
fn typical() -> (domovoi::federation::chain::CharterChain, ChatNumber, StatusProof) {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let mut r = Region::new(MOSCOW, &chain);
    let operator = MOSCOW.operator(0);
    let house = Building {
        building: "gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5".parse().unwrap(),
        address: text("г. Москва, ул. Академика Королёва, д. 12, корп. 2"),
        oktmo: "45349000".parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: Some(List(vec!["reformagkh:7000001".parse().unwrap()])),
        flats: Some(96),
        year: Some(1974),
        emergency: None,
        applicability: None,
    };
    r.say(Body::BuildingRegistered(house.clone()), None, &[&operator]);
    let managed = ManagementAssigned {
        building: house.building.clone(),
        form: ManagementForm::Company,
        organisation: Some("inn:7707083893".parse().unwrap()),
        contract: None,
        licence: None,
    };
    r.say(Body::ManagementAssigned(managed), Some(day("2026-09-01")), &[&operator]);
    let registered = ChatRegistered {
        kind: ChatKind::House,
        title: text("ул. Академика Королёва, 12к2"),
        buildings: List(vec![house.building]),
        owner: MOSCOW.authority(0),
        declared: None,
        link: Some(link(0xd5)),
        max: Some("max:-70496786363126".parse().unwrap()),
        service_account: None,
        entrance: None,
    };
    let mut draft = r.draft(Body::ChatRegistered(registered), Some(day("2026-09-15")));
    draft.basis = Some(decree());
    let id = r.submit(&Region::sign(draft, &[&operator])).unwrap();
    let number = ChatNumber::derive(r.state.jurisdiction().region, &id.0);

    let mut map = r.map.clone();
    for n in 0..LEAVES {
        map.set(map_key(&format!("other {n}")), map_key(&format!("value {n}")));
    }
    let root = map.root();
    let commit = Commit {
        v: RECORD_VERSION,
        log: r.origin().into(),
        first: RECORDS - 1,
        size: RECORDS,
        time: ms(r.time),
        previous: r.state.head().map(|h| h.id),
        charter: r.state.charter(),
        root: RecordId(root),
    };
    let (entry, _) = NodeRecord::Commit(commit).sign(&r.commit_key).unwrap();
    // The tree before it is of any leaves.
    let leaves: Vec<_> = (0..RECORDS - 1).map(|n| leaf_hash(&n.to_be_bytes())).chain([leaf_hash(&entry)]).collect();
    let path = path_of_the_last(&leaves).into_iter().map(|h| domovoi::tlog::Hash(h.0)).collect();
    let mut tree = Frontier::new();
    tree.extend(leaves);
    let signer = NoteSigner::new(r.origin(), r.log_key.clone()).unwrap();
    let note = Checkpoint { origin: r.origin(), size: tree.size(), root: tree.root() }.sign(&signer).unwrap();
    let mut note = Note::parse(note.as_bytes()).unwrap();
    for n in 1..=3 {
        note.add_line(cosigner(n).cosign(note.text(), 1_800_000_000).unwrap()).unwrap();
    }
    let tlog = TlogProof { extra: None, index: RECORDS - 1, path, checkpoint: note.to_string() };
    (chain, number, StatusProof::of(&r.state, &map, &chat(number), &entry, tlog).unwrap())
}

#[test]
fn a_proof_of_a_usual_chat_is_no_longer_than_it_was_measured() {
    let (chain, number, proof) = typical();
    let text = proof.to_string();
    let cosigners: Vec<_> = (1..=3).map(|n| cosigner(n).verifier().clone()).collect();
    let verified = super::verify(&text, &chain, &cosigners).unwrap();
    assert_eq!((verified.cosigned.len(), verified.about), (3, chat(number)));
    let said = proved(&super::verify(&text, &chain, &cosigners).unwrap());
    assert!(said.recorded.iter().any(|l| l.ru.contains("Академика Королёва")), "the address is there to be read");
    let (head, tlog) = text.split_once("\n\n").unwrap();
    for line in head.lines() {
        println!("{:>5} {}", line.len() + 1, line.chars().take(40).collect::<String>());
    }
    let (path, note) = tlog.split_once("\n\n").unwrap();
    println!(
        "{:>5} path\n{:>5} checkpoint with three cosignatures\n{:>5} in all",
        path.len() + 2,
        note.len(),
        text.len()
    );
    assert!(text.len() < LIMIT, "{} bytes", text.len());
}
