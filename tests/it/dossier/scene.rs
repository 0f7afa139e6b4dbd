//! A region's node with a history of two months, written to a data directory as the node itself would have.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use domovoi::federation::chain::CharterChain;
use domovoi::node::sequencer::Bounds;
use domovoi::node::signing::Signing;
use domovoi::node::{Node, Opening};
use domovoi::registry::body::*;
use domovoi::registry::ids::{ChatNumber, OrgId, RecordId};
use domovoi::registry::record::{Basis, BasisKind};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::text::Day;
use domovoi::storage::log_store::LogStore;
use domovoi::storage::{format, keys};
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;

use crate::node::PASSPHRASE;
use crate::regions::*;
use crate::transfer::Border;

const DAY: u64 = 86_400_000;

pub struct Scene {
    pub region: Region,
    pub chain: CharterChain,
    /// Exact bytes of the charters.
    pub charters: Vec<Vec<u8>>,
    pub chat: ChatNumber,
    /// A second chat, which nothing happened to.
    pub quiet: ChatNumber,
}

pub fn company(n: u64) -> OrgId {
    ogrn(9000 + n)
}

/// A document with hashes.
pub fn document(n: u8) -> Basis {
    Basis {
        kind: BasisKind::Order,
        number: Some(text(&format!("{n}-р"))),
        date: Some(day("2026-09-01")),
        issuer: Some(text("Мосжилинспекция")),
        document_sha256: Some(RecordId([n; 32])),
        signature_sha256: Some(RecordId([n + 100; 32])),
    }
}

/// A log key that no other node of these tests works with at the same time: one would not start.
fn own_log_key() -> SigningKey {
    static SCENES: AtomicU32 = AtomicU32::new(0);
    let mut seed = [77; 32];
    seed[..4].copy_from_slice(&std::process::id().to_be_bytes());
    seed[4..8].copy_from_slice(&SCENES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SigningKey::from_bytes(&seed)
}

impl Scene {
    /// Writes what comes next so many days after the first commit.
    fn on(&mut self, days: u64) {
        self.region.time = self.region.time.max(START + days * DAY);
    }
    fn say(&mut self, body: Body, from: Option<&str>, key: &SigningKey) -> RecordId {
        let mut draft = self.region.draft(body, from.map(day));
        draft.basis = Some(document(self.region.log.len() as u8 % 90));
        self.region.submit(&Region::sign(draft, &[key])).unwrap()
    }
    fn assign(&mut self, n: u64, from: &str, key: &SigningKey) -> RecordId {
        let body = ManagementAssigned {
            building: building(1),
            form: ManagementForm::Company,
            organisation: Some(company(n)),
            contract: None,
            licence: None,
        };
        self.say(Body::ManagementAssigned(body), Some(from), key)
    }
    fn ended(&mut self, management: RecordId, from: &str, key: &SigningKey) {
        let body = ManagementEnded { building: building(1), management, goes_on: None };
        self.say(Body::ManagementEnded(body), Some(from), key);
    }
    fn named(&mut self, n: u64, name: &str, key: &SigningKey) {
        let body = OrganisationNamed { organisation: company(n), name: text(name) };
        self.say(Body::OrganisationNamed(body), None, key);
    }

    /// The first commit is of 2026-09-21, Moscow time.
    pub fn new() -> Scene {
        let first = first_charter(&[MOSCOW, OBLAST], |_| {});
        let chain = CharterChain::pinned(&first).unwrap();
        let mut region = Region::new(MOSCOW, &chain);
        let k = MOSCOW.operator(0);
        region.build(1, vec![]);
        region.build(2, vec![]);
        let (chat, quiet) = (region.chat(&[1], 1), region.chat(&[2], 2));
        let mut s = Scene { region, chain, charters: vec![first], chat, quiet };
        let a = s.assign(1, "2026-09-01", &k);
        s.named(1, "УК Первая", &k);
        s.say(Body::AdminDelegated(Admin { chat, organisation: company(1) }), Some("2026-09-02"), &k);
        // 26 September: another link.
        s.on(5);
        let amended = ChatAmended {
            chat,
            title: Some(text("Дом 1, новая ссылка")),
            buildings: None,
            link: Some(link(11)),
            max: None,
            service_account: None,
            entrance: None,
        };
        s.say(Body::ChatAmended(amended), None, &k);
        // 1 October: another company, on the day.
        s.on(10);
        s.ended(a, "2026-10-01", &k);
        let b = s.assign(2, "2026-10-01", &k);
        s.named(2, "УК Вторая", &k);
        s.say(Body::AdminDelegated(Admin { chat, organisation: company(2) }), Some("2026-10-01"), &k);
        // 6 October: suspended since the 5th, and back on the 8th.
        s.on(15);
        let suspended = ChatStanding { chat, reason: StandingReason::Decision };
        s.say(Body::ChatSuspended(suspended), Some("2026-10-05"), &k);
        s.on(17);
        s.say(Body::ChatRestored(ChatStanding { chat, reason: StandingReason::Decision }), Some("2026-10-08"), &k);
        // 12 October: the authority is succeeded, and its key is retired.
        s.on(21);
        let succeeded = AuthoritySucceeded { authority: MOSCOW.authority(0), successor: MOSCOW.authority(1) };
        s.say(Body::AuthoritySucceeded(succeeded), Some("2026-10-10"), &MOSCOW.root());
        let revoked =
            KeyRevoked { key: PublicKey::of(&k).thumb(), reason: RevokeReason::Superseded, suspect_from: None };
        s.say(Body::KeyRevoked(revoked), None, &MOSCOW.root());
        let k = MOSCOW.operator(1);
        // 16 October: somebody objects, a bot, services, a look in MAX, an imitation.
        s.on(25);
        let objection = ObjectionNoted {
            subject: domovoi::registry::record::Subject::Chat(chat),
            number: text("О-17"),
            date: day("2026-10-15"),
            outcome: None,
            resolved_by: None,
        };
        s.say(Body::ObjectionNoted(objection), None, &k);
        let bot = BotAttested {
            bot: BotName::new("@gji_bot").unwrap(),
            title: text("Инспекция"),
            authority: MOSCOW.authority(1),
            chats: None,
        };
        s.say(Body::BotAttested(bot), Some("2026-10-16"), &k);
        let service = Service {
            kind: ServiceKind::Dispatcher,
            title: text("Диспетчерская"),
            link: None,
            bot: None,
            phone: Some(Phone::new("+74950000000").unwrap()),
        };
        let services = ServicesPublished { building: building(1), services: List(vec![service]) };
        s.say(Body::ServicesPublished(services), None, &k);
        let flagged = ImpersonationFlagged {
            imitation: "title:Чат дома 1 настоящий".parse().unwrap(),
            imitates: chat,
            certainty: Certainty::Confirmed,
        };
        s.say(Body::ImpersonationFlagged(flagged), Some("2026-10-16"), &k);
        // 19 October: a new charter brings new keys of the log.
        s.on(28);
        let log_key = own_log_key();
        let bytes = next_charter(&s.chain, |b| {
            let m = b.regions.0.iter_mut().find(|r| r.origin.as_str() == MOSCOW.origin()).unwrap();
            m.root_keys = List(vec![KeyBytes(PublicKey::of(&key(110)))]);
            m.commit_key = KeyBytes(PublicKey::of(&key(112)));
            m.log_vkey = text(&NoteSigner::new(MOSCOW.origin(), log_key.clone()).unwrap().verifier().to_string());
        });
        assert!(s.chain.advance(&bytes).unwrap());
        s.charters.push(bytes);
        let chain = s.chain.clone();
        s.region.given(&chain);
        (s.region.log_key, s.region.commit_key) = (log_key, key(112));
        s.region.adopt();
        // 22 October: another company, since the 10th: recorded late.
        s.on(31);
        s.ended(b, "2026-10-10", &k);
        s.assign(3, "2026-10-10", &k);
        s.named(3, "УК Третья", &k);
        s
    }

    /// A data directory as the region's node has it.
    pub fn write(&self, data: &Path) {
        write(&self.region, &self.charters, data);
    }
}

pub fn write(region: &Region, charters: &[Vec<u8>], data: &Path) {
    let passphrase = PASSPHRASE.to_owned().into();
    for folder in ["charters", "keys", "log", "private"] {
        std::fs::create_dir_all(data.join(folder)).unwrap();
    }
    format::create(data).unwrap();
    std::fs::write(data.join("charter.json"), &charters[0]).unwrap();
    for (n, bytes) in charters.iter().enumerate().skip(1) {
        std::fs::write(data.join(format!("charters/{}.json", n + 1)), bytes).unwrap();
    }
    std::fs::write(data.join("origin"), region.origin()).unwrap();
    keys::write_encrypted(&data.join("keys/log.pem"), &region.log_key, &passphrase).unwrap();
    keys::write_encrypted(&data.join("keys/commit.pem"), &region.commit_key, &passphrase).unwrap();
    let key = NoteSigner::new(region.origin(), region.log_key.clone()).unwrap();
    let (mut store, pending) = LogStore::open(&data.join("log"), &data.join("private"), &[key.verifier()]).unwrap();
    assert!(pending.is_none());
    let staged = store.stage(region.log.clone()).unwrap();
    store.write_tiles(&staged).unwrap();
    store.fence(&staged).unwrap();
    store.publish(staged, std::str::from_utf8(&region.checkpoint()).unwrap()).unwrap();
}

/// The node over a data directory, in this process.
pub fn open(data: &Path) -> Node {
    let passphrase = PASSPHRASE.to_owned().into();
    let opening = Opening {
        data,
        passphrase: Some(&passphrase),
        bounds: Bounds { records: 1000, bytes: 1 << 20, waiting: 8 },
        stale_after_hours: 24,
        confirm_restored_head: None,
        signing: Signing::allowed(),
        clock: domovoi::node::clock::Clock::system(),
    };
    Node::open(opening, &mut |_, _| {}).unwrap()
}

/// The scene's node, with the folder it lives in.
pub fn node() -> (Scene, tempfile::TempDir, Node) {
    let (scene, dir) = (Scene::new(), tempfile::tempdir().unwrap());
    scene.write(dir.path());
    let node = open(dir.path());
    (scene, dir, node)
}

/// Two nodes of a chat that moved from Moscow to the Oblast: the charter, both folders and nodes, the chat.
pub fn moved() -> (CharterChain, [(tempfile::TempDir, Node); 2], ChatNumber) {
    let mut border = Border::new();
    let offer = border.offer();
    let accepted = border.accept(&offer).unwrap();
    border.release(&offer, domovoi::registry::transfer::Ending::Accepted, Some(accepted)).unwrap();
    let charter = first_charter(&[MOSCOW, OBLAST, TVER], |_| {});
    let nodes = [&border.leaving, &border.receiving].map(|region| {
        let dir = tempfile::tempdir().unwrap();
        write(region, std::slice::from_ref(&charter), dir.path());
        let node = open(dir.path());
        (dir, node)
    });
    (CharterChain::pinned(&charter).unwrap(), nodes, border.chat)
}

pub fn date(s: &str) -> Day {
    day(s)
}
