//! Connections of peers of whom nothing is known yet: few places, which those who show who they are give back.
//!
//! Invariant (`bounded`): who shows nothing holds a place for [a minute](AGE) at most, so that nobody can keep those out who would.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places. A peer without a certificate can ask for health, or show a token; nothing else.
const PLACES: usize = 256;
/// How long one may be without a request.
pub(super) const IDLE: Duration = Duration::from_secs(10);
/// How long one may be there at all.
pub(super) const AGE: Duration = Duration::from_secs(60);

/// The places.
#[derive(Debug)]
pub(super) struct Strangers {
    places: Arc<Semaphore>,
    /// How long one may wait for a place: where tokens are read, most are strangers for a moment, and many may come at once.
    wait: Duration,
}

/// The place of a connection, as long as nothing is known of its peer.
#[derive(Debug, Default)]
pub(super) struct Place(Mutex<Option<OwnedSemaphorePermit>>);

impl Strangers {
    pub(super) fn new(wait: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), wait }
    }

    /// A place, if there is one in time.
    pub(super) async fn place(&self) -> Option<Place> {
        let place = self.places.clone();
        let place = match place.clone().try_acquire_owned() {
            Ok(place) => place,
            // Closed never: an error cannot be.
            Err(_) => tokio::time::timeout(self.wait, place.acquire_owned()).await.ok()?.ok()?,
        };
        Some(Place(Mutex::new(Some(place))))
    }
}

impl Place {
    /// The peer has shown who it is.
    pub(super) fn leave(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether nothing is known of the peer.
    pub(super) fn is_taken(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bounded_strangers_wait_for_those_who_say_who_they_are() {
        let strangers = Strangers::new(Duration::from_secs(1));
        let mut places = Vec::new();
        for _ in 0..PLACES {
            places.push(strangers.place().await.expect("there is room"));
        }
        assert!(strangers.place().await.is_none(), "one more than may be");
        let waits = strangers.place();
        let known = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            places[7].leave();
        };
        let (place, ()) = tokio::join!(waits, known);
        assert!(place.expect("a place").is_taken() && !places[7].is_taken());
    }
}
