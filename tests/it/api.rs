//! The API of a running node, over its own TLS.

use std::collections::BTreeSet;

use domovoi::error::Result;
use domovoi::node::layout::origin_hash;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{ChatNumber, RecordId};
use domovoi::storage::keys;
use serde_json::{Value, json};

use super::node::{AUTHORITY, Around, Node, Signer};

/// A second authority of Moscow.
pub const OTHER: &str = "ogrn:1027700123450";

/// Enrols [`OTHER`] and grants it a key.
pub fn enrol_other(node: &Node) -> Signer {
    let root = node.signer("region-root");
    let signer = Signer { key: keys::generate(), origin: root.origin.clone() };
    let public = data_encoding::BASE64URL_NOPAD.encode(signer.key.verifying_key().as_bytes());
    let now = domovoi::node::now_ms();
    let enrolled = json!({ "authority": OTHER, "name": "Управа района", "oktmo": ["45"] });
    let granted = json!({ "key": public, "authority": OTHER, "scopes": ["chat.*", "ownership.transferred"], "oktmo": ["45"],
        "not_before": now - 1000, "not_after": now + 86_400_000 });
    let around = Around::default();
    node.accept(&[
        root.record("authority.enrolled", enrolled, around).1,
        root.record("key.granted", granted, around).1,
    ]);
    signer
}

fn link(n: u64) -> String {
    domovoi::tlog::leaf_hash(&n.to_be_bytes()).to_string()
}

/// `chat.registered` for a building, and the number the chat gets.
pub fn chat(signer: &Signer, building: u64, from: &str) -> (RecordId, ChatNumber, Vec<u8>) {
    let fields = json!({ "kind": "house", "title": format!("Дом {building}"), "buildings": [format!("reformagkh:{building}")],
        "owner": AUTHORITY, "link": link(building) });
    let (id, bytes) = signer.record("chat.registered", fields, Around { from: Some(from), ..Around::default() });
    (id, ChatNumber::derive("77".parse().unwrap(), &id.0), bytes)
}

#[test]
fn submissions_are_judged_record_by_record() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    let size = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    let before = (node.api("node"), node.get("/log/checkpoint").body);

    // A dry run changes nothing, whatever it says.
    let (id, good) = signer.organisation(1);
    let mut forged = signer.organisation(2).1;
    let at = forged.windows(12).position(|w| w == b"\"signature\":").unwrap() + 20;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let dry = node.post("/api/v1/submit?dry_run=1", [good.clone(), forged.clone(), good.clone()].join(&b'\n')).json();
    assert_eq!(dry["outcomes"][0], json!({ "outcome": "fine", "id": id.to_string() }));
    assert_eq!(dry["outcomes"][1]["code"], "signature.invalid");
    let mut after = node.api("node");
    for volatile in ["seen_at", "age_seconds"] {
        after["freshness"][volatile] = before.0["freshness"][volatile].clone();
    }
    assert_eq!((after, node.get("/log/checkpoint").body), before);

    // The same record again has the same index, and nothing is written for it.
    let first = node.accept(std::slice::from_ref(&good))[0];
    let grown = size(&node);
    let again = node.submit(&[good.clone(), good.clone()]);
    for outcome in &again {
        assert_eq!(*outcome, json!({ "outcome": "known", "index": first, "id": id.to_string() }));
    }
    assert_eq!(size(&node), grown);

    // Each bad record gets its own code; the good ones between them are taken.
    let stranger = Signer { key: keys::generate(), origin: signer.origin.clone() };
    let elsewhere = Signer { key: signer.key.clone(), origin: "domovoi.example/78".into() };
    let (_, abroad) = signer.record(
        "building.registered",
        json!({ "building": "reformagkh:5", "address": "г. Санкт-Петербург, ул. Пробная, д. 1", "oktmo": "40000000", "kind": "apartment" }),
        Around::default(),
    );
    let stale = Around { prev: Some(RecordId([7; 32])), ..Around::default() };
    let (_, stale) =
        signer.record("organisation.named", json!({ "organisation": "reformagkh:1", "name": "Другое" }), stale);
    let unknown = Envelope::sign(br#"{"v":0,"type":"chat.stolen"}"#.to_vec(), TYP_RECORD, &[&signer.key]);
    let large = vec![b'x'; 70_000];
    let mut spaced = signer.organisation(3).1;
    spaced.insert(1, b' ');
    let records: Vec<(Vec<u8>, &str)> = vec![
        (signer.organisation(10).1, ""),
        (forged, "signature.invalid"),
        (b"not an envelope".to_vec(), "envelope.malformed"),
        (b"\xff\xfe{}".to_vec(), "envelope.malformed"),
        (spaced, "envelope.malformed"),
        (large, "envelope.too_large"),
        (signer.building(11).1, ""),
        (stranger.organisation(12).1, "rule.key.unknown"),
        (elsewhere.organisation(13).1, "rule.log"),
        (abroad, "rule.oktmo.region"),
        (stale, "rule.stale"),
        (unknown, "record.payload"),
        (signer.organisation(14).1, ""),
    ];
    let bodies: Vec<Vec<u8>> = records.iter().map(|(r, _)| r.clone()).collect();
    let grown = size(&node);
    let outcomes = node.submit(&bodies);
    for (i, (_, code)) in records.iter().enumerate() {
        let o = &outcomes[i];
        match *code {
            "" => assert_eq!(o["outcome"], "accepted", "{i}: {o}"),
            code => {
                assert_eq!((&o["outcome"], &o["code"]), (&json!("refused"), &json!(code)), "{i}: {o}");
                assert!(o["detail"].as_str().is_some_and(|d| !d.is_empty()) && o["remedy"].is_string(), "{o}");
            }
        }
    }
    assert_eq!(size(&node), grown + 4, "three records and their commit");
    assert_eq!(node.api("subjects/last?subject=organisation:reformagkh:1")["last_record"], id.to_string());

    // What is no submission at all is a problem document.
    node.post("/api/v1/submit", Vec::new()).problem(422, "submit.count");
    node.post("/api/v1/submit", b"\n".repeat(100)).problem(422, "submit.count");
    node.post("/api/v1/submit", b"x\n".repeat(5000)).problem(422, "submit.count");
    node.post("/api/v1/submit", vec![b'{'; 5 << 20]).problem(413, "http.body-too-large");
    for (path, status, code) in [
        ("/api/v1/nothing", 404, "http.not-found"),
        ("/api/v1/submit", 405, "http.method"),
        ("/api/v1/chats/77-XXXX", 400, ""),
        ("/api/v1/records/999999", 404, "record.not-found"),
        ("/api/v1/verify", 400, "query.count"),
        ("/api/v1/verify?digest=zz", 400, "query.value"),
        (&format!("/api/v1/verify?link={}", "a".repeat(2049)), 400, "query.link"),
        ("/api/v1/coverage?as_of=tomorrow", 400, "query.value"),
        ("/api/v1/changes?log=nobody", 404, "log.unknown"),
        ("/api/v1/buildings/reformagkh:404", 404, "lookup.unknown"),
        ("/api/v1/federation/evidence?log=x&name=../keys/log.pem", 404, "log.unknown"),
    ] {
        let answer = node.get(path);
        if code.is_empty() {
            assert!((400..500).contains(&answer.status) && answer.json()["code"].is_string(), "{path}");
        } else {
            answer.problem(status, code);
        }
    }
    for path in
        ["/api/v1/changes?limit=many", "/api/v1/records/-1", "/api/v1/history", "/api/v1/submit?dry_run=perhaps"]
    {
        let answer = if path.contains("submit") { node.post(path, good.clone()) } else { node.get(path) };
        assert_eq!(answer.kind, "application/problem+json", "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.problem(400, "query.invalid");
    }
    assert_eq!(size(&node), grown + 4);
}

#[test]
fn parallel_submitters_get_indices_of_their_own_and_changes_has_everything_once() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    let indices: Vec<u64> = std::thread::scope(|threads| {
        let submit = |n: u64| {
            let (node, signer) = (&node, &signer);
            threads.spawn(move || node.accept(&[signer.organisation(2 * n + 1).1, signer.organisation(2 * n + 2).1]))
        };
        let running: Vec<_> = (0..64).map(submit).collect();
        running.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u64> = indices.iter().copied().collect();
    assert_eq!((indices.len(), distinct.len()), (128, 128));

    // Pages of an odd length, while the log grows between them: every index once, in order, ending at the log's end.
    let (mut cursor, mut seen, mut pages) = (0, Vec::new(), 0u64);
    loop {
        let page = node.api(&format!("changes?after={cursor}&limit=17"));
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|i| (i["index"].as_u64().unwrap(), i["id"].as_str().unwrap().to_owned())));
        cursor = page["next"].as_u64().expect("the cursor is always there");
        if items.is_empty() && cursor == node.api("node")["freshness"]["size"] {
            break;
        }
        pages += 1;
        if pages <= 3 {
            node.accept(&[signer.organisation(1000 + pages).1]);
        }
    }
    let listed: Vec<u64> = seen.iter().map(|(i, _)| *i).collect();
    assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
    let size = node.api("node")["freshness"]["size"].as_u64().unwrap();
    let mut records = BTreeSet::new();
    for index in 0..size {
        let envelope = node.api(&format!("records/{index}"))["envelope"].as_str().unwrap().to_owned();
        if let Ok(e) = Envelope::parse(envelope.as_bytes(), TYP_RECORD, 1 << 14) {
            records.insert((index, e.id().to_string()));
        }
    }
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), records, "changes and the log's records differ");
    assert!(distinct.iter().all(|i| listed.binary_search(i).is_ok()));
}

#[test]
fn the_past_is_told_by_day_and_by_what_was_known() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    let other = enrol_other(&node);
    node.accept(&[signer.organisation(501).1, signer.organisation(502).1]);
    let (building, bytes) = signer.building(1);
    let assigned = |org: u64, prev: RecordId, from| {
        let fields =
            json!({ "building": "reformagkh:1", "form": "company", "organisation": format!("reformagkh:{org}") });
        signer.record("management.assigned", fields, Around { prev: Some(prev), from: Some(from), ..Around::default() })
    };
    let (first, first_bytes) = assigned(501, building, "2020-01-01");
    node.accept(&[bytes, first_bytes]);
    let (registered, number, bytes) = chat(&signer, 1, "2021-01-10");
    node.accept(&[bytes]);
    let known_before = node.api("node")["freshness"]["committed_at"].as_u64().unwrap();
    // A late fact: the management changed in 2022.
    let around = Around { prev: Some(first), from: Some("2022-05-01"), ..Around::default() };
    let (ended, bytes) =
        signer.record("management.ended", json!({ "building": "reformagkh:1", "management": first }), around);
    let (_, second) = assigned(502, ended, "2022-05-01");
    node.accept(&[bytes, second]);
    // And the chat goes to another authority.
    let around = Around { prev: Some(registered), from: Some("2023-03-01"), basis: true, ..Around::default() };
    let fields = json!({ "chat": number, "from": AUTHORITY, "to": OTHER });
    let (_, payload) = signer.draft("ownership.transferred", fields, around);
    let alone = Envelope::sign(payload.clone(), TYP_RECORD, &[&signer.key]);
    let refused = node.submit(&[alone]);
    assert_eq!(refused[0]["outcome"], "refused", "a transfer signed by one side: {}", refused[0]);
    node.accept(&[Envelope::sign(payload, TYP_RECORD, &[&signer.key, &other.key])]);

    let managers = |query: &str| -> Vec<String> {
        let v = node.api(&format!("buildings/reformagkh:1{query}"));
        let list = v["managements"].as_array().unwrap().iter().filter(|m| m["holds"] == true);
        list.map(|m| m["organisation"].as_str().unwrap().to_owned()).collect()
    };
    let known = format!("known_at={known_before}");
    assert_eq!(managers("?as_of=2019-12-31"), [""; 0]);
    assert_eq!(managers("?as_of=2020-01-01"), ["reformagkh:501"]);
    assert_eq!(managers("?as_of=2022-04-30"), ["reformagkh:501"]);
    assert_eq!(managers("?as_of=2022-05-01"), ["reformagkh:502"]);
    assert_eq!(managers(""), ["reformagkh:502"]);
    assert_eq!(managers(&format!("?{known}")), ["reformagkh:501"], "the change was not known then");
    assert_eq!(managers(&format!("?as_of=2022-04-30&{known}")), ["reformagkh:501"]);
    let owner = |query: &str| node.api(&format!("chats/{number}{query}"))["owner"].clone();
    assert_eq!(owner("?as_of=2023-02-28"), AUTHORITY);
    assert_eq!(owner("?as_of=2023-03-01"), OTHER);
    assert_eq!(owner(""), OTHER);
    assert_eq!(owner(&format!("?{known}")), AUTHORITY);
    let verdict = |query: &str| node.api(&format!("verify?digest={}{query}", link(1)));
    assert_eq!(verdict("&as_of=2023-03-02")["state"], "transferred");
    assert_eq!(verdict("")["chats"][0]["owners"].as_array().unwrap().len(), 2);
    assert_eq!(verdict(&format!("&{known}"))["state"], "official");
    assert_eq!(verdict("&for_building=reformagkh:2")["state"], "official_other_house");
    assert_eq!(verdict("&as_of=2022-12-01")["state"], "official");
    assert_eq!(node.api(&format!("verify?digest={}", link(99)))["state"], "region_not_connected");
    node.get("/api/v1/buildings/reformagkh:1?known_at=2000-01-01").problem(404, "lookup.unknown");

    // History is every record of the subject, in the log's order, also in pages and as known then.
    let history = |query: &str| node.api(&format!("history?subject=building:reformagkh:1{query}"));
    let types = |v: &Value| -> Vec<String> {
        v["items"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["building.registered", "management.assigned", "management.ended", "management.assigned"];
    assert_eq!(types(&history("")), all);
    assert_eq!(types(&history(&format!("&{known}"))), all[..2]);
    let page = history("&limit=3");
    assert_eq!((types(&page), &page["next"]), (all[..3].iter().map(|s| (*s).to_owned()).collect(), &json!(3)));
    assert_eq!(types(&history("&from=3&limit=3")), all[3..]);
}

/// Every path that a source file of `src/http` routes; pages, in a folder of their own, are no part of the document.
fn routed() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut paths = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap().flatten().filter(|f| f.path().is_file()) {
        let text = std::fs::read_to_string(file.path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for piece in code
            .split('"')
            .filter(|p| p.starts_with('/') && p.len() > 1 && !p.contains("{}") && !p.contains([' ', '\n']))
        {
            paths.insert(piece.replace("{*path}", "{path}"));
        }
    }
    paths
}

#[test]
fn the_document_names_every_route_and_every_route_is_there() {
    let node = Node::moscow();
    let answer = node.get("/api/v1/openapi.json");
    assert_eq!((answer.status, answer.kind.as_str()), (200, "application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    let missing: Vec<_> = routed().into_iter().filter(|p| !paths.contains_key(p)).collect();
    assert!(missing.is_empty(), "routes that the document does not name: {missing:?}");
    assert!(paths.len() >= 20);
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            let concrete = path
                .replace("{id}", "x")
                .replace("{index}", "0")
                .replace("{path}", "checkpoint")
                .replace("{origin}", "x");
            let answer = if method == "post" { node.post(&concrete, b"x".to_vec()) } else { node.get(&concrete) };
            let code = if answer.kind.contains("problem") { answer.json()["code"].to_string() } else { String::new() };
            assert!(!["\"http.not-found\"", "\"http.method\""].contains(&code.as_str()), "{method} {concrete}: {code}");
        }
    }
    // References lead somewhere.
    let text = String::from_utf8(answer.body).unwrap();
    for piece in text.split("\"#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "no schema {name}");
    }
}

#[test]
fn a_snapshot_verifies_and_no_changed_byte_does() -> Result<()> {
    let node = Node::moscow();
    let signer = node.signer("operator");
    let buildings: Vec<Vec<u8>> = (1..40).map(|n| signer.building(n).1).collect();
    node.accept(&buildings);
    let chats: Vec<Vec<u8>> = (1..40).map(|n| chat(&signer, n, "2025-01-10").2).collect();
    node.accept(&chats);
    let file = node.dir.path().join("snapshot.jsonl");
    let name = file.to_str().unwrap();
    let exported = node.run(&["export", "snapshot", name]).json();
    let info = node.api("node");
    assert_eq!((&exported["state_root"], &exported["size"]), (&info["state_root"], &info["freshness"]["size"]));
    assert_eq!(node.run(&["inspect", name]).json()["state_root"], info["state_root"]);
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(whole, node.get("/api/v1/export/snapshot").body, "the same commit gives the same bytes");
    let changed = node.dir.path().join("changed.jsonl");
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        // A letter for a letter, so that most of what comes out is well-formed.
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        std::fs::write(&changed, &bytes).unwrap();
        let verdict = domovoi::cli::inspect::snapshot(&changed);
        assert!(verdict.is_err(), "byte {at} of {} may be changed: {verdict:?}", whole.len());
    }
    for cut in [whole.len() - 1, whole.len() / 2, 10] {
        std::fs::write(&changed, &whole[..cut]).unwrap();
        let verdict = domovoi::cli::inspect::snapshot(&changed);
        assert!(cut == whole.len() - 1 || verdict.is_err(), "the file may be cut to {cut} bytes: {verdict:?}");
    }
    // The logs as files: the own one; a mirror that is not there, and what no log has.
    let origin = info["origin"].as_str().unwrap();
    assert_eq!(node.get("/log/checkpoint").status, 200);
    assert_eq!(node.get("/log/tile/entries/000.p/1").status, 200);
    for path in ["/log/../keys/log.pem", "/log/tile/0/0", "/log/tile/0/999", "/log/%2e%2e/keys/log.pem", "/log/"] {
        assert_eq!(node.get(path).status, 404, "{path}");
    }
    node.get(&format!("/mirror/{}/checkpoint", origin_hash(origin))).problem(404, "log.not-found");
    node.get(&format!("/mirror/{}/checkpoint", "0".repeat(64))).problem(404, "log.not-found");
    Ok(())
}

#[test]
fn lookalikes_are_found_in_what_was_recorded_since_the_last_question() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    node.accept(&[signer.building(1).1, signer.building(2).1]);
    node.accept(&[chat(&signer, 1, "2022-01-01").2]);
    // «дoм 1» with a Latin o.
    let ask = |n: u64| node.api(&format!("verify?digest={}&title=%D0%B4o%D0%BC%20{n}", link(99)))["state"].clone();
    assert_eq!((ask(1), ask(2)), (json!("lookalike"), json!("region_not_connected")));
    node.accept(&[chat(&signer, 2, "2022-01-01").2]);
    assert_eq!((ask(1), ask(2)), (json!("lookalike"), json!("lookalike")));
    let bot = node.api("verify?bot=@%D0%B4%D0%BE%D0%BC");
    assert_eq!(bot["state"], "bot_unknown");
    node.get("/api/v1/verify?bot=@X").problem(422, "bot.name");
    node.get("/api/v1/verify?chat=77-0000-0000-0000&title=x").problem(400, "query.value");
}
