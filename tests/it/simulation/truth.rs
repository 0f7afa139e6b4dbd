//! What an honest log is known to hold: every head it ever had, kept apart from the node that writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domovoi::node::log_view::LogView;
use domovoi::registry::node_record::{DecodedNodeRecord, NodeRecord};
use domovoi::registry::state::View;
use domovoi::storage::log_store::LogReader;
use domovoi::tlog::tree::{self, Frontier};
use domovoi::tlog::{Hash, leaf_hash};

use super::office::Owners;

/// A head of an honest log.
#[derive(Clone)]
pub struct Head {
    pub root: Hash,
    /// Root of the state map that its last entry commits to.
    pub state: [u8; 32],
    pub owners: Arc<Owners>,
}

/// Every head of an honest log.
pub struct Truth {
    tree: Frontier,
    pub heads: BTreeMap<u64, Head>,
}

impl Truth {
    pub fn new() -> Truth {
        Truth { tree: Frontier::new(), heads: BTreeMap::new() }
    }
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Takes in what the log has now. What it had before must be there unchanged.
    pub fn extend(&mut self, reader: &LogReader, owners: &Arc<Owners>) -> Result<(), String> {
        let (size, root) = reader.head();
        let known = self.tree.size();
        if size < known {
            return Err(format!("the log lost entries: it had {known} and has {size}"));
        }
        if known > 0 && tree::root(reader, known).map_err(|e| e.to_string())? != self.tree.root() {
            return Err(format!("the first {known} entries are other ones now"));
        }
        for index in known..size {
            let entry = reader.entry(index).map_err(|e| e.to_string())?;
            self.tree.push(leaf_hash(&entry));
            let state = match DecodedNodeRecord::decode(&entry).as_ref().map(DecodedNodeRecord::record) {
                Ok(NodeRecord::Commit(c)) => c.root.0,
                Ok(NodeRecord::Federation(c)) => c.root.0,
                _ => continue,
            };
            self.heads.insert(index + 1, Head { root: self.tree.root(), state, owners: owners.clone() });
        }
        match self.tree.root() == root && self.heads.contains_key(&size) | (size == 0) {
            true => Ok(()),
            false => Err(format!("the head of {size} entries is not that of its entries")),
        }
    }

    /// Holds somebody's view of the log against it.
    pub fn check(&self, view: &LogView) -> Result<(), String> {
        let (size, root) = view.reader.head();
        let state = view.state();
        if size == 0 && state.size() == 0 {
            return Ok(());
        }
        let head = self.heads.get(&size).ok_or(format!("a view of {size} entries, where no commit ends"))?;
        if head.root != root {
            return Err(format!("at size {size} another tree"));
        }
        if state.size() != size || state.head().map(|h| h.root) != Some(head.state) {
            return Err(format!("at size {size} another state"));
        }
        let mut houses = BTreeMap::new();
        for (chat, (owner, live)) in head.owners.iter() {
            let facts = state.chat(*chat).ok_or(format!("{chat} has gone"))?;
            let has = facts.owner().map(|o| state.holder(&o.authority));
            if has.as_ref() != Some(owner) || facts.is_active() != *live {
                return Err(format!("{chat} belongs to {owner}; the state says {has:?}, active {}", facts.is_active()));
            }
            for house in facts.buildings.iter().filter(|_| *live) {
                if let Some(other) = houses.insert(house.clone(), chat) {
                    return Err(format!("{house} has two chats in force: {chat} and {other}"));
                }
            }
        }
        Ok(())
    }
}
