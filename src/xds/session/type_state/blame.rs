//! Which resources of a refused response the client means.
//!
//! Envoy names clusters and listeners that it refuses (`Error adding/updating cluster(s) a: …, b: …`); of route
//! configurations and secrets it mostly tells the reason alone.

use std::sync::Arc;

use super::Sent;
use crate::resource::Resource;
use crate::xds::words::plain;

/// The most resources that are blamed: nobody reads more.
const MOST: usize = 20;

/// The longest text of a client that is kept, in bytes.
const LONGEST: usize = 4 << 10;

/// What stands around a name in a sentence and in no name.
const AROUND: &[char] = &[':', ',', ';', '.', '\'', '"', '`', '(', ')', '[', ']', '<', '>', '{', '}', '='];

/// A client says what it likes; the beginning of it is kept, as one line.
pub(super) fn shortened(mut message: String) -> String {
    if message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    plain(&message)
}

/// The resources that the words name, otherwise the first of the response. `sent` is sorted by name.
pub(super) fn blamed(message: &str, sent: &[Sent]) -> Vec<Arc<Resource>> {
    let find = |name: &str| sent.binary_search_by(|other| other.name.as_str().cmp(name)).ok();
    let words = message.split_whitespace();
    let named = words.filter_map(|word| find(word).or_else(|| find(word.trim_matches(AROUND))));
    let mut named: Vec<usize> = named.take(MOST).collect();
    named.sort_unstable();
    named.dedup();
    if named.is_empty() {
        return sent.iter().filter_map(|sent| sent.now.clone()).take(MOST).collect();
    }
    named.into_iter().filter_map(|at| sent[at].now.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Parts, ResourceType};

    fn sent(names: &[&str]) -> Vec<Sent> {
        let resource = |name: &str| Arc::new(Resource::new(ResourceType::Cluster, name, Parts::leaf("x"), []));
        let sent =
            |name: &&str| Sent { name: (*name).into(), now: Some(resource(name)), before: None, was_unheard_of: false };
        names.iter().map(sent).collect()
    }

    fn names(message: &str, of: &[&str]) -> Vec<String> {
        blamed(message, &sent(of)).iter().map(|resource| resource.name.to_string()).collect()
    }

    #[test]
    fn the_names_in_envoys_words_are_meant() {
        let of = ["service/a/b/80/h2c", "service/a/b/80/http", "service/a/c/80/http"];
        let words = "Error adding/updating cluster(s) service/a/b/80/http: no such filter, service/a/c/80/http: bad";
        assert_eq!(names(words, &of), of[1..]);
        assert_eq!(names("'service/a/b/80/h2c' is bad.", &of), of[..1]);
        assert_eq!(names("listener ns/gw/80: service/a/b/80/httpx is bad", &of), of, "no name of the response");
    }

    #[test]
    fn bounded_no_more_are_blamed_than_anyone_reads() {
        let many: Vec<String> = (100..200).map(|at| format!("c{at}")).collect();
        let of: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(names("", &of), of[..MOST]);
        assert_eq!(names(&many.join(" "), &of), of[..MOST]);
        let long = shortened("ä".repeat(LONGEST));
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with("ä…"));
        assert_eq!(shortened("bad\n2026 INFO\x1b[2J".to_owned()), "bad 2026 INFO [2J");
    }
}
