//! The door: everything that waits, waits here, as data with a clock, so that the graph behind it stays pure.
//!
//! Sources put what they see into the [`Mailbox`], which never blocks them; the thread that owns the graph takes it out,
//! offers it to the [`Door`] and lets in what the door says is ready, as one batch:
//!
//! ```text
//!  source ─► Sender ─┐
//!  source ─► Sender ─┴─► Mailbox ─► Door ─► one batch ─► one epoch
//!                     (newest of    (holds changes that would break
//!                      each object)  a reference, 500 ms at most)
//! ```
//!
//! Invariants: nothing offered is lost, and what was let in is in the end what was offered last; nothing waits longer than
//! [`HOLD`]; both the mailbox and the holds are bounded by the number of distinct objects (`bounded`); a change that would
//! make a reference dangle waits for its counterpart (`no_dangling`).
//!
//! Architecture invariant: knows no Kubernetes client, no Envoy and no tokio. The door reads no clock; it is told the time.

mod admission;
mod door;
mod mailbox;
mod table;
#[cfg(test)]
mod tests;

pub use door::{Door, HOLD, Held, LetIn, MAX_HELD};
pub use mailbox::{Arrival, Mailbox, Sender, Taken, mailbox};
