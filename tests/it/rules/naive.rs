//! The rules once more, word by word and without any state: every question is answered by reading all records from the
//! first. Slow, short, and written without looking at the code it judges.

use std::collections::{BTreeMap, BTreeSet};

use domovoi::registry::body::{Body, Certainty, Imitation, ObjectionNoted, RecordSuperseded};
use domovoi::registry::facts::{Facts, evolve, leaf_value};
use domovoi::registry::ids::{BuildingId, ChatNumber, KeyThumb, LinkDigest, OrgId, RecordId};
use domovoi::registry::record::{Record, Subject};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::statemap::{EMPTY_ROOT, inner_hash, leaf_hash, map_key};
use domovoi::registry::text::Day;
use domovoi::registry::verify::VerifiedRecord;

use super::world::{key, root_key, subject_of};

/// The records so far, oldest first.
pub struct Naive<'r>(pub Vec<&'r Record>);

impl Naive<'_> {
    fn about(&self, subject: Subject) -> impl Iterator<Item = &Record> {
        self.0.iter().copied().filter(move |r| subject_of(r) == subject)
    }
    pub fn chats(&self) -> BTreeSet<ChatNumber> {
        let chat = |r: &&Record| if let Subject::Chat(c) = subject_of(r) { Some(c) } else { None };
        self.0.iter().filter_map(chat).collect()
    }
    /// Every owner a chat was ever given, with the record that says so.
    pub fn owners(&self, chat: ChatNumber) -> Vec<(OrgId, RecordId)> {
        self.about(Subject::Chat(chat))
            .filter_map(|r| match &r.body {
                Body::ChatDeclared(b) => Some((b.authority.clone(), r.id)),
                Body::ChatRegistered(b) => Some((b.owner.clone(), r.id)),
                Body::OwnershipTransferred(b) => Some((b.to.clone(), r.id)),
                _ => None,
            })
            .collect()
    }
    /// Who owns a chat now: a succession renames the owner there and then.
    pub fn owner(&self, chat: ChatNumber) -> Option<OrgId> {
        let mut owner = None;
        for r in &self.0 {
            match &r.body {
                Body::AuthoritySucceeded(b) if owner.as_ref() == Some(&b.authority) => {
                    owner = Some(b.successor.clone())
                }
                Body::ChatDeclared(b) if subject_of(r) == Subject::Chat(chat) => owner = Some(b.authority.clone()),
                Body::ChatRegistered(b) if subject_of(r) == Subject::Chat(chat) => owner = Some(b.owner.clone()),
                Body::OwnershipTransferred(b) if b.chat == chat => owner = Some(b.to.clone()),
                _ => {}
            }
        }
        owner
    }
    /// Enrolled, suspended, succeeded.
    pub fn authority(&self, id: &OrgId) -> (bool, bool, bool) {
        let mut now = (false, false, false);
        for r in self.about(Subject::Authority(id.clone())) {
            match &r.body {
                Body::AuthorityEnrolled(_) => now.0 = true,
                Body::AuthoritySuspended(_) => now.1 = true,
                Body::AuthorityAmended(b) if b.reinstated == Some(true) => now.1 = false,
                Body::AuthoritySucceeded(_) => now.2 = true,
                _ => {}
            }
        }
        now
    }
    /// The chat that this imitates by the last word on it, and how sure that is; none if it was cleared.
    pub fn flag(&self, imitation: &Imitation) -> Option<(ChatNumber, Certainty)> {
        let last = self.0.iter().rev().find_map(|r| match &r.body {
            Body::ImpersonationFlagged(b) if b.imitation == *imitation => Some(Some((b.imitates, b.certainty))),
            Body::ImpersonationCleared(b) if b.imitation == *imitation => Some(None),
            _ => None,
        });
        last.flatten()
    }
    /// Objections to facts of a subject that nobody has decided about: (number, date).
    pub fn open_objections(&self, subject: &Subject) -> BTreeSet<(String, Day)> {
        let mut open = BTreeSet::new();
        for r in self.about(subject.clone()) {
            if let Body::ObjectionNoted(b) = &r.body {
                let key = (b.number.to_string(), b.date);
                if b.outcome.is_some() { assert!(open.remove(&key)) } else { assert!(open.insert(key)) }
            }
        }
        open
    }
    fn code(&self, id: &BuildingId) -> Option<String> {
        let last = self.about(Subject::Building(id.clone())).filter_map(|r| match &r.body {
            Body::BuildingRegistered(b) | Body::BuildingAmended(b) => Some(b.oktmo.to_string()),
            _ => None,
        });
        last.last()
    }
    fn covers(&self, chat: ChatNumber) -> Vec<BuildingId> {
        let lists = self.about(Subject::Chat(chat)).filter_map(|r| match &r.body {
            Body::ChatDeclared(b) => Some(b.buildings.0.clone()),
            Body::ChatRegistered(b) => Some(b.buildings.0.clone()),
            Body::ChatAmended(b) => b.buildings.as_ref().map(|l| l.0.clone()),
            _ => None,
        });
        lists.last().unwrap_or_default()
    }
    /// The authority and prefixes of a key that may sign `kind` at `time`.
    fn key(&self, kid: &KeyThumb, kind: &str, time: u64) -> Option<(OrgId, Vec<String>)> {
        let mut found = None;
        for r in self.about(Subject::Key(*kid)) {
            match &r.body {
                Body::KeyGranted(b) => found = Some(b),
                Body::KeyRevoked(_) => return None,
                _ => {}
            }
        }
        let grant = found?;
        let group = format!("{}.*", kind.split('.').next()?);
        let scoped = grant.scopes.0.iter().any(|s| ["*", kind, &group].contains(&s.as_str()));
        let inside = (grant.not_before.get()..grant.not_after.get()).contains(&time);
        let standing = self.authority(&grant.authority) == (true, false, false);
        (scoped && inside && standing)
            .then(|| (grant.authority.clone(), grant.oktmo.0.iter().map(ToString::to_string).collect()))
    }

    /// Rule 5: may these signers say this now? `self` holds the records before it.
    pub fn may_sign(&self, verified: &VerifiedRecord, time: u64) -> bool {
        let record = verified.record();
        let roots: Vec<KeyThumb> = [root_key(), key(201)].iter().map(|k| PublicKey::of(k).thumb()).collect();
        let by_root = verified.signers().iter().any(|s| roots.contains(s));
        let mut keys = Vec::new();
        for kid in verified.signers().iter().filter(|s| !roots.contains(s)) {
            match self.key(kid, record.body.type_name(), time) {
                Some(k) => keys.push(k),
                None => return false,
            }
        }
        let good = |authority: Option<&OrgId>, codes: Vec<Option<String>>| {
            let codes: Option<Vec<String>> = codes.into_iter().collect();
            codes.is_some_and(|codes| {
                keys.iter().any(|(a, prefixes)| {
                    authority.is_none_or(|x| a == x)
                        && codes.iter().all(|c| prefixes.iter().any(|p| c.starts_with(p.as_str())))
                })
            })
        };
        let place = |b: &BuildingId| good(None, vec![self.code(b)]);
        let all = |list: &[BuildingId]| list.iter().map(|b| self.code(b)).collect::<Vec<_>>();
        let by_owner = |chat| self.owner(chat).is_some_and(|o| good(Some(&o), all(&self.covers(chat))));
        match &record.body {
            Body::AuthorityEnrolled(_) | Body::AuthorityAmended(_) | Body::AuthoritySuspended(_) => by_root,
            Body::AuthoritySucceeded(_) => by_root && record.basis.is_some(),
            Body::KeyGranted(b) => by_root && b.oktmo.0.iter().all(|p| p.to_string().starts_with("45")),
            Body::KeyRevoked(b) => {
                let holder = self.about(Subject::Key(b.key)).find_map(|r| match &r.body {
                    Body::KeyGranted(b) => Some(b.authority.clone()),
                    _ => None,
                });
                by_root || good(holder.as_ref(), vec![])
            }
            Body::OrganisationNamed(_) | Body::OrganisationLinked(_) => good(None, vec![]),
            Body::BuildingRegistered(b) => {
                let code = b.oktmo.to_string();
                code.starts_with("45") && good(None, vec![Some(code)])
            }
            Body::BuildingAmended(b) => {
                let code = b.oktmo.to_string();
                code.starts_with("45") && good(None, vec![Some(code)]) && place(&b.building)
            }
            Body::BuildingLinked(b) => place(&b.building),
            Body::BuildingRetired(b) => place(&b.building),
            Body::ManagementAssigned(b) => place(&b.building),
            Body::ManagementEnded(b) => place(&b.building),
            Body::ServicesPublished(b) => place(&b.building),
            Body::ChatDeclared(b) => good(Some(&b.authority), all(&b.buildings.0)),
            Body::ChatRegistered(b) => good(Some(&b.owner), all(&b.buildings.0)),
            Body::ChatAmended(b) => {
                let new = b.buildings.as_ref().map(|l| all(&l.0)).unwrap_or_default();
                by_owner(b.chat) && good(self.owner(b.chat).as_ref(), new)
            }
            Body::ChatSuspended(b) | Body::ChatRestored(b) | Body::ChatClosed(b) => by_owner(b.chat),
            Body::ChatReplaced(b) => by_owner(b.chat),
            Body::ChatObserved(b) => by_owner(b.chat),
            Body::AdminDelegated(b) | Body::AdminWithdrawn(b) => by_owner(b.chat),
            Body::OwnershipTransferred(b) => {
                let codes = all(&self.covers(b.chat));
                let both = good(Some(&b.from), codes.clone()) && good(Some(&b.to), codes);
                self.owner(b.chat).as_ref() == Some(&b.from)
                    && (both || by_root && keys.is_empty() && record.basis.is_some())
            }
            Body::BotAttested(b) => good(Some(&b.authority), vec![]),
            // Who attested it last, or whoever succeeded him: a key of one of them.
            Body::BotWithdrawn(_) => good(None, vec![]),
            // A transfer takes two regions; tests/it/transfer.rs has them.
            Body::TransferOffered(_)
            | Body::TransferAccepted(_)
            | Body::TransferDeclined(_)
            | Body::TransferReleased(_) => false,
            Body::ApplicabilitySet(_) => by_root && record.basis.is_some(),
            Body::ImpersonationFlagged(b) => {
                by_owner(b.imitates) && self.flag(&b.imitation).is_none_or(|(chat, _)| by_owner(chat))
            }
            Body::ImpersonationCleared(b) => self.flag(&b.imitation).is_some_and(|(chat, _)| by_owner(chat)),
            Body::ObjectionNoted(ObjectionNoted { subject, .. })
            | Body::RecordSuperseded(RecordSuperseded { subject, .. }) => match subject {
                Subject::Building(id) => place(id),
                Subject::Chat(c) => by_owner(*c),
                _ => false,
            },
        }
    }

    /// Every leaf of the state map: subjects by folding their records, links by who ever named them.
    pub fn leaves(&self) -> Vec<(String, [u8; 32])> {
        let mut facts: BTreeMap<String, Option<Facts>> = BTreeMap::new();
        let mut links: BTreeMap<LinkDigest, BTreeSet<ChatNumber>> = BTreeMap::new();
        for r in &self.0 {
            let subject = subject_of(r);
            let chat = if let Subject::Chat(c) = subject { Some(c) } else { None };
            let name = subject.to_string();
            let before = facts.remove(&name).flatten();
            facts.insert(name, evolve(before, chat, r));
            let link = match &r.body {
                Body::ChatDeclared(b) => b.link,
                Body::ChatRegistered(b) => b.link,
                Body::ChatAmended(b) => b.link,
                _ => None,
            };
            if let (Some(link), Some(chat)) = (link, chat) {
                links.entry(link).or_default().insert(chat);
            }
        }
        let mut leaves: Vec<(String, [u8; 32])> = Vec::new();
        for (name, f) in facts {
            leaves.push((name, leaf_value(&f.expect("a record about nothing").encode())));
        }
        for (link, chats) in links {
            let chats: Vec<String> = chats.iter().map(|c| format!("\"{c}\"")).collect();
            let json = format!("{{\"link\":\"{link}\",\"chats\":[{}]}}", chats.join(","));
            leaves.push((format!("link:{link}"), leaf_value(json.as_bytes())));
        }
        leaves.sort();
        leaves
    }
}

/// The root of the map with these leaves: the definition in `statemap`, by recursion.
pub fn root(leaves: &[(String, [u8; 32])]) -> [u8; 32] {
    fn go(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
        match leaves {
            [] => EMPTY_ROOT,
            [(k, v)] => leaf_hash(k, v),
            _ => {
                let high = |k: &[u8; 32]| k[depth / 8] & (0x80 >> (depth % 8)) != 0;
                let split = leaves.partition_point(|(k, _)| !high(k));
                inner_hash(&go(&leaves[..split], depth + 1), &go(&leaves[split..], depth + 1))
            }
        }
    }
    let mut keyed: Vec<_> = leaves.iter().map(|(n, v)| (map_key(n), *v)).collect();
    keyed.sort();
    go(&keyed, 0)
}
