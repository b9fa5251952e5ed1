//! Everything that a folder can say, said by a Kubernetes API server to a syncgate that has no more rights than `deploy/rbac` grants: Services
//! before and after their routes, pods that are replaced, routes that move, a certificate that comes late and is renewed, authorities of
//! clients, a reference into another namespace. Under load, on the newest and the oldest Envoy at once: no request fails, none is answered by a wrong backend.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use syncgate_e2e::certificates::{Authority, Certified};
use syncgate_e2e::http::{Answer, Connection};
use syncgate_e2e::kube::audit::Audit;
use syncgate_e2e::kube::objects::{pod, service};
use syncgate_e2e::kube::resource::{CONFIG_MAPS, GATEWAYS, PODS, SECRETS, SERVICES};
use syncgate_e2e::kube_bed::objects::{grant, http, https, route, rule_into};
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::load::{Allowed, Call, Load, Tls};
use syncgate_e2e::manifests::{BACKEND_PORT, HTTP_PORT, NAMESPACE, rule};
use syncgate_e2e::scenario::Release;
use syncgate_e2e::settled::PATIENCE;
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::wait::eventually;
use tokio::time::sleep;

const HOST: &str = "shop.example.com";
const BYSTANDER: &str = "blog.example.com";
const SECURE: &str = "secure.example.com";
const HTTPS_PORT: u16 = 8443;
/// The ConfigMap with the authority of clients.
const CLIENTS: &str = "clients";
/// The other namespace.
const OTHER: &str = "other";
/// Both Gateways.
const GATEWAYS_OF_ALL: [&str; 2] = ["newest", "oldest"];
/// Requests a second at each Gateway: scheduled, and required because two cores carry everything.
const RATE: u32 = 200;
const REQUIRED: f64 = 150.0;
/// How far a route runs ahead of what it refers to.
const AHEAD: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_namespaces() -> Result<()> {
    play("k8s-traffic-cluster", Scope::Cluster, Variant::Delta).await
}

/// The other namespace is not watched: its grants, its Service and its pods are read because the route refers to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_namespace_by_name() -> Result<()> {
    play("k8s-traffic-named", Scope::Names { watched: vec![NAMESPACE], foreign: vec![OTHER] }, Variant::Sotw).await
}

/// A running world with its loads.
struct Show {
    bed: KubeBed,
    shop: Allowed,
    loads: Vec<Load>,
    /// Whether namespaces are watched one by one.
    namespaced: bool,
}

async fn play(name: &str, scope: Scope, variant: Variant) -> Result<()> {
    let Some(setup) = Setup::installed(name, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let mut show = begin(&setup, name, scope, variant).await?;
    show.bed.answered_by(HOST, "/", "v0").await?;
    show.load().await?;
    show.service_pod_and_route_in_any_order().await?;
    show.pods_are_replaced().await?;
    show.a_certificate_comes_late_and_is_renewed().await?;
    show.clients_have_to_prove_who_they_are().await?;
    show.a_reference_into_another_namespace().await?;
    show.bed.converged().await?;
    show.rights_sufficed()?;
    for load in std::mem::take(&mut show.loads) {
        let report = load.stop().await?;
        eprintln!("{name}: {report}");
        report.ensure_clean(REQUIRED).map_err(|reason| show.bed.with_logs(reason))?;
    }
    Ok(())
}

/// From nothing: the pods, Services and routes are created while everything runs already.
async fn begin(setup: &Setup, name: &str, scope: Scope, variant: Variant) -> Result<Show> {
    let namespaced = scope != Scope::Cluster;
    let mut bed = KubeBed::start(setup, name, scope).await?;
    bed.namespace(OTHER).await?;
    for gateway in GATEWAYS_OF_ALL {
        bed.gateway(gateway, &[]).await?;
    }
    bed.add_replica().await?;
    bed.start_envoy("newest", Release::Newest, variant).await?;
    bed.start_envoy("oldest", Release::Oldest, variant).await?;
    for name in ["blog", "v0"] {
        bed.deploy(NAMESPACE, name).await?;
    }
    let show = Show { bed, shop: Allowed::only(["v0"]), loads: Vec::new(), namespaced };
    show.moves_to(&[rule("/", "v0")]).await?;
    show.bed.apply(&[route(NAMESPACE, "blog", BYSTANDER, &GATEWAYS_OF_ALL, &[rule("/", "blog")])]).await?;
    show.bed.answered_by(BYSTANDER, "/", "blog").await?;
    Ok(show)
}

impl Show {
    async fn load(&mut self) -> Result<()> {
        let call =
            |host: &str, allowed: &Allowed| Call { host: host.into(), path: "/".into(), allowed: allowed.clone() };
        for gateway in GATEWAYS_OF_ALL {
            let calls = vec![call(HOST, &self.shop), call(BYSTANDER, &Allowed::only(["blog"]))];
            self.loads.push(self.bed.load(gateway, RATE, calls).await?);
        }
        Ok(())
    }

    /// Nothing was refused, and where namespaces are watched one by one nothing was asked of all of them.
    fn rights_sufficed(&self) -> Result<()> {
        let asked = self.bed.asked()?;
        for resource in ["secrets", "configmaps"] {
            let mut read = asked.iter().filter(|event| event.resource == resource && event.code == 200);
            ensure!(read.next().is_some(), "no {resource} were read");
        }
        // Each by its name (the server takes it from the field selector), whatever the scope.
        let by_object = ["secrets", "configmaps"];
        let all = asked.iter().find(|event| by_object.contains(&event.resource.as_str()) && event.name.is_empty());
        ensure!(all.is_none(), "{all:#?}");
        let read = asked.iter().filter(|event| event.resource == "configmaps");
        let names: BTreeSet<&str> = read.map(|event| event.name.as_str()).collect();
        ensure!(names == [CLIENTS].into(), "{names:?}");
        let refused = asked.iter().find(|event| event.code == 403);
        ensure!(refused.is_none(), "{refused:#?}");
        let of_all = |event: &&Audit| {
            let without_namespaces = ["gatewayclasses", "namespaces", "selfsubjectaccessreviews"];
            event.namespace.is_empty()
                && !event.resource.is_empty()
                && !without_namespaces.contains(&event.resource.as_str())
        };
        let of_all = asked.iter().find(of_all);
        ensure!(!self.namespaced || of_all.is_none(), "{of_all:#?}");
        Ok(())
    }

    async fn moves_to(&self, rules: &[Value]) -> Result<()> {
        self.bed.apply(&[route(NAMESPACE, "shop", HOST, &GATEWAYS_OF_ALL, rules)]).await
    }

    /// Waits until `new` alone answers, and looks at the loads.
    async fn arrived(&self, new: &'static str, what: &str) -> Result<()> {
        self.bed.answered_by(HOST, "/", new).await.map_err(|reason| reason.context(what.to_owned()))?;
        self.shop.set([new]);
        sleep(AHEAD).await;
        let clean = self.loads.iter().try_for_each(Load::ensure_clean_so_far);
        clean.map_err(|reason| self.bed.with_logs(reason.context(what.to_owned())))
    }

    /// Service, pod and route come one after the other, each of them last once.
    async fn service_pod_and_route_in_any_order(&mut self) -> Result<()> {
        let versions = ["v0", "v1", "v2", "v3", "v4"];
        for (turn, pair) in versions.windows(2).enumerate() {
            let (old, new) = (pair[0], pair[1]);
            let [service, pod] = self.bed.world(NAMESPACE, new).await?;
            let (api, rules) = (self.bed.api(), [rule("/", new)]);
            self.shop.set([old, new]);
            match turn {
                0 => {
                    api.create_with_status(&pod).await?;
                    self.moves_to(&rules).await?;
                    sleep(AHEAD).await;
                    api.create(&service).await?;
                }
                1 => {
                    api.create(&service).await?;
                    self.moves_to(&rules).await?;
                    sleep(AHEAD).await;
                    api.create_with_status(&pod).await?;
                }
                2 => {
                    self.moves_to(&rules).await?;
                    sleep(AHEAD).await;
                    api.create(&service).await?;
                    api.create_with_status(&pod).await?;
                }
                _ => {
                    api.create(&service).await?;
                    api.create_with_status(&pod).await?;
                    self.moves_to(&rules).await?;
                }
            }
            self.arrived(new, &format!("from {old} to {new}")).await?;
            self.bed.api().delete(&SERVICES, NAMESPACE, old).await?;
            self.bed.api().delete(&PODS, NAMESPACE, &format!("{old}-0")).await?;
        }
        Ok(())
    }

    /// As a Deployment does it: the new pod is ready before the old one is told to end, and that one serves until its grace is over.
    async fn pods_are_replaced(&mut self) -> Result<()> {
        for (old, new) in [("v4", "pod-1"), ("pod-1", "pod-2")] {
            let ip = self.bed.backend(new).await?;
            self.shop.set([old, new]);
            self.bed.api().create_with_status(&pod(NAMESPACE, &format!("{new}-0"), "v4", ip, BACKEND_PORT)).await?;
            let grace = json!({"gracePeriodSeconds": 30});
            self.bed.api().delete_with(&PODS, NAMESPACE, &format!("{old}-0"), &grace).await?;
            self.arrived(new, &format!("the pod of {new} replaces that of {old}")).await?;
            self.bed.api().delete(&PODS, NAMESPACE, &format!("{old}-0")).await?;
        }
        Ok(())
    }

    async fn a_certificate_comes_late_and_is_renewed(&mut self) -> Result<()> {
        let authority = Authority::new()?;
        let listeners = [http("http", HTTP_PORT), https(HTTPS_PORT, SECURE, "secure")];
        let listener = json!({"spec": {"listeners": listeners}});
        self.bed.api().patch(&GATEWAYS, NAMESPACE, "newest", &listener).await?;
        self.bed.apply(&[route(NAMESPACE, "secure", SECURE, &GATEWAYS_OF_ALL, &[rule("/", "blog")])]).await?;
        sleep(AHEAD).await;
        self.bed.api().create(&authority.secret(NAMESPACE, "secure", SECURE)?).await?;
        let tls = Tls { server_name: SECURE.to_owned(), roots: authority.roots()?, own: None };
        let calls = vec![Call { host: SECURE.into(), path: "/".into(), allowed: Allowed::only(["blog"]) }];
        let load = async || self.bed.load_tls("newest", HTTPS_PORT, tls.clone(), 20, calls.clone()).await;
        let load = eventually("TLS by the Secret that came", PATIENCE, load).await;
        let load = load.map_err(|reason| self.bed.with_logs(reason))?;

        let renewed = Authority::new()?;
        let secret = renewed.secret(NAMESPACE, "secure", SECURE)?;
        self.bed.api().patch(&SECRETS, NAMESPACE, "secure", &json!({"data": secret["data"]})).await?;
        let tls = Tls { server_name: SECURE.to_owned(), roots: renewed.roots()?, own: None };
        let later = async || self.bed.load_tls("newest", HTTPS_PORT, tls.clone(), 20, calls.clone()).await;
        let later = eventually("TLS by the renewed Secret", PATIENCE, later).await;
        let later = later.map_err(|reason| self.bed.with_logs(reason))?;
        sleep(Duration::from_secs(1)).await;
        for load in [load, later] {
            load.stop().await?.ensure_clean(0.0).map_err(|reason| self.bed.with_logs(reason))?;
        }
        Ok(())
    }

    /// The Gateway says so before the authority is there. It is replaced; what nobody refers to any more is not read.
    async fn clients_have_to_prove_who_they_are(&mut self) -> Result<()> {
        let (server, authority, renewed) = (Authority::new()?, Authority::new()?, Authority::new()?);
        let secret = server.secret(NAMESPACE, "secure", SECURE)?;
        self.bed.api().patch(&SECRETS, NAMESPACE, "secure", &json!({"data": secret["data"]})).await?;
        self.bed.api().create(&Authority::config_map(NAMESPACE, "unused", &[&server])).await?;
        let refs = json!([{"group": "", "kind": "ConfigMap", "name": CLIENTS}]);
        let frontend = json!({"default": {"validation": {"caCertificateRefs": refs}}});
        self.bed.api().patch(&GATEWAYS, NAMESPACE, "newest", &json!({"spec": {"tls": {"frontend": frontend}}})).await?;
        sleep(AHEAD).await;
        self.bed.api().create(&Authority::config_map(NAMESPACE, CLIENTS, &[&authority])).await?;
        let (old, new) = (authority.client("spiffe://shop/old")?, renewed.client("spiffe://shop/new")?);
        let at = (self.bed.http("newest")?.ip(), HTTPS_PORT).into();
        let get = async |own: Option<&Certified>| {
            Connection::open_tls_as(at, SECURE, server.roots()?, own).await?.get(SECURE, "/").await
        };
        self.lets_in_only(&get, &old, &[None, Some(&new)]).await?;
        let data = Authority::config_map(NAMESPACE, CLIENTS, &[&renewed])["data"].take();
        self.bed.api().patch(&CONFIG_MAPS, NAMESPACE, CLIENTS, &json!({"data": data})).await?;
        self.lets_in_only(&get, &new, &[None, Some(&old)]).await
    }

    async fn lets_in_only(
        &self,
        get: &impl AsyncFn(Option<&Certified>) -> Result<Answer>,
        right: &Certified,
        wrong: &[Option<&Certified>],
    ) -> Result<()> {
        let one = eventually("one client to be let in, and others not", PATIENCE, async || {
            let answer = get(Some(right)).await?;
            ensure!(answer.backend() == Some("blog"), "{} {}", answer.status, answer.text());
            for other in wrong {
                ensure!(get(*other).await.is_err(), "another client is let in");
            }
            Ok(())
        });
        one.await.map_err(|reason| self.bed.with_logs(reason))
    }

    /// The route is there before the grant and the Service are: until then it leads where it led.
    async fn a_reference_into_another_namespace(&mut self) -> Result<()> {
        let ip = self.bed.backend("foreign").await?;
        self.shop.set(["pod-2", "foreign"]);
        self.bed.api().create_with_status(&pod(OTHER, "foreign-0", "foreign", ip, BACKEND_PORT)).await?;
        self.moves_to(&[rule_into(OTHER, "foreign")]).await?;
        sleep(AHEAD).await;
        self.bed.api().create(&service(OTHER, "foreign", BACKEND_PORT)).await?;
        self.bed.api().create(&grant(OTHER, NAMESPACE)).await?;
        self.arrived("foreign", "into another namespace").await
    }
}
