//! `domovoi inspect FILE`: any signed file, readable: record, charter, checkpoint, snapshot, evidence.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use crate::error::{Error, Result};
use crate::federation::charter::Charter;
use crate::federation::evidence::Evidence;
use crate::node::snapshot::{KIND, root_of};
use crate::registry::envelope::{Envelope, MAX_PROOF_ENTRY, TYP_NODE, TYP_RECORD};
use crate::registry::facts::Facts;
use crate::registry::node_record::{DecodedNodeRecord, NodeRecord};
use crate::storage::durable::read_bounded;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::{Note, VerifierKey};
use crate::tlog::tree::verify_inclusion;
use crate::tlog::{Hash, leaf_hash};

/// Shows a signed file.
#[derive(Debug, Args)]
pub struct Inspect {
    #[arg(help = "Файл: запись, устав, контрольная точка, снимок, свидетельство")]
    file: PathBuf,
}

/// Largest file that is looked at whole; a snapshot is read line by line.
const MAX_FILE: u64 = 4 << 20;

impl Inspect {
    /// Finds out what the file is and prints it.
    pub fn run(&self, context: &Context) -> Result<()> {
        let value = inspect(&self.file)?;
        context.out.result(&value, |out| {
            // Readable and complete at once: the same fields, one a line.
            out.line(&serde_json::to_string_pretty(&value).unwrap_or_default());
        });
        Ok(())
    }
}

fn signatures(envelope: &Envelope) -> Vec<String> {
    envelope.signatures.iter().map(|(kid, _)| kid.to_string()).collect()
}

fn inspect(path: &Path) -> Result<Value> {
    let mut first = String::new();
    let unreadable = |e: std::io::Error| {
        Error::refuse("inspect.file", format!("{}: {e}", path.display()), "name a file that can be read")
    };
    let head = std::fs::File::open(path).map_err(unreadable)?;
    // Bytes that are no text are no snapshot; what they are is found out below.
    let _ = std::io::BufReader::new(std::io::Read::take(head, 1 << 16)).read_line(&mut first);
    if serde_json::from_str::<Value>(&first).is_ok_and(|v| v["kind"] == KIND) {
        return snapshot(path);
    }
    let bytes = read_bounded(path, MAX_FILE)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let payload = |e: &Envelope| {
        serde_json::from_slice::<Value>(&e.payload).unwrap_or_else(|_| json!(String::from_utf8_lossy(&e.payload)))
    };
    for (typ, name) in [(TYP_RECORD, "record"), (TYP_NODE, "node record")] {
        if let Ok(envelope) = Envelope::parse(line, typ, MAX_PROOF_ENTRY) {
            return Ok(
                json!({ "file": name, "typ": typ, "id": envelope.id().to_string(), "signatures": signatures(&envelope), "verified": false, "payload": payload(&envelope) }),
            );
        }
    }
    if let Ok(charter) = Charter::open(line) {
        return Ok(
            json!({ "file": "charter", "sha256": charter.sha256().to_string(), "verified": "signed by its own root keys", "charter": charter.charter() }),
        );
    }
    if let Ok(note) = Note::parse(&bytes) {
        let names: Vec<String> = note.signatures().iter().map(|s| s.name.clone()).collect();
        let lines: Vec<&str> = note.text().lines().collect();
        return Ok(json!({ "file": "signed note", "text": lines, "signed_by": names, "verified": false }));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
        Error::refuse(
            "inspect.kind",
            format!("{} is none of record, charter, checkpoint, snapshot, evidence", path.display()),
            "check that the file is whole",
        )
    })?;
    if let Ok(found) = Evidence::decode(&bytes) {
        return Ok(evidence(&found));
    }
    Ok(json!({ "file": "json", "content": value }))
}

/// Evidence against a log: what it says. What of it is proved takes a charter: `domovoi evidence verify`.
fn evidence(e: &Evidence) -> Value {
    let checkpoint = |note: &Option<String>| {
        let note = Note::parse(note.as_deref()?.as_bytes()).ok()?;
        let head = Checkpoint::parse(note.text()).ok()?;
        Some(json!({ "size": head.size, "root": head.root.to_string() }))
    };
    json!({
        "file": "evidence", "format": e.format, "origin": e.origin, "code": e.code, "detail": e.detail, "seen_at": e.seen_at,
        "source": e.source, "verified": false, "accepted": checkpoint(&e.accepted_checkpoint),
        "served": checkpoint(&e.served_checkpoint), "proof": e.proof,
    })
}

fn bad(detail: String) -> Error {
    Error::refuse("snapshot.invalid", detail, "export the snapshot again")
}

/// Verifies a snapshot: checkpoint signature, that the commit belongs to it, and that the facts have the commit's root.
/// The key is the one the file names: compare it with the region's charter.
pub fn snapshot(path: &Path) -> Result<Value> {
    let open = std::fs::File::open(path).map_err(|e| bad(format!("{}: {e}", path.display())))?;
    let (mut facts, mut size, mut log, mut end) = (Vec::new(), 0, String::new(), None);
    for (i, line) in std::io::BufReader::new(open).lines().enumerate() {
        let line = line.map_err(|e| bad(e.to_string()))?;
        let v: Value = serde_json::from_str(&line).map_err(|e| bad(format!("line {}: {e}", i + 1)))?;
        if i == 0 {
            if v["kind"] != KIND {
                return Err(bad("the first line does not say that it is a snapshot of this format".into()));
            }
            size = v["size"].as_u64().unwrap_or(0);
            log = v["log"].as_str().unwrap_or("").to_owned();
        } else if let Some(subject) = v["subject"].as_str() {
            let f: Facts =
                serde_json::from_value(v["facts"].clone()).map_err(|e| bad(format!("line {}: {e}", i + 1)))?;
            facts.push((subject.to_owned(), f));
        } else {
            end = Some(v);
        }
    }
    let end = end.ok_or_else(|| bad("the closing line is missing: the file is not whole".into()))?;
    let text = |k: &str| end[k].as_str().unwrap_or("").to_owned();
    let vkey = VerifierKey::parse(&text("vkey"))?;
    let checkpoint = Checkpoint::open(text("checkpoint").as_bytes(), &vkey, &log)?;
    let hashes: Option<Vec<Hash>> = end["proof"]
        .as_array()
        .filter(|p| p.len() <= 64)
        .and_then(|p| p.iter().map(|h| Hash::from_hex(h.as_str()?).ok()).collect());
    let proof = hashes.ok_or_else(|| bad("the closing line holds no inclusion proof".into()))?;
    let (leaf, tree) = (leaf_hash(text("commit").as_bytes()), checkpoint.checkpoint());
    if size == 0 {
        return Err(bad("the header names no size".into()));
    }
    verify_inclusion(leaf, size - 1, tree.size, &proof, tree.root)
        .map_err(|_| bad("the commit is not in the tree of the signed checkpoint".into()))?;
    let commit = DecodedNodeRecord::decode(text("commit").as_bytes())?;
    let NodeRecord::Commit(commit) = commit.record() else {
        return Err(bad("the closing line holds no commit".into()));
    };
    let root = root_of(&facts);
    if commit.root.0 != root || text("state_root") != data_encoding::HEXLOWER.encode(&root) {
        return Err(bad("the facts do not have the root of the commit".into()));
    }
    if commit.size != size || checkpoint.checkpoint().size < size {
        return Err(bad("commit, checkpoint and header are of different sizes".into()));
    }
    Ok(json!({
        "file": "snapshot", "log": log, "size": size, "subjects": facts.len(), "time": commit.time.get(),
        "state_root": data_encoding::HEXLOWER.encode(&root), "vkey": vkey.to_string(),
        "verified": "the facts have the root of the commit, the checkpoint is signed with vkey",
    }))
}
