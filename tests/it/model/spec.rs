//! The specification the model holds the rules against: who may say what about one chat, in a few plain values.
//!
//! Written from protocol.md, section 7, without the code it judges. It is small because the model is: one chat, one house,
//! named people. [`Spec::lawful`] says whether a record may join the log, [`Spec::apply`] what is true afterwards.

use domovoi::registry::transfer::{Ending, OfferStanding};

use super::region::{Phase, Place, Proof, Who};

/// What may be said. Numbers name authorities (0 and 1 in region A, 2 and 3 in region B) and companies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Say {
    Transfer(u8, u8),
    Succeed(u8, u8),
    Suspend(u8),
    Reinstate(u8),
    Revoke(Who),
    GrantLate(u8),
    Assign(u8),
    End(u8),
    Delegate(u8),
    Withdraw(u8),
    SuspendChat,
    RestoreChat,
    CloseChat,
    Relink,
    /// Takes back the record that began the chat.
    CorrectChat,
    /// Takes back the delegation the chat began with.
    CorrectDelegation,
    /// Takes back the record by which the chat arrived.
    CorrectArrival,
    /// Offers the chat to an authority of the other region.
    Offer(u8),
    /// Answers the other region's offer of this number with its proof of that number.
    Accept(u8, u8),
    Decline(u8, u8),
    /// Ends this region's offer of this number with the other region's proof of that number.
    Release(u8, Ending, u8),
}

/// Number of kinds of [`Say`].
pub const KINDS: usize = 21;

impl Say {
    /// Number of its kind.
    pub fn kind(self) -> usize {
        match self {
            Say::Transfer(..) => 0,
            Say::Succeed(..) => 1,
            Say::Suspend(_) => 2,
            Say::Reinstate(_) => 3,
            Say::Revoke(_) => 4,
            Say::GrantLate(_) => 5,
            Say::Assign(_) => 6,
            Say::End(_) => 7,
            Say::Delegate(_) => 8,
            Say::Withdraw(_) => 9,
            Say::SuspendChat => 10,
            Say::RestoreChat => 11,
            Say::CloseChat => 12,
            Say::Relink => 13,
            Say::CorrectChat => 14,
            Say::CorrectDelegation => 15,
            Say::CorrectArrival => 16,
            Say::Offer(_) => 17,
            Say::Accept(..) => 18,
            Say::Decline(..) => 19,
            Say::Release(..) => 20,
        }
    }
}

/// Where the chat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    Absent,
    Official,
    Suspended,
    Closed,
    Void,
    Moved,
}

/// A key in one region's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyIs {
    Unknown,
    Granted,
    Revoked,
}

/// An offer of the chat to the other region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// To whom.
    pub to: u8,
    /// The link it had.
    pub link: u8,
    /// What became of it.
    pub is: OfferStanding,
}

/// What the specification holds true of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub place: Place,
    pub enrolled: [bool; 4],
    pub suspended: [bool; 4],
    pub successor: [Option<u8>; 4],
    pub keys: [KeyIs; 4],
    pub late: [KeyIs; 4],
    pub chat: Standing,
    /// Owner as recorded; [`Spec::holder`] follows successions.
    pub owner: u8,
    /// Periods of ownership.
    pub owners: u8,
    /// Number of the link.
    pub link: u8,
    /// Companies that manage the house.
    pub manages: [bool; 2],
    /// The delegation to company 0 the chat began with: open, taken back as a mistake.
    pub first_open: bool,
    pub first_void: bool,
    /// Open delegations since.
    pub again: [bool; 2],
    /// The standing is still the one of the record that began the chat.
    pub untouched: bool,
    /// Offers made here, and answers given here to the other region's.
    pub offers: Vec<Offer>,
    pub answers: [Option<bool>; 4],
    /// Records accepted since the beginning, by kind.
    pub said: [u8; KINDS],
}

impl Spec {
    pub fn new(place: Place) -> Spec {
        Spec {
            place,
            enrolled: [false; 4],
            suspended: [false; 4],
            successor: [None; 4],
            keys: [KeyIs::Unknown; 4],
            late: [KeyIs::Unknown; 4],
            chat: Standing::Absent,
            owner: 0,
            owners: 0,
            link: 1,
            manages: [false; 2],
            first_open: false,
            first_void: false,
            again: [false; 2],
            untouched: true,
            offers: Vec::new(),
            answers: [None; 4],
            said: [0; KINDS],
        }
    }

    /// Who holds today what `n` was given.
    pub fn holder(&self, mut n: u8) -> u8 {
        for _ in 0..4 {
            n = self.successor[usize::from(n)].unwrap_or(n);
        }
        n
    }

    pub fn good(&self, n: u8) -> bool {
        let n = usize::from(n);
        self.enrolled[n] && !self.suspended[n] && self.successor[n].is_none()
    }

    /// The owner may act on the chat.
    pub fn active(&self) -> bool {
        matches!(self.chat, Standing::Official | Standing::Suspended) && !self.locked()
    }

    /// An offer is open: the chat is locked.
    pub fn locked(&self) -> bool {
        self.offers.last().is_some_and(|o| o.is == OfferStanding::Offered)
    }

    fn delegated(&self, company: u8) -> bool {
        self.again[usize::from(company)] || company == 0 && self.first_open
    }

    /// Rule 1: what readers may call official.
    pub fn official(&self) -> bool {
        self.chat == Standing::Official && self.good(self.holder(self.owner))
    }

    /// Rule 5: a signature counts if its key is a root of this region, or granted here, not revoked, in its window, and its
    /// authority in good standing.
    fn may_sign(&self, who: Who, phase: Phase) -> bool {
        match who {
            Who::Root(place) => place == self.place,
            Who::Key(n) => self.keys[usize::from(n)] == KeyIs::Granted && self.good(n),
            Who::Late(n) => self.late[usize::from(n)] == KeyIs::Granted && phase >= Phase::Later && self.good(n),
        }
    }

    /// May this be said, by these, with or without a document, now? `other` is the other region, `proofs` what it proved.
    pub fn lawful(&self, say: Say, by: &[Who], basis: bool, phase: Phase, other: &Spec, proofs: &[Proof]) -> bool {
        if !by.iter().all(|who| self.may_sign(*who, phase)) {
            return false;
        }
        let root = by.contains(&Who::Root(self.place));
        let of = |n: u8| by.contains(&Who::Key(n)) || by.contains(&Who::Late(n));
        let some_key = (0..4).any(of);
        let owner = self.holder(self.owner);
        match say {
            Say::Transfer(from, to) => {
                self.active()
                    && owner == from
                    && from != to
                    && self.good(to)
                    && if some_key { of(from) && of(to) } else { root && basis }
            }
            Say::Succeed(old, new) => {
                let (o, n) = (usize::from(old), usize::from(new));
                root && basis && o != n && self.enrolled[o] && self.successor[o].is_none() && self.good(new)
            }
            Say::Suspend(n) => root && self.good(n),
            // What was succeeded has ended: nothing amends it.
            Say::Reinstate(n) => root && self.enrolled[usize::from(n)] && self.successor[usize::from(n)].is_none(),
            Say::Revoke(key) => {
                let (n, is) = match key {
                    Who::Key(n) => (n, self.keys[usize::from(n)]),
                    Who::Late(n) => (n, self.late[usize::from(n)]),
                    Who::Root(_) => return false,
                };
                is == KeyIs::Granted && (root || of(n))
            }
            Say::GrantLate(n) => root && self.good(n) && self.late[usize::from(n)] == KeyIs::Unknown,
            Say::Assign(c) => some_key && !self.manages[usize::from(c)],
            Say::End(c) => some_key && self.manages[usize::from(c)],
            Say::Delegate(c) => self.active() && of(owner) && self.manages[usize::from(c)] && !self.delegated(c),
            Say::Withdraw(c) => self.active() && of(owner) && self.delegated(c),
            Say::SuspendChat => self.active() && self.chat == Standing::Official && of(owner),
            Say::RestoreChat => self.active() && self.chat == Standing::Suspended && of(owner),
            Say::CloseChat => self.active() && of(owner),
            Say::Relink => self.active() && of(owner),
            Say::CorrectChat => {
                self.active() && self.chat == Standing::Official && self.untouched && self.owners == 1 && of(owner)
            }
            Say::CorrectDelegation => {
                !matches!(self.chat, Standing::Absent | Standing::Moved)
                    && !self.locked()
                    && of(owner)
                    && !self.first_void
            }
            Say::CorrectArrival => false,
            Say::Offer(_) => self.active() && self.chat == Standing::Official && of(owner) && phase < Phase::Late,
            Say::Accept(n, k) => {
                let absent = matches!(self.chat, Standing::Absent | Standing::Moved);
                self.answerable(n, k, phase, other, proofs)
                    && absent
                    && of(self.holder(other.offers[usize::from(n)].to))
            }
            Say::Decline(n, k) => {
                self.answerable(n, k, phase, other, proofs) && of(self.holder(other.offers[usize::from(n)].to))
            }
            Say::Release(n, outcome, k) => {
                let open = self.locked() && usize::from(n) + 1 == self.offers.len();
                let proved = proofs.get(usize::from(k)).is_some_and(|p| {
                    p.offer == (self.place, usize::from(n))
                        && match outcome {
                            Ending::Accepted => p.standing == Some(OfferStanding::Accepted),
                            Ending::Declined => p.standing == Some(OfferStanding::Declined),
                            Ending::Expired => p.standing.is_none() && p.late,
                        }
                });
                open && proved && (of(owner) || root)
            }
        }
    }

    /// The other region's offer may be answered: it stands, by that proof, nobody answered it here, its time is not over, and
    /// whoever it is to is in good standing.
    fn answerable(&self, n: u8, k: u8, phase: Phase, other: &Spec, proofs: &[Proof]) -> bool {
        let (n, k) = (usize::from(n), usize::from(k));
        let stands = |p: &Proof| p.offer == (other.place, n) && p.standing == Some(OfferStanding::Offered);
        other.offers.get(n).is_some_and(|o| self.good(self.holder(o.to)))
            && proofs.get(k).is_some_and(stands)
            && self.answers[n].is_none()
            && phase < Phase::Late
    }

    /// What is true when it has been said.
    pub fn apply(&self, say: Say, other: &Spec) -> Spec {
        let mut s = self.clone();
        s.said[say.kind()] += 1;
        match say {
            Say::Transfer(_, to) => (s.owner, s.owners) = (to, s.owners + 1),
            Say::Succeed(old, new) => s.successor[usize::from(old)] = Some(new),
            Say::Suspend(n) => s.suspended[usize::from(n)] = true,
            Say::Reinstate(n) => s.suspended[usize::from(n)] = false,
            Say::Revoke(Who::Key(n)) => s.keys[usize::from(n)] = KeyIs::Revoked,
            Say::Revoke(Who::Late(n)) => s.late[usize::from(n)] = KeyIs::Revoked,
            Say::Revoke(Who::Root(_)) => {}
            Say::GrantLate(n) => s.late[usize::from(n)] = KeyIs::Granted,
            Say::Assign(c) => s.manages[usize::from(c)] = true,
            Say::End(c) => s.manages[usize::from(c)] = false,
            Say::Delegate(c) => s.again[usize::from(c)] = true,
            Say::Withdraw(c) => {
                s.again[usize::from(c)] = false;
                s.first_open &= c != 0;
            }
            Say::SuspendChat => (s.chat, s.untouched) = (Standing::Suspended, false),
            Say::RestoreChat => s.chat = Standing::Official,
            Say::CloseChat => (s.chat, s.untouched) = (Standing::Closed, false),
            Say::Relink => s.link += 1,
            Say::CorrectChat => s.chat = Standing::Void,
            Say::CorrectArrival => {}
            Say::Offer(to) => s.offers.push(Offer { to, link: s.link, is: OfferStanding::Offered }),
            Say::Accept(n, _) => {
                let offer = &other.offers[usize::from(n)];
                s.answers[usize::from(n)] = Some(true);
                (s.chat, s.owner, s.owners, s.link) =
                    (Standing::Official, s.holder(offer.to), s.owners + 1, offer.link);
                s.untouched = false;
            }
            Say::Decline(n, _) => s.answers[usize::from(n)] = Some(false),
            Say::Release(n, Ending::Accepted, _) => {
                s.offers[usize::from(n)].is = OfferStanding::Released;
                (s.chat, s.untouched) = (Standing::Moved, false);
                (s.first_open, s.again) = (false, [false; 2]);
            }
            Say::Release(n, ..) => s.offers[usize::from(n)].is = OfferStanding::Returned,
            Say::CorrectDelegation => (s.first_open, s.first_void) = (false, true),
        }
        s
    }

    /// Rule 7: who administers the chat on a late day.
    pub fn administers(&self, company: u8) -> bool {
        self.delegated(company) && self.manages[usize::from(company)]
    }
}
