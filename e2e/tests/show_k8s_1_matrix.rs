use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::kube::{self, ControlPlane, Options};
use syncgate_e2e::manifests;
use syncgate_e2e::wait::eventually;
use syncgate_e2e::watching::requests::Requests;
use syncgate_e2e::watching::rights::Rights;
use syncgate_e2e::watching::{Watcher, world};

const NAMESPACES: [&str; 6] = ["deleted-ns", "held-ns", "again-ns", "unbound-ns", "bare-ns", "calm-ns"];
const USERS: [(&str, Rights); 5] = [
    ("user-0", Rights::Cluster),
    ("user-1", Rights::SeeAll),
    ("user-2", Rights::GetNamed),
    ("user-3", Rights::Blind),
    ("user-4", Rights::Cluster),
];

async fn show(
    plane: &ControlPlane,
    watchers: &[Watcher],
    mark: kube::audit::Mark,
    lines: &mut Vec<usize>,
    what: &str,
) -> Result<()> {
    eprintln!("=========== {what}");
    let events = plane.audit().since(mark)?;
    for (at, watcher) in watchers.iter().enumerate() {
        eprintln!("--- {} {}", watcher.name, watcher.rights.as_str());
        let picture = watcher.picture().await?;
        for namespace in NAMESPACES {
            let requests = Requests::of(&watcher.name, &events).within(namespace);
            eprintln!(
                "{namespace}: {:?} now {:?} rows {:?}",
                watcher.film().namespace(namespace),
                picture.namespaces.get(namespace),
                picture.rows(namespace)
            );
            let states: Vec<_> = picture
                .within(namespace)
                .map(|(kind, source)| {
                    format!("{kind}={:?}", watcher.film().source(&format!("{kind} in {namespace}"))) + &source.reason
                })
                .collect();
            eprintln!("    {states:?}");
            if watcher.rights.is_namespaced() {
                eprintln!("    {:?}\n     {:?}", requests.reads(), requests.summary());
            }
        }
        eprintln!("all rows {:?}", picture.all_rows());
        if !watcher.rights.is_namespaced() {
            for (name, source) in &picture.sources {
                eprintln!("   {name} {:?} {:?}", watcher.film().source(name), source);
            }
            eprintln!("     {:?}", Requests::of(&watcher.name, &events).summary());
        }
        let all = watcher.lines();
        for line in &all[lines[at]..] {
            eprintln!("  LOG {}", line.text);
        }
        lines[at] = all.len();
        watcher.film().cut();
    }
    for namespace in NAMESPACES {
        eprintln!("server {namespace} {:?}", world::held(plane.api(), namespace).await);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix() -> Result<()> {
    let Some(folder) = kube::installed("matrix")? else { return Ok(()) };
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("k8s-matrix");
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home)?;
    let mut options = Options::new(folder, &home);
    options.controllers = true;
    let mut plane = ControlPlane::start(options).await?;
    let net = Loopback::claim()?;
    let api = plane.api().clone();
    api.create(&manifests::gateway_class()).await?;
    let inside = ["user-1", "user-2", "user-3"];
    for namespace in NAMESPACES {
        world::create(&api, namespace, if namespace == "bare-ns" { 0 } else { 3 }, &inside).await?;
    }
    let mut watchers = Vec::new();
    for (at, (user, rights)) in USERS.into_iter().enumerate() {
        Watcher::grant(&plane, user, rights, &NAMESPACES).await?;
        watchers.push(Watcher::start(
            plane.identity(user)?,
            rights,
            &NAMESPACES,
            &["--watch-timeout=5s"],
            net.host(10 + at as u8),
            &home,
        )?);
    }
    let start = Instant::now();
    let mut whole = world::held(&api, "").await?;
    let mut inner = whole.clone();
    *inner.get_mut("Service").unwrap() -= 1;
    whole.retain(|_, _| true);
    for watcher in &watchers {
        eventually("sync", Duration::from_secs(30), async || {
            let mut rows = watcher.picture().await?.all_rows();
            rows.remove("Namespace");
            rows.remove("GatewayClass");
            let w = if watcher.rights.is_namespaced() { &inner } else { &whole };
            ensure!(rows == *w, "{rows:?} {w:?}");
            Ok(())
        })
        .await?;
    }
    eprintln!("synced after {:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut lines = vec![0; watchers.len()];
    show(&plane, &watchers, plane.audit().mark()?, &mut lines, "start").await?;
    let phase = std::env::var("PHASE").unwrap_or_default();

    if phase.is_empty() || phase.contains('1') {
        let mark = plane.audit().mark()?;
        world::hold(&api, "held-ns", true).await?;
        world::delete(&api, "held-ns").await?;
        world::delete(&api, "deleted-ns").await?;
        world::unbind(&api, "unbound-ns").await?;
        world::unbind(&api, "bare-ns").await?;
        api.delete(&kube::resource::CLUSTER_ROLE_BINDINGS, "", "user-4").await?;
        let away = world::recreate(&api, "again-ns", 3, &inside).await?;
        eprintln!("away {away:?}");
        tokio::time::sleep(Duration::from_secs(30)).await;
        show(&plane, &watchers, mark, &mut lines, "phase 1").await?;
        let mark = plane.audit().mark()?;
        world::hold(&api, "held-ns", false).await?;
        world::bind(&api, "unbound-ns", &inside).await?;
        world::bind(&api, "bare-ns", &inside).await?;
        Watcher::grant(&plane, "user-4", Rights::Cluster, &NAMESPACES).await?;
        tokio::time::sleep(Duration::from_secs(20)).await;
        show(&plane, &watchers, mark, &mut lines, "phase 1 back").await?;
    }
    let snapshot = plane.snapshot()?;
    if phase.is_empty() || phase.contains('3') {
        let mark = plane.audit().mark()?;
        plane.stop_server().await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        show(&plane, &watchers, mark, &mut lines, "stopped").await?;
        plane.start_server().await?;
        let since = Instant::now();
        api.delete(&kube::resource::PODS, "calm-ns", "web-0").await?;
        for watcher in &watchers {
            let before = if watcher.rights.is_namespaced() { 2 } else { 0 };
            eventually("change", Duration::from_secs(30), async || {
                let rows = watcher.picture().await?;
                ensure!(before == 0 || rows.rows("calm-ns")["Pod"] == 2);
                Ok(())
            })
            .await?;
            eprintln!("{} {:?}", watcher.name, since.elapsed());
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        show(&plane, &watchers, mark, &mut lines, "back").await?;
    }
    if phase.is_empty() || phase.contains('4') {
        let mark = plane.audit().mark()?;
        if phase.contains("b") {
            for n in 0..500 {
                api.apply(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "calm-ns", "name": format!("n-{n}")}})).await?;
            }
        }
        api.delete(&kube::resource::PODS, "calm-ns", "web-1").await?;
        api.delete(&kube::resource::SERVICES, "calm-ns", "by-hand").await?;
        tokio::time::sleep(Duration::from_secs(6)).await;
        show(&plane, &watchers, mark, &mut lines, "before restore").await?;
        plane.restore(&snapshot).await?;
        tokio::time::sleep(Duration::from_secs(20)).await;
        show(&plane, &watchers, mark, &mut lines, "restored").await?;
    }
    if phase.is_empty() || phase.contains('5') {
        let mark = plane.audit().mark()?;
        plane.wipe().await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        show(&plane, &watchers, mark, &mut lines, "wiped").await?;
        for (user, rights) in USERS {
            Watcher::grant(&plane, user, rights, &NAMESPACES).await?;
        }
        tokio::time::sleep(Duration::from_secs(45)).await;
        show(&plane, &watchers, mark, &mut lines, "wiped, granted, no CRDs").await?;
        plane.apply_crds().await?;
        for namespace in NAMESPACES {
            api.apply(&kube::objects::namespace(namespace, &serde_json::json!({}))).await?;
            for o in Rights::inside(namespace, &inside) {
                api.apply(&o).await?;
            }
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        show(&plane, &watchers, mark, &mut lines, "wiped, granted, CRDs").await?;
    }
    Ok(())
}
