//! The version of a data directory, in a file of its own, so that no version reads what it does not understand.

use std::path::Path;

use super::durable::{read_optional, write_atomic};
use crate::error::{Error, Result};

/// Name of the file in the data directory.
pub const FILE: &str = "FORMAT";
/// Its content. Version 0 may still change between releases; the number goes up when it does not any more.
pub const TEXT: &str = "domovoi data 0\n";

/// Marks `data` as a data directory of this version.
///
/// Errors: `disk.write`.
pub fn create(data: &Path) -> Result<()> {
    write_atomic(&data.join(FILE), TEXT.as_bytes())
}

/// Refuses a directory that is not of this version.
///
/// Errors: `format.missing`, `format.unknown`, `disk.read`.
pub fn check(data: &Path) -> Result<()> {
    let path = data.join(FILE);
    let bytes = read_optional(&path, 256)
        .or_else(|e| if e.code() == "disk.too-large" { Ok(Some(Vec::new())) } else { Err(e) })?;
    match bytes {
        Some(bytes) if bytes == TEXT.as_bytes() => Ok(()),
        Some(bytes) => {
            let found = String::from_utf8_lossy(&bytes);
            Err(Error::stop(
                "format.unknown",
                format!("{} says {:?}, this program reads {:?}", path.display(), found.trim_end(), TEXT.trim_end()),
                "use the program version that wrote the directory, export there and import here; do not edit the file",
            ))
        }
        None => Err(Error::refuse(
            "format.missing",
            format!("{} does not exist", path.display()),
            "check the path, or create a node there with «domovoi init»",
        )),
    }
}
