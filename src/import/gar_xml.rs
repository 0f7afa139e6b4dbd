//! The XML of the state address register (ГАР): one flat list of elements with attributes, millions of them, read one by one.
//!
//! Nothing is expanded: a file with a document type or an entity of its own is refused. An element has at most
//! [`MAX_ELEMENT`] bytes, elements do not nest, and a file that ends before its root does was cut off.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::input::too_large;
use crate::error::{Error, Result};

/// Most bytes of an element with its attributes, or of what stands between two.
const MAX_ELEMENT: u64 = 256 << 10;
/// Most attributes of an element.
const MAX_ATTRIBUTES: usize = 64;

fn refuse(file: &str, why: impl std::fmt::Display) -> Error {
    Error::refuse(
        "import.xml",
        format!("{file}: {why}"),
        "fetch the archive of ГАР again and give it as it was published",
    )
}

/// Bounds on a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most bytes, unpacked.
    pub(super) bytes: u64,
    /// Most elements.
    pub(super) elements: u64,
}

/// Reads the elements `element` within `root`, and hands over the attributes `names`; those that are missing are empty.
/// Gives the number of elements.
pub(super) fn each<const N: usize>(
    stream: impl Read,
    file: &str,
    bounds: Bounds,
    (root, element): (&str, &str),
    names: [&str; N],
    mut found: impl FnMut(u64, [&str; N]) -> Result<()>,
) -> Result<u64> {
    let bounded = Bounded { inner: BufReader::with_capacity(1 << 16, stream), left: MAX_ELEMENT, total: bounds.bytes };
    let mut reader = Reader::from_reader(bounded);
    reader.config_mut().expand_empty_elements = false;
    let (mut buffer, mut depth, mut count, mut closed) = (Vec::new(), 0u32, 0u64, false);
    loop {
        buffer.clear();
        reader.get_mut().left = MAX_ELEMENT;
        let event = reader.read_event_into(&mut buffer).map_err(|e| broken(file, e))?;
        let start = match event {
            Event::Start(e) => {
                depth += 1;
                if depth == 1 && e.name().as_ref() != root {
                    return Err(refuse(file, format!("its root is «{}», not «{root}»", short(e.name().as_ref()))));
                }
                if depth > 2 {
                    return Err(refuse(file, "elements stand within elements"));
                }
                if depth == 1 {
                    continue;
                }
                e
            }
            Event::Empty(e) if depth == 1 => e,
            // A list without anything in it.
            Event::Empty(e) if depth == 0 && e.name().as_ref() == root => {
                closed = true;
                continue;
            }
            Event::Empty(_) => return Err(refuse(file, "elements stand within elements, or outside the root")),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                closed |= depth == 0;
                continue;
            }
            Event::DocType(_) | Event::GeneralRef(_) => {
                return Err(refuse(file, "it has a document type or entities of its own, which are not read"));
            }
            Event::Eof if closed => return Ok(count),
            Event::Eof => return Err(refuse(file, "it is cut off: the root element is not closed")),
            _ => continue,
        };
        if closed || start.name().as_ref() != element {
            return Err(refuse(
                file,
                format!("«{}» stands where «{element}» is expected", short(start.name().as_ref())),
            ));
        }
        count += 1;
        if count > bounds.elements {
            return Err(too_large(format!("{file}: more than {} elements", bounds.elements)));
        }
        let values = attributes(&start, file, names)?;
        found(count, std::array::from_fn(|i| values[i].as_ref()))?;
    }
}

fn attributes<'e, const N: usize>(
    element: &'e BytesStart<'_>,
    file: &str,
    names: [&str; N],
) -> Result<[Cow<'e, str>; N]> {
    let (mut values, mut seen) = ([const { Cow::Borrowed("") }; N], [false; N]);
    let mut attributes = element.attributes();
    // The library's own look for attributes that come twice costs the square of their number; only those read matter.
    for (n, attribute) in attributes.with_checks(false).enumerate() {
        let attribute = attribute.map_err(|e| refuse(file, e))?;
        if n >= MAX_ATTRIBUTES {
            return Err(refuse(file, format!("an element has more than {MAX_ATTRIBUTES} attributes")));
        }
        if let Some(at) = names.iter().position(|n| *n == attribute.key.as_ref()) {
            if std::mem::replace(&mut seen[at], true) {
                return Err(refuse(file, format!("the attribute {} stands twice in an element", names[at])));
            }
            values[at] = match attribute.value.contains('&') {
                true => attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| broken(file, e))?,
                false => attribute.value,
            };
        }
    }
    Ok(values)
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

/// An error of the XML reader; what a reader below refused stays what it was.
fn broken(file: &str, e: quick_xml::Error) -> Error {
    if let quick_xml::Error::Io(io) = &e
        && let Some(own) = io.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
    {
        return own.clone().at(file);
    }
    refuse(file, e)
}

/// A stream of which each element may take so much, and all of them so much.
struct Bounded<R> {
    inner: BufReader<R>,
    left: u64,
    total: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.total == 0 {
            return Err(io::Error::other(too_large("it unpacks to more bytes than are read".to_owned())));
        }
        if self.left == 0 {
            return Err(io::Error::other(too_large(format!("an element of more than {MAX_ELEMENT} bytes"))));
        }
        self.inner.fill_buf()
    }
    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.left = self.left.saturating_sub(n as u64);
        self.total = self.total.saturating_sub(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, elements: 1000 };

    fn read(text: &[u8], bounds: Bounds) -> Result<Vec<(u64, String, String)>> {
        let mut out = Vec::new();
        each(text, "AS_X", bounds, ("ITEMS", "ITEM"), ["ID", "NAME"], |n, [id, name]| {
            out.push((n, id.to_owned(), name.to_owned()));
            Ok(())
        })?;
        Ok(out)
    }

    fn code(text: &[u8]) -> &'static str {
        read(text, BOUNDS).unwrap_err().code()
    }

    #[test]
    fn elements_one_by_one() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ITEMS><!-- x --><ITEM ID=\"1\" X='2'\n NAME=\"ООО &quot;А&amp;Б&quot;\"/>\n<ITEM NAME='&#x434;'></ITEM></ITEMS>\n";
        let want = [(1, "1".to_owned(), "ООО \"А&Б\"".to_owned()), (2, String::new(), "д".to_owned())];
        assert_eq!(read(text.as_bytes(), BOUNDS).unwrap(), want);
        assert_eq!(read(b"<ITEMS/>", BOUNDS).unwrap(), []);
        assert_eq!(read(b"<ITEMS></ITEMS>", BOUNDS).unwrap(), []);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            &b""[..],
            b"<ITEMS><ITEM ID='1'/>",
            b"<ITEMS><ITEM ID='1'/></ITEM>",
            b"<HOUSES/>",
            b"<ITEMS><OTHER/></ITEMS>",
            b"<ITEMS><ITEM><ITEM/></ITEM></ITEMS>",
            b"<ITEMS/><ITEM ID='1'/>",
            b"<ITEMS><ITEM ID='&who;'/></ITEMS>",
            b"<ITEMS><ITEM ID=1/></ITEMS>",
            b"<ITEMS><ITEM ID='\xff'/></ITEMS>",
            b"<!DOCTYPE x [<!ENTITY a 'b'>]><ITEMS/>",
            b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><ITEMS/>",
            b"<ITEMS>&a;</ITEMS>",
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(read(text, BOUNDS).map_err(|e| e.code()), Err("import.xml"), "{shown}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let huge = format!("<ITEMS><ITEM ID='{}'/></ITEMS>", "1".repeat(400_000));
        assert_eq!(code(huge.as_bytes()), "import.too-large");
        let deep = format!("<ITEMS>{}", "<ITEM>".repeat(100_000));
        assert_eq!(code(deep.as_bytes()), "import.xml");
        let wide: String = (0..100).map(|i| format!(" a{i}='1'")).collect();
        assert_eq!(code(format!("<ITEMS><ITEM{wide}/></ITEMS>").as_bytes()), "import.xml");
        let many = format!("<ITEMS>{}</ITEMS>", "<ITEM ID='1'/>".repeat(1001));
        assert_eq!(code(many.as_bytes()), "import.too-large");
        let long = format!("<ITEMS>{}</ITEMS>", "<ITEM ID='1'/>".repeat(900));
        assert_eq!(read(long.as_bytes(), Bounds { bytes: 1000, ..BOUNDS }).unwrap_err().code(), "import.too-large");
        assert_eq!(read(long.as_bytes(), BOUNDS).unwrap().len(), 900);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in "[<>/='\"&;!a-cITEMS \\x00-\\x7f]{0,200}") {
            let _ = read(bytes.as_bytes(), BOUNDS);
            let _ = read(format!("<ITEMS><ITEM ID='{bytes}'/></ITEMS>").as_bytes(), BOUNDS);
        }
    }
}
