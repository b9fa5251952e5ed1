//! Places for peers that have not said yet what they come for: whoever has been there longest goes when others need a place.
//!
//! A server has to be patient with the silent, and they must not keep anyone out. So none of them is turned away as long as
//! there are places, and nobody waits for those who do nothing once there are none:
//!
//! 1. an address that has more than its share gives a place at once to one that has fewer;
//! 2. otherwise who has been there long enough gives its place, the oldest of the address that has most of them, and never to
//!    an address that has more;
//! 3. otherwise newcomers wait, first come first served: many who come at once, and are quick, all come in.
//!
//! Whoever is *busy*, which means that this program is doing something for it, keeps its place for a while.
//!
//! Invariant (`bounded`): no more peers than places, and the silent cannot keep others out for longer than is long enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How often it is looked again when everybody is busy.
const LOOK: Duration = Duration::from_millis(100);

/// How many may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Places.
    pub places: usize,
    /// Those of one address, once there is none left.
    pub share: usize,
    /// How long is long enough.
    pub enough: Duration,
    /// How long at most the busy keep their places: some may keep this program busy on purpose.
    pub busy: Duration,
}

/// The places. Clones share them.
#[derive(Debug, Clone)]
pub struct Lobby(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    size: Size,
    guests: Mutex<Guests>,
    /// Newcomers stand here one behind the other.
    door: tokio::sync::Mutex<()>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Guests {
    /// By the order in which they came.
    present: BTreeMap<u64, Guest>,
    of: HashMap<IpAddr, usize>,
    came: u64,
}

#[derive(Debug)]
struct Guest {
    origin: IpAddr,
    since: Instant,
    busy: usize,
    ousted: Arc<Notify>,
}

/// Who makes room for a newcomer.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nobody has to.
    Free,
    /// One of an address that has more than its share.
    Outranked(u64),
    /// One that has been there long enough.
    Oldest(u64),
    /// Nobody before then, if nobody leaves.
    Later(Instant),
}

/// Whom an address counts for: a host with IPv6 has a network of its own.
#[must_use]
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

impl Lobby {
    /// Of this size, and empty.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let (guests, door, left) = (Mutex::default(), tokio::sync::Mutex::default(), Notify::new());
        Self(Arc::new(Shared { size, guests, door, left }))
    }

    /// A place for a peer from this address, once there is one. Cancelling gives up the turn.
    pub async fn enter(&self, address: IpAddr) -> Place {
        let origin = origin(address);
        {
            let mut guests = self.0.guests();
            if let Next::Outranked(number) = guests.next(origin, self.0.size, Instant::now()) {
                guests.oust(number);
                return self.0.clone().place(&mut guests, origin);
            }
        }
        let _turn = self.0.door.lock().await;
        loop {
            let left = self.0.left.notified();
            let later = {
                let mut guests = self.0.guests();
                match guests.next(origin, self.0.size, Instant::now()) {
                    Next::Free => return self.0.clone().place(&mut guests, origin),
                    Next::Outranked(number) | Next::Oldest(number) => {
                        guests.oust(number);
                        return self.0.clone().place(&mut guests, origin);
                    }
                    Next::Later(later) => later,
                }
            };
            tokio::select! {
                () = left => {}
                () = tokio::time::sleep_until(later) => {}
            }
        }
    }
}

impl Shared {
    fn guests(&self) -> MutexGuard<'_, Guests> {
        // Every change under the lock is whole after each statement.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(self: Arc<Self>, guests: &mut Guests, origin: IpAddr) -> Place {
        let ousted = Arc::new(Notify::new());
        guests.came += 1;
        let number = guests.came;
        guests.present.insert(number, Guest { origin, since: Instant::now(), busy: 0, ousted: ousted.clone() });
        *guests.of.entry(origin).or_default() += 1;
        Place { lobby: self, number, ousted }
    }
}

impl Guests {
    fn next(&self, newcomer: IpAddr, size: Size, now: Instant) -> Next {
        if self.present.len() < size.places {
            return Next::Free;
        }
        let count = |origin: &IpAddr| self.of.get(origin).copied().unwrap_or_default();
        let own = count(&newcomer);
        let is_there_for = |guest: &Guest, time| now.saturating_duration_since(guest.since) >= time;
        let may_go = |guest: &Guest| count(&guest.origin) >= own && (guest.busy == 0 || is_there_for(guest, size.busy));
        let candidates = || self.present.iter().filter(|(_, guest)| may_go(guest));
        // Of equals the first is taken, which came before the others.
        let most = |(_, guest): &(&u64, &Guest)| Reverse(count(&guest.origin));
        if let Some((number, guest)) = candidates().min_by_key(most)
            && count(&guest.origin) > size.share.max(own)
        {
            return Next::Outranked(*number);
        }
        if let Some((number, _)) = candidates().filter(|(_, guest)| is_there_for(guest, size.enough)).min_by_key(most) {
            return Next::Oldest(*number);
        }
        Next::Later(candidates().next().map_or(now + LOOK, |(_, oldest)| oldest.since + size.enough))
    }

    fn oust(&mut self, number: u64) {
        if let Some(guest) = self.remove(number) {
            guest.ousted.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Guest> {
        let guest = self.present.remove(&number)?;
        if let Some(count) = self.of.get_mut(&guest.origin) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&guest.origin);
            }
        }
        Some(guest)
    }
}

/// The place of a peer, until this is dropped or the peer leaves it.
#[derive(Debug)]
pub struct Place {
    lobby: Arc<Shared>,
    number: u64,
    ousted: Arc<Notify>,
}

impl Place {
    /// The peer has no need of it any more: it is known what it comes for.
    pub fn leave(&self) {
        if self.lobby.guests().remove(self.number).is_some() {
            self.lobby.left.notify_one();
        }
    }

    /// Whether the peer still has it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lobby.guests().present.contains_key(&self.number)
    }

    /// Completes, once, when somebody else was given the place: the peer has to go.
    pub async fn ousted(&self) {
        self.ousted.notified().await;
    }

    /// Something is being done for the peer, as long as this is held.
    #[must_use]
    pub fn busy(&self) -> Busy<'_> {
        if let Some(guest) = self.lobby.guests().present.get_mut(&self.number) {
            guest.busy += 1;
        }
        Busy(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// See [`Place::busy`].
#[derive(Debug)]
pub struct Busy<'a>(&'a Place);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(guest) = self.0.lobby.guests().present.get_mut(&self.0.number) {
            guest.busy -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
