//! A chat is taken without its owner, twice, or by two at once; one side is away for a week. What the two logs' own rules
//! refuse stands in `tests/it/transfer.rs`; here are whole nodes, and what is not tried there.

use std::process::{Child, Command, Output, Stdio};

use domovoi::federation::charter::Charter;
use domovoi::registry::body::Body;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::record::{DecodedRecord, Record};
use domovoi::registry::state::View;
use domovoi::registry::state_proof::Quoted;
use domovoi::registry::text::Day;
use ed25519_dalek::SigningKey;
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

    /// All three go on, so many days after the start. The regions were stopped.
    fn restart(&mut self, days: u32) {
        self.ministry.stop();
        for node in [&mut self.a, &mut self.b, &mut self.ministry] {
            node.env = days_later(days).to_vec();
            node.start();
        }
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
    // He signs an offer himself that the owner never made, and shows what the owner's log really says about it: nothing.
    let refused = |b: &mut Border, body, keys: &[&SigningKey]| {
        let said = b.receiving.try_say(Body::TransferAccepted(body), Some(from()), keys);
        said.unwrap_err().code()
    };
    let offer = b.offer();
    let (invented, payload) = Record::encode(b.leaving.draft(Body::TransferOffered(b.offer_body()), None)).unwrap();
    assert_ne!(invented.id, offer);
    let mut forged = b.accept_body(&offer);
    forged.offer = invented.id;
    forged.entry = Quoted::new(&Envelope::sign(payload, TYP_RECORD, &[&SECOND.operator(0)])).unwrap();
    let Body::TransferOffered(said) = invented.body else { panic!("{:?}", invented.body) };
    forged.accept_before = said.accept_before;
    for name in [invented.id, offer] {
        forged.proof = b.leaving.prove(&crate::transfer::name(&name));
        assert_eq!(refused(&mut b, forged.clone(), &[&SECOND.operator(0)]), "rule.transfer.proof");
    }
    // A proof of another name of the same log is no proof of the offer.
    let mut other = b.accept_body(&offer);
    other.proof = b.leaving.prove(&format!("chat:{}", b.chat));
    assert_eq!(refused(&mut b, other, &[&SECOND.operator(0)]), "rule.transfer.proof");
    // And who may answer is the authority that was named, by its own keys.
    let body = b.accept_body(&offer);
    assert_eq!(refused(&mut b, body, &[&MOSCOW.operator(0)]), "rule.key.unknown");
    let body = b.accept_body(&offer);
    assert_eq!(refused(&mut b, body, &[&SECOND.operator(1)]), "rule.signer.authority");
    assert!(b.receiving.state.chat(b.chat).is_none());
}

fn from() -> Day {
    day("2026-10-01")
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
    command.arg("--json").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What became of its record: `accepted`, or the code of the refusal.
fn outcome(done: &Output) -> String {
    let said = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let of_record = &said(&done.stdout)[0];
    if of_record["outcome"] == "accepted" {
        return "accepted".into();
    }
    let of_command = said(done.stderr.trim_ascii().split(|b| *b == b'\n').next_back().unwrap_or_default());
    let code = of_record["code"].as_str().or(of_command["code"].as_str());
    code.unwrap_or_else(|| panic!("{done:?}")).to_owned()
}

fn end(child: Child) -> String {
    outcome(&child.wait_with_output().unwrap())
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
    let answers = racing.map(end);
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| *a == "accepted");
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(lost.iter().all(|code| ["rule.stale", "rule.transfer.settled"].contains(&code.as_str())), "{answers:?}");
    let early = end(early);
    if early != "accepted" {
        assert_eq!(early, "rule.transfer.early");
        assert_eq!(end(begin(&s.a, &release)), "accepted", "an answered offer can be released");
    }
    s.both();
    let expected = if answers[1] == "accepted" { AUTHORITY } else { OBLAST };
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
            // The other log does not know who signed it; signed by one it knows, it is still not for that log.
            let again = Envelope::sign(decoded.envelope.payload, TYP_RECORD, &[&other.signer("operator").key]);
            for (foreign, code) in [(entry, "rule.key.unknown"), (again, "rule.log")] {
                let said = &other.submit(&[foreign])[0];
                assert_eq!((&said["outcome"], &said["code"]), (&json!("refused"), &json!(code)), "{kind:?}");
            }
        }
    }
    assert_eq!((sizes(&s.a), sizes(&s.b)), before);
    s.both();
    assert_eq!(s.owner(&s.chats[0]), expected);
}

/// Environment of a process to which it is so many days later. What only counts time goes on as it is. The library alone
/// and not the program `faketime`: that stays the parent of what it runs, and no signal would reach the node.
fn days_later(days: u32) -> [(String, String); 4] {
    let moved = format!("+{days}d");
    [
        ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"),
        ("FAKETIME", moved.as_str()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// What becomes of a command's record when it is given so many days from now.
fn said(node: &Node, days: u32, args: &[&str]) -> String {
    outcome(&program(&node.data()).envs(days_later(days)).arg("--json").args(args).output().unwrap())
}

#[test]
fn either_side_is_down_for_a_week_and_an_abandoned_offer_ends() {
    let date = Command::new("date").envs(days_later(7)).args(["-u", "+%F"]).output().unwrap();
    if String::from_utf8_lossy(&date.stdout).trim() != today(7) {
        println!("SKIPPED: libfaketime is not installed (Debian package faketime)");
        return;
    }
    let mut s = Scene::new();
    let (url_a, url_b, ca_a, ca_b) = (s.a.url(), s.b.url(), certificate(&s.a), certificate(&s.b));
    let [taken, abandoned, _] = <[String; 3]>::try_from(s.chats.clone()).unwrap();
    let (long, short) = (s.offer(&taken, &today(20)), s.offer(&abandoned, &today(3)));
    s.both();

    // The receiving side is down for a week. Nothing can be proved about it, and both chats stay with their owner.
    s.b.stop();
    let now = today(0);
    let release =
        |chat, on| vec!["transfer", "release", chat, "--from", &url_b, "--peer-ca", &ca_b, "--effective-from", on];
    assert_eq!(said(&s.a, 0, &release(&abandoned, &now)), "peer.unreachable");
    assert_eq!((s.owner(&taken).as_str(), s.owner(&abandoned).as_str()), (AUTHORITY, AUTHORITY));
    s.a.stop();
    s.restart(7);

    // It is back. What it last said is a week old: the end of the second offer is not proved by it.
    let week = today(7);
    let accept = |offer, on| [s.answer("accept", offer, &url_a, &ca_a), vec!["--effective-from", on]].concat();
    assert_eq!(said(&s.a, 7, &release(&abandoned, &week)), "rule.transfer.early");
    // In time an offer is accepted, late it is neither accepted nor declined.
    assert_eq!(said(&s.b, 7, &accept(&long, &week)), "accepted");
    assert_eq!(said(&s.b, 7, &accept(&short, &week)), "rule.transfer.deadline");
    assert_eq!(said(&s.b, 7, &s.answer("decline", &short, &url_a, &ca_a)), "rule.transfer.deadline");

    // The leaving side is down for a week, before it has released anything: the new owner is the owner all along.
    s.both();
    s.a.stop();
    assert_eq!((s.owner(&taken).as_str(), s.owner(&abandoned).as_str()), (OBLAST, AUTHORITY));
    let (of_taken, of_abandoned) = (format!("chat={taken}"), format!("chat={abandoned}"));
    assert_eq!(said(&s.b, 7, &["record", "chat.amended", &of_taken, "title=Дом 1а"]), "accepted");
    s.b.stop();
    s.restart(14);

    // It comes back and has both ended by proof: the one as accepted, the other as answered by nobody in time.
    let fortnight = today(14);
    let amended = |node: &Node, chat: &str| said(node, 14, &["record", "chat.amended", chat, "title=Дом 2а"]);
    assert_eq!(
        (amended(&s.a, &of_taken).as_str(), amended(&s.a, &of_abandoned).as_str()),
        ("rule.transfer.locked", "rule.transfer.locked")
    );
    for chat in [&taken, &abandoned] {
        assert_eq!(said(&s.a, 14, &release(chat, &fortnight)), "accepted");
    }
    assert_eq!(
        (amended(&s.a, &of_taken).as_str(), amended(&s.a, &of_abandoned).as_str()),
        ("rule.transfer.moved", "accepted")
    );
    s.both();
    assert_eq!((s.owner(&taken).as_str(), s.owner(&abandoned).as_str()), (OBLAST, AUTHORITY));
    for node in [&s.a, &s.b] {
        assert_eq!(node.run(&["fsck"]).json()["state_root"], node.api("node")["state_root"]);
    }
}
