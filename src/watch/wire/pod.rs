//! Pods, of which there are a hundred thousand: built from their message without a tree between.
//!
//! Invariant: what is built here is what `model::decode` makes of the same Pod. Whatever would be a problem to it is
//! not built here at all, and goes the slow way.

use std::str::{FromStr, from_utf8};

use bytes::Bytes;

use super::pool::Strings;
use super::{Item, Value, messages, version};
use crate::model::{Labels, Object, ObjectKey, Pod, PodIps, PodPort, PodPorts, Protocol};

/// The pod, when nothing about it is unusual.
pub(super) fn plain(pod: &messages::Pod, strings: &Strings<'_>) -> Option<Item> {
    let meta = pod.metadata.as_ref()?;
    let key = plain_key(meta, strings)?;
    let labels = labels(&meta.labels, strings)?;
    let ips = match &pod.status {
        Some(status) if !status.pod_ips.is_empty() => {
            status.pod_ips.iter().map(|entry| parsed(&entry.ip)).collect::<Option<_>>()?
        }
        Some(status) if !status.pod_ip.is_empty() => [parsed(&status.pod_ip)?].into_iter().collect(),
        _ => PodIps::default(),
    };
    let status = pod.status.as_ref();
    let pod = Pod {
        labels,
        ips,
        named_ports: named_ports(pod.spec.as_ref(), strings)?,
        ready: status
            .is_some_and(|status| status.conditions.iter().any(|at| &*at.r#type == b"Ready" && &*at.status == b"True")),
        terminating: meta.deletion_timestamp.is_some(),
        finished: status.is_some_and(|status| matches!(&*status.phase, b"Failed" | b"Succeeded")),
    };
    let value = Value::Object(Object::Pod(pod.into()), Vec::new());
    Some(Item { key, version: version(from_utf8(&meta.resource_version).ok()?), value })
}

/// A namespace and a name of letters, digits and '-'; others may be valid too.
fn plain_key(meta: &messages::ObjectMeta, strings: &Strings<'_>) -> Option<ObjectKey> {
    let (namespace, name) = (label(&meta.namespace)?, label(&meta.name)?);
    // No other object has the name: the pool would only hold it once more.
    Some(ObjectKey { namespace: strings.share(namespace), name: name.into() })
}

fn label(text: &Bytes) -> Option<&str> {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let whole = text.len() <= 63
        && text.first().is_some_and(alphanumeric)
        && text.last().is_some_and(alphanumeric)
        && text.iter().all(|byte| alphanumeric(byte) || *byte == b'-');
    if whole { from_utf8(text).ok() } else { None }
}

fn labels(entries: &[messages::Entry], strings: &Strings<'_>) -> Option<Labels> {
    let mut pairs = Vec::with_capacity(entries.len());
    for entry in entries {
        pairs.push((from_utf8(&entry.key).ok()?, from_utf8(&entry.value).ok()?));
    }
    // Kubernetes writes them in this order.
    let sorted = pairs.is_sorted_by(|(one, _), (next, _)| one < next);
    sorted.then(|| strings.share_labels(&pairs))
}

/// The named ports of the containers that run while the pod serves.
fn named_ports(spec: Option<&messages::PodSpec>, strings: &Strings<'_>) -> Option<PodPorts> {
    let Some(spec) = spec else { return Some(PodPorts::default()) };
    let sidecars = spec.init_containers.iter().filter(|container| &*container.restart_policy == b"Always");
    let mut found = Vec::new();
    for port in spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports) {
        let number = u16::try_from(port.container_port).ok().filter(|number| *number > 0)?;
        let name = from_utf8(&port.name).ok()?;
        if name.is_empty() {
            continue;
        }
        let protocol = match &*port.protocol {
            b"" | b"TCP" => Protocol::Tcp,
            b"UDP" => Protocol::Udp,
            b"SCTP" => Protocol::Sctp,
            _ => return None,
        };
        found.push(PodPort { name: strings.share(name), port: number, protocol });
    }
    Some(strings.share_ports(found))
}

fn parsed<T: FromStr>(text: &Bytes) -> Option<T> {
    from_utf8(text).ok()?.parse().ok()
}
