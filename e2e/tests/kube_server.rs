//! The real API server behaves as the tests that build on it need: rights are enforced, every request is named in the audit log, data outlive
//! a stop, and an older revision comes back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use syncgate_e2e::kube::api::{Api, Refusal};
use syncgate_e2e::kube::resource::{CONFIG_MAPS, NAMESPACES, PODS, SERVICES};
use syncgate_e2e::kube::{self, ControlPlane, Options, objects};
use syncgate_e2e::wait::eventually;

/// How long anything may take that should take a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects that are written after a snapshot.
const NEWER: usize = 500;

/// A control plane with its files in a folder of the test's own; none where none is built.
async fn start(test: &str, options: impl FnOnce(&mut Options)) -> Result<Option<ControlPlane>> {
    let Some(folder) = kube::installed(test)? else { return Ok(None) };
    let mut chosen = Options::new(folder, Path::new(env!("CARGO_TARGET_TMPDIR")).join(test));
    options(&mut chosen);
    ControlPlane::start(chosen).await.map(Some)
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": name},
        "data": {"value": value},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_end_at_the_namespace_and_every_request_is_on_record() -> Result<()> {
    let Some(plane) = start("kube-rights", |_| ()).await? else { return Ok(()) };
    let admin = plane.api();
    for namespace in ["inside", "outside"] {
        admin.create(&objects::namespace(namespace, &json!({}))).await?;
    }
    let user = plane.identity("user-0")?;
    admin.create(&objects::role("inside", "reader", &[objects::rule(&["list", "watch"], &["/pods"])])).await?;
    admin.create(&objects::role_binding("inside", "reader", &["user-0"])).await?;

    let mark = plane.audit().mark()?;
    let reader = Api::new(user)?;
    eventually("the binding to count", PATIENCE, async || reader.list(&PODS, "inside").await).await?;
    for namespace in ["outside", ""] {
        let refused = reader.list(&PODS, namespace).await.err().context("a list without the right to it")?;
        ensure!(Refusal::code_of(&refused) == Some(403), "{refused:#}");
    }

    let watch = "/api/v1/namespaces/inside/pods?watch=true&timeoutSeconds=1";
    ensure!(reader.raw(Method::GET, watch, None).await?.status == 200, "a watch with the right to it");

    eventually("the requests to be on record", PATIENCE, async || {
        let events = plane.audit().since(mark)?;
        let listed = |namespace: &str, code: u16| {
            let mut lists = events.iter().filter(|event| event.verb == "list" && event.resource == "pods");
            lists.any(|event| event.user == "user-0" && event.namespace == namespace && event.code == code)
        };
        ensure!(listed("inside", 200) && listed("outside", 403) && listed("", 403), "{events:#?}");
        let watches = events.iter().filter(|event| event.verb == "watch" && event.uri == watch);
        let stages: Vec<&str> = watches.map(|event| event.stage.as_str()).collect();
        ensure!(stages == ["ResponseStarted", "ResponseComplete"], "{events:#?}");
        Ok(())
    })
    .await
}

/// The revision of the newest list.
async fn revision(plane: &ControlPlane) -> Result<u64> {
    let list = plane.api().list(&CONFIG_MAPS, "").await?;
    list["metadata"]["resourceVersion"].as_str().context("a list without a version")?.parse().context("a version")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_outlive_a_stop_and_a_snapshot_brings_the_older_revision() -> Result<()> {
    let Some(mut plane) = start("kube-restore", |options| options.crds = false).await? else { return Ok(()) };
    let value = async |plane: &ControlPlane, name: &str| -> Result<Value> {
        Ok(plane.api().get(&CONFIG_MAPS, "default", name).await?["data"]["value"].take())
    };
    plane.api().create(&config_map("a", "old")).await?;
    let api = plane.api().clone();
    let watch = tokio::spawn(async move { api.raw(Method::GET, "/api/v1/configmaps?watch=true", None).await });
    eventually("the watch to be open", PATIENCE, async || {
        let open = plane.audit().all()?.iter().any(|event| event.verb == "watch" && event.resource == "configmaps");
        ensure!(open, "no watch of ConfigMaps is on record");
        Ok(())
    })
    .await?;
    plane.stop_server().await?;
    ensure!(watch.await??.status == 200, "an open watch ends cleanly");
    ensure!(value(&plane, "a").await.is_err(), "a stopped server answers");
    plane.start_server().await?;
    ensure!(value(&plane, "a").await? == "old");

    let snapshot = plane.snapshot()?;
    plane.api().replace(&config_map("a", "new")).await?;
    // More than the server itself writes when it starts.
    plane.api().create_all((0..NEWER).map(|number| config_map(&format!("b-{number}"), "new")), 64).await?;
    let newest = revision(&plane).await?;
    plane.restore(&snapshot).await?;
    ensure!(value(&plane, "a").await? == "old");
    let gone = value(&plane, "b-0").await.err().context("what came after the snapshot is still there")?;
    ensure!(Refusal::code_of(&gone) == Some(404), "{gone:#}");
    let now = revision(&plane).await?;
    ensure!(now < newest, "the revision is {now}, and {newest} was given out before");

    plane.kill_server().await?;
    plane.start_server().await?;
    plane.wipe().await?;
    ensure!(value(&plane, "a").await.is_err(), "an emptied etcd still has data");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_silent_and_ends() -> Result<()> {
    let Some(plane) = start("kube-pause", |options| options.crds = false).await? else { return Ok(()) };
    plane.pause_server()?;
    let silent = tokio::time::timeout(Duration::from_millis(500), plane.api().list(&PODS, "")).await;
    ensure!(silent.is_err(), "a paused server answers: {silent:?}");
    plane.resume_server()?;
    plane.api().list(&PODS, "").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_end_a_namespace_and_pods_take_loopback_addresses() -> Result<()> {
    let Some(plane) = start("kube-controllers", |options| options.controllers = true).await? else { return Ok(()) };
    let api = plane.api();
    api.create(&objects::namespace("short", &json!({}))).await?;
    api.create(&objects::service("short", "web", 80)).await?;
    let pods = (0..50_u8)
        .map(|number| objects::pod("short", &format!("web-{number}"), "web", [127, 64, 0, number].into(), 8000));
    ensure!(api.create_all(pods, 32).await? == 50);
    let pod = api.get(&PODS, "short", "web-7").await?;
    ensure!(pod["status"]["podIPs"] == json!([{"ip": "127.64.0.7"}]), "{pod:#}");
    ensure!(pod["status"]["phase"] == "Running", "{pod:#}");

    for number in 0..50 {
        api.delete(&PODS, "short", &format!("web-{number}")).await?;
    }
    api.delete(&NAMESPACES, "", "short").await?;
    eventually("the namespace to be gone", PATIENCE, async || {
        let gone = api.get(&NAMESPACES, "", "short").await.err().context("it is still there")?;
        ensure!(Refusal::code_of(&gone) == Some(404), "{gone:#}");
        Ok(())
    })
    .await?;
    let services = api.list(&SERVICES, "short").await?;
    ensure!(services["items"] == json!([]), "{services:#}");
    Ok(())
}
