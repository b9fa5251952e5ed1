//! Objects by the ten thousand: the program `kube copy-objects` multiplies what the API server stored, in etcd, while
//! the server runs. By the API a pod costs the processors 7 ms (it takes two requests) and an `HTTPRoute` 6 ms; a copy
//! of either costs a third of one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::names::PodName;
use super::writer::Count;

/// How long it may take for all of them.
const LIMIT: Duration = Duration::from_secs(600);

/// Where the API server stores its objects, and what can write there.
#[derive(Debug, Clone)]
pub struct Etcd {
    /// The folder of the program, as `SYNCGATE_KUBE` names it.
    pub kube: PathBuf,
    /// Where etcd listens, such as `http://127.0.0.1:2379`.
    pub url: String,
}

/// An object that is stored, and what each of its copies differs in.
#[derive(Debug)]
pub(super) struct Group {
    /// Where etcd has the kind, such as `pods`.
    pub(super) resource: &'static str,
    pub(super) namespace: String,
    pub(super) like: String,
    pub(super) copies: Vec<Value>,
}

impl Group {
    fn line(&self) -> String {
        let Self { resource, namespace, like, copies } = self;
        format!("{}\n", json!({"resource": resource, "namespace": namespace, "like": like, "copies": copies}))
    }
}

/// How a copy of a pod differs.
pub(super) fn of_pod(of: &PodName) -> Value {
    json!({"name": of.name, "uid": of.uid, "ip": of.ip, "node": of.node, "hostIP": of.host_ip})
}

/// How a copy of a custom object differs: in what is another in `wanted`.
pub(super) fn of_custom(wanted: &Value, uid: &str) -> Value {
    json!({"name": wanted["metadata"]["name"], "uid": uid, "spec": wanted["spec"]})
}

/// What the program says of its progress.
#[derive(Debug, Default, Deserialize)]
struct Progress {
    written: u64,
    existing: u64,
    bytes: u64,
    done: bool,
}

/// Writes all copies of a kind, and says how many and of how many bytes on average.
pub(super) async fn write(etcd: &Etcd, kind: &str, groups: Vec<Group>) -> Result<(Count, u64)> {
    let program = etcd.kube.join("kube");
    let since = Instant::now();
    let mut child = Command::new(&program)
        .args(["copy-objects", "--etcd", &etcd.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let input = child.stdin.take().context("standard input is piped")?;
    let output = child.stdout.take().context("standard output is piped")?;
    let work = async {
        // A write that fails is a program that ended; why, it says itself.
        let (_, last, ended) = tokio::join!(send(input, groups), follow(output, kind, since), child.wait_with_output());
        let ended = ended?;
        let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "{} copy-objects ended with {}: {complaint}", program.display(), ended.status);
        last
    };
    let last =
        tokio::time::timeout(LIMIT, work).await.with_context(|| format!("copies take longer than {LIMIT:?}"))??;
    ensure!(last.done, "copy-objects ended before it was done: {last:?}");
    let count = Count { created: last.written, existing: last.existing, elapsed: since.elapsed() };
    Ok((count, last.bytes / last.written.max(1)))
}

async fn send(input: ChildStdin, groups: Vec<Group>) -> Result<()> {
    let mut input = BufWriter::new(input);
    for group in groups {
        input.write_all(group.line().as_bytes()).await?;
    }
    input.shutdown().await?;
    Ok(())
}

async fn follow(output: ChildStdout, kind: &str, since: Instant) -> Result<Progress> {
    let (mut lines, mut last) = (BufReader::new(output).lines(), Progress::default());
    while let Some(line) = lines.next_line().await? {
        last = serde_json::from_str(&line).with_context(|| format!("copy-objects said {line}"))?;
        let (written, existing) = (last.written, last.existing);
        if !last.done {
            eprintln!("{kind}: {}", Count { created: written, existing, elapsed: since.elapsed() });
        }
    }
    Ok(last)
}
