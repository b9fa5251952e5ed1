//! What one peer may take, so that something is left for the others (`bounded`, `one_harms_one`).
//!
//! | Of what | By connection | By stream | By identity | By tenant | In all |
//! |---|---|---|---|---|---|
//! | connections, streams | 10 streams | | [census] | a [lobby](crate::lobby) of connections | the same lobby |
//! | larger requests that are not whole | [room] | | | [room] | [room] |
//! | requests, and the work that they make | | [pace] | | [toll] | |
//! | names that are kept | | [session](super::session) | | [names] | |
//! | what is written and not read | | [pace] | | | |
//!
//! A *tenant* is a namespace: whoever owns one has as many ServiceAccounts as it likes. The figures are in `docs/xds.md`.

pub(super) mod census;
pub(super) mod names;
pub(super) mod pace;
pub(super) mod room;
pub(super) mod toll;
