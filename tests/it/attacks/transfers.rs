//! A chat is taken without its owner, twice, or by two at once. What the two logs' own rules
//! refuse stands in `tests/it/transfer.rs`; here are whole nodes, and what is not tried there.

use std::process::{Child, Stdio};

use domovoi::federation::charter::Charter;
use domovoi::registry::body::Body;
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::state::View;
use serde_json::{Value, json};

use crate::follow::{member, ministry, synced, until};
use crate::forge::{Forge, Lie, Peers};
use crate::node::{AUTHORITY, Around, Node, program};
use crate::regions::{MOSCOW, OBLAST as SECOND, day};
use crate::transfer::Border;
use crate::transfer_nodes::{OBLAST, accepted, building, chat, federation, follow, today, told};

/// Two regions with three chats in the first, and a ministry that follows both.
struct Scene {
    a: Node,
    b: Node,
    ministry: Node,
    log_a: String,
    log_b: String,
    chats: Vec<String>,
}

impl Scene {
    fn new() -> Scene {
        let (a, b, _) = federation();
        let (of_a, of_b) = (a.signer("operator"), b.signer("operator"));
        a.accept(&(1..=3).map(|n| building(&of_a, n, "45000000")).collect::<Vec<_>>());
        b.accept(&(1..=3).map(|n| building(&of_b, n, "46000000")).collect::<Vec<_>>());
        let chats: Vec<_> = (1..=3).map(|n| chat(&of_a, n)).collect();
        a.accept(&chats.iter().map(|c| c.1.clone()).collect::<Vec<_>>());
        let mut ministry = ministry();
        follow(&ministry, &a, "moscow");
        follow(&ministry, &b, "oblast");
        ministry.start();
        let chats = chats.iter().map(|c| c.0.to_string()).collect();
        let scene = Scene { a, b, ministry, log_a: of_a.origin, log_b: of_b.origin, chats };
        scene.both();
        scene
    }

    fn both(&self) {
        let size = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
        synced(&self.ministry, &self.log_a, size(&self.a));
        synced(&self.ministry, &self.log_b, size(&self.b));
    }

    fn offer(&self, chat: &str, until_day: &str) -> String {
        accepted(self.a.run(&[
            "transfer",
            "offer",
            chat,
            "--to",
            OBLAST,
            "--log",
            &self.log_b,
            "--accept-before",
            until_day,
        ]))
    }

    fn answer<'a>(&'a self, word: &'a str, offer: &'a str, url: &'a str, ca: &'a str) -> Vec<&'a str> {
        vec!["transfer", word, offer, "--from", url, "--peer-ca", ca]
    }

    /// Exactly one log holds the chat: the first names the owner, the others have passed it on or know nothing.
    fn owner(&self, chat: &str) -> String {
        let (_, owner, claims) = told(&self.ministry, chat);
        assert_eq!(claims.iter().filter(|c| c.ends_with(" holds")).count(), 1, "{claims:?}");
        owner
    }
}

fn certificate(node: &Node) -> String {
    node.certificate().to_str().unwrap().to_owned()
}

#[test]
fn a_chat_is_not_taken_without_its_owners_consent() {
    let mut b = Border::new();
    // Offered by the one who would get it: his keys are strangers in the owner's log.
    let offer = Body::TransferOffered(b.offer_body());
    let refused = b.leaving.try_say(offer, None, &[&SECOND.operator(0)]).unwrap_err();
    assert_eq!(refused.code(), "rule.key.unknown");
    let offer = b.offer();
    // A proof of another name of the same log is no proof of the offer.
    let mut other = b.accept_body(&offer);
    other.proof = b.leaving.prove(&format!("chat:{}", b.chat));
    let taken = b.receiving.try_say(Body::TransferAccepted(other), Some(day("2026-10-01")), &[&SECOND.operator(0)]);
    assert!(taken.is_err());
    // And who may answer is the authority that was named, by its own keys.
    let body = Body::TransferAccepted(b.accept_body(&offer));
    let taken = b.receiving.try_say(body, Some(day("2026-10-01")), &[&MOSCOW.operator(0)]);
    assert_eq!(taken.unwrap_err().code(), "rule.key.unknown");
    assert!(b.receiving.state.chat(b.chat).is_none());
}

#[test]
fn a_region_does_not_sign_another_regions_building() {
    let (a, b, _) = federation();
    let of_b = b.signer("operator");
    let outcome = b.submit(&[building(&of_b, 1, "45000000")]);
    assert_eq!(outcome[0]["code"], "rule.oktmo.region", "{outcome:?}");
    drop((a, b));
    // A node that writes it all the same is followed no further.
    let mut forge = Forge::new(21);
    let signer = forge.operator.clone();
    forge.batch(vec![forge.building(&signer, 21_001).1], Lie::None);
    let good = forge.size();
    let fields = json!({ "building": "reformagkh:9", "address": "г. Москва, ул. Чужая, д. 1", "oktmo": "45000000", "kind": "apartment" });
    forge.batch(vec![signer.record("building.registered", fields, Around::default()).1], Lie::None);
    let (peers, mut ministry) = (Peers::start(), ministry());
    peers.set("region", forge.served());
    let pin = Charter::open(&forge.charter).unwrap().sha256().to_string();
    ministry.run(&["follow", &format!("{}/region", peers.url), "--name", "region", "--charter-sha256", &pin]).json();
    ministry.start();
    let held = until("the log is held", || member(&ministry, &forge.origin).filter(|m| !m["status"]["held"].is_null()));
    assert_eq!(
        (&held["status"]["held"]["code"], &held["freshness"]["size"]),
        (&json!("rule.oktmo.region"), &json!(good))
    );
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:9").status, 404);
}

/// Starts a command that submits one record, without waiting for it.
fn begin(node: &Node, args: &[&str]) -> Child {
    let mut command = program(&node.data());
    command.arg("--json").args(args).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// True where its record was accepted.
fn won(child: Child) -> bool {
    let out = child.wait_with_output().unwrap().stdout;
    let outcomes: Value = serde_json::from_slice(&out).unwrap_or_default();
    outcomes[0]["outcome"] == "accepted"
}

#[test]
fn of_answers_that_race_one_is_taken_and_a_replayed_one_changes_nothing() {
    let s = Scene::new();
    let offer = s.offer(&s.chats[0], &today(10));
    let (url_a, url_b, ca_a, ca_b, now) = (s.a.url(), s.b.url(), certificate(&s.a), certificate(&s.b), today(0));
    let accept = [s.answer("accept", &offer, &url_a, &ca_a), vec!["--effective-from", &now]].concat();
    let decline = s.answer("decline", &offer, &url_a, &ca_a);
    // Two clerks accept and a third declines, all at once; the owner tries to release meanwhile.
    let release = [s.answer("release", &s.chats[0], &url_b, &ca_b), vec!["--effective-from", &now]].concat();
    let racing = [begin(&s.b, &accept), begin(&s.b, &decline), begin(&s.b, &accept)];
    let early = begin(&s.a, &release);
    let taken: Vec<bool> = racing.into_iter().map(won).collect();
    assert_eq!(taken.iter().filter(|won| **won).count(), 1, "{taken:?}");
    let released = won(early) || won(begin(&s.a, &release));
    assert!(released, "an answered offer can be released");
    s.both();
    let expected = if taken[1] { AUTHORITY } else { OBLAST };
    assert_eq!(s.owner(&s.chats[0]), expected);

    // Everything that was said is said again, to both: nothing changes.
    let sizes = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    let before = (sizes(&s.a), sizes(&s.b));
    for (node, other) in [(&s.a, &s.b), (&s.b, &s.a)] {
        for index in 0..sizes(node) {
            let entry = node.api(&format!("records/{index}"))["envelope"].as_str().unwrap().as_bytes().to_vec();
            let Ok(decoded) = DecodedRecord::decode(&entry) else { continue };
            let kind = decoded.record.body;
            let of_transfer = matches!(
                kind,
                Body::TransferOffered(_)
                    | Body::TransferAccepted(_)
                    | Body::TransferDeclined(_)
                    | Body::TransferReleased(_)
            );
            if !of_transfer {
                continue;
            }
            assert_eq!(node.submit(std::slice::from_ref(&entry))[0]["outcome"], "known", "{kind:?}");
            let foreign = other.submit(&[entry]);
            assert_eq!(foreign[0]["outcome"], "refused", "{kind:?}");
        }
    }
    assert_eq!((sizes(&s.a), sizes(&s.b)), before);
    s.both();
    assert_eq!(s.owner(&s.chats[0]), expected);
}
