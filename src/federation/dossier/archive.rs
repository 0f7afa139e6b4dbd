//! The container of a dossier: a ZIP archive without compression, in one spelling, so that any unzip opens it and nothing
//! but what is signed fits in.
//!
//! Every local header, the central directory and the end record follow from the names and bytes of the files alone: no
//! times, no attributes, no comments, no extra fields, no gaps. Reading is therefore comparing: the files are taken out in
//! order, the archive is written again, and must be equal to the byte. What another ZIP reader might see otherwise (a second
//! directory, names that differ, bytes in between) has no place.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Bytes of the largest dossier.
pub const MAX_LEN: usize = 32 << 20;
/// Most files of a dossier.
pub const MAX_FILES: usize = 17_000;
/// Bytes of the longest name.
const MAX_NAME: usize = 40;

/// Files by name, sorted.
pub type Files = BTreeMap<String, Vec<u8>>;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Version needed to extract (2.0), no flags, method stored, 1980-01-01 00:00: the first moment a ZIP can name.
const FIXED: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

fn bad(what: &str) -> Error {
    Error::refuse("dossier.container", format!("dossier: {what}"), "get the dossier again, as the node made it")
}

fn too_large(what: String) -> Error {
    Error::refuse("dossier.too-large", what, "a dossier has at most 32 MiB in 17 000 files")
}

/// Lower-case letters, digits, `.` and `/` between parts that do not begin with a dot: no way out of a folder, one spelling
/// on every file system.
fn is_name(name: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with('.')
            && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.')
    };
    name.len() <= MAX_NAME && name.split('/').all(part)
}

/// CRC, size twice, length of the name, no extra field: alike in both headers.
fn sizes(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let size = u32::try_from(bytes.len()).map_err(|_| too_large(format!("{name} has {} bytes", bytes.len())))?;
    let name_len = u16::try_from(name.len()).map_err(|_| bad("a name is too long"))?;
    let mut out = crc.sum().to_le_bytes().to_vec();
    out.extend(size.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(name_len.to_le_bytes());
    out.extend([0, 0]);
    Ok(out)
}

/// Writes the archive of these files.
///
/// # Errors
/// `dossier.too-large`; `dossier.container` for a name that is none.
pub fn write(files: &Files) -> Result<Vec<u8>> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        if !is_name(name) {
            return Err(bad("a file has a name that none of a dossier has"));
        }
        let (sizes, at) = (sizes(name, bytes)?, out.len());
        out.extend(LOCAL);
        out.extend(FIXED);
        out.extend(&sizes);
        out.extend(name.as_bytes());
        out.extend(bytes);
        if out.len() > MAX_LEN || files.len() > MAX_FILES {
            return Err(too_large(format!("a dossier of {} files has more than it may", files.len())));
        }
        directory.extend(CENTRAL);
        directory.extend([20, 0]);
        directory.extend(FIXED);
        directory.extend(&sizes);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend((at as u32).to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, len, count) = (out.len() as u32, directory.len() as u32, files.len() as u16);
    out.extend(directory);
    out.extend(END);
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    match out.len() <= MAX_LEN {
        true => Ok(out),
        false => Err(too_large(format!("a dossier of {} bytes", out.len()))),
    }
}

/// True where bytes begin like a ZIP archive.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(LOCAL)
}

/// Takes an archive apart.
///
/// # Errors
/// `dossier.too-large`; `dossier.container` for everything that [`write()`] would not have written.
pub fn read(bytes: &[u8]) -> Result<Files> {
    if bytes.len() > MAX_LEN {
        return Err(too_large(format!("a file of {} bytes", bytes.len())));
    }
    let mut files = Files::new();
    let mut rest = bytes;
    // Only what is needed to find the files is read here; all else is compared below.
    while let Some(header) = rest.strip_prefix(LOCAL) {
        let (header, after) = header.split_first_chunk::<26>().ok_or_else(|| bad("it ends in a header"))?;
        let size = u32::from_le_bytes([header[14], header[15], header[16], header[17]]) as usize;
        let name_len = usize::from(u16::from_le_bytes([header[22], header[23]]));
        let (name, after) = after.split_at_checked(name_len).ok_or_else(|| bad("it ends in a name"))?;
        let (content, after) = after.split_at_checked(size).ok_or_else(|| bad("it ends in a file"))?;
        let name = std::str::from_utf8(name).ok().filter(|n| is_name(n));
        let name = name.ok_or_else(|| bad("a file has a name that none of a dossier has"))?;
        if files.len() == MAX_FILES {
            return Err(too_large("an archive of too many files".into()));
        }
        if files.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(bad("its files are not sorted and distinct"));
        }
        files.insert(name.to_owned(), content.to_vec());
        rest = after;
    }
    match write(&files)? == bytes {
        true => Ok(files),
        false => Err(bad("it is not in its one spelling")),
    }
}
