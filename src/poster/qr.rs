//! A QR code as a path: sharp at any size.

use krilla::geom::{Path, PathBuilder, Rect};
use qrcode::{Color, EcLevel, QrCode};

use crate::error::{Error, Result};

/// Light modules around the code that the standard asks for (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// The dark modules of `text`, in a square of `side` with its quiet zone, whose upper edge is at `top`. Dark begins at `left`: the
/// quiet zone on that side lies in the page's margin. A quarter of the code may be dirty or torn (level Q).
///
/// # Errors
/// `poster.qr` where the text is too long.
pub(super) fn path(text: &str, left: f32, top: f32, side: f32) -> Result<Path> {
    let refuse =
        |why: String| Error::refuse("poster.qr", format!("the address of the QR: {why}"), "shorten node.public_url");
    // The reason never repeats the text.
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::Q).map_err(|e| refuse(e.to_string()))?;
    let (width, module) = (code.width(), side / (code.width() + 2 * QUIET) as f32);
    let dark = code.into_colors();
    let mut path = PathBuilder::new();
    for (row, modules) in dark.chunks(width).enumerate() {
        let mut column = 0;
        while column < width {
            // Dark modules beside each other are one rectangle: no hairlines between them.
            let run = modules[column..].iter().take_while(|&&module| module == Color::Dark).count();
            if let Some(rect) = Rect::from_xywh(
                left + column as f32 * module,
                top + (row + QUIET) as f32 * module,
                run as f32 * module,
                module,
            )
            .filter(|_| run > 0)
            {
                path.push_rect(rect);
            }
            column += run.max(1);
        }
    }
    path.finish().ok_or_else(|| refuse("it is empty".into()))
}
