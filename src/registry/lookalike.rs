//! What looks like something else: skeletons of Unicode Technical Standard #39, of texts and of host names.
//!
//! Two texts with one skeleton look alike to people. Skeletons depend on the Unicode version a program is built with, so
//! they are for readers only: nothing that is hashed or decided by a rule may depend on one.

use std::sync::LazyLock;

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

/// What a title or a name looks like: small and capital letters, marks, blanks and punctuation apart, two texts with one look
/// are taken for each other. Letters of two alphabets are one where they are drawn the same, small or capital (`В` and `B`), and
/// so are letters and digits (`О` and `0`, `l` and `1`).
pub fn look(text: &str) -> String {
    let small = text.to_lowercase();
    let letters = small.nfkd().filter(|c| !is_combining_mark(*c));
    let mut look = String::with_capacity(small.len());
    letters.for_each(|c| match COMMON.get(c as usize) {
        Some(drawn) => look.push_str(drawn),
        None => look.push_str(&drawn(c)),
    });
    look.retain(char::is_alphanumeric);
    look
}

/// [`drawn`] of Latin, Greek and Cyrillic letters.
static COMMON: LazyLock<Vec<String>> = LazyLock::new(|| (0..0x530).filter_map(char::from_u32).map(drawn).collect());

/// How a small letter is drawn, as a skeleton: like a small ASCII letter or digit where there is one, else like its capital.
fn drawn(letter: char) -> String {
    let small = skeleton(letter.encode_utf8(&mut [0; 4]));
    let letter = if small.is_ascii() { small } else { letter.to_string() };
    skeleton(&skeleton(&letter.to_uppercase()).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_that_look_alike() {
        for (official, other) in [
            ("Чат дома Ленина, 5", "Чaт дoма Лeнинa 5"),
            ("ЧАТ ДОМА", "чат дома"),
            ("Дом 10", "Дом 1О"),
            ("Дом 11", "Дом l1"),
            ("Берёзовая, 3", "Березовая, З"),
            ("ВТБ", "BTБ"),
            ("@dom_bot", "@dоm_b0t"),
            ("@domovoi", "@dornovoi"),
            ("@gzhi_mos", "@gzhlmos"),
        ] {
            assert_eq!(look(official), look(other), "{official} {other}");
        }
        for (one, other) in [
            ("Ленина, 5", "Ленина, 6"),
            ("Ленина, 5", "Лесная, 5"),
            ("Дом 1", "Дом 2"),
            ("@dom_bot", "@dom_bat"),
            ("Наш дом", "Наш двор"),
        ] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
        assert_eq!(look("… !"), "");
    }

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
