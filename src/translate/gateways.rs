//! Which Gateways are ours, and which of their listeners can be served as they are written.
//!
//! What is judged here needs the Gateway alone: protocols, host names, addresses, conflicts between listeners.
//! Certificates and the authorities of clients are judged where the Envoy listener is made, because a Secret must not
//! disturb routes.

use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;

use super::hostname::Hostname;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{
    AllowedRoutes, CertificateRef, ClientValidation, FieldProblem, FrontendTls, Gateway, GatewayClass, Kind, Listener,
    ListenerProtocol, ObjectKey,
};

/// A Gateway of a class of ours, without what only its status needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Where Envoy binds; empty means every IPv4 address.
    pub addresses: Vec<IpAddr>,
    /// Every listener of the spec, in its order.
    pub listeners: Vec<AcceptedListener>,
}

/// A listener of an accepted Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedListener {
    /// `name`, unique within the Gateway.
    pub name: ArcStr,
    /// `port`.
    pub port: u16,
    /// `hostname`; `*` when absent.
    pub hostname: Hostname,
    /// Whether TLS is terminated (HTTPS).
    pub tls: bool,
    /// `tls.certificateRefs`.
    pub certificates: Vec<CertificateRef>,
    /// How clients are validated; the same for every listener of the port.
    pub clients: Option<Arc<ClientValidation>>,
    /// `allowedRoutes`.
    pub allowed: AllowedRoutes,
    /// Why it cannot be served; `None` if it can.
    pub refusal: Option<ListenerRefusal>,
}

/// Why a listener cannot be served as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerRefusal {
    /// The condition that says so: `Accepted` or `Conflicted`.
    pub condition: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// The field and what is wrong with it.
    pub problem: FieldProblem,
}

impl ListenerRefusal {
    fn unsupported(reason: &'static str, field: String, message: impl Into<ArcStr>) -> Self {
        Self { condition: "Accepted", reason, problem: FieldProblem::new(field, message) }
    }
}

impl AcceptedListener {
    /// Whether routes may attach: HTTPRoute is the one kind, so the protocol must be HTTP or HTTPS, and the list of
    /// allowed kinds empty or with HTTPRoute in it. A conflict or a missing certificate does not matter.
    pub(crate) fn takes_http_routes(&self) -> bool {
        let unsupported = self.refusal.as_ref().is_some_and(|refusal| refusal.reason == "UnsupportedProtocol");
        let kinds = &self.allowed.kinds;
        !unsupported
            && (kinds.is_empty() || kinds.iter().any(|k| Kind::find(&k.group, &k.kind) == Some(Kind::HttpRoute)))
    }
}

/// Gateway → itself, if its class is ours.
pub(crate) fn accept(
    key: &ObjectKey,
    gateway: &Arc<Gateway>,
    classes: Lens<'_, Rows<ObjectKey, GatewayClass>>,
    out: &mut Out<ObjectKey, Accepted>,
) -> Result<(), Stop> {
    let class = classes.get(&ObjectKey::cluster(gateway.class.clone()))?;
    if class.is_some_and(|class| class.is_ours()) {
        out.put(key.clone(), accepted(gateway));
    }
    Ok(())
}

/// The problem with `spec.addresses` that keeps the whole Gateway from being served: binding every address
/// because the one asked for was not understood would expose it to whom it was not meant for.
pub(crate) fn address_problem(gateway: &Gateway) -> Option<&FieldProblem> {
    gateway.problems.iter().find(|problem| problem.field.starts_with("spec.addresses"))
}

fn accepted(gateway: &Gateway) -> Accepted {
    let mut listeners: Vec<AcceptedListener> = Vec::with_capacity(gateway.listeners.len());
    for (at, listener) in gateway.listeners.iter().enumerate() {
        let mut accepted = judge(at, listener, &gateway.frontend);
        if let Some(problem) = address_problem(gateway) {
            accepted.refusal =
                Some(ListenerRefusal { condition: "Accepted", reason: "UnsupportedValue", problem: problem.clone() });
        } else if listeners.iter().any(|other| other.name == accepted.name) {
            let field = format!("spec.listeners[{at}].name");
            let message = arcstr::format!("`{}` is the name of another listener already", accepted.name);
            accepted.refusal = Some(ListenerRefusal::unsupported("UnsupportedValue", field, message));
        }
        listeners.push(accepted);
    }
    mark_conflicts(&mut listeners);
    let mut addresses: Vec<IpAddr> = Vec::with_capacity(gateway.addresses.len());
    for address in &gateway.addresses {
        // Envoy refuses a listener that binds one address twice.
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    Accepted { addresses, listeners }
}

/// Judges a listener by itself.
fn judge(at: usize, listener: &Listener, frontend: &FrontendTls) -> AcceptedListener {
    let field = |name: &str| format!("spec.listeners[{at}].{name}");
    let mut refusal = None;
    let mut refuse = |reason, field: String, message: ArcStr| {
        refusal.get_or_insert(ListenerRefusal::unsupported(reason, field, message));
    };
    let tls = match &listener.protocol {
        ListenerProtocol::Http => false,
        ListenerProtocol::Https => true,
        ListenerProtocol::Unsupported(protocol) => {
            let message = arcstr::format!("protocol `{protocol}` is not served; use HTTP or HTTPS");
            refuse("UnsupportedProtocol", field("protocol"), message);
            false
        }
    };
    if let Some(problem) = listener.problems.first() {
        refuse("UnsupportedValue", problem.field.to_string(), problem.message.clone());
    }
    if listener.port == 0 {
        refuse("UnsupportedValue", field("port"), "the port is a number from 1 to 65535".into());
    }
    let hostname = match listener.hostname.as_ref().map(Hostname::parse) {
        None => Hostname::any(),
        Some(Ok(hostname)) => hostname,
        Some(Err(message)) => {
            refuse("UnsupportedValue", field("hostname"), message);
            Hostname::any()
        }
    };
    let certificates = match &listener.tls {
        Some(settings) if tls && settings.passthrough => {
            let message = "TLS can only be terminated here; `Passthrough` belongs to protocol TLS, which is not served";
            refuse("UnsupportedValue", field("tls.mode"), message.into());
            Vec::new()
        }
        Some(settings) if tls => settings.certificates.clone(),
        _ => Vec::new(),
    };
    let clients = match frontend.of(listener.port) {
        Ok(clients) => clients.filter(|_| tls).cloned(),
        // Served without, it would be open to anyone.
        Err(problem) => {
            if tls {
                refuse("UnsupportedValue", problem.field.to_string(), problem.message.clone());
            }
            None
        }
    };
    AcceptedListener {
        name: listener.name.clone(),
        port: listener.port,
        hostname,
        tls,
        certificates,
        clients,
        allowed: listener.allowed.clone(),
        refusal,
    }
}

/// Refuses listeners that cannot be told apart. The Gateway API lets none of them win ("MUST NOT pick one
/// conflicting Listener as the winner"): neither two of one host name on a port, nor HTTP and HTTPS on one port.
fn mark_conflicts(listeners: &mut [AcceptedListener]) {
    let conflicts: Vec<Option<ListenerRefusal>> = listeners
        .iter()
        .enumerate()
        .map(|(at, listener)| {
            let others = || {
                let served = |other: &AcceptedListener| other.refusal.is_none() && other.port == listener.port;
                listeners.iter().enumerate().filter(move |(i, other)| *i != at && served(other)).map(|(_, other)| other)
            };
            let conflict = |reason, field: &str, message| {
                let problem = FieldProblem::new(format!("spec.listeners[{at}].{field}"), message);
                Some(ListenerRefusal { condition: "Conflicted", reason, problem })
            };
            if listener.refusal.is_some() {
                None
            } else if let Some(other) = others().find(|other| other.tls != listener.tls) {
                let message = arcstr::format!(
                    "listener `{}` speaks another protocol on port {}; neither is served",
                    other.name,
                    listener.port
                );
                conflict("ProtocolConflict", "protocol", message)
            } else if let Some(other) = others().find(|other| other.hostname == listener.hostname) {
                let message = arcstr::format!(
                    "listener `{}` has the same host name on port {}; neither is served",
                    other.name,
                    listener.port
                );
                conflict("HostnameConflict", "hostname", message)
            } else {
                None
            }
        })
        .collect();
    for (listener, conflict) in listeners.iter_mut().zip(conflicts) {
        if conflict.is_some() {
            listener.refusal = conflict;
        }
    }
}
