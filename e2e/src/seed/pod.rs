//! A pod as clusters have them: what templating tools, a service account and a kubelet add to it, some 5 kB with its
//! managed fields. A small one would flatter whoever reads many.

use serde_json::{Value, json};

use super::Plan;
use super::names::PodName;
use super::objects::labels;

/// When everything was ready. The same for all, so that two runs differ in nothing.
const SINCE: &str = "2026-01-05T08:00:17Z";
const IMAGE: &str = "registry.example/shop";
const AGENT: &str = "registry.example/telemetry/agent:0.118.0";

/// What a pod is part of.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) namespace: String,
    pub(super) app: String,
    pub(super) template_hash: String,
    pub(super) replica_set: String,
    /// The id that the server gave the ReplicaSet: the garbage collector ends pods whose owner has another one.
    pub(super) uid: String,
    pub(super) port: u16,
}

impl Owner {
    /// The owner of a Service's pods, of which the server gave the ReplicaSet an id.
    pub(super) fn new(plan: &Plan, namespace: u32, service: u32, uid: &str) -> Self {
        Self {
            namespace: plan.namespace(namespace),
            app: plan.service(service),
            template_hash: plan.template_hash(namespace, service),
            replica_set: plan.replica_set(namespace, service),
            uid: uid.to_owned(),
            port: plan.port,
        }
    }
}

/// The pod and its status.
pub(super) fn pod(owner: &Owner, of: &PodName) -> Value {
    let Owner { namespace, app, template_hash, .. } = owner;
    let mut labels = labels(namespace, app);
    labels["pod-template-hash"] = json!(template_hash);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": namespace, "name": of.name, "generateName": format!("{}-", owner.replica_set),
            "labels": labels,
            "annotations": {
                "kubectl.kubernetes.io/default-container": "web",
                "prometheus.io/port": "9090", "prometheus.io/scrape": "true",
            },
            // Without `controller`: the ReplicaSet counts none of these pods as its own and leaves them alone.
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner.replica_set, "uid": owner.uid,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": spec(owner, of),
        "status": status(owner, of),
    })
}

fn spec(owner: &Owner, of: &PodName) -> Value {
    let app = &owner.app;
    json!({
        "nodeName": of.node, "serviceAccountName": app, "automountServiceAccountToken": false,
        // With grace, a deleted pod would wait for a kubelet to end it, and its namespace with it.
        "terminationGracePeriodSeconds": 0,
        "containers": [web(owner), sidecar(app)],
        "volumes": [{"name": "config", "configMap": {"name": format!("{app}-config")}}],
    })
}

fn web(owner: &Owner) -> Value {
    let (app, namespace) = (&owner.app, &owner.namespace);
    json!({
        "name": "web", "image": format!("{IMAGE}/{app}:v1.27.3"),
        "ports": [{"name": "http", "containerPort": owner.port}, {"name": "metrics", "containerPort": 9090}],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "DATABASE_URL", "value": format!("postgres://{app}@database.{namespace}.svc:5432/{app}")},
            {"name": "DATABASE_PASSWORD", "valueFrom": {
                "secretKeyRef": {"name": format!("{app}-database"), "key": "password"},
            }},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": true}],
    })
}

fn sidecar(app: &str) -> Value {
    json!({
        "name": "telemetry", "image": AGENT,
        "env": [
            {"name": "SERVICE", "value": app}, {"name": "COLLECTOR", "value": "http://collector.telemetry.svc:4317"},
        ],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/telemetry"}],
    })
}

/// The status of a running and ready pod.
fn status(owner: &Owner, of: &PodName) -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": SINCE});
    let image = format!("{IMAGE}/{}:v1.27.3", owner.app);
    json!({
        "phase": "Running", "startTime": SINCE,
        "podIP": of.ip, "podIPs": [{"ip": of.ip}], "hostIP": of.host_ip, "hostIPs": [{"ip": of.host_ip}],
        "conditions": [
            condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready"),
        ],
        "containerStatuses": [
            container("web", &image, &of.uid, 0), container("telemetry", AGENT, &of.uid, 1),
        ],
    })
}

fn container(name: &str, image: &str, uid: &str, number: u8) -> Value {
    let digits = uid.replace('-', "");
    let repository = image.split(':').next().unwrap_or(image);
    json!({
        "name": name, "image": image, "imageID": format!("{repository}@sha256:{:d<64}", "4f5e6a"),
        "ready": true, "started": true, "restartCount": 0,
        "containerID": format!("containerd://{digits}{:031x}{number:x}", 0),
        "state": {"running": {"startedAt": SINCE}},
    })
}

/// Who the pod's parts of the API are: what the server writes into the managed fields.
pub(super) const CREATOR: &str = "kube-controller-manager";
pub(super) const KUBELET: &str = "kubelet";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_real_ones_have() {
        let plan = Plan::default();
        let (owner, of) = (Owner::new(&plan, 0, 0, "1"), plan.pod_name(0, 0).unwrap());
        let pod = pod(&owner, &of);
        let count = |place: &str| match pod.pointer(place) {
            Some(Value::Array(found)) => found.len(),
            Some(Value::Object(found)) => found.len(),
            _ => 0,
        };
        assert!((8..=10).contains(&count("/metadata/labels")), "{pod:#}");
        assert_eq!(
            pod.pointer("/metadata/labels/app.kubernetes.io~1managed-by"),
            Some(&json!(super::super::MANAGED_BY))
        );
        assert_eq!(
            (count("/spec/containers"), count("/status/conditions"), count("/status/containerStatuses")),
            (2, 4, 2)
        );
        assert_eq!(pod["status"]["podIP"], json!(of.ip));
    }
}
