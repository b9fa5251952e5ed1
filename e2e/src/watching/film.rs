//! Many looks in a row: the states that sources and namespaces went through.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::picture::Picture;
use crate::http;

/// Between two looks: shorter than any pause that syncgate makes between two tries.
const EVERY: Duration = Duration::from_millis(100);

/// The film, which goes on until it is dropped.
#[derive(Debug)]
pub struct Film {
    seen: Arc<Mutex<Seen>>,
    camera: JoinHandle<()>,
}

/// The state of a source that was there and is not any more.
const ENDED: &str = "ended";

/// The states in turn, by source and by namespace, without repetitions. A source that is shown no more has [`ENDED`]: one of the same name
/// that comes later is another.
#[derive(Debug, Default)]
struct Seen {
    sources: BTreeMap<String, Vec<String>>,
    namespaces: BTreeMap<String, Vec<String>>,
}

impl Film {
    /// Looks at the admin listener from now on. While nobody answers there is nothing to see.
    #[must_use]
    pub fn start(admin: SocketAddr) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let camera = tokio::spawn(shoot(admin, Arc::clone(&seen)));
        Self { seen, camera }
    }

    /// Forgets everything but the newest states.
    pub fn cut(&self) {
        let mut seen = self.lock();
        let Seen { sources, namespaces } = &mut *seen;
        for states in sources.values_mut().chain(namespaces.values_mut()) {
            states.drain(..states.len().saturating_sub(1));
        }
    }

    /// The states of a namespace since the last cut; while it is not watched, none.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Vec<String> {
        self.lock().namespaces.get(name).cloned().unwrap_or_default()
    }

    /// The states of a source since the last cut.
    #[must_use]
    pub fn source(&self, name: &str) -> Vec<String> {
        self.lock().sources.get(name).cloned().unwrap_or_default()
    }

    /// The states of all sources since the last cut.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<String, Vec<String>> {
        self.lock().sources.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.camera.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn shoot(admin: SocketAddr, seen: Arc<Mutex<Seen>>) {
    loop {
        let look = async {
            let answer = http::get(admin, "localhost", "/debug/sources").await?;
            Picture::of(&serde_json::from_slice(&answer.body)?)
        };
        if let Ok(picture) = look.await {
            lock(&seen).take(picture);
        }
        sleep(EVERY).await;
    }
}

impl Seen {
    fn take(&mut self, picture: Picture) {
        for (name, states) in &mut self.sources {
            if !picture.sources.contains_key(name) {
                note(states, ENDED.to_owned());
            }
        }
        for (name, source) in picture.sources {
            note(self.sources.entry(name).or_default(), source.state);
        }
        for (name, life) in picture.namespaces {
            note(self.namespaces.entry(name).or_default(), life.state);
        }
    }
}

fn note(states: &mut Vec<String>, state: String) {
    if states.last() != Some(&state) {
        states.push(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watching::picture::Source;

    #[test]
    fn a_source_that_is_shown_no_more_has_ended_and_what_follows_is_another() {
        let with = |states: &[&str]| {
            let source = |state: &str| Source { state: state.to_owned(), reason: String::new(), rows: 0 };
            let sources = states.iter().map(|state| ("Pod in shop".to_owned(), source(state))).collect();
            Picture { sources, ..Picture::default() }
        };
        let mut seen = Seen::default();
        for states in [&[][..], &["synced"], &["synced"], &[], &[], &["listing"], &["synced"]] {
            seen.take(with(states));
        }
        assert_eq!(seen.sources["Pod in shop"], ["synced", "ended", "listing", "synced"]);
    }
}
