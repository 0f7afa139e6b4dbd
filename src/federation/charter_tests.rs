use proptest::prelude::*;

use super::*;
use crate::federation::roles::RetireReason;
use crate::registry::envelope::TYP_RECORD;
use crate::tlog::note::NoteSigner;

const NOW: u64 = 1_790_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(n: u8) -> KeyBytes {
    KeyBytes(PublicKey::of(&key(n)))
}

fn vkey(origin: &str, n: u8) -> String {
    NoteSigner::new(origin, key(n)).unwrap().verifier().to_string()
}

fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}

fn moscow() -> RegionOfOne {
    RegionOfOne {
        code: "77".parse().unwrap(),
        name: text("город Москва"),
        oktmo: vec!["45".parse().unwrap()],
        authority: "ogrn:1027700132195".parse().unwrap(),
        root_key: PublicKey::of(&key(2)),
        commit_key: PublicKey::of(&key(3)),
        origin: "log.example/77".into(),
        log_vkey: vkey("log.example/77", 4),
        url: "https://log.example/77".into(),
    }
}

fn of_one() -> Vec<u8> {
    Charter::of_one(moscow(), NOW, &key(1)).unwrap()
}

/// Two regions, 2 of 3 root keys.
fn body() -> CharterBody {
    let mut body = Charter::open(&of_one()).unwrap().charter().clone();
    body.root_keys = List(vec![public(11), public(12), public(13)]);
    body.threshold = 2;
    let mut karelia = body.regions.0[0].clone();
    karelia.code = "10".parse().unwrap();
    karelia.oktmo = List(vec!["86".parse().unwrap()]);
    karelia.origin = text("log.example/10");
    karelia.log_vkey = text(&vkey("log.example/10", 5));
    karelia.root_keys = List(vec![public(6)]);
    karelia.commit_key = public(7);
    body.regions.0.push(karelia);
    body
}

fn signed(body: &CharterBody, by: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = by.iter().map(|&n| key(n)).collect();
    Charter::sign(body, &keys.iter().collect::<Vec<_>>()).unwrap()
}

fn refusal<T>(result: Result<T>) -> String {
    result.err().map_or("accepted".into(), |e| format!("{} {}", e.code(), e.detail()))
}

/// Version 2 of `first`, changed by `change`.
fn next(first: &VerifiedCharter, change: impl FnOnce(&mut CharterBody)) -> CharterBody {
    let mut body = first.charter().clone();
    body.version += 1;
    body.previous = Some(first.sha256());
    change(&mut body);
    keys::retire(first.charter(), &mut body, |_| RetireReason::Replaced).unwrap();
    body
}

#[test]
fn a_charter_of_one_opens_and_says_what_was_asked_for() {
    let bytes = of_one();
    let charter = Charter::open(&bytes).unwrap();
    let payload = Envelope::parse(&bytes, TYP_CHARTER, MAX_CHARTER).unwrap().payload;
    let tagged = [b"domovoi charter v0\n", payload.as_slice()].concat();
    assert_eq!(charter.sha256(), RecordId(Sha256::digest(&tagged).into()));
    let region = charter.region_by_origin("log.example/77").unwrap();
    assert!(charter.region_by_origin("log.example/7").is_none());
    assert!(charter.jurisdiction("log.example/7").is_none());
    let jurisdiction = charter.jurisdiction("log.example/77").unwrap();
    assert_eq!((jurisdiction.region, jurisdiction.root_threshold, jurisdiction.charter_version), (region.code, 1, 1));
    assert_eq!(jurisdiction.commit_key, PublicKey::of(&key(3)));
    let expires = charter.charter().expires.get();
    assert!(!charter.is_expired(NOW) && !charter.is_expired(expires - 1) && charter.is_expired(expires));
}

#[test]
fn a_municipality_lies_in_the_region_with_its_prefix() {
    let mut body = body();
    body.regions.0[0].oktmo = List(vec!["118".parse().unwrap(), "45".parse().unwrap()]);
    body.regions.0[1].oktmo = List(vec!["117".parse().unwrap()]);
    let charter = Charter::open(&signed(&body, &[11, 12])).unwrap();
    let of = |s: &str| charter.region_of_oktmo(&s.parse().unwrap()).map(|r| r.code.number());
    assert_eq!(
        [of("11801000"), of("11701000"), of("45301000"), of("11"), of("86701000")],
        [Some(77), Some(10), Some(77), None, None]
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    type Change = fn(&mut CharterBody);
    let cases: [(&str, Change); 26] = [
        ("charter.format", |b| b.format = 1),
        ("version, previous", |b| b.version = 0),
        ("version, previous", |b| b.version = 2),
        ("version, previous", |b| b.previous = Some(RecordId([1; 32]))),
        ("version, previous", |b| (b.version, b.previous) = (1 << 53, Some(RecordId([1; 32])))),
        ("version, previous", |b| b.expires = b.issued),
        ("threshold is not", |b| b.threshold = 0),
        ("threshold is not", |b| b.threshold = 4),
        ("threshold is not", |b| {
            b.root_keys = List((11..21).map(public).collect());
            b.threshold = 9;
        }),
        ("threshold is not", |b| b.root_keys.0.clear()),
        ("threshold is not", |b| b.root_keys.0[2] = public(11)),
        ("staleness", |b| b.staleness_hours = 0),
        ("record version", |b| b.record_versions.0.clear()),
        ("root threshold of region 77", |b| b.regions.0[0].root_threshold = 0),
        ("root threshold of region 10", |b| b.regions.0[1].root_threshold = 2),
        ("root threshold of region 10", |b| b.regions.0[1].root_keys = List(vec![public(6), public(6)])),
        ("no ОКТМО prefix", |b| b.regions.0[0].oktmo.0.clear()),
        ("not named like its log", |b| b.regions.0[0].origin = text("log.example/78")),
        ("vkey", |b| b.regions.0[0].log_vkey = text("log.example/77+00000000+AAAA")),
        ("named twice", |b| b.regions.0[1].code = b.regions.0[0].code),
        ("named twice", |b| {
            (b.regions.0[1].origin, b.regions.0[1].log_vkey) =
                (b.regions.0[0].origin.clone(), b.regions.0[0].log_vkey.clone());
        }),
        ("named twice", |b| b.regions.0[1].commit_key = public(3)),
        ("named twice", |b| b.regions.0[0].commit_key = public(11)),
        ("named twice", |b| b.regions.0[0].commit_key = public(2)),
        ("overlaps", |b| b.regions.0[1].oktmo.0.push("453".parse().unwrap())),
        ("overlaps", |b| {
            // The two that overlap are not neighbours in order.
            b.regions.0[0].oktmo.0.push("451".parse().unwrap());
            b.regions.0[1].oktmo.0.push("452".parse().unwrap());
        }),
    ];
    assert_eq!(refusal(Charter::open(&signed(&body(), &[11, 12]))), "accepted");
    for (i, (expected, change)) in cases.iter().enumerate() {
        let mut changed = body();
        change(&mut changed);
        let refusal = refusal(Charter::open(&signed(&changed, &[11, 12])));
        assert!(refusal.contains(expected), "case {i}: {refusal}");
    }
}

#[test]
fn the_decoder_is_strict() {
    let payload = serde_json::to_string(&body()).unwrap();
    let open = |payload: &str, typ| {
        let keys = [key(11), key(12)];
        refusal(Charter::open(&Envelope::sign(payload.into(), typ, &[&keys[0], &keys[1]])))
    };
    assert_eq!(open(&payload, TYP_CHARTER), "accepted");
    assert!(open(&payload, TYP_RECORD).starts_with("envelope.header"));
    for (changed, expected) in [
        (payload.replacen("{", r#"{"colour":1,"#, 1), "unknown field"),
        (payload.replacen("{", r#"{"format":0,"#, 1), "duplicate field"),
        (payload.replacen(r#""code":"#, r#""colour":1,"code":"#, 1), "unknown field"),
        (payload.replacen(r#""threshold":2"#, r#""threshold":2.0"#, 1), "invalid type"),
        (payload.replacen(r#""threshold":2,"#, "", 1), "missing field"),
        (format!("{payload} x"), "trailing"),
        (payload[..payload.len() - 1].to_owned(), "EOF"),
    ] {
        assert_ne!(changed, payload);
        let refusal = open(&changed, TYP_CHARTER);
        assert!(refusal.starts_with("charter.invalid") && refusal.contains(expected), "{refusal}");
    }
    assert!(refusal(Charter::open(&vec![b'{'; MAX_CHARTER + 1])).starts_with("envelope.too_large"));

    let mut many = body();
    many.regions = List(vec![many.regions.0[0].clone(); 101]);
    assert!(refusal(Charter::open(&signed(&many, &[11, 12]))).starts_with("charter.invalid"));
}

#[test]
fn a_threshold_of_its_own_root_keys_must_sign() {
    for (by, accepted) in [
        (&[11, 13][..], true),
        (&[11, 12, 13], true),
        (&[11, 12, 99], true),
        (&[11], false),
        (&[11, 11], false),
        (&[11, 99, 2], false),
        (&[], false),
    ] {
        // Without any signature there is no envelope: that is another refusal, but a refusal.
        let result = Charter::open(&signed(&body(), by));
        assert_eq!(result.is_ok(), accepted, "{by:?}: {}", refusal(result));
    }
    // A signature of another payload under the right key id does not count.
    let mut other = body();
    other.staleness_hours += 1;
    let forged = Envelope::parse(&signed(&other, &[12]), TYP_CHARTER, MAX_CHARTER).unwrap();
    let mut envelope = Envelope::parse(&signed(&body(), &[11]), TYP_CHARTER, MAX_CHARTER).unwrap();
    envelope.signatures.extend(forged.signatures);
    envelope.signatures.sort_by_key(|(kid, _)| *kid);
    assert!(refusal(Charter::open(&envelope.to_bytes())).starts_with("charter.threshold 1 root keys"));
}

#[test]
fn the_next_version_needs_both_thresholds_and_its_place() {
    let first = Charter::open(&signed(&body(), &[11, 12])).unwrap();
    // Key 11 stays, 12 and 13 go, 21 and 22 come.
    let rolled = next(&first, |b| b.root_keys = List(vec![public(11), public(21), public(22)]));
    for (by, refused) in [
        (&[11, 12, 21][..], None),
        (&[12, 13, 21, 22], None),
        (&[11, 12], Some("charter.threshold 1 root keys of charter version 2")),
        (&[21, 22], Some("charter.threshold 0 root keys of charter version 1")),
        (&[11, 21], Some("charter.threshold 1 root keys of charter version 1")),
    ] {
        let refusal = refusal(first.succeed(&signed(&rolled, by)));
        assert!(refusal.starts_with(refused.unwrap_or("accepted")), "{by:?}: {refusal}");
    }
    let second = first.succeed(&signed(&rolled, &[11, 12, 21])).unwrap();
    assert_eq!(second.charter().version, 2);

    let by = &[11, 12];
    for misplaced in [
        next(&first, |b| b.version = 3),
        next(&first, |b| b.previous = Some(second.sha256())),
        first.charter().clone(),
        next(&second, |_| {}),
    ] {
        assert!(refusal(first.succeed(&signed(&misplaced, by))).starts_with("charter.sequence"));
    }
    // Expiry is a matter of answers: an expired charter still hands over.
    assert!(first.is_expired(u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// One key, one signature: whatever byte is changed, it is another document, and nobody signed that.
    #[test]
    fn no_changed_byte_is_accepted(place in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let mut bytes = of_one();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(Charter::open(&bytes).is_err());
    }

    #[test]
    fn no_cut_or_lengthened_charter_is_accepted(cut in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 1..20)) {
        let bytes = of_one();
        prop_assert!(Charter::open(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(Charter::open(&[&bytes[..], &tail].concat()).is_err());
    }

    /// Signed nonsense: the payload decoder refuses it and does not panic.
    #[test]
    fn a_signed_payload_is_decoded_or_refused(payload in "\\{?(\"(format|version|regions|previous)\":(0|-1|1e400|null|\\[\\{\\}\\]|99999999999999999999|\"я\"),?){0,4}\\}?") {
        let bytes = Envelope::sign(payload.into_bytes(), TYP_CHARTER, &[&key(1)]);
        prop_assert!(Charter::open(&bytes).is_err());
    }
}

#[test]
fn a_region_takes_part_until_a_version_suspends_it_lets_it_go_or_names_it_no_longer() {
    use crate::federation::chain::CharterChain;
    use crate::federation::keys::retire;
    use crate::federation::roles::{Standing, StandingStatus};
    let origin = "log.example/10";
    let first = signed(&body(), &[11, 12]);
    let chain = CharterChain::pinned(&first).unwrap();
    let after = |change: &dyn Fn(&mut CharterBody)| {
        let mut changed = next(chain.latest(), |_| {});
        change(&mut changed);
        let bytes = signed(&changed, &[11, 12]);
        assert!(chain.may_follow(&bytes));
        let mut longer = chain.clone();
        longer.advance(&bytes).unwrap();
        longer
    };
    let standing = |status| {
        after(&move |b| {
            let since = Millis::new(NOW).unwrap();
            b.regions.0[1].standing = Some(Standing { status, since, reason: text("проверка") });
        })
    };
    assert!(!chain.may_follow(&first) && !chain.may_follow(b"nothing"));
    assert!(chain.takes_part(origin).is_ok());
    let said = |chain: CharterChain| refusal(chain.takes_part(origin));
    assert!(said(standing(StandingStatus::Suspended)).contains("is suspended: проверка"));
    assert!(said(standing(StandingStatus::Withdrawn)).contains("has left: проверка"));
    let gone = after(&|b| {
        b.regions.0.truncate(1);
        retire(chain.latest().charter(), b, |_| RetireReason::Replaced).unwrap();
    });
    assert!(said(gone).contains("in the charter no longer"));
}

#[test]
fn an_announced_or_retired_key_has_a_place_that_exists() {
    use crate::federation::roles::{AnnouncedKey, KeyRole, RetiredKey};
    let tried = |change: &dyn Fn(&mut CharterBody)| {
        let mut b = body();
        change(&mut b);
        refusal(Charter::open(&signed(&b, &[11, 12])))
    };
    let announced = |role, region: Option<&str>, n: u8| {
        let region = region.map(|r| r.parse().unwrap());
        let from = Millis::new(NOW).unwrap();
        tried(&move |b| b.announced = Some(List(vec![AnnouncedKey { role, region, key: public(n), from }])))
    };
    let moscow = Some("77");
    for (role, region) in [
        (KeyRole::FederationRoot, None),
        (KeyRole::RegionRoot, moscow),
        (KeyRole::Log, moscow),
        (KeyRole::Witness, None),
    ] {
        assert_eq!(announced(role, region, 90), "accepted", "{role:?}");
    }
    for (role, region) in [
        (KeyRole::FederationRoot, moscow),
        (KeyRole::RegionRoot, None),
        (KeyRole::Log, None),
        (KeyRole::Commit, Some("50")),
    ] {
        assert!(announced(role, region, 90).contains("announced key"), "{role:?}");
    }
    assert!(announced(KeyRole::Log, moscow, 3).contains("announced key"), "a key that is in a place");
    let retired = |role, region: Option<&str>, version| {
        let region = region.map(|r| r.parse().unwrap());
        let reason = RetireReason::Replaced;
        tried(&move |b| b.retired = Some(List(vec![RetiredKey { role, region, key: public(90), reason, version }])))
    };
    for (role, region, version) in [
        (KeyRole::FederationRoot, moscow, 2),
        (KeyRole::RegionRoot, None, 2),
        (KeyRole::Log, moscow, 1),
        (KeyRole::Log, moscow, 2),
    ] {
        assert!(retired(role, region, version).contains("retired key"), "{role:?} in version {version}");
    }
}

#[test]
fn an_announced_key_may_be_given_up() {
    use crate::federation::roles::{AnnouncedKey, KeyRole, RetiredKey};
    let mut first = body();
    let (from, region) = (Millis::new(NOW).unwrap(), Some("77".parse().unwrap()));
    first.announced = Some(List(vec![AnnouncedKey { role: KeyRole::Log, region, key: public(90), from }]));
    let first = Charter::open(&signed(&first, &[11, 12])).unwrap();
    let given_up = next(&first, |b| {
        b.announced = None;
        let (role, reason, version) = (KeyRole::Log, RetireReason::Compromised, 2);
        b.retired = Some(List(vec![RetiredKey { role, region, key: public(90), reason, version }]));
    });
    assert_eq!(refusal(first.succeed(&signed(&given_up, &[11, 12]))), "accepted");
}
