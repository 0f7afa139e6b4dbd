//! Bytes of a text table as normalised UTF-8, as a stream: unpacked (gzip), decoded (UTF-8, UTF-16, windows-1251), line
//! ends made `\n`. Everything is bounded, so that a packed or malformed file costs time at most.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding, UTF_8, WINDOWS_1251};

use super::input::{Text, too_large, unreadable};
use super::table::Limits;
use crate::error::{Error, Result};

const CHUNK: usize = 32 * 1024;
/// Below this size the ratio of packing is not looked at: short repetitive tables pack well.
const RATIO_FREE: u64 = 16 << 20;
/// Files up to this size are looked through whole before they are read, of larger ones the beginning.
const SURVEY_WHOLE: u64 = 256 << 20;
/// How much of the beginning.
const SURVEY_START: u64 = 8 << 20;

/// What a first pass over the text found.
pub(super) struct Survey {
    encoding: &'static Encoding,
    /// The first decoded kilobytes, for finding the delimiter.
    pub(super) head: String,
}

/// Refuses a text that has grown beyond the limits.
fn bounded(total: u64, packed: u64, limits: &Limits) -> Result<()> {
    if total > limits.bytes || total > RATIO_FREE && total > limits.ratio.saturating_mul(packed) {
        return Err(too_large(format!(
            "the file unpacks to more than {} bytes, or to more than {} times its size",
            limits.bytes, limits.ratio
        )));
    }
    Ok(())
}

/// Unpacks the text once, keeping nothing: whether it stays within the limits, and what it is encoded in.
pub(super) fn survey(source: &Text<'_>, limits: &Limits) -> Result<Survey> {
    let (mut input, mut chunk, mut total) = (source.open()?, vec![0; CHUNK], 0u64);
    let (mut decoder, mut text) = (UTF_8.new_decoder_without_bom_handling(), vec![0; CHUNK * 4]);
    let (mut broken, mut wide, mut bom) = (0u64, 0u64, None);
    let whole = source.packed() <= SURVEY_WHOLE;
    loop {
        let n = input.read(&mut chunk).map_err(unreadable)?;
        if total == 0 {
            bom = Encoding::for_bom(&chunk[..n]);
        }
        total += n as u64;
        bounded(total, source.packed(), limits)?;
        let mut left = &chunk[..n];
        loop {
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(left, &mut text, n == 0);
            wide += text[..written].iter().filter(|&&b| b >= 0xc0).count() as u64;
            left = &left[read..];
            match result {
                DecoderResult::Malformed(..) => broken += 1,
                DecoderResult::OutputFull => {}
                DecoderResult::InputEmpty => break,
            }
        }
        if n == 0 || !whole && total > SURVEY_START {
            break;
        }
    }
    // A few broken characters do not make a UTF-8 file windows-1251; the cells that hold them are refused by row.
    let encoding = bom.map_or(if broken * 20 <= wide { UTF_8 } else { WINDOWS_1251 }, |(encoding, _)| encoding);
    let mut survey = Survey { encoding, head: String::new() };
    let mut head = vec![0; 2 * CHUNK];
    let (mut start, mut filled) = (survey.open(source, u64::MAX, limits)?, 0);
    while filled < head.len() {
        match start.read(&mut head[filled..]).map_err(unreadable)? {
            0 => break,
            n => filled += n,
        }
    }
    survey.head = String::from_utf8_lossy(&head[..filled]).trim_end_matches([END, '\n']).to_owned();
    Ok(survey)
}

impl Survey {
    /// The text from its beginning. Of each record at most `record` bytes are given out; see [`TextSource::next_record`].
    pub(super) fn open<'a>(&self, source: &Text<'a>, record: u64, limits: &Limits) -> Result<TextSource<'a>> {
        Ok(TextSource {
            input: source.open()?,
            decoder: self.encoding.new_decoder_with_bom_removal(),
            chunk: vec![0; CHUNK],
            text: Vec::new(),
            at: 0,
            after_cr: false,
            last: b'\n',
            ended: false,
            record,
            left: record,
            total: 0,
            packed: source.packed(),
            limits: limits.clone(),
        })
    }
}

/// Alone on the last line of what a [`TextSource`] gives. No text holds it, since zero bytes are left out; so a reader that
/// does not find it on a line of its own knows that a quote was never closed.
pub(super) const END: char = '\0';

/// The decoded text; every line ends in `\n`, the last too; then [`END`], as a line.
pub(super) struct TextSource<'a> {
    input: Box<dyn Read + 'a>,
    decoder: Decoder,
    chunk: Vec<u8>,
    text: Vec<u8>,
    at: usize,
    after_cr: bool,
    last: u8,
    ended: bool,
    record: u64,
    left: u64,
    /// Bytes unpacked so far.
    total: u64,
    packed: u64,
    limits: Limits,
}

impl TextSource<'_> {
    /// A record was read whole: the next may have as many bytes again. Without this an unclosed quote would gather the
    /// rest of the file into one cell.
    pub(super) fn next_record(&mut self) {
        self.left = self.record;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.at = 0;
        let n = self.input.read(&mut self.chunk)?;
        self.ended = n == 0;
        self.total += n as u64;
        bounded(self.total, self.packed, &self.limits).map_err(io::Error::other)?;
        let mut decoded = vec![0; self.decoder.max_utf8_buffer_length(n).unwrap_or(CHUNK * 4).max(16)];
        let (mut read, mut written) = (0, 0);
        loop {
            let (result, r, w, _) =
                self.decoder.decode_to_utf8(&self.chunk[read..n], &mut decoded[written..], self.ended);
            (read, written) = (read + r, written + w);
            match result {
                CoderResult::InputEmpty => break,
                CoderResult::OutputFull => decoded.resize(decoded.len() * 2, 0),
            }
        }
        for &byte in &decoded[..written] {
            if !(byte == b'\n' && self.after_cr) && byte != 0 {
                self.text.push(if byte == b'\r' { b'\n' } else { byte });
            }
            self.after_cr = byte == b'\r';
        }
        if self.ended {
            if self.text.last().copied().unwrap_or(self.last) != b'\n' {
                self.text.push(b'\n');
            }
            self.text.extend([END as u8, b'\n']);
        }
        self.last = self.text.last().copied().unwrap_or(self.last);
        Ok(())
    }
}

impl Read for TextSource<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.ended {
            self.fill()?;
        }
        let n = out.len().min(self.text.len() - self.at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if n == 0 && !out.is_empty() && self.at < self.text.len() {
            return Err(io::Error::other(Error::refuse(
                "import.cell",
                format!("a row of more than {} bytes", self.record),
                "look for a quote that is left open near that row",
            )));
        }
        out[..n].copy_from_slice(&self.text[self.at..self.at + n]);
        (self.at, self.left) = (self.at + n, self.left - n as u64);
        Ok(n)
    }
}
