//! Where the bytes of an import come from: memory or a file, read from the start as often as needed, never held whole.
//!
//! What is handed out is the text inside: of a gzip, of a zip of CSV files, of a tar of CSV files (packed or not). Several
//! CSV files in one archive are read as one text, part after part.

use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::archive::{self, ZipEntry};
use super::tar::TarTexts;
use crate::error::{Error, Result};
use crate::registry::ids::RegionCode;
use crate::registry::regions;

/// A stream that can be positioned: archives keep their table of contents at the end.
pub trait Stream: Read + Seek + Send {}
impl<T: Read + Seek + Send> Stream for T {}

/// Something that can be read from its start any number of times.
pub trait Source<'a>: Send + Sync {
    /// A new stream at the first byte.
    ///
    /// # Errors
    /// Whatever the system says.
    fn open(&self) -> io::Result<Box<dyn Stream + 'a>>;
    /// Bytes.
    fn size(&self) -> u64;
}

struct Memory<'a>(&'a [u8]);

impl<'a> Source<'a> for Memory<'a> {
    fn open(&self) -> io::Result<Box<dyn Stream + 'a>> {
        Ok(Box::new(Cursor::new(self.0)))
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The bytes of a file to import.
#[derive(Clone)]
pub struct Input<'a>(Arc<dyn Source<'a> + 'a>);

impl<'a> Input<'a> {
    /// Bytes of a source of the caller's, for example a file.
    pub fn new(source: impl Source<'a> + 'a) -> Input<'a> {
        Input(Arc::new(source))
    }
    /// Bytes, packed as they are.
    pub fn size(&self) -> u64 {
        self.0.size()
    }
    pub(super) fn open(&self) -> Result<Box<dyn Stream + 'a>> {
        self.0.open().map_err(unreadable)
    }
    /// The first bytes, at most `n`.
    pub(super) fn head(&self, n: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(n).read_to_end(&mut head).map_err(unreadable)?;
        Ok(head)
    }
    /// Everything, for readers that need it in memory.
    pub(super) fn whole(&self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open()?.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > most {
            return Err(too_large(format!("the file has more than {most} bytes")));
        }
        Ok(bytes)
    }
}

impl<'a> From<&'a [u8]> for Input<'a> {
    fn from(bytes: &'a [u8]) -> Input<'a> {
        Input::new(Memory(bytes))
    }
}
impl<'a> From<&'a Vec<u8>> for Input<'a> {
    fn from(bytes: &'a Vec<u8>) -> Input<'a> {
        Input::new(Memory(bytes))
    }
}
impl<'a, const N: usize> From<&'a [u8; N]> for Input<'a> {
    fn from(bytes: &'a [u8; N]) -> Input<'a> {
        Input::new(Memory(bytes))
    }
}
impl<'a> From<&Input<'a>> for Input<'a> {
    fn from(input: &Input<'a>) -> Input<'a> {
        input.clone()
    }
}

/// How the text of an input is packed.
enum Packing {
    Plain,
    Gzip,
    Tar { gzip: bool },
    Zip(Vec<ZipEntry>),
}

/// The text inside an input.
pub(super) struct Text<'a> {
    input: Input<'a>,
    packing: Packing,
    region: Option<RegionCode>,
}

impl<'a> Text<'a> {
    /// Looks what `input` is packed in; of an archive whose parts name regions, only those of `region` are read.
    pub(super) fn of(input: &Input<'a>, region: Option<RegionCode>) -> Result<Text<'a>> {
        let head = input.head(512)?;
        let packing = if head.starts_with(&[0x1f, 0x8b]) {
            let mut inside = Vec::new();
            // What is broken here is said by the reading that follows.
            let _ = MultiGzDecoder::new(BufReader::new(input.open()?)).take(512).read_to_end(&mut inside);
            if is_tar(&inside) { Packing::Tar { gzip: true } } else { Packing::Gzip }
        } else if is_tar(&head) {
            Packing::Tar { gzip: false }
        } else if is_zip(&head) {
            let mut tables = archive::entries(input)?;
            tables.retain(|e| is_table(&e.name) && of_region(&e.name, region));
            if tables.is_empty() {
                return Err(archive::refuse("neither an .xlsx workbook nor a zip of .csv files (of this region)"));
            }
            Packing::Zip(tables)
        } else {
            Packing::Plain
        };
        Ok(Text { input: input.clone(), packing, region })
    }

    /// Whether it may be put together of several tables, each with its own header.
    pub(super) fn is_joined(&self) -> bool {
        match &self.packing {
            Packing::Plain | Packing::Gzip => false,
            Packing::Tar { .. } => true,
            Packing::Zip(entries) => entries.len() > 1,
        }
    }

    /// Bytes as they are packed.
    pub(super) fn packed(&self) -> u64 {
        match &self.packing {
            Packing::Zip(entries) => entries.iter().map(|e| e.packed).sum(),
            _ => self.input.size(),
        }
    }

    /// The text from its start, undecoded.
    pub(super) fn open(&self) -> Result<Box<dyn Read + 'a>> {
        if let Packing::Zip(entries) = &self.packing {
            return Ok(Box::new(ZipTexts {
                input: self.input.clone(),
                left: entries.clone().into_iter(),
                current: None,
            }));
        }
        let raw = BufReader::with_capacity(1 << 16, self.input.open()?);
        let region = self.region;
        let take = move |name: &str| is_table(name) && of_region(name, region);
        Ok(match self.packing {
            Packing::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Packing::Tar { gzip: true } => Box::new(TarTexts::new(MultiGzDecoder::new(raw), take)),
            Packing::Tar { gzip: false } => Box::new(TarTexts::new(raw, take)),
            _ => Box::new(raw),
        })
    }
}

/// The files of a zip one after another; a line end is put after each.
struct ZipTexts<'a> {
    input: Input<'a>,
    left: std::vec::IntoIter<ZipEntry>,
    current: Option<Part<'a>>,
}

type Part<'a> = io::Chain<WithoutBom<Box<dyn Read + 'a>>, &'static [u8]>;

impl Read for ZipTexts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.current {
                None => {
                    let Some(next) = self.left.next() else { return Ok(0) };
                    let part = archive::open(&self.input, &next).map_err(io::Error::other)?;
                    self.current = Some(WithoutBom::new(part).chain(&b"\n"[..]));
                }
                Some(part) => match part.read(out)? {
                    0 if !out.is_empty() => self.current = None,
                    n => return Ok(n),
                },
            }
        }
    }
}

/// Whether a file begins like a zip.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn is_table(name: &str) -> bool {
    let name = name.to_lowercase();
    [".csv", ".txt"].iter().any(|end| name.ends_with(end)) && !name.starts_with("__macosx")
}

/// Whether a part belongs to the region: it names it, or names none.
fn of_region(name: &str, region: Option<RegionCode>) -> bool {
    let named = regions_named(name);
    region.is_none_or(|r| named.is_empty() || named.contains(&r))
}

/// The regions a file name names, by the words that are their own.
fn regions_named(name: &str) -> Vec<RegionCode> {
    let words = |text: &str| -> Vec<String> {
        let folded = text.to_lowercase().replace('ё', "е");
        folded.split(|c: char| !c.is_alphanumeric() && c != '-').map(|w| w.trim_matches('-').to_owned()).collect()
    };
    let said = words(name.rsplit_once('/').map_or(name, |(_, file)| file));
    let common = ["республика", "область", "край", "автономный", "автономная", "округ", "город", "народная"];
    let own = |w: &String| w.chars().count() > 2 && !common.contains(&w.as_str());
    let named = regions::all().iter().filter(|r| words(r.name_ru).iter().any(|w| own(w) && said.contains(w)));
    named.map(|r| r.code).collect()
}

/// A stream without the byte order mark it may begin with.
pub(super) struct WithoutBom<R> {
    inner: R,
    start: Option<Cursor<Vec<u8>>>,
}

impl<R: Read> WithoutBom<R> {
    pub(super) fn new(inner: R) -> WithoutBom<R> {
        WithoutBom { inner, start: None }
    }
}

impl<R: Read> Read for WithoutBom<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start.is_none() {
            let mut first = Vec::with_capacity(3);
            Read::by_ref(&mut self.inner).take(3).read_to_end(&mut first)?;
            if first == b"\xef\xbb\xbf" {
                first.clear();
            }
            self.start = Some(Cursor::new(first));
        }
        match self.start.as_mut().map(|s| s.read(out)).transpose()? {
            Some(n) if n > 0 || out.is_empty() => Ok(n),
            _ => self.inner.read(out),
        }
    }
}

/// An error of reading as the crate's own: what a reader below refused stays what it was.
pub(super) fn unreadable(e: io::Error) -> Error {
    match e.downcast::<Error>() {
        Ok(own) => own,
        Err(e) => Error::refuse(
            "import.gzip",
            format!("the file cannot be read or unpacked: {e}"),
            "fetch the file again; it is damaged or cut off",
        ),
    }
}

pub(super) fn too_large(detail: String) -> Error {
    Error::refuse("import.too-large", detail, "split the file into smaller ones")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_named_by_its_own_words() {
        for region in regions::all() {
            let name = format!("Сведения по ОЖФ {} на 01-09-2026_1.csv", region.name_ru);
            assert_eq!(regions_named(&name), [region.code], "{name}");
        }
        let moscow = RegionCode::new(77).ok();
        assert!(of_region("часть/Сведения_по_ОЖФ_Москва_на_01-09-2026_2.csv", moscow));
        assert!(!of_region("Сведения по ОЖФ Московская область на 01-09-2026_1.csv", moscow));
        assert!(of_region("export-reestrmkd-77-20260901.csv", moscow));
    }

    #[test]
    fn a_mark_is_taken_away_once() {
        for (text, want) in [("\u{feff}ab", "ab"), ("ab", "ab"), ("a", "a"), ("", ""), ("\u{feff}\u{feff}", "\u{feff}")]
        {
            let mut out = String::new();
            WithoutBom::new(text.as_bytes()).read_to_string(&mut out).unwrap();
            assert_eq!(out, want);
        }
    }
}
