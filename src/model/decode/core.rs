//! The kinds of Kubernetes itself, and ReferenceGrant.

use arcstr::ArcStr;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::cursor::Cursor;
use super::syntax;
use crate::model::{
    ConfigMap, EndpointSlice, GrantFrom, GrantTo, IpFamilies, KeyBytes, LabelSelector, Namespace, Pod, PodPort,
    Protocol, ReferenceGrant, Requirement, Secret, SelectorOperator, Service, ServicePort, ServiceType, SliceEndpoint,
    SlicePort, TargetPort,
};

/// Kubernetes bounds most lists by the size of an object only; this bound is far above what it stores.
const UNBOUNDED: usize = 100_000;

/// Whether an EndpointSlice is made by Kubernetes itself, of pods or of an Endpoints object.
pub(super) fn is_managed(metadata: &Cursor<'_>) -> bool {
    let manager = metadata.get("labels");
    let manager = manager.as_ref().and_then(|labels| labels.get(EndpointSlice::MANAGED_BY)).and_then(|m| m.maybe_str());
    manager.is_some_and(EndpointSlice::is_managed_by)
}

pub(super) fn namespace(metadata: &Cursor<'_>, name: &ArcStr) -> Namespace {
    let written = metadata.get("labels").map(|l| l.labels()).unwrap_or_default();
    let own = (arcstr::literal!("kubernetes.io/metadata.name"), name.clone());
    Namespace {
        labels: written.iter().cloned().chain([own]).collect(),
        uid: metadata.get("uid").and_then(|uid| uid.text(|_| Ok(()))).unwrap_or_default(),
        terminating: metadata.get("deletionTimestamp").is_some(),
        unavailable: None,
    }
}

pub(super) fn label_selector(selector: &Cursor<'_>) -> Option<LabelSelector> {
    selector.mapping()?;
    let expressions = selector.get("matchExpressions");
    let requirement = |entry: Cursor<'_>| {
        entry.mapping()?;
        let key = entry.required("key")?.text(syntax::value(317))?;
        let operator = match entry.required("operator")?.str()? {
            "In" => SelectorOperator::In,
            "NotIn" => SelectorOperator::NotIn,
            "Exists" => SelectorOperator::Exists,
            "DoesNotExist" => SelectorOperator::DoesNotExist,
            other => {
                entry.problem_at("operator", format!("must be In, NotIn, Exists or DoesNotExist, is {other:?}"));
                SelectorOperator::Unknown(other.into())
            }
        };
        let values = entry.get("values");
        let values: Vec<_> =
            values.iter().flat_map(|list| list.items(UNBOUNDED)).filter_map(|v| v.text(|_| Ok(()))).collect();
        let takes_values = matches!(operator, SelectorOperator::In | SelectorOperator::NotIn);
        if takes_values && values.is_empty() {
            entry.problem_at("values", "must not be empty for the operators In and NotIn");
        }
        Some(Requirement { key, operator, values })
    };
    Some(LabelSelector {
        match_labels: selector.get("matchLabels").map(|l| l.labels()).unwrap_or_default(),
        match_expressions: expressions.iter().flat_map(|e| e.items(UNBOUNDED)).filter_map(requirement).collect(),
    })
}

fn protocol(entry: &Cursor<'_>) -> Protocol {
    let Some(field) = entry.get("protocol") else { return Protocol::Tcp };
    match field.str() {
        Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        other => {
            let other = other.unwrap_or_default();
            field.problem(format!("must be TCP, UDP or SCTP, is {other:?}"));
            Protocol::Unknown(other.into())
        }
    }
}

pub(super) fn service(root: &Cursor<'_>) -> Service {
    let mut service = Service::default();
    let Some(spec) = root.required("spec").and_then(Cursor::mapping) else { return service };
    if let Some(kind) = spec.get("type") {
        match kind.str() {
            Some("ExternalName") => {
                let host = spec.required("externalName").and_then(|n| n.text(syntax::value(253)));
                service.kind = ServiceType::ExternalName(host.unwrap_or_default());
            }
            Some("ClusterIP" | "NodePort" | "LoadBalancer") | None => {}
            Some(other) => {
                kind.problem(format!("must be ClusterIP, NodePort, LoadBalancer or ExternalName, is {other:?}"));
            }
        }
    }
    if let Some(selector) = spec.get("selector") {
        let mark = spec.problems().mark();
        let labels = selector.labels();
        // A selector that lost a pair would select more pods than was meant.
        service.selector = Some(labels).filter(|l| !l.is_empty() && spec.problems().none_since(mark));
    }
    if let Some(ports) = spec.get("ports") {
        service.ports = service_ports(&ports);
    }
    service.publish_not_ready = spec.get("publishNotReadyAddresses").and_then(|p| p.bool()).unwrap_or_default();
    if let Some(families) = spec.get("ipFamilies") {
        service.families = ip_families(&families);
    }
    service.headless = spec.get("clusterIP").is_some_and(|ip| ip.maybe_str() == Some("None"));
    service
}

fn ip_families(list: &Cursor<'_>) -> IpFamilies {
    let (mut v4, mut v6) = (false, false);
    for family in list.items(UNBOUNDED) {
        match family.str() {
            Some("IPv4") => v4 = true,
            Some("IPv6") => v6 = true,
            Some(other) => family.problem(format!("must be IPv4 or IPv6, is {other:?}")),
            None => {}
        }
    }
    match (v4, v6) {
        (true, false) => IpFamilies::V4,
        (false, true) => IpFamilies::V6,
        _ => IpFamilies::Any,
    }
}

fn service_ports(list: &Cursor<'_>) -> Vec<ServicePort> {
    let entries = list.items(UNBOUNDED);
    let mut found: Vec<ServicePort> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(port) = service_port(entry, entries.len() > 1) else { continue };
        if found.iter().any(|p| p.name == port.name) {
            entry.problem_at("name", format!("must be unique within the Service, {:?} stands there twice", port.name));
        } else if found.iter().any(|p| p.port == port.port && p.protocol == port.protocol) {
            entry.problem_at("port", format!("{} stands there twice with the same protocol", port.port));
        } else {
            found.push(port);
        }
    }
    found
}

fn service_port(entry: &Cursor<'_>, named: bool) -> Option<ServicePort> {
    entry.mapping()?;
    let name = match entry.get("name").filter(|n| n.maybe_str() != Some("")) {
        Some(name) => name.text(syntax::dns_label)?,
        None if named => {
            entry.problem_at("name", "is required when a Service has several ports");
            return None;
        }
        None => ArcStr::new(),
    };
    let port = entry.required("port")?.port()?;
    let target = match entry.get("targetPort") {
        None => TargetPort::Number(port),
        Some(target) if target.is_number() => match target.int(0..=65535)? {
            // The API server reads 0 as absent.
            0 => TargetPort::Number(port),
            number => TargetPort::Number(u16::try_from(number).ok()?),
        },
        Some(target) => TargetPort::Name(target.text(port_name)?),
    };
    Some(ServicePort {
        name,
        port,
        target,
        protocol: protocol(entry),
        app_protocol: entry.get("appProtocol").and_then(|p| p.text(syntax::value(317))),
    })
}

/// The name of a container port; digits alone are a number that was put in quotes.
fn port_name(text: &str) -> Result<(), String> {
    if text.len() <= 15 && text.bytes().any(|b| b.is_ascii_lowercase()) && syntax::dns_label(text).is_ok() {
        return Ok(());
    }
    let hint = if text.bytes().all(|b| b.is_ascii_digit()) { " (write a number without quotes)" } else { "" };
    Err(format!(
        "must be a number or a port's name of at most 15 lower-case letters, digits and '-', is {text:?}{hint}"
    ))
}

pub(super) fn pod(root: &Cursor<'_>, metadata: &Cursor<'_>) -> Pod {
    let labels = metadata.get("labels").map(|l| l.labels()).unwrap_or_default();
    let mut pod = Pod { labels, terminating: metadata.get("deletionTimestamp").is_some(), ..Pod::default() };
    if let Some(spec) = root.section("spec") {
        let mut named = Vec::new();
        for list in ["containers", "initContainers"] {
            let Some(containers) = spec.get(list) else { continue };
            for container in containers.items(UNBOUNDED) {
                if list == "containers" || is_sidecar(&container) {
                    container_ports(&container, &mut named);
                }
            }
        }
        pod.named_ports = spec.shared_ports(named);
    }
    if let Some(status) = root.section("status") {
        pod_status(&status, &mut pod);
    }
    pod
}

/// Whether an init container goes on running. Others have ended before the pod is ready: Kubernetes does not look for
/// a named port among theirs.
fn is_sidecar(init_container: &Cursor<'_>) -> bool {
    init_container.get("restartPolicy").is_some_and(|policy| policy.maybe_str() == Some("Always"))
}

fn container_ports(container: &Cursor<'_>, found: &mut Vec<PodPort>) {
    let Some(ports) = container.get("ports") else { return };
    for entry in ports.items(UNBOUNDED) {
        let name = entry.get("name").and_then(|n| n.text(|_| Ok(()))).filter(|n| !n.is_empty());
        let port = entry.required("containerPort").and_then(|p| p.port());
        if let (Some(name), Some(port)) = (name, port) {
            found.push(PodPort { name, port, protocol: protocol(&entry) });
        }
    }
}

fn pod_status(status: &Cursor<'_>, pod: &mut Pod) {
    let phase = status.get("phase").and_then(|p| p.str());
    pod.finished = matches!(phase, Some("Failed" | "Succeeded"));
    if let Some(conditions) = status.get("conditions") {
        let conditions = conditions.items(UNBOUNDED);
        let is = |c: &Cursor<'_>, field: &str, text: &str| c.get(field).is_some_and(|f| f.maybe_str() == Some(text));
        pod.ready = conditions.iter().any(|c| is(c, "type", "Ready") && is(c, "status", "True"));
    }
    if let Some(ips) = status.get("podIPs") {
        let ip = |entry: Cursor<'_>| entry.required("ip").and_then(|ip| ip.ip());
        pod.ips = ips.items(UNBOUNDED).into_iter().filter_map(ip).collect();
    }
    if pod.ips.is_empty()
        && let Some(ip) = status.get("podIP").filter(|ip| ip.maybe_str() != Some(""))
    {
        pod.ips = ip.ip().into_iter().collect();
    }
}

pub(super) fn endpoint_slice(root: &Cursor<'_>, metadata: &Cursor<'_>) -> EndpointSlice {
    let mut slice = EndpointSlice {
        service: metadata.section("labels").and_then(|l| l.get("kubernetes.io/service-name")?.text(|_| Ok(()))),
        ..EndpointSlice::default()
    };
    let family = root.required("addressType").and_then(|t| t.str());
    if !matches!(family, Some("IPv4" | "IPv6") | None) {
        root.problem_at("addressType", format!("must be IPv4 or IPv6, {:?} is not served", family.unwrap_or_default()));
        return slice;
    }
    if let Some(ports) = root.get("ports") {
        slice.ports = ports.items(UNBOUNDED).iter().filter_map(slice_port).collect();
    }
    if let Some(endpoints) = root.get("endpoints") {
        slice.endpoints = endpoints.items(UNBOUNDED).iter().filter_map(slice_endpoint).collect();
    }
    slice
}

fn slice_port(entry: &Cursor<'_>) -> Option<SlicePort> {
    entry.mapping()?;
    let port = match entry.get("port") {
        Some(port) => Some(port.port()?),
        None => None,
    };
    let name = entry.get("name").and_then(|n| n.text(|_| Ok(()))).unwrap_or_default();
    Some(SlicePort { name, port, protocol: protocol(entry) })
}

fn slice_endpoint(entry: &Cursor<'_>) -> Option<SliceEndpoint> {
    entry.mapping()?;
    let addresses: Vec<_> = entry.required("addresses")?.items(100).iter().filter_map(|a| a.ip()).collect();
    let conditions = entry.section("conditions");
    let condition = |name| conditions.as_ref().and_then(|c| c.get(name)?.bool());
    Some(SliceEndpoint {
        addresses,
        ready: condition("ready").unwrap_or(true),
        terminating: condition("terminating").unwrap_or(false),
        zone: entry.get("zone").and_then(|z| z.text(|_| Ok(()))),
    })
}

pub(super) fn secret(root: &Cursor<'_>) -> Secret {
    // `stringData` overrides `data`, as it does when the API server merges them.
    let entry = |name: &str| -> Option<Bytes> {
        if let Some(text) = root.section("stringData").and_then(|s| s.get(name).and_then(|t| t.text(|_| Ok(())))) {
            return Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        let data = root.section("data")?;
        let value = data.key(name)?;
        let bytes = BASE64_STANDARD.decode(value.str()?.split_ascii_whitespace().collect::<String>());
        // The decoder's own message would quote a byte of the key.
        bytes.map(Bytes::from).map_err(|_| value.problem("must be base64")).ok()
    };
    Secret { certificate: entry("tls.crt"), key: entry("tls.key").map(KeyBytes::new), unavailable: None }
}

pub(super) fn config_map(root: &Cursor<'_>) -> ConfigMap {
    const KEY: &str = ConfigMap::AUTHORITIES;
    let data = root.section("data");
    let bundle = data.as_ref().and_then(|data| data.key(KEY)?.str());
    let authorities = match bundle {
        None => Err(arcstr::format!("has no `{KEY}` in `data`; put the PEM certificates of the authorities there")),
        Some(bundle) if bundle.len() > ConfigMap::LARGEST => {
            let most = ConfigMap::LARGEST >> 10;
            Err(arcstr::format!("its `{KEY}` is larger than {most} KiB; leave only the authorities of clients in it"))
        }
        Some(bundle) => Ok(Bytes::copy_from_slice(bundle.as_bytes())),
    };
    ConfigMap { authorities }
}

pub(super) fn reference_grant(root: &Cursor<'_>) -> ReferenceGrant {
    let mut grant = ReferenceGrant::default();
    let Some(spec) = root.required("spec").and_then(Cursor::mapping) else { return grant };
    let from = spec.required("from");
    grant.from = from
        .iter()
        .flat_map(|list| list.items(16))
        .filter_map(|entry| {
            let entry = entry.mapping()?;
            let group = entry.required("group")?.text(syntax::group)?;
            let kind = entry.required("kind")?.text(syntax::kind)?;
            let namespace = entry.required("namespace")?.text(syntax::dns_label)?;
            Some(GrantFrom { group, kind, namespace })
        })
        .collect();
    let to = spec.required("to");
    grant.to = to
        .iter()
        .flat_map(|list| list.items(16))
        .filter_map(|entry| {
            let entry = entry.mapping()?;
            let group = entry.required("group")?.text(syntax::group)?;
            let kind = entry.required("kind")?.text(syntax::kind)?;
            // A name that cannot be read must not become "every object".
            let name = match entry.get("name").filter(|n| n.maybe_str() != Some("")) {
                Some(name) => Some(name.text(syntax::object_name)?),
                None => None,
            };
            Some(GrantTo { group, kind, name })
        })
        .collect();
    grant
}
