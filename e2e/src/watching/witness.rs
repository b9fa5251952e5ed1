//! Somebody who looks at a syncgate all the time, and notes what must not be: that it is not ready, or that rows are missing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::http;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Where each source stands and how many rows it holds, those on demand too.
pub type Sources = BTreeMap<String, (String, u64)>;

/// Reads the page of sources.
pub async fn sources(admin: SocketAddr) -> Result<Sources> {
    let answer = http::get(admin, "localhost", "/debug/sources").await?;
    ensure!(answer.status == 200, "/debug/sources is {}", answer.status);
    let page: Value = serde_json::from_slice(&answer.body)?;
    let mut sources = Sources::new();
    for source in page["sources"].as_array().into_iter().flatten() {
        let text = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
        sources.insert(text("source"), (text("state"), source["rows"].as_u64().unwrap_or_default()));
    }
    Ok(sources)
}

/// Of these only the rows.
#[must_use]
pub fn rows(sources: &Sources) -> BTreeMap<String, u64> {
    sources.iter().map(|(name, (_, rows))| (name.clone(), *rows)).collect()
}

/// The looks, which go on until it is dropped.
#[derive(Debug)]
pub struct Witness {
    notes: Arc<Mutex<Notes>>,
    looks: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Notes {
    looks: usize,
    /// The first thing that must not be.
    wrong: Option<String>,
}

impl Witness {
    /// Looks at the probe from now on, and at the rows if it is told which there are to be.
    #[must_use]
    pub fn start(health: SocketAddr, rows: Option<(SocketAddr, BTreeMap<String, u64>)>) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let kept = Arc::clone(&notes);
        let looks = tokio::spawn(async move {
            loop {
                note(&kept, look(health, rows.as_ref()).await);
                sleep(EVERY).await;
            }
        });
        Self { notes, looks }
    }

    /// Fails with the first thing that was wrong, and when nothing was looked at.
    pub fn ensure_clean(&self) -> Result<()> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(notes.looks > 0, "nothing was looked at");
        if let Some(wrong) = &notes.wrong {
            bail!("{wrong}");
        }
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.looks.abort();
    }
}

fn note(notes: &Mutex<Notes>, look: Result<()>) {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.looks += 1;
    if let (Err(reason), None) = (look, &notes.wrong) {
        notes.wrong = Some(format!("{reason:#}"));
    }
}

async fn look(health: SocketAddr, expected: Option<&(SocketAddr, BTreeMap<String, u64>)>) -> Result<()> {
    let ready = http::get(health, "syncgate", "/readyz?verbose").await?;
    ensure!(ready.status == 200, "/readyz is {}: {}", ready.status, ready.text());
    if let Some((admin, expected)) = expected {
        let held = rows(&sources(*admin).await?);
        ensure!(held == *expected, "the sources hold {held:?} instead of {expected:?}");
    }
    Ok(())
}
