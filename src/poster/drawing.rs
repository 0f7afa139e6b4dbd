//! What stands on the page and what it is to a screen reader: texts, paths and frames in columns, drawn with their tags.

use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect, Transform};
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, ContentTag, SpanTag, Tag, TagGroup, TagTree};

use super::type_setting::{Face, Line, line, wrap};
use crate::error::Result;

/// Height of a line, in sizes of its type, and how far below its upper edge the letters stand.
const LEADING: f32 = 1.2;
const BASELINE: f32 = 0.94;

/// Colours: black, and one more.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    Black,
    Accent,
    White,
}

impl Ink {
    fn color(self) -> rgb::Color {
        match self {
            Ink::Black => rgb::Color::new(0, 0, 0),
            Ink::Accent => rgb::Color::new(0, 64, 140),
            Ink::White => rgb::Color::new(255, 255, 255),
        }
    }
}

/// What something is.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// A heading of this level.
    Heading(std::num::NonZeroU16),
    /// A paragraph.
    Paragraph,
    /// A picture, and what it shows.
    Figure(String),
    /// Nothing to be read out.
    Decoration,
}

enum Mark {
    Text { line: Line, face: Face, size: f32, at: (f32, f32), ink: Ink },
    Filled(Path, Ink),
    Framed(Path, Ink, f32),
}

/// One thing on the page.
struct Item {
    role: Role,
    marks: Vec<Mark>,
}

/// Things below each other. Measures are points, from the upper left corner.
pub(super) struct Column {
    x: f32,
    width: f32,
    /// Where the next thing begins: the height so far.
    pub y: f32,
    items: Vec<Item>,
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub face: Face,
    pub size: f32,
    pub ink: Ink,
}

impl Column {
    /// An empty column.
    pub(super) fn new(x: f32, width: f32) -> Column {
        Column { x, width, y: 0.0, items: Vec::new() }
    }

    /// Leaves room.
    pub(super) fn gap(&mut self, height: f32) {
        self.y += height;
    }

    /// A text, in as many lines as it needs.
    ///
    /// # Errors
    /// `poster.text`.
    pub(super) fn text(&mut self, role: Role, style: Style, text: &str) -> Result<()> {
        let Style { face, size, ink } = style;
        let mut marks = Vec::new();
        for line in wrap(face, text, self.width / size)? {
            marks.push(Mark::Text { line, face, size, at: (self.x, self.y + BASELINE * size), ink });
            self.y += LEADING * size;
        }
        self.items.push(Item { role, marks });
        Ok(())
    }

    /// A text in one line, as large as the width allows and not larger than `style`; below half of that it is broken.
    ///
    /// # Errors
    /// `poster.text`.
    pub(super) fn fitted(&mut self, role: Role, style: Style, text: &str) -> Result<()> {
        let width = line(style.face, text)?.width;
        // A little less than the width, so that rounding breaks nothing.
        let size = (self.width * 0.999 / width.max(0.001)).clamp(style.size / 2.0, style.size);
        self.text(role, Style { size, ..style }, text)
    }

    /// A filled path.
    pub(super) fn path(&mut self, role: Role, ink: Ink, path: Path) {
        self.items.push(Item { role, marks: vec![Mark::Filled(path, ink)] });
    }

    /// What `fill` sets, `pad` away from a frame around it (or on a ground of that ink).
    ///
    /// # Errors
    /// What `fill` fails with.
    pub(super) fn boxed(
        &mut self,
        pad: f32,
        ground: bool,
        ink: Ink,
        fill: impl FnOnce(&mut Column) -> Result<()>,
    ) -> Result<()> {
        let top = self.y;
        let mut inner = Column { x: self.x + pad, width: self.width - 2.0 * pad, y: top + pad, items: Vec::new() };
        fill(&mut inner)?;
        self.y = inner.y + pad;
        if let Some(path) = rectangle(self.x, top, self.width, self.y - top) {
            let mark = if ground { Mark::Filled(path, ink) } else { Mark::Framed(path, ink, 2.0) };
            self.items.push(Item { role: Role::Decoration, marks: vec![mark] });
        }
        self.items.append(&mut inner.items);
        Ok(())
    }

    /// A column beside, which begins as high as this one.
    pub(super) fn beside(&mut self, other: Column) {
        self.y = self.y.max(other.y);
        self.items.extend(other.items);
    }

    /// Draws everything `down` below its place, and hangs it into the tree in the order it was set.
    pub(super) fn draw(self, surface: &mut Surface<'_>, tree: &mut TagTree, down: f32) -> Result<()> {
        surface.push_transform(&Transform::from_translate(0.0, down));
        for item in self.items {
            draw(item, surface, tree)?;
        }
        surface.pop();
        Ok(())
    }
}

fn draw(item: Item, surface: &mut Surface<'_>, tree: &mut TagTree) -> Result<()> {
    let title: String = item.marks.iter().filter_map(text_of).collect();
    let mut group = match &item.role {
        Role::Heading(level) => Some(TagGroup::new(Tag::Hn(*level, Some(title)))),
        Role::Paragraph => Some(TagGroup::new(Tag::P)),
        Role::Figure(alt) => Some(TagGroup::new(Tag::Figure(Some(alt.clone())))),
        Role::Decoration => None,
    };
    for mark in item.marks {
        let content = match (&group, &mark) {
            (None, _) => ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)),
            (Some(_), Mark::Text { .. }) => ContentTag::Span(SpanTag::empty()),
            (Some(_), _) => ContentTag::Other,
        };
        let id = surface.start_tagged(content);
        match mark {
            Mark::Text { line, face, size, at, ink } => {
                surface.set_fill(Some(fill(ink)));
                surface.set_stroke(None);
                let font = face.load()?.font.clone();
                surface.draw_glyphs(Point::from_xy(at.0, at.1), &line.glyphs, font, &line.text, size, false);
            }
            Mark::Filled(path, ink) => {
                surface.set_fill(Some(fill(ink)));
                surface.set_stroke(None);
                surface.draw_path(&path);
            }
            Mark::Framed(path, ink, width) => {
                surface.set_fill(None);
                surface.set_stroke(Some(Stroke { paint: ink.color().into(), width, ..Stroke::default() }));
                surface.draw_path(&path);
            }
        }
        surface.end_tagged();
        if let Some(group) = &mut group {
            group.push(id);
        }
    }
    if let Some(group) = group {
        tree.push(group);
    }
    Ok(())
}

fn text_of(mark: &Mark) -> Option<&str> {
    match mark {
        Mark::Text { line, .. } => Some(&line.text),
        _ => None,
    }
}

fn fill(ink: Ink) -> Fill {
    Fill { paint: ink.color().into(), ..Fill::default() }
}

/// A rectangle.
pub(super) fn rectangle(x: f32, y: f32, width: f32, height: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.push_rect(Rect::from_xywh(x, y, width, height)?);
    path.finish()
}
