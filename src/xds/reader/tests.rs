use http_body_util::{Full, StreamBody};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Code;

use super::super::bounds::room::{Hall, Room, Share};
use super::super::request::DiscoveryRequest;
use super::*;

fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
    out.extend_from_slice(&body);
    out
}

fn rooms(share: usize) -> Rooms {
    Rooms { of_connection: Room::new(64 << 20), of_tenant: Share::new(share), of_process: Hall::new(64 << 20) }
}

fn intake(limit: usize) -> Intake {
    Intake { limit, names: 100, unfinished: Duration::from_secs(30), rooms: rooms(64 << 20) }
}

fn reader(bytes: Vec<u8>) -> MessageReader {
    MessageReader::new(tonic::body::Body::new(Full::new(Bytes::from(bytes))), intake(100))
}

async fn failure(bytes: Vec<u8>) -> Code {
    reader(bytes).next::<DiscoveryRequest>().await.expect_err("bad bytes").code()
}

#[tokio::test]
async fn messages_are_read_however_they_are_cut() {
    let request = |nonce: &str| DiscoveryRequest { response_nonce: nonce.into(), ..Default::default() };
    let bytes = [framed(&request("a")), framed(&request("b"))].concat();
    for size in 1..bytes.len() {
        let frames: Vec<_> =
            bytes.chunks(size).map(|cut| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(cut)))).collect();
        let body = tonic::body::Body::new(StreamBody::new(tokio_stream::iter(frames)));
        let mut reader = MessageReader::new(body, intake(100));
        for nonce in ["a", "b"] {
            let read = reader.next().await.expect("valid");
            assert_eq!(read, Some(Incoming { message: request(nonce), weight: 0 }));
        }
        assert_eq!(reader.next::<DiscoveryRequest>().await.expect("valid"), None);
    }
}

#[tokio::test]
async fn bad_framing_is_an_error_that_says_what_is_wrong() {
    assert_eq!(failure(vec![1, 0, 0, 0, 0]).await, Code::Unimplemented);
    assert_eq!(failure(vec![0, 0, 0, 0, 101]).await, Code::ResourceExhausted);
    assert_eq!(failure(vec![0, 255, 255, 255, 255]).await, Code::ResourceExhausted);
    assert_eq!(failure(vec![0, 0, 0, 0, 4, 1]).await, Code::InvalidArgument);
    assert_eq!(failure(vec![0, 0, 0, 0, 2, 0xff, 0xff]).await, Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn bounded_a_message_that_is_never_whole_ends_in_time() {
    let begun = framed(&DiscoveryRequest { response_nonce: "a".into(), ..Default::default() });
    for cut in [1, PREFIX, begun.len() - 1] {
        let first = Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(&begun[..cut])));
        let (sender, frames) = mpsc::channel(1);
        sender.send(first).await.expect("open");
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
        let mut reader = MessageReader::new(tonic::body::Body::new(body), intake(100));
        let start = tokio::time::Instant::now();
        // Cancelled again and again, as a stream does that has other things to do.
        let ended = loop {
            match tokio::time::timeout(Duration::from_secs(7), reader.next::<DiscoveryRequest>()).await {
                Ok(ended) => break ended,
                Err(_) => assert!(start.elapsed() < Duration::from_secs(60), "it waits for ever"),
            }
        };
        assert_eq!(ended.expect_err("never whole").code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn bounded_a_large_message_waits_for_room_and_small_ones_pass() {
    let large = framed(&DiscoveryRequest { response_nonce: "x".repeat(40 << 10), ..Default::default() });
    let small = framed(&DiscoveryRequest { response_nonce: "a".into(), ..Default::default() });
    let rooms = rooms(60 << 10);
    let reader = |bytes: &[u8]| {
        let intake = Intake { rooms: rooms.clone(), ..intake(1 << 20) };
        let cut: Vec<_> =
            bytes.chunks(16 << 10).map(|cut| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(cut)))).collect();
        MessageReader::new(tonic::body::Body::new(StreamBody::new(tokio_stream::iter(cut))), intake)
    };
    let (mut one, mut two, mut three) = (reader(&large), reader(&large), reader(&small));
    assert!(one.next::<DiscoveryRequest>().await.expect("room").is_some());
    let waits = tokio::time::timeout(Duration::from_secs(5), two.next::<DiscoveryRequest>()).await;
    assert!(waits.is_err(), "the first one is not done with");
    assert!(three.next::<DiscoveryRequest>().await.expect("small").is_some());
    assert!(one.next::<DiscoveryRequest>().await.expect("the end").is_none());
    assert!(two.next::<DiscoveryRequest>().await.expect("room").is_some());
    let mut four = reader(&large);
    let start = tokio::time::Instant::now();
    let refused = four.next::<DiscoveryRequest>().await.expect_err("the second one is not done with");
    assert_eq!((refused.code(), start.elapsed()), (Code::ResourceExhausted, ROOM_PATIENCE));
}

#[tokio::test(start_paused = true)]
async fn bounded_a_message_that_has_room_has_to_come_at_a_pace() {
    // One of which nothing comes has no room either.
    for (each, seconds) in [(0, 30), (PACE / 2, 9), (PACE, 30)] {
        let (sender, frames) = mpsc::channel(1);
        let begins = [&[0][..], &(64_u32 << 20).to_be_bytes()].concat();
        tokio::spawn(async move {
            let mut next = Bytes::from(begins);
            while sender.send(Ok::<_, Status>(Frame::data(next))).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                next = Bytes::from(vec![0; each as usize]);
            }
        });
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
        let mut reader = MessageReader::new(tonic::body::Body::new(body), intake(64 << 20));
        let start = tokio::time::Instant::now();
        let ended = reader.next::<DiscoveryRequest>().await.expect_err("never whole");
        assert_eq!((ended.code(), start.elapsed().as_secs()), (Code::DeadlineExceeded, seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn bounded_a_message_that_was_large_leaves_nothing_behind_when_another_has_begun() {
    let large = framed(&DiscoveryRequest { response_nonce: "x".repeat(1 << 20), ..Default::default() });
    // With its last frame comes the first byte of the next prefix.
    let bytes = [&large[..], &[0]].concat();
    let cut: Vec<_> =
        bytes.chunks(16 << 10).map(|cut| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(cut)))).collect();
    let open = tokio_stream::pending();
    let body = StreamBody::new(tokio_stream::StreamExt::chain(tokio_stream::iter(cut), open));
    let mut reader = MessageReader::new(tonic::body::Body::new(body), intake(2 << 20));
    assert!(reader.next::<DiscoveryRequest>().await.expect("room").is_some());
    assert!(reader.unread.capacity() < 16 << 10, "{} bytes are kept", reader.unread.capacity());
    assert!(reader.last.is_some(), "it is worked on");
    reader.done();
    assert!(reader.last.is_none(), "it is done with, though nobody asks for another one");
}

#[tokio::test(start_paused = true)]
async fn bounded_a_message_that_holds_room_does_not_wait_long_for_more() {
    let of_process = Hall::new(room::STEP);
    let others = || Rooms { of_process: of_process.clone(), ..rooms(64 << 20) };
    let older = others().take(None, 100).await;
    let (sender, frames) = mpsc::channel(100);
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
    let mut reader = MessageReader::new(tonic::body::Body::new(body), Intake { rooms: others(), ..intake(64 << 20) });
    let begins = [&[0][..], &(64_u32 << 20).to_be_bytes()].concat();
    sender.send(Ok::<_, Status>(Frame::data(begins.into()))).await.expect("open");
    for _ in 0..20 {
        sender.send(Ok(Frame::data(vec![0; 16 << 10].into()))).await.expect("open");
    }
    let start = Instant::now();
    let refused = reader.next::<DiscoveryRequest>().await.expect_err("there is no more");
    assert_eq!((refused.code(), start.elapsed()), (Code::ResourceExhausted, HOLDING_PATIENCE));
    drop(older);
}
