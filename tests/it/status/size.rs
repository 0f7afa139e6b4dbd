//! How long a status proof is in a region of usual size.

use domovoi::federation::chain::CharterChain;
use domovoi::node::proved::proved;
use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, OrgId, RecordId};
use domovoi::registry::node_record::{Commit, NodeRecord};
use domovoi::registry::record::{Basis, BasisKind, RECORD_VERSION};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::View;
use domovoi::registry::statemap::map_key;
use domovoi::registry::status_proof::StatusProof;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::proof::TlogProof;
use domovoi::tlog::tree::Frontier;

use ed25519_dalek::SigningKey;

use super::{chat, verify};
use crate::regions::*;

/// 20 000 houses, each with a chat and its link; as many records and a management each.
const USUAL: u32 = 60_000;
/// What issue 4 asks for, in bytes, of a usual proof with Ed25519 cosignatures.
const LIMIT: usize = 4096;

/// Three neighbours of the region, under names as a charter gives them.
fn cosigner(n: u8) -> Cosigner {
    Cosigner::new(format!("chats.region-{n}.example/{n}/witness"), SigningKey::from_bytes(&[100 + n; 32])).unwrap()
}
const COSIGNERS: [u8; 3] = [50, 69, 71];

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

/// A region with a chat as clerks enter it: over a house with its company, which administers the chat; the owner has a name
/// as such authorities have.
fn region(chain: &CharterChain) -> (Region, ChatNumber) {
    let mut r = Region::new(MOSCOW, chain);
    let oktmo = List(vec![MOSCOW.oktmo.parse().unwrap()]);
    let (owner, operator, root) = (MOSCOW.authority(2), MOSCOW.operator(2), MOSCOW.root());
    let enrolled = AuthorityEnrolled {
        authority: owner.clone(),
        name: text("Государственная жилищная инспекция города Москвы"),
        oktmo: oktmo.clone(),
        short_name: Some(text("Мосжилинспекция")),
    };
    r.say(Body::AuthorityEnrolled(enrolled), None, &[&root]);
    let granted = KeyGranted {
        key: KeyBytes(PublicKey::of(&operator)),
        authority: owner.clone(),
        scopes: List(vec![text("*")]),
        oktmo,
        not_before: ms(0),
        not_after: ms(1 << 50),
    };
    r.say(Body::KeyGranted(granted), None, &[&root]);
    let company: OrgId = "inn:7707083893".parse().unwrap();
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
        organisation: Some(company.clone()),
        contract: None,
        licence: None,
    };
    r.say(Body::ManagementAssigned(managed), Some(day("2026-09-01")), &[&operator]);
    let registered = ChatRegistered {
        kind: ChatKind::House,
        title: text("ул. Академика Королёва, 12к2"),
        buildings: List(vec![house.building]),
        owner,
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
    let delegated = Admin { chat: number, organisation: company };
    r.say(Body::AdminDelegated(delegated), Some(day("2026-09-16")), &[&operator]);
    (r, number)
}

/// The proof in a state map of so many leaves and a log of as many entries, under a checkpoint with three cosignatures. The rest
/// of the region stands in both by hashes alone: neither map nor tree shows more of it to a proof.
fn proof(r: &Region, number: ChatNumber, leaves: u32, addresses: bool) -> String {
    let mut map = r.map.clone();
    for n in 0..leaves {
        map.set(map_key(&format!("other {n}")), map_key(&format!("value {n}")));
    }
    let size = u64::from(leaves);
    let commit = Commit {
        v: RECORD_VERSION,
        log: r.origin().into(),
        first: size - 1,
        size,
        time: ms(r.time),
        previous: r.state.head().map(|h| h.id),
        charter: r.state.charter(),
        root: RecordId(map.root()),
    };
    let (entry, _) = NodeRecord::Commit(commit).sign(&r.commit_key).unwrap();
    // The tree before it is of any leaves.
    let leaves: Vec<_> = (0..size - 1).map(|n| leaf_hash(&n.to_be_bytes())).chain([leaf_hash(&entry)]).collect();
    let path = path_of_the_last(&leaves).into_iter().map(|h| domovoi::tlog::Hash(h.0)).collect();
    let mut tree = Frontier::new();
    tree.extend(leaves);
    let signer = NoteSigner::new(r.origin(), r.log_key.clone()).unwrap();
    let note = Checkpoint { origin: r.origin(), size: tree.size(), root: tree.root() }.sign(&signer).unwrap();
    let mut note = Note::parse(note.as_bytes()).unwrap();
    for n in COSIGNERS {
        note.add_line(cosigner(n).cosign(note.text(), 1_800_000_000).unwrap()).unwrap();
    }
    let tlog = TlogProof { extra: None, index: size - 1, path, checkpoint: note.to_string() };
    StatusProof::of(&r.state, &map, &chat(number), addresses, &entry, tlog).unwrap().to_string()
}

/// How long each line is, and the whole.
fn print(text: &str) {
    let (head, tlog) = text.split_once("\n\n").unwrap();
    for line in head.lines() {
        println!("{:>5} {}", line.len() + 1, line.chars().take(40).collect::<String>());
    }
    let (path, note) = tlog.split_once("\n\n").unwrap();
    println!("{:>5} path, after an empty line", path.len() + 3);
    println!("{:>5} checkpoint with three cosignatures\n{:>5} in all\n", note.len(), text.len());
}

#[test]
fn a_proof_of_a_usual_chat_has_less_than_4096_bytes() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (r, number) = region(&chain);
    let by: Vec<_> = COSIGNERS.iter().map(|n| cosigner(*n).verifier().clone()).collect();
    let read = |text: &str| {
        let verified = verify(text, &chain, &by).unwrap();
        assert_eq!((verified.cosigned.len(), &verified.about), (3, &chat(number)));
        let lines = proved(&verified).recorded;
        lines.into_iter().map(|l| l.ru).collect::<Vec<_>>().join("\n")
    };
    let usual = proof(&r, number, USUAL, false);
    print(&usual);
    let said = read(&usual);
    assert!(
        said.contains("Государственная жилищная инспекция города Москвы") && said.contains("Академика Королёва, 12к2")
    );
    assert!(said.contains("gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5 (адреса в этом доказательстве нет)"), "{said}");
    let whole = proof(&r, number, USUAL, true);
    print(&whole);
    assert!(
        read(&whole).contains("г. Москва, ул. Академика Королёва, д. 12, корп. 2"),
        "the address is there to be read"
    );
    println!("{} bytes at a million leaves", proof(&r, number, 1_000_000, false).len());
    assert!(usual.len() < LIMIT, "{} bytes", usual.len());
    assert!(whole.len() < LIMIT + LIMIT / 3, "{} bytes with the house", whole.len());
}
