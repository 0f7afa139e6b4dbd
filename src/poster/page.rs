//! The page: what stands where, and how large, so that it can be read from a step and a half away.

use std::num::NonZeroU16;

use krilla::configure::{Accessibility, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::tagging::TagTree;
use krilla::{Document, SerializeSettings};

use super::drawing::{Column, Ink, Role, Style, rectangle};
use super::type_setting::{Face, tied};
use super::{Poster, day_in_words, qr};
use crate::error::{Error, Result};

/// A4, in points.
const PAGE: (f32, f32) = (595.276, 841.89);
/// What office printers surely print, and room for a frame.
const MARGIN: f32 = 34.0;
const WIDTH: f32 = PAGE.0 - 2.0 * MARGIN;
const HEIGHT: f32 = PAGE.1 - 2.0 * MARGIN;
/// The code with its quiet zone, 80 mm.
const QR: f32 = 228.0;
const BETWEEN: f32 = 4.0;
/// Room between two blocks: at least, and at most.
const GAP: (f32, f32) = (9.0, 30.0);
/// Most houses that are named, and most of those who manage them.
const HOUSES: usize = 8;
const MANAGERS: usize = 3;
/// Twentieths of the type's size for what the register says: at most, at least while several houses are named, at least at all.
const SCALE: (usize, usize, usize) = (25, 15, 7);

const H1: Role = Role::Heading(NonZeroU16::MIN);
const H2: Role = Role::Heading(NonZeroU16::MIN.saturating_add(1));

const fn regular(size: f32) -> Style {
    Style { face: Face::Regular, size, ink: Ink::Black }
}

const fn bold(size: f32, ink: Ink) -> Style {
    Style { face: Face::Bold, size, ink }
}

/// Draws the poster.
pub(super) fn render(poster: &Poster) -> Result<Vec<u8>> {
    let blocks = fitting(poster)?;
    let failed = |why: String| Error::stop("poster.pdf", why, "report this with the chat's number");
    let configuration = ConfigurationBuilder::new()
        .with_accessibility_validator(Accessibility::UA1)
        .finish()
        .map_err(|e| failed(format!("{e:?}")))?;
    let mut document = Document::new_with(SerializeSettings { configuration, ..SerializeSettings::default() });
    let title = format!("{}: {}", poster.headline, poster.addresses.first().map_or("", String::as_str));
    document.set_metadata(
        Metadata::new()
            .title(title.clone())
            .language("ru".into())
            .authors(vec![poster.owner.clone()])
            .creator("domovoi".into())
            .keywords(vec![poster.fingerprint()]),
    );
    let mut outline = Outline::new();
    outline.push_child(OutlineNode::new(title, XyzDestination::new(0, Point::from_xy(0.0, 0.0))));
    document.set_outline(outline);
    let size = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or_else(|| failed("the size of the page".into()))?;
    let mut page = document.start_page_with(size);
    let mut surface = page.surface();
    let mut tree = TagTree::new().with_lang(Some("ru".into()));
    let free = HEIGHT - blocks.iter().map(|b| b.y).sum::<f32>();
    let gap = (free / blocks.len().saturating_sub(1).max(1) as f32).clamp(GAP.0, GAP.1);
    let mut y = MARGIN;
    for block in blocks {
        let height = block.y;
        block.draw(&mut surface, &mut tree, y)?;
        y += height + gap;
    }
    surface.finish();
    page.finish();
    document.set_tag_tree(tree);
    document.finish().map_err(|e| failed(format!("{e:?}")))
}

/// The blocks of the page, the texts of the register as large as fit: first their type gets smaller, then fewer houses are named.
fn fitting(poster: &Poster) -> Result<Vec<Column>> {
    let [head, code, check, fraud, foot] = fixed(poster)?;
    let taken = [&head, &code, &check, &fraud, &foot].iter().map(|b| b.y).sum::<f32>() + 6.0 * GAP.0;
    for most in (1..=poster.addresses.len().clamp(1, HOUSES)).rev() {
        let smallest = if most == 1 { SCALE.2 } else { SCALE.1 };
        for scale in (smallest..=SCALE.0).rev() {
            let [house, facts] = registered(poster, most, scale as f32 / 20.0)?;
            if taken + house.y + facts.y <= HEIGHT {
                return Ok(vec![head, house, code, check, facts, fraud, foot]);
            }
        }
    }
    Err(Error::refuse(
        "poster.size",
        format!("the texts of {} do not fit one page", poster.chat),
        "shorten the address or the owner's name in the register",
    ))
}

/// What every poster says: headline, QR and steps, how to check, advice, small print.
fn fixed(poster: &Poster) -> Result<[Column; 5]> {
    let site = poster.site.shown();
    let mut head = column();
    head.boxed(10.0, true, Ink::Accent, |head| {
        head.fitted(H1, bold(43.0, Ink::White), &poster.headline)?;
        head.text(Role::Paragraph, Style { ink: Ink::White, ..regular(16.0) }, "в мессенджере MAX")
    })?;

    let mut code = Column::new(MARGIN, QR);
    let alt = format!("QR-код: открывает проверку этого чата на {site}");
    code.path(Role::Figure(alt), Ink::Black, qr::path(&poster.target, MARGIN, 0.0, QR)?);
    code.gap(QR);
    let mut steps = Column::new(MARGIN + QR + BETWEEN, WIDTH - QR - BETWEEN);
    steps.gap(12.0);
    steps.text(H2, bold(21.0, Ink::Accent), "Как войти в чат")?;
    for step in [
        "1. Наведите камеру телефона на QR-код.",
        "2. Откроется проверка. Сверьте адрес страницы с тем, что ниже крупно.",
        "3. Если чат официальный, нажмите «Открыть чат в MAX».",
        "Другой путь: приложение «Госуслуги\u{a0}Дом», ваш дом, чат дома.",
    ] {
        steps.gap(5.0);
        steps.text(Role::Paragraph, regular(16.5), step)?;
    }
    code.beside(steps);

    let mut check = column();
    check.text(H2, bold(16.0, Ink::Black), "Проверить самому: наберите адрес вручную")?;
    check.fitted(Role::Paragraph, bold(46.0, Ink::Accent), site)?;
    let compare = "Найдите свой дом. Код проверки на странице его чата должен быть таким:";
    check.text(Role::Paragraph, regular(14.0), compare)?;
    check.text(Role::Paragraph, bold(28.0, Ink::Black), &poster.code.to_string())?;

    let mut fraud = column();
    fraud.boxed(8.0, false, Ink::Accent, |fraud| {
        fraud.text(H2, bold(17.0, Ink::Accent), "Осторожно, мошенники")?;
        let advice = "Никто официальный не просит код из СМС. Если QR-код наклеен поверх другого или открылась страница с \
                      другим адресом, ничего не вводите: наберите адрес вручную.";
        fraud.text(Role::Paragraph, regular(15.0), advice)
    })?;

    let mut foot = column();
    if let Some(rule) = rectangle(MARGIN, 0.0, WIDTH, 0.75) {
        foot.path(Role::Decoration, Ink::Black, rule);
    }
    foot.gap(4.0);
    let said = format!(
        "Номер чата в реестре: {}. Сведения реестра на {}. При смене управляющей организации чат и ссылка остаются прежними.",
        poster.chat,
        day_in_words(poster.as_of),
    );
    foot.text(Role::Paragraph, regular(9.5), &said)?;
    Ok([head, code, check, fraud, foot])
}

/// What the register says: `most` houses by name, then owner and managers, the type `scale` times its size.
fn registered(poster: &Poster, most: usize, scale: f32) -> Result<[Column; 2]> {
    let several = poster.addresses.len() > 1;
    let mut house = column();
    let size = if several { 20.0 } else { 28.0 } * scale;
    for address in poster.addresses.iter().take(most) {
        house.text(H2, bold(size, Ink::Black), &tied(address))?;
    }
    if poster.addresses.len() > most {
        let rest = poster.addresses.len() - most;
        house.text(Role::Paragraph, regular(16.0), &format!("и ещё домов: {rest}; их список — на странице чата"))?;
    }
    let mut facts = column();
    // Long names shrink less than long addresses, and short ones grow less.
    let size = 15.0 * scale.clamp(0.75, 1.2).min(scale * 1.6);
    facts.text(Role::Paragraph, bold(size, Ink::Black), &format!("Владелец чата: {}", poster.owner))?;
    let (what, day) = (if several { "Домами управляют" } else { "Домом управляет" }, day_in_words(poster.as_of));
    let managers = managers(&poster.managers);
    facts.text(Role::Paragraph, regular(size), &format!("{what} (на {day}): {managers}"))?;
    Ok([house, facts])
}

fn column() -> Column {
    Column::new(MARGIN, WIDTH)
}

fn managers(all: &[String]) -> String {
    let named = all.iter().take(MANAGERS).cloned().collect::<Vec<_>>().join("; ");
    match all.len() {
        0 => "в реестре не указано".to_owned(),
        n if n > MANAGERS => format!("{named} и ещё {}", n - MANAGERS),
        _ => named,
    }
}
