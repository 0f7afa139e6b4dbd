//! What a region, a key or a proof says beyond its right: well signed, and refused by everybody who reads it.

use domovoi::registry::body::*;
use domovoi::registry::replay::Trust;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::status_proof::StatusProof;
use domovoi::registry::text::Millis;
use domovoi::tlog::tile::TileId;
use domovoi::tlog::tree::{TileSource, inclusion_proof};
use domovoi::tlog::{Hash, leaf_hash};

use crate::regions::*;
use crate::status::{chat, cosigned, cosigner, prove, scene, verify};

fn code<T>(said: domovoi::error::Result<T>) -> String {
    said.err().map_or_else(|| "accepted".into(), |e| e.code().to_owned())
}

fn house(n: usize, place: Place) -> Body {
    Body::BuildingRegistered(Building {
        building: building(n),
        address: text("ул. Чужая, д. 1"),
        oktmo: place.oktmo8().parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: None,
        flats: Some(60),
        year: None,
        emergency: None,
        applicability: None,
    })
}

/// A node that writes this entry and commits it, whatever the rules say: who follows it stops with this code before it.
fn written_all_the_same(region: &Region, entry: Vec<u8>) -> String {
    let chain = pinned(&[MOSCOW, OBLAST]);
    region.replays(&chain);
    let mut lying = region.clone();
    let changes = lying.state.overlay().finish();
    lying.close(vec![entry], changes);
    let (state, result) = lying.replay(&chain, Trust::Verify);
    assert_eq!(leaves_of(&state), leaves_of(&region.state), "the follower keeps what was good, and nothing else");
    code(result)
}

#[test]
fn a_region_cannot_sign_another_regions_building() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (mut moscow, mut oblast) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    moscow.build(1, vec![]);
    oblast.build(2, vec![]);
    // In its own log: neither the authority nor the region's root.
    for key in [MOSCOW.operator(0), MOSCOW.root()] {
        let said = code(moscow.clone().try_say(house(3, OBLAST), None, &[&key]));
        assert!(["rule.oktmo.region", "rule.signer.oktmo"].contains(&said.as_str()), "{said}");
    }
    // In the other's log: keys that are nobody's there.
    for key in [MOSCOW.operator(0), MOSCOW.root(), MOSCOW.commit(), MOSCOW.log()] {
        assert_eq!(code(oblast.clone().try_say(house(3, OBLAST), None, &[&key])), "rule.key.unknown");
    }
    // A record of the other's own, carried into this log.
    let theirs = Region::sign(oblast.draft(house(3, OBLAST), None), &[&OBLAST.operator(0)]);
    assert_ne!(code(moscow.clone().submit(&theirs)), "accepted");
    // And where the node is the liar, whoever follows it holds its log there.
    let own = Region::sign(moscow.draft(house(3, OBLAST), None), &[&MOSCOW.operator(0)]);
    assert!(written_all_the_same(&moscow, own).starts_with("rule."));
    assert!(written_all_the_same(&moscow, theirs).starts_with("rule."));
    assert_eq!(code(oblast.try_say(house(3, OBLAST), None, &[&OBLAST.operator(0)])), "accepted");
}

#[test]
fn a_revoked_key_signs_nothing_whatever_dates_it_writes() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let mut moscow = Region::new(MOSCOW, &chain);
    let (thief, before) = (MOSCOW.operator(0), moscow.time);
    moscow.build(1, vec![]);
    // Made before the revocation, handed in after it.
    let ready = Region::sign(moscow.draft(house(2, MOSCOW), None), &[&thief]);
    let revoked =
        KeyRevoked { key: PublicKey::of(&thief).thumb(), reason: RevokeReason::Compromised, suspect_from: None };
    moscow.say(Body::KeyRevoked(revoked), None, &[&MOSCOW.root()]);
    let dated = |issued: u64, from: Option<&str>| {
        let mut draft = moscow.draft(house(2, MOSCOW), from.map(day));
        draft.issued_at = Millis::new(issued).unwrap();
        Region::sign(draft, &[&thief])
    };
    for entry in [ready, dated(before, None), dated(1, None), dated(moscow.time, None)] {
        assert_eq!(code(moscow.clone().submit(&entry)), "rule.key.revoked");
        assert_eq!(written_all_the_same(&moscow, entry), "rule.key.revoked");
    }
    // It gives itself no successor and takes no other key down with it.
    let other = KeyRevoked {
        key: PublicKey::of(&MOSCOW.operator(1)).thumb(),
        reason: RevokeReason::Compromised,
        suspect_from: None,
    };
    assert_eq!(code(moscow.clone().try_say(Body::KeyRevoked(other), None, &[&thief])), "rule.key.revoked");
    // What it signed before stands, and is found by whoever asks what it signed.
    moscow.replays(&chain);
}

/// A log of less than a tile.
struct OneTile(Vec<Hash>);

impl TileSource for OneTile {
    fn tile(&self, tile: TileId) -> domovoi::error::Result<Vec<Hash>> {
        Ok(self.0[..usize::from(tile.width)].to_vec())
    }
}

#[test]
fn an_old_status_proof_under_a_fresh_checkpoint_proves_nothing() {
    let mut s = scene();
    let old = prove(&s.moscow, &chat(s.first)).to_string();
    assert!(verify(&old, &s.chain, &[]).is_ok());
    let size = s.moscow.log.len();
    let title = ChatAmended {
        chat: s.first,
        title: Some(text("Другой дом")),
        buildings: None,
        link: None,
        max: None,
        service_account: None,
        entrance: None,
    };
    s.moscow.say(Body::ChatAmended(title), None, &[&MOSCOW.operator(0)]);
    let leaves: Vec<_> = s.moscow.log.iter().map(|e| leaf_hash(e)).collect();
    let count = leaves.len() as u64;
    let path = inclusion_proof(&OneTile(leaves), size as u64 - 1, count).unwrap();
    let path: String = path.iter().map(|h| format!("{}\n", h.to_base64())).collect();
    let fresh = String::from_utf8(s.moscow.checkpoint()).unwrap();
    let (facts, tlog) = old.split_once("\n\n").unwrap();
    let (place, _) = tlog.split_once("\n\n").unwrap();
    // The old commit where it stands in the log of today: true, and no state of today. Then the checkpoint alone exchanged.
    let moved = format!("{facts}\n\nc2sp.org/tlog-proof@v1\nindex {}\n{path}\n{fresh}", size - 1);
    let exchanged = format!("{facts}\n\n{place}\n\n{fresh}");
    let by = [cosigner(1).verifier().clone()];
    for (proof, refused) in [(moved, "status.commit"), (exchanged, "proof.length")] {
        assert_eq!(code(verify(&proof, &s.chain, &[])), refused);
        // No cosignature of today makes it fresh.
        assert_eq!(code(verify(&cosigned(&proof, &[(1, 1_800_000_000)]), &s.chain, &by)), refused);
    }
    // The old proof under its own checkpoint goes on to prove what it did, as of then.
    assert!(StatusProof::parse(&old).is_ok() && verify(&old, &s.chain, &[]).is_ok());
}
