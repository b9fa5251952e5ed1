//! The proxy by hand: `syncgate-e2e faults`.

use std::fs;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Fault, Options, Proxy, When};

/// The help of the commands on standard input.
const COMMANDS: &str = "\
Commands on standard input, one a line:
  play NAME [ON]   play a fault instead of what was played before; ON as for --on
  clear            play nothing any more
  counts           say what was seen and done
A command ends the plan of --scenario and --for. The end of the input ends nothing; Ctrl-C ends the proxy.";

/// What `syncgate-e2e faults` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = COMMANDS)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The API server.
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:6443")]
    upstream: String,
    /// The PEM of the API server's authority.
    #[arg(long, value_name = "FILE")]
    upstream_ca: PathBuf,
    /// A kubeconfig whose current context leads to the API server with a bearer token.
    #[arg(long, value_name = "FILE", requires = "kubeconfig_out")]
    kubeconfig_in: Option<PathBuf>,
    /// Where to write the same one with the proxy as its server.
    #[arg(long, value_name = "FILE", requires = "kubeconfig_in")]
    kubeconfig_out: Option<PathBuf>,
    /// Faults to play one after the other, each as long as its --for says; the last one may have none and stays.
    #[arg(long, value_enum, value_name = "NAME")]
    scenario: Vec<Fault>,
    /// Seconds to play the scenario of the same place.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Vec<f64>,
    /// Play the scenarios on this resource alone: pods, shop/pods, httproutes.gateway.networking.k8s.io.
    #[arg(long, value_name = "[NAMESPACE/]RESOURCE")]
    on: Option<When>,
    /// What chances and delays are drawn from; from the clock if left out.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the proxy until Ctrl-C.
pub async fn run(arguments: Arguments) -> Result<()> {
    let plan = plan(&arguments.scenario, &arguments.seconds)?;
    let ca_file = &arguments.upstream_ca;
    let upstream_ca = fs::read_to_string(ca_file).with_context(|| format!("read {}", ca_file.display()))?;
    let options =
        Options { listen: arguments.listen, seed: arguments.seed, ..Options::new(&arguments.upstream, &upstream_ca) };
    let proxy = Proxy::start(&options).await?;
    if let (Some(from), Some(to)) = (&arguments.kubeconfig_in, &arguments.kubeconfig_out) {
        let text = fs::read_to_string(from).with_context(|| format!("read {}", from.display()))?;
        let text = kubeconfig(&text, &proxy).with_context(|| format!("kubeconfig {}", from.display()))?;
        // It holds tokens.
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
        file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write {}", to.display()))?;
        eprintln!("{} leads to it", to.display());
    }
    let mut lines = input();
    let on = arguments.on.unwrap_or_default();
    tokio::select! {
        outcome = serve(&proxy, plan, &on, &mut lines) => outcome?,
        outcome = tokio::signal::ctrl_c() => outcome.context("wait for Ctrl-C")?,
    }
    eprint!("{}", proxy.counts());
    Ok(())
}

/// Which fault is played for how long; the last one, without an end, may stay.
fn plan(faults: &[Fault], seconds: &[f64]) -> Result<Vec<(Fault, Option<Duration>)>> {
    ensure!(
        seconds.len() <= faults.len() && faults.len() <= seconds.len() + 1,
        "{} times --scenario and {} times --for: each scenario but the last needs its --for",
        faults.len(),
        seconds.len()
    );
    let durations = seconds.iter().map(|seconds| {
        Duration::try_from_secs_f64(*seconds).map(Some).with_context(|| format!("--for {seconds} is no time"))
    });
    faults.iter().copied().zip(durations.chain([Ok(None)])).map(|(fault, time)| Ok((fault, time?))).collect()
}

/// The lines of standard input. They are read by a thread of their own, because a read of a terminal cannot be given up.
fn input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Plays the plan and obeys the commands, for ever.
async fn serve(
    proxy: &Proxy,
    plan: Vec<(Fault, Option<Duration>)>,
    on: &When,
    lines: &mut mpsc::Receiver<String>,
) -> Result<()> {
    let first = tokio::select! {
        outcome = follow(proxy, plan, on) => { outcome?; None }
        Some(line) = commanding(proxy, lines) => Some(line),
    };
    if let Some(line) = first {
        obey(proxy, &line).await;
    }
    while let Some(line) = commanding(proxy, lines).await {
        obey(proxy, &line).await;
    }
    std::future::pending().await
}

/// The next line that plays or clears. `counts` is answered on the way, because it disturbs no plan.
async fn commanding(proxy: &Proxy, lines: &mut mpsc::Receiver<String>) -> Option<String> {
    loop {
        let line = lines.recv().await?;
        match line.trim() {
            "counts" => eprint!("{}", proxy.counts()),
            "" => {}
            _ => return Some(line),
        }
    }
}

async fn follow(proxy: &Proxy, plan: Vec<(Fault, Option<Duration>)>, on: &When) -> Result<()> {
    for (fault, time) in plan {
        proxy.play_on(fault, on).await?;
        let Some(time) = time else {
            eprintln!("playing {}", fault.name());
            return Ok(());
        };
        eprintln!("playing {} for {time:?}", fault.name());
        tokio::time::sleep(time).await;
        proxy.clear().await?;
        eprintln!("{} is over", fault.name());
    }
    Ok(())
}

async fn obey(proxy: &Proxy, line: &str) {
    match command(proxy, line).await {
        Ok(done) => eprintln!("{done}"),
        Err(reason) => eprintln!("{reason:#}"),
    }
}

async fn command(proxy: &Proxy, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["play", name, on @ ..] if on.len() <= 1 => {
            let Ok(fault) = Fault::from_str(name, false) else {
                bail!("no scenario is called {name:?}; --help lists them");
            };
            let on = on.first().map_or_else(|| Ok(When::default()), |on| on.parse())?;
            proxy.play_on(fault, &on).await?;
            Ok(format!("playing {name}"))
        }
        ["clear"] => {
            proxy.clear().await?;
            Ok("playing nothing".to_owned())
        }
        _ => bail!("{line:?} is no command; say play NAME [ON], clear or counts"),
    }
}

/// The kubeconfig `text` with the proxy as the server of its current context.
pub fn kubeconfig(text: &str, proxy: &Proxy) -> Result<String> {
    let mut config: Value = serde_saphyr::from_str(text).context("it is no YAML")?;
    let current = config["current-context"].as_str().context("it names no current-context")?.to_owned();
    let context = named(&mut config, "contexts", &current)?["context"].clone();
    let name = |field: &str| context[field].as_str().with_context(|| format!("context {current} names no {field}"));
    let user = name("user")?;
    for field in ["client-certificate", "client-certificate-data"] {
        ensure!(
            named(&mut config, "users", user)?["user"][field].is_null(),
            "user {user} has a {field}, which does not pass a proxy that ends TLS; give it a token"
        );
    }
    let cluster = &mut named(&mut config, "clusters", name("cluster")?)?["cluster"];
    let cluster = cluster.as_object_mut().with_context(|| format!("context {current} leads to no cluster"))?;
    for field in ["certificate-authority", "insecure-skip-tls-verify", "tls-server-name", "proxy-url"] {
        cluster.remove(field);
    }
    cluster.insert("server".to_owned(), json!(proxy.url()));
    cluster.insert("certificate-authority-data".to_owned(), json!(STANDARD.encode(proxy.ca())));
    serde_saphyr::to_string(&config).context("write it as YAML")
}

/// The entry of that name in a list of the kubeconfig.
fn named<'c>(config: &'c mut Value, list: &str, name: &str) -> Result<&'c mut Value> {
    let entries = config.get_mut(list).and_then(Value::as_array_mut);
    let mut entries = entries.into_iter().flatten();
    entries.find(|entry| entry["name"] == name).with_context(|| format!("it has no {name} among its {list}"))
}
