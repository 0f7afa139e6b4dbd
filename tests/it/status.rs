//! Status proofs: what they prove, that nothing else passes for one, and the vectors that other implementations share.

mod refused;
mod size;
mod vectors;

use domovoi::federation::chain::CharterChain;
use domovoi::node::proved::proved;
use domovoi::node::verdict::VerdictState;
use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, LinkDigest};
use domovoi::registry::record::Subject;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::status_proof::{Name, ProvedStatus, StatusProof};
use domovoi::registry::z85;
use domovoi::tlog::Hash;
use domovoi::tlog::cosignature::{Cosigner, CosignerKey};
use domovoi::tlog::note::Note;
use domovoi::tlog::proof::TlogProof;
use ed25519_dalek::SigningKey;

use crate::charters::rolled;
use crate::regions::*;
use crate::rules::world::basis;

/// A proof from a log in memory.
pub fn prove(r: &Region, about: &Name) -> StatusProof {
    prove_with(r, about, false)
}

/// The same with the addresses of a chat's houses.
pub fn addressed(r: &Region, about: &Name) -> StatusProof {
    prove_with(r, about, true)
}

fn prove_with(r: &Region, about: &Name, addresses: bool) -> StatusProof {
    let leaves: Vec<Hash> = r.log.iter().map(|e| domovoi::tlog::leaf_hash(e)).collect();
    let path = path_of_the_last(&leaves).into_iter().map(|h| Hash(h.0)).collect();
    let checkpoint = String::from_utf8(r.checkpoint()).unwrap();
    let tlog = TlogProof { extra: None, index: leaves.len() as u64 - 1, path, checkpoint };
    StatusProof::of(&r.state, &r.map, about, addresses, r.log.last().unwrap(), tlog).unwrap()
}

pub fn cosigner(n: u8) -> Cosigner {
    Cosigner::new(format!("witness.example/{n}"), SigningKey::from_bytes(&[200 + n; 32])).unwrap()
}

/// The same proof with these cosigners' lines, as of these times.
pub fn cosigned(proof: &str, by: &[(u8, u64)]) -> String {
    let (head, tlog) = proof.split_once("\n\n").unwrap();
    let mut tlog = TlogProof::parse(tlog).unwrap();
    let mut note = Note::parse(tlog.checkpoint.as_bytes()).unwrap();
    for (n, time) in by {
        let line = cosigner(*n).cosign(note.text(), *time).unwrap();
        note.add_line(line).unwrap();
    }
    tlog.checkpoint = note.to_string();
    format!("{head}\n\n{tlog}")
}

pub fn verify(text: &str, chain: &CharterChain, by: &[CosignerKey]) -> domovoi::error::Result<ProvedStatus> {
    let proof = StatusProof::parse(text)?;
    proof.verify(&chain.of_log(proof.origin())?, by)
}

pub fn chat(number: ChatNumber) -> Name {
    Name::Subject(Subject::Chat(number))
}

/// Two regions; Moscow's log has two houses with a chat, one of which got another link, an authority that was succeeded,
/// and a key that was revoked.
pub struct Scene {
    pub chain: CharterChain,
    pub moscow: Region,
    pub oblast: Region,
    pub first: ChatNumber,
    pub second: ChatNumber,
}

pub fn scene() -> Scene {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (mut moscow, mut oblast) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    (1..=2).for_each(|n| moscow.build(n, vec![]));
    let (first, second) = (moscow.chat(&[1], 1), moscow.chat(&[2], 2));
    oblast.build(3, vec![]);
    oblast.chat(&[3], 3);
    let amended = ChatAmended {
        chat: second,
        title: None,
        buildings: None,
        link: Some(link(12)),
        max: None,
        service_account: None,
        entrance: None,
    };
    moscow.say(Body::ChatAmended(amended), None, &[&MOSCOW.operator(0)]);
    Scene { chain, moscow, oblast, first, second }
}

/// Succeeds the first authority by the second.
fn succession(s: &mut Scene) {
    let body =
        Body::AuthoritySucceeded(AuthoritySucceeded { authority: MOSCOW.authority(0), successor: MOSCOW.authority(1) });
    let mut draft = s.moscow.draft(body, Some(day("2026-09-02")));
    draft.basis = Some(basis());
    s.moscow.submit(&Region::sign(draft, &[&MOSCOW.root()])).unwrap();
}

#[test]
fn what_a_proof_says_is_what_the_log_has() {
    let mut s = scene();
    let name = |s: Subject| Name::Subject(s);
    let rotated = Name::Link(link(2));
    let ask = |s: &Scene, about: &Name| {
        let text = prove(&s.moscow, about).to_string();
        assert_eq!(StatusProof::parse(&text).unwrap().to_string(), text);
        proved(&verify(&text, &s.chain, &[]).unwrap())
    };
    for (about, state) in [
        (chat(s.first), Some(VerdictState::Official)),
        (Name::Link(link(1)), Some(VerdictState::Official)),
        (Name::Link(link(12)), Some(VerdictState::Official)),
        (rotated.clone(), Some(VerdictState::LinkRotated)),
        (name(Subject::Building(building(1))), Some(VerdictState::Official)),
        (name(Subject::Authority(MOSCOW.authority(1))), None),
        (name(Subject::Key(PublicKey::of(&MOSCOW.operator(0)).thumb())), None),
    ] {
        let said = ask(&s, &about);
        assert_eq!((said.known, said.state), (true, state), "{about} {said:?}");
        assert!(said.recorded.len() + usize::from(said.state.is_none()) > 0, "{said:?}");
    }
    for absent in [Name::Link(link(99)), name(Subject::Building(building(9)))] {
        let said = ask(&s, &absent);
        assert_eq!((said.known, said.state), (false, None), "{absent}");
    }
    let before = prove(&s.moscow, &chat(s.first)).to_string();
    succession(&mut s);
    let said = ask(&s, &chat(s.first));
    assert_eq!(said.state, Some(VerdictState::Official), "{said:?}");
    assert_ne!(prove(&s.moscow, &chat(s.first)).to_string(), before);
    // Two authorities stand in it now: the one on record and its successor.
    assert_eq!(prove(&s.moscow, &chat(s.first)).to_string().matches("\nfact {\"authority\":").count(), 2);
    let suspended = AuthoritySuspended { authority: MOSCOW.authority(1), reason: StandingReason::Decision };
    s.moscow.say(Body::AuthoritySuspended(suspended), Some(day("2020-01-01")), &[&MOSCOW.root()]);
    assert_eq!(ask(&s, &chat(s.first)).state, Some(VerdictState::Suspended));
    assert_eq!(ask(&s, &name(Subject::Building(building(1)))).state, Some(VerdictState::Suspended));
    // The old proof says what it said, as of its own time.
    assert_eq!(proved(&verify(&before, &s.chain, &[]).unwrap()).state, Some(VerdictState::Official));
}

/// Every byte of a proof, changed in any bit: refused, or, in a cosigner's line, that cosigner is not counted.
#[test]
fn a_proof_with_any_byte_changed_is_refused() {
    let s = scene();
    let by = [cosigner(1).verifier().clone()];
    let proofs = [chat(s.first), Name::Link(link(2)), Name::Link(link(99))].map(|about| prove(&s.moscow, &about));
    for proof in proofs.into_iter().chain([addressed(&s.moscow, &chat(s.first))]) {
        let text = cosigned(&proof.to_string(), &[(1, 1_800_000_000)]);
        let good = verify(&text, &s.chain, &by).unwrap();
        assert_eq!(good.cosigned, [("witness.example/1".to_owned(), 1_800_000_000)]);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << (at % 7);
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            match verify(&changed, &s.chain, &by) {
                Err(e) => assert!(!e.detail().is_empty()),
                Ok(p) => assert!(p.cosigned.is_empty(), "byte {at}: {changed}"),
            }
        }
        for at in 0..text.len() {
            if text.is_char_boundary(at) {
                // Without its last line, the cosigner's, it is the proof that nobody had cosigned yet.
                let cut = verify(&text[..at], &s.chain, &by);
                assert!(
                    cut.is_err() || cut.is_ok_and(|p| p.cosigned.is_empty() && text[at..].starts_with('—')),
                    "cut at {at}"
                );
            }
        }
    }
}

#[test]
fn a_proof_verifies_for_ever_by_the_charter_of_its_time() {
    let mut s = scene();
    let old = prove(&s.moscow, &chat(s.first)).to_string();
    let rolled = rolled(&s.chain);
    assert!(verify(&old, &rolled, &[]).is_ok(), "retired keys stay good for what they signed");
    s.moscow.given(&rolled);
    // The node has its new keys before the log adopts the charter that names them.
    (s.moscow.log_key, s.moscow.commit_key) = (key(111), key(112));
    s.moscow.adopt();
    let new = prove(&s.moscow, &chat(s.first)).to_string();
    assert!(verify(&new, &rolled, &[]).is_ok());
    assert_eq!(verify(&new, &s.chain, &[]).unwrap_err().code(), "status.charter");
    // The old log key signs nothing any more once its successor's charter is adopted.
    s.moscow.log_key = MOSCOW.log();
    let stolen = prove(&s.moscow, &chat(s.first)).to_string();
    assert_eq!(verify(&stolen, &rolled, &[]).unwrap_err().code(), "note.unsigned");
}

#[test]
fn what_a_newer_charter_undoes_is_not_proved() {
    let s = scene();
    let proof = prove(&s.moscow, &chat(s.first)).to_string();
    let excepting = advanced(&s.chain, |b| {
        let leaf = domovoi::registry::ids::RecordId(domovoi::tlog::leaf_hash(&s.moscow.log[2]).0);
        let one = domovoi::federation::charter::ExceptedEntry { origin: text(&MOSCOW.origin()), index: 2, leaf };
        b.exceptions = Some(List(vec![one]));
    });
    assert_eq!(verify(&proof, &excepting, &[]).unwrap_err().code(), "status.excepted");
}

/// The map proof in a text has one letter for each place and no more hashes than the tree has levels.
#[test]
fn sizes_are_those_of_the_protocol() {
    let s = scene();
    let text = cosigned(&prove(&s.moscow, &chat(s.first)).to_string(), &[(1, 1), (2, 2), (3, 3)]);
    let map = text.lines().find(|l| l.starts_with("map ")).unwrap();
    let hashes = z85::decode(map.rsplit(' ').next().unwrap()).unwrap();
    assert!(hashes.len().is_multiple_of(32) && text.len() < 4096, "{} bytes", text.len());
    assert!(StatusProof::parse(&"a".repeat(1 << 20)).unwrap_err().code() == "status.too-long");
    let digest: LinkDigest = link(1);
    assert_eq!(format!("link:{digest}").parse::<Name>().unwrap(), Name::Link(digest));
}

/// The whole way: a node proves, the file verifies without it; a ministry proves the same of the log it follows.
#[test]
fn a_proof_from_a_node_verifies_without_it() {
    use crate::api::chat as registered;
    let mut node = crate::node::Node::moscow();
    let signer = node.signer("operator");
    let (_, number, bytes) = registered(&signer, 1, "2026-09-01");
    node.accept(&[signer.building(1).1, bytes]);
    let path = |name: &str| node.dir.path().join(name).to_str().unwrap().to_owned();
    let (file, english) = (path("чат.txt"), path("link.txt"));
    let number = number.to_string();
    assert!(node.run(&["prove", &number, "--out", &file]).ok);
    let absent = "https://max.ru/join/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(node.run(&["prove", absent, "--out", &english]).ok);
    let addressed = path("с адресом.txt");
    assert!(node.run(&["prove", &number, "--with-address", "--out", &addressed]).ok);
    assert_eq!(node.get(&format!("/api/v1/proofs/chat:{number}")).body, std::fs::read(&file).unwrap());
    let asked = |query: &str| node.get(&format!("/api/v1/proofs/chat:{number}?with_address={query}"));
    assert_eq!((asked("1").body, asked("0").body), (std::fs::read(&addressed).unwrap(), std::fs::read(&file).unwrap()));
    asked("2").problem(400, "query.value");
    assert!(!std::fs::read_to_string(&english).unwrap().contains("AAAAAAAAAAAAAAA"), "the token is nobody's business");

    let mut ministry = crate::follow::ministry();
    crate::transfer_nodes::follow(&ministry, &node, "moscow");
    ministry.start();
    let size = node.api("node")["freshness"]["size"].as_u64().unwrap();
    crate::follow::synced(&ministry, &signer.origin, size);
    let theirs = ministry.get(&format!("/api/v1/proofs/chat:{number}")).body;
    assert!(theirs == std::fs::read(&file).unwrap(), "a copy proves what the original does");
    ministry.get("/api/v1/proofs/flat:1").problem(404, "subject.unknown");
    ministry.get(&format!("/api/v1/proofs/chat:{number}?log=nobody")).problem(422, "lookup.log");

    node.stop();
    let charter = node.data().join("charter.json");
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = |file: &str, more: &[&str]| {
        let args = [&["--json", "verify", file, "--charter", charter.to_str().unwrap()], more].concat();
        crate::node::run_in(elsewhere.path(), &args)
    };
    let said = verify(&file, &[]).json();
    assert_eq!((&said["state"], &said["known"]), (&serde_json::json!("official"), &serde_json::json!(true)), "{said}");
    assert_eq!(verify(&english, &[]).json()["known"], false);
    // Whoever reads is told that an address is not there, rather than not told it.
    let none = "(адреса в этом доказательстве нет)";
    assert!(said["recorded"].to_string().contains(none), "{said}");
    let said = verify(&addressed, &[]).json()["recorded"].to_string();
    assert!(said.contains("ул. ") && !said.contains(none), "{said}");
    let witness = cosigner(1).verifier().to_string();
    assert_eq!(verify(&file, &["--cosigner", &witness]).code(), "status.cosigner");
    let changed = std::fs::read_to_string(&file).unwrap().replacen("Дом 1", "Дом 2", 1);
    std::fs::write(&file, changed).unwrap();
    assert_eq!(verify(&file, &[]).code(), "proof.map");
}
