//! `syncgate certs --secret` with a real API server: made once, kept, mended, and refused with the right that is missing.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use syncgate_e2e::kube::identity::Identity;
use syncgate_e2e::kube::objects::{namespace, role, role_binding};
use syncgate_e2e::kube::resource::SECRETS;
use syncgate_e2e::kube::{self, ControlPlane, Options};
use syncgate_e2e::syncgate;

const NAMESPACE: &str = "syncgate-system";
const USER: &str = "user-0";

async fn certs(identity: &Identity, home: &Path) -> Result<Output> {
    let kubeconfig = home.join(format!("{}.kubeconfig", identity.name));
    identity.kubeconfig(&kubeconfig)?;
    let mut command = tokio::process::Command::new(syncgate::built_program()?);
    command.args(["certs", "--secret", "syncgate-system/tls", "--dns", "syncgate.syncgate-system"]);
    command.args(["--client-uri", "spiffe://cluster.local/ns/shop/sa/envoy", "--kubeconfig"]).arg(kubeconfig);
    Ok(command.output().await?)
}

#[tokio::test]
async fn certificates_are_kept_in_secrets() -> Result<()> {
    let Some(kube) = kube::installed("certificates_are_kept_in_secrets")? else { return Ok(()) };
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certs");
    let mut options = Options::new(kube, &home);
    (options.crds, options.identities) = (false, vec![USER.to_owned()]);
    let plane = ControlPlane::start(options).await?;
    let api = plane.api();
    api.create(&namespace(NAMESPACE, &json!({}))).await?;
    let user = plane.identity(USER)?;

    let refused = certs(user, &home).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(2) && said.contains("Secret syncgate-system/tls: "), "{said}");
    // What it says helps.
    ensure!(said.contains("resources: [\"secrets\"], verbs: [\"get\", \"create\", \"patch\"]"), "{said}");
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]});
    api.create(&role(NAMESPACE, "certs", &[rule])).await?;
    api.create(&role_binding(NAMESPACE, "certs", &[USER])).await?;

    let made = certs(user, &home).await?;
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    ensure!(made.status.success() && said.contains("tls.crt: new"), "{said}{}", String::from_utf8_lossy(&made.stderr));
    let of = async |name: &str| api.get(&SECRETS, NAMESPACE, name).await;
    let [server, authority, client] = [of("tls").await?, of("tls-ca").await?, of("tls-client").await?];
    ensure!(
        server["type"] == "kubernetes.io/tls" && server["data"]["ca.key"].is_null(),
        "the authority's key is mounted"
    );
    for secret in [&server, &client] {
        ensure!(secret["data"]["ca.crt"] == authority["data"]["ca.crt"], "another bundle");
        ensure!(secret["data"]["tls.crt"].is_string() && secret["data"]["tls.key"].is_string(), "half a pair");
    }
    ensure!(authority["data"]["ca.key"].is_string(), "no key");

    let kept = certs(user, &home).await?;
    let said = String::from_utf8_lossy(&kept.stdout).into_owned();
    ensure!(kept.status.success() && said.contains("tls.crt: kept") && !said.contains("new"), "{said}");
    let version = |secret: &serde_json::Value| secret["metadata"]["resourceVersion"].clone();
    ensure!(version(&of("tls").await?) == version(&server), "it was written again");

    api.delete(&SECRETS, NAMESPACE, "tls").await?;
    ensure!(certs(user, &home).await?.status.success(), "one Secret is missing");
    let again = of("tls").await.context("it is there again")?;
    ensure!(again["data"]["ca.crt"] == authority["data"]["ca.crt"], "another authority");
    Ok(())
}
