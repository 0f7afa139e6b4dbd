//! Which records are behind the facts of a chat, and what follows from them.
//!
//! A subject's facts are the fold of its records, and each record names the one before it. So a chain from the first
//! record on, whose fold gives exactly the facts that the state map holds, lacks nothing that the facts rest on.
//! [`closure`] says whose chains belong to a chat: the node that makes a dossier and whoever verifies it ask it alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::registry::facts::{Facts, evolve};
use crate::registry::ids::{ChatNumber, KeyThumb, OrgId};
use crate::registry::jurisdiction::Charters;
use crate::registry::record::{Record, Subject};
use crate::registry::text::Day;

/// Most subjects of a dossier.
pub const MAX_SUBJECTS: usize = 1024;
/// Most records of a dossier.
pub const MAX_RECORDS: usize = 4096;

/// One record of a chain.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its index in the log.
    pub index: u64,
    /// What it says.
    pub record: Record,
    /// Ids of the keys that signed it.
    pub signers: Vec<KeyThumb>,
}

/// The records of each subject, oldest first.
pub type Chains = BTreeMap<Subject, Vec<Link>>;

fn number_of(subject: &Subject) -> Option<ChatNumber> {
    if let Subject::Chat(number) = subject { Some(*number) } else { None }
}

/// Facts of a subject after those of its records that stand below index `until` and, where a day is given, are effective
/// by it. A record without a day is about what was there before it was written down.
pub fn fold(subject: &Subject, chain: &[Link], until: u64, as_of: Option<Day>) -> Option<Facts> {
    let effective = |r: &Record| match (r.effective_from, as_of) {
        (Some(from), Some(day)) => from <= day,
        _ => true,
    };
    let links = chain.iter().take_while(|l| l.index < until).filter(|l| effective(&l.record));
    links.fold(None, |facts, l| evolve(facts, number_of(subject), &l.record))
}

/// The keys that charters themselves give the region of a log.
pub fn root_keys(charters: &Charters) -> BTreeSet<KeyThumb> {
    charters.versions().iter().flat_map(|j| &j.root_keys).map(|k| k.thumb()).collect()
}

/// Whom the facts of a subject name, now or at any time.
fn named(subject: &Subject, chain: &[Link], out: &mut Vec<Subject>) {
    let mut facts = None;
    for link in chain {
        facts = evolve(facts, number_of(subject), &link.record);
        // The one list of a chat that a later record can replace; what else is named stays named.
        if let Some(Facts::Chat(c)) = &facts {
            out.extend(c.buildings.iter().cloned().map(Subject::Building));
        }
    }
    match facts {
        Some(Facts::Chat(c)) => {
            out.extend(c.owners.into_iter().map(|o| Subject::Authority(o.authority)));
            out.extend(c.admins.into_iter().map(|a| Subject::Organisation(a.organisation)));
        }
        Some(Facts::Authority(a)) => out.extend(a.succeeded.map(|s| Subject::Authority(s.successor))),
        Some(Facts::Key(k)) => out.push(Subject::Authority(k.authority)),
        Some(Facts::Bot(b)) => out.push(Subject::Authority(b.authority)),
        Some(Facts::Building(b)) => {
            out.extend(b.managements.into_iter().filter_map(|m| m.organisation).map(Subject::Organisation));
        }
        _ => {}
    }
}

/// The chains that belong together, from `seeds` on: of every subject that the facts of another name as owner, successor,
/// building, administrator or manager, and of every key that signed any of these records, with its authority. `records_of`
/// gives the chain of a subject, empty where it has none.
///
/// # Errors
/// `dossier.too-large`, those of `records_of`.
pub fn closure(
    seeds: impl IntoIterator<Item = Subject>,
    roots: &BTreeSet<KeyThumb>,
    mut records_of: impl FnMut(&Subject) -> Result<Vec<Link>>,
) -> Result<Chains> {
    let mut chains = Chains::new();
    let mut wanted: Vec<Subject> = seeds.into_iter().collect();
    let mut records = 0;
    while let Some(subject) = wanted.pop() {
        if chains.contains_key(&subject) {
            continue;
        }
        let chain = records_of(&subject)?;
        records += chain.len();
        if chains.len() == MAX_SUBJECTS || records > MAX_RECORDS {
            return Err(Error::refuse(
                "dossier.too-large",
                format!("more than {MAX_RECORDS} records or {MAX_SUBJECTS} subjects belong to this chat"),
                "get the snapshot of the log: it verifies as a whole",
            ));
        }
        named(&subject, &chain, &mut wanted);
        let keys = chain.iter().flat_map(|l| &l.signers).filter(|kid| !roots.contains(kid));
        wanted.extend(keys.map(|kid| Subject::Key(*kid)).collect::<BTreeSet<_>>());
        chains.insert(subject, chain);
    }
    Ok(chains)
}

/// True where a subject that nothing of the chat names has a word to say about it: a bot attested for it or for all chats of
/// an owner, what is said to imitate it, the names of an organisation known here under another id. That these are all there are, nothing proves.
pub fn concerns(chat: ChatNumber, owners: &BTreeSet<OrgId>, organisations: &BTreeSet<OrgId>, facts: &Facts) -> bool {
    match facts {
        Facts::Bot(b) => b.chats.contains(&chat) || (b.chats.is_empty() && owners.contains(&b.authority)),
        Facts::Imitation(i) => i.flags.iter().any(|f| f.imitates == chat),
        Facts::Organisation(o) => o.also().iter().any(|id| organisations.contains(id)),
        _ => false,
    }
}

/// Everybody who owned the chat of these chains, by record or by succession, and every organisation among the subjects.
pub fn parties(chat: ChatNumber, chains: &Chains) -> (BTreeSet<OrgId>, BTreeSet<OrgId>) {
    let facts = |s: &Subject| chains.get(s).and_then(|chain| fold(s, chain, u64::MAX, None));
    let mut owners = BTreeSet::new();
    if let Some(Facts::Chat(c)) = facts(&Subject::Chat(chat)) {
        let mut wanted: Vec<OrgId> = c.owners.into_iter().map(|o| o.authority).collect();
        while let Some(id) = wanted.pop() {
            if owners.insert(id.clone())
                && let Some(Facts::Authority(a)) = facts(&Subject::Authority(id))
            {
                wanted.extend(a.succeeded.map(|s| s.successor));
            }
        }
    }
    let organisation = |s: &Subject| if let Subject::Organisation(id) = s { Some(id.clone()) } else { None };
    (owners, chains.keys().filter_map(organisation).collect())
}
