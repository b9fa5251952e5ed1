//! The programs of the test bed, by hand.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use syncgate_e2e::backend::Backend;
use syncgate_e2e::bed::Setup;
use syncgate_e2e::churn;
use syncgate_e2e::demo::{self, Demo};
use syncgate_e2e::faults;
use syncgate_e2e::fleet;
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kube::{self, ControlPlane};
use syncgate_e2e::kubeconfig;
use syncgate_e2e::load::{Allowed, Call, Load, Plan};
use syncgate_e2e::scenario::Scenario;
use syncgate_e2e::seed;
use syncgate_e2e::syncgate::{self, Variant};
use tokio::signal::unix::{SignalKind, signal};

/// The test bed of syncgate: backends, load, demos and end-to-end scenarios on a real Envoy.
#[derive(Debug, Parser)]
#[command(name = "syncgate-e2e", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP and answer everything with who one is and what was asked; until Ctrl-C.
    Backend {
        /// Where to listen.
        #[arg(long, value_name = "IP:PORT")]
        listen: SocketAddr,
        /// The name to answer with.
        #[arg(long)]
        name: String,
    },
    /// Send requests at a constant rate and tell what came of them; exit code 1 if one failed or was answered by a wrong backend.
    Load {
        /// Where to send them.
        #[arg(long, value_name = "IP:PORT")]
        target: SocketAddr,
        /// The `Host` header.
        #[arg(long)]
        host: String,
        /// Path and query.
        #[arg(long, default_value = "/")]
        path: String,
        /// Requests a second.
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// Keep-alive connections.
        #[arg(long, default_value_t = 16)]
        connections: u32,
        /// For how many seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Names of the backends that may answer.
        #[arg(long, required = true, value_delimiter = ',')]
        backends: Vec<String>,
    },
    /// Run an example: the programs behind its pods, syncgate and Envoy; until Ctrl-C.
    Demo {
        /// Assert every line of the example's requests.txt and exit.
        #[arg(long)]
        check: bool,
        /// The folder of the example.
        #[arg(long, default_value = "examples/quickstart", value_name = "DIR")]
        example: PathBuf,
        #[command(flatten)]
        on: On,
    },
    /// Run a Kubernetes API server without nodes; until Ctrl-C.
    Kube {
        /// The folder of the program and of Gateway API's CRDs.
        #[arg(long, env = "SYNCGATE_KUBE", value_name = "DIR")]
        kube: PathBuf,
        /// Where kubeconfigs, data and logs are kept, in a folder `kube` that is emptied first.
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// How many users there are beside the administrator: user-0, user-1, …
        #[arg(long, default_value_t = kube::IDENTITIES)]
        identities: usize,
        /// Leave out Gateway API's CRDs.
        #[arg(long)]
        no_crds: bool,
        /// Run kube-controller-manager as well.
        #[arg(long)]
        controllers: bool,
        /// One more flag of kube-apiserver, such as --server-flag=--watch-cache=false; may be repeated.
        #[arg(long = "server-flag", value_name = "FLAG", allow_hyphen_values = true)]
        server_flags: Vec<String>,
    },
    /// Fill an API server with namespaces, Services, pods, Secrets, Gateways and HTTPRoutes; again for more.
    Seed {
        /// Who creates them, as the command `kube` writes it: an administrator.
        #[arg(long, value_name = "FILE")]
        kubeconfig: PathBuf,
        /// The etcd of that server, such as http://127.0.0.1:2379: most pods and routes are then written there.
        #[arg(long, value_name = "URL", requires = "kube")]
        etcd: Option<String>,
        /// The folder of the program that writes them.
        #[arg(long, env = "SYNCGATE_KUBE", value_name = "DIR")]
        kube: Option<PathBuf>,
        #[command(flatten)]
        plan: seed::Plan,
    },
    /// Keep an API server changing for a while; exit code 1 if it refused a change.
    Churn {
        #[command(subcommand)]
        what: Churn,
    },
    /// Play one scenario, or all of them.
    Scenario {
        /// Which; all of them if left out.
        #[arg(value_enum)]
        name: Option<Scenario>,
        #[command(flatten)]
        on: On,
    },
    /// Connect many clients of ADS to a server and tell how long they waited for what.
    Fleet(Box<fleet::command::Arguments>),
    /// Stand between a client and an API server and play faults; until Ctrl-C.
    Faults(Box<faults::Arguments>),
}

/// What changes.
#[derive(Debug, Subcommand)]
enum Churn {
    /// Change pods at a constant rate: their readiness, their addresses, the pods themselves, or nothing that matters.
    Pods {
        /// Who changes them, as the command `kube` writes it: an administrator.
        #[arg(long, value_name = "FILE")]
        kubeconfig: PathBuf,
        #[command(flatten)]
        plan: churn::pods::Plan,
    },
    /// Make namespaces and delete them again, as continuous integration does.
    Namespaces {
        /// Who makes them, as the command `kube` writes it: an administrator.
        #[arg(long, value_name = "FILE")]
        kubeconfig: PathBuf,
        #[command(flatten)]
        plan: churn::namespaces::Plan,
    },
}

/// What a demo or a scenario runs on.
#[derive(Debug, clap::Args)]
struct On {
    /// The Envoy.
    #[arg(long, env = "SYNCGATE_ENVOY", value_name = "PATH")]
    envoy: PathBuf,
    /// How Envoy talks to syncgate.
    #[arg(long, value_enum, default_value = "delta")]
    variant: Variant,
    /// The syncgate to run; the one built beside this program if left out.
    #[arg(long, value_name = "PATH")]
    syncgate: Option<PathBuf>,
    /// Where folders and logs are kept.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

impl On {
    fn setup(self) -> Result<Setup> {
        let work = self.work.unwrap_or_else(|| std::env::temp_dir().join("syncgate-e2e"));
        let syncgate = self.syncgate.map_or_else(syncgate::built_program, Ok)?;
        Ok(Setup { envoy: self.envoy, variant: self.variant, syncgate, work })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Backend { listen, name } => {
            let backend = Backend::start(&name, listen).await?;
            eprintln!("{name} listens on {}; Ctrl-C ends it", backend.address());
            tokio::signal::ctrl_c().await.context("wait for Ctrl-C")
        }
        Command::Load { target, host, path, rate, connections, seconds, backends } => {
            let allowed = Allowed::any_of(backends.into_iter().collect::<BTreeSet<String>>());
            let plan = Plan { target, tls: None, rate, connections, calls: vec![Call { host, path, allowed }] };
            eprintln!("{rate} requests/s to {target} for {seconds} s");
            let load = Load::start(plan).await?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let report = load.stop().await?;
            eprintln!("{report}");
            report.ensure_clean(0.0)
        }
        Command::Demo { check: true, example, on } => {
            Demo::check(&on.setup()?, &example).await?;
            eprintln!("{}: every answer is as its requests.txt says", example.display());
            Ok(())
        }
        Command::Demo { check: false, example, on } => demo::live(&on.setup()?, &example, &mut std::io::stdout()).await,
        Command::Kube { kube, home, identities, no_crds, controllers, server_flags } => {
            let identities = kube::users(identities);
            serve(kube::Options { kube, home, server_flags, crds: !no_crds, controllers, identities }).await
        }
        Command::Seed { kubeconfig, etcd, kube, plan } => {
            let api = Api::new(&kubeconfig::read(&kubeconfig)?)?;
            let etcd = etcd.zip(kube).map(|(url, kube)| seed::Etcd { kube, url });
            let report = seed::fill(&api, &plan, etcd.as_ref()).await?;
            eprintln!("{report}");
            Ok(())
        }
        Command::Churn { what: Churn::Pods { kubeconfig, plan } } => {
            let api = Api::new(&kubeconfig::read(&kubeconfig)?)?;
            let report = churn::pods::run(&api, &plan).await?;
            eprintln!("{report}");
            report.ensure_clean()
        }
        Command::Churn { what: Churn::Namespaces { kubeconfig, plan } } => {
            let api = Api::new(&kubeconfig::read(&kubeconfig)?)?;
            let report = churn::namespaces::run(&api, &plan).await?;
            eprintln!("{report}");
            report.ensure_clean()
        }
        Command::Scenario { name, on } => {
            let setup = on.setup()?;
            let chosen = name.map_or_else(|| Scenario::value_variants().to_vec(), |name| vec![name]);
            for scenario in chosen {
                scenario.play(&setup).await?;
            }
            Ok(())
        }
        Command::Fleet(arguments) => fleet::command::run(*arguments).await,
        Command::Faults(arguments) => faults::run(*arguments).await,
    }
}

/// Runs a control plane until Ctrl-C.
async fn serve(options: kube::Options) -> Result<()> {
    let users = options.identities.clone();
    let plane = ControlPlane::start(options).await?;
    for user in &users {
        plane.identity(user)?.kubeconfig(&plane.home().join(format!("{user}.kubeconfig")))?;
    }
    let home = plane.home().display();
    eprintln!("kubeconfig of the administrator, who may do everything: {home}/admin.kubeconfig");
    if let (Some(first), Some(last)) = (users.first(), users.last()) {
        eprintln!("those of {first} to {last}, who may do nothing yet, are beside it");
    }
    eprintln!("requests are on record in {home}/audit.log; Ctrl-C ends it");
    // A plain `kill` must end its parts as well.
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended.context("wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
