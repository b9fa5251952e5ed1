//! Envoy's validator as the oracle: whatever is written into manifests, what syncgate makes of it is configuration that Envoy accepts.
//! Routes are put together at random from values that are legal, nearly legal, or hostile; `syncgate check` translates them; `envoy --mode
//! validate` judges the result. A refusal is narrowed down to the one route that causes it.

mod generate;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use self::generate::Dice;
use crate::bed::Setup;
use crate::folder::Folder;
use crate::manifests;
use crate::scenario::say;
use crate::syncgate;

/// Routes that are translated and validated together.
const BATCH: usize = 40;
const ROUTE_CONFIGURATION: &str = "envoy.config.route.v3.RouteConfiguration";

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// This many batches.
    Batches(u32),
    /// This long.
    Elapsed(Duration),
}

/// Feeds batches made from `seed`, `seed + 1`, … to Envoy's validator. Fails at the first route whose translation it refuses.
pub async fn run(setup: &Setup, seed: u64, until: Until) -> Result<()> {
    let home = setup.work.join(format!("fuzz-{seed}"));
    let (start, mut batches, mut served) = (Instant::now(), 0, 0);
    let more = |batches: u32| match until {
        Until::Batches(count) => batches < count,
        Until::Elapsed(time) => start.elapsed() < time,
    };
    while more(batches) {
        let seed = seed + u64::from(batches);
        let mut dice = Dice::new(seed);
        let routes: Vec<Value> = (0..BATCH).map(|number| generate::route(&mut dice, number)).collect();
        let trial = Trial { setup, home: home.clone(), gateway: generate::gateway(&mut dice) };
        match trial.judge(&routes).await? {
            Ok(routes) => served += routes,
            Err(refusal) => bail!("seed {seed}: {}", trial.narrow(routes, refusal).await?),
        }
        batches += 1;
    }
    say(&format!(
        "fuzz: {batches} batches of {BATCH} routes, {served} Envoy routes, all accepted, in {:.1?}",
        start.elapsed()
    ));
    ensure!(served > 0, "nothing was served of {batches} batches: the generator makes no legal route");
    Ok(())
}

/// One Gateway and what is tried on it.
struct Trial<'a> {
    setup: &'a Setup,
    home: PathBuf,
    gateway: Value,
}

/// What Envoy had against a configuration.
type Refusal = String;

impl Trial<'_> {
    /// Translates and validates; the number of Envoy routes, or Envoy's refusal.
    async fn judge(&self, routes: &[Value]) -> Result<Result<usize, Refusal>> {
        let resources = self.translate(routes).await?;
        let bootstrap = bootstrap(&resources);
        let file = self.home.join("validate.json");
        std::fs::write(&file, bootstrap.to_string())?;
        let mut command = Command::new(&self.setup.envoy);
        command.args(["--mode", "validate", "--log-level", "warning", "--disable-hot-restart", "-c"]).arg(&file);
        let output = command.output().await.with_context(|| format!("run {}", self.setup.envoy.display()))?;
        if output.status.success() {
            let is_route = |resource: &&Value| type_of(resource).ends_with(ROUTE_CONFIGURATION);
            return Ok(Ok(resources.iter().filter(is_route).map(routes_in).sum()));
        }
        Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The resources that `syncgate check` makes of the routes.
    async fn translate(&self, routes: &[Value]) -> Result<Vec<Value>> {
        let folder = self.home.join("manifests");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let folder = Folder::create(folder)?;
        let base = [manifests::gateway_class(), manifests::namespace(manifests::NAMESPACE), self.gateway.clone()];
        folder.write("gateway.yaml", &base)?;
        folder.write("services.yaml", &generate::services())?;
        folder.write("routes.yaml", routes)?;
        syncgate::translated(&self.setup.syncgate, folder.path()).await
    }

    /// The one route that is refused, with its refusal; the whole batch's where only several together are.
    async fn narrow(&self, routes: Vec<Value>, whole: Refusal) -> Result<String> {
        for route in &routes {
            if let Err(refusal) = self.judge(std::slice::from_ref(route)).await? {
                return Ok(format!("Envoy refuses what this route becomes:\n{route:#}\n{refusal}"));
            }
        }
        let folder = self.home.display();
        self.judge(&routes).await?.err().map_or_else(
            || Ok(format!("Envoy refused a batch once and not again:\n{whole}")),
            |refusal| Ok(format!("Envoy refuses what these routes become together (see {folder}):\n{refusal}")),
        )
    }
}

fn type_of(resource: &Value) -> &str {
    resource["@type"].as_str().unwrap_or_default()
}

fn routes_in(configuration: &Value) -> usize {
    let hosts = configuration["virtual_hosts"].as_array().into_iter().flatten();
    hosts.map(|host| host["routes"].as_array().map_or(0, Vec::len)).sum()
}

/// A bootstrap with the resources standing in it: listeners and clusters as they are, and each route configuration in a listener of its own.
fn bootstrap(resources: &[Value]) -> Value {
    let untyped = |resource: &Value| {
        let mut resource = resource.clone();
        resource.as_object_mut().map(|fields| fields.remove("@type"));
        resource
    };
    let of_type = |name: &'static str| resources.iter().filter(move |resource| type_of(resource).ends_with(name));
    let mut listeners: Vec<Value> = of_type("envoy.config.listener.v3.Listener").map(untyped).collect();
    listeners.extend((0..).zip(of_type(ROUTE_CONFIGURATION)).map(|(number, routes)| holder(number, untyped(routes))));
    let mut clusters: Vec<Value> = of_type("envoy.config.cluster.v3.Cluster").map(untyped).collect();
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    clusters.push(json!({
        "name": "syncgate", "type": "STATIC",
        "load_assignment": {"cluster_name": "syncgate", "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 18000}}}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }));
    json!({
        "node": {"id": "fuzz", "cluster": manifests::GATEWAY},
        "dynamic_resources": {"ads_config": {
            "api_type": "GRPC", "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "syncgate"}}],
        }},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

fn holder(number: u16, mut routes: Value) -> Value {
    routes["validate_clusters"] = false.into();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "fuzz", "route_config": routes,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    json!({
        "name": format!("fuzz-{number}"),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20000 + number}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    })
}
