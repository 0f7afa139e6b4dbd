//! Who may cosign a log, and how many of them have: from the charter, and from what a node's operator adds.
//!
//! A node's word on its own log never counts, whatever it is called.

use super::charter::VerifiedCharter;
use super::roles::{Cosigners, Quorums};
use crate::error::Result;
use crate::tlog::checkpoint::MAX_CHECKPOINT_LEN;
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::{Note, NoteSignature};

/// Lines of each kind that a checkpoint bears where the quorum asks for fewer.
const AT_LEAST: Quorums = Quorums { witness: 3, mirror: 1, verifier: 1 };

/// One who cosigns: with whichever of these keys he has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Where the witness takes checkpoints: the URL before `/add-checkpoint`.
    pub witness_url: String,
    /// Keys of the witness. It counts once, however many of them have signed.
    pub witness: Vec<CosignerKey>,
    /// Root of the node that mirrors: the URL before `/mirror/…`.
    pub node_url: String,
    /// Key of the mirror.
    pub mirror: Option<CosignerKey>,
    /// Key of the verifier.
    pub verifier: Option<CosignerKey>,
}

impl Member {
    fn of(url: &str, cosigners: &Cosigners) -> Member {
        let url = url.trim_end_matches('/');
        Member {
            witness_url: format!("{url}/witness"),
            witness: cosigners.witness.0.iter().map(|vkey| vkey.key().clone()).collect(),
            node_url: url.to_owned(),
            mirror: cosigners.mirror.as_ref().map(|vkey| vkey.key().clone()),
            verifier: cosigners.verifier.as_ref().map(|vkey| vkey.key().clone()),
        }
    }
    /// All its keys.
    pub fn keys(&self) -> impl Iterator<Item = &CosignerKey> {
        self.witness.iter().chain(&self.mirror).chain(&self.verifier)
    }
}

type KeysOf = fn(&Member) -> &[CosignerKey];

/// A verified line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The key it is by.
    pub key: CosignerKey,
    /// The line.
    pub line: NoteSignature,
    /// Its time, Unix seconds.
    pub time: u64,
}

/// How many of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Witnesses.
    pub witness: u32,
    /// Mirrors.
    pub mirror: u32,
    /// Verifiers.
    pub verifier: u32,
}

/// The cosigners of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Who may cosign.
    pub members: Vec<Member>,
    /// How many must.
    pub quorums: Quorums,
}

impl Roster {
    /// What a charter says about the log with this origin: the nodes of the other regions that take part, the
    /// federation's, and the independent witnesses.
    pub fn of(charter: &VerifiedCharter, origin: &str) -> Roster {
        let body = charter.charter();
        let regions =
            body.regions.0.iter().map(|r| (r.origin.as_str(), r.url.as_str(), &r.cosigners, r.standing.is_none()));
        let federation = body.federation.iter().map(|f| (f.origin.as_str(), f.url.as_str(), &f.cosigners, true));
        let nodes: Vec<_> = regions.chain(federation).collect();
        let own = nodes.iter().find(|(of, ..)| *of == origin);
        let mut members: Vec<Member> = nodes
            .iter()
            // One node may write a region's log and the federation's.
            .filter(|(of, url, _, stands)| *of != origin && *stands && own.is_none_or(|(_, own, ..)| own != url))
            .filter_map(|(_, url, cosigners, _)| cosigners.as_ref().map(|c| Member::of(url, c)))
            .collect();
        members.extend(body.witnesses.iter().flat_map(|list| &list.0).map(|w| Member {
            witness_url: w.url.as_str().trim_end_matches('/').to_owned(),
            witness: vec![w.vkey.key().clone()],
            ..Member::default()
        }));
        Roster { members, quorums: body.quorums.unwrap_or(Quorums { witness: 0, mirror: 0, verifier: 0 }) }
    }

    /// The same without those who have one of these keys.
    pub fn without(mut self, keys: &[CosignerKey]) -> Roster {
        let own = |key: &CosignerKey| keys.iter().any(|own| own.public() == key.public());
        self.members.retain(|member| !member.keys().any(own));
        self
    }

    /// How many could cosign.
    pub fn known(&self) -> Count {
        self.count_by(|_| true)
    }

    /// How many have cosigned the note. A line that is false counts for nothing.
    pub fn count(&self, note: &Note) -> Count {
        self.count_in(&[note])
    }

    /// How many have cosigned one of these notes, which are of one head.
    pub fn count_in(&self, notes: &[&Note]) -> Count {
        self.count_by(|key| notes.iter().any(|note| key.time_of(note).is_ok_and(|time| time.is_some())))
    }

    fn count_by(&self, signed: impl Fn(&CosignerKey) -> bool) -> Count {
        let mut count = Count::default();
        for member in &self.members {
            count.witness += u32::from(member.witness.iter().any(&signed));
            count.mirror += u32::from(member.mirror.as_ref().is_some_and(&signed));
            count.verifier += u32::from(member.verifier.as_ref().is_some_and(&signed));
        }
        count
    }

    /// The note without lines that bear the name and id of a member's key and are false.
    pub fn without_false(&self, note: &Note) -> Result<Note> {
        let keys: Vec<&CosignerKey> = self.members.iter().flat_map(Member::keys).collect();
        let sound = |line: &&NoteSignature| {
            keys.iter().find(|key| key.made(line)).is_none_or(|key| key.time_of_line(note.text(), line).is_ok())
        };
        Note::of(note.text(), note.signatures().iter().filter(sound).cloned().collect())
    }

    /// The note to publish: the log's own line first, then as many lines as the quorums ask for and a few more, in the order
    /// of the roster, within the length of a checkpoint; then further keys of those witnesses, where there is room.
    ///
    /// # Errors
    /// Those of the note's form.
    pub fn note(&self, text: &str, log: NoteSignature, lines: &[Line]) -> Result<Note> {
        let mut note = Note::of(text, vec![log])?;
        let mut len = note.to_string().len();
        let mut add = |key: &CosignerKey| -> Result<bool> {
            let Some(found) = lines.iter().find(|line| line.key == *key) else { return Ok(false) };
            let more = found.line.to_string().len() + 1;
            if len + more > MAX_CHECKPOINT_LEN {
                return Ok(false);
            }
            note.add_line(found.line.clone())?;
            len += more;
            Ok(true)
        };
        let mut further = Vec::new();
        let kinds: [(u32, u32, KeysOf); 3] = [
            (self.quorums.witness, AT_LEAST.witness, |m| &m.witness),
            (self.quorums.mirror, AT_LEAST.mirror, |m| m.mirror.as_slice()),
            (self.quorums.verifier, AT_LEAST.verifier, |m| m.verifier.as_slice()),
        ];
        for (quorum, least, keys) in kinds {
            let mut signed = 0;
            for member in &self.members {
                if signed == quorum.max(least) {
                    break;
                }
                for (at, key) in keys(member).iter().enumerate() {
                    if add(key)? {
                        further.extend(&keys(member)[at + 1..]);
                        signed += 1;
                        break;
                    }
                }
            }
        }
        further.into_iter().try_for_each(|key| add(key).map(|_| ()))?;
        Ok(note)
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
