//! The negative vectors in `tests/vectors/negative/`: what must be refused, and with which code, in files that another
//! implementation can run (their README says how). [`run`] runs them from the files alone; the modules below make them.
//!
//! To add a case, add a line to a table (rules, envelopes and payloads: `rules/refused.rs`) and write the files anew:
//! `NEGATIVE_BLESS=1 cargo nextest run -E 'test(negative)'`.

mod charters;
mod files;
mod ids;
mod logs;
mod records;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/negative")
}

/// One case as it stands in its file.
pub struct Case(Map<String, Value>);

/// A case: what is read, from what, and the code it must be refused with. Empty code: it must be accepted (a control, so that
/// a reader that refuses everything fails too).
pub fn case(name: &str, what: &str, input: impl AsRef<[u8]>, code: &str) -> Case {
    bare(name, what, code).with("input", bytes_value(input.as_ref()))
}

/// A case without one input: its fields say all.
pub fn bare(name: &str, what: &str, code: &str) -> Case {
    let code = if code.is_empty() { Value::Null } else { code.into() };
    Case(Map::from_iter([("name".into(), name.into()), ("what".into(), what.into()), ("code".into(), code)]))
}

impl Case {
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Case {
        self.0.insert(key.into(), value.into());
        self
    }
}

/// Bytes in a file: as text where they are text, else as base64; a long run of one byte by its length.
fn bytes_value(bytes: &[u8]) -> Value {
    match (bytes.first(), std::str::from_utf8(bytes)) {
        (Some(b), Ok(_)) if bytes.len() > 2000 && bytes.iter().all(|x| x == b) => {
            json!({ "utf8": char::from(*b).to_string(), "times": bytes.len() })
        }
        (_, Ok(text)) => json!({ "utf8": text }),
        _ => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// The files as the tables make them.
fn generated() -> BTreeMap<&'static str, Value> {
    let file = |about: &str, cases: Vec<Case>| {
        let cases: Vec<Value> = cases.into_iter().map(|c| Value::Object(c.0)).collect();
        json!({ "about": about, "cases": cases })
    };
    let scene = records::scene();
    BTreeMap::from([
        ("region-77.json", records::context(&scene)),
        ("envelopes.json", file("Entries that are no canonical envelope.", records::envelopes(&scene))),
        (
            "payloads.json",
            file("Well-signed entries whose payload is not in the form of its type.", records::payloads(&scene)),
        ),
        ("rules.json", file("Good records that may not join this log now.", records::rules(&scene))),
        ("log.json", file("Logs that stop to be followed: what their own node wrote wrong.", records::logs(&scene))),
        ("tiles.json", file("Tiles, bundles, paths, hashes and proofs.", logs::tiles())),
        ("checkpoints.json", file("Signed notes, checkpoints and verifier keys.", logs::checkpoints())),
        ("charters.json", file("Federation charters, and what may not follow one.", charters::cases())),
        ("ids.json", file("Identifiers, texts, days and join links.", ids::cases())),
        ("imports.json", file("Tables handed in for import: files, and rows of files.", files::imports())),
        ("configuration.json", file("The node's settings: file, environment, command line.", files::configuration())),
    ])
}

fn read(name: &str) -> Value {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Names of the committed files, README left out.
fn committed() -> BTreeSet<String> {
    let names = std::fs::read_dir(folder()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.ends_with(".json")).collect()
}

#[test]
fn the_negative_vectors_are_what_their_tables_make() {
    let generated = generated();
    for (name, value) in &generated {
        let text = serde_json::to_string_pretty(value).unwrap() + "\n";
        if std::env::var_os("NEGATIVE_BLESS").is_some() {
            std::fs::write(folder().join(name), &text).unwrap();
        }
        let same = std::fs::read_to_string(folder().join(name)).is_ok_and(|t| t == text);
        assert!(same, "{name} is out of date: NEGATIVE_BLESS=1 cargo nextest run -E 'test(negative)', look, commit");
    }
    assert_eq!(committed(), generated.keys().map(|k| (*k).to_owned()).collect());
}

/// Groups of codes that stand for reading something from outside; each code of theirs has a case.
const GROUPS: &[&str] = &[
    "building",
    "bundle",
    "charter",
    "chat",
    "checkpoint",
    "commit",
    "config",
    "day",
    "envelope",
    "hash",
    "import",
    "key",
    "link",
    "note",
    "oktmo",
    "organisation",
    "proof",
    "record",
    "region",
    "rule",
    "service",
    "signature",
    "subject",
    "text",
    "tile",
    "vkey",
];

#[test]
fn negative_vectors_are_refused_with_their_codes() {
    let errors = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    let known: BTreeSet<&str> = errors.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let (mut names, mut codes, mut controls, mut wrong) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut negative = 0;
    let mut kinds = BTreeSet::new();
    for file in committed() {
        for case in read(&file)["cases"].as_array().into_iter().flatten() {
            let (name, what) = (case["name"].as_str().unwrap(), case["what"].as_str().unwrap());
            assert!(names.insert(name.to_owned()), "{file}: the name «{name}» stands twice");
            kinds.insert(what.to_owned());
            let found = run::codes(case);
            match case["code"].as_str() {
                None => {
                    controls.insert(what.to_owned());
                    if !found.is_empty() {
                        wrong.push(format!("{file}: {name}: must be accepted, is {found:?}"));
                    }
                }
                Some(code) => {
                    negative += 1;
                    codes.insert(code.to_owned());
                    assert!(known.contains(code), "{file}: {name}: {code} is not in docs/errors.md");
                    if !found.iter().any(|c| c == code) {
                        wrong.push(format!("{file}: {name}: {code} expected, is {found:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    println!("{negative} negative cases, {} codes, {} controls", codes.len(), names.len() - negative);
    assert!(negative >= 600, "only {negative} cases");
    assert_eq!(kinds, controls, "every kind has a case that is accepted");
    let elsewhere: BTreeSet<&str> = run::ELSEWHERE.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    let of_groups = |c: &&&str| GROUPS.contains(&c.split('.').next().unwrap());
    let cased = |c: &str| codes.contains(c) || elsewhere.contains(c);
    let missing: Vec<_> = known.iter().filter(of_groups).filter(|c| !cased(c)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let stale: Vec<_> = elsewhere.iter().filter(|c| !known.contains(*c) || codes.contains(**c)).collect();
    assert!(stale.is_empty(), "no such code, or it has a case: {stale:?}");
}
