//! Join links of MAX chats: one canonical spelling of what people paste, and its digest.
//!
//! A private join link is a key to a house, so the log holds only its SHA-256 ([`LinkDigest`]); whoever holds the link
//! can compute the same digest and ask about that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::char::is_combining_mark;
use utoipa::ToSchema;

use super::ids::{hex32, shown};
use super::lookalike::looks_like_max;
use super::text::serde_as_string;
use crate::error::{Error, Result};

/// Longest text looked at for a link, in bytes.
pub const MAX_LINK: usize = 2048;

/// The host of every join link.
pub const HOST: &str = "max.ru";
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

/// Why a pasted text leads to no chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotChat {
    /// Longer than [`MAX_LINK`].
    TooLong,
    /// Nothing, or nothing visible.
    Empty,
    /// Words only.
    NoLink,
    /// Another scheme than `http` and `https`.
    Scheme,
    /// The host is drawn like `max.ru`, and is another.
    Lookalike,
    /// What stands before `@` is not the host.
    UserInfo,
    /// A link shortener.
    Shortener,
    /// Another site.
    Foreign,
    /// A page of MAX that is no invitation.
    NoInvitation,
    /// What follows `/join/` is no token.
    Token,
    /// A second link beside the chat's.
    TwoLinks,
}

impl NotChat {
    /// The reason for people, in Russian.
    pub fn ru(self) -> &'static str {
        match self {
            NotChat::TooLong => "текст слишком длинный",
            NotChat::Empty => "здесь ничего нет",
            NotChat::NoLink => "это не ссылка",
            NotChat::Scheme => "ссылка не для браузера: она начинается не с https://",
            NotChat::Lookalike => "адрес только похож на max.ru, на деле это другой сайт",
            NotChat::UserInfo => "настоящий адрес стоит после знака @, и это не max.ru",
            NotChat::Shortener => "сокращённая ссылка: она может вести куда угодно, и её можно потом подменить",
            NotChat::Foreign => "это ссылка на другой сайт",
            NotChat::NoInvitation => "это страница MAX, но не приглашение в чат",
            NotChat::Token => "ссылка обрезана или повреждена: после /join/ должно быть 43 или 44 латинских знака",
            NotChat::TwoLinks => "ссылок больше одной, и непонятно, о какой вопрос: вставьте одну",
        }
    }

    /// The reason for people, in English.
    pub fn en(self) -> &'static str {
        match self {
            NotChat::TooLong => "the text is too long",
            NotChat::Empty => "there is nothing here",
            NotChat::NoLink => "this is not a link at all",
            NotChat::Scheme => "no link for a browser: it does not begin with https://",
            NotChat::Lookalike => "the host only looks like max.ru; it is another site",
            NotChat::UserInfo => "the real host stands after the sign @, and it is not max.ru",
            NotChat::Shortener => "a link shortener: it can lead anywhere and can be changed later",
            NotChat::Foreign => "a link to another site",
            NotChat::NoInvitation => "a page of MAX, but no invitation to a chat",
            NotChat::Token => "cut off or damaged: after /join/ there have to be 43 or 44 letters, digits, - or _",
            NotChat::TwoLinks => "there is more than one link, and which one is meant is not clear: paste one",
        }
    }
}

/// The canonical form `https://max.ru/join/<token>` of the one chat link in a pasted text (docs/protocol.md, "Join links").
///
/// # Errors
/// The reason why there is none.
pub fn read_link(pasted: &str) -> std::result::Result<String, NotChat> {
    if pasted.len() > MAX_LINK {
        return Err(NotChat::TooLong);
    }
    let visible: String = pasted.chars().filter(|c| !is_invisible(*c)).collect();
    let (mut token, mut words, mut second) = (None, false, false);
    let mut refused = Vec::new();
    for mut piece in visible.split(|c: char| c.is_whitespace() || c.is_control()).filter(|p| !p.is_empty()) {
        words = true;
        while !piece.is_empty() {
            let (found, rest) = link_in(piece);
            match found {
                Found::Word => {}
                Found::Chat(t) => {
                    second |= token.is_some_and(|first| first != t);
                    token = Some(t);
                }
                Found::Not { why, plain } => {
                    // Beside a chat's link, a page of MAX is its advertisement, a damaged link its shortened display, and
                    // a word with a dot in it no link.
                    let harmless = matches!(why, NotChat::NoInvitation | NotChat::Token);
                    second |= !(harmless || (plain && why == NotChat::Foreign));
                    refused.push(why);
                }
            }
            piece = rest;
        }
    }
    // A trap is named before anything else is.
    let trap = [NotChat::Lookalike, NotChat::UserInfo].into_iter().find(|t| refused.contains(t));
    match (trap, token) {
        (Some(trap), _) => Err(trap),
        (None, Some(_)) if second => Err(NotChat::TwoLinks),
        (None, Some(token)) => Ok(format!("https://{HOST}/join/{token}")),
        (None, None) if !words => Err(NotChat::Empty),
        (None, None) => Err(refused.first().copied().unwrap_or(NotChat::NoLink)),
    }
}

/// [`read_link`] for those who only refuse.
///
/// # Errors
/// `link.not_chat`, with the reason.
pub fn canonical_link(pasted: &str) -> Result<String> {
    read_link(pasted).map_err(|why| {
        Error::refuse(
            "link.not_chat",
            format!("«{}» is no chat's join link: {}", shown(pasted), why.en()),
            "paste the chat's own link, https://max.ru/join/…",
        )
    })
}

/// What a piece of text without white space begins with.
enum Found<'p> {
    Word,
    Chat(&'p str),
    /// A link that leads to no chat; `plain` = without a scheme.
    Not {
        why: NotChat,
        plain: bool,
    },
}

/// Characters that are not seen: soft hyphen, zero-width characters, directions of writing, variants of symbols.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Characters that stand between a link and a word written without a space: quotes, brackets, punctuation, pictures.
fn is_edge(c: char) -> bool {
    match c.is_ascii() {
        true => "\"'`()<>[]{},;:!*|".contains(c),
        false => !c.is_alphanumeric() && !is_combining_mark(c),
    }
}

/// Reads what a piece begins with; the second value is what is left to be read as a piece of its own.
fn link_in(piece: &str) -> (Found<'_>, &str) {
    const ENDS_HOST: [char; 4] = ['/', '?', '#', '\\'];
    let not = |why, plain| (Found::Not { why, plain }, "");
    let split = |s: &'_ str| s.find(ENDS_HOST).unwrap_or(s.len());
    let (before, after) = piece.split_at(split(piece));
    let (plain, authority, path) = match before.strip_suffix(':').zip(after.strip_prefix("//")) {
        Some((before, rest)) => {
            let scheme = &before[before.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| next(before, at))..];
            if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
                return not(NotChat::Scheme, false);
            }
            let (authority, path) = rest.split_at(split(rest));
            (false, authority, path)
        }
        None => (true, before, after),
    };
    if authority.contains('@') {
        // Without scheme and path it is a mail address or the name of a bot.
        return if plain && path.is_empty() { (Found::Word, "") } else { not(NotChat::UserInfo, plain) };
    }
    let authority = authority.trim_end_matches(|c| c == '.' || is_edge(c));
    let (mut host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (authority, ""),
    };
    if plain {
        host = &host[host.rfind(is_edge).map_or(0, |at| next(host, at))..];
    }
    let host = host.trim_matches(|c| c == '.' || is_edge(c)).to_lowercase();
    if plain && !is_host(&host) {
        return (Found::Word, "");
    }
    let host = host.strip_prefix("www.").unwrap_or(&host);
    if host != HOST {
        let why = match host {
            "" => NotChat::NoLink,
            h if h.strip_suffix(HOST).is_some_and(|sub| sub.ends_with('.')) => NotChat::NoInvitation,
            h if SHORTENERS.contains(&h) => NotChat::Shortener,
            h if looks_like_max(h) => NotChat::Lookalike,
            _ => NotChat::Foreign,
        };
        return not(why, plain);
    }
    if !matches!(port, "" | "443" | "80") {
        return not(NotChat::Foreign, plain);
    }
    let Some(path) = path.strip_prefix("/join/") else { return not(NotChat::NoInvitation, plain) };
    let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let (token, rest) = path.split_at(path.find(|c| !is_token(c)).unwrap_or(path.len()));
    if !(43..=44).contains(&token.len()) {
        return not(NotChat::Token, plain);
    }
    let chat = Found::Chat(token);
    // A slash at the end is dropped; query and fragment belong to the link; a word may follow without a space.
    match rest.strip_prefix('/').unwrap_or(rest) {
        "" => (chat, ""),
        more if more.starts_with(['?', '#']) => (chat, ""),
        more if more.starts_with(|c: char| c == '.' || !c.is_ascii() || is_edge(c)) => (chat, more),
        _ => not(NotChat::Token, plain),
    }
}

/// The place after the character at `at`.
fn next(s: &str, at: usize) -> usize {
    at + s[at..].chars().next().map_or(0, char::len_utf8)
}

/// True of what a program would take for a host without seeing a scheme: a dot, and a last part that begins like a word.
fn is_host(host: &str) -> bool {
    let last = host.rsplit_once('.').map_or("", |(_, last)| last);
    last.chars().count() >= 2 && last.starts_with(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digest_is_sha256_of_the_canonical_link() {
        let digest = LinkDigest::of_link("abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<LinkDigest>().unwrap(), digest);
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(s in "(https?://)?(www\\.)?max\\.ru/join/[-_0-9a-zA-Z]{42,45}[/?#.,»я ]{0,3}|\\PC{0,80}") {
            if let Ok(link) = canonical_link(&s) {
                prop_assert_eq!(canonical_link(&link).unwrap(), link);
            }
        }
        #[test]
        fn what_stands_before_a_host_is_never_taken_for_it(host in "[a-z]{1,9}\\.(com|ru|рф)", path in "[/?#][a-z/?&=,;:(]{0,12}", scheme in "(https://)?") {
            let chat = format!("max.ru/join/{}", "A".repeat(43));
            for link in [format!("{scheme}{host}{path}https://{chat}"), format!("{scheme}{host}{path}{chat}")] {
                prop_assert!(read_link(&link).is_err(), "{}", link);
            }
        }
    }
}
