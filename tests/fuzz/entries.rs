//! What the fuzz targets run: one function a target, over any bytes at all.
//!
//! Each takes bytes the way a stranger could hand them in, reads them by every decoder of its subject and holds what was
//! accepted to what must be true of it: it has one spelling, what is written is read back, state is that of its log. A
//! panic is a finding. The same functions run under libFuzzer (`scripts/fuzz`) and, over the corpus and mutations of it, in
//! `tests/it/fuzz.rs`.

use std::path::Path;
use std::sync::LazyLock;

use domovoi::federation::charter::Charter;
use domovoi::federation::dossier::Dossier;
use domovoi::federation::dossier::archive;
use domovoi::federation::dossier::facts_file::FactsFile;
use domovoi::federation::dossier::manifest::Manifest;
use domovoi::federation::evidence::Evidence;
use domovoi::import::gar_files::Files;
use domovoi::import::houses::{Houses, Options};
use domovoi::import::input::Input;
use domovoi::import::organisations::Organisations;
use domovoi::import::report::Outcome;
use domovoi::import::table::Limits;
use domovoi::import::{clerk, gar};
use domovoi::node::config::Config;
use domovoi::registry::address::{AddressIndex, AddressKey, Match};
use domovoi::registry::address_words::{AddressWords, readings};
use domovoi::registry::body::{Body, BotName, Phone, TYPES};
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_CHARTER, TYP_DOSSIER, TYP_NODE, TYP_RECORD, TYP_SNAPSHOT};
use domovoi::registry::facts::Facts;
use domovoi::registry::ids::{
    BuildingId, ChatNumber, KeyThumb, LinkDigest, MaxChatId, Oktmo, OktmoPrefix, OrgId, RecordId, RegionCode,
};
use domovoi::registry::link::canonical_link;
use domovoi::registry::node_record::{DecodedNodeRecord, NodeRecord};
use domovoi::registry::record::{DecodedRecord, Record, Subject};
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::row::{decode_row, push_row};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::State;
use domovoi::registry::statemap::{StateMap, map_key};
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::verify_records;
use domovoi::search::query::AddressQuery;
use domovoi::search::{AddressFinder, index};
use domovoi::storage::fence::Fence;
use domovoi::storage::{journal, keys};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey};
use domovoi::tlog::tile::{LogPath, decode_bundle, decode_tile, encode_bundle, encode_tile};
use domovoi::tlog::tree::{verify_consistency, verify_inclusion};
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;

use super::generate::{Op, Run};
use super::world::{World, authority_key, commit_key, jurisdiction, ring, root_key};

/// A target: its name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. The name is that of its file in `fuzz_targets/` and of its folder in `corpus/`.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("address_search", address_search),
    ("charter", charter),
    ("clerk", clerk),
    ("config", config),
    ("dossier", dossier),
    ("gar", gar),
    ("houses", houses),
    ("ids", ids),
    ("link", link),
    ("note", note),
    ("organisations", organisations),
    ("proof", proof),
    ("record", record),
    ("replay", replay),
    ("stored", stored),
    ("submit_ops", submit_ops),
    ("submit_payloads", submit_payloads),
    ("tile", tile),
];

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Entries of a log: envelopes, payloads, bodies.
pub fn record(data: &[u8]) {
    for typ in [TYP_RECORD, TYP_NODE, TYP_CHARTER, TYP_DOSSIER, TYP_SNAPSHOT] {
        if let Ok(envelope) = Envelope::parse(data, typ, MAX_ENTRY) {
            assert_eq!(envelope.to_bytes(), data, "what is accepted has one spelling");
        }
    }
    if let Ok(decoded) = DecodedRecord::decode(data) {
        assert_eq!(decoded.record.id, decoded.envelope.id());
        let mut ring = ring();
        ring.add_granted(&decoded.record);
        let _ = verify_records(vec![decoded], &ring).remove(0);
    }
    if let Ok(node) = DecodedNodeRecord::decode(data) {
        let _ = node.verify(&PublicKey::of(&commit_key()));
    }
    if let Ok(record) = Record::decode(data) {
        same_body(&record.body);
        let subject = record.subject(RegionCode::new(77).expect("is in the table"));
        assert_eq!(subject.to_string().parse::<Subject>().expect("is read back"), subject);
    }
    // The same bytes as the payload of a well-signed entry, and, after a byte that tells the type, as a body.
    let signed = Envelope::sign(data.to_vec(), TYP_NODE, &[&commit_key()]);
    if let Ok(node) = DecodedNodeRecord::decode(&signed) {
        let again = node.record().clone().sign(&commit_key()).expect("is written").0;
        assert_eq!(DecodedNodeRecord::decode(&again).expect("is read back").record(), node.record());
    }
    if let Some((n, rest)) = data.split_first()
        && let Ok(text) = std::str::from_utf8(rest)
        && let Ok(body) = Body::decode(TYPES[usize::from(*n) % TYPES.len()], text)
    {
        same_body(&body);
    }
}

fn same_body(body: &Body) {
    let json = body.encode().expect("is written");
    assert_eq!(&Body::decode(body.type_name(), json.get()).expect("is read back"), body);
}

/// Notes, checkpoints and the keys that verify them.
pub fn note(data: &[u8]) {
    let signer = NoteSigner::new("example.com/log", key()).expect("is a name");
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data, "what is accepted has one spelling");
        let _ = note.verify(signer.verifier());
    }
    let _ = Checkpoint::open(data, signer.verifier(), "example.com/log");
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(head) = Checkpoint::parse(text) {
        assert_eq!(head.to_text(), text);
        let signed = head.sign(&signer).expect("what is read can be signed");
        // Only a checkpoint near the limit grows beyond it by being signed.
        if text.len() < 4000 && head.origin == "example.com/log" {
            Checkpoint::open(signed.as_bytes(), signer.verifier(), &head.origin).expect("opens");
        }
    }
    if let Ok(note) = Note::sign(text, &signer) {
        Note::open(note.to_string().as_bytes(), signer.verifier()).expect("what is signed opens");
    }
}

/// Tiles, bundles and their paths; the first two bytes are the width.
pub fn tile(data: &[u8]) {
    if let Some((width, bytes)) = data.split_first_chunk::<2>() {
        let width = u16::from_be_bytes(*width) % 300;
        if let Ok(hashes) = decode_tile(bytes, width) {
            assert_eq!(encode_tile(&hashes), bytes);
        }
        if let Ok(places) = decode_bundle(bytes, width) {
            let entries: Vec<&[u8]> = places.into_iter().map(|place| &bytes[place]).collect();
            assert_eq!(encode_bundle(&entries).expect("is written"), bytes);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = LogPath::parse(text) {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(hash) = Hash::from_base64(text) {
        assert_eq!(hash.to_base64(), text);
    }
    if let Ok(hash) = Hash::from_hex(text) {
        assert_eq!(hash.to_string(), text);
    }
}

/// Proofs: two numbers, then hashes. Whatever is proved of one entry is proved of no other.
pub fn proof(data: &[u8]) {
    let Some((a, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((b, rest)) = rest.split_first_chunk::<8>() else { return };
    let (a, b) = (u64::from_be_bytes(*a), u64::from_be_bytes(*b));
    let (hashes, _) = rest.as_chunks::<32>();
    let hashes: Vec<Hash> = hashes.iter().take(200).map(|h| Hash(*h)).collect();
    let [first, second, proof @ ..] = hashes.as_slice() else { return };
    if verify_inclusion(*first, a, b, proof, *second).is_ok() {
        assert!(verify_inclusion(leaf_hash(b"other"), a, b, proof, *second).is_err());
    }
    if verify_consistency(a, *first, b, *second, proof).is_ok() && a > 0 {
        assert!(verify_consistency(a, leaf_hash(b"other"), b, *second, proof).is_err());
    }
}

/// Dossiers: the archive, what stands in it, and the same bytes as one file of an archive that is whole and signed.
pub fn dossier(data: &[u8]) {
    if let Ok(files) = archive::read(data) {
        assert_eq!(archive::write(&files).expect("is written"), data, "what is accepted has one spelling");
    }
    if let Ok(file) = FactsFile::parse(data) {
        assert_eq!(file.to_string().as_bytes(), data, "what is accepted has one spelling");
        let _ = file.verify(&[0; 32]);
    }
    let _ = Dossier::read(data);
    let Some((which, rest)) = data.split_first() else { return };
    let names =
        ["facts.now.txt", "facts.then.txt", "status.txt", "summary.txt", "charters/1.json", "log/000000000000.json"];
    let mut files: archive::Files = names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    files.insert(names[usize::from(*which) % names.len()].to_owned(), rest.to_vec());
    let (chat, day) = ("77-99NF-JP6Z-SZ8X".parse().expect("is one"), Day::MIN);
    let manifest = Manifest::over(&files, chat, day, "log.example/77", 1, Millis::MAX);
    manifest.seal(&mut files, &key());
    let sealed = archive::write(&files).expect("is written");
    assert_eq!(archive::read(&sealed).expect("is read back"), files);
    assert_eq!(Manifest::open(&files).expect("is read back").0, manifest);
    let _ = Dossier::read(&sealed);
}

/// Charters: the bytes as one, and as the body of one that its own root key signed.
pub fn charter(data: &[u8]) {
    let _ = Charter::open(data);
    let signed = Envelope::sign(data.to_vec(), TYP_CHARTER, &[&key()]);
    let Ok(first) = Charter::open(&signed) else { return };
    assert_eq!(first.charter().previous.is_none(), first.charter().version == 1);
    for region in first.regions() {
        let _ = first.jurisdiction(region.origin.as_str());
        assert_eq!(first.region_by_origin(region.origin.as_str()).map(|r| r.code), Some(region.code));
    }
    // A charter never follows itself; one that names it does, if it is well-formed.
    assert!(first.succeed(&signed).is_err());
    let mut next = first.charter().clone();
    (next.version, next.previous) = (next.version.saturating_add(1), Some(first.sha256()));
    if let Ok(bytes) = Charter::sign(&next, &[&key()])
        && let Ok(second) = first.succeed(&bytes)
    {
        assert_eq!(second.charter(), &next);
    }
}

/// Ids, texts, days: what is read is written as it was.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    macro_rules! one_spelling {
        ($($kind:ty),+) => {$(
            if let Ok(value) = text.parse::<$kind>() {
                assert_eq!(value.to_string(), text, stringify!($kind));
            }
        )+};
    }
    one_spelling!(
        BuildingId,
        OrgId,
        Oktmo,
        OktmoPrefix,
        RegionCode,
        RecordId,
        KeyThumb,
        LinkDigest,
        MaxChatId,
        ChatNumber,
        Day,
        Subject
    );
    if let Ok(text) = Text::normalise(text) {
        assert_eq!(Text::new(text.as_str()).expect("is normal"), text);
    }
    let _ = (BotName::new(text), Phone::new(text), Text::new(text));
    if let Ok(number) = text.parse::<u64>() {
        let _ = (Millis::new(number), Day::of_ms(number, 3));
    }
}

/// Join links as people paste them.
pub fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(link) = canonical_link(&text) {
        assert_eq!(canonical_link(&link).expect("a canonical link is one"), link);
        let token = link.strip_prefix("https://max.ru/join/").expect("begins so");
        assert!(text.contains(token), "the token is that of the text");
    }
}

/// Addresses: the first line is looked for among all lines.
pub fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.lines().take(20).collect();
    let id = |n: usize| format!("reformagkh:{}", n + 1).parse::<BuildingId>().expect("is an id");
    let index = AddressIndex::build(lines.iter().enumerate().map(|(n, line)| (id(n), *line)));
    for (n, line) in lines.iter().enumerate().take(4) {
        let key = AddressKey::parse(line);
        let _ = (key.to_string(), key.is_flat(), key.region());
        let found = match index.find(line) {
            Match::One(found) => found == id(n),
            // A long list of candidates is cut.
            Match::Many(found) => !found.is_empty(),
            Match::None(_) => false,
        };
        assert!(found || !key.has_house(), "{line:?} does not find itself");
    }
}

/// A query as somebody types it, over a few addresses; the same text as a registered address.
pub fn address_search(data: &[u8]) {
    static INDEX: LazyLock<AddressFinder> = LazyLock::new(|| {
        let (mut writer, finder) = index().expect("there is memory");
        let street = ["5", "5, к. 2", "15", "7, лит. А", "12/18, стр. 1"];
        for (n, house) in street.iter().enumerate() {
            let id = format!("reformagkh:{}", n + 1).parse().expect("is an id");
            let address = format!("г. Москва, ул. Садовая Б., д. {house}");
            writer.add(0, &id, &address, "Город Москва").expect("is added");
        }
        writer.commit(&finder).expect("is committed");
        finder
    });
    let text = String::from_utf8_lossy(data);
    let words = AddressWords::of(&text);
    assert_eq!(AddressWords::of(&text), words);
    let readings = readings(&text);
    assert!(readings.len() <= 3 && readings.iter().all(|r| !r.words.is_empty() || r.house.is_some()));
    let Ok(query) = AddressQuery::parse(&text) else { return };
    let found = INDEX.find(&query, 3, 3).expect("is answered");
    assert!(found.len() <= 3 && (found.is_empty() || !query.is_empty()));
    assert_eq!(INDEX.find(&query, 3, 3).expect("is answered"), found);
}

/// The configuration: lines that begin with `--set` or `DOMOVOI_` are overrides, the rest is the file.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut file, mut env, mut sets) = (String::new(), Vec::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if let Some(set) = bare.strip_prefix("--set ") {
            sets.push(set.to_owned());
        } else if let Some((name, value)) = bare.split_once('=').filter(|(name, _)| name.starts_with("DOMOVOI_")) {
            env.push((name.to_owned(), value.to_owned()));
        } else {
            file.push_str(line);
        }
    }
    if let Ok(config) = Config::from_layers(&file, Path::new("/etc/domovoi/domovoi.toml"), &env, &sets) {
        assert!(!config.http.listen.is_empty(), "a configuration without an address is refused");
        assert!(config.restart_needed(&config).is_empty());
    }
}

/// Small bounds: what is tried here is whether they hold.
fn limits() -> Limits {
    Limits { bytes: 1 << 20, ratio: 50, columns: 40, cell: 4096, rows: 2000 }
}

/// Snapshots of houses in any format.
pub fn houses(data: &[u8]) {
    let options = Options {
        region: RegionCode::new(77).ok(),
        taken: Day::parse("2020-01-01").expect("is a day"),
        limits: limits(),
    };
    let Ok(rows) = Houses::open(data, options) else { return };
    let mut last = 0;
    for row in rows.map_while(Result::ok) {
        assert!(row.row > last, "rows are counted");
        last = row.row;
        let outcome = row.outcome();
        assert!(row.value.is_some() || !outcome.problems.is_empty(), "refused without a reason");
    }
}

/// Lists of ГАР: files one after another, a zero byte between them, the first line of each its path; or all of it as a zip.
pub fn gar(data: &[u8]) {
    let region = RegionCode::new(77).ok();
    let options = Options { region, taken: Day::parse("2023-10-31").expect("is a day"), limits: limits() };
    if let Ok(Some(files)) = Files::of_zip(&Input::from(data), region, &limits()) {
        let _ = (files.day(), gar::read(&files, &options));
    }
    let parts = data.split(|b| *b == 0).take(8).filter_map(|file| {
        let line = file.iter().position(|b| *b == b'\n')?;
        Some((String::from_utf8_lossy(&file[..line]).into_owned(), Input::from(&file[line + 1..])))
    });
    let Ok(files) = Files::of_folder(parts.collect(), region, &limits()) else { return };
    if let Ok(snapshot) = gar::read(&files, &options) {
        let refused = snapshot.reads.iter().filter(|r| r.outcome == Outcome::Refused);
        assert!(refused.into_iter().all(|r| !r.problems.is_empty()), "refused without a reason");
    }
}

/// Registers of organisations in any format.
pub fn organisations(data: &[u8]) {
    let Ok(rows) = Organisations::open(data, &limits(), None) else { return };
    for row in rows.map_while(Result::ok) {
        let outcome = row.outcome();
        assert!(row.value.is_some() || !outcome.problems.is_empty(), "refused without a reason");
    }
}

/// The clerk's tables in any format.
pub fn clerk(data: &[u8]) {
    if let Ok(rows) = clerk::chats(data, &limits()) {
        for row in rows.map_while(Result::ok) {
            let outcome = row.outcome();
            assert!(row.value.is_some() || !outcome.problems.is_empty(), "refused without a reason");
        }
    }
    if let Ok(rows) = clerk::managements(data, Day::MAX, &limits()) {
        for row in rows.map_while(Result::ok) {
            let outcome = row.outcome();
            assert!(row.value.is_some() || !outcome.problems.is_empty(), "refused without a reason");
        }
    }
}

/// What the node itself wrote and reads again: rows of the index, journal, fence, public keys, evidence.
pub fn stored(data: &[u8]) {
    if let Ok(entry) = decode_row(data) {
        let mut again = Vec::new();
        push_row(&mut again, &entry);
        assert_eq!(decode_row(&again).expect("is read back"), entry);
    }
    if let Ok(facts) = Facts::decode(data) {
        assert_eq!(Facts::decode(&facts.encode()).expect("is read back"), facts);
    }
    if let Some(record) = journal::Record::decode(data) {
        assert_eq!(record.new_size - record.old_size, record.entries.len() as u64);
    }
    if let Ok(fence) = Fence::parse(data) {
        assert_eq!(fence.to_text().as_bytes(), data);
    }
    if let Ok(evidence) = Evidence::decode(data) {
        assert_eq!(Evidence::decode(&evidence.encode().unwrap()).unwrap(), evidence);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = keys::read_public(text);
    }
}

/// A region with authorities, keys and buildings, as [`Run`] makes it.
static BASE: LazyLock<World> = LazyLock::new(|| Run::new().w);

/// Submit → state: seven bytes a step, a record of any type, good or flawed, by anybody, or a commit.
pub fn submit_ops(data: &[u8]) {
    let mut run = Run { w: BASE.clone(), chats: Vec::new() };
    for step in data.as_chunks::<7>().0.iter().take(60) {
        let waiting = run.w.pending.len();
        let commits = run.w.roots.len();
        let before = run.w.log.len();
        run.step(Op::of_bytes(*step));
        if run.w.roots.len() > commits {
            assert!(run.w.log.len() > before && run.w.pending.is_empty());
        } else {
            assert!((waiting..=waiting + 1).contains(&run.w.pending.len()));
        }
    }
    run.w.commit();
    replays(&run.w);
}

/// Submit → state: each line is a payload, signed by the key that its first byte names, or, after `!`, a whole entry.
pub fn submit_payloads(data: &[u8]) {
    let mut world = BASE.clone();
    for line in data.split(|b| *b == b'\n').take(12) {
        let Some((signer, rest)) = line.split_first() else { continue };
        let entry = match signer {
            b'!' => rest.to_vec(),
            b'r' => Envelope::sign(rest.to_vec(), TYP_RECORD, &[&root_key()]),
            b'2' => Envelope::sign(rest.to_vec(), TYP_RECORD, &[&authority_key(0, 0), &authority_key(1, 0)]),
            b'c' => {
                world.commit();
                continue;
            }
            _ => Envelope::sign(rest.to_vec(), TYP_RECORD, &[&authority_key(0, 0)]),
        };
        let waiting = world.pending.len();
        match world.offer(&entry) {
            Ok(_) => assert_eq!(world.pending.len(), waiting + 1),
            Err(_) => assert_eq!(world.pending.len(), waiting, "what is refused leaves nothing behind"),
        }
    }
    world.commit();
    replays(&world);
}

/// Whoever follows the log comes to the state of whoever wrote it, and to its root from nothing but the leaves.
fn replays(world: &World) {
    let (mut state, mut replay, mut ring) = (State::new(jurisdiction(1)), Replay::default(), ring());
    let chunk = Preparer::after(&state, Trust::Reread).prepare(0, &world.log, &mut ring);
    replay
        .apply(&mut state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at))
        .expect("follows");
    assert_eq!(World::leaves(&state), World::leaves(&world.state));
    assert_eq!(root_of(&state), world.roots.last().expect("has a commit").1);
}

fn root_of(state: &State) -> [u8; 32] {
    let mut map = StateMap::new();
    state.leaves().for_each(|(name, value)| map.set(map_key(&name), value));
    map.root()
}

/// A stranger's log: entries as a bundle has them. What comes before the first wrong entry counts, nothing after it does.
/// After the first byte, 0 continues a good log; anything else is a log of its own.
pub fn replay(data: &[u8]) {
    let Some((own, rest)) = data.split_first() else { return };
    let mut entries: Vec<Vec<u8>> = if *own == 0 { BASE.log.clone() } else { Vec::new() };
    let good = entries.len();
    entries.extend(rest.split(|b| *b == b'\n').take(40).map(<[u8]>::to_vec));
    // A payload in braces is signed by the commit key: what only the log's own node could get wrong.
    for entry in &mut entries[good..] {
        if entry.starts_with(b"{\"type\"") || entry.starts_with(b"{\"v\"") {
            let typ = if entry.starts_with(b"{\"v\"") { TYP_RECORD } else { TYP_NODE };
            let by = if typ == TYP_NODE { commit_key() } else { root_key() };
            *entry = Envelope::sign(std::mem::take(entry), typ, &[&by]);
        }
    }
    let (mut state, mut replay, mut ring) = (State::new(jurisdiction(1)), Replay::default(), ring());
    let chunk = Preparer::after(&state, Trust::Verify).prepare(0, &entries, &mut ring);
    let mut committed = 0;
    let result = replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| {
        assert_eq!(commit.size, at + 1);
        committed = commit.size;
        state.absorb(changes, commit, id, at);
    });
    assert!(result.is_err() || replay.size(&state) == entries.len() as u64);
    assert_eq!(state.size(), committed, "the state stands at the last good commit");
    assert!(*own != 0 || committed >= good as u64, "what was good stays good");
    assert_eq!(root_of(&state), replay.map.root());
    if let Some(NodeRecord::Commit(commit)) = committed
        .checked_sub(1)
        .map(|last| DecodedNodeRecord::decode(&entries[last as usize]).expect("a commit").record().clone())
    {
        assert_eq!(commit.root.0, root_of(&state));
    }
}
