//! A chat moves between two regions' logs: what is taken, what is refused, and that whatever is lost, repeated or raced,
//! exactly one of the two logs can hold it.

use domovoi::error::Result;
use domovoi::registry::body::*;
use domovoi::registry::facts::{ChatFacts, ChatStatus};
use domovoi::registry::ids::{ChatNumber, RecordId};
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::state::View;
use domovoi::registry::state_proof::Quoted;
use domovoi::registry::transfer::*;

use super::regions::*;

/// Two regions; the first has a chat over building 1, which lies in the second since the boundary moved.
pub struct Border {
    pub leaving: Region,
    pub receiving: Region,
    pub chat: ChatNumber,
}

pub fn name(offer: &RecordId) -> String {
    TransferFacts::name(offer)
}

impl Border {
    pub fn new() -> Border {
        let chain = pinned(&[MOSCOW, OBLAST, TVER]);
        let (mut leaving, mut receiving) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
        leaving.build(1, vec![]);
        receiving.build(1, vec![]);
        let chat = leaving.chat(&[1], 7);
        Border { leaving, receiving, chat }
    }
    pub fn offer_body(&self) -> TransferOffered {
        let c = self.leaving.state.chat(self.chat).unwrap();
        TransferOffered {
            chat: self.chat,
            kind: c.kind,
            title: c.title.clone(),
            buildings: List(c.buildings.clone()),
            from: MOSCOW.authority(0),
            to: OBLAST.authority(0),
            receiving: text(&OBLAST.origin()),
            accept_before: ms(self.leaving.time + 20 * STEP),
            link: c.link,
            max: c.max,
            entrance: c.entrance,
        }
    }
    pub fn offer(&mut self) -> RecordId {
        let body = Body::TransferOffered(self.offer_body());
        self.leaving.say(body, None, &[&MOSCOW.operator(0)])
    }
    /// The entry of an offer in the leaving log, and what it says.
    pub fn offered(&self, offer: &RecordId) -> (Vec<u8>, TransferOffered) {
        let entry = self.leaving.log[self.leaving.state.index_of(offer).unwrap() as usize].clone();
        match DecodedRecord::decode(&entry).unwrap().record.body {
            Body::TransferOffered(o) => (entry, o),
            other => panic!("{other:?}"),
        }
    }
    pub fn accept_body(&self, offer: &RecordId) -> TransferAccepted {
        let (entry, o) = self.offered(offer);
        TransferAccepted {
            chat: o.chat,
            offer: *offer,
            leaving: text(&MOSCOW.origin()),
            from: o.from,
            owner: o.to.clone(),
            to: o.to,
            accept_before: o.accept_before,
            kind: o.kind,
            title: o.title,
            buildings: o.buildings,
            entry: Quoted::new(&entry).unwrap(),
            proof: self.leaving.prove(&name(offer)),
            link: o.link,
            max: o.max,
            entrance: o.entrance,
            service_account: None,
        }
    }
    pub fn accept(&mut self, offer: &RecordId) -> Result<RecordId> {
        let body = Body::TransferAccepted(self.accept_body(offer));
        self.receiving.try_say(body, Some(day("2026-10-01")), &[&OBLAST.operator(0)])
    }
    pub fn decline(&mut self, offer: &RecordId) -> Result<RecordId> {
        let b = self.accept_body(offer);
        let body = TransferDeclined {
            chat: b.chat,
            offer: b.offer,
            leaving: b.leaving,
            from: b.from,
            to: b.to,
            accept_before: b.accept_before,
            entry: b.entry,
            proof: b.proof,
        };
        self.receiving.try_say(Body::TransferDeclined(body), None, &[&OBLAST.operator(0)])
    }
    pub fn release_body(&self, offer: &RecordId, outcome: Ending, answer: Option<RecordId>) -> TransferReleased {
        TransferReleased { chat: self.chat, offer: *offer, outcome, proof: self.receiving.prove(&name(offer)), answer }
    }
    pub fn release(&mut self, offer: &RecordId, outcome: Ending, answer: Option<RecordId>) -> Result<RecordId> {
        let body = Body::TransferReleased(self.release_body(offer, outcome, answer));
        self.leaving.try_say(body, Some(day("2026-10-01")), &[&MOSCOW.operator(0)])
    }
    fn here(&self) -> &ChatFacts {
        self.leaving.state.chat(self.chat).unwrap()
    }
    fn there(&self) -> Option<&ChatFacts> {
        self.receiving.state.chat(self.chat)
    }
    /// Both logs replay from nothing to what their nodes have.
    fn replays(&self) {
        let chain = pinned(&[MOSCOW, OBLAST, TVER]);
        self.leaving.replays(&chain);
        self.receiving.replays(&chain);
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_chat_moves_with_its_number_and_link_and_has_one_owner_all_the_way() {
    let mut b = Border::new();
    let offer = b.offer();
    assert_eq!(b.here().status(), ChatStatus::Official);
    assert_eq!(b.here().offered.as_ref().unwrap().offer, offer);
    let accepted = b.accept(&offer).unwrap();
    let there = b.there().unwrap().clone();
    assert_eq!((there.chat, there.status()), (b.chat, ChatStatus::Official));
    assert_eq!(there.owner().unwrap().authority, OBLAST.authority(0));
    assert_eq!((there.link, there.max), (b.here().link, b.here().max));
    let arrived = there.arrived.as_ref().unwrap();
    assert_eq!((arrived.offer, &arrived.from), (offer, &MOSCOW.authority(0)));
    b.release(&offer, Ending::Accepted, Some(accepted)).unwrap();
    assert_eq!(b.here().status(), ChatStatus::Moved);
    assert_eq!(b.here().offered, None);
    assert_eq!(b.here().left.as_ref().unwrap().accepted, accepted);
    // The building's place is free here, the chat itself is not this log's any more.
    let again = b.leaving.chat(&[1], 8);
    assert_ne!(again, b.chat);
    let amend = ChatAmended {
        chat: b.chat,
        title: Some(text("Другой")),
        buildings: None,
        link: None,
        max: None,
        service_account: None,
        entrance: None,
    };
    let amend = Body::ChatAmended(amend);
    assert_eq!(code(b.leaving.try_say(amend.clone(), None, &[&MOSCOW.operator(0)])), "rule.transfer.moved");
    b.receiving.say(amend, None, &[&OBLAST.operator(0)]);
    b.replays();
}

#[test]
fn an_offered_chat_is_locked_until_the_offer_ends() {
    let mut b = Border::new();
    let (owner, root) = (MOSCOW.operator(0), MOSCOW.root());
    let before = b.leaving.state.chat(b.chat).unwrap().statuses[0].record;
    let offer = b.offer();
    let chat = b.chat;
    let standing = || ChatStanding { chat, reason: StandingReason::Decision };
    let changes: Vec<(&str, Body)> = vec![
        (
            "amend",
            Body::ChatAmended(ChatAmended {
                chat,
                title: Some(text("Другой")),
                buildings: None,
                link: None,
                max: None,
                service_account: None,
                entrance: None,
            }),
        ),
        ("suspend", Body::ChatSuspended(standing())),
        ("close", Body::ChatClosed(standing())),
        (
            "transfer",
            Body::OwnershipTransferred(OwnershipTransferred {
                chat,
                from: MOSCOW.authority(0),
                to: MOSCOW.authority(1),
            }),
        ),
        ("delegate", Body::AdminDelegated(Admin { chat, organisation: ogrn(5) })),
        (
            "observe",
            Body::ChatObserved(ChatObserved {
                chat,
                on: day("2026-09-20"),
                by: ObservedBy::Hand,
                owner: Finding::Match,
                administrator: Finding::Match,
                link: Finding::Match,
                former_administrator: false,
            }),
        ),
        (
            "supersede",
            Body::RecordSuperseded(RecordSuperseded {
                subject: format!("chat:{chat}").parse().unwrap(),
                record: before,
            }),
        ),
        ("offer again", Body::TransferOffered(b.offer_body())),
    ];
    for (what, body) in changes.clone() {
        for keys in [&[&owner][..], &[&root]] {
            assert_eq!(
                code(b.leaving.try_say(body.clone(), Some(day("2026-10-01")), keys)),
                "rule.transfer.locked",
                "{what}"
            );
        }
    }
    // A succession changes the owner's facts, not the chat's: it is not held up, and the offer stands.
    let succeeded = AuthoritySucceeded { authority: MOSCOW.authority(0), successor: MOSCOW.authority(1) };
    let mut draft = b.leaving.draft(Body::AuthoritySucceeded(succeeded), Some(day("2026-09-20")));
    draft.basis = Some(domovoi::registry::record::Basis {
        kind: domovoi::registry::record::BasisKind::Order,
        number: None,
        date: None,
        issuer: None,
        document_sha256: None,
        signature_sha256: None,
    });
    b.leaving.submit(&Region::sign(draft, &[&root])).unwrap();
    let declined = b.decline(&offer).unwrap();
    // The successor records the end; the lock is gone and the chat is its own.
    let body = Body::TransferReleased(b.release_body(&offer, Ending::Declined, Some(declined)));
    b.leaving.say(body, Some(day("2026-10-01")), &[&MOSCOW.operator(1)]);
    assert_eq!((b.here().status(), &b.here().offered), (ChatStatus::Official, &None));
    b.leaving.say(changes[1].1.clone(), Some(day("2026-10-02")), &[&MOSCOW.operator(1)]);
    b.replays();
}

#[test]
fn an_offer_says_what_is_recorded_and_can_be_kept() {
    let b = Border::new();
    type Change = Box<dyn Fn(&mut TransferOffered)>;
    let cases: Vec<(&str, Change)> = vec![
        ("rule.transfer.description", Box::new(|o| o.title = text("Другой"))),
        ("rule.transfer.description", Box::new(|o| o.link = Some(link(9)))),
        ("rule.transfer.description", Box::new(|o| o.max = None)),
        ("rule.transfer.description", Box::new(|o| o.kind = ChatKind::Complex)),
        ("rule.transfer.description", Box::new(|o| o.buildings.0.push(building(2)))),
        ("rule.transfer.owner", Box::new(|o| o.from = MOSCOW.authority(1))),
        ("rule.transfer.log", Box::new(|o| o.receiving = text("log.example/99"))),
        // Its own log is not another region's.
        ("rule.transfer.log", Box::new(|o| o.receiving = text(&MOSCOW.origin()))),
        ("rule.transfer.deadline", Box::new(|o| o.accept_before = ms(START))),
        ("rule.transfer.deadline", Box::new(|o| o.accept_before = ms(START + 93 * 86_400_000))),
    ];
    for (expected, change) in cases {
        let mut body = b.offer_body();
        change(&mut body);
        let mut leaving = b.leaving.clone();
        assert_eq!(code(leaving.try_say(Body::TransferOffered(body), None, &[&MOSCOW.operator(0)])), expected);
    }
    let by = |keys: &[&ed25519_dalek::SigningKey]| {
        code(b.leaving.clone().try_say(Body::TransferOffered(b.offer_body()), None, keys))
    };
    assert_eq!(by(&[&MOSCOW.operator(1)]), "rule.signer.authority");
    assert_eq!(by(&[&MOSCOW.root()]), "rule.signer.authority");
    assert_eq!(by(&[&OBLAST.operator(0)]), "rule.key.unknown");
    let mut closed = b.leaving.clone();
    let body = Body::ChatSuspended(ChatStanding { chat: b.chat, reason: StandingReason::Decision });
    closed.say(body, Some(day("2026-09-20")), &[&MOSCOW.operator(0)]);
    let offer = Body::TransferOffered(b.offer_body());
    assert_eq!(code(closed.try_say(offer, None, &[&MOSCOW.operator(0)])), "rule.transfer.standing");
}

#[test]
fn an_acceptance_is_held_against_the_offer_its_proof_and_the_receiving_rules() {
    let mut b = Border::new();
    let offer = b.offer();
    let (entry, _) = b.offered(&offer);
    let stale = b.accept_body(&offer);
    let younger = b.leaving.prove("chat:nobody");
    // Another chat of the leaving log that was never offered.
    b.leaving.build(2, vec![]);
    b.receiving.build(2, vec![]);
    let second = b.leaving.chat(&[2], 9);
    type Change<'c> = Box<dyn Fn(&mut TransferAccepted) + 'c>;
    let cases: Vec<(&str, Change<'_>)> = vec![
        ("rule.transfer.offer", Box::new(|a| a.chat = second)),
        ("rule.transfer.offer", Box::new(|a| a.offer = RecordId([1; 32]))),
        ("rule.transfer.offer", Box::new(|a| a.leaving = text(&TVER.origin()))),
        ("rule.transfer.offer", Box::new(|a| a.from = MOSCOW.authority(1))),
        ("rule.transfer.offer", Box::new(|a| a.to = OBLAST.authority(1))),
        ("rule.transfer.offer", Box::new(|a| a.accept_before = ms(a.accept_before.get() + 1))),
        ("rule.transfer.offer", Box::new(|a| a.entry = Quoted::new(&entry[1..]).unwrap())),
        ("rule.transfer.description", Box::new(|a| a.title = text("Другой"))),
        ("rule.transfer.description", Box::new(|a| a.link = None)),
        ("rule.transfer.description", Box::new(|a| a.kind = ChatKind::Entrance)),
        ("rule.transfer.owner", Box::new(|a| a.owner = OBLAST.authority(1))),
        ("rule.transfer.buildings", Box::new(|a| a.buildings.0[0] = building(2))),
        ("rule.transfer.buildings", Box::new(|a| a.buildings.0.push(building(2)))),
        ("rule.building.unknown", Box::new(|a| a.buildings.0[0] = building(3))),
        ("rule.chat.buildings", Box::new(|a| a.buildings.0.clear())),
        // The proof: of something else, of an earlier head, cut, changed, or of the wrong log.
        ("rule.transfer.proof", Box::new(|a| a.proof = younger.clone())),
        ("rule.transfer.proof", Box::new(|a| a.proof.size += 1)),
        ("rule.transfer.proof", Box::new(|a| a.proof.size = 0)),
        ("rule.transfer.proof", Box::new(|a| a.proof.path.0.truncate(1))),
        ("rule.transfer.proof", Box::new(|a| a.proof.path.0[0].0[0] ^= 1)),
        ("rule.transfer.proof", Box::new(|a| a.proof.map.siblings.0.truncate(1))),
        ("rule.transfer.proof", Box::new(|a| a.proof.map.siblings.0[0].0[0] ^= 1)),
        (
            "rule.transfer.proof",
            Box::new(|a| {
                a.proof.map.other = Some(domovoi::registry::map_proof::OtherLeaf { key: offer, value: offer })
            }),
        ),
        ("rule.transfer.proof", Box::new(|a| a.proof.commit = Quoted::new(&entry).unwrap())),
        ("rule.transfer.proof", Box::new(|a| a.proof.checkpoint = Quoted::new(&b.receiving.checkpoint()).unwrap())),
        ("rule.transfer.proof", Box::new(|a| a.proof = b.receiving.prove(&name(&offer)))),
    ];
    for (i, (expected, change)) in cases.iter().enumerate() {
        let mut body = b.accept_body(&offer);
        change(&mut body);
        let mut receiving = b.receiving.clone();
        let said = receiving.try_say(Body::TransferAccepted(body), Some(day("2026-10-01")), &[&OBLAST.operator(0)]);
        assert_eq!(code(said), *expected, "case {i}");
    }
    drop(cases);
    // The receiving region's own rules.
    let accept = |b: &Border, key: &ed25519_dalek::SigningKey, day: Option<domovoi::registry::text::Day>| {
        b.receiving.clone().try_say(Body::TransferAccepted(b.accept_body(&offer)), day, &[key])
    };
    assert_eq!(code(accept(&b, &OBLAST.operator(1), Some(day("2026-10-01")))), "rule.signer.authority");
    assert_eq!(code(accept(&b, &OBLAST.root(), Some(day("2026-10-01")))), "rule.signer.authority");
    assert_eq!(code(accept(&b, &MOSCOW.operator(0), Some(day("2026-10-01")))), "rule.key.unknown");
    assert_eq!(code(accept(&b, &OBLAST.operator(0), None)), "rule.effective_from");
    let house = |handle| {
        let mut taken = b.receiving.clone();
        let building = if handle == 7 { 2 } else { 1 };
        taken.chat(&[building], handle);
        code(taken.try_say(Body::TransferAccepted(stale.clone()), Some(day("2026-10-01")), &[&OBLAST.operator(0)]))
    };
    assert_eq!(house(99), "rule.chat.one_per_house");
    assert_eq!(house(7), "rule.chat.taken");
    // An older head of the leaving log proves the offer as well as the newest.
    b.receiving.say(Body::TransferAccepted(stale), Some(day("2026-10-01")), &[&OBLAST.operator(0)]);
    b.replays();
}

#[test]
fn buildings_are_found_by_any_of_their_ids_and_must_lie_in_the_region_now() {
    let mut b = Border::new();
    // In the receiving log the building stands under another primary id.
    b.leaving.build(4, vec![]);
    b.receiving.build(5, vec![building(4)]);
    b.chat = b.leaving.chat(&[4], 11);
    let offer = b.offer();
    let mut body = b.accept_body(&offer);
    let accept = |b: &mut Border, body: &TransferAccepted| {
        b.receiving.try_say(Body::TransferAccepted(body.clone()), Some(day("2026-10-01")), &[&OBLAST.operator(0)])
    };
    assert_eq!(code(accept(&mut b, &body)), "rule.building.unknown");
    body.buildings.0[0] = building(5);
    // Meanwhile the region's boundary has moved away from the building: it stays registered, but takes no chat.
    let chain = pinned(&[MOSCOW, OBLAST, TVER]);
    let moved = advanced(&chain, |c| {
        let oblast = c.regions.0.iter_mut().find(|r| r.origin.as_str() == OBLAST.origin()).unwrap();
        oblast.oktmo = List(vec!["47".parse().unwrap()]);
    });
    let mut elsewhere = Border { leaving: b.leaving.clone(), receiving: b.receiving.clone(), chat: b.chat };
    elsewhere.receiving.given(&moved);
    elsewhere.receiving.adopt();
    assert_eq!(code(accept(&mut elsewhere, &body)), "rule.oktmo.region");
    accept(&mut b, &body).unwrap();
    assert_eq!(b.there().unwrap().buildings, [building(5)]);
    b.replays();
}

#[test]
fn a_declined_offer_cannot_be_accepted_and_the_chat_stays() {
    let mut b = Border::new();
    let offer = b.offer();
    let declined = b.decline(&offer).unwrap();
    assert_eq!(code(b.accept(&offer)), "rule.transfer.settled");
    assert_eq!(code(b.decline(&offer)), "rule.transfer.settled");
    assert!(b.there().is_none());
    // The leaving side believes the proof, not the word.
    assert_eq!(code(b.release(&offer, Ending::Accepted, Some(declined))), "rule.transfer.proof");
    assert_eq!(code(b.release(&offer, Ending::Declined, Some(RecordId([1; 32])))), "rule.transfer.proof");
    assert_eq!(code(b.release(&offer, Ending::Declined, None)), "rule.transfer.answer");
    b.release(&offer, Ending::Declined, Some(declined)).unwrap();
    assert_eq!(b.here().owner().unwrap().authority, MOSCOW.authority(0));
    assert_eq!(code(b.release(&offer, Ending::Declined, Some(declined))), "rule.transfer.unknown");
    // It can be offered again; the old answer is no answer to the new offer.
    let again = b.offer();
    assert_ne!(again, offer);
    assert_eq!(code(b.release(&again, Ending::Declined, Some(declined))), "rule.transfer.proof");
    b.accept(&again).unwrap();
    b.replays();
}

#[test]
fn an_abandoned_offer_ends_by_proof_that_nobody_accepted_in_time() {
    let mut b = Border::new();
    let offer = b.offer();
    let deadline = b.offered(&offer).1.accept_before.get();
    // Before the deadline absence proves nothing.
    assert_eq!(code(b.release(&offer, Ending::Expired, None)), "rule.transfer.early");
    let late = b.accept_body(&offer);
    b.receiving.tick(deadline - 1);
    assert_eq!(code(b.release(&offer, Ending::Expired, None)), "rule.transfer.early");
    b.receiving.tick(deadline);
    assert_eq!(code(b.release(&offer, Ending::Expired, Some(offer))), "rule.transfer.answer");
    b.release(&offer, Ending::Expired, None).unwrap();
    assert_eq!((b.here().status(), &b.here().offered), (ChatStatus::Official, &None));
    // And nobody can accept it afterwards, with whatever proof.
    let said = b.receiving.try_say(Body::TransferAccepted(late), Some(day("2026-10-01")), &[&OBLAST.operator(0)]);
    assert_eq!(code(said), "rule.transfer.deadline");
    assert_eq!(code(b.decline(&offer)), "rule.transfer.deadline");
    b.replays();
}

#[test]
fn at_the_deadline_exactly_one_side_can_have_it() {
    for (at, accepted) in [(-1i64, true), (0, false), (1, false)] {
        let mut b = Border::new();
        let offer = b.offer();
        let deadline = b.offered(&offer).1.accept_before.get();
        b.receiving.time = deadline.checked_add_signed(at).unwrap();
        let answer = b.accept(&offer);
        assert_eq!(answer.is_ok(), accepted, "{at} ms from the deadline");
        b.receiving.tick(deadline + STEP);
        let expired = b.release(&offer, Ending::Expired, None);
        assert_eq!(expired.is_ok(), !accepted, "{at} ms from the deadline");
        if let Ok(answer) = answer {
            assert_eq!(expired.unwrap_err().code(), "rule.transfer.proof");
            b.release(&offer, Ending::Accepted, Some(answer)).unwrap();
        }
        let holds = |c: Option<&ChatFacts>| c.is_some_and(ChatFacts::is_active);
        assert!(holds(Some(b.here())) != holds(b.there()), "{at} ms from the deadline");
        b.replays();
    }
}

#[test]
fn two_acceptances_race_and_one_is_taken() {
    let mut b = Border::new();
    let offer = b.offer();
    let first = b.accept_body(&offer);
    b.leaving.build(8, vec![]);
    // The same acceptance with a fresher proof is another record, made against the same state.
    let second = b.accept_body(&offer);
    let entries = [first, second].map(|a| {
        Region::sign(b.receiving.draft(Body::TransferAccepted(a), Some(day("2026-10-01"))), &[&OBLAST.operator(0)])
    });
    b.receiving.submit(&entries[0]).unwrap();
    assert_eq!(code(b.receiving.submit(&entries[1])), "rule.stale");
    assert_eq!(code(b.receiving.submit(&entries[0])), "rule.known");
    // Made anew against the present state it is refused all the same.
    assert_eq!(code(b.accept(&offer)), "rule.transfer.settled");
    b.replays();
}

#[test]
fn an_offer_is_to_one_region_and_no_other_can_take_it() {
    let mut b = Border::new();
    let chain = pinned(&[MOSCOW, OBLAST, TVER]);
    let mut tver = Region::new(TVER, &chain);
    tver.build(1, vec![]);
    let offer = b.offer();
    let body = b.accept_body(&offer);
    let said = tver.try_say(Body::TransferAccepted(body), Some(day("2026-10-01")), &[&TVER.operator(0)]);
    assert_eq!(code(said), "rule.transfer.offer");
    let answer = tver.prove(&name(&offer));
    tver.tick(b.offered(&offer).1.accept_before.get() + STEP);
    // What a third log has not heard of proves nothing, either.
    let body = TransferReleased { chat: b.chat, offer, outcome: Ending::Expired, proof: answer, answer: None };
    let said = b.leaving.try_say(Body::TransferReleased(body), Some(day("2026-10-01")), &[&MOSCOW.operator(0)]);
    assert_eq!(code(said), "rule.transfer.proof");
}

#[test]
fn a_chat_can_come_back_and_keeps_its_history() {
    let mut b = Border::new();
    let offer = b.offer();
    let accepted = b.accept(&offer).unwrap();
    // Back again: the same steps with the parts exchanged. The leaving log must have seen the end of its own offer first.
    let back = TransferOffered {
        from: OBLAST.authority(0),
        to: MOSCOW.authority(0),
        receiving: text(&MOSCOW.origin()),
        accept_before: ms(b.receiving.time + 20 * STEP),
        ..b.offer_body()
    };
    let back_id = b.receiving.say(Body::TransferOffered(back.clone()), None, &[&OBLAST.operator(0)]);
    let entry = b.receiving.log[b.receiving.state.index_of(&back_id).unwrap() as usize].clone();
    let take_back = |b: &Border| {
        Body::TransferAccepted(TransferAccepted {
            chat: b.chat,
            offer: back_id,
            leaving: text(&OBLAST.origin()),
            from: back.from.clone(),
            to: back.to.clone(),
            accept_before: back.accept_before,
            owner: back.to.clone(),
            kind: back.kind,
            title: back.title.clone(),
            buildings: back.buildings.clone(),
            entry: Quoted::new(&entry).unwrap(),
            proof: b.receiving.prove(&name(&back_id)),
            link: back.link,
            max: back.max,
            entrance: None,
            service_account: None,
        })
    };
    let body = take_back(&b);
    assert_eq!(code(b.leaving.try_say(body, Some(day("2026-11-01")), &[&MOSCOW.operator(0)])), "rule.transfer.here");
    b.release(&offer, Ending::Accepted, Some(accepted)).unwrap();
    let body = take_back(&b);
    let home = b.leaving.say(body, Some(day("2026-11-01")), &[&MOSCOW.operator(0)]);
    let body = TransferReleased {
        chat: b.chat,
        offer: back_id,
        outcome: Ending::Accepted,
        proof: b.leaving.prove(&name(&back_id)),
        answer: Some(home),
    };
    b.receiving.say(Body::TransferReleased(body), Some(day("2026-11-01")), &[&OBLAST.operator(0)]);
    assert_eq!((b.here().status(), b.there().unwrap().status()), (ChatStatus::Official, ChatStatus::Moved));
    assert_eq!(b.here().owners.len(), 2);
    let history = &b.leaving.state.entry(&format!("chat:{}", b.chat).parse().unwrap()).unwrap().history;
    assert_eq!(history.len(), 4, "registered, offered, released, accepted");
    // An arrival is no mistake that can be superseded.
    let superseded = RecordSuperseded { subject: format!("chat:{}", b.chat).parse().unwrap(), record: home };
    let said = b.leaving.try_say(Body::RecordSuperseded(superseded), None, &[&MOSCOW.operator(0)]);
    assert_eq!(code(said), "rule.transfer.undo");
    b.replays();
}

#[test]
fn who_administered_the_chat_does_so_no_longer_when_it_has_left() {
    let mut b = Border::new();
    let company = ogrn(5);
    let assigned = ManagementAssigned {
        building: building(1),
        form: ManagementForm::Company,
        organisation: Some(company.clone()),
        contract: None,
        licence: None,
    };
    b.leaving.say(Body::ManagementAssigned(assigned), Some(day("2026-09-01")), &[&MOSCOW.operator(0)]);
    let admin = Admin { chat: b.chat, organisation: company };
    b.leaving.say(Body::AdminDelegated(admin), Some(day("2026-09-02")), &[&MOSCOW.operator(0)]);
    let offer = b.offer();
    let accepted = b.accept(&offer).unwrap();
    b.release(&offer, Ending::Accepted, Some(accepted)).unwrap();
    let d = &b.here().admins[0];
    assert_eq!(d.to, Some(day("2026-10-01")));
    assert!(b.there().unwrap().admins.is_empty());
    b.replays();
}

#[test]
fn a_release_needs_the_owner_or_the_root_and_the_open_offer() {
    let mut b = Border::new();
    let offer = b.offer();
    let accepted = b.accept(&offer).unwrap();
    let body =
        |b: &Border, offer: &RecordId| Body::TransferReleased(b.release_body(offer, Ending::Accepted, Some(accepted)));
    let by = |b: &Border, body: Body, key: &ed25519_dalek::SigningKey, on| b.leaving.clone().try_say(body, on, &[key]);
    let on = Some(day("2026-10-01"));
    assert_eq!(code(by(&b, body(&b, &offer), &MOSCOW.operator(1), on)), "rule.signer.authority");
    assert_eq!(code(by(&b, body(&b, &offer), &MOSCOW.operator(0), None)), "rule.effective_from");
    assert_eq!(code(by(&b, body(&b, &accepted), &MOSCOW.operator(0), on)), "rule.transfer.unknown");
    // Where the owner does not, the region's root can record what happened.
    by(&b, body(&b, &offer), &MOSCOW.root(), on).unwrap();
    b.release(&offer, Ending::Accepted, Some(accepted)).unwrap();
}

#[test]
fn a_transfer_record_may_be_longer_than_others_and_others_may_not() {
    let mut b = Border::new();
    let offer = b.offer();
    let mut body = b.accept_body(&offer);
    // As deep a map as a region of millions has, and then some: refused for what it says, not for its length.
    body.proof.map.siblings.0.extend([RecordId([9; 32]); 180]);
    let entry =
        Region::sign(b.receiving.draft(Body::TransferAccepted(body), Some(day("2026-10-01"))), &[&OBLAST.operator(0)]);
    assert!((16_385..65_536).contains(&entry.len()), "{}", entry.len());
    assert_eq!(code(b.receiving.submit(&entry)), "rule.transfer.proof");
    // A long payload of another type is refused whatever it says.
    let mut draft =
        b.receiving.draft(Body::OrganisationNamed(OrganisationNamed { organisation: ogrn(1), name: text("О") }), None);
    draft.batch = Some(text("п"));
    let (_, payload) = domovoi::registry::record::Record::encode(draft).unwrap();
    let padded = [payload.as_slice(), &vec![b' '; 14_000]].concat();
    let long = domovoi::registry::envelope::Envelope::sign(
        padded,
        domovoi::registry::envelope::TYP_RECORD,
        &[&OBLAST.operator(0)],
    );
    assert_eq!(code(b.receiving.submit(&long)), "envelope.too_large");
}
