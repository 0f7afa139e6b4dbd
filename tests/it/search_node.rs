//! Address search of running nodes: over HTTP and the command line, as the logs grow, on a region's node and a ministry's.

use serde_json::{Value, json};

use super::api::chat;
use super::follow::{ministry, until};
use super::node::{Around, Node, Signer};
use domovoi::registry::ids::RecordId;

/// `GET /api/v1/search`; none while the index is being made.
fn search(node: &Node, q: &str, limit: &str) -> Option<Value> {
    let url = reqwest::Url::parse_with_params("http://x/api/v1/search", [("q", q), ("limit", limit)]).unwrap();
    let answer = node.get(&format!("{}?{}", url.path(), url.query().unwrap()));
    if answer.status == 503 {
        answer.problem(503, "search.building");
        return None;
    }
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Some(answer.json())
}

/// Waits until the search gives these buildings, in this order.
fn finds(node: &Node, q: &str, wanted: &[u64]) -> Vec<Value> {
    let wanted: Vec<String> = wanted.iter().map(|n| format!("reformagkh:{n}")).collect();
    until(&format!("«{q}» finds {wanted:?}"), || {
        let items = search(node, q, "5")?["items"].as_array()?.clone();
        items.iter().map(|b| b["building"].as_str().unwrap()).eq(wanted.iter().map(String::as_str)).then_some(items)
    })
}

fn building(number: u64, address: &str) -> Value {
    json!({ "building": format!("reformagkh:{number}"), "address": address, "oktmo": "45000000", "kind": "apartment" })
}

fn last(node: &Node, number: u64) -> RecordId {
    let id = node.api(&format!("subjects/last?subject=building:reformagkh:{number}"));
    id["last_record"].as_str().unwrap().parse().unwrap()
}

fn amend(node: &Node, signer: &Signer, kind: &str, number: u64, fields: Value) {
    let around = Around { prev: Some(last(node, number)), from: Some("2025-01-01"), basis: true, ..Around::default() };
    node.accept(&[signer.record(kind, fields, around).1]);
}

#[test]
fn the_index_follows_the_log() {
    let mut node = Node::moscow();
    let signer = node.signer("operator");
    assert_eq!(finds(&node, "ленина 5", &[]).len(), 0);
    let street = [(1, "5"), (2, "5, к. 2"), (3, "15"), (4, "5, к. 1")];
    let register = |(n, house): &(u64, &str)| {
        let fields = building(*n, &format!("г. Москва, пр-кт. Ленина, д. {house}"));
        signer.record("building.registered", fields, Around::default()).1
    };
    node.accept(&street.iter().map(register).collect::<Vec<_>>());
    finds(&node, "ленина 5к2", &[2, 1, 4]);
    let items = finds(&node, "на проспекте Ленина, д. 5", &[1, 4, 2]);
    let first = json!({ "building": "reformagkh:1", "address": "г. Москва, пр-кт. Ленина, д. 5", "region": "77",
        "active": true, "has_chat": false, "log": signer.origin });
    assert_eq!(items[0], first);
    // Every answer says what it was computed from.
    let answer = search(&node, "ленина 5", "1").unwrap();
    assert_eq!(answer["items"].as_array().unwrap().len(), 1);
    assert_eq!(answer["logs"][0]["log"], signer.origin.as_str());
    assert_eq!(answer["pending"], json!([]));

    // A chat is said at once: it is the state that answers, not the index.
    node.accept(&[chat(&signer, 4, "2025-01-01").2]);
    assert_eq!(search(&node, "ленина 5к1", "1").unwrap()["items"][0]["has_chat"], true);

    // An amended address is found by its new words, and no longer by the old ones.
    amend(&node, &signer, "building.amended", 3, building(3, "г. Москва, ул. Пречистенка, д. 15"));
    finds(&node, "пречистенка 15", &[3]);
    finds(&node, "ленина 15", &[]);
    // What was demolished says so, and comes after what stands at the same address.
    let address = building(9, "г. Москва, пр-кт. Ленина, д. 5");
    node.accept(&[signer.record("building.registered", address, Around::default()).1]);
    finds(&node, "ленина 5", &[1, 9, 4, 2]);
    amend(
        &node,
        &signer,
        "building.retired",
        1,
        json!({ "building": "reformagkh:1", "reason": "demolished", "into": [] }),
    );
    let items = finds(&node, "ленина 5", &[9, 1, 4, 2]);
    assert_eq!((&items[0]["active"], &items[1]["active"]), (&json!(true), &json!(false)));

    // After a restart the index is made anew, and is the same.
    node.stop();
    node.start();
    finds(&node, "ленина 5", &[9, 1, 4, 2]);
    finds(&node, "пречистенка 15", &[3]);

    // The command line: a table, and JSON.
    let found = node.run(&["search", "ленина", "5", "--limit", "2"]).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    assert_eq!(found["items"][0]["building"], "reformagkh:9");
}

#[test]
fn bad_questions_are_refused() {
    let node = Node::moscow();
    let long = "%D0%BB".repeat(300);
    for (path, status, code) in [
        (format!("/api/v1/search?q={long}"), 422, "search.long"),
        (format!("/api/v1/search?q={}", "a+".repeat(30)), 422, "search.long"),
        ("/api/v1/search?q=a&limit=0".into(), 400, "query.value"),
        ("/api/v1/search?q=a&limit=21".into(), 400, "query.value"),
        ("/api/v1/search".into(), 400, "query.invalid"),
        ("/api/v1/search?q=a&sort=score".into(), 400, "query.invalid"),
    ] {
        let answer = node.get(&path);
        let code_is = answer.json()["code"].clone();
        assert_eq!((answer.status, code_is.as_str().unwrap()), (status, code), "{path}");
    }
    for text in ["%00", "%F0%9F%91%8D", "%E2%80%AE", "*:*", "%22", "(((((", "-", ""] {
        let found = until("an answer", || {
            let answer = node.get(&format!("/api/v1/search?q={text}"));
            (answer.status != 503).then_some(answer)
        });
        assert_eq!((found.status, found.json()["items"].clone()), (200, json!([])), "{text}");
    }
    assert_eq!(node.run(&["search", &"ленина ".repeat(100)]).code(), "search.long");
}

#[test]
fn a_ministry_finds_the_buildings_of_what_it_follows() {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&(1..=300).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let mut ministry = ministry();
    let (url, ca, pin) = (region.url(), region.certificate(), region.charter.clone().unwrap());
    let ca = ca.to_str().unwrap();
    ministry.run(&["follow", &url, "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca]).json();
    ministry.start();
    let items = finds(&ministry, "пробная 299", &[299]);
    assert_eq!(items[0]["log"], signer.origin.as_str());
    // What the region writes later is found here, too.
    region.accept(&[signer.building(4711).1]);
    finds(&ministry, "улица пробная, дом 4711", &[4711]);
}
