//! The command line against a running node: a region's whole life, each step checked through what the next one sees.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use domovoi::federation::evidence::{Evidence, FORMAT};
use domovoi::storage::{evidence_store, keys};
use serde_json::{Value, json};

use super::api::{OTHER, chat};
use super::node::{AUTHORITY, Node, PASSPHRASE, free_port, program, run_in, sample};

fn size(node: &Node) -> u64 {
    node.api("node")["freshness"]["size"].as_u64().unwrap()
}

fn count(report: &Value, kind: &str) -> u64 {
    report["records"][kind].as_u64().unwrap_or(0)
}

/// What the command prints for people, in both languages.
fn people(node: &Node, args: &[&str]) -> (String, String) {
    let print = |lang: &str| {
        let ran = run_in(&node.data(), &[&["--lang", lang], args].concat());
        assert!(ran.ok, "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    };
    (print("ru"), print("en"))
}

#[test]
fn a_region_is_imported_date_by_date_and_a_cut_off_import_goes_on() {
    let node = Node::moscow();
    let oldest = sample("77_moscow_20140323.csv.gz");
    let import = |file: &str| {
        let report = node.dir.path().join("report.xlsx");
        node.run(&["import", "buildings", file, "--observed", &observed(file), "--report", report.to_str().unwrap()])
            .json()
    };

    // A dry run plans everything and writes nothing.
    let before = size(&node);
    let at = node.dir.path().join("dry.xlsx");
    let first = ["import", "buildings", &oldest, "--observed", "2014-03-23", "--report", at.to_str().unwrap()];
    let dry = node.run(&[&first[..], &["--dry-run"]].concat()).json();
    assert_eq!((dry["rows"].as_u64(), dry["dry_run"].as_bool()), (Some(1993), Some(true)));
    assert_eq!(size(&node), before);

    // The program is killed while it hands records in; the same command then does the rest.
    let mut cut = program(&node.data()).args(first).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while size(&node) < before + 500 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    cut.kill().unwrap();
    cut.wait().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let half = size(&node);
    let first = import(&oldest);
    assert!(half > before && size(&node) > half, "the import was not cut off in its midst");
    // Ten rows are no apartment buildings; each is said, with its row.
    let refused: Vec<&Value> =
        first["findings"].as_array().unwrap().iter().filter(|f| f["outcome"] == "refused").collect();
    assert!(refused.iter().all(|f| f["code"] == "import.house.kind" && f["row"].as_u64().unwrap() > 1), "{refused:?}");
    assert_eq!((&first["refused"], refused.len()), (&json!(10), 10));
    let buildings = |node: &Node| {
        let v = node.api("coverage");
        let moscow = v["regions"].as_array().unwrap().iter().find(|r| r["region"] == "77").unwrap().clone();
        moscow["counts"]["buildings"].as_u64().unwrap()
    };
    assert_eq!(buildings(&node), houses(&oldest).0.len() as u64);
    let all = dry["records"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    let changes = |from: u64| {
        let mut n = 0;
        let mut cursor = from;
        loop {
            let page = node.api(&format!("changes?after={cursor}&limit=1000"));
            n += page["items"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|i| i["batch"].as_str().is_some_and(|b| b.starts_with("buildings")))
                .count() as u64;
            cursor = page["next"].as_u64().unwrap();
            if page["items"].as_array().unwrap().is_empty() {
                return n;
            }
        }
    };
    assert_eq!(changes(0), all, "cut off and resumed, an import writes what it writes in one go");

    // The same file again yields nothing; newer ones yield the changes.
    let nothing = |file: &str, node: &Node| {
        let at = size(node);
        let again = import(file);
        assert_eq!((&again["records"], &again["imported"]), (&json!({}), &json!(0)), "{again}");
        let n = |k: &str| again[k].as_u64().unwrap();
        assert_eq!(n("unchanged") + n("refused"), n("rows"));
        assert_eq!(size(node), at);
    };
    nothing(&oldest, &node);
    let mut known = houses(&oldest).0;
    for name in ["77_moscow_20160308.csv.gz", "77_moscow_20170614.csv.gz"] {
        let file = sample(name);
        let (eligible, all) = houses(&file);
        let new = eligible.difference(&known).count() as u64;
        let gone: BTreeSet<String> = known.difference(&all).cloned().collect();
        let report = import(&file);
        assert_eq!(count(&report, "building.registered"), new, "{}", report["records"]);
        let vanished = report["vanished"].as_array().unwrap().iter().map(|v| v[0].as_str().unwrap().to_owned());
        assert_eq!(vanished.collect::<BTreeSet<_>>(), gone);
        assert!(new > 20 && !gone.is_empty());
        assert!(count(&report, "management.assigned") > 100 && count(&report, "management.ended") > 100);
        assert!(count(&report, "organisation.named") > 20);
        nothing(&file, &node);
        known.extend(eligible);
    }
    // What vanished from the source is reported, not retired.
    assert_eq!(buildings(&node), known.len() as u64);

    chats(&node);
    management(&node);
    coverage(&node);
}

/// The ids of a sample file, read without the importer: those that are apartment buildings, and all.
fn houses(file: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let bytes = std::fs::read(file).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let rows: Vec<HashMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let id = |r: &HashMap<String, String>| format!("reformagkh:{}", r["HOUSE_ID"]);
    let other = |kind: &str| kind.contains("блокированной") || kind.contains("индивидуального");
    let eligible = rows.iter().filter(|r| !other(&r["HOUSE_TYPE"])).map(id).collect();
    (eligible, rows.iter().map(id).collect())
}

fn observed(file: &str) -> String {
    let digits = file.rsplit('_').next().unwrap();
    format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..8])
}

/// The generated list: what cannot be used goes to a report, which is corrected and imported again.
fn chats(node: &Node) {
    let list = sample("chats_moscow_GENERATED.csv");
    let report = node.dir.path().join("chats.csv");
    let args = ["import", "chats", &list, "--generated", "--delegate-admin", "--report", report.to_str().unwrap()];
    let first = node.run(&args).json();
    assert_eq!(
        (&first["rows"], &first["imported"], &first["refused"]),
        (&json!(603), &json!(600), &json!(3)),
        "{first}"
    );
    assert_eq!(count(&first, "chat.registered"), 600);
    assert!(count(&first, "admin.delegated") > 400, "{}", first["records"]);
    for finding in first["findings"].as_array().unwrap().iter().filter(|f| f["outcome"] == "refused") {
        for field in ["code", "reason", "remedy"] {
            assert!(finding[field].as_str().is_some_and(|t| !t.is_empty()), "{finding}");
        }
    }
    // The clerk corrects the rows: the building is chosen, the letter of another alphabet put right.
    let text = std::fs::read_to_string(&report).unwrap();
    let mut reader =
        csv::ReaderBuilder::new().delimiter(b';').from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let head = reader.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|h| h == name).unwrap();
    let free = node.api("changes?after=0&limit=1000")["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["type"] == "building.registered")
        .map(|i| i["body"]["building"].as_str().unwrap().to_owned())
        .filter(|b| node.api(&format!("verify?building={b}"))["state"] == "house_without_chat")
        .take(3)
        .collect::<Vec<_>>();
    let corrected = node.dir.path().join("corrected.csv");
    let mut writer = csv::WriterBuilder::new().delimiter(b';').from_path(&corrected).unwrap();
    writer.write_record(&head).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    for (row, building) in rows.iter().zip(&free) {
        let mut cells: Vec<String> = row.iter().map(str::to_owned).collect();
        cells[at("выбор")] = building.clone();
        cells[at("Ссылка")] = cells[at("Ссылка")].replace("mаx", "max");
        writer.write_record(&cells).unwrap();
    }
    drop(writer);
    let second = node.run(&["import", "chats", corrected.to_str().unwrap(), "--generated"]).json();
    assert!(second["imported"].as_u64().unwrap() >= 2, "{second}\n{text}");
    let again = node.run(&args).json();
    assert_eq!((&again["records"], &again["unchanged"]), (&json!({}), &json!(600)), "{again}");
}

/// A clerk's own table of managements: the УК changes, the owner does not.
fn management(node: &Node) {
    let house = "reformagkh:8152665";
    let before = node.api(&format!("verify?building={house}"))["chats"][0].clone();
    let table = node.dir.path().join("management.csv");
    let day = domovoi::registry::text::Day::of_ms(domovoi::node::now_ms() - 10 * 86_400_000, 3);
    let date: Vec<String> = day.to_string().split('-').rev().map(str::to_owned).collect();
    let text = format!(
        "ID дома;ОГРН;УК;Дата\n{house};{OTHER};ООО «Новая УК»;{}\nreformagkh:1;{OTHER};ООО;01.01.2020\n{house};123;ООО;когда-то\n",
        date.join(".")
    );
    std::fs::write(&table, text).unwrap();
    let report = node.run(&["import", "management", table.to_str().unwrap(), "--delegate-admin"]).json();
    assert_eq!((&report["imported"], &report["refused"]), (&json!(1), &json!(2)), "{report}");
    let after = node.api(&format!("verify?building={house}"));
    assert_eq!(after["state"], "management_changed", "{after}");
    let chat = &after["chats"][0];
    for same in ["chat", "owner", "owner_since", "link_digest", "owners"] {
        assert_eq!(chat[same], before[same], "{same}");
    }
    let active = |c: &Value| -> Vec<Value> {
        c["administrators"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["active"] == true)
            .map(|a| a["organisation"].clone())
            .collect()
    };
    assert_eq!(active(chat), [json!(OTHER)], "{chat}");
    assert!(!active(&before).contains(&json!(OTHER)));
    // Taken back as a batch: the earlier company manages again.
    let batch = report["batch"].as_str().unwrap();
    let undone = node.run(&["undo", batch]);
    assert!(undone.ok, "{}{}", undone.out, undone.err);
    let back = node.api(&format!("buildings/{house}"));
    let holds = |v: &Value| -> Vec<Value> {
        v["managements"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|m| m["holds"] == true)
            .map(|m| m["organisation"].clone())
            .collect()
    };
    assert_eq!(holds(&back), holds(&before["buildings"][0]), "{back}");
}

fn coverage(node: &Node) {
    let v = node.run(&["report", "coverage"]).json();
    assert_eq!((&v["connected"], &v["regions_total"]), (&json!(1), &json!(89)));
    let with = v["regions"].as_array().unwrap().iter().filter(|r| !r["counts"].is_null()).count();
    assert_eq!(with, 1);
    let csv = node.dir.path().join("coverage.csv");
    let (ru, en) = people(node, &["report", "coverage", "--all", "--municipalities", "--csv", csv.to_str().unwrap()]);
    for (text, none) in [(&ru, "нет данных"), (&en, "no data"), (&std::fs::read_to_string(csv).unwrap(), "no data")]
    {
        let regions = text.lines().filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(regions.filter(|l| l.contains(none)).count(), 88, "{text}");
        assert!(!text.lines().any(|l| l.contains(none) && l.contains('%')), "no data is not a share");
    }
}

/// Signs a file with a key and gives the new file's name.
fn sign(node: &Node, file: &str, key: &Path) -> String {
    let out = format!("{file}.jws");
    let v = node.run(&["sign", file, "--key", key.to_str().unwrap(), "--out", &out]).json();
    assert_eq!(v["file"], out.as_str());
    out
}

#[test]
fn records_are_tried_signed_elsewhere_and_by_two() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    node.accept(&[signer.building(1).1, signer.building(2).1]);
    let (_, number, bytes) = chat(&signer, 1, "2025-01-10");
    node.accept(&[bytes]);
    let number = number.to_string();
    let chat_field = format!("chat={number}");
    let path = |name: &str| node.dir.path().join(name).to_str().unwrap().to_owned();

    let at = size(&node);
    let named = ["record", "organisation.named", "organisation=reformagkh:77", "name=ООО «Проба»"];
    let dry = node.run(&[&named[..], &["--dry-run"]].concat()).json();
    assert_eq!(dry[0]["outcome"], "fine");
    assert_eq!(size(&node), at);
    assert_eq!(node.run(&named).json()[0]["index"], at);
    let wrong = node.run(&["record", "chat.amended", "chat=77-0000-0000-0000", "title=Дом"]);
    assert!(!wrong.code().is_empty());
    assert_eq!(node.run(&["record", "chat.amended", &chat_field, "colour=red"]).code(), "record.body");
    assert!(node.run(&["record"]).json().as_array().unwrap().len() > 20);

    // Made here, signed on a machine without a network, submitted here.
    let draft = path("title.json");
    node.run(&["record", "chat.amended", &chat_field, "title=Дом 1, чат", "--out", &draft]).json();
    let signed = sign(&node, &draft, &node.data().join("keys/operator.pem"));
    assert_eq!(node.run(&["submit", &signed, "--dry-run"]).json()[0]["outcome"], "fine");
    let done = node.run(&["submit", &signed]).json();
    assert_eq!(done[0]["outcome"], "accepted");
    assert_eq!(
        node.run(&["submit", &signed]).json()[0],
        json!({ "outcome": "known", "index": done[0]["index"], "id": done[0]["id"] })
    );
    assert_eq!(node.run(&["show", "chat", &number]).json()["title"], "Дом 1, чат");
    assert_eq!(node.run(&["submit", &draft]).code(), "cli.refused");

    // A second authority, and a transfer that needs both.
    let root = path("node/keys/region-root.pem");
    let other = Path::new(&path("other.pem")).to_owned();
    let key = keys::generate();
    keys::write_encrypted(&other, &key, &PASSPHRASE.into()).unwrap();
    let public = data_encoding::BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    let enrol = [format!("authority={OTHER}"), format!("key={public}")];
    node.run(&["record", "authority.enrolled", &enrol[0], "name=Управа", "oktmo=45", "--key", &root]).json();
    let window = ["not_before=2020-01-01", "not_after=2040-01-01"];
    let grant = [
        "record",
        "key.granted",
        &enrol[0],
        &enrol[1],
        "scopes=chat.*,ownership.transferred",
        "oktmo=45",
        "--key",
        &root,
    ];
    node.run(&[&grant[..], &window].concat()).json();
    let draft = path("transfer.json");
    let yesterday = domovoi::registry::text::Day::of_ms(domovoi::node::now_ms() - 86_400_000, 3).to_string();
    let (from, to) = (format!("from={AUTHORITY}"), format!("to={OTHER}"));
    node.run(&[
        "record",
        "ownership.transferred",
        &chat_field,
        &from,
        &to,
        "--effective-from",
        &yesterday,
        "--basis",
        "order",
        "--basis-number",
        "7",
        "--out",
        &draft,
    ])
    .json();
    let once = sign(&node, &draft, &node.data().join("keys/operator.pem"));
    assert_eq!(node.run(&["submit", &once]).code(), "cli.refused");
    assert_eq!(node.run(&["show", "chat", &number]).json()["owner"], AUTHORITY);
    let twice = sign(&node, &once, &other);
    assert_eq!(node.run(&["inspect", &twice]).json()["signatures"].as_array().unwrap().len(), 2);
    assert_eq!(node.run(&["submit", &twice]).json()[0]["outcome"], "accepted");
    let shown = node.run(&["verify", &number]).json();
    assert_eq!((&shown["state"], &shown["chats"][0]["owner"]), (&json!("transferred"), &json!(OTHER)));

    undo(&node);
    shows(&node, &number);
    inspects(&node, &twice);
}

/// A batch is taken back only when nothing rests on it, and what does is listed first.
fn undo(node: &Node) {
    let building = [
        "record",
        "building.registered",
        "building=reformagkh:9",
        "address=ул. Пробная, д. 9",
        "oktmo=45000000",
        "kind=apartment",
    ];
    node.run(&[&building[..], &["--batch", "mistake"]].concat()).json();
    let chat = ["record", "chat.registered", "kind=house", "title=Дом 9", "buildings=reformagkh:9", "max=max:-9"];
    let owner = format!("owner={AUTHORITY}");
    node.run(&[&chat[..], &[&owner, "--batch", "on top", "--effective-from", "2025-01-01"]].concat()).json();
    let dry = node.run(&["undo", "mistake", "--dry-run"]).json();
    assert_eq!((&dry["undone"], dry["dependants"].as_array().unwrap().len()), (&json!(1), 1), "{dry}");
    assert_eq!(node.run(&["undo", "mistake"]).code(), "undo.dependants");
    assert_eq!(node.run(&["undo", "no such batch"]).code(), "undo.batch");
    let at = size(node);
    assert_eq!(node.run(&["undo", "on top"]).json()[0]["outcome"], "accepted");
    assert_eq!(node.run(&["undo", "mistake"]).json()[0]["outcome"], "accepted");
    assert_eq!(size(node), at + 4);
    assert_eq!(node.api("buildings/reformagkh:9")["active"], false);
    assert_eq!(node.api("verify?max=max:-9")["state"], "closed");
}

/// Everything that shows something does so as JSON, and for people in both languages.
fn shows(node: &Node, number: &str) {
    let (history, url, ca) = (format!("chat:{number}"), node.url(), node.certificate());
    let commands: &[&[&str]] = &[
        &["show", "chat", number],
        &["show", "chat", number, "--as-of", "2025-06-01", "--known-at", "2030-01-01"],
        &["show", "building", "reformagkh:1"],
        &["show", "authority", OTHER],
        &["show", "organisation", "reformagkh:77"],
        &["show", "history", &history],
        &["verify", number],
        &["verify", "reformagkh:2"],
        &["verify", "max.ru/join/MZjXTaNFkjnfBwCJhzK_cwcA0n9NqCCkhqFGSkN2jXM"],
        &["report", "coverage"],
        &["follow"],
        &["fsck"],
        &["fsck", &url, "--ca", ca.to_str().unwrap()],
    ];
    for args in commands {
        node.run(args).json();
        let (ru, en) = people(node, args);
        assert!(!ru.trim().is_empty() && !en.trim().is_empty(), "{args:?}");
        assert!(args[0] == "show" && args[1] == "history" || ru != en, "{args:?} is the same in both languages: {ru}");
    }
    let russian = |text: &str| text.chars().any(|c| ('а'..='я').contains(&c));
    for args in [
        &["--lang", "en", "--help"][..],
        &["--lang", "en", "import", "chats", "--help"],
        &["--lang", "en", "record", "--help"],
    ] {
        let help = run_in(&node.data(), args);
        assert!(help.ok && !russian(&help.out), "{args:?}: {}", help.out);
    }
    let error = run_in(&node.data(), &["--lang", "en", "show", "chat", "77-0000-0000-0000"]);
    assert!(!error.ok && error.err.starts_with("Error [") && error.err.contains("What to do:"), "{}", error.err);
    let error = run_in(&node.data(), &["show", "chat", "77-0000-0000-0000"]);
    assert!(error.err.starts_with("Ошибка [") && error.err.contains("Что делать:"), "{}", error.err);
    assert_eq!(
        run_in(&node.data(), &["--json", "--node", "https://127.0.0.1:9", "show", "building", "reformagkh:1"]).code(),
        "cli.node"
    );
}

/// Any signed file, readable.
fn inspects(node: &Node, record: &str) {
    let path = |name: &str| node.dir.path().join(name).to_str().unwrap().to_owned();
    let inspect = |file: &str| node.run(&["inspect", file]).json();
    assert_eq!(inspect(record)["payload"]["type"], "ownership.transferred");
    assert_eq!(inspect(&path("node/charter.json"))["sha256"], node.charter.clone().unwrap());
    let checkpoint = inspect(&path("node/log/checkpoint"));
    assert_eq!(checkpoint["text"][0], node.api("node")["origin"]);
    let snapshot = path("snapshot.jsonl");
    node.run(&["export", "snapshot", &snapshot]).json();
    assert_eq!(inspect(&snapshot)["state_root"], node.api("node")["state_root"]);
    let text = std::fs::read_to_string(path("node/log/checkpoint")).unwrap();
    let mut evidence = Evidence {
        format: FORMAT.into(),
        origin: node.api("node")["origin"].as_str().unwrap().into(),
        code: "peer.rollback".into(),
        detail: "…".into(),
        seen_at: 1,
        source: "https://node.example/".into(),
        accepted_checkpoint: Some(text.clone()),
        served_checkpoint: Some(text.replace("— ", "— x")),
        proof: None,
    };
    let name = evidence_store::keep(node.dir.path(), &evidence).unwrap();
    let shown = inspect(&path(&name));
    assert_eq!((&shown["file"], &shown["code"]), (&json!("evidence"), &json!("peer.rollback")));
    assert_eq!(shown["accepted"]["size"], size(node));
    // Whether the log's key signed it, its charter says.
    assert_eq!(node.run(&["evidence", "verify", &path(&name)]).code(), "evidence.unproved");
    evidence.accepted_checkpoint = evidence.served_checkpoint.take();
    let name = evidence_store::keep(node.dir.path(), &evidence).unwrap();
    assert_eq!(node.run(&["evidence", "verify", &path(&name)]).code(), "evidence.unsigned");
    std::fs::write(path("noise"), b"\x00\x01noise").unwrap();
    assert_eq!(node.run(&["inspect", &path("noise")]).code(), "inspect.kind");
}

#[test]
fn a_backup_of_the_running_node_is_restored_and_signs_only_after_the_word_of_its_operator() {
    let mut node = Node::moscow();
    let signer = node.signer("operator");
    node.accept(&(1..=300).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let copy = node.dir.path().join("copy");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let taken = std::thread::scope(|threads| {
        // Records go on coming in while the copy is made.
        threads.spawn(|| {
            for n in 301.. {
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                node.accept(&[signer.building(n).1]);
            }
        });
        let taken = node.run(&["backup", copy.to_str().unwrap()]);
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        taken.json()
    });
    let at = taken["size"].as_u64().unwrap();
    assert!(at >= 303 && at <= size(&node));
    assert!(!node.run(&["backup", copy.to_str().unwrap()]).ok, "a copy is never overwritten");

    let mut restored = Node::over(tempfile::tempdir().unwrap(), free_port());
    assert_eq!(restored.run(&["restore", copy.to_str().unwrap()]).json()["size"], at);
    assert!(!restored.run(&["restore", copy.to_str().unwrap()]).ok, "a node is never overwritten");
    let listen = format!("http.listen=127.0.0.1:{}", restored.port);
    assert_eq!(restored.run(&["serve", "--set", &listen]).code(), "storage.key-in-use", "the node it is of still runs");
    node.stop();
    assert_eq!(restored.run(&["serve", "--set", &listen]).code(), "fence.restored");
    let wrong = (at + 1).to_string();
    assert_eq!(restored.run(&["serve", "--set", &listen, "--confirm-restored-head", &wrong]).code(), "fence.restored");
    let word = at.to_string();
    restored.args = ["--set", &listen, "--confirm-restored-head", &word].map(str::to_owned).to_vec();
    restored.start();
    assert_eq!(size(&restored), at);
    let fresh = restored.signer("operator").building(100_000).1;
    assert_eq!(restored.accept(&[fresh]), [at]);
    restored.stop();
    // Once given, the word is not needed again; the log is whole.
    restored.args.truncate(2);
    restored.start();
    restored.stop();
    assert_eq!(restored.run(&["fsck"]).json()["problems"], json!([]));
    assert_eq!(restored.run(&["reindex"]).json()["same_as_before"], true);
}

/// `domovoi … | head -1`: a reader that has seen enough is nobody's error, and no panic.
#[test]
fn a_key_that_begins_with_a_hyphen_is_an_argument_like_any_other() {
    use clap::Parser;
    for rest in ["e", "h", "-", "-since"] {
        let key = format!("{:A<43}", format!("-{rest}"));
        let replace = format!("{key}={key}");
        let lines: [&[&str]; 5] = [
            &["key", "signed", &key],
            &["key", "signed", &key, "--since", "3"],
            &["key", "signed", "--since", "3", &key],
            &["undo", "--signed-by", &key, "--dry-run"],
            &["charter", "new", "--remove-key", &key, "--replace-key", &replace],
        ];
        for line in lines {
            let parsed = domovoi::cli::Cli::try_parse_from(["domovoi"].iter().chain(line));
            assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn a_pipe_whose_reader_is_gone_is_no_panic() {
    for args in [&["completions", "bash"][..], &["config", "example"], &["--help"], &["completions", "zsh"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = program(Path::new("/nonexistent")).args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{args:?}: {:?} {said}", out.status);
    }
}
