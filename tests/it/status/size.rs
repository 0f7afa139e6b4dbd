//! How long a status proof is in a region of usual size.

use domovoi::federation::chain::CharterChain;
use domovoi::node::proved::proved;
use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, MaxChatId, OrgId, RecordId};
use domovoi::registry::node_record::{Commit, NodeRecord};
use domovoi::registry::record::{Basis, BasisKind, RECORD_VERSION};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::View;
use domovoi::registry::statemap::{StateMap, map_key};
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

/// Leaves of the map: 20 000 houses, each with a chat and its link. As many entries of the log: their records and managements.
const USUAL: u32 = 60_000;
/// How deep a chat stands in the map is chance, and how long the path in the log is depends on its length: so many are tried.
const CHATS: u32 = 21;
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

/// A region with chats as clerks enter them: each over a house with its company, which administers the chat; the owner has a
/// name as such authorities have.
fn region(chain: &CharterChain) -> (Region, Vec<ChatNumber>) {
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
        authority: owner,
        scopes: List(vec![text("*")]),
        oktmo,
        not_before: ms(0),
        not_after: ms(1 << 50),
    };
    r.say(Body::KeyGranted(granted), None, &[&root]);
    let chats = (1..=CHATS).map(|n| chat_of_house(&mut r, &operator, n)).collect();
    (r, chats)
}

fn chat_of_house(r: &mut Region, operator: &SigningKey, n: u32) -> ChatNumber {
    let company: OrgId = "inn:7707083893".parse().unwrap();
    let house = Building {
        building: format!("gar:0c5b2444-70a0-4932-980c-b4dc0d3f{n:04x}").parse().unwrap(),
        address: text(&format!("г. Москва, ул. Академика Королёва, д. {}, корп. 2", 10 + n)),
        oktmo: "45349000".parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: Some(List(vec![format!("reformagkh:{}", 7_000_000 + n).parse().unwrap()])),
        flats: Some(96),
        year: Some(1974),
        emergency: None,
        applicability: None,
    };
    r.say(Body::BuildingRegistered(house.clone()), None, &[operator]);
    let managed = ManagementAssigned {
        building: house.building.clone(),
        form: ManagementForm::Company,
        organisation: Some(company.clone()),
        contract: None,
        licence: None,
    };
    r.say(Body::ManagementAssigned(managed), Some(day("2026-09-01")), &[operator]);
    let registered = ChatRegistered {
        kind: ChatKind::House,
        title: text(&format!("ул. Академика Королёва, {}к2", 10 + n)),
        buildings: List(vec![house.building]),
        owner: MOSCOW.authority(2),
        declared: None,
        link: Some(link(u8::try_from(n).unwrap())),
        max: Some(MaxChatId(-70_496_786_363_100 - i64::from(n))),
        service_account: None,
        entrance: None,
    };
    let mut draft = r.draft(Body::ChatRegistered(registered), Some(day("2026-09-15")));
    draft.basis = Some(decree());
    let id = r.submit(&Region::sign(draft, &[operator])).unwrap();
    let number = ChatNumber::derive(r.state.jurisdiction().region, &id.0);
    let delegated = Admin { chat: number, organisation: company };
    r.say(Body::AdminDelegated(delegated), Some(day("2026-09-16")), &[operator]);
    number
}

/// The region's state map with so many further leaves. They stand in it by hashes alone: to a proof a map shows no more.
fn map_of(r: &Region, leaves: u32) -> StateMap {
    let mut map = r.map.clone();
    for n in 0..leaves {
        map.set(map_key(&format!("other {n}")), map_key(&format!("value {n}")));
    }
    map.root();
    map
}

/// The proof in a log of so many entries, of any but the last, under a checkpoint with three cosignatures.
fn proof(r: &Region, map: &StateMap, number: ChatNumber, size: u64, addresses: bool) -> String {
    let commit = Commit {
        v: RECORD_VERSION,
        log: r.origin().into(),
        first: size - 1,
        size,
        time: ms(r.time),
        previous: r.state.head().map(|h| h.id),
        charter: r.state.charter(),
        root: RecordId(map.clone().root()),
    };
    let (entry, _) = NodeRecord::Commit(commit).sign(&r.commit_key).unwrap();
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
    StatusProof::of(&r.state, map, &chat(number), addresses, &entry, tlog).unwrap().to_string()
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
    let (r, chats) = region(&chain);
    let by: Vec<_> = COSIGNERS.iter().map(|n| cosigner(*n).verifier().clone()).collect();
    let read = |text: &str| {
        let verified = verify(text, &chain, &by).unwrap();
        assert_eq!(verified.cosigned.len(), 3);
        let lines = proved(&verified).recorded;
        lines.into_iter().map(|l| l.ru).collect::<Vec<_>>().join("\n")
    };
    let several = |map: &StateMap, leaves: u32, chats: &[ChatNumber], addresses: bool| {
        let size = |n: usize| u64::from(leaves) + 37 * n as u64;
        let mut proofs: Vec<String> =
            chats.iter().enumerate().map(|(n, number)| proof(&r, map, *number, size(n), addresses)).collect();
        proofs.sort_by_key(String::len);
        let [first, middle, last] = [0, proofs.len() / 2, proofs.len() - 1].map(|at| proofs[at].len());
        let within = proofs.iter().filter(|p| p.len() < LIMIT).count();
        println!(
            "{leaves} leaves, addresses {addresses}: {first} to {last} bytes, {middle} in the middle; {within} within"
        );
        (proofs.swap_remove(proofs.len() / 2), within)
    };
    let map = map_of(&r, USUAL);
    let (usual, within) = several(&map, USUAL, &chats, false);
    print(&usual);
    let said = read(&usual);
    assert!(said.contains("Государственная жилищная инспекция города Москвы"), "{said}");
    assert!(
        said.contains("«ул. Академика Королёва, ") && said.contains("(адреса в этом доказательстве нет)"),
        "{said}"
    );
    let (whole, _) = several(&map, USUAL, &chats[..3], true);
    print(&whole);
    assert!(read(&whole).contains("г. Москва, ул. Академика Королёва, д. "), "the address is there to be read");
    several(&map_of(&r, 1_000_000), 1_000_000, &chats[..1], false);
    assert!(usual.len() < LIMIT, "{} bytes", usual.len());
    assert!(within * 10 >= chats.len() * 9, "{within} of {}", chats.len());
}
