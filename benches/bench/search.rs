//! What address search costs: the index of a million buildings, its memory, and the slowest of many queries.

use std::io::Read;
use std::sync::OnceLock;

use domovoi::registry::address_words::AddressWords;
use domovoi::registry::ids::BuildingId;
use domovoi::search::query::AddressQuery;
use domovoi::search::{AddressFinder, index};

use crate::{Measure, Outcome, count, timed};

/// A tenth of a second: what is later is no longer felt as an answer to the key.
const FELT: f64 = 100.0;

/// Queries of every sort: whole, short, half typed, with a letter wrong, of nothing but common words, of nothing that is there.
const QUERIES: &[&str] = &[
    "ленина 5к2",
    "пр-т Ленинградский, д. 48, корп. 2",
    "коптевская 16",
    "на Большой Спасской 12",
    "петрозаводская 5к",
    "лихоборские бу",
    "к",
    "ул",
    "советская",
    "октябрьский проспект 4",
    "черняховскго 8",
    "октябрская пряжа советская школьная 15",
    "ааааа ббббб ввввв ггггг ддддд еееее жжжжж ззззз",
    "8 марта 5",
    "5",
    "москва карелия петрозаводск улица проспект переулок советская ленинская октябрьская школьная садовая 1",
];

struct Built {
    finder: AddressFinder,
    buildings: usize,
    seconds: f64,
    apart: f64,
}

/// Real streets and houses of the sample, in as many generated towns as it takes.
fn addresses(buildings: usize) -> Outcome<Vec<String>> {
    let mut sample = Vec::new();
    for file in ["77_moscow_20170614.csv.gz", "10_karelia_20160920.csv.gz"] {
        let path = format!("{}/tests/data/sample/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
        let mut rows = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let at = rows.headers()?.iter().position(|h| h == "ADDRESS").ok_or("no column of addresses")?;
        for row in rows.records() {
            let address = row?.get(at).unwrap_or_default().to_owned();
            sample.push(address.rsplit_once(", д. ").map_or(address.clone(), |(places, house)| {
                format!("{}, д. {house}", places.rsplit(", ").next().unwrap_or_default())
            }));
        }
    }
    const PARTS: [&str; 12] = ["бор", "вол", "гор", "дуб", "зар", "кам", "лес", "мор", "нов", "озер", "пол", "реч"];
    let town = |n: usize| format!("{}{}{}ск", PARTS[n % 12], PARTS[n / 12 % 12], PARTS[n / 144 % 12]);
    let of =
        |n: usize| format!("обл. {}ая, г. {}, {}", town(n / 400_000), town(n / sample.len()), sample[n % sample.len()]);
    Ok((0..buildings).map(of).collect())
}

fn built() -> Outcome<&'static Built> {
    static BUILT: OnceLock<Built> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built);
    }
    let buildings = count("BENCH_BUILDINGS", 1_000_000);
    let addresses = addresses(buildings)?;
    let (apart, _) = timed(|| addresses.iter().map(|a| AddressWords::of(a).street.len()).sum::<usize>());
    let (mut writer, finder) = index()?;
    let (seconds, done) = timed(|| -> Outcome<()> {
        for (n, address) in addresses.iter().enumerate() {
            writer.add(0, &BuildingId::new("reformagkh", &(n + 1).to_string())?, address, "Город Москва")?;
        }
        Ok(writer.commit(&finder)?)
    });
    done?;
    Ok(BUILT.get_or_init(|| Built { finder, buildings, seconds, apart }))
}

/// Buildings a second that are taken in, beside those whose address is taken apart and nothing else.
pub fn indexed() -> Outcome<Measure> {
    let b = built()?;
    let rate = |seconds: f64| b.buildings as f64 / seconds / 1000.0;
    eprintln!("search_index: {} buildings in {:.1} s", b.buildings, b.seconds);
    Ok(Measure::new("search_index", rate(b.seconds), "k buildings/s", rate(b.apart), "addresses taken apart alone"))
}

/// Memory of the index.
pub fn bytes() -> Outcome<Measure> {
    let b = built()?;
    let total = b.finder.bytes();
    eprintln!("search_bytes: {} MB for {} buildings", total >> 20, b.buildings);
    let each = total as f64 / b.buildings as f64;
    Ok(Measure::new("search_bytes", each, "bytes a building", 400.0, "400 MB for a million"))
}

/// The slowest of many queries, each the best of three.
pub fn slowest() -> Outcome<Measure> {
    let b = built()?;
    let (mut slowest, mut all) = (0f64, 0.0);
    for text in QUERIES {
        let query = AddressQuery::parse(text)?;
        let once = || timed(|| b.finder.find(&query, 20, 10).map(|hits| hits.len()));
        let runs: Vec<(f64, usize)> = (0..3).map(|_| once()).map(|(s, n)| Ok((s, n?))).collect::<Outcome<_>>()?;
        let ms = runs.iter().map(|r| r.0).fold(f64::MAX, f64::min) * 1000.0;
        eprintln!("search_query: {ms:7.2} ms, {} found: {text}", runs[0].1);
        slowest = slowest.max(ms);
        all += ms;
    }
    eprintln!("search_query: {:.2} ms on average", all / QUERIES.len() as f64);
    Ok(Measure::new("search_query", slowest, "ms (slowest of 16 queries)", FELT, "what is felt as at once"))
}
