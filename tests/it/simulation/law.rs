//! What must hold after every step: the rules of the domain that never break, as far as a federation shows them.

use domovoi::federation::evidence::{Evidence, FORK, Finding};
use domovoi::node::answer::Question;
use domovoi::node::log_view::When;
use domovoi::node::verdict::VerdictState;
use domovoi::registry::jurisdiction::FederationKeys;
use domovoi::tlog::Hash;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::Note;
use rand::RngExt;

use super::liar::{Face, Lie};
use super::machine::STALE;
use super::network::Name;
use super::world::{Party, World};

impl World {
    /// A checkpoint that an honest node serves is of the one log it writes.
    pub fn check_served(&self, of: Name, note: &[u8]) {
        let Party::Honest { truth, .. } = &self.parties[of] else { return };
        let head = Note::parse(note).and_then(|n| Checkpoint::parse(n.text())).unwrap();
        let right = truth.heads.get(&head.size).is_some_and(|h| h.root == head.root);
        self.holds(right, || format!("{} signed a head it never had: {head:?}", self.label(of)));
        self.check_lines(of, note);
    }

    /// What `from` has of the log of `to`, after a round that ended so.
    pub fn check_view(&self, from: Name, to: Name, error: Option<&str>) {
        let node = &self.parties[from].machine().unwrap().running.as_ref().unwrap().node;
        let origin = self.members[to].origin();
        let who = || format!("{} on {}", self.label(to), self.label(from));
        let Some(followed) = node.followed().into_iter().find(|f| f.view.origin == origin) else { return };
        let view = &followed.view;
        let status = followed.status.read().clone();
        match &self.parties[to] {
            Party::Honest { truth, .. } => {
                self.must(truth.check(view), &who());
                let fork = status.held.as_ref().is_some_and(|h| h.code == FORK);
                self.holds(!fork, || format!("{}: an honest log is held for a fork", who()));
            }
            Party::Liar(liar) => {
                let (size, root) = view.reader.head();
                let state = view.state().head().map(|h| h.root);
                let believed = size == 0
                    || liar
                        .faces
                        .iter()
                        .any(|f| f.heads.get(&size).is_some_and(|(r, s)| *r == root && Some(*s) == state));
                self.holds(believed, || {
                    format!("{}: {:?} is believed at size {size}, which no face may say ({error:?})", who(), liar.lie)
                });
            }
            Party::Ministry { .. } => {}
        }
        if let Some(held) = &status.held {
            self.check_evidence(from, to, &held.evidence, &held.code);
            // Only what was verified is visible.
            self.holds(view.reader.size() >= held.size.min(view.reader.size()), || format!("{}: shrank", who()));
        }
        // A round that verified ends every hold, and one that did not says so.
        self.holds(error.is_some() || status.held.is_none() || held_for_good(&status), || {
            format!("{}: held after a good round: {:?}", who(), status.held)
        });
    }

    /// Whoever is accused is accused of something that he signed.
    fn check_evidence(&self, from: Name, to: Name, name: &str, code: &str) {
        let machine = self.parties[from].machine().unwrap();
        let path = machine.layout().mirror(&self.members[to].origin()).evidence().join(name);
        let bytes = std::fs::read(&path);
        self.holds(bytes.is_ok(), || format!("no evidence against {} in {}", self.label(to), path.display()));
        let evidence = Evidence::decode(&bytes.unwrap()).unwrap();
        let found = evidence.verify(&self.chain);
        self.holds(found.is_ok(), || format!("the evidence against {} does not verify: {found:?}", self.label(to)));
        let found = found.unwrap();
        if code == FORK {
            self.holds(matches!(found, Finding::SplitView { .. }), || {
                format!("the evidence of a fork of {} proves none: {found:?}", self.label(to))
            });
        }
        let honest = matches!(self.parties[to], Party::Honest { .. });
        self.holds(!honest || !found.is_proof(), || {
            format!("{} is honest, and {} proves {found:?}", self.label(to), path.display())
        });
    }

    /// Answers of one node: what is stale says so, and nobody's word moves what another region owns.
    pub fn check_answers(&mut self, name: Name) {
        let ministry = self.ministry();
        let name = if self.rng.random_bool(0.5) { ministry } else { name };
        let at = self.rng.random_range(0..1 << 30);
        let Some(machine) = self.parties[name].machine() else { return };
        let Some(running) = &machine.running else { return };
        let (node, now, date) = (&running.node, self.time.load(std::sync::atomic::Ordering::SeqCst), machine.now());
        for following in &running.following {
            let Some(view) = node.view(&self.members[following.to].origin()) else { continue };
            // While a round is in progress it may just have been heard.
            let Some((heard, heard_date)) = following.heard.filter(|_| following.round.is_none()) else { continue };
            let freshness = node.freshness(&view);
            // By the clock that only counts, and by the date: whichever says more.
            let age = now.saturating_sub(heard).max(date.saturating_sub(heard_date));
            self.holds(freshness.stale || age <= STALE * 3_600_000 + 1000, || {
                let (who, of) = (self.label(name), self.label(following.to));
                format!("{who} calls {of} fresh, heard {} h ago", age / 3_600_000)
            });
        }
        // One honest chat that this node has.
        let known: Vec<Name> = running.following.iter().map(|f| f.to).chain([name]).collect();
        let Some(region) = known.get(at % known.len()).copied().filter(|r| *r < self.members.len()) else { return };
        let Party::Honest { office, truth, .. } = &self.parties[region] else { return };
        let Some(view) = node.view(&self.members[region].origin()) else { return };
        let Some(head) = truth.heads.get(&view.reader.size()) else { return };
        let chats: Vec<_> = head.owners.iter().filter(|(_, (_, live))| *live).collect();
        let Some((chat, (owner, _))) = chats.get(at % chats.len().max(1)) else { return };
        for question in [Question::Chat(**chat), Question::Link(office.links[chat].clone())] {
            let verdict = node.verdict(&question, None, When::default()).unwrap();
            let behind = verdict.behind.as_ref().and_then(|b| b.authority.clone());
            let official = matches!(
                verdict.state,
                VerdictState::Official
                    | VerdictState::Transferred
                    | VerdictState::ManagementChanged
                    | VerdictState::Contested
                    | VerdictState::OfficialCoversSeveral
                    | VerdictState::Disputed
                    | VerdictState::Stale
            );
            let stale = node.freshness(&view).stale;
            self.holds(official && behind.as_ref() == Some(owner), || {
                format!(
                    "{} says {:?} of {chat} ({question:?}), owner {behind:?}, in truth {owner}",
                    self.label(name),
                    verdict.state
                )
            });
            self.holds(stale == (verdict.state == VerdictState::Stale), || {
                format!("{} says {:?} of {chat}; stale: {stale}", self.label(name), verdict.state)
            });
        }
        let label = self.label(name);
        self.say("answers", format_args!("{label}"));
    }

    /// The federation's log says of every region what it said.
    pub fn check_federation(&self) {
        let Party::Ministry { machine, .. } = &self.parties[self.ministry()] else { return };
        let node = &machine.running.as_ref().unwrap().node;
        let Some(head) = node.federation().and_then(|f| f.head()) else { return };
        let keys: FederationKeys = self.chain.latest().federation().unwrap();
        let commit = head.verify(&keys);
        self.holds(commit.is_ok(), || format!("the federation's head does not verify: {commit:?}"));
    }

    /// After the calm: every honest log is everywhere as it is at home, and the liars' alone are not.
    pub fn check_end(&self) {
        for (from, party) in self.parties.iter().enumerate() {
            let Some(running) = party.machine().and_then(|m| m.running.as_ref()) else { continue };
            for following in &running.following {
                let origin = self.members[following.to].origin();
                let who = || format!("{} on {}", self.label(following.to), self.label(from));
                let followed = running.node.followed().into_iter().find(|f| f.view.origin == origin);
                let status = followed.as_ref().map(|f| f.status.read().clone());
                match &self.parties[following.to] {
                    Party::Honest { truth, .. } => {
                        let size = followed.as_ref().map_or(0, |f| f.view.reader.size());
                        self.holds(size == truth.size(), || {
                            format!("{} is at {size} of {}: {status:?}", who(), truth.size())
                        });
                        let status = status.unwrap();
                        self.holds(status.held.is_none(), || format!("{} is held: {:?}", who(), status.held));
                    }
                    Party::Liar(liar) if liar.settled => {
                        // What a charter has decided is followed again.
                        let (size, root) = liar.faces[0].head();
                        let has = followed.as_ref().map(|f| f.view.reader.head());
                        let held = status.as_ref().is_some_and(|s| s.held.is_some());
                        self.holds(has == Some((size, root)) && !held, || {
                            format!("{}: decided at {size}, but {has:?}: {status:?}", who())
                        });
                    }
                    Party::Liar(liar) if liar.has_lied() && liar.lie == Lie::Wrong => {
                        let held = status.is_some_and(|s| s.held.is_some());
                        self.holds(held, || format!("{}: a wrong log is not held", who()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A region that shows one face to the ministry and the other to somebody the ministry talks with is found out.
    pub fn check_gossip(&self) {
        let views = |to: Name| {
            let origin = self.members[to].origin();
            self.parties.iter().enumerate().filter_map(move |(from, party)| {
                let node = &party.machine()?.running.as_ref()?.node;
                let followed = node.followed().into_iter().find(|f| f.view.origin == origin)?;
                let held = followed.status.read().held.as_ref().is_some_and(|h| h.code == FORK);
                // What is published is what others can be told of.
                followed.view.reader.checkpoint_text()?;
                Some((from, followed.view.reader.head(), held))
            })
        };
        for (name, party) in self.parties.iter().enumerate() {
            let Party::Liar(liar) = party else { continue };
            let Some((_, here, held)) = views(name).find(|(from, ..)| *from == self.ministry()) else { continue };
            let says = |face: &Face, (size, root): (u64, Hash)| face.heads.get(&size).is_some_and(|h| h.0 == root);
            for (from, there, _) in views(name).filter(|(from, ..)| *from != self.ministry()) {
                let one_log = liar.faces.iter().any(|face| says(face, here) && says(face, there));
                self.holds(one_log || held || liar.settled, || {
                    format!(
                        "{} shows {here:?} to the ministry, {there:?} to {}, and is not found out",
                        self.label(name),
                        self.label(from)
                    )
                });
            }
        }
    }

    /// How many followers found the one with two faces out, and how many of the others there are.
    pub fn found_out(&self) -> (usize, usize) {
        let (mut found, mut all) = (0, 0);
        for party in &self.parties {
            let Some(running) = party.machine().and_then(|m| m.running.as_ref()) else { continue };
            for following in &running.following {
                let Party::Liar(liar) = &self.parties[following.to] else { continue };
                if liar.forked() && !liar.settled {
                    all += 1;
                    let origin = self.members[following.to].origin();
                    let followed = running.node.followed().into_iter().find(|f| f.view.origin == origin);
                    found += usize::from(followed.is_some_and(|f| f.status.read().held.is_some()));
                }
            }
        }
        (found, all)
    }
}

fn held_for_good(status: &domovoi::node::FollowStatus) -> bool {
    status.held.as_ref().is_some_and(|h| h.code == FORK)
}
