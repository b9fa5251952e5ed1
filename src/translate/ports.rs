//! The listeners of a Gateway brought together by port, and bound to their certificates and to whom they let in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;

use super::certificates::Certificate;
use super::clients::Clients;
use super::gateways::Accepted;
use super::grants::Grants;
use super::hostname::Hostname;
use super::listeners;
use super::names::PortKey;
use super::proof::{CERTIFICATE, Read};
use super::refusal::Unresolved;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{CertificateRef, ClientValidation, FieldProblem, ObjectKey, Secret};
use crate::resource::Resource;

/// One port of a Gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Where Envoy binds; empty means every IPv4 address.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether TLS is terminated.
    pub(crate) tls: bool,
    /// How clients are validated, if they are.
    pub(crate) clients: Option<Arc<ClientValidation>>,
    /// The listeners that can be served, in the order of the spec.
    pub(crate) listeners: Vec<PortListener>,
}

/// A listener of a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PortListener {
    name: ArcStr,
    /// Its position in the spec: for the field of a problem.
    at: usize,
    hostname: Hostname,
    certificates: Vec<CertificateRef>,
}

/// Accepted Gateway → its ports.
pub(crate) fn by_port(key: &ObjectKey, gateway: &Arc<Accepted>, out: &mut Out<PortKey, Port>) -> Result<(), Stop> {
    let mut ports: BTreeMap<u16, Port> = BTreeMap::new();
    for (at, listener) in gateway.listeners.iter().enumerate().filter(|(_, listener)| listener.refusal.is_none()) {
        let port = ports.entry(listener.port).or_insert_with(|| Port {
            addresses: gateway.addresses.clone(),
            // The same for all of them: another protocol on the port would have been a conflict.
            tls: listener.tls,
            clients: listener.clients.clone(),
            listeners: Vec::new(),
        });
        port.listeners.push(PortListener {
            name: listener.name.clone(),
            at,
            hostname: listener.hostname.clone(),
            certificates: listener.certificates.clone(),
        });
    }
    for (port, listeners) in ports {
        out.put(PortKey { gateway: key.clone(), port }, listeners);
    }
    Ok(())
}

/// One port with its Envoy listener.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The Envoy listener; `None` if no listener of the port has a certificate, or nobody may be let in.
    pub(crate) listener: Option<Arc<Resource>>,
    /// The authorities of its clients, if it has any.
    pub(crate) authorities: Option<Arc<Resource>>,
    /// The Secrets that it serves with; sorted, without duplicates.
    pub(crate) secrets: Vec<ObjectKey>,
    /// What became of each listener of the port, by name.
    pub(crate) verdicts: BTreeMap<ArcStr, BoundListener>,
}

/// What became of one listener.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BoundListener {
    /// Whether it is part of the Envoy listener.
    pub(crate) programmed: bool,
    /// Why it is not accepted, if it is not.
    pub(crate) refused: Option<Unresolved>,
    /// Its certificates, and authorities of its clients, that cannot be used.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// A filter chain of a TLS port: a host name and its Secrets.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) hostname: Hostname,
    pub(crate) secrets: Vec<ObjectKey>,
}

/// Port → its Envoy listener.
///
/// A listener without any usable certificate is left out. One that has several serves with those that are usable. The same
/// goes for the authorities of clients, which all listeners of a port have in common: no connection that one of them
/// let in may then be used for another with a stricter mind.
pub(crate) fn bind(
    key: &PortKey,
    port: &Arc<Port>,
    secrets: Lens<'_, Rows<ObjectKey, Secret>>,
    certificates: Lens<'_, Rows<ObjectKey, Certificate>>,
    grants: Lens<'_, Grants>,
    clients: Lens<'_, Rows<PortKey, Clients>>,
    out: &mut Out<PortKey, Bound>,
) -> Result<(), Stop> {
    let read = Read { objects: secrets, proofs: certificates, grants };
    let clients = clients.get(key)?;
    let authorities = clients.as_ref().and_then(|clients| clients.authorities.clone());
    let refused = port.clients.as_ref().filter(|_| authorities.is_none()).map(|validation| nobody(validation));
    let mut bound = Bound { listener: None, authorities, secrets: Vec::new(), verdicts: BTreeMap::new() };
    let mut chains = Vec::new();
    for listener in &port.listeners {
        let mut verdict = BoundListener { programmed: true, refused: refused.clone(), unresolved: Vec::new() };
        if port.tls {
            let secrets = usable(&key.gateway, listener, &read, &mut verdict.unresolved);
            verdict.unresolved.extend(clients.iter().flat_map(|clients| &clients.unresolved).cloned());
            verdict.programmed = !secrets.is_empty() && verdict.refused.is_none();
            if verdict.programmed {
                bound.secrets.extend(secrets.iter().cloned());
                chains.push(Chain { hostname: listener.hostname.clone(), secrets });
            }
        }
        bound.verdicts.insert(listener.name.clone(), verdict);
    }
    bound.secrets.sort_unstable();
    bound.secrets.dedup();
    bound.listener = match (port.tls, chains.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Arc::new(listeners::https(key, &port.addresses, &chains, clients.as_deref()))),
        (false, _) => Some(Arc::new(listeners::http(key, &port.addresses))),
    };
    out.put(key.clone(), bound);
    Ok(())
}

/// Why a port that is for certain clients is for none.
fn nobody(validation: &ClientValidation) -> Unresolved {
    let field = &validation.field;
    let message = arcstr::format!(
        "nothing in `{field}` leads to an authority, so no client could prove who it is; see `ResolvedRefs`"
    );
    Unresolved { reason: "NoValidCACertificate", problem: FieldProblem::new(field.clone(), message) }
}

/// The Secrets that a listener can be served with.
fn usable(
    gateway: &ObjectKey,
    listener: &PortListener,
    read: &Read<'_, '_, '_, Secret, Arc<Resource>>,
    unresolved: &mut Vec<Unresolved>,
) -> Vec<ObjectKey> {
    let field = format!("spec.listeners[{}].tls.certificateRefs", listener.at);
    if listener.certificates.is_empty() {
        let problem = FieldProblem::new(field, "an HTTPS listener needs a certificate: the name of a Secret");
        unresolved.push(Unresolved { reason: CERTIFICATE.invalid, problem });
        return Vec::new();
    }
    let mut secrets = Vec::new();
    for (at, reference) in listener.certificates.iter().enumerate() {
        match read.judge(&CERTIFICATE, gateway, reference) {
            Ok(_) if secrets.contains(&reference.target) => {}
            Ok(_) => secrets.push(reference.target.clone()),
            Err((reason, message)) => {
                let problem = FieldProblem::new(format!("{field}[{at}]"), message);
                unresolved.push(Unresolved { reason, problem });
            }
        }
    }
    secrets
}
