//! `Warning` headers of the API server: counted, and each logged once (F33). They tell of APIs that are about to go.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, header};
use tracing::warn;

use crate::metrics;

/// Different warnings that are remembered; beyond that they are counted only.
const REMEMBERED: usize = 200;

/// What was said already.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<HashSet<String>>);

impl Warnings {
    /// Notes the warnings of an answer.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        for value in headers.get_all(header::WARNING) {
            let Some(text) = value.to_str().ok().and_then(said) else { continue };
            metrics::api_warning();
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < REMEMBERED && known.insert(text.to_owned()) {
                warn!(warning = text, "the API server warns");
            }
        }
    }
}

/// The text of `299 - "text"`.
fn said(header: &str) -> Option<&str> {
    let text = header.split_once('"')?.1;
    Some(text.rsplit_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_remembered_once_and_only_so_many_are() {
        let warnings = Warnings::default();
        let mut headers = HeaderMap::new();
        headers.append(header::WARNING, "299 - \"v1beta1 is deprecated\"".parse().unwrap());
        headers.append(header::WARNING, "garbage".parse().unwrap());
        warnings.hear(&headers);
        warnings.hear(&headers);
        assert_eq!(warnings.0.lock().unwrap().iter().collect::<Vec<_>>(), ["v1beta1 is deprecated"]);
        for n in 0..REMEMBERED * 2 {
            let text = format!("299 - \"{n}\"");
            warnings.hear(&[(header::WARNING, text.parse().unwrap())].into_iter().collect());
        }
        assert_eq!(warnings.0.lock().unwrap().len(), REMEMBERED);
    }
}
