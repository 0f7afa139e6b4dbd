//! The files of a zip, each as a stream of its own that can be opened again.
//!
//! A zip says of each file where it lies, how long it is and its checksum. Where it lies is believed, since nothing else is
//! known; length and checksum are held against what really comes out, and a file that lies is refused at its end.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::input::{Input, unreadable};
use crate::error::{Error, Result};

/// Most files of a zip: the whole ГАР has about two thousand.
const MAX_ENTRIES: usize = 20_000;

/// A file of a zip.
#[derive(Debug, Clone)]
pub(super) struct ZipEntry {
    pub(super) name: String,
    start: u64,
    pub(super) packed: u64,
    size: u64,
    crc: u32,
    deflated: bool,
}

pub(super) fn refuse(why: impl std::fmt::Display) -> Error {
    Error::refuse(
        "import.zip",
        format!("the zip archive cannot be read: {why}"),
        "fetch the file again; if it opens on your computer, unpack it and import what is inside",
    )
}

/// The table of contents, without folders.
pub(super) fn entries(input: &Input<'_>) -> Result<Vec<ZipEntry>> {
    let mut zip = ZipArchive::new(BufReader::new(input.open()?)).map_err(refuse)?;
    if zip.len() > MAX_ENTRIES {
        return Err(refuse(format!("{} files, at most {MAX_ENTRIES} are read", zip.len())));
    }
    let mut entries = Vec::new();
    for i in 0..zip.len() {
        let file = zip.by_index_raw(i).map_err(refuse)?;
        if file.is_dir() {
            continue;
        }
        // A name in an old code page still ends in .csv or begins with AS_.
        let name = String::from_utf8_lossy(file.name_raw()).into_owned();
        let (deflated, stored) =
            (file.compression() == CompressionMethod::Deflated, file.compression() == CompressionMethod::Stored);
        if file.encrypted() || !deflated && !stored {
            return Err(refuse(format!("«{name}» is encrypted or packed by a method that is not read")));
        }
        let start = file.data_start().ok_or_else(|| refuse(format!("«{name}» lies nowhere")))?;
        entries.push(ZipEntry {
            name,
            start,
            packed: file.compressed_size(),
            size: file.size(),
            crc: file.crc32(),
            deflated,
        });
    }
    Ok(entries)
}

/// Opens a file of the zip.
pub(super) fn open<'a>(input: &Input<'a>, entry: &ZipEntry) -> Result<Box<dyn Read + 'a>> {
    let mut raw = input.open()?;
    raw.seek(SeekFrom::Start(entry.start)).map_err(unreadable)?;
    let raw = BufReader::with_capacity(1 << 16, raw.take(entry.packed));
    let inner: Box<dyn Read + 'a> = if entry.deflated { Box::new(DeflateDecoder::new(raw)) } else { Box::new(raw) };
    Ok(Box::new(Checked { inner, crc: Crc::new(), size: 0, entry: entry.clone() }))
}

/// A stream that must come out as long, and with the checksum, as was said.
struct Checked<R> {
    inner: R,
    crc: Crc,
    size: u64,
    entry: ZipEntry,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out).map_err(|e| self.lies(&e))?;
        self.crc.update(&out[..n]);
        self.size += n as u64;
        let ended = n == 0 && !out.is_empty();
        if self.size > self.entry.size || ended && (self.size < self.entry.size || self.crc.sum() != self.entry.crc) {
            return Err(self.lies("it is not what the table of contents says"));
        }
        Ok(n)
    }
}

impl<R> Checked<R> {
    fn lies(&self, why: impl std::fmt::Display) -> io::Error {
        io::Error::other(refuse(format!("«{}»: {why}", self.entry.name)))
    }
}
