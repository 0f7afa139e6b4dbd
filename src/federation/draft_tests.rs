use super::super::charter::{FederationLog, RegionOfOne};
use super::super::keys::{placed, retire};
use super::super::policy::tlog_policy;
use super::super::roles::{AnnouncedKey, Quorums, RetireReason, RetiredKey, Standing, StandingStatus, Witness};
use super::*;
use crate::tlog::cosignature::Cosigner;
use crate::tlog::note::NoteSigner;

const NOW: u64 = 1_790_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
fn public(n: u8) -> PublicKey {
    PublicKey::of(&key(n))
}
fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}
fn line(name: &str, n: u8) -> String {
    Cosigner::new(name, key(n)).unwrap().verifier().to_string()
}
fn log_line(origin: &str, n: u8) -> String {
    NoteSigner::new(origin, key(n)).unwrap().verifier().to_string()
}
fn base64(n: u8) -> String {
    BASE64URL_NOPAD.encode(&public(n).to_bytes())
}
fn code<T>(result: Result<T>) -> &'static str {
    result.map(drop).expect_err("it is refused").code()
}

/// Root keys 1, 2, 3, two of which sign; one region with a cosigner of each kind, the federation's log, an outside witness.
fn body() -> CharterBody {
    let one = RegionOfOne {
        code: "77".parse().unwrap(),
        name: text("Москва"),
        oktmo: vec!["45".parse().unwrap()],
        authority: "ogrn:1027700132195".parse().unwrap(),
        root_key: public(11),
        commit_key: public(12),
        origin: "log.example/77".into(),
        log_vkey: log_line("log.example/77", 13),
        url: "https://log.example/77".into(),
    };
    let bytes = Charter::of_one(one, NOW, &key(1)).unwrap();
    let mut body = Charter::open(&bytes).unwrap().charter().clone();
    body.root_keys = List((1..=3).map(|n| KeyBytes(public(n))).collect());
    body.threshold = 2;
    let cosigners = |name: &str, n: u8| Cosigners {
        witness: List(vec![line(&format!("{name}/witness"), n).parse().unwrap()]),
        mirror: Some(line(&format!("{name}/mirror"), n + 1).parse().unwrap()),
        verifier: Some(line(&format!("{name}/verifier"), n + 2).parse().unwrap()),
    };
    body.regions.0[0].cosigners = Some(cosigners("77", 14));
    body.federation = Some(FederationLog {
        origin: text("fed.example/log"),
        log_vkey: text(&log_line("fed.example/log", 21)),
        commit_key: KeyBytes(public(22)),
        url: text("https://fed.example/"),
        cosigners: Some(cosigners("fed", 24)),
    });
    let witness = Witness {
        name: text("Свидетель"),
        vkey: line("w.example", 31).parse().unwrap(),
        url: text("https://w.example"),
    };
    body.witnesses = Some(List(vec![witness]));
    body
}

fn first() -> (VerifiedCharter, Vec<u8>) {
    let bytes = Charter::sign(&body(), &[&key(1), &key(2)]).unwrap();
    (Charter::open(&bytes).unwrap(), bytes)
}

fn second(change: impl FnOnce(&mut CharterBody)) -> Result<Draft> {
    let (before, bytes) = first();
    let mut body = next(&before, NOW + 1, NOW + 10).unwrap();
    change(&mut body);
    retire(before.charter(), &mut body, |_| RetireReason::Replaced)?;
    Draft::new(body, Some(&bytes))
}

#[test]
fn a_draft_is_signed_by_one_after_another_joined_and_becomes_a_charter() {
    let draft = second(|b| b.root_keys.0[2] = KeyBytes(public(4))).unwrap();
    let read = |d: &Draft| Draft::parse(d.to_text().unwrap().as_bytes()).unwrap();
    assert_eq!(read(&draft), draft);
    assert_eq!(code(draft.envelope()), "envelope.malformed");
    let (mut a, mut b) = (read(&draft), read(&draft));
    a.sign(&key(1)).unwrap();
    a.sign(&key(1)).unwrap();
    b.sign(&key(4)).unwrap();
    assert_eq!(code(b.sign(&key(9))), "charter.signer");
    assert_eq!(code(a.envelope()), "charter.threshold");
    a.join(&b).unwrap();
    a.join(&b).unwrap();
    let (old, new) = a.tally().unwrap();
    assert_eq!((old.unwrap().signed, new.signed, a.signed_by().unwrap().len()), (1, 2, 2));
    assert!(!old.unwrap().is_enough() && new.is_enough());
    assert_eq!(code(a.envelope()), "charter.threshold");
    a.sign(&key(3)).unwrap();
    let charter = first().0.succeed(&a.envelope().unwrap()).unwrap();
    assert_eq!(charter.sha256(), draft.sha256().unwrap());
    // What is edited after a signature, nobody signed.
    let mut edited = read(&a);
    edited.charter.staleness_hours += 1;
    assert_eq!(edited.tally().unwrap().1.signed, 0);
    assert_eq!(code(a.join(&edited)), "charter.drafts");
    // Signatures that are none count for nothing.
    let mut noise = read(&draft);
    noise.signatures = a.signatures.iter().map(|s| Signed { kid: s.kid, signature: "AAAA".into() }).collect();
    assert!(noise.signed_by().unwrap().is_empty());
}

#[test]
fn what_is_no_draft_is_refused() {
    let draft = second(|_| {}).unwrap();
    let text = draft.to_text().unwrap();
    for (bad, expected) in [
        (text.replace(KIND, "domovoi charter draft v1"), "charter.draft"),
        (text.replace("\"signatures\"", "\"colour\""), "charter.draft"),
        (" ".repeat(MAX_DRAFT + 1), "charter.draft"),
        (text.replace("\"staleness_hours\": 24", "\"staleness_hours\": 0"), "charter.invalid"),
        (text.replace("\"version\": 2", "\"version\": 3"), "charter.sequence"),
    ] {
        assert_eq!(code(Draft::parse(bad.as_bytes())), expected);
    }
    assert_eq!(code(Draft::new(draft.charter.clone(), None)), "charter.draft");
    assert_eq!(code(Draft::new(draft.charter.clone(), Some(&[0xff]))), "charter.draft");
    // A first version needs none before it.
    let mut one = Draft::new(body(), None).unwrap();
    one.sign(&key(1)).unwrap();
    one.sign(&key(2)).unwrap();
    assert!(one.tally().unwrap().0.is_none());
    Charter::open(&one.envelope().unwrap()).unwrap();
    // More have signed than an envelope holds: those who count for both come first.
    let mut many = body();
    many.root_keys = List((41..60).map(|n| KeyBytes(public(n))).collect());
    let mut draft = Draft::new(many, None).unwrap();
    (41..60).for_each(|n| draft.sign(&key(n)).unwrap());
    Charter::open(&draft.envelope().unwrap()).unwrap();
}

#[test]
fn a_key_is_replaced_wherever_it_stands() {
    for n in [1, 11, 12, 13, 14, 15, 16, 21, 22, 24, 25, 26, 31] {
        let draft = second(|b| b.replace_key(&public(n), &public(100)).unwrap()).unwrap();
        let (before, _) = first();
        let (was, is) = (placed(before.charter()).unwrap(), placed(&draft.charter).unwrap());
        let place = |all: &[super::super::keys::Placed], n: u8| {
            let p = all.iter().find(|p| *p.public == public(n).to_bytes()).unwrap();
            (p.role, p.region, p.name.clone())
        };
        assert_eq!(place(&was, n), place(&is, 100), "key {n}");
        let retired = draft.charter.retired.unwrap();
        assert_eq!((retired.0.len(), retired.0[0].key.thumb()), (1, public(n).thumb()));
    }
    assert_eq!(code(body().replace_key(&public(99), &public(100))), "charter.no_key");
}

#[test]
fn keys_are_added_and_root_keys_taken_away() {
    let code77: Option<RegionCode> = Some("77".parse().unwrap());
    let draft = second(|b| {
        b.add_key(KeyRole::FederationRoot, None, &base64(101)).unwrap();
        b.add_key(KeyRole::RegionRoot, code77, &base64(102)).unwrap();
        b.add_key(KeyRole::Mirror, code77, &line("77/mirror-2", 103)).unwrap();
        b.add_key(KeyRole::Verifier, None, &line("fed/verifier-2", 104)).unwrap();
        b.add_key(KeyRole::Witness, code77, &line("77/witness-2", 105)).unwrap();
        b.remove_key(&public(3)).unwrap();
    });
    let charter = draft.unwrap().charter;
    assert_eq!((charter.root_keys.0.len(), charter.regions.0[0].root_keys.0.len()), (3, 2));
    assert_eq!(charter.regions.0[0].cosigners.as_ref().unwrap().witness.0.len(), 2);
    let mut b = body();
    assert_eq!(code(b.remove_key(&public(99))), "charter.no_key");
    assert_eq!(code(b.add_key(KeyRole::Log, code77, &base64(9))), "charter.no_key");
    assert_eq!(code(b.add_key(KeyRole::FederationRoot, None, "AAAA")), "key.encoding");
    assert_eq!(code(b.add_key(KeyRole::RegionRoot, Some("50".parse().unwrap()), &base64(9))), "federation.region");
    assert_eq!(code(b.add_key(KeyRole::Witness, None, "no vkey")), "vkey.form");
    b.federation = None;
    assert_eq!(code(b.add_key(KeyRole::Witness, None, &line("x", 9))), "charter.no_key");
    b.regions.0[0].cosigners = None;
    b.add_key(KeyRole::Witness, code77, &line("77/witness", 14)).unwrap();
}

#[test]
fn announced_and_retired_keys_have_places_that_can_be() {
    let code77: Option<RegionCode> = Some("77".parse().unwrap());
    let announced = |role, region| {
        second(|b| {
            let key = AnnouncedKey { role, region, key: KeyBytes(public(100)), from: Millis::new(0).unwrap() };
            b.announced = Some(List(vec![key]));
        })
    };
    for (role, region) in
        [(KeyRole::FederationRoot, None), (KeyRole::Log, None), (KeyRole::Witness, None), (KeyRole::Mirror, code77)]
    {
        announced(role, region).unwrap();
    }
    for (role, region) in
        [(KeyRole::FederationRoot, code77), (KeyRole::RegionRoot, None), (KeyRole::Log, Some("50".parse().unwrap()))]
    {
        assert_eq!(code(announced(role, region)), "charter.invalid");
    }
    let (before, bytes) = first();
    for (role, region, version) in [
        (KeyRole::FederationRoot, code77, 2),
        (KeyRole::RegionRoot, None, 2),
        (KeyRole::Log, None, 1),
        (KeyRole::Log, None, 3),
    ] {
        let mut body = next(&before, NOW + 1, NOW + 10).unwrap();
        let key = RetiredKey { role, region, key: KeyBytes(public(100)), reason: RetireReason::Lost, version };
        body.retired = Some(List(vec![key]));
        assert_eq!(code(Draft::new(body, Some(&bytes))), "charter.invalid");
    }
    // A key that was announced and is given up: retired, with a reason, or just announced no longer.
    let mut draft = announced(KeyRole::Mirror, code77).unwrap();
    [1, 2].iter().for_each(|n| draft.sign(&key(*n)).unwrap());
    let bytes = draft.envelope().unwrap();
    let second = before.succeed(&bytes).unwrap();
    for given_up in [false, true] {
        let mut third = next(&second, NOW + 2, NOW + 10).unwrap();
        third.announced = None;
        let key = RetiredKey {
            role: KeyRole::Mirror,
            region: code77,
            key: KeyBytes(public(100)),
            reason: RetireReason::Compromised,
            version: 3,
        };
        third.retired = given_up.then(|| List(vec![key]));
        Draft::new(third, Some(&bytes)).unwrap();
    }
}

#[test]
fn a_card_is_signed_by_the_keys_it_names() {
    let region = body().regions.0[0].clone();
    let card = Card::sign(&region, &[&key(11)]).unwrap();
    assert_eq!(Card::open(&card).unwrap(), region);
    assert_eq!(code(Card::open(&Card::sign(&region, &[&key(12)]).unwrap())), "charter.threshold");
    let suspended =
        Standing { status: StandingStatus::Suspended, since: Millis::new(1).unwrap(), reason: text("нет") };
    let bold = Region { standing: Some(suspended), ..region.clone() };
    assert_eq!(code(Card::open(&Card::sign(&bold, &[&key(11)]).unwrap())), "charter.card");
    assert_eq!(code(Card::open(&Envelope::sign(b"{}".to_vec(), TYP_CARD, &[&key(11)]))), "charter.card");
    assert_eq!(code(Card::open(&Charter::sign(&body(), &[&key(1)]).unwrap())), "envelope.header");
}

#[test]
fn a_policy_names_who_may_cosign_and_how_many_must() {
    let mut b = body();
    let of = |b: &CharterBody, origin: &str| tlog_policy(b, origin).unwrap();
    // The region's own node does not cosign it; without quorums nothing is asked for.
    let plain = of(&b, "log.example/77");
    assert!(plain.ends_with("quorum none\n") && !plain.contains("77/witness"), "{plain}");
    assert_eq!(plain.matches("\nwitness ").count(), 2);
    assert!(plain.contains("https://fed.example/witness\n") && plain.contains("https://w.example\n"), "{plain}");
    b.quorums = Some(Quorums { witness: 2, mirror: 0, verifier: 0 });
    assert!(
        of(&b, "log.example/77")
            .ends_with("group all-of-kind-witness 2 witness-1-key-1 witness-2-key-1\nquorum all-of-kind-witness\n")
    );
    // A node's second key is no second voice.
    b.federation
        .as_mut()
        .unwrap()
        .cosigners
        .as_mut()
        .unwrap()
        .witness
        .0
        .push(line("fed/witness-2", 40).parse().unwrap());
    b.quorums = Some(Quorums { witness: 1, mirror: 1, verifier: 1 });
    let whole = of(&b, "log.example/77");
    assert!(whole.contains("group witness-1 any witness-1-key-1 witness-1-key-2\n"), "{whole}");
    assert!(
        whole.ends_with("group good all all-of-kind-witness all-of-kind-mirror all-of-kind-verifier\nquorum good\n")
    );
    assert!(of(&b, "fed.example/log").contains("log fed.example/log+"));
    assert_eq!(code(tlog_policy(&b, "nobody")), "charter.origin");
    // A region that is suspended has no voice, and its log needs no quorum.
    let standing =
        Standing { status: StandingStatus::Withdrawn, since: Millis::new(1).unwrap(), reason: text("ушёл") };
    b.regions.0[0].standing = Some(standing);
    assert!(!of(&b, "fed.example/log").contains("77/witness"));
    assert_eq!(code(charter::check(&b)), "charter.invalid");
    b.quorums = Some(Quorums { witness: 1, mirror: 0, verifier: 0 });
    charter::check(&b).unwrap();
}

#[test]
fn only_cosigners_have_a_voice() {
    use crate::federation::policy::voices;
    let keys = |role| voices(&body(), "elsewhere.example", role).into_iter().flat_map(|v| v.vkeys).count();
    assert_eq!((keys(KeyRole::Mirror), keys(KeyRole::Verifier)), (2, 2));
    assert_eq!(keys(KeyRole::Witness), 3);
    assert_eq!((keys(KeyRole::Log), keys(KeyRole::RegionRoot)), (0, 0));
}
