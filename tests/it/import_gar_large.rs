//! A region's ГАР is gigabytes: what is held while it is read is not.
//!
//! The region is made while it is read, so that no disk is needed. `DOMOVOI_GAR_HOUSES=1000000 cargo nextest run --no-capture
//! -E 'test(a_region_of_any_size)'` measures one the size of a large region.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domovoi::import::gar;
use domovoi::import::gar_files::Files;
use domovoi::import::input::{Input, Source, Stream};
use domovoi::import::table::Limits;
use domovoi::registry::ids::RegionCode;

use crate::import_exports::{counts, options};

/// Flats of an apartment building; one house in [`SHARE`] is one.
const FLATS: u64 = 60;
const SHARE: u64 = 30;
/// Object ids: streets from here, houses and flats further up.
const STREETS: u64 = 10;
const HOUSES: u64 = 1 << 32;
const APARTMENTS: u64 = 1 << 40;

#[derive(Clone)]
struct Region {
    houses: u64,
    streets: u64,
    read: Arc<AtomicU64>,
}

impl Region {
    fn buildings(&self) -> u64 {
        self.houses.div_ceil(SHARE)
    }

    /// How many elements a list has.
    fn len(&self, list: &str) -> u64 {
        match list {
            "AS_HOUSES" => self.houses,
            "AS_HOUSES_PARAMS" => self.houses * 8,
            "AS_ADDR_OBJ" => self.streets + 2,
            "AS_APARTMENTS" => self.buildings() * FLATS,
            _ => self.houses + self.buildings() * FLATS + self.streets + 2,
        }
    }

    fn element(&self, list: &str, i: u64) -> String {
        const DATES: &str = "UPDATEDATE=\"2020-01-01\" STARTDATE=\"2020-01-01\" ENDDATE=\"2079-06-06\"";
        match list {
            "AS_HOUSES" => {
                let (object, number) = (HOUSES + i, i / self.streets + 1);
                format!(
                    "<HOUSE ID=\"{i}\" OBJECTID=\"{object}\" OBJECTGUID=\"{i:08x}-1111-4111-8111-000000000000\" CHANGEID=\"1\" HOUSENUM=\"{number}\" HOUSETYPE=\"2\" OPERTYPEID=\"10\" PREVID=\"0\" NEXTID=\"0\" {DATES} ISACTUAL=\"1\" ISACTIVE=\"1\" />\n"
                )
            }
            "AS_HOUSES_PARAMS" => {
                let (object, kind) = (HOUSES + i / 8, [5, 6, 7, 8, 13, 15, 18, 19][(i % 8) as usize]);
                let mark = u64::from((i / 8).is_multiple_of(SHARE)).to_string();
                let value = match kind {
                    5 => "625000",
                    7 => "71701000001",
                    8 => "72:23:0000001:1532",
                    19 => &mark,
                    _ => "717100000010067000040065000000000",
                };
                format!(
                    "<PARAM ID=\"{i}\" OBJECTID=\"{object}\" CHANGEID=\"64323565\" CHANGEIDEND=\"0\" TYPEID=\"{kind}\" VALUE=\"{value}\" {DATES} />\n"
                )
            }
            "AS_ADDR_OBJ" => {
                let (name, kind, level) = match i {
                    0 => ("Тюменская".to_owned(), "обл", 1),
                    1 => ("Тюмень".to_owned(), "г", 5),
                    _ => (format!("Вымышленная {i}-я"), "ул", 8),
                };
                let object = STREETS + i;
                format!(
                    "<OBJECT ID=\"{i}\" OBJECTID=\"{object}\" OBJECTGUID=\"{i:08x}-1111-4111-8111-000000000000\" CHANGEID=\"1\" NAME=\"{name}\" TYPENAME=\"{kind}\" LEVEL=\"{level}\" {DATES} ISACTUAL=\"1\" ISACTIVE=\"1\" />\n"
                )
            }
            "AS_APARTMENTS" => {
                let object = APARTMENTS + i;
                format!(
                    "<APARTMENT ID=\"{i}\" OBJECTID=\"{object}\" OBJECTGUID=\"{i:08x}-1111-4111-8111-000000000000\" CHANGEID=\"47172662\" NUMBER=\"66\" APARTTYPE=\"2\" OPERTYPEID=\"10\" {DATES} ISACTUAL=\"1\" ISACTIVE=\"1\" />\n"
                )
            }
            _ => {
                let streets = self.streets + 2;
                let (object, parent) = if i < streets {
                    (STREETS + i, [0, STREETS].get(i as usize).copied().unwrap_or(STREETS + 1))
                } else if i < streets + self.houses {
                    (HOUSES + i - streets, STREETS + 2 + (i - streets) % self.streets)
                } else {
                    let flat = i - streets - self.houses;
                    (APARTMENTS + flat, HOUSES + flat / FLATS * SHARE)
                };
                format!(
                    "<ITEM ID=\"{i}\" OBJECTID=\"{object}\" PARENTOBJID=\"{parent}\" CHANGEID=\"154016314\" OKTMO=\"71701000001\" PREVID=\"0\" NEXTID=\"0\" {DATES} ISACTIVE=\"1\" PATH=\"1305522.1327981.97670661.{object}\" />\n"
                )
            }
        }
    }
}

/// A list, made as it is read.
struct List {
    region: Region,
    list: &'static str,
    root: &'static str,
    next: u64,
    ready: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for List {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.ready.len() && !self.ended {
            (self.at, self.ready) = (0, Vec::new());
            if self.next == 0 {
                self.ready.extend(format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><{}>", self.root).bytes());
            }
            let to = self.region.len(self.list).min(self.next + 500);
            for i in self.next..to {
                self.ready.extend(self.region.element(self.list, i).bytes());
            }
            self.next = to;
            if to == self.region.len(self.list) {
                self.ready.extend(format!("</{}>", self.root).bytes());
                self.ended = true;
            }
        }
        let n = out.len().min(self.ready.len() - self.at);
        out[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
        self.at += n;
        self.region.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for List {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Err(std::io::Error::other("a list is read from its start"))
    }
}

struct Made(Region, &'static str, &'static str);

impl Source<'static> for Made {
    fn open(&self) -> std::io::Result<Box<dyn Stream>> {
        let Made(region, list, root) = self;
        Ok(Box::new(List { region: region.clone(), list, root, next: 0, ready: Vec::new(), at: 0, ended: false }))
    }
    fn size(&self) -> u64 {
        0
    }
}

/// Peak memory of this process, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The six lists of a region.
fn files_of(region: &Region) -> Files<'static> {
    let lists = [
        ("AS_HOUSES", "HOUSES"),
        ("AS_HOUSES_PARAMS", "PARAMS"),
        ("AS_ADDR_OBJ", "ADDRESSOBJECTS"),
        ("AS_ADM_HIERARCHY", "ITEMS"),
        ("AS_MUN_HIERARCHY", "ITEMS"),
        ("AS_APARTMENTS", "APARTMENTS"),
    ];
    let inputs = lists
        .iter()
        .map(|&(list, root)| (format!("72/{list}_20260901_1.XML"), Input::new(Made(region.clone(), list, root))))
        .collect();
    Files::of_folder(inputs, RegionCode::new(72).ok(), &Limits::default()).unwrap()
}

#[test]
fn a_region_of_any_size_is_read_in_bounded_memory() {
    let houses = std::env::var("DOMOVOI_GAR_HOUSES").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000);
    let made = |houses: u64| Region { houses, streets: (houses / 50).max(1), read: Arc::default() };
    // What the code itself takes when it first runs is no memory of a region's.
    gar::read(&files_of(&made(100)), &options(72, "2026-09-01")).unwrap();
    let region = made(houses);
    let files = files_of(&region);
    let (before, started) = (peak(), Instant::now());
    let found = gar::read(&files, &options(72, "2026-09-01")).unwrap();
    let (took, read) = (started.elapsed().as_secs_f64(), region.read.load(Ordering::Relaxed));
    let buildings = region.buildings();
    let ((accepted, refused, _), reasons) = counts(&found);
    assert_eq!((accepted, refused), (buildings, houses - buildings));
    assert_eq!(reasons, HashMap::from([("import.house.kind", houses - buildings)]).into_iter().collect());
    let first = found.reads[0].value.as_ref().unwrap();
    assert_eq!(first.address.as_str(), "625000, обл. Тюменская, г. Тюмень, ул. Вымышленная 2-я, д. 1");
    assert_eq!(first.flats, Some(60));
    let (Some(before), Some(after)) = (before, peak()) else { return };
    let (grown, most) = (after - before, (8 << 20) + houses * 40 + buildings * (1500 + FLATS * 16));
    eprintln!(
        "{houses} houses, {buildings} apartment buildings: {} MB of XML read in {took:.1} s ({:.0} MB/s), memory grew by {} MB to {} MB",
        read >> 20,
        read as f64 / took / 1e6,
        grown >> 20,
        after >> 20,
    );
    // Another test in the same process would be measured too.
    if std::env::var_os("NEXTEST").is_some() {
        assert!(grown < most, "memory grew by {grown} bytes, at most {most} are expected for {read} bytes of XML");
    }
}
