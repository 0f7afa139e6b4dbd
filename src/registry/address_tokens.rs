//! An address as words, numbers and signs, with everything folded that people spell in several ways: case, `ё`, Latin
//! letters inside Cyrillic words, endings of ordinals.

use unicode_normalization::UnicodeNormalization;

use super::address::MAX_ADDRESS;

/// A word (letters, with inner `-`, `/`, `_`), a number, or one sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Number(String),
    Sign(char),
}

impl Token {
    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        if let Token::Word(w) = self { Some(w) } else { None }
    }
    /// Word or number.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Token::Word(w) | Token::Number(w) => Some(w),
            Token::Sign(_) => None,
        }
    }
    /// Whether it is a number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Token::Number(_))
    }
    /// Whether it is one of these signs.
    pub(super) fn is_any(&self, signs: &str) -> bool {
        matches!(self, Token::Sign(c) if signs.contains(*c))
    }
}

/// The Cyrillic letter that looks like this Latin one, in either case.
fn lookalike(c: char) -> char {
    match c {
        'a' => 'а',
        'b' => 'в',
        'c' => 'с',
        'e' => 'е',
        'h' => 'н',
        'k' => 'к',
        'm' => 'м',
        'o' => 'о',
        'p' => 'р',
        't' => 'т',
        'x' => 'х',
        'y' => 'у',
        other => other,
    }
}

fn is_cyrillic(c: char) -> bool {
    ('\u{400}'..='\u{4ff}').contains(&c)
}

/// Cuts `address` into tokens; at most [`MAX_ADDRESS`] characters are looked at.
pub(super) fn fold(address: &str) -> Vec<Token> {
    let chars: Vec<char> = address
        .nfc()
        .take(MAX_ADDRESS)
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            'ё' => 'е',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '«' | '»' | '“' | '”' | '„' | '\'' | '`' => '"',
            c => c,
        })
        .collect();
    let mut out: Vec<Token> = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        let start = i;
        if c.is_ascii_digit() {
            while i < chars.len() && chars[i].is_ascii_digit() {
                i += 1;
            }
            out.push(Token::Number(chars[start..i].iter().collect()));
            i = skip_ordinal(&chars, i);
        } else if c.is_alphabetic() {
            let inner =
                |i: usize| matches!(chars[i], '-' | '/' | '_') && chars.get(i + 1).is_some_and(|n| n.is_alphabetic());
            while i < chars.len() && (chars[i].is_alphabetic() || inner(i)) {
                i += 1;
            }
            let word = &chars[start..i];
            let mixed = word.len() == 1 || word.iter().any(|&c| is_cyrillic(c));
            out.push(Token::Word(word.iter().map(|&c| if mixed { lookalike(c) } else { c }).collect()));
        } else {
            // Quotes say nothing: «6 "Б"» is 6б.
            if !c.is_whitespace() && !c.is_control() && c != '"' {
                out.push(Token::Sign(c));
            }
            i += 1;
        }
    }
    out
}

/// Skips the ending of an ordinal: «1-я», «2-й», «3-го», «4ая».
fn skip_ordinal(chars: &[char], at: usize) -> usize {
    let hyphen = chars.get(at) == Some(&'-');
    let from = at + usize::from(hyphen);
    let end = from + chars[from..].iter().take_while(|c| c.is_alphabetic()).count();
    let ending: String = chars[from..end].iter().collect();
    let found = match ending.as_str() {
        // Without a hyphen one letter is a house's: «5я» may be one, «5-я» is not.
        "й" | "я" | "е" | "х" => hyphen,
        "ая" | "ый" | "ой" | "ий" | "го" | "ое" | "ья" | "ти" => true,
        _ => false,
    };
    if found { end } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        let shown = |s: &str| fold(s).iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(shown("Пp-кт 1-Я"), r#"Word("пр-кт") Number("1")"#);
        assert_eq!(shown("5к2"), r#"Number("5") Word("к") Number("2")"#);
        assert_eq!(shown("13/15-Б"), r#"Number("13") Sign('/') Number("15") Sign('-') Word("б")"#);
        assert_eq!(shown("«Ёлка» b/н"), r#"Word("елка") Word("в/н")"#);
        assert_eq!(shown("Residence"), r#"Word("residence")"#);
    }
}
