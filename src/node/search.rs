//! Finding a building by its address as somebody types it, in every log the node has.
//!
//! The index ([`crate::search`]) finds names of buildings; what is said of them comes from the states, at the moment of the
//! answer, so an index that is behind can at worst miss a building. One thread keeps it: at the start it reads the states,
//! then the entries that the logs grow by. It is in memory only and made anew at each start, beside everything else: the
//! node answers all other questions meanwhile, and this one with `search.building`.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::Node;
use super::verdict::Freshness;
use crate::error::{Error, Result};
use crate::registry::ids::{BuildingId, RegionCode};

/// Most buildings of one answer.
pub const MAX_FOUND: usize = 20;
/// Buildings of an answer where nobody says how many.
pub const FOUND: usize = 10;

/// A building that fits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FoundBuilding {
    /// Its primary id.
    #[schema(value_type = String)]
    pub building: BuildingId,
    /// Its address as registered.
    pub address: String,
    /// Two-digit code of the region.
    #[schema(value_type = String)]
    pub region: RegionCode,
    /// Still in the register; false for one that was demolished, merged or split.
    pub active: bool,
    /// An official chat covers it, or one that is suspended. Whether a chat is official, only its verdict says.
    pub has_chat: bool,
    /// Origin of the log that says so.
    pub log: String,
}

/// An answer to a search.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Found {
    /// Buildings that fit, the best first.
    pub items: Vec<FoundBuilding>,
    /// Logs this node has that are not searched yet.
    pub pending: Vec<String>,
    /// Where the answer comes from: the logs of the buildings found.
    pub logs: Vec<Freshness>,
}

#[cfg(not(feature = "search"))]
#[derive(Default)]
pub(super) struct Search;

#[cfg(not(feature = "search"))]
impl Search {
    pub(super) fn stop(&self) {}
}

#[cfg(not(feature = "search"))]
impl Node {
    /// Nothing: this program was built without the index.
    pub fn start_search(self: &Arc<Node>) -> Result<()> {
        Ok(())
    }

    /// Buildings by an address as somebody types it.
    ///
    /// # Errors
    /// `search.absent`, always: this program was built without the index.
    pub fn search(&self, _text: &str, _limit: usize) -> Result<Found> {
        Err(Error::refuse(
            "search.absent",
            "this node was built without address search",
            "ask by the building's id, or build with the feature «search»",
        ))
    }
}

#[cfg(feature = "search")]
pub(super) use keeper::Search;

#[cfg(feature = "search")]
mod keeper {
    use std::collections::{BTreeMap, BTreeSet, HashMap};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{OnceLock, Weak};
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use parking_lot::{Mutex, RwLock};

    use super::*;
    use crate::node::clock::Clock;
    use crate::node::log_view::LogView;
    use crate::registry::record::Subject;
    use crate::registry::state::View;
    use crate::search::query::AddressQuery;
    use crate::search::{AddressFinder, AddressWriter, Hit, LogNumber, index};

    /// How often the logs are looked at.
    const EVERY: Duration = Duration::from_millis(300);
    /// Buildings or entries taken in at a time.
    const STEP: usize = 2048;
    /// A log that has grown by more is read anew from its state: that takes no longer.
    const FAR: u64 = 65_536;

    /// The index of a node, and the thread that keeps it.
    #[derive(Default)]
    pub struct Search {
        finder: OnceLock<AddressFinder>,
        /// Origins of the logs that are searched, by number.
        logs: RwLock<BTreeMap<LogNumber, String>>,
        stop: AtomicBool,
        thread: Mutex<Option<JoinHandle<()>>>,
    }

    impl Search {
        /// Ends the thread.
        pub fn stop(&self) {
            self.stop.store(true, Ordering::SeqCst);
            if let Some(thread) = self.thread.lock().take() {
                thread.thread().unpark();
                let _ = thread.join();
            }
        }
        fn stopped(&self) -> bool {
            self.stop.load(Ordering::SeqCst)
        }
    }

    impl Node {
        /// Begins to make the index, on a thread of its own that then keeps it up to the logs until [`Node::close`].
        ///
        /// # Errors
        /// `search.index`, `thread.spawn` where memory or threads are lacking.
        pub fn start_search(self: &Arc<Node>) -> Result<()> {
            let mut thread = self.search.thread.lock();
            if thread.is_some() {
                return Ok(());
            }
            let (writer, finder) = index()?;
            let _ = self.search.finder.set(finder);
            let node = Arc::downgrade(self);
            let keeper = Keeper { writer, known: HashMap::new() };
            let spawned = std::thread::Builder::new().name("search".into()).spawn(move || keeper.run(&node));
            let failed = |e: std::io::Error| Error::stop("thread.spawn", e.to_string(), "raise the limit of threads");
            *thread = Some(spawned.map_err(failed)?);
            Ok(())
        }

        /// Buildings by an address as somebody types it, at most `limit` and [`MAX_FOUND`]. Takes milliseconds: not for the
        /// reactor.
        ///
        /// # Errors
        /// `search.long`; `search.building` while no log has been taken in yet; `search.index`.
        pub fn search(&self, text: &str, limit: usize) -> Result<Found> {
            let query = AddressQuery::parse(text)?;
            let logs = self.search.logs.read().clone();
            let views = self.views();
            let pending: Vec<String> =
                views.iter().map(|v| v.origin.clone()).filter(|o| !logs.values().any(|l| l == o)).collect();
            let finder = self.search.finder.get().filter(|_| pending.is_empty() || pending.len() < views.len());
            let building = || {
                let remedy = "ask again in a minute, or by the building's id";
                Error::retry("search.building", "the index of addresses is being made", remedy)
            };
            let finder = finder.ok_or_else(building)?;
            let limit = limit.clamp(1, MAX_FOUND);
            // Some more than wanted: what the state no longer has is left out.
            let hits = finder.find(&query, limit * 2, limit)?;
            let views: HashMap<&str, &Arc<LogView>> = views.iter().map(|v| (v.origin.as_str(), v)).collect();
            let found = |hit: &Hit| found(views.get(logs.get(&hit.log)?.as_str())?, &hit.building, &self.clock);
            let mut ranked: Vec<(f32, FoundBuilding)> = Vec::new();
            for hit in &hits {
                let item = found(hit).filter(|b| ranked.iter().all(|(_, x)| x.building != b.building));
                ranked.extend(item.map(|b| (hit.score, b)));
            }
            // Of equals those that still stand come first.
            for equals in ranked.chunk_by_mut(|a, b| a.0 == b.0) {
                equals.sort_by_key(|(_, b)| !b.active);
            }
            let items: Vec<FoundBuilding> = ranked.into_iter().map(|(_, b)| b).take(limit).collect();
            let named: BTreeSet<&str> = items.iter().map(|b| b.log.as_str()).collect();
            let logs = named.iter().filter_map(|origin| views.get(origin)).map(|view| self.freshness(view)).collect();
            Ok(Found { items, pending, logs })
        }

        /// Buildings in the index of addresses, and the memory it takes in bytes; none before it is begun.
        pub fn search_size(&self) -> Option<(u64, usize)> {
            self.search.finder.get().map(|f| (f.len(), f.bytes()))
        }
    }

    /// What the log says of a building now; none where it is not there, or was entered by mistake.
    fn found(view: &LogView, id: &BuildingId, clock: &Clock) -> Option<FoundBuilding> {
        let day = view.day_of(clock.now_ms());
        let state = view.state();
        let b = state.building(id).filter(|b| !b.void)?;
        let in_force = |n| state.chat(n).is_some_and(crate::registry::facts::ChatFacts::is_active);
        Some(FoundBuilding {
            building: b.building.clone(),
            address: b.address.to_string(),
            region: view.region,
            active: b.active_on(day),
            has_chat: state.chats_by_building(id).into_iter().any(in_force),
            log: view.origin.clone(),
        })
    }

    /// How far a log is in the index.
    #[derive(Clone, Copy)]
    struct Known {
        number: LogNumber,
        size: u64,
        /// The charter it was read under: another may make an entry a no-op.
        charter: u64,
    }

    /// The one writer of the index.
    struct Keeper {
        writer: AddressWriter,
        known: HashMap<String, Known>,
    }

    impl Keeper {
        fn run(mut self, node: &Weak<Node>) {
            while let Some(node) = node.upgrade() {
                if node.search.stopped() {
                    break;
                }
                for view in node.views() {
                    if let Err(e) = self.follow(&node, &view) {
                        // The log is the truth and is not affected; the next round tries again.
                        tracing::warn!(error = %e, origin = %view.origin, "the index of addresses is behind");
                    }
                }
                drop(node);
                std::thread::park_timeout(EVERY);
            }
        }

        /// Takes in what the log has grown by.
        fn follow(&mut self, node: &Node, view: &LogView) -> Result<()> {
            let (size, charter) = {
                let state = view.state();
                (state.size(), state.charters().latest().charter_version)
            };
            let next = LogNumber::try_from(self.known.len()).unwrap_or(LogNumber::MAX);
            // What was begun and not ended counts as nothing, and is taken in anew.
            let begun = Known { number: next, size: 0, charter: u64::MAX };
            let fresh = !self.known.contains_key(&view.origin);
            let known = *self.known.entry(view.origin.clone()).or_insert(begun);
            let grown = size.checked_sub(known.size).filter(|n| *n <= FAR && known.charter == charter);
            let changed = match grown {
                Some(0) => return Ok(()),
                Some(_) => changed(view, known.size, size)?,
                None => all(view),
            };
            let began = Instant::now();
            self.take_in(node, view, known.number, &changed, fresh)?;
            if node.search.stopped() {
                return Ok(());
            }
            self.known.insert(view.origin.clone(), Known { size, charter, ..known });
            if node.search.logs.write().insert(known.number, view.origin.clone()).is_none() {
                let (buildings, took) = (changed.len(), began.elapsed());
                tracing::info!(origin = %view.origin, buildings, ?took, "addresses of the log can be searched");
            }
            Ok(())
        }

        fn take_in(
            &mut self,
            node: &Node,
            view: &LogView,
            number: LogNumber,
            ids: &[BuildingId],
            fresh: bool,
        ) -> Result<()> {
            if ids.is_empty() {
                return Ok(());
            }
            let finder = node.search.finder.get();
            let region = view.region.region().map_or("", |r| r.name_ru);
            for some in ids.chunks(STEP) {
                if node.search.stopped() {
                    return Ok(());
                }
                // The state is held only to copy from it: a writer waits for nothing longer.
                let addresses: Vec<(&BuildingId, Option<Box<str>>)> = {
                    let state = view.state();
                    let address = |id| state.building(id).filter(|b| !b.void).map(|b| b.address.as_str().into());
                    some.iter().map(|id| (id, address(id))).collect()
                };
                for (id, address) in addresses {
                    if !fresh {
                        self.writer.remove(number, id);
                    }
                    if let Some(address) = address {
                        self.writer.add(number, id, &address, region)?;
                    }
                }
            }
            finder.map_or(Ok(()), |finder| self.writer.commit(finder))
        }
    }

    /// Every building of the log.
    fn all(view: &LogView) -> Vec<BuildingId> {
        view.read_whole(|state| {
            let building = |s: &Subject| if let Subject::Building(id) = s { Some(id.clone()) } else { None };
            state.subjects().filter_map(|(s, _)| building(s)).collect()
        })
    }

    /// Buildings whose description the entries `from..to` change.
    fn changed(view: &LogView, from: u64, to: u64) -> Result<Vec<BuildingId>> {
        let mut ids = BTreeSet::new();
        let mut at = from;
        while at < to {
            let next = to.min(at + STEP as u64);
            for found in view.records(at..next)? {
                let kind = found.record.body.type_name();
                let describes = kind.starts_with("building.") || kind.starts_with("record.");
                if describes && let Subject::Building(id) = found.record.subject(view.region) {
                    ids.insert(id);
                }
            }
            at = next;
        }
        Ok(ids.into_iter().collect())
    }
}
