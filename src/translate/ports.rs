//! The listeners of a Gateway brought together by port, and bound to their certificates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;

use super::certificates::Certificate;
use super::gateways::Accepted;
use super::grants::{self, Grants};
use super::hostname::Hostname;
use super::listeners;
use super::names::PortKey;
use super::refusal::Unresolved;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{CertificateRef, FieldProblem, Kind, ObjectKey, Secret};
use crate::resource::Resource;

/// One port of a Gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Where Envoy binds; empty means every IPv4 address.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether TLS is terminated.
    pub(crate) tls: bool,
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
    /// The Envoy listener; `None` if no listener of the port has a certificate.
    pub(crate) listener: Option<Arc<Resource>>,
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
    /// Its certificates that cannot be used.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// A filter chain of a TLS port: a host name and its Secrets.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) hostname: Hostname,
    pub(crate) secrets: Vec<ObjectKey>,
}

/// The lenses that certificates are resolved through.
#[derive(Clone, Copy)]
struct Read<'s, 'c, 'g> {
    secrets: Lens<'s, Rows<ObjectKey, Secret>>,
    certificates: Lens<'c, Rows<ObjectKey, Certificate>>,
    grants: Lens<'g, Grants>,
}

/// Port → its Envoy listener.
///
/// A listener without any usable certificate is left out. One that has several serves with those that are usable.
pub(crate) fn bind(
    key: &PortKey,
    port: &Arc<Port>,
    secrets: Lens<'_, Rows<ObjectKey, Secret>>,
    certificates: Lens<'_, Rows<ObjectKey, Certificate>>,
    grants: Lens<'_, Grants>,
    out: &mut Out<PortKey, Bound>,
) -> Result<(), Stop> {
    let read = Read { secrets, certificates, grants };
    let mut bound = Bound { listener: None, secrets: Vec::new(), verdicts: BTreeMap::new() };
    let mut chains = Vec::new();
    for listener in &port.listeners {
        let mut verdict = BoundListener { programmed: true, unresolved: Vec::new() };
        if port.tls {
            let secrets = usable(&key.gateway, listener, read, &mut verdict.unresolved);
            verdict.programmed = !secrets.is_empty();
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
        (true, false) => Some(Arc::new(listeners::https(key, &port.addresses, &chains))),
        (false, _) => Some(Arc::new(listeners::http(key, &port.addresses))),
    };
    out.put(key.clone(), bound);
    Ok(())
}

/// The Secrets that a listener can be served with.
fn usable(
    gateway: &ObjectKey,
    listener: &PortListener,
    read: Read<'_, '_, '_>,
    unresolved: &mut Vec<Unresolved>,
) -> Vec<ObjectKey> {
    let field = format!("spec.listeners[{}].tls.certificateRefs", listener.at);
    if listener.certificates.is_empty() {
        let problem = FieldProblem::new(field, "an HTTPS listener needs a certificate: the name of a Secret");
        unresolved.push(Unresolved { reason: "InvalidCertificateRef", problem });
        return Vec::new();
    }
    let mut secrets = Vec::new();
    for (at, reference) in listener.certificates.iter().enumerate() {
        match judge(gateway, reference, read) {
            Ok(()) if secrets.contains(&reference.target) => {}
            Ok(()) => secrets.push(reference.target.clone()),
            Err((reason, message)) => {
                let problem = FieldProblem::new(format!("{field}[{at}]"), message);
                unresolved.push(Unresolved { reason, problem });
            }
        }
    }
    secrets
}

/// A look-up without an answer is a problem of this reference alone: the other listeners of the port go on.
fn judge(
    gateway: &ObjectKey,
    reference: &CertificateRef,
    read: Read<'_, '_, '_>,
) -> Result<(), (&'static str, ArcStr)> {
    let target = &reference.target;
    let invalid = |message: ArcStr| ("InvalidCertificateRef", message);
    if Kind::find(&reference.group, &reference.kind) != Some(Kind::Secret) {
        return Err(invalid(arcstr::format!("a {} is not a certificate that is served; use a Secret", reference.kind)));
    }
    // Before anything is said about the Secret: without consent not even its existence is told.
    let waits = |stop: Stop| invalid(arcstr::format!("{stop}"));
    grants::permit(read.grants, (Kind::Gateway, &gateway.namespace), (Kind::Secret, target))
        .map_err(waits)?
        .map_err(|message| ("RefNotPermitted", message))?;
    // The Secret itself, because only an input knows what is still being looked for.
    read.secrets.get(target).map_err(waits)?;
    match read.certificates.get(target).map_err(waits)?.as_deref() {
        Some(Certificate(Ok(_))) => Ok(()),
        Some(Certificate(Err(why))) => Err(invalid(arcstr::format!("Secret {target}: {why}"))),
        None => Err(invalid(arcstr::format!("Secret {target} does not exist"))),
    }
}
