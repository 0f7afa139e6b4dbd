//! The index itself: one writer, any number of readers, all in memory.

use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tantivy::collector::TopDocs;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::directory::RamDirectory;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TantivyDocument, TextFieldIndexing, TextOptions, Value,
};
use tantivy::store::Compressor;
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, Order, ReloadPolicy, Term};

use super::query::{AddressQuery, Effort, Fields};
use super::terms::document;
use crate::error::{Error, Result};
use crate::registry::ids::BuildingId;

/// Memory for addresses that are not yet searchable, bytes.
const WRITER_BYTES: usize = 32 << 20;
/// No further effort is begun after this time. A single one ends by itself: what it costs is bounded by the words.
const ENOUGH: Duration = Duration::from_millis(150);

/// A log, by the number that whoever keeps the index gave it.
pub type LogNumber = u16;

/// A building found. The state says whether it is there, and what of it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Whose building it is.
    pub log: LogNumber,
    /// The building, by its primary id.
    pub building: BuildingId,
    /// How well it fits; only for comparing hits of one search.
    pub score: f32,
}

/// Takes buildings in and out. What it does is seen after [`AddressWriter::commit`].
pub struct AddressWriter {
    writer: IndexWriter,
    fields: Fields,
    id: Field,
    order: Field,
}

/// Finds buildings.
pub struct AddressFinder {
    reader: IndexReader,
    memory: RamDirectory,
    fields: Fields,
    id: Field,
    /// Number of buildings after the last commit.
    buildings: RwLock<u64>,
}

fn failed(e: tantivy::TantivyError) -> Error {
    Error::retry(
        "search.index",
        format!("the index of addresses: {e}"),
        "the index is made anew at the next start of the node",
    )
}

/// An empty index.
///
/// # Errors
/// `search.index` where memory or threads are lacking.
pub fn index() -> Result<(AddressWriter, AddressFinder)> {
    let mut schema = Schema::builder();
    let plain = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    let plain = TextOptions::default().set_indexing_options(plain);
    let id = schema.add_text_field("id", STRING | STORED);
    let words = schema.add_text_field("words", plain.clone());
    let keys = schema.add_text_field("keys", plain.clone());
    let house = schema.add_text_field("house", plain);
    let order = schema.add_u64_field(ORDER, FAST);
    let memory = RamDirectory::create();
    let settings = IndexSettings { docstore_compression: Compressor::None, ..IndexSettings::default() };
    let index = Index::create(memory.clone(), schema.build(), settings).map_err(failed)?;
    let writer = index.writer_with_num_threads(1, WRITER_BYTES).map_err(failed)?;
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
    let fields = Fields { words, keys, house };
    let finder = AddressFinder { reader, memory, fields, id, buildings: RwLock::new(0) };
    Ok((AddressWriter { writer, fields, id, order }, finder))
}

const ORDER: &str = "order";

impl AddressWriter {
    fn name(log: LogNumber, building: &BuildingId) -> String {
        format!("{log} {building}")
    }

    /// Takes a building in that is not there yet.
    pub fn add(&mut self, log: LogNumber, building: &BuildingId, address: &str, region: &str) -> Result<()> {
        let found_by = document(address, region);
        let mut doc = TantivyDocument::new();
        doc.add_text(self.id, Self::name(log, building));
        found_by.words.iter().for_each(|w| doc.add_text(self.fields.words, w));
        found_by.keys.iter().for_each(|k| doc.add_text(self.fields.keys, k));
        found_by.house.iter().for_each(|h| doc.add_text(self.fields.house, h));
        doc.add_u64(self.order, found_by.order);
        self.writer.add_document(doc).map(|_| ()).map_err(failed)
    }

    /// Takes a building out.
    pub fn remove(&mut self, log: LogNumber, building: &BuildingId) {
        self.writer.delete_term(Term::from_field_text(self.id, &Self::name(log, building)));
    }

    /// Makes everything so far visible to `finder`.
    pub fn commit(&mut self, finder: &AddressFinder) -> Result<()> {
        self.writer.commit().map_err(failed)?;
        finder.reader.reload().map_err(failed)?;
        *finder.buildings.write() = finder.reader.searcher().num_docs();
        Ok(())
    }
}

impl AddressFinder {
    /// Number of buildings in it.
    pub fn len(&self) -> u64 {
        *self.buildings.read()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory the index takes, bytes.
    pub fn bytes(&self) -> usize {
        self.memory.total_mem_usage()
    }

    /// At most `most` buildings that fit, the best first and equals in the order of their houses. Goes further than the
    /// words as they are only where that finds fewer than `enough`.
    pub fn find(&self, query: &AddressQuery, most: usize, enough: usize) -> Result<Vec<Hit>> {
        let mut hits: Vec<Hit> = Vec::new();
        if query.is_empty() || most == 0 {
            return Ok(hits);
        }
        let begun = Instant::now();
        let searcher = self.reader.searcher();
        for effort in [Effort::Strict, Effort::Fuzzy, Effort::Loose] {
            if hits.len() >= enough || effort > Effort::Strict && begun.elapsed() > ENOUGH {
                break;
            }
            let order = (SortBySimilarityScore, (SortByStaticFastValue::<u64>::for_field(ORDER), Order::Asc));
            let found = searcher
                .search(&query.over(self.fields, effort), &TopDocs::with_limit(most).order_by(order))
                .map_err(failed)?;
            for ((score, _), at) in found {
                let doc: TantivyDocument = searcher.doc(at).map_err(failed)?;
                let hit = doc.get_first(self.id).and_then(|v| v.as_str()).and_then(|name| read(name, score));
                // What fits as it is stays before what fits with a letter wrong.
                hits.extend(hit.filter(|h| hits.iter().all(|x| (x.log, &x.building) != (h.log, &h.building))));
            }
        }
        hits.truncate(most);
        Ok(hits)
    }
}

fn read(name: &str, score: f32) -> Option<Hit> {
    let (log, building) = name.split_once(' ')?;
    Some(Hit { log: log.parse().ok()?, building: building.parse().ok()?, score })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str], query: &str) -> Vec<String> {
        let (mut writer, finder) = index().unwrap();
        for (i, address) in addresses.iter().enumerate() {
            writer.add(0, &BuildingId::new("reformagkh", &(i + 1).to_string()).unwrap(), address, "").unwrap();
        }
        writer.commit(&finder).unwrap();
        let hits = finder.find(&AddressQuery::parse(query).unwrap(), 10, 10).unwrap();
        hits.iter().map(|h| h.building.value().to_owned()).collect()
    }

    #[test]
    fn the_house_decides() {
        let street = ["ул. Ленина, д. 15", "ул. Ленина, д. 5, к. 1", "ул. Ленина, д. 5, к. 2", "ул. Ленина, д. 5"];
        assert_eq!(found(&street, "ленина 5к2"), ["3", "4", "2"]);
        assert_eq!(found(&street, "ленина 5"), ["4", "2", "3"]);
        assert_eq!(found(&street, "ленина 5/2"), ["3", "4", "2"]);
        assert_eq!(found(&street, "5к2 ленина")[0], "3");
        assert_eq!(found(&street, "лен"), ["4", "2", "3", "1"]);
        assert_eq!(found(&street, "ленина 99"), Vec::<String>::new());
        assert_eq!(found(&street, "линина 15"), ["1"]);
    }
}
