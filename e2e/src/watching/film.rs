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

/// The states in turn, by source and by namespace, without repetitions.
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
            let mut seen = lock(&seen);
            for (name, source) in picture.sources {
                note(seen.sources.entry(name).or_default(), source.state);
            }
            for (name, life) in picture.namespaces {
                note(seen.namespaces.entry(name).or_default(), life.state);
            }
        }
        sleep(EVERY).await;
    }
}

fn note(states: &mut Vec<String>, state: String) {
    if states.last() != Some(&state) {
        states.push(state);
    }
}
