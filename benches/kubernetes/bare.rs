//! Listing and decoding what syncgate lists, and nothing else: no graph, no books, no snapshots. A process of its own does it, since
//! the program that it is compared with has to begin and to connect as well.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use syncgate::model::Kind;
use syncgate::watch::plural;
use syncgate::watch::wire::{Encoding, Pool, page};
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kubeconfig;
use tokio::task::JoinSet;

/// Objects in a page, as the product asks for them.
const PAGE: u32 = 500;

/// What makes this program a bare one.
const FLAG: &str = "--bare";

/// How long a bare run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// From its start to its end.
    pub(crate) whole: Duration,
    /// Of this the lists, from the first request on.
    pub(crate) lists: Duration,
}

/// Lists and decodes in a process of its own.
pub(crate) fn run(kubeconfig: &Path, encoding: Encoding) -> Result<Took> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(FLAG).arg(kubeconfig).arg(if encoding == Encoding::Json { "json" } else { "protobuf" });
    let start = Instant::now();
    let output = command.output()?;
    let whole = start.elapsed();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let nanos = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Took { whole, lists: Duration::from_nanos(nanos) })
}

/// Does so if this is such a process, and says how long the lists took. Says whether it is one.
pub(crate) async fn is_child() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, FLAG, kubeconfig, encoding] = &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return Ok(false);
    };
    let encoding = if *encoding == "json" { Encoding::Json } else { Encoding::Protobuf };
    let api = Api::new(&kubeconfig::read(Path::new(kubeconfig))?)?;
    println!("{}", list(&api, encoding).await?.as_nanos());
    Ok(true)
}

/// How long it takes to list and decode all kinds at once, each page by page. What is read is kept to the end of the process.
async fn list(api: &Api, encoding: Encoding) -> Result<Duration> {
    let start = Instant::now();
    let pool = std::sync::Arc::new(Pool::new());
    let mut kinds = JoinSet::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_by_object()) {
        let (api, pool) = (api.clone(), pool.clone());
        kinds.spawn(async move { pages(&api, kind, encoding, &pool).await });
    }
    let mut kept = Vec::new();
    while let Some(listed) = kinds.join_next().await {
        kept.push(listed??);
    }
    let took = start.elapsed();
    std::mem::forget(kept);
    Ok(took)
}

async fn pages(api: &Api, kind: Kind, encoding: Encoding, pool: &Pool) -> Result<Vec<syncgate::watch::wire::Item>> {
    let accept = match encoding {
        Encoding::Json => Encoding::Json.accept(),
        Encoding::Protobuf => Encoding::of_kind(kind).accept(),
    };
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut path = format!("{}?limit={PAGE}", collection(kind));
        if let Some(token) = &after {
            path.push_str("&continue=");
            path.push_str(token);
        }
        let answer = api.get_as(&path, accept).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        let content_type = answer.headers.get("content-type").context("no content type")?.to_str()?;
        let encoding = Encoding::of_content_type(content_type).context("an unknown encoding")?;
        let page = page(kind, encoding, &answer.body, pool)?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

fn collection(kind: Kind) -> String {
    match kind.group() {
        "" => format!("/api/v1/{}", plural(kind)),
        group => format!("/apis/{group}/v1/{}", plural(kind)),
    }
}
