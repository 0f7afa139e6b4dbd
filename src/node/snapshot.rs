//! The signed export: every subject's facts as JSON Lines.
//!
//! The first line says what the file is, then one subject a line sorted by name, then a closing line with the commit and
//! the signed checkpoint the facts belong to. The state root of that commit is the root of a map over exactly these
//! lines, so nobody has to trust the exporter: the facts are signed by the commit.

use serde_json::json;

use super::log_view::LogView;
use crate::error::{Error, Result};
use crate::registry::facts::Facts;
use crate::registry::record::Subject;
use crate::registry::state::View;
use crate::registry::statemap::{StateMap, map_key};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::tree::inclusion_proof;

/// Format of the first line.
pub const KIND: &str = "domovoi snapshot v0";

/// Writes the lines of a snapshot of `view` as of its last commit.
pub fn write(view: &LogView, mut line: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (head, mut names): (_, Vec<Subject>) = {
        let state = view.state();
        (state.head(), state.subjects().map(|(s, _)| s.clone()).collect())
    };
    let none = || Error::refuse("export.empty", "the log has no commit yet", "record something first");
    let head = head.ok_or_else(none)?;
    names.sort_by_cached_key(ToString::to_string);
    let encode = |v: &serde_json::Value| v.to_string().into_bytes();
    line(&encode(&json!({ "kind": KIND, "log": view.origin, "size": head.index + 1 })))?;
    for subject in names {
        // The state may move on while this is written; a subject that changed is then not of this commit.
        let state = view.state();
        if state.head() != Some(head) {
            return Err(Error::retry("export.moved", "the log moved on while it was exported", "export again"));
        }
        if let Some(entry) = state.entry(&subject) {
            let facts = entry.facts.encode();
            drop(state);
            let mut out = format!("{{\"subject\":{},\"facts\":", json!(subject.to_string())).into_bytes();
            out.extend_from_slice(&facts);
            out.push(b'}');
            line(&out)?;
        }
    }
    let commit = view.reader.entry(head.index)?;
    let note = view.reader.checkpoint_text().ok_or_else(none)?;
    let text = note.split_once("\n\n").map_or(&*note, |(text, _)| text);
    let covered = Checkpoint::parse(&format!("{}\n", text.trim_end()))?.size;
    let proof: Vec<String> =
        inclusion_proof(&view.reader, head.index, covered)?.iter().map(ToString::to_string).collect();
    line(&encode(&json!({
        "commit": String::from_utf8_lossy(&commit),
        "checkpoint": &*note,
        "proof": proof,
        "vkey": view.charter().region_by_origin(&view.origin).map(|r| r.log_vkey.to_string()),
        "state_root": data_encoding::HEXLOWER.encode(&head.root),
    })))
}

/// The root of the state map over the facts of a snapshot's subject lines.
pub fn root_of(facts: &[(String, Facts)]) -> [u8; 32] {
    let mut map = StateMap::new();
    let mut links: std::collections::BTreeMap<_, std::collections::BTreeSet<_>> = Default::default();
    for (name, facts) in facts {
        map.set(map_key(name), crate::registry::facts::leaf_value(&facts.encode()));
        if let Facts::Chat(c) = facts {
            for link in c.rotated.iter().chain(&c.link) {
                links.entry(*link).or_default().insert(c.chat);
            }
        }
    }
    for (link, chats) in links {
        let (name, value) = crate::registry::state::link_leaf(link, &chats);
        map.set(map_key(&name), value);
    }
    map.root()
}
