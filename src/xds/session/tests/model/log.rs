//! Messages as lines of a history's log.

use crate::xds::message::{Ask, Request, Response};

pub(super) fn response(response: &Response) -> String {
    format!("{} {}", response.nonce, super::super::written(response))
}

pub(super) fn request(request: &Request) -> String {
    let mut text = format!("{} {}", request.nonce, request.kind);
    if request.error.is_some() {
        text.push_str(" NACK");
    }
    match &request.ask {
        Ask::StateOfTheWorld { version, names } => {
            text.push_str(&format!(" [{}] at {:.4}", names.join(" "), version));
        }
        Ask::Delta { subscribe, unsubscribe, held } => {
            subscribe.iter().for_each(|name| text.push_str(&format!(" +{name}")));
            unsubscribe.iter().for_each(|name| text.push_str(&format!(" -{name}")));
            let held: Vec<String> = held.iter().map(|(name, version)| format!("{name}@{version:.4}")).collect();
            if !held.is_empty() {
                text.push_str(&format!(" holding {}", held.join(" ")));
            }
        }
    }
    text
}
