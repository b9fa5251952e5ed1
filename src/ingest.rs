//! The door: everything that waits, waits here, as data with a clock, so that the graph behind it stays pure.
//!
//! Sources put what they see into the [`Mailbox`], which never blocks them; the thread that owns the graph takes it out,
//! offers it to the [`Door`] and lets in what the door says is ready, as one batch:
//!
//! ```text
//!  source ─► Sender ─┐
//!  source ─► Sender ─┴─► Mailbox ─► Door ─► one batch ─► one epoch
//!    ▲                (newest of    (holds changes that would break    │
//!    │                 each object)  a reference, 500 ms at most) ◄────┘ which Service ports have endpoints
//!    └───────────────────────────────┘ wants: what specs refer to and no source reads by itself
//! ```
//!
//! Invariants: nothing offered is lost, and what was let in is in the end what was offered last; nothing waits longer than
//! [`HOLD`], or than [`DEMAND`] for what is still being read; both the mailbox and the holds are bounded by the number of
//! distinct objects (`bounded`); a change that would make a reference dangle waits for its counterpart (`no_dangling`);
//! what cannot be read is an error of its referrers alone (`one_harms_one`).
//!
//! Architecture invariant: knows no Kubernetes client, no Envoy and no tokio. The door reads no clock; it is told the time.

mod admission;
mod awaited;
mod demands;
mod door;
mod holds;
mod mailbox;
mod needs;
mod stand_ins;
mod table;
#[cfg(test)]
mod tests;

pub use demands::DEMAND;
pub use door::{Backing, Door, LetIn, MAX_HELD};
pub use holds::{HOLD, Held};
pub use mailbox::{Arrival, Mailbox, Sender, Taken, mailbox};
