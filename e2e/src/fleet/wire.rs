//! gRPC as ADS needs it, on HTTP/2 itself: one stream, messages both ways, and the bytes counted.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::syncgate::Variant;

/// A message's flag and length.
const HEADER: usize = 5;
/// What the server may send before it is read, on a stream and on a connection: as much as a first push has.
const WINDOW: u32 = 1 << 20;

/// How connections are secured.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whom to trust, and the own certificate if there is one.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must be for.
    pub server: String,
}

/// Opens a connection. It lives as long as the handle, its copies or a stream of it.
pub(super) async fn connect(target: SocketAddr, tls: Option<&Tls>) -> Result<SendRequest<Bytes>> {
    let tcp = TcpStream::connect(target).await.with_context(|| format!("connect to {target}"))?;
    tcp.set_nodelay(true)?;
    match tls {
        None => handshake(tcp).await,
        Some(Tls { config, server }) => {
            let name = ServerName::try_from(server.clone())?;
            handshake(TlsConnector::from(config.clone()).connect(name, tcp).await.context("TLS")?).await
        }
    }
}

async fn handshake<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: T) -> Result<SendRequest<Bytes>> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (handle, connection) = builder.handshake(io).await.context("HTTP/2")?;
    tokio::spawn(async move {
        // What ends it shows in its streams.
        let _ = connection.await;
    });
    Ok(handle)
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Wire {
    sending: SendStream<Bytes>,
    receiving: RecvStream,
    buffer: BytesMut,
    /// Bytes received, without HTTP/2's own.
    pub(super) received: u64,
}

impl Wire {
    /// Opens a stream of a connection with the first messages.
    pub(super) async fn open(
        handle: SendRequest<Bytes>,
        authority: &str,
        variant: Variant,
        first: &[Bytes],
    ) -> Result<Self> {
        let method = match variant {
            Variant::Delta => "DeltaAggregatedResources",
            Variant::Sotw => "StreamAggregatedResources",
        };
        let uri = format!("http://{authority}/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}");
        let request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers").body(())?;
        let mut handle = handle.ready().await.context("no stream is granted")?;
        let (response, mut sending) = handle.send_request(request, false)?;
        for message in first {
            sending.send_data(message.clone(), false)?;
        }
        let response = response.await.context("no answer")?;
        ensure!(response.status() == 200, "answered with {}", response.status());
        if response.headers().contains_key("grpc-status") {
            bail!("refused: {}", status(response.headers()));
        }
        Ok(Self { sending, receiving: response.into_body(), buffer: BytesMut::new(), received: 0 })
    }

    /// Sends a framed message.
    pub(super) fn send(&mut self, message: Bytes) -> Result<()> {
        Ok(self.sending.send_data(message, false)?)
    }

    /// The next message. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = take(&mut self.buffer) {
                return Ok(message);
            }
            let Some(data) = self.receiving.data().await else {
                let trailers = self.receiving.trailers().await?.unwrap_or_default();
                bail!("the stream has ended: {}", status(&trailers));
            };
            let data = data.context("the stream broke")?;
            self.received += data.len() as u64;
            self.receiving.flow_control().release_capacity(data.len())?;
            self.buffer.extend_from_slice(&data);
        }
    }
}

fn status(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nothing").to_owned();
    format!("grpc-status {}, {}", text("grpc-status"), text("grpc-message"))
}

/// A message with its header.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(HEADER + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer grows as needed.
    let _ = message.encode(&mut framed);
    framed.freeze()
}

/// The first whole message, out of the buffer.
fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = buffer.get(1..HEADER)?.try_into().ok().map(u32::from_be_bytes)? as usize;
    if buffer.len() < HEADER + length {
        return None;
    }
    buffer.advance(HEADER);
    Some(buffer.split_to(length).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_of_what_comes_in_pieces() {
        let (one, two) = (frame(&"one".to_owned()), frame(&"two".to_owned()));
        let all: Vec<u8> = one.iter().chain(two.iter()).copied().collect();
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for byte in all {
            buffer.put_u8(byte);
            found.extend(take(&mut buffer).map(|message| String::decode(message).unwrap()));
        }
        assert_eq!(found, ["one", "two"]);
    }
}
