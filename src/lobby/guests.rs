//! Who is there, who waits, and who has to go; told the time. What a peer costs grows with the logarithm of their number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Key, Size, Told};

/// How often it is looked at the clock while somebody waits. Whoever looks later than at the next time was kept from it.
pub(super) const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Guests<K> {
    size: Size,
    /// By the order in which they came.
    peers: BTreeMap<u64, Peer<K>>,
    groups: BTreeMap<K, Group>,
    seats: Seats,
    waiting: usize,
    /// Groups by how many of them are there.
    by_size: BTreeSet<(usize, K)>,
    /// Groups of which some wait, by whose turn it is.
    by_turn: BTreeSet<(usize, u64, K)>,
    /// The same by how many of them wait.
    by_waiting: BTreeSet<(usize, K)>,
    came: u64,
    /// When it is to be looked at the clock, and by how much that was late so far.
    look: Option<Instant>,
    late: Duration,
}

#[derive(Debug)]
struct Peer<K> {
    group: K,
    /// When it was let in, by the time that counts.
    since: Option<Instant>,
    busy: usize,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Group {
    seats: Seats,
    waiting: BTreeSet<u64>,
}

/// Since when who is there, the oldest first.
#[derive(Debug, Default)]
struct Seats {
    quiet: BTreeSet<(Instant, u64)>,
    busy: BTreeSet<(Instant, u64)>,
}

impl Seats {
    fn len(&self) -> usize {
        self.quiet.len() + self.busy.len()
    }

    fn first(&self) -> Option<u64> {
        self.quiet.first().or(self.busy.first()).map(|(_, number)| *number)
    }

    /// The first of each kind, and how long it has still to be there until that is enough.
    fn left(&self, size: Size, time: Instant) -> impl Iterator<Item = ((Instant, u64), Duration)> {
        let left = move |seat: &(Instant, u64), enough: Duration| {
            (*seat, enough.saturating_sub(time.saturating_duration_since(seat.0)))
        };
        let quiet = self.quiet.first().map(|seat| left(seat, size.enough));
        quiet.into_iter().chain(self.busy.first().map(|seat| left(seat, size.busy.max(size.enough))))
    }

    /// The first that has been there long enough.
    fn over(&self, size: Size, time: Instant) -> Option<(Instant, u64)> {
        self.left(size, time).find(|(_, left)| left.is_zero()).map(|(seat, _)| seat)
    }
}

impl<K: Key> Guests<K> {
    pub(super) fn new(size: Size) -> Self {
        Self {
            size,
            peers: BTreeMap::new(),
            groups: BTreeMap::new(),
            seats: Seats::default(),
            waiting: 0,
            by_size: BTreeSet::new(),
            by_turn: BTreeSet::new(),
            by_waiting: BTreeSet::new(),
            came: 0,
            look: None,
            late: Duration::ZERO,
        }
    }

    /// One more; its number, if it is not turned away.
    pub(super) fn arrive(&mut self, group: K, told: Arc<Told>, now: Instant) -> Option<u64> {
        self.came += 1;
        let number = self.came;
        self.change(&group, |group, _| group.waiting.insert(number));
        self.waiting += 1;
        self.peers.insert(number, Peer { group: group.clone(), since: None, busy: 0, told });
        self.admit(now);
        if self.waiting > self.size.waiting {
            let own = self.groups.get(&group).map_or(0, |group| group.waiting.len());
            let most = self.by_waiting.last().filter(|(most, _)| *most > own);
            let loser = most.map_or(&group, |(_, most)| most);
            if let Some(last) = self.groups.get(loser).and_then(|group| group.waiting.last().copied()) {
                self.oust(last, now);
            }
        }
        self.peers.contains_key(&number).then_some(number)
    }

    /// Whoever it was is no more.
    pub(super) fn leave(&mut self, number: u64, now: Instant) {
        if self.remove(number, now).is_some() {
            self.admit(now);
        }
    }

    pub(super) fn is_present(&self, number: u64) -> bool {
        self.peers.get(&number).is_some_and(|peer| peer.since.is_some())
    }

    pub(super) fn begins(&mut self, number: u64) {
        self.now_busy(number, |busy| busy + 1);
    }

    pub(super) fn ends(&mut self, number: u64, now: Instant) {
        self.now_busy(number, |busy| busy.saturating_sub(1));
        self.admit(now);
    }

    fn now_busy(&mut self, number: u64, change: impl FnOnce(usize) -> usize) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let before = peer.busy > 0;
        peer.busy = change(peer.busy);
        let (after, group) = (peer.busy > 0, peer.group.clone());
        let Some(since) = peer.since.filter(|_| before != after) else { return };
        let seat = (since, number);
        self.change(&group, |group, all| {
            for seats in [&mut group.seats, all] {
                let (from, to) =
                    if after { (&mut seats.quiet, &mut seats.busy) } else { (&mut seats.busy, &mut seats.quiet) };
                from.remove(&seat);
                to.insert(seat);
            }
        });
    }

    /// Lets in whoever may come in by now, and says when to look again.
    pub(super) fn look(&mut self, now: Instant) -> Instant {
        self.late += self.lateness(now);
        self.look = None;
        self.admit(now);
        let time = self.time(now);
        let left = self.seats.left(self.size, time).map(|(_, left)| left).filter(|left| !left.is_zero());
        let next = now + left.min().unwrap_or(LOOK).min(LOOK);
        self.look = (self.waiting > 0).then_some(next);
        next
    }

    /// How much later it is than the next look at the clock should have been.
    fn lateness(&self, now: Instant) -> Duration {
        let late = self.look.map_or(Duration::ZERO, |look| now.saturating_duration_since(look));
        if late < LOOK { Duration::ZERO } else { late }
    }

    /// The time that counts.
    fn time(&self, now: Instant) -> Instant {
        now.checked_sub(self.late + self.lateness(now)).unwrap_or(now)
    }

    /// Lets in whoever may come in.
    fn admit(&mut self, now: Instant) {
        let time = self.time(now);
        // Of the one whose group has fewest there: if that one may not, nobody may.
        while let Some((own, number, group)) = self.by_turn.first().cloned() {
            if self.seats.len() >= self.size.places {
                let Some(goes) = self.outranked(own).or_else(|| self.oldest(own, time)) else { return };
                self.oust(goes, now);
            }
            let Some(peer) = self.peers.get_mut(&number) else { return };
            peer.since = Some(time);
            let told = peer.told.clone();
            self.change(&group, |group, all| {
                group.waiting.remove(&number);
                group.seats.quiet.insert((time, number));
                all.quiet.insert((time, number));
            });
            self.stopped_waiting(now);
            told.admitted.notify_one();
        }
    }

    /// One of the group that has most, if that is more than its share. One more than the newcomer's is not enough: two groups
    /// would take the same place from each other for ever.
    fn outranked(&self, own: usize) -> Option<u64> {
        let (most, group) = self.by_size.last()?;
        (*most > self.size.share.max(own + 1)).then(|| self.groups.get(group)?.seats.first()).flatten()
    }

    /// One that has been there long enough, of the group that has most of those that have one.
    fn oldest(&self, own: usize, time: Instant) -> Option<u64> {
        self.seats.over(self.size, time)?;
        let mut found: Option<(Reverse<usize>, (Instant, u64))> = None;
        for (count, group) in self.by_size.iter().rev() {
            if *count < own || found.is_some_and(|(Reverse(most), _)| most > *count) {
                break;
            }
            let seat = self.groups.get(group).and_then(|group| group.seats.over(self.size, time));
            let this = seat.map(|seat| (Reverse(*count), seat));
            found = found.into_iter().chain(this).min();
        }
        found.map(|(_, (_, number))| number)
    }

    fn oust(&mut self, number: u64, now: Instant) {
        if let Some(peer) = self.remove(number, now) {
            peer.told.ousted.notify_one();
        }
    }

    fn remove(&mut self, number: u64, now: Instant) -> Option<Peer<K>> {
        let peer = self.peers.remove(&number)?;
        self.change(&peer.group, |group, all| {
            group.waiting.remove(&number);
            for seats in [&mut group.seats, all] {
                if let Some(since) = peer.since {
                    seats.quiet.remove(&(since, number));
                    seats.busy.remove(&(since, number));
                }
            }
        });
        if peer.since.is_none() {
            self.stopped_waiting(now);
        }
        Some(peer)
    }

    fn stopped_waiting(&mut self, now: Instant) {
        self.waiting -= 1;
        if self.waiting == 0 {
            // Nobody looks at the clock.
            self.late += self.lateness(now);
            self.look = None;
        }
    }

    /// Changes a group, and files it anew.
    fn change<R>(&mut self, key: &K, change: impl FnOnce(&mut Group, &mut Seats) -> R) -> R {
        let mut group = self.groups.remove(key).unwrap_or_default();
        let (present, waiting) = (group.seats.len(), group.waiting.len());
        self.by_size.remove(&(present, key.clone()));
        self.by_waiting.remove(&(waiting, key.clone()));
        if let Some(first) = group.waiting.first() {
            self.by_turn.remove(&(present, *first, key.clone()));
        }
        let result = change(&mut group, &mut self.seats);
        let (present, waiting) = (group.seats.len(), group.waiting.len());
        if present > 0 {
            self.by_size.insert((present, key.clone()));
        }
        if let Some(first) = group.waiting.first() {
            self.by_waiting.insert((waiting, key.clone()));
            self.by_turn.insert((present, *first, key.clone()));
        }
        if present + waiting > 0 {
            self.groups.insert(key.clone(), group);
        }
        result
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let groups = self.groups.len() + self.by_size.len() + self.by_turn.len() + self.by_waiting.len();
        self.peers.len() + groups + self.seats.len() + self.waiting == 0
    }
}
