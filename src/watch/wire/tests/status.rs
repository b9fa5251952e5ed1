//! Whatever a refusal looks like.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::wrapped;
use crate::watch::wire::messages;
use crate::watch::wire::{Status, status};

fn read(code: u16, body: &str) -> Status {
    status(code, &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn a_text_that_is_no_status_says_its_first_words() {
    let html = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>...</body></html>";
    let cases = [
        (404, "404 page not found\n", "404 page not found"),
        (502, html, "502 Bad Gateway"),
        (503, "", "Service Unavailable"),
        (503, "\n--- ---\n\u{1b}[31mno healthy upstream", "[31mno healthy upstream"),
        (599, "", ""),
        (401, "{\"error\": \"who?\"}", "{\"error\": \"who?\"}"),
    ];
    for (code, body, message) in cases {
        assert_eq!(read(code, body), Status { code, message: message.into(), ..Status::default() }, "{body}");
    }
}

#[test]
fn bounded_in_what_it_keeps() {
    let found = read(500, &"ä".repeat(1 << 20));
    assert_eq!(found.message.len(), 1024);
    let causes = "{\"reason\":\"R\",\"message\":\"m\"},".repeat(1000);
    let found = read(500, &format!("{{\"kind\":\"Status\",\"details\":{{\"causes\":[{causes}{{}}]}}}}"));
    assert_eq!(found.causes.len(), 16);
}

#[test]
fn a_status_with_odd_fields_is_read_as_far_as_it_goes() {
    let found = read(
        429,
        "{\"kind\":\"Status\",\"code\":\"x\",\"reason\":7,\"message\":\"slow\",\"details\":{\"retryAfterSeconds\":3}}",
    );
    let expected = Status { code: 429, message: "slow".into(), ..Status::default() };
    assert_eq!(found, Status { retry_after: Some(Duration::from_secs(3)), ..expected.clone() });
    let found =
        read(429, "{\"kind\":\"Status\",\"message\":\"slow\",\"details\":{\"retryAfterSeconds\":-3,\"causes\":7}}");
    assert_eq!(found, expected);

    let message = messages::Status { message: Bytes::from_static(b"bad \xff byte"), code: -1, ..Default::default() };
    let found = status(500, &wrapped("v1", "Status", message.encode_to_vec()));
    assert_eq!(found, Status { code: 500, message: "bad \u{fffd} byte".into(), ..Status::default() });
}
