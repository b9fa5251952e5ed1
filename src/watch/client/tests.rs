//! What a broken answer is taken for.

use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

/// A client of a server that answers nothing: it gives each request up after the other.
async fn answerless() -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let (here, there) = tokio::io::duplex(1 << 16);
    let give_up = service_fn(async |_: Request<Incoming>| Err::<Response<Full<Bytes>>, _>(std::io::Error::other("no")));
    tokio::spawn(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(there), give_up),
    );
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(here)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn an_answer_that_is_given_up_is_no_outage() {
    let mut sender = answerless().await;
    for _ in 0..3 {
        let request = Request::get("http://localhost/").body(Full::default()).unwrap();
        let error = sender.send_request(request).await.unwrap_err();
        let fault = Fault::from(Broken::of(&error));
        assert!(matches!(fault, Fault::Reset(_)) && !fault.is_outage(), "{fault:?}");
        assert!(!sender.is_closed(), "the connection lives on");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_may_be_one() {
    let (here, there) = tokio::io::duplex(1 << 16);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(here)).await.unwrap();
    tokio::spawn(connection);
    drop(there);
    let request = Request::get("http://localhost/").body(Full::<Bytes>::default()).unwrap();
    let error = sender.send_request(request).await.unwrap_err();
    assert!(Fault::from(Broken::of(&error)).is_outage(), "{error:?}");
}
