//! Whom an HTTPS port lets in: clients with a certificate of the authorities that its Gateway names.
//!
//! The authorities are a secret of Envoy's, although they are none, because a listener that held them would drain its
//! connections whenever they change. Invariant: a port whose authorities are all unknown lets nobody in.

use std::sync::Arc;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use rustls::pki_types::CertificateDer;
use tls::certificate_validation_context::TrustChainVerification;

use super::grants::Grants;
use super::names::PortKey;
use super::ports::Port;
use super::proof::{self, AUTHORITIES, Proof, Read, inline, pem};
use super::refusal::Unresolved;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{ClientValidation, ConfigMap, FieldProblem, ObjectKey};
use crate::resource::{Parts, Resource, ResourceType, encode};

/// A ConfigMap as authorities: their certificates.
pub(crate) type Authorities = Proof<Vec<CertificateDer<'static>>>;

/// ConfigMap → its authorities.
pub(crate) fn authorities(
    key: &ObjectKey,
    map: &Arc<ConfigMap>,
    out: &mut Out<ObjectKey, Authorities>,
) -> Result<(), Stop> {
    let bundle = map.authorities.as_ref().map_err(Clone::clone);
    out.put(key.clone(), Proof(bundle.and_then(|bundle| proof::certificates(ConfigMap::AUTHORITIES, bundle))));
    Ok(())
}

/// Whom a port lets in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clients {
    /// Their authorities; `None` when no reference leads to any.
    pub(crate) authorities: Option<Arc<Resource>>,
    /// Whether clients without a valid certificate are let in too.
    pub(crate) insecure: bool,
    /// The references that lead to none.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// Port → whom it lets in, if its Gateway says so.
pub(crate) fn of_port(
    key: &PortKey,
    port: &Arc<Port>,
    config_maps: Lens<'_, Rows<ObjectKey, ConfigMap>>,
    authorities: Lens<'_, Rows<ObjectKey, Authorities>>,
    grants: Lens<'_, Grants>,
    out: &mut Out<PortKey, Clients>,
) -> Result<(), Stop> {
    let Some(validation) = &port.clients else { return Ok(()) };
    let read = Read { objects: config_maps, proofs: authorities, grants };
    let (mut trusted, mut unresolved) = (Vec::new(), Vec::new());
    for (at, reference) in validation.authorities.iter().enumerate() {
        match read.judge(&AUTHORITIES, &key.gateway, reference) {
            Ok(found) => trusted.extend(found.0.iter().flatten().cloned()),
            Err((reason, message)) => {
                let problem = FieldProblem::new(format!("{}[{at}]", validation.field), message);
                unresolved.push(Unresolved { reason, problem });
            }
        }
    }
    // In an order of their own: that of the references does not matter.
    trusted.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    trusted.dedup();
    let authorities = (!trusted.is_empty()).then(|| Arc::new(resource(key, validation, &trusted)));
    out.put(key.clone(), Clients { authorities, insecure: validation.insecure, unresolved });
    Ok(())
}

fn resource(key: &PortKey, validation: &ClientValidation, trusted: &[CertificateDer<'static>]) -> Resource {
    let name = key.clients_name();
    let bundle = trusted.iter().flat_map(|certificate| pem("CERTIFICATE", certificate)).collect();
    let verification = match validation.insecure {
        true => TrustChainVerification::AcceptUntrusted,
        false => TrustChainVerification::VerifyTrustChain,
    };
    let context = tls::CertificateValidationContext {
        trusted_ca: inline(bundle),
        trust_chain_verification: verification.into(),
        ..Default::default()
    };
    let r#type = Some(tls::secret::Type::ValidationContext(context));
    let message = tls::Secret { name: name.to_string(), r#type };
    Resource::new(ResourceType::Secret, name, Parts::leaf(encode::message(&message)), [])
}
