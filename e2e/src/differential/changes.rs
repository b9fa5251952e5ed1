//! What happens to the Services and Pods: each change is one that users, kubelets or controllers make.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::objects;
use crate::bed::PATIENCE;
use crate::kube::api::{Api, Refusal};
use crate::kube::resource::{PODS, Resource, SERVICES};
use crate::random::Random;
use crate::wait::eventually;

/// Pods of a namespace.
const PODS_EACH: usize = 24;
/// What keeps a pod that is deleted.
const FINALIZER: &str = "e2e.syncgate.dev/hold";

/// The objects and what becomes of them.
#[derive(Debug)]
pub(super) struct World {
    api: Api,
    pub(super) random: Random,
    /// Addresses are not used twice: no two pods of a cluster have the same but those in the host's network.
    addresses: u16,
}

impl World {
    /// Writes everything that stays.
    pub(super) async fn prepare(api: &Api, gateway: IpAddr, seed: u64) -> Result<Self> {
        for object in objects::fixed(gateway) {
            api.apply(&object).await?;
        }
        // The server gives out no addresses until it has read its own ranges.
        let probe = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "probe"},
            "spec": {"ports": [{"port": 1}], "ipFamilyPolicy": "RequireDualStack"},
        });
        eventually("addresses for Services", PATIENCE, async || api.apply(&probe).await).await?;
        Ok(Self { api: api.clone(), random: Random::new(seed), addresses: 0 })
    }

    /// Makes random changes one after the other and says which.
    pub(super) async fn change(&mut self, count: usize) -> Result<Vec<String>> {
        let mut log = Vec::with_capacity(count);
        let mut finished = false;
        for _ in 0..count {
            let namespace = self.random.pick(objects::NAMESPACES);
            let (name, what) = if self.random.once_in(4) {
                let name = self.random.pick(objects::SERVICES);
                let what = self.change_service(namespace, name).await;
                (name.to_owned(), what.with_context(|| format!("Service {namespace}/{name}"))?)
            } else {
                let name = format!("p{}", self.random.below(PODS_EACH));
                let what = self.change_pod(namespace, &name).await;
                (name.clone(), what.with_context(|| format!("Pod {namespace}/{name}"))?)
            };
            finished |= what.starts_with("phase");
            log.push(format!("{namespace}/{name}: {what}"));
        }
        if finished {
            self.touch_services().await?;
        }
        Ok(log)
    }

    /// Makes the controller look at every Service again: it takes no notice of a phase that changes alone (`podEndpointsChanged`), and
    /// goes on publishing a pod that has finished until something else happens to the Service.
    async fn touch_services(&mut self) -> Result<()> {
        let touched =
            json!({"metadata": {"annotations": {"e2e.syncgate.dev/touched": self.random.number().to_string()}}});
        for namespace in objects::NAMESPACES {
            for name in objects::SERVICES {
                unless_gone(self.api.patch(&SERVICES, namespace, name, &touched).await)?;
            }
        }
        Ok(())
    }

    async fn change_service(&mut self, namespace: &str, name: &str) -> Result<String> {
        let random = &mut self.random;
        let Some(mut service) = found(&self.api, &SERVICES, namespace, name).await? else {
            let service = objects::service(random, namespace, name);
            self.api.create(&service).await.with_context(|| format!("create {service}"))?;
            return Ok(format!("create {}", service["spec"]));
        };
        let spec = &mut service["spec"];
        let what = match random.below(8) {
            0 => {
                self.api.delete(&SERVICES, namespace, name).await?;
                return Ok("delete".to_owned());
            }
            1..=3 => {
                spec["selector"] = objects::selector(random);
                format!("selector {}", spec["selector"])
            }
            4 | 5 => {
                spec["ports"] = objects::service_ports(random);
                format!("ports {}", spec["ports"])
            }
            6 => {
                spec["publishNotReadyAddresses"] = (spec["publishNotReadyAddresses"] != true).into();
                format!("publishNotReadyAddresses {}", spec["publishNotReadyAddresses"])
            }
            _ => {
                let single = spec["ipFamilyPolicy"] == "SingleStack";
                spec["ipFamilyPolicy"] = if single { "RequireDualStack" } else { "SingleStack" }.into();
                format!("ipFamilyPolicy {}", spec["ipFamilyPolicy"])
            }
        };
        self.api.replace(&service).await.with_context(|| format!("replace by {service}"))?;
        Ok(what)
    }

    async fn change_pod(&mut self, namespace: &str, name: &str) -> Result<String> {
        let Some(pod) = found(&self.api, &PODS, namespace, name).await? else {
            let address = self.next_address();
            let pod = objects::pod(&mut self.random, namespace, name, address);
            self.api.create_with_status(&pod).await.with_context(|| format!("create {pod}"))?;
            return Ok(format!("create {} {}", pod["metadata"]["labels"], pod["status"]["podIPs"]));
        };
        let terminating = pod["metadata"]["deletionTimestamp"].is_string();
        let finished = pod["status"]["phase"] == "Failed" || pod["status"]["phase"] == "Succeeded";
        match self.random.below(10) {
            // Most pods shall be there and serve.
            0..=5 if terminating || finished => self.end(namespace, name).await,
            0 => self.end(namespace, name).await,
            1 if !terminating => self.terminate(namespace, name, &pod).await,
            2 if !finished => self.finish(namespace, name).await,
            3 | 4 => self.relabel(pod).await,
            5 if !finished => self.readdress(namespace, name, &pod).await,
            _ => self.flip(namespace, name).await,
        }
    }

    fn next_address(&mut self) -> u16 {
        self.addresses += 1;
        self.addresses
    }

    /// The pod is gone, whatever held it.
    async fn end(&self, namespace: &str, name: &str) -> Result<String> {
        let free = json!({"metadata": {"finalizers": null}});
        unless_gone(self.api.patch(&PODS, namespace, name, &free).await)?;
        unless_gone(self.api.delete(&PODS, namespace, name).await)?;
        Ok("end".to_owned())
    }

    /// It is asked to end, and stays until its grace is over or its finalizer is gone.
    async fn terminate(&mut self, namespace: &str, name: &str, pod: &Value) -> Result<String> {
        if self.random.once_in(2) {
            let hold = json!({"metadata": {"finalizers": [FINALIZER]}});
            self.api.patch(&PODS, namespace, name, &hold).await?;
            self.api.delete(&PODS, namespace, name).await?;
            return Ok("terminate, held by a finalizer".to_owned());
        }
        self.api.delete_with(&PODS, namespace, name, &json!({"gracePeriodSeconds": 3600})).await?;
        Ok(format!("terminate with grace in phase {}", pod["status"]["phase"]))
    }

    /// Its containers have ended. Its addresses may be gone in the same write, or stay.
    async fn finish(&mut self, namespace: &str, name: &str) -> Result<String> {
        let phase = self.random.pick(["Failed", "Succeeded"]);
        let mut status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": "False"}]});
        if self.random.once_in(3) {
            status["podIP"] = Value::Null;
            status["podIPs"] = Value::Null;
        }
        self.api.patch_status(&PODS, namespace, name, &status).await?;
        Ok(format!("phase {phase}"))
    }

    async fn relabel(&mut self, mut pod: Value) -> Result<String> {
        let labels = objects::relabelled(&mut self.random, &pod);
        pod["metadata"]["labels"] = labels.clone();
        self.api.replace(&pod).await?;
        Ok(format!("labels {labels}"))
    }

    async fn readdress(&mut self, namespace: &str, name: &str, pod: &Value) -> Result<String> {
        let address = self.next_address();
        let status = objects::readdressed(&mut self.random, pod, address);
        self.api.patch_status(&PODS, namespace, name, &status).await?;
        Ok(format!("addresses {}", status["podIPs"]))
    }

    async fn flip(&mut self, namespace: &str, name: &str) -> Result<String> {
        let conditions = objects::conditions(&mut self.random);
        self.api.patch_status(&PODS, namespace, name, &json!({"conditions": conditions})).await?;
        Ok(format!("conditions {conditions}"))
    }
}

/// The object, if it is there.
async fn found(api: &Api, resource: &Resource, namespace: &str, name: &str) -> Result<Option<Value>> {
    match api.get(resource, namespace, name).await {
        Err(refused) if Refusal::code_of(&refused) == Some(404) => Ok(None),
        answer => answer.map(Some),
    }
}

fn unless_gone(answer: Result<Value>) -> Result<()> {
    match answer {
        Err(refused) if Refusal::code_of(&refused) == Some(404) => Ok(()),
        answer => answer.map(drop),
    }
}
