//! Who must cosign a log before its checkpoints are good: the charter's quorums, and the same as C2SP `tlog-policy`.

use super::charter::{CharterBody, Region, invalid};
use super::roles::{Cosigners, KeyRole, Quorums};
use crate::error::{Error, Result};

/// Those who can cosign a log in one role: each is one voice, however many keys it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// Who it is, for people.
    pub name: String,
    /// Its keys in this role, vkey lines.
    pub vkeys: Vec<String>,
    /// The node's root, or where a witness that is no node takes checkpoints.
    pub url: String,
    /// True for a node of the federation.
    pub is_node: bool,
}

fn takes_part(region: &&Region) -> bool {
    region.standing.is_none()
}

fn vkeys(of: &Cosigners, role: KeyRole) -> Vec<String> {
    match role {
        KeyRole::Witness => of.witness.0.iter().map(ToString::to_string).collect(),
        KeyRole::Mirror => of.mirror.iter().map(ToString::to_string).collect(),
        KeyRole::Verifier => of.verifier.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// Everybody who can cosign the log `origin` in `role`: nodes that take part, but for the log's own, and witnesses that are
/// no nodes.
pub fn voices(b: &CharterBody, origin: &str, role: KeyRole) -> Vec<Voice> {
    let regions = b.regions.0.iter().filter(takes_part).filter(|r| r.origin.as_str() != origin);
    let regions = regions.filter_map(|r| {
        let vkeys = vkeys(r.cosigners.as_ref()?, role);
        Some(Voice { name: r.name.to_string(), vkeys, url: r.url.to_string(), is_node: true })
    });
    let federation = b.federation.iter().filter(|f| f.origin.as_str() != origin).filter_map(|f| {
        let vkeys = vkeys(f.cosigners.as_ref()?, role);
        Some(Voice { name: b.name.to_string(), vkeys, url: f.url.to_string(), is_node: true })
    });
    let others = b.witnesses.iter().flat_map(|w| &w.0).filter(|_| role == KeyRole::Witness).map(|w| Voice {
        name: w.name.to_string(),
        vkeys: vec![w.vkey.to_string()],
        url: w.url.to_string(),
        is_node: false,
    });
    regions.chain(federation).chain(others).filter(|v| !v.vkeys.is_empty()).collect()
}

/// Checks that every log of those who take part can reach the quorums without its own node.
pub(super) fn check(b: &CharterBody) -> Result<()> {
    let Some(q) = b.quorums else { return Ok(()) };
    let regions = b.regions.0.iter().filter(takes_part).map(|r| r.origin.as_str());
    for origin in regions.chain(b.federation.iter().map(|f| f.origin.as_str())) {
        for (role, wanted) in
            [(KeyRole::Witness, q.witness), (KeyRole::Mirror, q.mirror), (KeyRole::Verifier, q.verifier)]
        {
            let there = voices(b, origin, role).len();
            if wanted as usize > there {
                return Err(invalid(format!(
                    "the log «{origin}» can have {there} cosigners of the kind {role:?}, its quorum is {wanted}"
                )));
            }
        }
    }
    Ok(())
}

/// The C2SP `tlog-policy` of the log `origin`: its key, everybody who can cosign it, and what makes a checkpoint good. Each of
/// the three kinds with a quorum is a group; a cosigner with two keys is a group of which either is enough.
///
/// # Errors
/// `charter.origin` where the charter has no such log.
pub fn tlog_policy(b: &CharterBody, origin: &str) -> Result<String> {
    let url = b.regions.0.iter().find(|r| r.origin.as_str() == origin).map(|r| &r.url);
    let url = url.or_else(|| b.federation.as_ref().filter(|f| f.origin.as_str() == origin).map(|f| &f.url));
    let Some((vkey, url)) = b.log_vkey(origin).zip(url) else {
        return Err(Error::refuse(
            "charter.origin",
            format!("the charter names no log «{origin}»"),
            "see «domovoi charter show»",
        ));
    };
    let mut out = format!("# charter version {}\nlog {vkey} {}\n", b.version, below(url.as_str(), "log"));
    let q = b.quorums.unwrap_or(Quorums { witness: 0, mirror: 0, verifier: 0 });
    let mut groups = Vec::new();
    for (role, word, wanted) in [
        (KeyRole::Witness, "witness", q.witness),
        (KeyRole::Mirror, "mirror", q.mirror),
        (KeyRole::Verifier, "verifier", q.verifier),
    ] {
        // Of mirrors and verifiers nobody but the quorum asks; witnesses are listed for whoever wants more.
        if wanted == 0 && role != KeyRole::Witness {
            continue;
        }
        let mut members = Vec::new();
        for (n, voice) in voices(b, origin, role).iter().enumerate() {
            let url = if voice.is_node { below(&voice.url, "witness") } else { voice.url.clone() };
            let names: Vec<String> = (1..=voice.vkeys.len()).map(|k| format!("{word}-{}-key-{k}", n + 1)).collect();
            for (name, vkey) in names.iter().zip(&voice.vkeys) {
                out += &format!("witness {name} {vkey} {url}\n");
            }
            members.push(match names.as_slice() {
                [one] => one.clone(),
                several => {
                    out += &format!("group {word}-{} any {}\n", n + 1, several.join(" "));
                    format!("{word}-{}", n + 1)
                }
            });
        }
        if wanted > 0 {
            let group = format!("all-of-kind-{word}");
            out += &format!("group {group} {wanted} {}\n", members.join(" "));
            groups.push(group);
        }
    }
    match groups.as_slice() {
        [] => out += "quorum none\n",
        [one] => out += &format!("quorum {one}\n"),
        several => out += &format!("group good all {}\nquorum good\n", several.join(" ")),
    }
    Ok(out)
}

/// The address of `path` under a node's root.
fn below(root: &str, path: &str) -> String {
    format!("{}/{path}", root.trim_end_matches('/'))
}
