//! The text files of a tar archive as one stream (POSIX ustar; long names of pax and GNU), read from front to back.
//!
//! A size that is not true cannot be told in a tar, which has no checksum over its files: it shows as a header that is none,
//! and that is refused. Nothing is kept but one header and one name.

use std::io::{self, Read};

use crate::error::Error;

const BLOCK: usize = 512;
/// Most bytes of a long name with what stands around it.
const MAX_NAME: u64 = 64 << 10;
/// Most files of an archive.
const MAX_FILES: u32 = 100_000;

fn refuse(why: &str) -> io::Error {
    io::Error::other(Error::refuse(
        "import.tar",
        format!("the tar archive cannot be read: {why}"),
        "fetch the file again; it is damaged or cut off",
    ))
}

/// The files that `take` wants, by their names, one after another; a line end is put after each.
pub(super) struct TarTexts<R, F> {
    inner: R,
    take: F,
    state: State,
    files: u32,
    taken: u32,
}

enum State {
    /// At a header.
    Header,
    /// In a file: bytes left, and padding behind them.
    File {
        part: Option<Start>,
        left: u64,
        padding: u64,
    },
    Ended,
}

/// The first bytes of a file, looked at for a byte order mark.
struct Start {
    bytes: [u8; 3],
    at: usize,
    len: usize,
}

impl<R: Read, F: FnMut(&str) -> bool> TarTexts<R, F> {
    pub(super) fn new(inner: R, take: F) -> TarTexts<R, F> {
        TarTexts { inner, take, state: State::Header, files: 0, taken: 0 }
    }

    fn skip(&mut self, n: u64) -> io::Result<()> {
        let passed = io::copy(&mut Read::by_ref(&mut self.inner).take(n), &mut io::sink())?;
        if passed < n { Err(refuse("it ends in the middle of a file")) } else { Ok(()) }
    }

    /// A header, or none at the end.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..])? {
                // Some writers leave out the two empty blocks.
                0 if filled == 0 => return Ok(None),
                0 => return Err(refuse("it ends in the middle of a header")),
                n => filled += n,
            }
        }
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let sum: u64 =
            block.iter().enumerate().map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b })).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(refuse("a header's checksum is wrong"));
        }
        Ok(Some(block))
    }

    /// Goes on to the next file that is wanted.
    fn advance(&mut self) -> io::Result<State> {
        let mut long: Option<String> = None;
        loop {
            let Some(header) = self.header()? else {
                if self.taken == 0 {
                    return Err(refuse("it holds no .csv file of this region"));
                }
                return Ok(State::Ended);
            };
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(refuse(&format!("more than {MAX_FILES} files")));
            }
            let size = number(&header[124..136]).ok_or_else(|| refuse("a size is no number"))?;
            let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match header[156] {
                kind @ (b'x' | b'L') => {
                    if size > MAX_NAME {
                        return Err(refuse("a name is too long"));
                    }
                    let mut bytes = Vec::new();
                    Read::by_ref(&mut self.inner).take(size).read_to_end(&mut bytes)?;
                    if (bytes.len() as u64) < size {
                        return Err(refuse("it ends in the middle of a name"));
                    }
                    self.skip(padding)?;
                    let name = if kind == b'L' { Some(until_nul(&bytes)) } else { pax_path(&bytes) };
                    long = name.or(long);
                }
                b'0' | 0 => {
                    let name = long.take().unwrap_or_else(|| short_name(&header));
                    if (self.take)(&name) {
                        self.taken += 1;
                        return Ok(State::File { part: None, left: size, padding });
                    }
                    self.skip(size + padding)?;
                }
                _ => {
                    long = None;
                    self.skip(size + padding)?;
                }
            }
        }
    }
}

impl<R: Read, F: FnMut(&str) -> bool> Read for TarTexts<R, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Ended => return Ok(0),
                State::Header => self.state = self.advance()?,
                State::File { part: part @ None, left, .. } => {
                    let mut start = Start { bytes: [0; 3], at: 0, len: 0 };
                    let most = (*left).min(3) as usize;
                    while start.len < most {
                        match self.inner.read(&mut start.bytes[start.len..most])? {
                            0 => return Err(refuse("it ends in the middle of a file")),
                            n => start.len += n,
                        }
                    }
                    *left -= most as u64;
                    if start.bytes == *b"\xef\xbb\xbf" {
                        start.at = start.len;
                    }
                    *part = Some(start);
                }
                State::File { part: Some(start), .. } if start.at < start.len => {
                    out[0] = start.bytes[start.at];
                    start.at += 1;
                    return Ok(1);
                }
                State::File { left: 0, padding, .. } => {
                    let padding = *padding;
                    self.skip(padding)?;
                    self.state = State::Header;
                    out[0] = b'\n';
                    return Ok(1);
                }
                State::File { left, .. } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
                    let n = self.inner.read(&mut out[..most])?;
                    if n == 0 {
                        return Err(refuse("it ends in the middle of a file"));
                    }
                    *left -= n as u64;
                    return Ok(n);
                }
            }
        }
    }
}

/// A number of a header: octal digits, or (beyond 8 GiB) binary behind a set bit.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((&0x80, rest)) = field.split_first() {
        return rest.iter().try_fold(0u64, |n, &b| n.checked_mul(256)?.checked_add(u64::from(b)));
    }
    let digits = field.iter().copied().skip_while(|&b| b == b' ').take_while(|b| !matches!(b, 0 | b' '));
    digits.into_iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

fn until_nul(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

fn short_name(header: &[u8; BLOCK]) -> String {
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// The path of a pax header: lines of `length key=value`.
fn pax_path(bytes: &[u8]) -> Option<String> {
    String::from_utf8_lossy(bytes).lines().find_map(|l| Some(l.split_once(" path=")?.1.to_owned()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of an archive, as tar writes it.
    pub fn file(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0u8; BLOCK];
        header[..name.len()].copy_from_slice(name);
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut out = header.to_vec();
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut out = String::new();
        TarTexts::new(bytes, |name: &str| name.ends_with(".csv")).read_to_string(&mut out).map(|_| out)
    }

    fn code(bytes: &[u8]) -> &'static str {
        read(bytes).unwrap_err().downcast::<Error>().unwrap().code()
    }

    #[test]
    fn parts_follow_each_other() {
        let long = format!("{}/Сведения по ОЖФ.csv", "папка".repeat(30));
        let pax = format!("99 path={long}\n");
        let archive = [
            file(b"a.csv", b'0', "\u{feff}id;x\n1;2".as_bytes()),
            file(b"notes", b'0', &[7; 700]),
            file(b"dir", b'5', b""),
            file(b"PaxHeaders", b'x', pax.as_bytes()),
            file(b"short", b'0', b"id;x\n3;4\n"),
            file(b"e.csv", b'0', b""),
            file(b"././@LongLink", b'L', format!("{long}\0").as_bytes()),
            file(b"short", 0, b"5"),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        // The two empty blocks may be missing.
        for whole in [&archive[..], &archive[..archive.len() - 2 * BLOCK]] {
            assert_eq!(read(whole).unwrap(), "id;x\n1;2\nid;x\n3;4\n\n\n5\n");
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = file(b"a.csv", b'0', &[b'x'; 600]);
        for cut in [100, 600, 1100, 1500] {
            assert_eq!(code(&whole[..cut]), "import.tar");
        }
        let mut wrong = whole.clone();
        wrong[3] ^= 1;
        assert_eq!(code(&wrong), "import.tar");
        assert_eq!(code(&file(b"notes", b'0', b"x")), "import.tar");
        let mut lies = file(b"a.csv", b'0', b"x");
        lies[124..136].copy_from_slice(b"99999999999\0");
        assert_eq!(code(&lies), "import.tar");
        assert_eq!(code(&file(b"n", b'L', &vec![b'n'; 70_000])), "import.tar");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = read(&bytes);
            let _ = read(&[file(b"a.csv", b'0', &bytes), bytes].concat());
        }
    }
}
