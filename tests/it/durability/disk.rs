//! A disk with a volatile write cache, whose power can be cut at any moment.
//!
//! A loop device lies over a file that a small FUSE file system here serves out of memory. What the file system on the
//! device writes goes to the cache; only a flush (which the loop driver turns into an fsync of the file) makes it stable.
//! When the power is cut, each cached block of 4096 bytes is kept or lost by chance, and what the kernel had not yet
//! written to the device is gone anyway. So the cut may fall in the middle of a system call, and nothing but a flush counts.
//!
//! Needs root, loop devices and `/dev/fuse`: [`Machine::new`] says what is missing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngExt;
use tempfile::TempDir;

/// Size of a disk, bytes; only what is written takes memory.
const SIZE: u64 = 512 << 20;
const BLOCK: usize = 4096;

type Block = Arc<[u8; BLOCK]>;

/// One disk: what it shows, what would survive, and the writes since the last flush.
#[derive(Clone, Default)]
struct Image {
    shown: HashMap<u64, Block>,
    stable: HashMap<u64, Block>,
    cache: Vec<(u64, Vec<u8>)>,
    unplugged: bool,
}

fn put(blocks: &mut HashMap<u64, Block>, offset: u64, mut data: &[u8]) {
    let mut at = offset;
    while !data.is_empty() {
        let (number, from) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
        let (now, later) = data.split_at(data.len().min(BLOCK - from));
        let block = blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK]));
        Arc::make_mut(block)[from..from + now.len()].copy_from_slice(now);
        (at, data) = (at + now.len() as u64, later);
    }
}

impl Image {
    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = (offset + length as u64).min(SIZE);
        let mut out = Vec::with_capacity(length);
        let mut at = offset;
        while at < end {
            let (number, from) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let upto = (BLOCK as u64).min(from as u64 + end - at) as usize;
            match self.shown.get(&number) {
                Some(block) => out.extend_from_slice(&block[from..upto]),
                None => out.resize(out.len() + upto - from, 0),
            }
            at += (upto - from) as u64;
        }
        out
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if !self.unplugged {
            put(&mut self.shown, offset, data);
            self.cache.push((offset, data.to_vec()));
        }
    }

    fn flush(&mut self) {
        for (offset, data) in std::mem::take(&mut self.cache) {
            put(&mut self.stable, offset, &data);
        }
    }

    /// The disk as it is found when the power is back, and the number of blocks that were lost.
    fn cut(&self) -> (Image, usize) {
        let mut rng = rand::rng();
        let (mut blocks, mut lost) = (self.stable.clone(), 0);
        // Nothing of the cache, all of it, or any part.
        let kept = [0.0, 0.3, 0.7, 1.0][rng.random_range(0..4)];
        for (offset, data) in &self.cache {
            for (n, piece) in data.chunks(BLOCK).enumerate() {
                if rng.random_bool(kept) {
                    put(&mut blocks, offset + (n * BLOCK) as u64, piece);
                } else {
                    lost += 1;
                }
            }
        }
        (Image { shown: blocks.clone(), stable: blocks, cache: Vec::new(), unplugged: false }, lost)
    }
}

/// A machine with one disk of the file system `fs`, mounted at [`Machine::at`].
pub struct Machine {
    fs: &'static str,
    images: Arc<Mutex<Vec<Image>>>,
    dir: TempDir,
    current: usize,
    /// Cached blocks that the cuts have lost.
    pub lost: usize,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), said.trim())) }
}

impl Machine {
    /// Makes the disk and its file system and mounts it; an error says why that is not possible here.
    pub fn new(fs: &'static str) -> Result<Machine, String> {
        let fuse = File::options().read(true).write(true).open("/dev/fuse").map_err(|e| format!("/dev/fuse: {e}"))?;
        let dir = tempfile::tempdir().unwrap();
        let (device, at) = (dir.path().join("device"), dir.path().join("disk"));
        std::fs::create_dir(&device).unwrap();
        std::fs::create_dir(&at).unwrap();
        // The mounting process hands the kernel its standard input as the channel.
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", options, "powercut"])
            .arg(&device)
            .stdin(fuse.try_clone().unwrap())
            .output();
        let mounted = mounted.map_err(|e| format!("mount: {e}"))?;
        if !mounted.status.success() {
            return Err(format!("mount -t fuse: {}", String::from_utf8_lossy(&mounted.stderr).trim()));
        }
        let images = Arc::new(Mutex::new(vec![Image::default()]));
        let served = images.clone();
        std::thread::spawn(move || serve(fuse, &served));
        let machine = Machine { fs, images, dir, current: 0, lost: 0 };
        let image = machine.image();
        match fs {
            "ext4" => run("mkfs.ext4", &["-q", "-F", &image])?,
            "xfs" => run("mkfs.xfs", &["-q", "-f", &image])?,
            _ => run("mkfs.btrfs", &["-q", "-f", &image])?,
        }
        machine.mount()?;
        Ok(machine)
    }

    /// Where the disk is mounted.
    pub fn at(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn image(&self) -> String {
        self.dir.path().join(format!("device/{}", self.current)).display().to_string()
    }

    fn mount(&self) -> Result<(), String> {
        let at = self.at().display().to_string();
        run("mount", &["-t", self.fs, "-o", "loop", &self.image(), &at])
    }

    /// Cuts the power: from here on the disk is what [`Machine::power_on`] will find. Mostly while there is something in
    /// the cache, which is seldom at a moment chosen blindly.
    pub fn cut(&mut self) {
        let (wanted, until) = (rand::rng().random_range(0..12), Instant::now() + Duration::from_millis(60));
        let mut images = self.images.lock().unwrap();
        while images[self.current].cache.len() < wanted && Instant::now() < until {
            drop(images);
            std::thread::yield_now();
            images = self.images.lock().unwrap();
        }
        let (after, lost) = images[self.current].cut();
        images[self.current].unplugged = true;
        images.push(after);
        self.current += 1;
        self.lost += lost;
    }

    /// Mounts the disk after a cut; whatever used it must have ended. The file system replays its journal.
    pub fn power_on(&mut self) -> Result<(), String> {
        run("umount", &[&self.at().display().to_string()])?;
        self.images.lock().unwrap()[self.current - 1] = Image { unplugged: true, ..Image::default() };
        self.mount()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for place in [self.at(), self.dir.path().join("device")] {
            let _ = Command::new("umount").arg("-l").arg(place).stderr(Stdio::null()).status();
        }
    }
}

/// True where [`Machine::new`] can work; says what is missing otherwise.
pub fn possible() -> Result<(), String> {
    Machine::new("ext4").map(drop)
}

/// File systems that can be made here.
pub fn file_systems() -> Vec<&'static str> {
    let made = |fs: &&str| {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let tool = ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|d| Path::new(d).join(format!("mkfs.{fs}")).exists());
        tool && known.lines().any(|l| l.trim() == *fs)
    };
    ["ext4", "xfs", "btrfs"].into_iter().filter(made).collect()
}

// FUSE, as much of it as a flat directory of files of fixed size needs (linux/fuse.h; native byte order).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;
const ENOSYS: i32 = 38;
const ENOENT: i32 = 2;
const MAX_WRITE: u32 = 128 << 10;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// `fuse_attr` of node 1, the directory, or of disk `node - 2`.
fn attributes(node: u64) -> Vec<u8> {
    let (size, mode) = if node == 1 { (0, 0o040_755u32) } else { (SIZE, 0o100_600) };
    let mut out: Vec<u8> = [node, size, size / 512, 0, 0, 0].iter().flat_map(|v| v.to_ne_bytes()).collect();
    out.extend([0, 0, 0, mode, 1, 0, 0, 0, BLOCK as u32, 0].iter().flat_map(|v: &u32| v.to_ne_bytes()));
    out
}

fn answer(request: &[u8], images: &Mutex<Vec<Image>>) -> Option<Result<Vec<u8>, i32>> {
    let (opcode, node, body) = (u32_at(request, 4), u64_at(request, 16), &request[40..]);
    let words = |list: &[u64]| -> Vec<u8> { list.iter().flat_map(|v| v.to_ne_bytes()).collect() };
    let disk = (node as usize).wrapping_sub(2);
    Some(Ok(match opcode {
        INIT => {
            // Version 7.31; large writes; no attributes or data are kept by the kernel longer than it is asked to.
            let mut out: Vec<u8> = [7, 31, 0, 1 << 5].iter().flat_map(|v: &u32| v.to_ne_bytes()).collect();
            out.extend([16u16, 12].iter().flat_map(|v| v.to_ne_bytes()));
            out.extend([MAX_WRITE, 1].iter().flat_map(|v| v.to_ne_bytes()));
            out.resize(64, 0);
            out
        }
        LOOKUP => {
            let name = body.split(|b| *b == 0).next().and_then(|n| std::str::from_utf8(n).ok()?.parse::<u64>().ok());
            match name.filter(|n| (*n as usize) < images.lock().unwrap().len()) {
                Some(n) => [words(&[n + 2, 0, 3600, 3600, 0]), attributes(n + 2)].concat(),
                None => return Some(Err(ENOENT)),
            }
        }
        GETATTR | SETATTR => [words(&[3600, 0]), attributes(node)].concat(),
        OPEN | OPENDIR => words(&[0, 0]),
        READ => images.lock().unwrap()[disk].read(u64_at(body, 8), u32_at(body, 16) as usize),
        WRITE => {
            let length = u32_at(body, 16);
            images.lock().unwrap()[disk].write(u64_at(body, 8), &body[40..40 + length as usize]);
            words(&[u64::from(length)])
        }
        FSYNC => {
            images.lock().unwrap()[disk].flush();
            Vec::new()
        }
        STATFS => vec![0; 80],
        FLUSH | RELEASE | RELEASEDIR => Vec::new(),
        FORGET | BATCH_FORGET | INTERRUPT => return None,
        _ => return Some(Err(ENOSYS)),
    }))
}

/// Answers the kernel until the file system is unmounted.
fn serve(mut fuse: File, images: &Mutex<Vec<Image>>) {
    let mut request = vec![0; MAX_WRITE as usize + 4096 + (1 << 16)];
    loop {
        let length = match fuse.read(&mut request) {
            Ok(length) => length,
            Err(e) if e.raw_os_error() == Some(19) => return, // ENODEV: unmounted
            Err(_) => continue,
        };
        let Some(result) = answer(&request[..length], images) else { continue };
        let (error, data) = match result {
            Ok(data) => (0, data),
            Err(code) => (-code, Vec::new()),
        };
        let mut out = (16 + data.len() as u32).to_ne_bytes().to_vec();
        out.extend(i32::to_ne_bytes(error));
        out.extend(&request[8..16]);
        out.extend(data);
        // An interrupted request is no longer waited for.
        let _ = fuse.write(&out);
    }
}
