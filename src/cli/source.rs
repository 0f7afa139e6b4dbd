//! The file or folder of an import: opened as often as its reader wants, never held whole, with a bar that shows how far it is.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::output::Output;
use crate::error::{Error, Result};
use crate::import::cells::day_of_name;
use crate::import::gar_files::Files;
use crate::import::input::{Input, Source, Stream};
use crate::import::table::Limits;
use crate::registry::ids::RegionCode;
use crate::registry::text::Day;
use crate::storage::durable::read_error;

/// Largest file, in bytes: the packed ГАР of the whole country has some fifty gigabytes.
const MAX_FILE: u64 = 128 << 30;
/// Most files of a folder, and how deep they may lie.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 3;

/// A file to import, or a folder of files.
pub(super) struct Opened {
    path: PathBuf,
    /// Paths within the folder; the file itself when it is one.
    files: Vec<(String, PathBuf, u64)>,
    folder: bool,
    bar: ProgressBar,
}

impl Opened {
    /// Looks what is there; reads nothing yet.
    ///
    /// # Errors
    /// `disk.missing`, `disk.read`, `disk.too-large`.
    pub(super) fn of(path: &Path, out: &Output) -> Result<Opened> {
        let meta = fs::metadata(path).map_err(|e| read_error(path, &e))?;
        let mut files = Vec::new();
        if meta.is_dir() {
            walk(path, String::new(), 0, &mut files)?;
            files.sort();
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, path.to_owned(), meta.len()));
        }
        if let Some((name, ..)) = files.iter().find(|(.., len)| *len > MAX_FILE) {
            return Err(Error::refuse(
                "import.too-large",
                format!("{name} has more than {MAX_FILE} bytes"),
                "split the file into smaller ones",
            ));
        }
        let bar = out.bytes(files.iter().map(|(.., len)| len).sum(), "Чтение", "Reading");
        Ok(Opened { path: path.to_owned(), files, folder: meta.is_dir(), bar })
    }

    /// SHA-256 of the file; of a folder, of the names and hashes of its files.
    ///
    /// # Errors
    /// `disk.read`.
    pub(super) fn digest(&self) -> Result<[u8; 32]> {
        let mut all = Sha256::new();
        for (name, path, _) in &self.files {
            let mut hash = Sha256::new();
            let mut file = self.file(path).open().map_err(|e| read_error(path, &e))?;
            let mut chunk = vec![0; 1 << 16];
            loop {
                match file.read(&mut chunk).map_err(|e| read_error(path, &e))? {
                    0 => break,
                    n => hash.update(&chunk[..n]),
                }
            }
            let hash: [u8; 32] = hash.finalize().into();
            if !self.folder {
                return Ok(hash);
            }
            all.update((name.len() as u64).to_be_bytes());
            all.update(name.as_bytes());
            all.update(hash);
        }
        Ok(all.finalize().into())
    }

    /// The day the name says.
    pub(super) fn day(&self) -> Option<Day> {
        day_of_name(&self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// The one file.
    ///
    /// # Errors
    /// `import.format` for a folder.
    pub(super) fn input(&self) -> Result<Input<'static>> {
        match self.files.as_slice() {
            [(_, path, _)] if !self.folder => Ok(Input::new(self.file(path))),
            _ => Err(Error::refuse(
                "import.format",
                format!("{} is a folder, and not one of ГАР", self.path.display()),
                "name one file",
            )),
        }
    }

    /// The lists of ГАР, if that is what it is.
    ///
    /// # Errors
    /// `import.gar` when lists are missing.
    pub(super) fn gar(&self, region: RegionCode, limits: &Limits) -> Result<Option<Files<'static>>> {
        if !self.folder {
            return Files::of_zip(&self.input()?, Some(region), limits);
        }
        let inputs = self.files.iter().map(|(name, path, _)| (name.clone(), Input::new(self.file(path)))).collect();
        Files::of_folder(inputs, Some(region), limits).map(Some)
    }

    /// Nothing more is read.
    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }

    fn file(&self, path: &Path) -> OnDisk {
        OnDisk { path: path.to_owned(), bar: self.bar.clone() }
    }
}

fn walk(folder: &Path, within: String, depth: usize, files: &mut Vec<(String, PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| read_error(folder, &e))? {
        let entry = entry.map_err(|e| read_error(folder, &e))?;
        let (path, name) = (entry.path(), format!("{within}{}", entry.file_name().to_string_lossy()));
        let meta = fs::metadata(&path).map_err(|e| read_error(&path, &e))?;
        if meta.is_dir() && depth < MAX_DEPTH {
            walk(&path, format!("{name}/"), depth + 1, files)?;
        } else if meta.is_file() {
            files.push((name, path, meta.len()));
        }
        if files.len() > MAX_FILES {
            return Err(Error::refuse(
                "import.too-large",
                format!("{} holds more than {MAX_FILES} files", folder.display()),
                "name the folder of one export",
            ));
        }
    }
    Ok(())
}

/// A file that is opened anew for each reading.
struct OnDisk {
    path: PathBuf,
    bar: ProgressBar,
}

impl Source<'static> for OnDisk {
    fn open(&self) -> io::Result<Box<dyn Stream>> {
        self.bar.set_position(0);
        Ok(Box::new(Counted { file: File::open(&self.path)?, bar: self.bar.clone() }))
    }
    fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |m| m.len())
    }
}

/// A file whose bytes move a bar.
struct Counted {
    file: File,
    bar: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        self.bar.set_position(at);
        Ok(at)
    }
}
