//! Runs a case from what its file says and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use domovoi::error::Result;
use domovoi::federation::charter::{Charter, VerifiedCharter};
use domovoi::import::gar_files::Files;
use domovoi::import::houses::{Houses, Options, Snapshot};
use domovoi::import::input::Input;
use domovoi::import::organisations::Organisations;
use domovoi::import::report::{Read, RowOutcome};
use domovoi::import::table::Limits;
use domovoi::import::{clerk, gar};
use domovoi::node::config::Config;
use domovoi::registry::body::{BotName, Phone};
use domovoi::registry::ids::*;
use domovoi::registry::link::canonical_link;
use domovoi::registry::record::RECORD_VERSION;
use domovoi::registry::record::{DecodedRecord, Subject};
use domovoi::registry::replay::{Preparer, Replay, Trust};
use domovoi::registry::rules::check;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Jurisdiction, State, View};
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::{KeyRing, verify_records};
use domovoi::tlog::Hash;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey};
use domovoi::tlog::tile::{LogPath, decode_bundle, decode_tile};
use domovoi::tlog::tree::{verify_consistency, verify_inclusion};
use ed25519_dalek::SigningKey;
use serde_json::Value;

/// Codes of [`super::GROUPS`] that no input of these kinds brings about, and why.
pub const ELSEWHERE: &[(&str, &[&str])] = &[
    ("said of what this program writes, not of what it reads", &["bundle.entry-too-long", "key.encode", "key.encrypt"]),
    (
        "takes a register that knows the houses already: `link.rs`, `moscow_history.rs`",
        &[
            "import.link.decision",
            "import.link.ids",
            "import.link.near",
            "import.link.organisation",
            "import.link.other",
            "import.link.several",
            "import.link.shared",
            "import.link.twin",
            "import.link.unsure",
            "import.older",
        ],
    ),
    ("a C2SP tlog-proof: `tests/vectors/status`", &["proof.form"]),
    ("longer than a status proof may be that holds it: `tlog_proof.rs`", &["proof.too-long"]),
    ("a node whose log is just being written", &["proof.moved"]),
    ("needs a log of its own length: `rules/refused.rs`, `rules/tamper.rs`", &["commit.batch", "rule.spans"]),
    (
        "takes several regions or charters: `transfer.rs`, `charters.rs`, `src/registry/map_proof_tests.rs`",
        &[
            "charter.conflict",
            "charter.cut",
            "charter.versions",
            "charter.exception",
            "charter.record_version",
            "commit.version",
            "key.commit",
            "region.suspended",
            "proof.map",
            "proof.quoted",
            "proof.state",
            "rule.transfer.answer",
            "rule.transfer.buildings",
            "rule.transfer.deadline",
            "rule.transfer.description",
            "rule.transfer.early",
            "rule.transfer.here",
            "rule.transfer.locked",
            "rule.transfer.log",
            "rule.transfer.moved",
            "rule.transfer.offer",
            "rule.transfer.proof",
            "rule.transfer.settled",
            "rule.transfer.standing",
            "rule.transfer.undo",
            "rule.transfer.unknown",
            "rule.version",
        ],
    ),
    ("no record can reach it: see UNREACHABLE in `rules/refused.rs`", &["rule.chat.owner", "rule.type"]),
    (
        "an answer of a node to what it does not have",
        &["charter.not-found", "record.not-found", "tile.missing", "tile.range"],
    ),
    (
        "takes two versions, or the keys of several people: `src/federation/{draft,keys}_tests.rs`, `attacks/charters.rs`, `charter_nodes.rs`",
        &[
            "charter.begun",
            "charter.card",
            "charter.draft",
            "charter.drafts",
            "charter.keys",
            "charter.no_key",
            "charter.pin",
            "charter.signer",
        ],
    ),
    ("a follower's comparison of files with each other", &["bundle.mismatch", "charter.origin", "commit.missing"]),
    (
        "the operator's own files, words and passphrase",
        &[
            "config.passphrase",
            "key.cosigner",
            "key.changed",
            "charter.exists",
            "charter.not-signed",
            "charter.region",
            "key.exists",
            "key.form",
            "key.name",
            "key.kdf",
            "key.log",
            "key.passphrase",
            "note.form",
        ],
    ),
    (
        "a row of an import against the register, not by itself",
        &[
            "import.authority",
            "import.chat.exists",
            "import.house.gone",
            "import.organisation.unrelated",
            "import.observed",
            "import.place.ambiguous",
            "import.place.unknown",
            "import.record",
            "import.refused",
            "import.report",
        ],
    ),
];

/// The codes a case is refused with; none when it is accepted. Only a row of a table can have several.
pub fn codes(case: &Value) -> Vec<String> {
    let one = |result: Result<()>| result.err().map(|e| e.code().to_owned()).into_iter().collect();
    match case["what"].as_str().unwrap() {
        "houses" | "chats" | "managements" | "organisations" | "gar" => table(case),
        _ => one(refusal(case)),
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match (value["utf8"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => text.repeat(value["times"].as_u64().unwrap_or(1) as usize).into_bytes(),
        (_, Some(base64)) => BASE64.decode(base64.as_bytes()).unwrap(),
        _ => panic!("no bytes in {value}"),
    }
}

fn text(case: &Value, key: &str) -> String {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}")).to_owned()
}

fn number(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn refusal(case: &Value) -> Result<()> {
    let input = || bytes(&case["input"]);
    let written = || String::from_utf8(input()).expect("is text");
    let hash = |key: &str| Hash::from_hex(&text(case, key)).unwrap();
    let proof = || texts(&case["proof"]).iter().map(|h| Hash::from_hex(h).unwrap()).collect::<Vec<_>>();
    let key = || VerifierKey::parse(&text(case, "vkey")).unwrap();
    match case["what"].as_str().unwrap() {
        "record" => record(case),
        "log" => log(case),
        "tile" => decode_tile(&input(), number(case, "width") as u16).map(drop),
        "bundle" => decode_bundle(&input(), number(case, "width") as u16).map(drop),
        "path" => LogPath::parse(&written()).map(drop),
        "hash_base64" => Hash::from_base64(&written()).map(drop),
        "hash_hex" => Hash::from_hex(&written()).map(drop),
        "inclusion" => {
            verify_inclusion(hash("leaf"), number(case, "index"), number(case, "size"), &proof(), hash("root"))
        }
        "consistency" => {
            verify_consistency(number(case, "old_size"), hash("old_root"), number(case, "size"), hash("root"), &proof())
        }
        "note" => Note::open(&input(), &key()).map(drop),
        "checkpoint" => Checkpoint::open(&input(), &key(), &text(case, "origin")).map(drop),
        "vkey" => VerifierKey::parse(&written()).map(drop),
        "charter" => charter(case).map(drop),
        "link" => canonical_link(&written()).map(drop),
        "text" => Text::new(&written()).map(drop),
        "day" => Day::parse(&written()).map(drop),
        "millis" => Millis::new(written().parse().expect("is a number")).map(drop),
        "phone" => Phone::new(&written()).map(drop),
        "bot" => BotName::new(&written()).map(drop),
        "building_id" => written().parse::<BuildingId>().map(drop),
        "organisation_id" => written().parse::<OrgId>().map(drop),
        "oktmo" => written().parse::<Oktmo>().map(drop),
        "oktmo_prefix" => written().parse::<OktmoPrefix>().map(drop),
        "region" => written().parse::<RegionCode>().map(drop),
        "record_id" => written().parse::<RecordId>().map(drop),
        "link_digest" => written().parse::<LinkDigest>().map(drop),
        "key_id" => written().parse::<KeyThumb>().map(drop),
        "public_key" => {
            let bytes = data_encoding::HEXLOWER.decode(written().as_bytes()).unwrap();
            PublicKey::from_bytes(&bytes.try_into().unwrap()).map(drop)
        }
        "max_chat_id" => written().parse::<MaxChatId>().map(drop),
        "chat_number" => written().parse::<ChatNumber>().map(drop),
        "subject" => written().parse::<Subject>().map(drop),
        "configuration" => {
            let pair = |v: &Value| (v[0].as_str().unwrap().to_owned(), v[1].as_str().unwrap().to_owned());
            let env: Vec<_> = case["environment"].as_array().into_iter().flatten().map(pair).collect();
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("domovoi.toml");
            std::fs::write(&file, input()).unwrap();
            Config::load(Some(&file), &env, &texts(&case["set"])).map(drop)
        }
        other => panic!("nothing is known of {other}"),
    }
}

/// Opens a charter, or, where one came before it, lets it follow that one.
fn charter(case: &Value) -> Result<VerifiedCharter> {
    let input = bytes(&case["input"]);
    match &case["previous"] {
        Value::Null => Charter::open(&input),
        before => Charter::open(&bytes(before)).expect("the first one is good").succeed(&input),
    }
}

/// A log as far as it is good: its state, and the keys granted in it.
struct Followed {
    state: State,
    ring: KeyRing,
    log: Vec<Vec<u8>>,
}

fn jurisdiction(j: &Value) -> Jurisdiction {
    let key = |v: &Value| {
        let bytes = BASE64URL_NOPAD.decode(v.as_str().unwrap().as_bytes()).unwrap();
        PublicKey::from_bytes(&bytes.try_into().unwrap()).unwrap()
    };
    Jurisdiction {
        origin: text(j, "origin").into(),
        region: text(j, "region").parse().unwrap(),
        oktmo: texts(&j["oktmo"]).iter().map(|p| p.parse().unwrap()).collect(),
        root_keys: j["root_keys"].as_array().unwrap().iter().map(key).collect(),
        root_threshold: number(j, "root_threshold") as usize,
        commit_key: key(&j["commit_key"]),
        charter_version: number(j, "charter_version"),
        charter_sha256: text(j, "charter_sha256").parse().unwrap(),
        // No case comes to a checkpoint of this log or to another region's.
        log_key: NoteSigner::new(text(j, "origin"), SigningKey::from_bytes(&[220; 32])).unwrap().verifier().clone(),
        record_versions: vec![RECORD_VERSION],
        exceptions: Vec::new(),
        others: Vec::new().into(),
    }
}

/// Follows entries after a log.
fn follow(state: &mut State, replay: &mut Replay, ring: &mut KeyRing, entries: &[Vec<u8>]) -> Result<()> {
    let chunk = Preparer::after(state, Trust::Verify).prepare(replay.size(state), entries, ring);
    replay.apply(state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at))
}

/// The context a case names, replayed once.
fn context(case: &Value) -> Arc<Followed> {
    static KEPT: LazyLock<Mutex<HashMap<String, Arc<Followed>>>> = LazyLock::new(Mutex::default);
    let name = text(case, "context");
    let mut kept = KEPT.lock().unwrap();
    if let Some(found) = kept.get(&name) {
        return found.clone();
    }
    let file = super::read(&name);
    let mut state = State::new(jurisdiction(&file["jurisdiction"]));
    let mut ring = KeyRing::default();
    state.jurisdiction().root_keys.iter().for_each(|k| ring.add(k));
    let log: Vec<Vec<u8>> = texts(&file["log"]).into_iter().map(String::into_bytes).collect();
    follow(&mut state, &mut Replay::default(), &mut ring, &log).expect("the context is good");
    assert_eq!(state.size(), log.len() as u64);
    let followed = Arc::new(Followed { state, ring, log });
    kept.insert(name, followed.clone());
    followed
}

/// Offers a record to the log of the context, after the records of `before` in the same batch, at `time`.
fn record(case: &Value) -> Result<()> {
    let known = context(case);
    let (mut overlay, mut ring) = (known.state.overlay(), known.ring.clone());
    let time = number(case, "time");
    for (i, entry) in texts(&case["before"]).iter().enumerate() {
        let decoded = DecodedRecord::decode(entry.as_bytes()).unwrap();
        ring.add_granted(&decoded.record);
        let verified = verify_records(vec![decoded], &ring).remove(0).unwrap();
        overlay
            .apply(check(&overlay, &verified, time).expect("what comes before is good"), known.state.size() + i as u64);
    }
    let decoded = DecodedRecord::decode(&bytes(&case["input"]))?;
    let verified = verify_records(vec![decoded], &ring).remove(0)?;
    check(&overlay, &verified, time).map(drop)
}

/// Follows the log of the context (none: an empty one of the same jurisdiction), then `entries`.
fn log(case: &Value) -> Result<()> {
    let known = context(case);
    let mut entries = if case["from"] == "start" { Vec::new() } else { known.log.clone() };
    entries.extend(texts(&case["entries"]).into_iter().map(String::into_bytes));
    let mut state = State::new(known.state.jurisdiction().clone());
    let mut ring = KeyRing::default();
    state.jurisdiction().root_keys.iter().for_each(|k| ring.add(k));
    follow(&mut state, &mut Replay::default(), &mut ring, &entries)
}

/// Reads a table; with `row`, the codes of that row, else the code of the file.
fn table(case: &Value) -> Vec<String> {
    let input = if case["input"].is_null() { Vec::new() } else { bytes(&case["input"]) };
    let own = &case["limits"];
    let limit = |key: &str, default: u64| own[key].as_u64().unwrap_or(default);
    let d = Limits::default();
    let limits = Limits {
        bytes: limit("bytes", d.bytes),
        ratio: limit("ratio", d.ratio),
        columns: limit("columns", d.columns as u64) as usize,
        cell: limit("cell", d.cell as u64) as usize,
        rows: limit("rows", d.rows),
    };
    let day = || Day::parse(&text(case, "day")).unwrap();
    let region = || Some(text(case, "region").parse().unwrap());
    match (read_table(case, &input, &limits, day, region), case["row"].as_u64()) {
        (Err(e), _) => vec![e.code().to_owned()],
        (Ok((rows, _)), Some(row)) => {
            let row = rows.iter().find(|r| r.row == row).unwrap_or_else(|| panic!("no row {row}: {case}"));
            row.problems.iter().map(|p| p.code.code.to_owned()).collect()
        }
        (Ok((rows, counted)), None) => {
            let told = rows.iter().flat_map(|r| &r.problems).map(|p| p.code.code);
            told.chain(counted.into_keys()).map(str::to_owned).collect()
        }
    }
}

/// The outcomes of rows, and the rows that are only counted, by code.
type Outcomes = (Vec<RowOutcome>, BTreeMap<&'static str, u64>);

fn read_table(
    case: &Value,
    input: &[u8],
    limits: &Limits,
    day: impl Fn() -> Day,
    region: impl Fn() -> Option<RegionCode>,
) -> Result<Outcomes> {
    let options = || Options { region: region(), taken: day(), limits: limits.clone() };
    let of_snapshot = |s: Snapshot| (s.reads.iter().map(Read::outcome).collect(), s.counted);
    match case["what"].as_str().unwrap() {
        "houses" => Ok(of_snapshot(Houses::open(input, options())?.snapshot()?)),
        "gar" => {
            let files: Vec<(String, Vec<u8>)> =
                case["files"].as_array().unwrap().iter().map(|f| (text(f, "path"), bytes(f))).collect();
            let inputs = files.iter().map(|(path, bytes)| (path.clone(), Input::from(bytes))).collect();
            Ok(of_snapshot(gar::read(&Files::of_folder(inputs, region(), limits)?, &options())?))
        }
        "organisations" => {
            let mut rows = Organisations::open(input, limits, None)?;
            let told = (&mut rows).map(|r| Ok(r?.outcome())).collect::<Result<_>>()?;
            Ok((told, rows.counted))
        }
        "chats" => {
            Ok((clerk::chats(input, limits)?.map(|r| Ok(r?.outcome())).collect::<Result<_>>()?, BTreeMap::new()))
        }
        _ => {
            let rows = clerk::managements(input, day(), limits)?.map(|r| Ok(r?.outcome()));
            Ok((rows.collect::<Result<_>>()?, BTreeMap::new()))
        }
    }
}
