//! A protobuf message as the tree that JSON would be, for `model::decode`: what a field means and what is wrong with it
//! is said in one place.
//!
//! An empty string is absent where Kubernetes' JSON leaves it out, and there where it does not.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::messages::{
    ConfigMap, Container, Endpoint, EndpointPort, EndpointSlice, Entry, IntOrString, Named, ObjectMeta, Pod, PodSpec,
    PodStatus, Service, ServicePort, ServiceSpec,
};

/// A string. Bytes that are no UTF-8 read as they do in JSON that Go wrote: each is one replacement character.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// An object of which only the metadata are known.
pub(super) fn named(named: &Named) -> Value {
    object(named.metadata.as_ref(), [])
}

pub(super) fn pod(pod: &Pod) -> Value {
    object(
        pod.metadata.as_ref(),
        [("spec", pod.spec.as_ref().map(pod_spec)), ("status", pod.status.as_ref().map(pod_status))],
    )
}

pub(super) fn service(service: &Service) -> Value {
    // JSON has it even when it is empty.
    let spec = service.spec.as_ref().map_or_else(|| service_spec(&ServiceSpec::default()), service_spec);
    object(service.metadata.as_ref(), [("spec", Some(spec))])
}

pub(super) fn endpoint_slice(slice: &EndpointSlice) -> Value {
    object(
        slice.metadata.as_ref(),
        [
            ("addressType", string(&slice.address_type)),
            ("endpoints", list(&slice.endpoints, endpoint)),
            ("ports", list(&slice.ports, endpoint_port)),
        ],
    )
}

/// With the one entry that is read.
pub(super) fn config_map(map: &ConfigMap) -> Value {
    let read = map.data.iter().rfind(|entry| entry.key == crate::model::ConfigMap::AUTHORITIES);
    object(map.metadata.as_ref(), [("data", read.and_then(|entry| entries(std::slice::from_ref(entry))))])
}

fn object<const N: usize>(meta: Option<&ObjectMeta>, rest: [(&str, Option<Value>); N]) -> Value {
    let meta = meta.cloned().unwrap_or_default();
    let metadata = mapping([
        ("name", said(&meta.name)),
        ("namespace", said(&meta.namespace)),
        ("uid", said(&meta.uid)),
        ("resourceVersion", said(&meta.resource_version)),
        // When it is does not matter.
        ("deletionTimestamp", meta.deletion_timestamp.map(|_| json!("1970-01-01T00:00:00Z"))),
        ("labels", entries(&meta.labels)),
    ]);
    let rest = rest.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(rest.chain([("metadata".to_owned(), metadata)]).collect())
}

fn pod_spec(spec: &PodSpec) -> Value {
    mapping([
        ("containers", list(&spec.containers, container)),
        ("initContainers", list(&spec.init_containers, container)),
    ])
}

fn container(container: &Container) -> Value {
    let ports = list(&container.ports, |port| {
        mapping([
            ("name", said(&port.name)),
            ("containerPort", Some(port.container_port.into())),
            ("protocol", said(&port.protocol)),
        ])
    });
    mapping([("ports", ports), ("restartPolicy", said(&container.restart_policy))])
}

fn pod_status(status: &PodStatus) -> Value {
    mapping([
        ("phase", said(&status.phase)),
        (
            "conditions",
            list(&status.conditions, |at| mapping([("type", string(&at.r#type)), ("status", string(&at.status))])),
        ),
        ("podIP", said(&status.pod_ip)),
        ("podIPs", list(&status.pod_ips, |at| mapping([("ip", string(&at.ip))]))),
    ])
}

fn service_spec(spec: &ServiceSpec) -> Value {
    mapping([
        ("ports", list(&spec.ports, service_port)),
        ("selector", entries(&spec.selector)),
        ("clusterIP", said(&spec.cluster_ip)),
        ("type", said(&spec.r#type)),
        ("externalName", said(&spec.external_name)),
        ("publishNotReadyAddresses", Some(spec.publish_not_ready_addresses.into())),
        ("ipFamilies", list(&spec.ip_families, |family| text(family).into())),
    ])
}

fn service_port(port: &ServicePort) -> Value {
    let target = |target: &IntOrString| match target.r#type {
        0 => target.int_val.into(),
        _ => text(&target.str_val).into(),
    };
    mapping([
        ("name", said(&port.name)),
        ("protocol", said(&port.protocol)),
        ("port", Some(port.port.into())),
        ("targetPort", port.target_port.as_ref().map(target)),
        ("appProtocol", port.app_protocol.as_ref().and_then(string)),
    ])
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let conditions = endpoint.conditions.as_ref().map(|conditions| {
        mapping([
            ("ready", conditions.ready.map(Value::from)),
            ("terminating", conditions.terminating.map(Value::from)),
        ])
    });
    mapping([
        ("addresses", list(&endpoint.addresses, |address| text(address).into())),
        ("conditions", conditions),
        ("zone", endpoint.zone.as_ref().and_then(string)),
    ])
}

fn endpoint_port(port: &EndpointPort) -> Value {
    mapping([
        ("name", port.name.as_ref().and_then(string)),
        ("protocol", port.protocol.as_ref().and_then(string)),
        ("port", port.port.map(Value::from)),
    ])
}

fn mapping<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// A list, absent when it is empty.
fn list<T>(entries: &[T], tree: impl Fn(&T) -> Value) -> Option<Value> {
    (!entries.is_empty()).then(|| entries.iter().map(tree).collect())
}

/// A map of strings, absent when it is empty.
fn entries(entries: &[Entry]) -> Option<Value> {
    let pair = |entry: &Entry| (text(&entry.key).into_owned(), text(&entry.value).into());
    (!entries.is_empty()).then(|| Value::Object(entries.iter().map(pair).collect::<Map<_, _>>()))
}

/// A string that JSON has even when it is empty.
fn string(bytes: &Bytes) -> Option<Value> {
    Some(text(bytes).into())
}

/// A string that JSON leaves out when it is empty.
fn said(bytes: &Bytes) -> Option<Value> {
    if bytes.is_empty() { None } else { string(bytes) }
}
