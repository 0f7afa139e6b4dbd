//! The vectors of section 10 beside the first charter: a later version with every optional member, and a policy.

use domovoi::federation::charter::Charter;
use domovoi::federation::draft::next;
use domovoi::federation::keys::retire;
use domovoi::federation::policy::tlog_policy;
use domovoi::federation::roles::*;
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::envelope::{Envelope, TYP_CHARTER};
use domovoi::registry::ids::RecordId;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::text::{Millis, Text};
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::note::NoteSigner;

use super::{T0, key};

/// A second version that says all that a version can: payload and digest; and the policy of its log.
pub fn next_charter(first: &[u8]) -> (String, String) {
    let text = |s: &str| Text::new(s).unwrap();
    let first = Charter::open(first).unwrap();
    let mut body = next(&first, T0 + 60_000, T0 + 600_000).unwrap();
    let line = |name: &str, n: u8| CosignerVkey::from(Cosigner::new(name, key(n)).unwrap().verifier().clone());
    let origin = body.regions.0[0].origin.clone();
    body.regions.0[0].log_vkey = text(&NoteSigner::new(origin.as_str(), key(13)).unwrap().verifier().to_string());
    body.regions.0[0].cosigners = Some(Cosigners {
        witness: List(vec![line("chats.example/witness", 21)]),
        mirror: Some(line("chats.example/mirror", 22)),
        verifier: Some(line("chats.example/verifier", 23)),
    });
    body.witnesses = Some(List(vec![Witness {
        name: text("Свидетель"),
        vkey: line("witness.example", 24),
        url: text("https://witness.example"),
    }]));
    body.quorums = Some(Quorums { witness: 1, mirror: 0, verifier: 0 });
    body.announced = Some(List(vec![AnnouncedKey {
        role: KeyRole::Commit,
        region: Some(body.regions.0[0].code),
        key: KeyBytes(PublicKey::of(&key(14))),
        from: Millis::new(T0 + 120_000).unwrap(),
    }]));
    body.cuts =
        Some(List(vec![Cut {
            origin, size: 15, root: RecordId([7; 32]), reason: text("утрачена вершина подписи")
        }]));
    retire(first.charter(), &mut body, |_| RetireReason::Lost).unwrap();
    let bytes = Charter::sign(&body, &[&key(1)]).unwrap();
    let second = first.succeed(&bytes).unwrap();
    let payload = Envelope::parse(&bytes, TYP_CHARTER, 1 << 20).unwrap().payload;
    let policy = tlog_policy(second.charter(), second.regions()[0].origin.as_str()).unwrap();
    (format!("{}\ndigest {}", String::from_utf8(payload).unwrap(), second.sha256()), policy.trim_end().to_owned())
}
