//! Join links of MAX chats: one canonical spelling of what people paste, and its digest.
//!
//! A private join link is a key to a house, so the log holds only its SHA-256 ([`LinkDigest`]); whoever holds the link
//! can compute the same digest and ask about that.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::ids::{hex32, shown};
use super::text::serde_as_string;
use crate::error::{Error, Result};

/// Longest text looked at for a link, in bytes.
pub const MAX_LINK: usize = 2048;

const HOST: &str = "max.ru";
const SHORTENERS: [&str; 14] = [
    "clck.ru",
    "bit.ly",
    "tinyurl.com",
    "goo.gl",
    "vk.cc",
    "t.co",
    "is.gd",
    "cutt.ly",
    "u.to",
    "qr.net",
    "qrco.de",
    "rb.gy",
    "ow.ly",
    "goo.su",
];

/// SHA-256 of a canonical join link; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkDigest(
    /// The digest.
    pub [u8; 32],
);
hex32!(LinkDigest, "link.digest");
serde_as_string!(LinkDigest);

impl LinkDigest {
    /// Digest of a link that [`canonical_link`] made.
    pub fn of_link(canonical: &str) -> LinkDigest {
        LinkDigest(Sha256::digest(canonical.as_bytes()).into())
    }
}

fn not_chat(s: &str, why: &str) -> Error {
    Error::refuse(
        "link.not_chat",
        format!("«{}» is no chat's join link: {why}", shown(s)),
        "paste the chat's own link, https://max.ru/join/…",
    )
}

/// White space and punctuation that gets pasted along; never a character of a token.
fn is_wrapping(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "«»„“”\"'`()<>[]{}.,;:!?…*|\u{200b}\u{feff}\u{200e}\u{200f}".contains(c)
}

/// The canonical form `https://max.ru/join/<token>` of a pasted link: with or without scheme and `www.`, with query,
/// fragment, trailing slash or dot, in quotes or brackets.
///
/// # Errors
/// `link.not_chat`, with the reason: a shortener, a foreign or lookalike host, no token.
pub fn canonical_link(pasted: &str) -> Result<String> {
    if pasted.len() > MAX_LINK {
        return Err(not_chat(pasted, "too long"));
    }
    let link = pasted.trim_matches(is_wrapping);
    if link.is_empty() {
        return Err(not_chat(pasted, "empty"));
    }
    let rest = match link.split_once("://") {
        None => link,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err(not_chat(pasted, "neither http nor https")),
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let host = host.to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let host = host.strip_prefix("www.").unwrap_or(host);
    if host != HOST {
        return Err(not_chat(pasted, foreign(host)));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let token =
        path.strip_prefix("/join/").ok_or_else(|| not_chat(pasted, "a page of MAX, but no invitation to a chat"))?;
    let token = token.trim_end_matches(|c| c == '/' || is_wrapping(c));
    if !(43..=44).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(not_chat(pasted, "the part after /join/ is not 43 or 44 letters, digits, - or _"));
    }
    Ok(format!("https://{HOST}/join/{token}"))
}

/// Why a host other than ours is none.
fn foreign(host: &str) -> &'static str {
    if !host.contains('.') {
        return "not a link at all";
    }
    if SHORTENERS.contains(&host) {
        return "a link shortener: it can lead anywhere and can be changed later";
    }
    if !host.is_ascii() || host.split('.').any(|label| label.starts_with("xn--")) {
        return "the host only looks like max.ru: it holds letters of another alphabet";
    }
    if host.contains('@') {
        return "what stands before @ is not the host";
    }
    if host.contains("max") || host.replace("rn", "m").contains(HOST) {
        return "the host only looks like max.ru";
    }
    "a foreign host"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

    #[test]
    fn pasted_links_become_one() {
        let canonical = format!("https://max.ru/join/{TOKEN}");
        for pasted in [
            format!("https://max.ru/join/{TOKEN}"),
            format!("http://max.ru/join/{TOKEN}/"),
            format!("max.ru/join/{TOKEN}"),
            format!("HTTPS://WWW.Max.RU./join/{TOKEN}"),
            format!("  «https://max.ru/join/{TOKEN}».\n"),
            format!("(max.ru/join/{TOKEN}?utm_source=qr#x)"),
            format!("max.ru/join/{TOKEN}/."),
            format!("\u{feff}<max.ru/join/{TOKEN}>;"),
        ] {
            assert_eq!(canonical_link(&pasted).unwrap(), canonical, "{pasted}");
        }
        assert_eq!(canonical_link(&format!("max.ru/join/{TOKEN}-")).unwrap(), format!("{canonical}-"));
    }

    #[test]
    fn what_is_no_chat_link_says_why() {
        for (pasted, why) in [
            (format!("https://mаx.ru/join/{TOKEN}"), "another alphabet"),
            (format!("https://xn--mx-6kc.ru/join/{TOKEN}"), "another alphabet"),
            (format!("https://max.ru.evil.com/join/{TOKEN}"), "only looks like"),
            (format!("https://rnax.ru/join/{TOKEN}"), "only looks like"),
            (format!("https://max.ru@evil.com/join/{TOKEN}"), "before @"),
            (format!("https://evil.com/?max.ru/join/{TOKEN}"), "a foreign host"),
            (format!("https://evil.com\\@max.ru/join/{TOKEN}"), "a foreign host"),
            ("https://clck.ru/3ABCD".into(), "shortener"),
            ("https://max.ru/some_bot".into(), "no invitation"),
            ("https://max.ru".into(), "no invitation"),
            (format!("max.ru/join/{}", &TOKEN[1..]), "43 or 44"),
            (format!("max.ru/join/{TOKEN}ab"), "43 or 44"),
            (format!("max.ru/join/{}я", &TOKEN[2..]), "43 or 44"),
            (format!("max.ru//join/{TOKEN}"), "no invitation"),
            (format!("ftp://max.ru/join/{TOKEN}"), "neither http"),
            ("Ленина 5".into(), "not a link"),
            ("…".into(), "empty"),
        ] {
            let e = canonical_link(&pasted).unwrap_err();
            assert_eq!(e.code(), "link.not_chat");
            assert!(e.detail().contains(why), "{pasted}: {e}");
        }
    }

    #[test]
    fn digest_is_sha256_of_the_canonical_link() {
        let digest = LinkDigest::of_link("abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<LinkDigest>().unwrap(), digest);
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(s in "(https?://)?(www\\.)?max\\.ru/join/[-_0-9a-zA-Z]{42,45}[/?#.я]{0,3}|\\PC{0,80}") {
            if let Ok(link) = canonical_link(&s) {
                prop_assert_eq!(canonical_link(&link).unwrap(), link);
            }
        }
    }
}
