//! Which endpoints a pod is.

use std::sync::Arc;

use arcstr::ArcStr;

use crate::graph::{Index, Lens, Out, Present, Stop};
use crate::model::{ObjectKey, Pod, Service};

use super::super::keys::ClusterKey;
use super::super::led::Led;
use super::judge::{self, Addresses};
use super::{Address, Endpoint, MemberKey, Source, ports};

/// One pair of a Service's selector in the Service's namespace. Each Service is filed under one pair only, and each pod
/// looks its own pairs up: filing the pods under theirs would cost memory for each pair of each pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SelectorPair {
    namespace: ArcStr,
    label: ArcStr,
    value: ArcStr,
}

/// Index keys of a Service: the first pair of its selector.
pub(super) fn first_selector_pair(key: &ObjectKey, service: &Service, out: &mut Vec<SelectorPair>) {
    let first = service.selector.as_ref().and_then(|selector| selector.iter().next());
    out.extend(first.map(|(label, value)| SelectorPair {
        namespace: key.namespace.clone(),
        label: label.clone(),
        value: value.clone(),
    }));
}

/// Transform: a pod → an endpoint of each port that is led to of each Service that selects it.
pub(super) fn members(
    key: &ObjectKey,
    pod: &Arc<Pod>,
    selected: Lens<'_, Index<SelectorPair, ObjectKey, Service>>,
    led: Lens<'_, Present<ClusterKey, Led>>,
    out: &mut Out<MemberKey, Endpoint>,
) -> Result<(), Stop> {
    if judge::exists(pod).is_err() {
        return Ok(());
    }
    for (label, value) in pod.labels.iter() {
        let pair = SelectorPair { namespace: key.namespace.clone(), label: label.clone(), value: value.clone() };
        for (service_key, service) in selected.of(&pair)? {
            if judge::selects(&service, pod).is_err() {
                continue;
            }
            let Ok(Addresses { primary, additional }) = judge::addresses(&service, pod) else { continue };
            for (cluster, port) in ports::usable(&service_key, &service) {
                if !led.has(&cluster) {
                    continue;
                }
                let Ok(port) = judge::target_port(port, pod) else { continue };
                let address = Address { ip: primary, port };
                let source = Source::pod(key.name.clone());
                let zone = pod.zone().cloned().unwrap_or_default();
                out.put(
                    MemberKey::new(cluster, address, source),
                    Endpoint { zone, additional: additional.map(Box::new) },
                );
            }
        }
    }
    Ok(())
}
