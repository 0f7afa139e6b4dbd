//! Texts as lines of glyphs: shaped once, so that what was measured is what is drawn.

use std::sync::LazyLock;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, UnicodeBuffer};

use crate::error::{Error, Result};

/// A face of PT Sans (ParaType, SIL Open Font Licence 1.1, `font/OFL.txt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Regular,
    Bold,
}

/// A face, ready to shape with and to draw with.
pub(super) struct Loaded {
    pub font: Font,
    shaper: rustybuzz::Face<'static>,
}

fn load(bytes: &'static [u8]) -> Option<Loaded> {
    Some(Loaded { font: Font::new(bytes.into(), 0)?, shaper: rustybuzz::Face::from_slice(bytes, 0)? })
}

static REGULAR: LazyLock<Option<Loaded>> = LazyLock::new(|| load(include_bytes!("font/PTSans-Regular.ttf")));
static BOLD: LazyLock<Option<Loaded>> = LazyLock::new(|| load(include_bytes!("font/PTSans-Bold.ttf")));

impl Face {
    /// The face.
    ///
    /// # Errors
    /// `poster.font`, were the program's own font damaged.
    pub(super) fn load(self) -> Result<&'static Loaded> {
        let face = match self {
            Face::Regular => &REGULAR,
            Face::Bold => &BOLD,
        };
        face.as_ref().ok_or_else(|| {
            Error::stop("poster.font", "the program's own font cannot be read", "install the program again")
        })
    }
}

/// A line of text in one face; measures are in ems.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub text: String,
    pub glyphs: Vec<KrillaGlyph>,
    /// Width without the white space at its end.
    pub width: f32,
}

/// Shapes one line.
///
/// # Errors
/// `poster.text` for a character that the font lacks.
pub(super) fn line(face: Face, text: &str) -> Result<Line> {
    let loaded = face.load()?;
    let em = loaded.shaper.units_per_em() as f32;
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.guess_segment_properties();
    buffer.set_direction(Direction::LeftToRight);
    let shaped = rustybuzz::shape(&loaded.shaper, &[], buffer);
    let (infos, positions) = (shaped.glyph_infos(), shaped.glyph_positions());
    let mut glyphs = Vec::with_capacity(infos.len());
    for (i, (info, position)) in infos.iter().zip(positions).enumerate() {
        let start = info.cluster as usize;
        if info.glyph_id == 0 {
            let missing = text[start..].chars().next().unwrap_or(' ');
            let detail = format!("the poster's font has no {missing:?} (U+{:04X})", u32::from(missing));
            return Err(Error::refuse("poster.text", detail, "correct the name or address in the register"));
        }
        let end = infos[i..].iter().map(|g| g.cluster as usize).find(|&c| c != start).unwrap_or(text.len());
        let [advance, x, y, down] =
            [position.x_advance, position.x_offset, position.y_offset, position.y_advance].map(|n| n as f32 / em);
        glyphs.push(KrillaGlyph::new(GlyphId::new(info.glyph_id), advance, x, y, down, start..end, None));
    }
    let seen = text.trim_end().len();
    let width = glyphs.iter().filter(|g| g.text_range.start < seen).map(|g| g.x_advance).sum();
    Ok(Line { text: text.to_owned(), glyphs, width })
}

/// Breaks a text into lines of at most `width` ems: between words, and within a word only where it alone is wider.
///
/// # Errors
/// `poster.text`.
pub(super) fn wrap(face: Face, text: &str, width: f32) -> Result<Vec<Line>> {
    let measure = |text: &str| line(face, text).map(|l| l.width);
    let (mut lines, mut open) = (Vec::new(), String::new());
    // Spaces that do not break stay within their word.
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let longer = if open.is_empty() { word.to_owned() } else { format!("{open}{word}") };
        if measure(&longer)? <= width {
            open = format!("{longer} ");
            continue;
        }
        if !open.is_empty() {
            lines.push(line(face, &open)?);
        }
        open.clear();
        let mut rest = word;
        while measure(rest)? > width {
            let fits = |end: &usize| measure(&rest[..*end]).is_ok_and(|w| w <= width);
            let ends: Vec<usize> = rest.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
            // At least one character, so that it ends.
            let end = ends[ends.partition_point(fits).saturating_sub(1)];
            lines.push(line(face, &rest[..end])?);
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            open = format!("{rest} ");
        }
    }
    if !open.is_empty() {
        lines.push(line(face, open.trim_end())?);
    }
    Ok(lines)
}

/// Binds short words that end in a dot, and signs of numbers, to what they belong to: «д. 5» does not break.
pub(super) fn tied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            let before = out.rsplit([' ', '\u{a0}']).next().unwrap_or_default();
            let binds = before == "№" || before.ends_with('.') && before.chars().count() <= 5;
            out.push(if binds { '\u{a0}' } else { ' ' });
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_lose_nothing() {
        let long = "ъ".repeat(100);
        for text in ["г. Москва, ул. Ленина, д. 5", "Республика Саха (Якутия)", &long, "", "а б  в", "AV То"]
        {
            let text = tied(text);
            for width in [0.1, 2.0, 7.0, 1000.0] {
                let lines = wrap(Face::Bold, &text, width).unwrap();
                let all: String = lines.iter().map(|l| l.text.as_str()).collect();
                assert_eq!(all.replace([' ', '\u{a0}'], ""), text.replace([' ', '\u{a0}'], ""), "{width}");
                let alone = |l: &Line| l.text.trim().chars().count() == 1;
                assert!(lines.iter().all(|l| l.width <= width || alone(l)), "{width}: {lines:?}");
            }
        }
    }

    #[test]
    fn what_belongs_together_stays_so() {
        assert_eq!(tied("ул. Мира, д. 5, подъезд № 2"), "ул.\u{a0}Мира, д.\u{a0}5, подъезд №\u{a0}2");
    }

    #[test]
    fn a_character_without_a_glyph_is_named() {
        let e = line(Face::Regular, "дом 中").unwrap_err();
        assert!(e.code() == "poster.text" && e.detail().contains("U+4E2D"), "{e}");
    }
}
