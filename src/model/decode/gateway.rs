//! GatewayClass and Gateway.

mod frontend;

use std::net::IpAddr;

use arcstr::ArcStr;

use super::core::label_selector;
use super::cursor::Cursor;
use super::route::{or_default, target};
use super::syntax;
use crate::model::{
    AllowedRoutes, CertificateRef, FromNamespaces, Gateway, GatewayClass, Kind, Listener, ListenerProtocol,
    ListenerTls, Meta, ObjectKey, RouteKind,
};

pub(super) fn gateway_class(root: &Cursor<'_>, meta: Meta) -> GatewayClass {
    let spec = root.required("spec").and_then(Cursor::mapping);
    let name = spec.as_ref().and_then(|s| s.required("controllerName"));
    let controller = name.and_then(|n| n.text(syntax::controller_name)).unwrap_or_default();
    GatewayClass { meta, controller, problems: root.problems().since(0) }
}

pub(super) fn gateway(root: &Cursor<'_>, meta: Meta, key: &ObjectKey) -> Gateway {
    let mut gateway = Gateway { meta, ..Gateway::default() };
    if let Some(spec) = root.required("spec").and_then(Cursor::mapping) {
        let class = spec.required("gatewayClassName");
        gateway.class = class.and_then(|c| c.text(syntax::object_name)).unwrap_or_default();
        if let Some(addresses) = spec.get("addresses") {
            gateway.addresses = addresses.items(16).iter().filter_map(address).collect();
        }
        if let Some(listeners) = spec.required("listeners") {
            gateway.listeners = self::listeners(&listeners, key);
        }
        gateway.frontend = frontend::frontend(&spec, key);
    }
    // The listeners and the frontend took their own problems, so that what is left is the rest.
    gateway.problems = root.problems().since(0);
    gateway
}

fn address(entry: &Cursor<'_>) -> Option<IpAddr> {
    entry.mapping()?;
    match or_default(entry, "type", |_| Ok(()), "IPAddress").as_str() {
        // "If value is not specified, the implementation chooses": every address.
        "IPAddress" => entry.get("value").filter(|v| v.maybe_str() != Some(""))?.ip(),
        other => {
            entry.problem_at("type", format!("only IPAddress is served, is {other:?}"));
            None
        }
    }
}

fn listeners(list: &Cursor<'_>, key: &ObjectKey) -> Vec<Listener> {
    let entries = list.items(64);
    if entries.is_empty() {
        list.problem("must have at least one listener");
    }
    let mut found: Vec<Listener> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let mark = entry.problems().mark();
        let mut listener = listener(entry, key);
        if found.iter().any(|l| l.name == listener.name) && !listener.name.is_empty() {
            entry.problem_at(
                "name",
                format!("must be unique within the Gateway, {:?} stands there twice", listener.name),
            );
        }
        listener.problems = entry.problems().since(mark);
        found.push(listener);
    }
    found
}

fn listener(entry: &Cursor<'_>, key: &ObjectKey) -> Listener {
    let mut listener = Listener {
        name: ArcStr::new(),
        hostname: None,
        port: 0,
        protocol: ListenerProtocol::Unsupported(ArcStr::new()),
        tls: None,
        allowed: AllowedRoutes::default(),
        problems: Vec::new(),
    };
    if entry.mapping().is_none() {
        return listener;
    }
    listener.name = entry.required("name").and_then(|n| n.text(syntax::dns_subdomain)).unwrap_or_default();
    let hostname = entry.get("hostname").filter(|h| h.maybe_str() != Some(""));
    listener.hostname = hostname.and_then(|h| h.text(syntax::hostname));
    listener.port = entry.required("port").and_then(|p| p.port()).unwrap_or_default();
    let protocol = entry.required("protocol").and_then(|p| p.text(syntax::protocol)).unwrap_or_default();
    listener.protocol = match protocol.as_str() {
        "HTTP" => ListenerProtocol::Http,
        "HTTPS" => ListenerProtocol::Https,
        _ => ListenerProtocol::Unsupported(protocol),
    };
    listener.tls = entry.section("tls").map(|tls| listener_tls(&tls, key));
    check_tls(entry, &listener);
    if let Some(allowed) = entry.section("allowedRoutes") {
        listener.allowed = allowed_routes(&allowed);
    }
    listener
}

/// What the schema demands of `tls` for each protocol. That HTTPS needs a certificate is judged with the certificates:
/// without one the listener is accepted, and its references are not resolved.
fn check_tls(entry: &Cursor<'_>, listener: &Listener) {
    let in_clear = match &listener.protocol {
        ListenerProtocol::Http => true,
        ListenerProtocol::Https => false,
        ListenerProtocol::Unsupported(name) => name == "TCP" || name == "UDP",
    };
    match &listener.tls {
        Some(_) if in_clear => entry.problem_at("tls", "must not be set for the protocols HTTP, TCP and UDP"),
        Some(tls) if tls.passthrough && listener.protocol == ListenerProtocol::Https => {
            entry.problem_at("tls.mode", "must be Terminate for the protocol HTTPS");
        }
        _ => {}
    }
}

fn listener_tls(tls: &Cursor<'_>, key: &ObjectKey) -> ListenerTls {
    let passthrough = match or_default(tls, "mode", |_| Ok(()), "Terminate").as_str() {
        "Terminate" | "" => false,
        "Passthrough" => true,
        other => {
            tls.problem_at("mode", format!("must be Terminate or Passthrough, is {other:?}"));
            false
        }
    };
    let mut certificates = Vec::new();
    if let Some(list) = tls.get("certificateRefs") {
        certificates = list.items(64).iter().filter_map(|entry| certificate(entry, key)).collect();
    }
    ListenerTls { passthrough, certificates }
}

fn certificate(entry: &Cursor<'_>, key: &ObjectKey) -> Option<CertificateRef> {
    entry.mapping()?;
    let mark = entry.problems().mark();
    let reference = CertificateRef {
        group: or_default(entry, "group", syntax::group, ""),
        kind: or_default(entry, "kind", syntax::kind, Kind::Secret.as_str()),
        target: target(entry, key),
    };
    entry.problems().none_since(mark).then_some(reference)
}

fn allowed_routes(allowed: &Cursor<'_>) -> AllowedRoutes {
    let from = allowed.section("namespaces").map(|n| from_namespaces(&n)).unwrap_or_default();
    let kinds = allowed.get("kinds");
    let kinds = kinds.iter().flat_map(|list| list.items(8)).filter_map(|entry| {
        entry.mapping()?;
        let kind = entry.required("kind")?.text(syntax::kind)?;
        Some(RouteKind { group: or_default(&entry, "group", syntax::group, Kind::Gateway.group()), kind })
    });
    AllowedRoutes { from, kinds: kinds.collect() }
}

fn from_namespaces(namespaces: &Cursor<'_>) -> FromNamespaces {
    let from = or_default(namespaces, "from", |_| Ok(()), "Same");
    match from.as_str() {
        "Same" => FromNamespaces::Same,
        "All" => FromNamespaces::All,
        "None" => FromNamespaces::None,
        "Selector" => {
            let mark = namespaces.problems().mark();
            let selector = namespaces.required("selector").and_then(|s| label_selector(&s));
            // A selector that lost a requirement would let more in than was meant.
            match selector.filter(|_| namespaces.problems().none_since(mark)) {
                Some(selector) => FromNamespaces::Selector(selector),
                None => FromNamespaces::Unknown(from),
            }
        }
        other => {
            namespaces.problem_at("from", format!("must be Same, All, None or Selector, is {other:?}"));
            FromNamespaces::Unknown(from)
        }
    }
}
