//! Properties of the registry's decoders: no bytes make them panic, what they accept has one spelling, a changed byte of
//! an entry is never taken for another record.

use domovoi::registry::body::{Body, TYPES};
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_CHARTER, TYP_NODE, TYP_RECORD};
use domovoi::registry::facts::Facts;
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{Adopted, DecodedNodeRecord, NodeRecord};
use domovoi::registry::record::{DecodedRecord, Draft, Record, Subject};
use domovoi::registry::row::{decode_row, push_row};
use domovoi::registry::text::{Millis, Text};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn record(name: &str, seed: u8) -> Vec<u8> {
    let body = Body::decode("organisation.named", &format!(r#"{{"organisation":"inn:7707083893","name":{name:?}}}"#));
    let (_, payload) = Record::encode(Draft {
        log: "demo.example/77".into(),
        issued_at: Millis::new(1).unwrap(),
        submit_before: Millis::new(2).unwrap(),
        effective_from: None,
        prev: Some(RecordId([seed; 32])),
        basis: None,
        batch: Some(Text::new("партия").unwrap()),
        body: body.unwrap(),
    })
    .unwrap();
    let keys: Vec<SigningKey> = (0..seed % 3 + 1).map(|i| SigningKey::from_bytes(&[i + 1; 32])).collect();
    Envelope::sign(payload, TYP_RECORD, &keys.iter().collect::<Vec<_>>())
}

fn decode_everything(bytes: &[u8]) {
    for typ in [TYP_RECORD, TYP_NODE, TYP_CHARTER] {
        if let Ok(envelope) = Envelope::parse(bytes, typ, MAX_ENTRY) {
            assert_eq!(envelope.to_bytes(), bytes, "what is accepted has one spelling");
        }
    }
    let _ = DecodedRecord::decode(bytes);
    let _ = DecodedNodeRecord::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Facts::decode(bytes);
    if let Ok(entry) = decode_row(bytes) {
        // Facts are rewritten in their frozen spelling; reading that again gives the same.
        let mut again = Vec::new();
        push_row(&mut again, &entry);
        assert_eq!(decode_row(&again).unwrap(), entry);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Subject>();
        for name in TYPES {
            let _ = Body::decode(name, text);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        decode_everything(&bytes);
    }

    /// Bytes that look right for a while: a real entry with a piece cut out, doubled or overwritten.
    #[test]
    fn no_damaged_entry_makes_a_decoder_panic_or_becomes_another_record(
        seed in any::<u8>(), at in any::<prop::sample::Index>(), len in 0usize..40, with in prop::collection::vec(any::<u8>(), 0..40)
    ) {
        let good = record("Общество «Дом»", seed);
        let at = at.index(good.len());
        let mut bad = good.clone();
        bad.splice(at..(at + len).min(good.len()), with);
        decode_everything(&bad);
        if bad != good
            && let (Ok(was), Ok(now)) = (DecodedRecord::decode(&good), DecodedRecord::decode(&bad))
        {
            // Whatever still reads has another id, or the same payload under other signatures, which verification judges.
            prop_assert!(was.record.id != now.record.id || was.envelope.signatures != now.envelope.signatures);
        }
    }

    #[test]
    fn records_come_back_as_they_were_signed(name in "[А-Яа-яA-Za-z0-9 «»\"-]{1,60}", seed in any::<u8>()) {
        let Ok(name) = Text::normalise(&name) else { return Ok(()) };
        let entry = record(name.as_str(), seed);
        let decoded = DecodedRecord::decode(&entry).unwrap();
        prop_assert_eq!(decoded.envelope.to_bytes(), entry);
        prop_assert_eq!(decoded.record.id, decoded.envelope.id());
        prop_assert!(Envelope::parse(&decoded.envelope.to_bytes(), TYP_NODE, MAX_ENTRY).is_err(), "a typ is not another");
    }

    #[test]
    fn node_records_come_back(version in 0u64..1 << 53, digest in any::<[u8; 32]>()) {
        let adopted = Adopted { v: 0, log: "demo.example/77".into(), version, sha256: RecordId(digest) };
        let (entry, id) = NodeRecord::Adopted(adopted.clone()).sign(&SigningKey::from_bytes(&[9; 32])).unwrap();
        let decoded = DecodedNodeRecord::decode(&entry).unwrap();
        prop_assert_eq!(decoded.id(), id);
        prop_assert_eq!(decoded.record(), &NodeRecord::Adopted(adopted));
    }
}
