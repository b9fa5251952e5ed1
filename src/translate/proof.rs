//! What the TLS settings of a Gateway refer to, proven: certificates in Secrets, and authorities in ConfigMaps.
//!
//! Both are judged alike: the kind, then consent, then the object, then what is in it. Envoy refuses a whole listener for one
//! bad PEM section, so each is proven here first, and handed on as PEM written anew, because readers differ on blank
//! lines, spaces and line ends.

use std::sync::Arc;

use arcstr::ArcStr;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use envoy_types::pb::envoy::config::core::v3 as core;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;

use super::grants::{self, Grants};
use crate::graph::{Lens, Rows, Stop, Value};
use crate::model::{CertificateRef, Kind, ObjectKey};

/// What an object was proven to hold, or why it cannot be used: a fragment with the remedy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof<T>(pub(crate) Result<T, ArcStr>);

/// A sort of references: what they lead to, and the reasons of conditions when they do not.
#[derive(Debug)]
pub(crate) struct Sort {
    kind: Kind,
    /// What an object of another kind is not.
    what: &'static str,
    wrong_kind: &'static str,
    pub(crate) invalid: &'static str,
}

/// `certificateRefs`.
pub(crate) const CERTIFICATE: Sort = Sort {
    kind: Kind::Secret,
    what: "a certificate that is served",
    wrong_kind: "InvalidCertificateRef",
    invalid: "InvalidCertificateRef",
};

/// `caCertificateRefs`.
pub(crate) const AUTHORITIES: Sort = Sort {
    kind: Kind::ConfigMap,
    what: "where authorities of clients are read",
    wrong_kind: "InvalidCACertificateKind",
    invalid: "InvalidCACertificateRef",
};

/// The lenses that references of a sort are resolved through.
pub(crate) struct Read<'o, 'p, 'g, O: Value, T: Value> {
    /// The objects themselves, because only an input knows what is still being looked for.
    pub(crate) objects: Lens<'o, Rows<ObjectKey, O>>,
    pub(crate) proofs: Lens<'p, Rows<ObjectKey, Proof<T>>>,
    pub(crate) grants: Lens<'g, Grants>,
}

impl<O: Value, T: Value> Read<'_, '_, '_, O, T> {
    /// What a reference of a Gateway leads to; if to nothing, the reason and the message of the condition that says so. A
    /// look-up without an answer is a problem of this reference alone: what else there is goes on.
    pub(crate) fn judge(
        &self,
        sort: &Sort,
        gateway: &ObjectKey,
        reference: &CertificateRef,
    ) -> Result<Arc<Proof<T>>, (&'static str, ArcStr)> {
        let (target, kind) = (&reference.target, sort.kind);
        if Kind::find(&reference.group, &reference.kind) != Some(kind) {
            let message = arcstr::format!("a {} is not {}; use a {kind}", reference.kind, sort.what);
            return Err((sort.wrong_kind, message));
        }
        let invalid = |message: ArcStr| (sort.invalid, message);
        let waits = |stop: Stop| invalid(arcstr::format!("{stop}"));
        // Before anything is said about the object: without consent not even its existence is told.
        grants::permit(self.grants, (Kind::Gateway, &gateway.namespace), (kind, target))
            .map_err(waits)?
            .map_err(|message| ("RefNotPermitted", message))?;
        self.objects.get(target).map_err(waits)?;
        let proof = self.proofs.get(target).map_err(waits)?;
        let proof = proof.ok_or_else(|| invalid(arcstr::format!("{kind} {target} does not exist")))?;
        match &proof.0 {
            Ok(_) => Ok(proof),
            Err(why) => Err(invalid(arcstr::format!("{kind} {target}: {why}"))),
        }
    }
}

/// The certificates of a PEM bundle that is `entry` of its object, each readable, and at least one.
pub(crate) fn certificates(entry: &str, bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>, ArcStr> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(bundle)
        .collect::<Result<_, _>>()
        .map_err(|error| arcstr::format!("`{entry}` is not PEM: {error}"))?;
    if found.is_empty() {
        return Err(arcstr::format!("`{entry}` holds no certificate"));
    }
    for (at, certificate) in found.iter().enumerate() {
        ParsedCertificate::try_from(certificate)
            .map_err(|error| arcstr::format!("certificate {} of `{entry}` cannot be read: {error}", at + 1))?;
    }
    Ok(found)
}

/// One PEM section.
pub(crate) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const LINE: usize = 64;
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(LINE) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}

/// Bytes as Envoy takes them within a message.
pub(crate) fn inline(bytes: Vec<u8>) -> Option<core::DataSource> {
    let specifier = Some(core::data_source::Specifier::InlineBytes(bytes));
    Some(core::DataSource { specifier, ..Default::default() })
}
