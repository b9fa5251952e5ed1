//! Reviews of tokens, where keys cannot be read: one for each token, and only so many a second.
//!
//! Invariant (`bounded`): verdicts are kept in a bounded number and for a bounded time, by the hash of the token; a failure is no verdict.
//! Tokens that nobody waits for any more hold up no others, and those of one address not many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

use super::{PATIENCE, Refusal, now};
use crate::lobby::{Lobby, Size, origin};
use crate::metrics;

/// Verdicts that are kept.
pub(super) const KEPT: usize = 10_000;
/// How long a token stays accepted: a ServiceAccount that was deleted is noticed after this time.
pub(super) const ACCEPTED: Duration = Duration::from_secs(300);
/// How long it stays refused: a ServiceAccount may be on its way.
const REFUSED: Duration = Duration::from_secs(10);
/// Reviews under way.
const IN_FLIGHT: usize = 8;
/// Tokens that wait for their turn, which comes in two seconds at this pace; those of one address leave places to others.
const WAITING: Size = Size { places: 100, share: 8, waiting: 10_000, enough: PATIENCE, busy: Duration::ZERO };
/// Reviews a second, and how many of them at once after a quiet time.
const INTERVAL: Duration = Duration::from_millis(20);
const BURST: u32 = 50;

type Slot = Arc<tokio::sync::Mutex<Option<Verdict>>>;

/// What was said of tokens, and how often one may ask.
pub(super) struct Reviews {
    verdicts: Mutex<HashMap<blake3::Hash, Slot>>,
    waiting: Lobby<IpAddr>,
    in_flight: Arc<Semaphore>,
    /// When the next one would be on time if all came evenly. Held while waiting for it, first come first served.
    next: tokio::sync::Mutex<Instant>,
    /// Why the last review that failed did.
    said: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Verdict {
    came: Instant,
    /// Until when it counts for those who come later.
    until: Instant,
    verdict: Result<(), Refusal>,
}

impl Default for Reviews {
    fn default() -> Self {
        Self {
            verdicts: Mutex::default(),
            waiting: Lobby::new(WAITING),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            next: tokio::sync::Mutex::new(Instant::now()),
            said: Mutex::default(),
        }
    }
}

impl Reviews {
    /// Whether a token from this address, which expires then, is accepted: by what was said before, or else by `ask`.
    pub(super) async fn of(
        self: &Arc<Self>,
        address: IpAddr,
        token: &str,
        expires: u64,
        ask: impl Future<Output = Result<bool, String>> + Send + 'static,
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        let slot = self.slot(blake3::hash(token.as_bytes()));
        let answer = async {
            // Who shows the same token meanwhile waits here, and shares what is said.
            let mut verdict = slot.lock_owned().await;
            if let Some(known) = verdict.as_ref().filter(|known| known.until > begun || known.came > begun) {
                metrics::token_review("known");
                return known.verdict.clone();
            }
            // Whoever gives up before its turn has cost nothing.
            let too_many = Refusal::Unverified("too many tokens of its address wait");
            let Some(place) = self.waiting.enter(origin(address)).await else { return Err(too_many) };
            let turn = tokio::select! {
                turn = self.turn() => turn,
                () = place.ousted() => return Err(too_many),
            };
            drop(place);
            let reviews = self.clone();
            // Once it is asked for, the verdict is kept, whoever gives up.
            let review = tokio::spawn(async move {
                let _turn = turn;
                let said = reviews.ask(expires, ask).await;
                verdict.insert(said).verdict.clone()
            });
            review.await.unwrap_or(Err(Refusal::Unverified("its review ended early")))
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            metrics::token_review("late");
            Err(Refusal::Unverified("no review came in time"))
        })
    }

    async fn ask(&self, expires: u64, ask: impl Future<Output = Result<bool, String>>) -> Verdict {
        let asked = tokio::time::timeout(PATIENCE, ask).await;
        let (verdict, kept) = match asked.unwrap_or_else(|_| Err(format!("no review came for {PATIENCE:?}"))) {
            Ok(true) => {
                metrics::token_review("accepted");
                (Ok(()), ACCEPTED.min(Duration::from_secs(expires.saturating_sub(now()))))
            }
            Ok(false) => {
                metrics::token_review("refused");
                (Err(Refusal::Reviewed), REFUSED)
            }
            Err(trouble) => {
                metrics::token_review("failed");
                self.say(trouble);
                (Err(Refusal::Unverified("there are neither keys nor a review")), Duration::ZERO)
            }
        };
        let came = Instant::now();
        Verdict { came, until: came + kept, verdict }
    }

    /// Once for each reason, not for every token.
    fn say(&self, reason: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref() != Some(&reason) {
            warn!(%reason, "tokens of Envoys cannot be verified");
            *said = Some(reason);
        }
    }

    fn slot(&self, token: blake3::Hash) -> Slot {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= KEPT && !verdicts.contains_key(&token) {
            make_room(&mut verdicts);
        }
        verdicts.entry(token).or_default().clone()
    }

    /// Waits for a place, and for the pace. Only whoever comes through takes something of the pace.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Closed never: an error cannot be.
        let permit = self.in_flight.clone().acquire_owned().await.ok();
        let mut next = self.next.lock().await;
        let due = (*next).max(Instant::now());
        if let Some(at) = due.checked_sub(INTERVAL * (BURST - 1)) {
            tokio::time::sleep_until(at).await;
        }
        *next = due + INTERVAL;
        permit
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Drops what is over; where that is little, every second one too, so that not every newcomer has to look at all of them.
fn make_room(verdicts: &mut HashMap<blake3::Hash, Slot>) {
    let now = Instant::now();
    // One that is being asked about is locked.
    let is_of_use =
        |slot: &Slot| slot.try_lock().map_or(true, |known| known.as_ref().is_some_and(|known| known.until > now));
    verdicts.retain(|_, slot| is_of_use(slot));
    if verdicts.len() > KEPT / 2 {
        let mut even = false;
        verdicts.retain(|_, _| {
            even = !even;
            even
        });
    }
}
