//! The check code of a chat's poster: short enough to be compared with the eye or read out over the telephone, so that paper and
//! register can be held against each other without scanning anything (docs/protocol.md, 14).
//!
//! It says which chat and which of its links, and is no secret: everything in it follows from the public log. So an equal code
//! proves nothing about the QR beside it; a different one says that the paper is false or old.

use std::fmt;

use super::ids::ChatNumber;
use super::link::LinkDigest;

/// Crockford's digits: no I, L, O, U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of the chat number's own, after its region.
const OF_NUMBER: usize = 5;
/// Characters of the link's digest.
const OF_LINK: usize = 3;

/// A check code: region, five characters of the chat number, three of the link's digest, one that checks the others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CheckCode([u8; 2 + OF_NUMBER + OF_LINK + 1]);

impl CheckCode {
    /// The code of a chat with this link.
    pub fn of(chat: ChatNumber, link: LinkDigest) -> CheckCode {
        let number = chat.to_string().into_bytes();
        let mut code = [0; 2 + OF_NUMBER + OF_LINK + 1];
        let own = number.iter().filter(|&&c| c != b'-').take(2 + OF_NUMBER);
        let bits = u32::from(link.0[0]) << 8 | u32::from(link.0[1]);
        let linked = (1..=OF_LINK).map(|i| DIGITS[(bits >> (16 - 5 * i) & 31) as usize]);
        for (place, c) in code.iter_mut().zip(own.copied().chain(linked)) {
            *place = c;
        }
        code[code.len() - 1] = check(&code[..code.len() - 1]);
        CheckCode(code)
    }
}

/// The character that checks those before it: ISO 7064's hybrid system with the moduli 33 and 32, which tells every single
/// wrong character.
fn check(code: &[u8]) -> u8 {
    let value = |c: &u8| DIGITS.iter().position(|d| d == c).unwrap_or(0);
    let product = code.iter().fold(32, |product, c| {
        let sum = match (product + value(c)) % 32 {
            0 => 32,
            sum => sum,
        };
        sum * 2 % 33
    });
    DIGITS[(33 - product) % 32]
}

impl fmt::Display for CheckCode {
    /// In groups of three after the region: `77-90Z-M5B-6PF`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &c) in self.0.iter().enumerate() {
            let dash = if i % 3 == 2 { "-" } else { "" };
            write!(f, "{dash}{}", c as char)?;
        }
        Ok(())
    }
}

impl serde::Serialize for CheckCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(number: &str, link: [u8; 32]) -> String {
        CheckCode::of(number.parse().unwrap(), LinkDigest(link)).to_string()
    }

    #[test]
    fn begins_like_the_chat_number_and_goes_on_with_the_link() {
        let mut link = [0; 32];
        // 00001 00010 00011, then a bit that is not in it.
        (link[0], link[1]) = (0b0000_1000, 0b1000_0110);
        let one = code("77-90ZM-53D3-NE82", link);
        assert_eq!(&one[..13], "77-90Z-M51-23");
        link[1] |= 1;
        assert_eq!(code("77-90ZM-53D3-NE82", link), one, "the sixteenth bit is not part of it");
        link[1] ^= 2;
        assert_ne!(code("77-90ZM-53D3-NE82", link), one);
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_told(region in 0usize..3, bits in any::<[u8; 32]>(), link in any::<[u8; 32]>(), at in 0usize..11, other in 0usize..32) {
            let region = ["01", "50", "95"][region].parse().unwrap();
            let good = CheckCode::of(ChatNumber::derive(region, &bits), LinkDigest(link)).0;
            prop_assert_eq!(check(&good[..10]), good[10]);
            let mut wrong = good;
            wrong[at] = DIGITS[other];
            prop_assert_eq!(check(&wrong[..10]) == wrong[10], wrong == good);
        }
    }
}
