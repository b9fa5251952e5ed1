//! Streams cut anywhere.

use bytes::Bytes;

use crate::watch::wire::{Encoding, Frames, MAX_FRAME};

fn delimited(frames: &[&[u8]]) -> Vec<u8> {
    let prefix = |frame: &[u8]| u32::try_from(frame.len()).unwrap().to_be_bytes();
    frames.iter().flat_map(|frame| [prefix(frame).as_slice(), frame].concat()).collect()
}

fn all(frames: &mut Frames) -> Vec<Bytes> {
    std::iter::from_fn(|| frames.next_frame().unwrap()).collect()
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    let lines = (Encoding::Json, b"{\"a\":1}\n\n \r\n[2]\nlong line\n".to_vec(), vec!["{\"a\":1}", "[2]", "long line"]);
    let binary = (Encoding::Protobuf, delimited(&[b"one", b"", b"three\n"]), vec!["one", "", "three\n"]);
    for (encoding, stream, expected) in [lines, binary] {
        for cut in 0..=stream.len() {
            let mut frames = Frames::new(encoding);
            frames.push(&stream[..cut]);
            let mut found = all(&mut frames);
            frames.push(&stream[cut..]);
            found.extend(all(&mut frames));
            assert_eq!(found, expected, "cut at {cut}");
            assert!(!frames.is_partial());
        }
        let mut frames = Frames::new(encoding);
        let mut found = Vec::new();
        for byte in &stream {
            frames.push(&[*byte]);
            found.extend(all(&mut frames));
        }
        assert_eq!(found, expected, "byte by byte");
    }
}

#[test]
fn an_end_within_a_frame_is_told() {
    for (encoding, bytes, partial) in [
        (Encoding::Json, b"{}".as_slice(), true),
        (Encoding::Json, b"{}\n \r\n ", false),
        (Encoding::Json, b"", false),
        (Encoding::Protobuf, b"\0\0", true),
        (Encoding::Protobuf, b"\0\0\0\x02a", true),
        (Encoding::Protobuf, b"\0\0\0\x01a", false),
    ] {
        let mut frames = Frames::new(encoding);
        frames.push(bytes);
        all(&mut frames);
        assert_eq!(frames.is_partial(), partial, "{encoding}: {bytes:?}");
    }
}

#[test]
fn bounded_frames_only() {
    let mut frames = Frames::new(Encoding::Protobuf);
    frames.push(&[0x7f, 0xff, 0xff, 0xff]);
    let error = frames.next_frame().unwrap_err().to_string();
    assert!(error.contains("2147483647 bytes"), "{error}");
    assert!(frames.next_frame().is_err(), "it stays so");

    let mut frames = Frames::new(Encoding::Json);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..MAX_FRAME / piece.len() {
        frames.push(&piece);
        assert_eq!(frames.next_frame(), Ok(None));
    }
    frames.push(b"y");
    assert!(frames.next_frame().is_err());
    assert!(frames.next_frame().is_err(), "it stays so");

    // The longest that is believed.
    let mut frames = Frames::new(Encoding::Json);
    frames.push(&vec![b'x'; MAX_FRAME]);
    frames.push(b"\nnext\n");
    assert_eq!(all(&mut frames).len(), 2);
}
