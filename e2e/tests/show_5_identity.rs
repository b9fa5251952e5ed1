//! An Envoy is known by its certificate and has the Gateways of its namespace; certificates are renewed without a lost stream.

use syncgate_e2e::shows;

shows! {
    identity_newest_delta: Identity on Newest Delta;
    identity_oldest_sotw: Identity on Oldest Sotw;
}
