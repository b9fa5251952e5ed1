//! Places for peers that have not said yet what they come for: whoever has been there longest goes when others need a place.
//!
//! A server has to be patient with the silent, and they must not keep anyone out. So none of them is turned away as long as
//! there are places, and nobody waits for those who do nothing once there are none. Peers come in groups, such as those of one
//! [address](origin):
//!
//! 1. a group that has more than its share, and more than one more than another, gives that one a place at once: its oldest that
//!    is not busy, or else its oldest;
//! 2. otherwise who has been there long enough gives its place, the oldest of the group that has most of them, and never to
//!    a group that has more;
//! 3. otherwise newcomers wait, first those whose group has fewest there, then first come first served: many who come at once,
//!    and are quick, all come in;
//! 4. of more than may wait the last one of the group that has most of them is turned away.
//!
//! Whoever is *busy*, which means that this program is doing something for it, keeps its place against the second rule for a while.
//! Time in which this program came late to everything counts for nobody.
//!
//! Invariant (`bounded`): no more peers than places, the silent cannot keep others out for longer than is long enough, and a group
//! cannot keep others out that have fewer. Whoever arrives is told at once whether it may stay: accepting never waits.

mod guests;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::guests::Guests;

/// How many may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Places.
    pub places: usize,
    /// Those of one group, once there is none left.
    pub share: usize,
    /// How many may wait for a place.
    pub waiting: usize,
    /// How long is long enough.
    pub enough: Duration,
    /// How long at most the busy keep their places: some may keep this program busy on purpose.
    pub busy: Duration,
}

/// Whom peers count for.
pub trait Key: Clone + Ord + Debug {}

impl<K: Clone + Ord + Debug> Key for K {}

/// Whom an address counts for: a host with IPv6 has a network of its own.
#[must_use]
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// The places. Clones share them.
#[derive(Debug)]
pub struct Lobby<K: Key>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K: Key> {
    guests: Mutex<Guests<K>>,
    /// One of those who wait looks at the clock for all of them.
    clock: tokio::sync::Mutex<()>,
}

/// What a peer is told.
#[derive(Debug, Default)]
struct Told {
    /// It has a place.
    admitted: Notify,
    /// It has none any more, or will have none.
    ousted: Notify,
}

impl<K: Key> Clone for Lobby<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key> Lobby<K> {
    /// Of this size, and empty.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self(Arc::new(Shared { guests: Mutex::new(Guests::new(size)), clock: tokio::sync::Mutex::default() }))
    }

    /// One more of a group; none if there is neither a place for it nor room to wait.
    #[must_use]
    pub fn arrive(&self, group: K) -> Option<Newcomer<K>> {
        let told = Arc::new(Told::default());
        let number = self.0.guests().arrive(group, told.clone(), Instant::now())?;
        Some(Newcomer(Place { lobby: self.clone(), number, told }))
    }

    /// A place for one more of a group, once there is one; none if others have to be let in instead. Cancelling gives up the turn.
    pub async fn enter(&self, group: K) -> Option<Place<K>> {
        self.arrive(group)?.place().await
    }

    /// Lets in whoever may come in because of the time.
    async fn keep_time(&self) -> Infallible {
        let _clock = self.0.clock.lock().await;
        loop {
            let next = self.0.guests().look(Instant::now());
            tokio::time::sleep_until(next).await;
        }
    }
}

impl<K: Key> Shared<K> {
    fn guests(&self) -> MutexGuard<'_, Guests<K>> {
        // Every change under the lock is whole once it is done, and none of them can panic.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that was not turned away. Dropping it gives up its turn.
#[derive(Debug)]
pub struct Newcomer<K: Key>(Place<K>);

impl<K: Key> Newcomer<K> {
    /// Its place, if there is one without waiting.
    #[must_use]
    pub fn at_once(self) -> Option<Place<K>> {
        let Newcomer(place) = self;
        place.is_held().then_some(place)
    }

    /// Its place, once there is one; none if others have to be let in instead.
    pub async fn place(self) -> Option<Place<K>> {
        let Newcomer(place) = self;
        tokio::select! {
            biased;
            () = place.told.admitted.notified() => Some(place),
            () = place.told.ousted.notified() => None,
            never = place.lobby.keep_time() => match never {},
        }
    }
}

/// The place of a peer, until this is dropped or the peer leaves it.
#[derive(Debug)]
pub struct Place<K: Key> {
    lobby: Lobby<K>,
    number: u64,
    told: Arc<Told>,
}

impl<K: Key> Place<K> {
    /// The peer has no need of it any more: it is known what it comes for.
    pub fn leave(&self) {
        self.lobby.0.guests().leave(self.number, Instant::now());
    }

    /// Whether the peer still has it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lobby.0.guests().is_present(self.number)
    }

    /// Completes, once, when somebody else was given the place: the peer has to go.
    pub async fn ousted(&self) {
        self.told.ousted.notified().await;
    }

    /// Something is being done for the peer, as long as this is held.
    #[must_use]
    pub fn busy(&self) -> Busy<K> {
        self.lobby.0.guests().begins(self.number);
        Busy { lobby: self.lobby.clone(), number: self.number }
    }
}

impl<K: Key> Drop for Place<K> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// See [`Place::busy`].
#[derive(Debug)]
pub struct Busy<K: Key> {
    lobby: Lobby<K>,
    number: u64,
}

impl<K: Key> Drop for Busy<K> {
    fn drop(&mut self) {
        self.lobby.0.guests().ends(self.number, Instant::now());
    }
}
