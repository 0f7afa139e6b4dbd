use curve25519_dalek::constants::EIGHT_TORSION;
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

/// 2^255 − 19 + `delta` with the sign bit as asked, little-endian.
fn near_p(delta: i16, sign: bool) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = (0xed + delta) as u8;
    bytes[31] = if sign { 0xff } else { 0x7f };
    bytes
}

fn small(y: u8, sign: bool) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = y;
    bytes[31] = if sign { 0x80 } else { 0 };
    bytes
}

fn signing_key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// A key that never passed the check: the equation itself is to be blind to torsion in A as well.
fn unchecked(point: EdwardsPoint) -> PublicKey {
    let key = VerifyingKey::from(point);
    PublicKey { thumb: thumbprint(key.as_bytes()), key }
}

/// The rule, written another way: encodings compared by compressing again, the equation in constant-time arithmetic.
fn reference(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let (r, s): ([u8; 32], [u8; 32]) = (signature[..32].try_into().unwrap(), signature[32..].try_into().unwrap());
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
    let Some(point) = CompressedEdwardsY(r).decompress().filter(|p| p.compress().0 == r) else { return false };
    let k = Sha512::new().chain_update(r).chain_update(key.to_bytes()).chain_update(message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&k.into());
    let eight = Scalar::from(8u8);
    let left = EdwardsPoint::mul_base(&s) * eight;
    let a = key.key.to_edwards();
    left == point * eight + (a * eight) * k
}

/// What a key's own holder can make: R = \[r\]B + T, encoded as `encoding` says, and the s that fits.
fn crafted(
    secret: &SigningKey,
    key: &PublicKey,
    r: u64,
    torsion: usize,
    encoding: Option<[u8; 32]>,
    message: &[u8],
) -> [u8; 64] {
    let r = Scalar::from(r);
    let point = EdwardsPoint::mul_base(&r) + EIGHT_TORSION[torsion];
    let encoded = encoding.unwrap_or(point.compress().0);
    let k = Sha512::new().chain_update(encoded).chain_update(key.to_bytes()).chain_update(message).finalize();
    let s = r + Scalar::from_bytes_mod_order_wide(&k.into()) * secret.to_scalar();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&encoded);
    signature[32..].copy_from_slice(s.as_bytes());
    signature
}

/// s + L, which some verifiers take for s.
fn plus_order(mut signature: [u8; 64]) -> [u8; 64] {
    let order = HEXLOWER.decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    signature
}

#[derive(Debug, Clone)]
enum Kind {
    Honest,
    TorsionInR(usize),
    /// R of small order; s = k·a.
    SmallR(usize),
    /// The neutral element as y = p + 1, and as y = 1 with the sign bit.
    NonCanonicalR(bool),
    LargeS,
    OtherMessage,
    Flipped(usize),
    Garbage(Vec<u8>),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Honest),
        3 => (0usize..8).prop_map(Kind::TorsionInR),
        1 => (0usize..8).prop_map(Kind::SmallR),
        1 => any::<bool>().prop_map(Kind::NonCanonicalR),
        1 => Just(Kind::LargeS),
        1 => Just(Kind::OtherMessage),
        1 => (0usize..512).prop_map(Kind::Flipped),
        1 => prop::collection::vec(any::<u8>(), 64).prop_map(Kind::Garbage),
    ]
}

/// A key, the message it is said to have signed, the signature, and the verdict where the kind decides it.
type Case = (PublicKey, Vec<u8>, [u8; 64], Option<bool>);

fn case(kind: &Kind, secret: u8, torsion_in_a: usize, r: u64) -> Case {
    let secret = signing_key(secret);
    let key = match torsion_in_a {
        0 => PublicKey::of(&secret),
        j => unchecked(secret.verifying_key().to_edwards() + EIGHT_TORSION[j]),
    };
    let message = r.to_le_bytes().to_vec();
    let honest = crafted(&secret, &key, r, 0, None, &message);
    let (signature, verdict) = match kind {
        Kind::Honest => (honest, Some(true)),
        Kind::TorsionInR(j) => (crafted(&secret, &key, r, *j, None, &message), Some(true)),
        Kind::SmallR(j) => (crafted(&secret, &key, 0, *j, None, &message), Some(true)),
        Kind::NonCanonicalR(sign) => {
            let encoding = if *sign { small(1, true) } else { near_p(1, false) };
            (crafted(&secret, &key, 0, 0, Some(encoding), &message), Some(false))
        }
        Kind::LargeS => (plus_order(honest), Some(false)),
        Kind::OtherMessage => (crafted(&secret, &key, r, 0, None, b"another"), Some(false)),
        Kind::Flipped(bit) => {
            let mut s = honest;
            s[bit / 8] ^= 1 << (bit % 8);
            (s, None)
        }
        Kind::Garbage(bytes) => (bytes.as_slice().try_into().unwrap(), None),
    };
    (key, message, signature, verdict)
}

fn batch(cases: &[Case]) -> Vec<bool> {
    let items: Vec<(&PublicKey, &[u8], [u8; 64])> = cases.iter().map(|(k, m, s, _)| (k, m.as_slice(), *s)).collect();
    verify_batch(&items)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_verdict(specs in prop::collection::vec((kind(), 1u8..5, prop_oneof![4 => Just(0usize), 1 => 1usize..8], 1u64..1 << 40), 1..24)) {
        let cases: Vec<Case> = specs.iter().map(|(kind, secret, torsion, r)| case(kind, *secret, *torsion, *r)).collect();
        for ((key, message, signature, expected), in_batch) in cases.iter().zip(batch(&cases)) {
            let single = verify_one(key, message, signature);
            prop_assert_eq!(single, in_batch);
            prop_assert_eq!(single, reference(key, message, signature));
            if let Some(expected) = expected {
                prop_assert_eq!(single, *expected);
            }
            if strict_ok(key, message, signature) {
                prop_assert!(single);
            }
        }
    }

    #[test]
    fn canonical_is_what_compressing_gives(bytes in any::<[u8; 32]>()) {
        if let Some(point) = CompressedEdwardsY(bytes).decompress() {
            prop_assert_eq!(canonical(&bytes), point.compress().0 == bytes);
        }
    }

    #[test]
    fn signing_is_strict(secret in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..100)) {
        let secret = SigningKey::from_bytes(&secret);
        let key = PublicKey::of(&secret);
        let signature = sign_strict(&secret, &message);
        prop_assert!(strict_ok(&key, &message, &signature) && verify_one(&key, &message, &signature));
        prop_assert_eq!(&PublicKey::from_bytes(&key.to_bytes()).unwrap(), &key);
    }
}

#[test]
fn culprits_are_named_across_chunks() {
    let bad = [0, 1, 255, 256, 300, 511, 599];
    let cases: Vec<Case> = (0..600)
        .map(|i| {
            case(if bad.contains(&i) { &Kind::OtherMessage } else { &Kind::Honest }, (i % 7) as u8, 0, i as u64 + 1)
        })
        .collect();
    let found: Vec<usize> = batch(&cases).iter().enumerate().filter(|(_, ok)| !**ok).map(|(i, _)| i).collect();
    assert_eq!(found, bad);
    assert!(batch(&cases[2..255]).iter().all(|ok| *ok));
    assert!(verify_batch(&[]).is_empty());
}

#[test]
fn errors_that_cancel_out_without_coefficients_are_found() {
    // s of two good signatures moved apart by one: the plain sum of both equations still holds.
    let mut cases: Vec<Case> = (1..=8).map(|i| case(&Kind::Honest, i, 0, u64::from(i))).collect();
    for (i, add) in [(2, Scalar::ONE), (5, -Scalar::ONE)] {
        let s = Scalar::from_canonical_bytes(cases[i].2[32..].try_into().unwrap()).unwrap() + add;
        cases[i].2[32..].copy_from_slice(s.as_bytes());
    }
    assert_eq!(batch(&cases), [true, true, false, true, true, false, true, true]);
}

#[test]
fn special_encodings() {
    let mut decoded = 0;
    for sign in [false, true] {
        for bytes in (0..=20).map(|y| small(y, sign)).chain((-20..=18).map(|d| near_p(d, sign))) {
            if let Some(point) = CompressedEdwardsY(bytes).decompress() {
                decoded += 1;
                assert_eq!(canonical(&bytes), point.compress().0 == bytes, "{bytes:?}");
            }
        }
    }
    assert!(decoded > 20, "{decoded}");
    assert!(!canonical(&near_p(0, false)) && !canonical(&near_p(-1, true)) && !canonical(&small(1, true)));
    assert!(canonical(&near_p(-1, false)) && canonical(&small(1, false)) && canonical(&small(0, true)));
}

#[test]
fn keys_with_torsion_are_refused() {
    let a = signing_key(9).verifying_key().to_edwards();
    assert!(PublicKey::from_bytes(&a.compress().0).is_ok());
    for torsion in EIGHT_TORSION {
        assert_eq!(PublicKey::from_bytes(&torsion.compress().0).unwrap_err().code(), "key.torsion");
    }
    for torsion in &EIGHT_TORSION[1..] {
        assert_eq!(PublicKey::from_bytes(&(a + torsion).compress().0).unwrap_err().code(), "key.torsion");
    }
    for bytes in [near_p(1, false), near_p(-1, true), small(2, false)] {
        assert_eq!(PublicKey::from_bytes(&bytes).unwrap_err().code(), "key.encoding", "{bytes:?}");
    }
}

#[test]
fn thumbprint_of_rfc_8037() {
    let x = BASE64URL_NOPAD.decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let key = PublicKey::from_bytes(&x.try_into().unwrap()).unwrap();
    assert_eq!(key.thumb().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// The vectors of "Taming the many EdDSAs" (all 15 that ed25519-speccheck ever had in one cases.json), each with what
/// our rule says of the key, and what canonical R and s and the equation say where the key's torsion is overlooked.
#[test]
fn speccheck() {
    const KEY_SMALL: &str = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa";
    const KEY_MIXED: &str = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43";
    const KEY_MIXED_2: &str = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    const KEY_PRIME: &str = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623";
    const KEY_ZERO: &str = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    // Message, key, signature, refusal of the key, verdict of the equation alone.
    #[rustfmt::skip]
    let vectors: [(&str, &str, &str, Option<&str>, bool); 15] = [
        ("2a66241a42a9ee12994d8068dcf1bb7dfc6637b45450acd43711f637fa5080fc", KEY_SMALL,
         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000", Some("key.torsion"), true),
        ("8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6", KEY_SMALL,
         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000", Some("key.torsion"), true),
        ("9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41", KEY_SMALL,
         "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04", Some("key.torsion"), true),
        ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", KEY_SMALL,
         "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04", Some("key.torsion"), true),
        ("9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41", KEY_MIXED,
         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa182ef1a5b928da07fec769cc8a12db6bcf70dab3f3227fa315e9d5e3e01a3405", Some("key.torsion"), true),
        ("aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab", KEY_MIXED,
         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e", Some("key.torsion"), true),
        ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", KEY_MIXED_2,
         "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009", Some("key.torsion"), true),
        ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", KEY_MIXED_2,
         "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09", Some("key.torsion"), true),
        ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", KEY_MIXED_2,
         "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405", Some("key.torsion"), true),
        ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", KEY_PRIME,
         "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514", None, false),
        ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", KEY_PRIME,
         "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22", None, false),
        ("9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41", KEY_MIXED,
         "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f", Some("key.torsion"), false),
        ("9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41", KEY_MIXED,
         "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908", Some("key.torsion"), false),
        ("e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b", KEY_ZERO,
         "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04", Some("key.encoding"), true),
        ("39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f", KEY_ZERO,
         "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04", Some("key.encoding"), true),
    ];
    let hex = |s: &str| HEXLOWER.decode(s.as_bytes()).unwrap();
    for (i, (message, key, signature, refusal, holds)) in vectors.iter().enumerate() {
        let bytes: [u8; 32] = hex(key).try_into().unwrap();
        assert_eq!(PublicKey::from_bytes(&bytes).err().map(|e| e.code()), *refusal, "vector {i}");
        let key = PublicKey { key: VerifyingKey::from_bytes(&bytes).unwrap(), thumb: thumbprint(&bytes) };
        let (message, signature): (_, [u8; 64]) = (hex(message), hex(signature).try_into().unwrap());
        assert_eq!(verify_one(&key, &message, &signature), *holds, "vector {i}");
        assert_eq!(verify_batch(&[(&key, &message, signature)]), [*holds], "vector {i}");
        assert!(!strict_ok(&key, &message, &signature) || *holds, "vector {i}");
    }
}
