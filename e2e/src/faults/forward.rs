//! One request: faults that answer it or hold it up, then the API server, then faults that edit the answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::call::{Call, Verb};
use super::rules::{Decided, Effect};
use super::status::{Encoding, Reply};
use super::stream::Watch;
use super::upstream::Link;
use super::wire;

/// The largest list that is emptied.
const LARGEST_LIST: usize = 256 << 20;
/// What concerns one connection and not the message.
const OF_THE_CONNECTION: [HeaderName; 4] =
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];

/// What is answered: streamed, whole or edited.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Answers a request. An error breaks its stream, or its connection with HTTP/1.1.
pub(super) async fn answer(link: Arc<Link>, shared: Arc<Shared>, mut request: Request<Incoming>) -> io::Result<Answer> {
    let call = Call::of(&request);
    shared.tally.request(&call);
    let mut decided = Decided::default();
    let effects = heard(&shared, &mut decided, &call).await?;
    for effect in &effects {
        if let Effect::Delay(range) = effect {
            shared.tally.fault(effect.label());
            tokio::time::sleep(shared.dice.within(range)).await;
        }
    }
    for effect in &effects {
        if let Effect::Answer(reply, encoding) = effect {
            shared.tally.fault(effect.label());
            if *reply == Reply::Unauthorized {
                link.retire();
            }
            let encoding = encoding.unwrap_or_else(|| Encoding::accepted(request.headers()));
            return Ok(reply.response(&call, encoding).map(boxed));
        }
    }
    let empties = call.verb == Verb::List && effects.contains(&Effect::EmptyList);
    if empties || call.verb == Verb::Watch {
        // What is edited must not come compressed. The API server compresses large lists, and never watches.
        request.headers_mut().remove(ACCEPT_ENCODING);
    }
    OF_THE_CONNECTION.iter().for_each(|name| drop(request.headers_mut().remove(name)));
    let mut response = link.send(request).await?;
    OF_THE_CONNECTION.iter().for_each(|name| drop(response.headers_mut().remove(name)));
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = media_type.and_then(Encoding::of_media_type).filter(|_| response.status() == StatusCode::OK);
    match encoding {
        Some(encoding) if call.verb == Verb::Watch => {
            Ok(response.map(|body| Watch::new(call, shared, decided, encoding, body).into_body().boxed_unsync()))
        }
        Some(encoding) if empties => {
            shared.tally.fault(Effect::EmptyList.label());
            emptied(response, encoding).await
        }
        _ => Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync())),
    }
}

fn boxed(body: Full<Bytes>) -> UnsyncBoxBody<Bytes, io::Error> {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// The effects on a request, once the server listens to it at all.
async fn heard(shared: &Shared, decided: &mut Decided, call: &Call) -> io::Result<Vec<Effect>> {
    let mut rules = shared.rules.subscribe();
    let mut counted = false;
    loop {
        let current = rules.borrow_and_update().clone();
        let effects = decided.effects(&current, call, &shared.dice);
        if !effects.contains(&Effect::Silence) {
            return Ok(effects);
        }
        if !std::mem::replace(&mut counted, true) {
            shared.tally.fault(Effect::Silence.label());
        }
        rules.changed().await.map_err(io::Error::other)?;
    }
}

async fn emptied(response: Response<Incoming>, encoding: Encoding) -> io::Result<Answer> {
    let (mut head, body) = response.into_parts();
    let whole = Limited::new(body, LARGEST_LIST).collect().await.map_err(io::Error::other)?.to_bytes();
    let empty = match encoding {
        Encoding::Json => emptied_json(&whole),
        Encoding::Protobuf => wire::emptied(&whole),
    };
    head.headers.remove(CONTENT_LENGTH);
    let empty = empty.ok_or_else(|| io::Error::other("the API server answered a LIST with what is no list"))?;
    Ok(Response::from_parts(head, boxed(Full::new(empty))))
}

fn emptied_json(list: &Bytes) -> Option<Bytes> {
    let mut list: Value = serde_json::from_slice(list).ok()?;
    *list.get_mut("items")? = json!([]);
    if let Some(metadata) = list.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("continue");
        metadata.remove("remainingItemCount");
    }
    Some(format!("{list}\n").into())
}
