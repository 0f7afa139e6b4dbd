//! The network between the nodes: every request waits here until the simulation delivers it, and sees what becomes of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domovoi::error::{Error, Result};
use domovoi::sync::client::{Answer, Transport};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// A node of the federation, by its place in the charter; the ministry comes last.
pub type Name = usize;

/// A request on its way.
pub struct Letter {
    pub number: u64,
    /// Who asks whom.
    pub from: Name,
    pub to: Name,
    /// Whose log the conversation is about: `to`'s, or another's whose copy `to` has.
    pub about: Name,
    pub path: String,
    pub body: Option<Vec<u8>>,
    reply: oneshot::Sender<Result<Answer>>,
}

impl Letter {
    /// Whoever asked has gone meanwhile.
    pub fn is_void(&self) -> bool {
        self.reply.is_closed()
    }
    /// One that goes by no network: nobody waits for its answer.
    pub fn direct(from: Name, to: Name, path: &str, body: Vec<u8>) -> Letter {
        let (reply, _) = oneshot::channel();
        Letter { number: 0, from, to, about: to, path: path.to_owned(), body: Some(body), reply }
    }
    pub fn answer(self, answer: Result<Answer>) {
        let _ = self.reply.send(answer);
    }
}

/// What becomes of a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    /// The request does not arrive.
    Lost,
    /// It arrives, and the answer does not.
    Unanswered,
    /// It arrives twice; the second answer counts.
    Twice,
    /// The answer arrives cut.
    Cut,
    /// One bit of the answer is another.
    Flipped,
    /// A cache on the way gives the answer of the last time.
    Cached,
}

pub const FATES: [Fate; 6] = [Fate::Lost, Fate::Unanswered, Fate::Twice, Fate::Cut, Fate::Flipped, Fate::Cached];

/// Where requests wait.
#[derive(Default)]
pub struct Post {
    letters: Mutex<Vec<Letter>>,
    sent: AtomicU64,
    /// Something has happened that the simulation may wait for.
    pub stirred: Notify,
    /// The last answer to each path, by who was asked.
    pub caches: Mutex<HashMap<(Name, String), Answer>>,
}

impl Post {
    pub fn is_empty(&self) -> bool {
        self.letters.lock().is_empty()
    }
    pub fn waiting(&self) -> usize {
        self.letters.lock().len()
    }
    /// True where this conversation waits for an answer.
    pub fn waits(&self, from: Name, about: Name) -> bool {
        self.letters.lock().iter().any(|l| (l.from, l.about) == (from, about) && !l.is_void())
    }
    /// Takes the `n`-th of those that wait longest.
    pub fn take(&self, n: usize) -> Option<Letter> {
        let mut letters = self.letters.lock();
        letters.retain(|l| !l.is_void());
        letters.sort_by_key(|l| l.number);
        (n < letters.len()).then(|| letters.remove(n))
    }
}

/// One node's way to another.
pub struct Link {
    pub post: Arc<Post>,
    pub from: Name,
    pub to: Name,
    pub about: Name,
}

pub fn unreachable() -> Error {
    Error::retry("peer.unreachable", "the network lost it", "check the address and that the node is running")
}

impl Transport for Link {
    fn ask<'a>(&'a self, base: &'a str, path: &'a str, body: Option<Vec<u8>>) -> BoxFuture<'a, Result<Answer>> {
        let (reply, answer) = oneshot::channel();
        let number = self.post.sent.fetch_add(1, Ordering::SeqCst);
        // What the address has after the host.
        let path = format!("{}{path}", base.splitn(4, '/').nth(3).unwrap_or_default());
        let letter = Letter { number, from: self.from, to: self.to, about: self.about, path, body, reply };
        self.post.letters.lock().push(letter);
        self.post.stirred.notify_one();
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(unreachable())) })
    }
}
