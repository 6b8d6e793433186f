//! Who may connect to the control socket, how often at once, and how much they may send.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::control::{MAX_REQUEST_BYTES, MAX_ROOT_REQUEST_BYTES};

/// Connections of root that are served at once; a further one waits.
const ROOT_PLACES: usize = 32;

/// Connections of all others that are served at once; a further one is refused.
const OTHER_PLACES: usize = 32;

/// Connections of one user other than root.
const USER_PLACES: usize = 8;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Root, or the user as whom this daemon runs.
    Root,
    /// Somebody else, whom the mode of the socket let in, by number.
    User(u32),
}

impl Peer {
    /// The peer of a connection, by the number of the user who made it.
    pub(super) fn of(user: u32) -> Self {
        if user == 0 || user == rustix::process::geteuid().as_raw() {
            Self::Root
        } else {
            Self::User(user)
        }
    }

    /// Longest request in bytes.
    pub(super) const fn most(self) -> u64 {
        match self {
            Self::Root => MAX_ROOT_REQUEST_BYTES,
            Self::User(_) => MAX_REQUEST_BYTES,
        }
    }
}

/// Places for connections: nobody can take those of root, and no user those of all others.
pub(super) struct Places {
    /// Those of root.
    pub(super) root: Arc<Semaphore>,
    others: Arc<Semaphore>,
    users: BTreeMap<u32, Arc<Semaphore>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: Arc::new(Semaphore::new(ROOT_PLACES)),
            others: Arc::new(Semaphore::new(OTHER_PLACES)),
            users: BTreeMap::new(),
        }
    }
}

impl Places {
    /// A place for a user other than root.
    pub(super) fn of_user(&mut self, user: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        // Each permit holds its semaphore, too.
        self.users.retain(|_, places| Arc::strong_count(places) > 1);
        let places = self
            .users
            .entry(user)
            .or_insert_with(|| Arc::new(Semaphore::new(USER_PLACES)));
        let own = Arc::clone(places).try_acquire_owned().ok()?;
        let common = Arc::clone(&self.others).try_acquire_owned().ok()?;
        Some([own, common])
    }
}
