//! What looks like something else: skeletons of Unicode Technical Standard #39, of texts and of host names.
//!
//! Two texts with one skeleton look alike to people. Skeletons depend on the Unicode version a program is built with, so
//! they are for readers only: nothing that is hashed or decided by a rule may depend on one.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The skeleton of a text (UTS #39, section 4).
pub fn skeleton(s: &str) -> String {
    unicode_security::skeleton(s).collect()
}

/// What the host `max.ru` consists of, as skeletons: `m` is drawn like `rn`.
const DRAWN: &str = "rnaxu.";

/// What a letter of a host stands for among the letters of `max.ru`: itself or another that is drawn the same, small or
/// capital (`м` is drawn like no small Latin letter, but its capital `М` is `M`).
pub fn stands_for(letter: char) -> Option<String> {
    let drawn = |s: &String| !s.is_empty() && s.chars().all(|c| DRAWN.contains(c));
    let small = Some(skeleton(&letter.to_string())).filter(drawn);
    small.or_else(|| {
        let capital: String = letter.to_uppercase().collect();
        Some(skeleton(&skeleton(&capital).to_lowercase())).filter(drawn)
    })
}

/// True where a part of the host is drawn like `max` or `maxru`: `mах.ru` with Cyrillic letters, `rnax.ru`,
/// `max.ru.example`, `my-max.example`, `xn--mx-7kc.ru`.
pub fn looks_like_max(host: &str) -> bool {
    let labels = host.split('.').map(|label| {
        let coded = label.get(..4).filter(|p| p.eq_ignore_ascii_case("xn--")).and_then(|_| label.get(4..));
        coded.and_then(idna::punycode::decode_to_string).unwrap_or_else(|| label.to_owned())
    });
    let plain = labels.collect::<Vec<_>>().join(".").nfkd().collect::<String>().to_lowercase();
    let letters = plain.chars().filter(|c| !is_combining_mark(*c));
    let drawn: String = letters.map(|c| stands_for(c).unwrap_or_else(|| c.to_string())).collect();
    drawn.split(['.', '-', '_']).any(|part| part == "rnax" || part == "rnaxru")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_look_like_max() {
        for host in [
            "mаx.ru",
            "мах.ru",
            "МАХ.RU",
            "rnax.ru",
            "ｍax.example",
            "𝐦𝐚𝐱.ru",
            "mäx.ru",
            "xn--mx-7kc.ru",
            "XN--MX-7KC.ru",
            "max.ru.example.com",
            "max-ru.example",
            "maxru.example",
            "login.max.example",
        ] {
            assert!(looks_like_max(host), "{host}");
        }
        for host in ["maxim.ru", "climax.ru", "дом.рф", "xn--d1aqf.xn--p1ai", "mex.ru", "vk.com", "xn--", "example"]
        {
            assert!(!looks_like_max(host), "{host}");
        }
    }
}
