//! What clients send: any bytes are a request, no request of ours, or an error. Nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use syncgate::xds::{Variant, decode};

fuzz_target!(|bytes: &[u8]| {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let _ = decode(variant, bytes);
    }
});
