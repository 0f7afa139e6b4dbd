//! The documents say what the program does: test vectors of `docs/protocol.md`, what `docs/errors.md` lists.
//!
//! Refreshing after a change of the source: `./scripts/errors > docs/errors.md`, and
//! `DOCS_BLESS=1 cargo test --test it docs` writes the vectors into `docs/protocol.md` anew (look at the difference: it is a
//! change of the protocol).

mod charter_vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use domovoi::federation::charter::{Charter, RegionOfOne};
use domovoi::node::load::ring_of;
use domovoi::registry::body::{
    Admin, AuthorityEnrolled, Body, Building, BuildingKind, ChatKind, ChatRegistered, KeyBytes, KeyGranted, List,
    ManagementAssigned, ManagementForm, OwnershipTransferred,
};
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_NODE, TYP_RECORD, record_id};
use domovoi::registry::facts::leaf_value;
use domovoi::registry::ids::{ChatNumber, RecordId, RegionCode};
use domovoi::registry::jurisdiction::Neighbour;
use domovoi::registry::link::{LinkDigest, canonical_link};
use domovoi::registry::map_proof::MapProof;
use domovoi::registry::node_record::{Adopted, Commit, NodeRecord};
use domovoi::registry::record::{Basis, BasisKind, DecodedRecord, Draft, Record, Subject};
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::rules;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{State, View, link_leaf};
use domovoi::registry::state_proof::{Quoted, StateProof};
use domovoi::registry::statemap::{EMPTY_ROOT, StateMap, inner_hash, leaf_hash, map_key};
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::{KeyRing, verify_records};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;
use ed25519_dalek::SigningKey;

use super::regions::path_of_the_last;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|e| panic!("docs/{name}: {e}"))
}

const ORIGIN: &str = "chats.example/77";
const HOUSE: &str = "gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5";
const COMPANY: &str = "inn:7707083893";
const FIRST: &str = "ogrn:1027700132195";
const SECOND: &str = "ogrn:1037739010891";
const LINK: &str = "https://max.ru/join/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";
const T0: u64 = 1_790_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}

fn ms(ms: u64) -> Millis {
    Millis::new(ms).unwrap()
}

fn day(s: &str) -> Day {
    s.parse().unwrap()
}

/// A region's log as its node writes it, with everything that the document quotes.
struct Log {
    charter: Vec<u8>,
    entries: Vec<Vec<u8>>,
    payloads: BTreeMap<&'static str, Vec<u8>>,
    state: State,
    map: StateMap,
    ring: KeyRing,
    time: u64,
}

impl Log {
    fn new() -> Log {
        let one = RegionOfOne {
            code: RegionCode::new(77).unwrap(),
            name: text("Москва"),
            oktmo: vec!["45".parse().unwrap()],
            authority: FIRST.parse().unwrap(),
            root_key: PublicKey::of(&key(2)),
            commit_key: PublicKey::of(&key(4)),
            origin: ORIGIN.into(),
            log_vkey: NoteSigner::new(ORIGIN, key(3)).unwrap().verifier().to_string(),
            url: "https://chats.example".into(),
        };
        let charter = Charter::of_one(one, T0, &key(1)).unwrap();
        let verified = Charter::open(&charter).unwrap();
        let state = State::new(verified.jurisdiction(ORIGIN).unwrap());
        let mut ring = KeyRing::default();
        ring.add(&PublicKey::of(&key(2)));
        Log { charter, entries: Vec::new(), payloads: BTreeMap::new(), state, map: StateMap::new(), ring, time: T0 }
    }

    /// Signs, checks and applies one batch and closes it with a commit. The first batch begins with `charter.adopted`.
    fn batch(&mut self, records: Vec<(&'static str, Draft, Vec<SigningKey>)>) {
        self.time += 1000;
        let (mut signed, mut index) = (Vec::new(), self.state.size());
        let first = index;
        let changes = {
            let mut overlay = self.state.overlay();
            if first == 0 {
                let j = self.state.jurisdiction();
                let adopted = Adopted { v: 0, log: j.origin.clone(), version: 1, sha256: j.charter_sha256 };
                let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&key(4)).unwrap();
                self.payloads.insert("charter.adopted", Envelope::parse(&entry, TYP_NODE, MAX_ENTRY).unwrap().payload);
                overlay.adopt(&adopted, id, index);
                signed.push(entry);
                index += 1;
            }
            for (name, draft, keys) in records {
                let (record, payload) = Record::encode(draft).unwrap();
                let entry = Envelope::sign(payload.clone(), TYP_RECORD, &keys.iter().collect::<Vec<_>>());
                self.ring.add_granted(&record);
                let decoded = DecodedRecord::decode(&entry).unwrap();
                let verified = verify_records(vec![decoded], &self.ring).remove(0).unwrap();
                overlay.apply(rules::check(&overlay, &verified, self.time).unwrap(), index);
                self.payloads.insert(name, payload);
                signed.push(entry);
                index += 1;
            }
            overlay.finish()
        };
        for (key, value) in &changes.leaves {
            self.map.set(*key, *value);
        }
        let commit = Commit {
            v: 0,
            log: ORIGIN.into(),
            first,
            size: index + 1,
            time: ms(self.time),
            previous: self.state.head().map(|h| h.id),
            charter: 1,
            root: RecordId(self.map.root()),
        };
        let (entry, id) = NodeRecord::Commit(commit.clone()).sign(&key(4)).unwrap();
        self.payloads.insert("state.committed", Envelope::parse(&entry, TYP_NODE, MAX_ENTRY).unwrap().payload);
        signed.push(entry);
        self.state.absorb(changes, &commit, id, index);
        self.entries.extend(signed);
    }

    fn draft(&self, body: Body, from: Option<&str>, batch: Option<&str>, basis: Option<Basis>) -> Draft {
        let region = RegionCode::new(77).unwrap();
        let begins = matches!(&body, Body::ChatRegistered(_));
        let subject = body.subject(&RecordId([0; 32]), region);
        let prev = if begins { None } else { self.state.entry(&subject).and_then(|e| e.last_record()) };
        Draft {
            log: ORIGIN.into(),
            issued_at: ms(T0),
            submit_before: ms(T0 + 86_400_000),
            effective_from: from.map(day),
            prev,
            basis,
            batch: batch.map(text),
            body,
        }
    }

    fn granted(&self, holder: &SigningKey, authority: &str) -> Draft {
        let body = Body::KeyGranted(KeyGranted {
            key: KeyBytes(PublicKey::of(holder)),
            authority: authority.parse().unwrap(),
            scopes: List(vec![text("*")]),
            oktmo: List(vec!["45".parse().unwrap()]),
            not_before: ms(T0),
            not_after: ms(T0 + 31_536_000_000),
        });
        self.draft(body, None, None, None)
    }

    fn enrolled(&self, authority: &str, name: &str, short: Option<&str>) -> Draft {
        let body = Body::AuthorityEnrolled(AuthorityEnrolled {
            authority: authority.parse().unwrap(),
            name: text(name),
            oktmo: List(vec!["45".parse().unwrap()]),
            short_name: short.map(text),
        });
        self.draft(body, None, Some("founding"), None)
    }
}

fn example_log() -> (Log, ChatNumber) {
    let mut log = Log::new();
    log.batch(vec![
        ("authority.enrolled", log.enrolled(FIRST, "Государственная жилищная инспекция", Some("ГЖИ")), vec![key(2)]),
        ("authority.enrolled 2", log.enrolled(SECOND, "Управа района", None), vec![key(2)]),
        ("key.granted", log.granted(&key(5), FIRST), vec![key(2)]),
        ("key.granted 2", log.granted(&key(6), SECOND), vec![key(2)]),
    ]);
    let building = Body::BuildingRegistered(Building {
        building: HOUSE.parse().unwrap(),
        address: text("г. Москва, ул. Примерная, д. 5"),
        oktmo: "45383000".parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: Some(List(vec!["reformagkh:7000001".parse().unwrap()])),
        flats: Some(96),
        year: Some(1974),
        emergency: None,
        applicability: None,
    });
    log.batch(vec![(
        "building.registered",
        log.draft(building, None, Some("buildings 0123456789ab"), None),
        vec![key(5)],
    )]);
    let managed = Body::ManagementAssigned(ManagementAssigned {
        building: HOUSE.parse().unwrap(),
        form: ManagementForm::Company,
        organisation: Some(COMPANY.parse().unwrap()),
        contract: None,
        licence: None,
    });
    let basis = Basis {
        kind: BasisKind::Dataset,
        number: None,
        date: Some(day("2026-09-01")),
        issuer: Some(text("Реформа ЖКХ")),
        document_sha256: Some(RecordId([0xab; 32])),
        signature_sha256: None,
    };
    let chat = Body::ChatRegistered(ChatRegistered {
        kind: ChatKind::House,
        title: text("Дом 5"),
        buildings: List(vec![HOUSE.parse().unwrap()]),
        owner: FIRST.parse().unwrap(),
        declared: None,
        entrance: None,
        link: Some(LinkDigest::of_link(LINK)),
        max: Some("max:-68123456789".parse().unwrap()),
        service_account: None,
    });
    log.batch(vec![
        ("management.assigned", log.draft(managed, Some("2026-09-01"), None, Some(basis)), vec![key(5)]),
        ("chat.registered", log.draft(chat, Some("2026-09-15"), None, None), vec![key(5)]),
    ]);
    let number = ChatNumber::derive(RegionCode::new(77).unwrap(), &record_id(&log.payloads["chat.registered"]).0);
    let admin = Body::AdminDelegated(Admin { chat: number, organisation: COMPANY.parse().unwrap() });
    log.batch(vec![("admin.delegated", log.draft(admin, Some("2026-09-16"), None, None), vec![key(5)])]);
    let transfer = Body::OwnershipTransferred(OwnershipTransferred {
        chat: number,
        from: FIRST.parse().unwrap(),
        to: SECOND.parse().unwrap(),
    });
    log.batch(vec![(
        "ownership.transferred",
        log.draft(transfer, Some("2026-10-01"), None, None),
        vec![key(5), key(6)],
    )]);
    (log, number)
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Every vector of the document by its name.
fn vectors() -> BTreeMap<&'static str, String> {
    let (mut log, number) = example_log();
    let mut v = BTreeMap::new();
    let roles = ["federation root", "region root", "log", "commit", "authority 1", "authority 2"];
    let keys = (1u8..).zip(roles).map(|(n, role)| {
        let public = PublicKey::of(&key(n));
        format!(
            "{role}: seed {n:02x} × 32, public {}, kid {}",
            BASE64URL_NOPAD.encode(&public.to_bytes()),
            public.thumb()
        )
    });
    v.insert("keys", keys.collect::<Vec<_>>().join("\n"));
    let signer = NoteSigner::new(ORIGIN, key(3)).unwrap();
    v.insert("vkey", signer.verifier().to_string());
    v.insert(
        "link",
        format!(
            "{}\n{}",
            canonical_link(&format!("  «MAX.ru/join/{}/?utm=1».", &LINK[20..])).unwrap(),
            LinkDigest::of_link(LINK)
        ),
    );
    for name in [
        "authority.enrolled",
        "building.registered",
        "management.assigned",
        "chat.registered",
        "ownership.transferred",
        "charter.adopted",
        "state.committed",
    ] {
        let payload = &log.payloads[name];
        v.insert(name, format!("{}\nid {}", String::from_utf8(payload.clone()).unwrap(), record_id(payload)));
    }
    let envelope = Envelope::parse(&log.entries[1], TYP_RECORD, MAX_ENTRY).unwrap();
    let kid = envelope.signatures[0].0;
    let input = String::from_utf8(envelope.signing_input(&kid)).unwrap();
    let header = BASE64URL_NOPAD.decode(input.split('.').next().unwrap().as_bytes()).unwrap();
    v.insert("envelope", String::from_utf8(log.entries[1].clone()).unwrap());
    v.insert("header", String::from_utf8(header).unwrap());
    v.insert("signing-input", format!("{}…\nSHA-256 {}", &input[..60], hex(&sha(input.as_bytes()))));
    let two = log
        .entries
        .iter()
        .filter_map(|e| Envelope::parse(e, TYP_RECORD, MAX_ENTRY).ok())
        .find(|e| e.signatures.len() == 2);
    v.insert("two-signatures", String::from_utf8(two.unwrap().to_bytes()).unwrap());
    v.insert("chat-number", number.to_string());

    let facts = |s: Subject| log.state.facts(&s).unwrap().encode();
    let building = facts(Subject::Building(HOUSE.parse().unwrap()));
    v.insert(
        "facts-building",
        format!("{}\nvalue {}", String::from_utf8(building.clone()).unwrap(), hex(&leaf_value(&building))),
    );
    let chat = facts(Subject::Chat(number));
    v.insert("facts-chat", format!("{}\nvalue {}", String::from_utf8(chat.clone()).unwrap(), hex(&leaf_value(&chat))));
    let digest = LinkDigest::of_link(LINK);
    let (name, value) = link_leaf(digest, &BTreeSet::from([number]));
    v.insert(
        "facts-link",
        format!("{name}\n{{\"link\":\"{digest}\",\"chats\":[\"{number}\"]}}\nvalue {}", hex(&value)),
    );
    assert_eq!(value, leaf_value(format!("{{\"link\":\"{digest}\",\"chats\":[\"{number}\"]}}").as_bytes()));
    let (a, b) = (map_key("building:gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5"), map_key(&format!("chat:{number}")));
    let (leaf_a, leaf_b) = (leaf_hash(&a, &leaf_value(&building)), leaf_hash(&b, &leaf_value(&chat)));
    let mut two = StateMap::new();
    two.set(a, leaf_value(&building));
    let one = two.root();
    two.set(b, leaf_value(&chat));
    let map = [
        ("empty", hex(&EMPTY_ROOT)),
        ("key building:…", hex(&a)),
        ("leaf building:…", hex(&leaf_a)),
        ("key chat:…", hex(&b)),
        ("leaf chat:…", hex(&leaf_b)),
        ("inner(leaf building:…, leaf chat:…)", hex(&inner_hash(&leaf_a, &leaf_b))),
        ("root of the first leaf alone", hex(&one)),
        ("root of both leaves", hex(&two.root())),
        ("root of the whole example", hex(&log.map.root())),
    ];
    v.insert("map", map.iter().map(|(k, h)| format!("{k}: {h}")).collect::<Vec<_>>().join("\n"));

    let payload = Envelope::parse(&log.charter, domovoi::registry::envelope::TYP_CHARTER, 1 << 20).unwrap().payload;
    let sha = Charter::open(&log.charter).unwrap().sha256();
    v.insert("charter", format!("{}\ndigest {sha}", String::from_utf8(payload).unwrap()));
    let (next, policy) = charter_vectors::next_charter(&log.charter);
    v.insert("charter.next", next);
    v.insert("charter.policy", policy);
    let mut tree = Frontier::new();
    let mut lines = Vec::new();
    for (i, entry) in log.entries.iter().enumerate() {
        let leaf = domovoi::tlog::leaf_hash(entry);
        tree.push(leaf);
        lines.push(format!("{i}: {leaf}"));
    }
    lines.push(format!("root: {}", tree.root()));
    v.insert("tree", lines.join("\n"));
    let head = Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() };
    v.insert("checkpoint", head.sign(&signer).unwrap());

    let state_root = log.map.root();
    let proof = |name: &str| MapProof::of(&log.map, &map_key(name));
    let (chat, absent) = (format!("chat:{number}"), format!("transfer:{}", RecordId([0; 32])));
    let value = log.state.leaves().find(|(name, _)| *name == chat).unwrap().1;
    proof(&chat).verify_member(&state_root, &map_key(&chat), &value).unwrap();
    proof(&absent).verify_absent(&state_root, &map_key(&absent)).unwrap();
    let shown = [(&chat, "present"), (&absent, "absent")];
    let shown = shown.map(|(name, what)| format!("{name} {what}\n{}", serde_json::to_string(&proof(name)).unwrap()));
    v.insert("map-proof", shown.join("\n"));
    let state = StateProof {
        size: tree.size(),
        checkpoint: Quoted::new(v["checkpoint"].as_bytes()).unwrap(),
        commit: Quoted::new(log.entries.last().unwrap()).unwrap(),
        path: List(path_of_the_last(&log.entries.iter().map(|e| domovoi::tlog::leaf_hash(e)).collect::<Vec<_>>())),
        map: proof(&chat),
    };
    let keys = Neighbour {
        origin: ORIGIN.into(),
        region: RegionCode::new(77).unwrap(),
        log_key: signer.verifier().clone(),
        commit_key: PublicKey::of(&key(4)),
    };
    state.verify(&keys).unwrap().holds(&chat, &value).unwrap();
    v.insert("state-proof", serde_json::to_string(&state).unwrap());
    v
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// Fenced blocks of `text` whose info string begins with `kind `: name, content, and the bytes the content takes.
fn blocks(text: &str, kind: &str) -> Vec<(String, String, std::ops::Range<usize>)> {
    let mut out = Vec::new();
    let open = format!("\n```{kind} ");
    let mut at = 0;
    while let Some(found) = text[at..].find(&open) {
        let line = at + found + open.len();
        let begin = line + text[line..].find('\n').expect("a block has content") + 1;
        // From the line's own end on, so that an empty block ends at once.
        let end = begin - 1 + text[begin - 1..].find("\n```").expect("a block ends") + 1;
        out.push((text[line..begin].trim().to_owned(), text[begin..end].to_owned(), begin..end));
        at = end;
    }
    out
}

#[test]
fn the_example_log_is_one_that_a_follower_accepts() {
    let (log, number) = example_log();
    let charter = Charter::open(&log.charter).unwrap();
    let (mut state, mut replay) = (State::new(charter.jurisdiction(ORIGIN).unwrap()), Replay::default());
    let chunk = Preparer::after(&state, Trust::Verify).prepare(0, &log.entries, &mut ring_of(&state));
    replay.apply(&mut state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at)).unwrap();
    assert_eq!(state.size(), log.entries.len() as u64);
    assert_eq!(state.chat(number).and_then(|c| c.owner()).map(|o| o.authority.to_string()).as_deref(), Some(SECOND));
}

#[test]
fn vectors_of_the_protocol_are_what_the_code_computes() {
    let computed = vectors();
    let mut text = document("protocol.md");
    if std::env::var_os("DOCS_BLESS").is_some() {
        for (name, _, place) in blocks(&text, "vector").into_iter().rev() {
            let value = &computed[name.as_str()];
            text.replace_range(place, &format!("{}\n", value.trim_end()));
        }
        std::fs::write(root().join("docs/protocol.md"), &text).unwrap();
    }
    let quoted = blocks(&text, "vector");
    for (name, content, _) in &quoted {
        let value = computed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("docs/protocol.md quotes «{name}», which nobody computes"));
        assert_eq!(
            content.trim_end(),
            value.trim_end(),
            "docs/protocol.md, vector «{name}»: see tests/it/docs.rs for refreshing"
        );
    }
    let named: BTreeSet<&str> = quoted.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(named, computed.keys().copied().collect(), "every vector is quoted");
    assert_eq!(named.len(), quoted.len(), "each once");
}

#[test]
fn every_record_type_is_specified() {
    let text = document("protocol.md");
    for name in domovoi::registry::body::TYPES.iter().chain(&["charter.adopted", "state.committed"]) {
        assert!(text.contains(&format!("| `{name}` |")), "docs/protocol.md has no row for {name}");
    }
}

fn errors(args: &[&str]) -> String {
    let script = root().join("scripts/errors");
    let out =
        std::process::Command::new("python3").arg(&script).args(args).output().expect("python3 runs scripts/errors");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn codes_of_the_source() -> BTreeSet<String> {
    let codes: BTreeSet<String> = errors(&["--codes"]).lines().map(str::to_owned).collect();
    assert!(codes.len() > 100, "the extraction finds the codes");
    codes
}

#[test]
fn every_code_of_the_source_has_a_russian_text_and_no_other() {
    let source = codes_of_the_source();
    let texts: BTreeSet<String> = domovoi::error::russian_codes().map(str::to_owned).collect();
    let missing: Vec<_> = source.difference(&texts).collect();
    let gone: Vec<_> = texts.difference(&source).collect();
    assert!(missing.is_empty() && gone.is_empty(), "src/error_ru.toml: missing {missing:?}, gone {gone:?}");
    for code in &texts {
        let (what, remedy) = domovoi::error::russian(code).unwrap();
        for text in [what, remedy] {
            // Part of a sentence: what prints it adds the capital and the full stop.
            let russian = text.chars().any(|c| ('а'..='я').contains(&c));
            assert!(russian && !text.ends_with('.') && text.trim() == text, "{code}: «{text}»");
        }
    }
}

#[test]
fn the_table_of_errors_is_what_the_source_says() {
    let (table, made) = (document("errors.md"), errors(&[]));
    let stale = table.lines().zip(made.lines()).find(|(there, due)| there != due);
    assert!(
        table == made,
        "run ./scripts/errors > docs/errors.md; the first line that is stale, and as it is due: {stale:?}"
    );
}

/// The words of a command line as a shell would split it: quotes, and no expansion.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, open) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (None, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    assert!(quote.is_none(), "a quote is open: {line}");
    if open {
        words.push(word);
    }
    words
}

/// Command lines of `domovoi` in the fenced blocks of a document; a line that ends in `\` goes on in the next.
fn commands(text: &str) -> Vec<String> {
    let (mut out, mut fenced, mut before) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let line = format!("{before}{}", line.trim());
        before = match line.strip_suffix('\\') {
            Some(begun) if fenced => begun.to_owned(),
            _ => String::new(),
        };
        if fenced && before.is_empty() && line.starts_with("domovoi ") {
            out.push(line);
        }
    }
    out
}

#[test]
fn every_command_in_the_manuals_is_one() {
    use clap::CommandFactory;
    for (name, least) in [("manual.ru.md", 40), ("manual.en.md", 25)] {
        let lines = commands(&document(name));
        assert!(lines.len() >= least, "docs/{name}: {} commands found", lines.len());
        for line in lines {
            match domovoi::cli::Cli::command().try_get_matches_from(shell_words(&line)) {
                Ok(matches) => record_type_exists(&line, &matches),
                Err(e) if e.kind() == clap::error::ErrorKind::DisplayHelp => {}
                Err(e) => panic!("docs/{name}: {line}\n{e}"),
            }
        }
    }
}

/// `record TYPE` names a type, and its fields are fields of that type.
fn record_type_exists(line: &str, matches: &clap::ArgMatches) {
    let Some(record) = matches.subcommand_matches("record") else { return };
    let Some(name) = record.get_one::<String>("type") else { return };
    assert!(domovoi::registry::body::TYPES.contains(&name.as_str()), "{line}: no such type");
    let words: Vec<String> = record.get_many("fields").into_iter().flatten().cloned().collect();
    if let Err(e) = domovoi::cli::drafts::body(name, &words) {
        // What stands in capitals is for the reader to fill in, so its value cannot be right.
        let placeholder = words
            .iter()
            .any(|w| w.split_once('=').is_some_and(|(_, v)| v.chars().all(|c| c.is_uppercase() || c == '_')));
        assert!(placeholder && !e.detail().contains("field"), "{line}: {e}");
    }
}

#[test]
fn the_commands_of_a_document_are_found() {
    let text = "domovoi prose\n```sh\ndomovoi a \"b c\" \\\n    'd=\"e\"'\nls\n```\ndomovoi more prose\n";
    assert_eq!(commands(text), ["domovoi a \"b c\" 'd=\"e\"'"]);
    assert_eq!(shell_words(&commands(text)[0]), ["domovoi", "a", "b c", "d=\"e\""]);
}

#[test]
fn what_the_threat_model_names_exists_and_every_attack_has_its_test() {
    names_exist("threat-model.md", 100);
    let text = document("threat-model.md");
    for (section, least) in [("## Who may attack", 18), ("## Stolen keys", 6), ("## Attacks", 40)] {
        let part = text.split(section).nth(1).and_then(|p| p.split("\n## ").next()).unwrap();
        let rows: Vec<&str> = part.lines().filter(|l| l.starts_with("| ")).skip(1).collect();
        assert!(rows.len() >= least, "{section}: {} rows", rows.len());
        let bare: Vec<_> = rows.iter().filter(|row| !row.contains(".rs::")).collect();
        assert!(bare.is_empty(), "{section}: no test for {bare:?}");
    }
}

#[test]
fn what_the_page_of_the_rules_names_exists_and_each_rule_has_its_test() {
    names_exist("rules.md", 30);
    let text = document("rules.md");
    for rule in 1..=10 {
        let row =
            text.lines().find(|l| l.starts_with(&format!("| {rule}. "))).unwrap_or_else(|| panic!("no rule {rule}"));
        assert!(row.contains(&format!("::rule_{rule:02}_")), "rule {rule} names no test of its number");
    }
}

/// Every `file.rs::function` of the document is there.
fn names_exist(page: &str, least: usize) {
    let text = document(page);
    let named: Vec<(&str, &str)> = text.split('`').filter_map(|t| t.split_once(".rs::")).collect();
    assert!(named.len() >= least, "{page}: {} references found", named.len());
    for (file, function) in named {
        let source =
            std::fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_else(|e| panic!("{file}.rs: {e}"));
        let there = [format!("fn {function}("), format!("fn {function}<")].iter().any(|f| source.contains(f));
        assert!(there, "docs/{page} names {file}.rs::{function}, which is not there");
    }
}

/// Every page of docs/ is on its first page, every decision in the list of decisions, and the list names nothing else.
#[test]
fn the_index_of_the_documents_is_complete() {
    let index = document("README.md");
    let linked: BTreeSet<&str> = index.split("](").skip(1).filter_map(|l| l.split(')').next()).collect();
    let pages = |dir: &str| {
        let files = std::fs::read_dir(root().join("docs").join(dir)).unwrap().map(|f| f.unwrap().file_name());
        let names = files.map(|n| n.into_string().unwrap()).filter(|n| n.ends_with(".md") && n != "README.md");
        names.map(|n| format!("{dir}{n}")).collect::<Vec<_>>()
    };
    let mut all = pages("");
    all.extend(pages("decisions/"));
    let missing: Vec<_> = all.iter().filter(|p| !linked.contains(p.as_str())).collect();
    assert!(missing.is_empty(), "docs/README.md does not link {missing:?}");
    let dead: Vec<_> = linked.iter().filter(|l| !l.contains("://") && !root().join("docs").join(l).exists()).collect();
    assert!(dead.is_empty(), "docs/README.md links {dead:?}, which are not there");
}
