//! What a ministry says that lies: another log under its own keys, with a region left out.

use std::collections::BTreeMap;

use domovoi::node::federation_log::terms_of;
use domovoi::registry::federation_step::Step;
use domovoi::registry::node_record::{DecodedNodeRecord, NodeRecord};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;
use rand::RngExt;

use super::member::{FEDERATION, federation_key};
use super::witnesses::Leaves;
use super::world::{Party, World};

impl World {
    /// The ministry signs another last step of its log, with a region left out: silently, or as if it had not been there. It
    /// shows that to witnesses, as its node shows them the one that it publishes.
    pub fn false_head(&mut self) {
        let Party::Ministry { machine, truth } = &self.parties[self.ministry()] else { return };
        let Some(running) = &machine.running else { return };
        let reader = running.node.federation().unwrap().reader.clone();
        let size = reader.size();
        if size < 4 {
            return;
        }
        let decoded = |index: u64| DecodedNodeRecord::decode(&reader.entry(index).unwrap()).unwrap();
        let record = |index: u64| decoded(index).record().clone();
        let (NodeRecord::Regions(mut regions), NodeRecord::Federation(mut commit)) =
            (record(size - 2), record(size - 1))
        else {
            return;
        };
        let Some(last) = regions.regions.0.len().checked_sub(1) else { return };
        let left_out = regions.regions.0.remove(self.rng.random_range(0..=last)).region;
        let silent = self.rng.random_bool(0.5);
        if !silent {
            commit.missing.0.push(left_out);
            commit.missing.0.sort();
        }
        let key = federation_key(self.seed, "commit");
        let (first, regions_id) = NodeRecord::Regions(regions.clone()).sign(&key).unwrap();
        commit.regions = regions_id;
        commit.oldest = regions.regions.0.iter().map(|h| h.seen).min_by_key(|s| s.get());
        let (second, id) = NodeRecord::Federation(commit.clone()).sign(&key).unwrap();
        // Whoever has the charter sees what is left out without a word; what is left out with one, only a comparison shows.
        if let (NodeRecord::Regions(r), NodeRecord::Federation(c)) = (record(size - 4), record(size - 3)) {
            let before = Step { regions: r, regions_id: decoded(size - 4).id(), commit: c, id: decoded(size - 3).id() };
            let terms = terms_of(self.chain.version(commit.charter).unwrap());
            let step = Step { regions, regions_id, commit, id };
            let checked = step.check(Some(&before), FEDERATION, &terms);
            self.holds(checked.is_err() == silent, || format!("{left_out} left out, silently: {silent}: {checked:?}"));
        }
        let mut leaves: Vec<_> = (0..size - 2).map(|i| leaf_hash(&reader.entry(i).unwrap())).collect();
        leaves.extend([leaf_hash(&first), leaf_hash(&second)]);
        let mut tree = Frontier::new();
        tree.extend(leaves.iter().copied());
        let head = Checkpoint { origin: FEDERATION.into(), size, root: tree.root() };
        let note = head.sign(&NoteSigner::new(FEDERATION, federation_key(self.seed, "log")).unwrap()).unwrap();
        let mut heads: BTreeMap<_, _> = truth.heads.range(..size).map(|(s, h)| (*s, h.root)).collect();
        heads.insert(size, head.root);
        self.said.false_heads.push(heads);
        let how = if silent { "silently" } else { "as missing" };
        self.say("false head", format_args!("{size}: {left_out} is left out {how}"));
        self.press_false(&Leaves(leaves), note.as_bytes());
    }
}
