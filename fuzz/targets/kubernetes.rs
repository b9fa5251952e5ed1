//! What an API server answers, in both encodings and for every kind: objects, a word on what cannot be read, or an error.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use syncgate::model::Kind;
use syncgate::watch::wire::{Encoding, Frames, Pool, change, page, status};

fuzz_target!(|bytes: &[u8]| {
    let (body, pool) = (Bytes::copy_from_slice(bytes), Pool::new());
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut frames = Frames::new(encoding);
        frames.push(bytes);
        let mut whole = Vec::new();
        while let Ok(Some(frame)) = frames.next_frame() {
            whole.push(frame);
        }
        let _ = status(500, &body);
        for kind in Kind::ALL {
            let _ = page(kind, encoding, &body, &pool);
            for frame in &whole {
                let _ = change(kind, encoding, frame, &pool);
            }
        }
    }
});
