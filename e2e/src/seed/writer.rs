//! Creates objects through the API server, many at a time; what is there already is left as it is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::http::Answer;
use crate::kube::api::Api;
use crate::kube::resource::Resource;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(5);

/// An object after its creation.
#[derive(Debug)]
pub(super) enum Made {
    /// It was created, and is this now.
    New(Value),
    /// The name was taken.
    Taken,
}

/// Creates an object in the name of a field manager.
pub(super) async fn create(api: &Api, resource: &Resource, object: &Value, manager: &str) -> Result<Made> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let path = format!("{}?fieldManager={manager}", resource.collection(namespace));
    let answer = api.raw(Method::POST, &path, Some(object)).await?;
    match answer.status {
        409 => Ok(Made::Taken),
        _ => {
            let what = || format!("create {} {namespace}/{}", resource.kind, object["metadata"]["name"]);
            accepted(&answer).with_context(what).map(Made::New)
        }
    }
}

/// Writes the status of an object that was just read or created.
pub(super) async fn write_status(api: &Api, resource: &Resource, object: &Value, manager: &str) -> Result<()> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    let path = format!("{}/status?fieldManager={manager}", resource.object(namespace, name));
    let answer = api.raw(Method::PUT, &path, Some(object)).await?;
    accepted(&answer).with_context(|| format!("status of {} {namespace}/{name}", resource.kind)).map(drop)
}

fn accepted(answer: &Answer) -> Result<Value> {
    if !(200..300).contains(&answer.status) {
        bail!("{}: {}", answer.status, answer.text());
    }
    Ok(serde_json::from_slice(&answer.body)?)
}

/// How many objects of a kind there are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// That were created.
    pub created: u64,
    /// That were there already.
    pub existing: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.created as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON);
        write!(f, "{} created in {:.1?} ({rate:.0}/s)", self.created, self.elapsed)?;
        if self.existing > 0 {
            write!(f, ", {} were there", self.existing)?;
        }
        Ok(())
    }
}

/// Does the jobs for objects of a kind, at most `at_once` at a time, and counts those that say that they created one.
/// The first failure ends it.
pub(super) async fn do_all<J>(kind: &str, at_once: usize, jobs: impl IntoIterator<Item = J>) -> Result<Count>
where
    J: Future<Output = Result<bool>> + Send + 'static,
{
    let (since, mut told) = (Instant::now(), Instant::now());
    let (mut jobs, mut under_way, mut count) = (jobs.into_iter(), JoinSet::new(), Count::default());
    loop {
        while under_way.len() < at_once.max(1)
            && let Some(job) = jobs.next()
        {
            under_way.spawn(job);
        }
        let Some(ended) = under_way.join_next().await else { break };
        if ended?? {
            count.created += 1;
        } else {
            count.existing += 1;
        }
        count.elapsed = since.elapsed();
        if told.elapsed() > EVERY {
            told = Instant::now();
            eprintln!("{kind}: {count}");
        }
    }
    Ok(count)
}

/// The counts of all kinds, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(pub(super) BTreeMap<&'static str, Count>);

impl Counts {
    pub(super) fn add(&mut self, kind: &'static str, count: Count) {
        let total = self.0.entry(kind).or_default();
        total.created += count.created;
        total.existing += count.existing;
        total.elapsed += count.elapsed;
        eprintln!("{kind}: {total}");
    }
}
