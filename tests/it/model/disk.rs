//! A data directory as a value, and every image of it that a crash in the middle of a step can leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// Every file of a data directory by its relative path. The lock is the process's, not the disk's.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Image(pub Arc<Files>);

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

impl Image {
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, bytes) in self.0.iter() {
            hash.update(format!("{name} {}\n", bytes.len()));
            hash.update(bytes.as_slice());
        }
        hash.finalize().into()
    }

    pub fn read(dir: &Path) -> Image {
        let (mut files, mut todo) = (Files::new(), vec![dir.to_owned()]);
        while let Some(at) = todo.pop() {
            let Ok(items) = fs::read_dir(&at) else { continue };
            for path in items.map(|item| item.unwrap().path()) {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                match path.is_dir() {
                    true => todo.push(path),
                    false if name == "private/lock" => {}
                    false => drop(files.insert(name, Arc::new(fs::read(&path).unwrap()))),
                }
            }
        }
        Image(Arc::new(files))
    }

    pub fn write(&self, dir: &Path) {
        for (name, bytes) in self.0.iter() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes.as_slice()).unwrap();
        }
    }

    fn changed(&self, change: impl FnOnce(&mut Files)) -> Image {
        let mut files = (*self.0).clone();
        change(&mut files);
        Image(Arc::new(files))
    }

    /// The directory `log/` of another image in the place of this one's.
    pub fn with_log_of(&self, other: &Image) -> Image {
        self.changed(|files| {
            files.retain(|name, _| !name.starts_with("log/"));
            files.extend(other.0.iter().filter(|(n, _)| n.starts_with("log/")).map(|(n, b)| (n.clone(), b.clone())));
        })
    }

    pub fn with_file(&self, name: &str, bytes: Vec<u8>) -> Image {
        self.changed(|files| drop(files.insert(name.to_owned(), Arc::new(bytes))))
    }

    pub fn without(&self, prefix: &str) -> Image {
        self.changed(|files| files.retain(|name, _| !name.starts_with(prefix)))
    }
}

/// The group a file belongs to. A step makes one group durable before it begins the next.
fn group(name: &str, before: &Image) -> u8 {
    match name {
        // A new log gets its fence first, then an empty journal.
        "private/fence" if !before.0.contains_key("private/fence") => 0,
        "private/journal" => 1,
        "private/fence" => 3,
        "log/checkpoint" => 4,
        _ => 2,
    }
}

fn temp_of(name: &str) -> String {
    let (dir, file) = name.rsplit_once('/').unwrap();
    format!("{dir}/.{file}.tmp")
}

/// What the disk may hold when the machine stops while `before` becomes `after`: each group of files whole, or any of its
/// files in place and any not (with the temporary file torn, or without), or the journal torn in its place.
pub fn cuts(before: &Image, after: &Image) -> Vec<Image> {
    let mut groups: BTreeMap<u8, Vec<&String>> = BTreeMap::new();
    for (name, _) in after.0.iter().filter(|(name, bytes)| before.0.get(*name) != Some(bytes)) {
        groups.entry(group(name, before)).or_default().push(name);
    }
    let mut out = vec![before.clone()];
    let mut base = before.clone();
    for (order, names) in &groups {
        for subset in 0..1_u32 << names.len().min(6) {
            let placed = base.changed(|files| {
                for (_, name) in names.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1) {
                    files.insert((*name).clone(), after.0[*name].clone());
                }
            });
            out.push(placed.clone());
            // What is torn beside a placed file adds nothing, and a torn tile's temporary file is read by nobody.
            if subset != 0 || *order == 2 {
                continue;
            }
            let torn = placed.changed(|files| {
                for (_, name) in names.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 0) {
                    let bytes = &after.0[*name];
                    if *name == "private/journal" {
                        tear(files, bytes);
                    } else {
                        files.insert(temp_of(name), Arc::new(bytes[..bytes.len() / 2].to_vec()));
                    }
                }
            });
            out.push(torn);
        }
        base = base.changed(|files| {
            names.iter().for_each(|name| drop(files.insert((*name).clone(), after.0[*name].clone())));
        });
    }
    // What is removed is removed at some time or other.
    out.extend([base, after.clone()]);
    let mut seen = std::collections::BTreeSet::new();
    out.retain(|image| seen.insert(image.digest()));
    out
}

/// The journal is written over itself: the first half of it has arrived, the rest is what was there.
fn tear(files: &mut Files, new: &[u8]) {
    let old = files.get("private/journal").cloned().unwrap_or_default();
    let half = new.len() / 2;
    let mut torn = new[..half].to_vec();
    torn.extend_from_slice(old.get(half..).unwrap_or_default());
    files.insert("private/journal".to_owned(), Arc::new(torn));
}
