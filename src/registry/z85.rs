//! Z85: bytes as text, five characters for four bytes (ZeroMQ RFC 32). Where hashes are most of a text it is a sixteenth
//! shorter than base64. Any four bytes have one spelling.

/// The characters, by their value.
const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The text of whole groups of four bytes; a rest that is no group is not in it.
pub fn encode(bytes: &[u8]) -> String {
    let (groups, _) = bytes.as_chunks::<4>();
    let digits = |group: &[u8; 4]| {
        let n = u32::from_be_bytes(*group);
        [52_200_625, 614_125, 7225, 85, 1].map(|power| char::from(DIGITS[(n / power % 85) as usize]))
    };
    groups.iter().flat_map(digits).collect()
}

/// The bytes of a text; none where it is not the text of any.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, []) = text.as_bytes().as_chunks::<5>() else { return None };
    let mut bytes = Vec::with_capacity(groups.len() * 4);
    for group in groups {
        let mut n: u32 = 0;
        for c in group {
            let digit = DIGITS.iter().position(|d| d == c)?;
            n = n.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        bytes.extend(n.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The test case of the RFC, and what no text of four bytes is.
    #[test]
    fn it_is_what_the_rfc_says() {
        let bytes = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
        assert_eq!(encode(&bytes), "HelloWorld");
        assert_eq!(decode("HelloWorld"), Some(bytes.to_vec()));
        assert_eq!((encode(&[0xff; 4]), encode(&[])), ("%nSc0".to_owned(), String::new()));
        for no in ["Hello Worl", "HelloWorl", "%nSc1", "#####", "Hell\u{f6}", "Hell\"", "Hell\n", "1"] {
            assert_eq!(decode(no), None, "{no}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_one_spelling(groups in prop::collection::vec(any::<[u8; 4]>(), 0..40)) {
            let bytes = groups.concat();
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_the_spelling_of_its_bytes_or_of_none(text in "[0-9a-zA-Z.:+=^!/*?&<>()\\[\\]{}@%$#-]{0,20}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
