//! Tokens of ServiceAccounts as identities: proven by keys that are kept, or by a review where there are none.
//!
//! ```text
//!  token ─► claims ─► keys that are kept ──────────────────────────────► account
//!           (form,     │ a key that is not among them: read once more
//!            time,     └► no keys to be had: a review, whose verdict is kept
//!            audience)
//! ```
//!
//! Invariants: a source of keys that fails takes no key away (`doubt_keeps`); whatever tokens come, keys and reviews are asked for no
//! more often than the bounds here say (`bounded`); nothing of a token is logged or kept, but the hash of one under review.
//!
//! Must not know: where keys and reviews come from, which is the [`Authority`]'s.

mod claims;
mod keys;
mod reviews;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use arcstr::ArcStr;
use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{info, warn};

use self::claims::Claimed;
use self::keys::Keys;
use self::reviews::Reviews;
use crate::metrics;

/// How long keys, or a verdict, are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys are read for the sake of a token no more often: one of an unknown key must not mean a request.
const AGAIN: Duration = Duration::from_secs(10);

/// What an [`Authority`] was asked; it ends with why there is no answer.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Who knows of ServiceAccounts: an API server, or a file of keys.
pub trait Authority: Send + Sync + 'static {
    /// The keys that tokens are signed with.
    fn keys(&self) -> Asked<'_, IssuerKeys>;

    /// What it says of a token itself, if it can. Asks nothing before it is polled.
    fn review<'a>(&'a self, token: &'a str, audience: &'a str) -> Option<Asked<'a, Review>>;
}

/// The keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKeys {
    /// Who issues the tokens; their `iss` has to say so.
    pub issuer: Option<String>,
    /// The public keys, as a JSON Web Key Set.
    pub jwks: Bytes,
}

/// What was said of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The user's name, if the token is one's.
    pub user: Option<String>,
    /// For whom the token is meant, of those that were asked about.
    pub audiences: Vec<String>,
}

/// Which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// For whom tokens have to be meant.
    pub audience: String,
    /// Issuers whose tokens are accepted beside the one that the authority names.
    pub issuers: Vec<String>,
    /// How often keys are read again.
    pub refresh: Duration,
}

/// Why a token is not accepted. Says nothing of its signature or its key's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// More than is read.
    #[error("the token has {0} bytes; at most {max} are read", max = claims::MAX_TOKEN)]
    TooLong(usize),
    /// Something else than a token.
    #[error("the token is no JWT ({0}): send the token of a ServiceAccount, as a projected volume has it")]
    Malformed(&'static str),
    /// `none`, a shared secret, or something that this program does not know.
    #[error("the token is signed by {0:?}, which proves nothing: RS256, RS384, RS512, ES256 and ES384 do")]
    Algorithm(String),
    /// It is meant for somebody else.
    #[error(
        "the token is for {found}: request one for the audience {expected:?}, in a projected volume by \
         `serviceAccountToken.audience`"
    )]
    Audience {
        /// For whom.
        found: String,
        /// For whom it has to be.
        expected: String,
    },
    /// It is over.
    #[error("the token expired {0} s ago: send it from a file that is renewed, and read again when it is")]
    Expired(u64),
    /// It has not begun.
    #[error("the token is not valid for another {0} s: compare the clocks of its issuer and of this machine")]
    NotYet(u64),
    /// It is for ever, as Secrets of ServiceAccounts are.
    #[error("the token does not say when it expires: request one that does, in a projected volume")]
    Endless,
    /// It is of a user, or of another system.
    #[error("the token is of no ServiceAccount (its subject is not system:serviceaccount:<namespace>:<name>)")]
    Subject,
    /// Another issuer's.
    #[error(
        "the token is of the issuer {0:?}, which is not accepted here: is it of this cluster? (--xds-token-issuer)"
    )]
    Issuer(String),
    /// A key that the issuer does not show.
    #[error("the token is signed with a key that its issuer does not show (any more): request a new one")]
    UnknownKey,
    /// Another key, or other words.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A review did not accept it.
    #[error("the API server does not accept the token: is its ServiceAccount, or its pod, still there?")]
    Reviewed,
    /// There was nobody to ask. Why not is for the log alone: whoever shows just any token must not learn how this is set up.
    #[error("the token cannot be verified now ({0}; the log of syncgate says more): try again")]
    Unverified(&'static str),
    /// Whoever listens has it now.
    #[error(
        "a token in clear text is not accepted off loopback, since others on the network may have read it: connect with \
         TLS (`syncgate bootstrap --xds-ca`)"
    )]
    InClear,
    /// Nothing that would prove one is configured.
    #[error(
        "tokens are not read here: serve with --kubernetes or --xds-token-keys, and with --xds-tls-certificate, or connect \
         with a client certificate"
    )]
    NotRead,
}

impl Refusal {
    /// For metrics: one of a fixed few words.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Refusal::TooLong(_) => "too_long",
            Refusal::Malformed(_) => "malformed",
            Refusal::Algorithm(_) => "algorithm",
            Refusal::Audience { .. } => "audience",
            Refusal::Expired(_) => "expired",
            Refusal::NotYet(_) => "not_yet",
            Refusal::Endless => "endless",
            Refusal::Subject => "subject",
            Refusal::Issuer(_) => "issuer",
            Refusal::UnknownKey => "unknown_key",
            Refusal::Signature => "signature",
            Refusal::Reviewed => "review",
            Refusal::Unverified(_) => "unverified",
            Refusal::InClear => "in_clear",
            Refusal::NotRead => "not_read",
        }
    }
}

impl From<Refusal> for Status {
    /// Counts it.
    fn from(refusal: Refusal) -> Status {
        metrics::token(refusal.reason());
        metrics::stream_unserved("token");
        let code = match refusal {
            // Of the token itself nothing bad is known.
            Refusal::Unverified(_) => Code::Unavailable,
            _ => Code::Unauthenticated,
        };
        Status::new(code, refusal.to_string())
    }
}

/// Proves tokens.
pub struct Tokens {
    authority: Box<dyn Authority>,
    settings: TokenSettings,
    keys: ArcSwapOption<Keys>,
    reading: Mutex<Option<Reading>>,
    reviews: Arc<Reviews>,
}

/// The last reading of the keys. Whoever comes while it is under way shares what is found; nobody who gives up stops it.
struct Reading {
    begun: Instant,
    /// None while it is under way.
    outcome: watch::Receiver<Option<Result<(), String>>>,
}

impl Reading {
    fn is_under_way(&self) -> bool {
        // Without a sender it will never say anything.
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Accepts tokens that `authority` vouches for. Asks nothing yet.
    #[must_use]
    pub fn new(authority: impl Authority, settings: TokenSettings) -> Self {
        Self {
            authority: Box::new(authority),
            settings,
            keys: ArcSwapOption::empty(),
            reading: Mutex::new(None),
            reviews: Arc::default(),
        }
    }

    /// Reads the keys again and again. Does not return.
    pub async fn keep_fresh(self: Arc<Self>) {
        let refresh = self.settings.refresh;
        let mut again = AGAIN;
        loop {
            let pause = match self.read(Duration::ZERO).await {
                Ok(()) => {
                    again = AGAIN;
                    refresh
                }
                // A right that is missing for good is not asked for all the time.
                Err(_) => {
                    let pause = again.min(refresh);
                    again = pause * 2;
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The ServiceAccount that a token from this address is of, as `<namespace>/<name>`.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub(super) async fn verify(self: &Arc<Self>, address: IpAddr, token: &str) -> Result<ArcStr, Refusal> {
        let account = self.account(address, token).await?;
        metrics::token("accepted");
        Ok(account)
    }

    async fn account(self: &Arc<Self>, address: IpAddr, token: &str) -> Result<ArcStr, Refusal> {
        let claimed = claims::read(token, &self.settings.audience, now())?;
        let known = self.prove(&claimed);
        match known {
            Some(Ok(())) => return Ok(claimed.account),
            // Keys and issuer may have changed since they were read.
            Some(Err(Refusal::UnknownKey | Refusal::Issuer(_))) | None => {}
            Some(Err(refusal)) => return Err(refusal),
        }
        let trouble = match self.read(AGAIN).await {
            Ok(()) => match self.prove(&claimed) {
                Some(proven) => return proven.map(|()| claimed.account),
                None => "its key is of a kind that is not read".to_owned(),
            },
            Err(trouble) => trouble,
        };
        // Whose token it is, is known without a review.
        if let Some(Err(refusal @ Refusal::Issuer(_))) = known {
            return Err(refusal);
        }
        self.review(address, token, &claimed, trouble).await.map(|()| claimed.account)
    }

    /// Whether the keys that are kept prove the token; `None` if they cannot tell.
    fn prove(&self, claimed: &Claimed<'_>) -> Option<Result<(), Refusal>> {
        self.keys.load().as_ref()?.prove(claimed, &self.settings.issuers)
    }

    async fn review(
        self: &Arc<Self>,
        address: IpAddr,
        token: &str,
        claimed: &Claimed<'_>,
        trouble: String,
    ) -> Result<(), Refusal> {
        // Asks nothing yet.
        if self.authority.review(token, &self.settings.audience).is_none() {
            return Err(Refusal::Unverified("its keys cannot be read"));
        }
        let (tokens, shown, account) = (self.clone(), token.to_owned(), claimed.account.clone());
        let ask = async move {
            let audience = &tokens.settings.audience;
            let asked = tokens.authority.review(&shown, audience).ok_or_else(|| trouble.clone())?;
            let review = asked.await.map_err(|error| format!("{trouble}; and for a review: {error}"))?;
            let is_for_us = review.audiences.contains(audience);
            Ok(is_for_us && review.user.as_deref().and_then(claims::account) == Some(account))
        };
        self.reviews.of(address, token, claimed.expires, ask).await
    }

    /// Reads the keys, unless that was begun less than `again` ago.
    async fn read(self: &Arc<Self>, again: Duration) -> Result<(), String> {
        let mut outcome = {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let is_fresh = |reading: &&Reading| reading.is_under_way() || reading.begun.elapsed() < again;
            match reading.as_ref().filter(is_fresh) {
                Some(fresh) => fresh.outcome.clone(),
                None => {
                    let (said, outcome) = watch::channel(None);
                    let before = reading.replace(Reading { begun: Instant::now(), outcome: outcome.clone() });
                    let failed = before.and_then(|before| before.outcome.borrow().clone()).and_then(Result::err);
                    tokio::spawn(self.clone().read_now(failed, said));
                    outcome
                }
            }
        };
        // Bound, since a guard must not outlive what it guards.
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Err("the reading of keys ended early".to_owned()))
    }

    /// `failed` is how the last reading did, if it did.
    async fn read_now(self: Arc<Self>, failed: Option<String>, said: watch::Sender<Option<Result<(), String>>>) {
        let asked = tokio::time::timeout(PATIENCE, self.authority.keys()).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("no keys of tokens came for {PATIENCE:?}")));
        let read = asked.and_then(|answer| Keys::read(answer.issuer, &answer.jwks));
        metrics::token_keys_read(if read.is_ok() { "read" } else { "failed" });
        let outcome = read.map(|keys| {
            metrics::token_keys(keys.count());
            self.keys.store(Some(Arc::new(keys)));
        });
        match &outcome {
            Ok(()) if failed.is_some() => info!("keys of tokens are read again"),
            // Once for each reason, not at every try.
            Err(reason) if failed.as_ref() != Some(reason) => {
                warn!(%reason, "keys of tokens cannot be read; those that were read last stay in use");
            }
            Ok(()) | Err(_) => {}
        }
        said.send_replace(Some(outcome));
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
