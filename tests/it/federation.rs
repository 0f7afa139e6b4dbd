//! The federation's log and the private check: a naive model over random histories, and real ministries' nodes.

mod keeping;
mod model;
mod nodes;

use std::path::PathBuf;

use domovoi::federation::charter::VerifiedCharter;
use domovoi::node::read_charter;
use domovoi::registry::bucket_file::FederationHead;
use domovoi::registry::ids::ChatNumber;
use domovoi::registry::link::{LinkDigest, canonical_link};
use domovoi::registry::node_record::FederationCommit;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::node::{AUTHORITY, Around, Node, Signer};

const ORIGIN: &str = "federation.example/log";

/// A federation's charter, as the command made it.
pub struct Founded {
    pub charter: PathBuf,
    pub verified: VerifiedCharter,
}

/// Founds a federation of what the ministry's node follows, and of `more`, charters of regions it does not.
pub fn found(ministry: &Node, more: &[&str]) -> Founded {
    let mut args = vec!["federation", "found", "--origin", ORIGIN, "--name", "Федерация"];
    more.iter().for_each(|charter| args.extend(["--region-charter", charter]));
    let charter = PathBuf::from(ministry.run(&args).json()["charter"].as_str().unwrap());
    Founded { verified: read_charter(&charter).unwrap(), charter }
}

/// The ministry's node follows the region from its next start on.
pub fn follow(ministry: &Node, region: &Node, name: &str) {
    let (ca, pin) = (region.certificate(), region.charter.clone().unwrap());
    let args = ["follow", &region.url(), "--name", name, "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    ministry.run(&args).json();
}

pub fn link(n: u64) -> String {
    let token = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(n.to_be_bytes()));
    format!("https://max.ru/join/{token}")
}
pub fn digest(n: u64) -> LinkDigest {
    LinkDigest::of_link(&canonical_link(&link(n)).unwrap())
}

/// A building's chat with the link `n`.
pub fn chat(signer: &Signer, n: u64) -> (ChatNumber, Vec<u8>) {
    let fields = json!({ "kind": "house", "title": format!("Дом {n}"), "buildings": [format!("reformagkh:{n}")],
        "owner": AUTHORITY, "link": digest(n).to_string() });
    let (id, bytes) =
        signer.record("chat.registered", fields, Around { from: Some("2025-02-01"), ..Around::default() });
    (ChatNumber::derive("77".parse().unwrap(), &id.0), bytes)
}

pub fn head(ministry: &Node, founded: &Founded) -> Option<(FederationHead, FederationCommit)> {
    let answer = ministry.get("/api/v1/verify/bucket");
    if answer.status == 404 {
        return None;
    }
    let head = FederationHead::decode(&answer.body).unwrap();
    let commit = head.verify(&founded.verified.federation().unwrap()).unwrap();
    Some((head, commit))
}
