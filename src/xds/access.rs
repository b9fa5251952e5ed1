//! Who a peer is, and which Gateways it may have (invariant `own_only`).
//!
//! | Peer | May have |
//! |---|---|
//! | on loopback, without a certificate and a token | every Gateway: it is on this machine |
//! | a certificate with the URI `spiffe://<domain>/ns/<namespace>/sa/<name>` | the Gateways of that namespace |
//! | without such a certificate, a [token](super::token) of the ServiceAccount `<namespace>/<name>` | the same |
//! | the same, if `<namespace>/<name>` is a fleet's | every Gateway |
//! | a certificate with the URI `spiffe://<domain>/gateway/<namespace>/<name>` | that Gateway |
//! | anyone else | nothing, unless the operator said that anyone may have everything |
//!
//! The domain is not looked at: whom to trust is said by the bundle of certificate authorities.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arcstr::ArcStr;
use tonic::Status;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::metrics;

/// What a certificate has to say.
const NEEDED: &str = "it needs the URI spiffe://<domain>/ns/<the Gateway's namespace>/sa/<name> or \
                      spiffe://<domain>/gateway/<namespace>/<name>";
/// Of whom a token has to be.
const ACCOUNT_NEEDED: &str = "it needs a ServiceAccount of the Gateway's namespace, or one of --xds-fleets";

/// What the operator permits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Peers off loopback need no identity, and anyone may have every Gateway.
    pub anyone: bool,
    /// ServiceAccounts, as `<namespace>/<name>`, whose Envoys serve Gateways of all namespaces.
    pub fleets: BTreeSet<ArcStr>,
}

/// Who a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// It is on this machine.
    Loopback,
    /// A client certificate that was proven; these are its names.
    Certificate(Arc<[Name]>),
    /// A token that was proven, of this ServiceAccount.
    Token(Name),
    /// It is elsewhere and showed nothing.
    Unknown,
}

/// A SPIFFE id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A ServiceAccount, as `<namespace>/<name>`.
    ServiceAccount(ArcStr),
    /// A Gateway, as `<namespace>/<name>`.
    Gateway(ArcStr),
    /// Something else, which permits nothing.
    Other(ArcStr),
}

impl Name {
    fn parse(uri: &str) -> Name {
        let path = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
        let parts: Vec<&str> = path.unwrap_or_default().split('/').collect();
        match parts.as_slice() {
            ["ns", namespace, "sa", name] => Name::ServiceAccount(arcstr::format!("{namespace}/{name}")),
            ["gateway", namespace, name] => Name::Gateway(arcstr::format!("{namespace}/{name}")),
            _ => Name::Other(uri.chars().take(200).collect::<String>().into()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::ServiceAccount(account) => write!(f, "ServiceAccount {account}"),
            Name::Gateway(gateway) => write!(f, "Gateway {gateway}"),
            Name::Other(uri) => write!(f, "{uri:?}"),
        }
    }
}

impl Identity {
    /// The names in a certificate that the handshake proved.
    pub(super) fn of_certificate(der: &[u8]) -> Identity {
        let mut names = Vec::new();
        if let Ok((_, certificate)) = X509Certificate::from_der(der) {
            for extension in certificate.extensions() {
                if let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() {
                    names.extend(alternative.general_names.iter().filter_map(|name| match name {
                        GeneralName::URI(uri) => Some(Name::parse(uri)),
                        _ => None,
                    }));
                }
            }
        }
        Identity::Certificate(names.into())
    }

    /// Of the ServiceAccount `<namespace>/<name>`, whose token was proven.
    pub(super) fn of_token(account: ArcStr) -> Identity {
        Identity::Token(Name::ServiceAccount(account))
    }

    /// Whether it was proven who this is, so that a token has nothing to add.
    pub(super) fn is_proven(&self) -> bool {
        self.names().next().is_some()
    }

    /// Those of its names that permit something.
    fn names(&self) -> impl Iterator<Item = &Name> {
        let names = match self {
            Identity::Certificate(names) => names,
            Identity::Token(name) => std::slice::from_ref(name),
            Identity::Loopback | Identity::Unknown => &[],
        };
        names.iter().filter(|name| !matches!(name, Name::Other(_)))
    }

    /// Who it is, however it was proven; none if it was not.
    pub(super) fn account(&self) -> Option<ArcStr> {
        let names: Vec<String> = self.names().map(Name::to_string).collect();
        (!names.is_empty()).then(|| names.join(", ").into())
    }

    /// Whose it is: the namespace of its ServiceAccount or Gateway, however it was proven; none if it was not. Whoever owns a
    /// namespace has as many ServiceAccounts as it likes. A certificate of several counts for the first.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.names().find_map(|name| match name {
            Name::ServiceAccount(name) | Name::Gateway(name) => name.split('/').next(),
            Name::Other(_) => None,
        })
    }

    /// Whether nothing is known of it that permits anything.
    pub(super) fn is_strange(&self) -> bool {
        *self != Identity::Loopback && !self.is_proven()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Loopback => f.write_str("a peer on loopback"),
            Identity::Unknown => f.write_str("a peer without identity"),
            Identity::Token(name) => write!(f, "the token of {name}"),
            Identity::Certificate(names) if names.is_empty() => f.write_str("a certificate without a URI"),
            Identity::Certificate(names) => {
                f.write_str("the certificate of ")?;
                for (at, name) in names.iter().take(5).enumerate() {
                    write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl Access {
    /// Whether this peer may open a stream at all.
    ///
    /// # Errors
    /// PERMISSION_DENIED, with the remedy; counted.
    pub(super) fn admit(&self, identity: &Identity) -> Result<(), Status> {
        // Before anything of a stream is read: that it can have nothing at all is plain.
        if self.anyone || !identity.is_strange() {
            return Ok(());
        }
        metrics::stream_unserved("no_identity");
        if let Identity::Certificate(_) = identity {
            return Err(Status::permission_denied(format!(
                "{identity} names no ServiceAccount and no Gateway: {NEEDED}"
            )));
        }
        Err(Status::permission_denied(
            "streams off loopback need an identity: connect with TLS, and a client certificate or the token of a \
             ServiceAccount",
        ))
    }

    /// Whether this peer may have a Gateway, `<namespace>/<name>`.
    ///
    /// # Errors
    /// PERMISSION_DENIED, with what would be needed; counted. It says nothing of whether there is such a Gateway.
    pub(super) fn permits(&self, identity: &Identity, gateway: &str) -> Result<(), Status> {
        let namespace = gateway.split_once('/').map_or("", |(namespace, _)| namespace);
        let permits = |name: &Name| match name {
            Name::Gateway(named) => named == gateway,
            Name::ServiceAccount(account) => {
                self.fleets.contains(account) || account.split_once('/').is_some_and(|(of, _)| of == namespace)
            }
            Name::Other(_) => false,
        };
        let permitted = match identity {
            _ if self.anyone => true,
            Identity::Loopback => true,
            Identity::Unknown => false,
            Identity::Certificate(names) => names.iter().any(permits),
            Identity::Token(name) => permits(name),
        };
        if permitted {
            return Ok(());
        }
        metrics::stream_unserved("foreign_gateway");
        let needed = if matches!(identity, Identity::Token(_)) { ACCOUNT_NEEDED } else { NEEDED };
        Err(Status::permission_denied(format!("{identity} may not have Gateway {gateway}: {needed}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(uris: &[&str]) -> Identity {
        Identity::Certificate(uris.iter().map(|uri| Name::parse(uri)).collect())
    }

    #[test]
    fn a_service_account_has_the_gateways_of_its_namespace() {
        let access = Access::default();
        let identity = certificate(&["spiffe://cluster.local/ns/shop/sa/envoy"]);
        assert!(access.permits(&identity, "shop/web").is_ok());
        let refused = access.permits(&identity, "blog/web").expect_err("another namespace");
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        let expected = "the certificate of ServiceAccount shop/envoy may not have Gateway blog/web: it needs the URI";
        assert!(refused.message().starts_with(expected), "{refused}");
        let fleet = Access { fleets: [ArcStr::from("shop/envoy")].into(), ..Access::default() };
        assert!(fleet.permits(&identity, "blog/web").is_ok());
    }

    #[test]
    fn a_token_has_what_a_certificate_of_its_account_has() {
        let identity = Identity::of_token("shop/envoy".into());
        assert!(Access::default().admit(&identity).is_ok());
        assert!(Access::default().permits(&identity, "shop/web").is_ok());
        let refused = Access::default().permits(&identity, "blog/web").expect_err("another namespace");
        let expected =
            "the token of ServiceAccount shop/envoy may not have Gateway blog/web: it needs a ServiceAccount";
        assert!(refused.message().starts_with(expected), "{refused}");
        let fleet = Access { fleets: [ArcStr::from("shop/envoy")].into(), ..Access::default() };
        assert!(fleet.permits(&identity, "blog/web").is_ok());
    }

    #[test]
    fn a_gateways_own_certificate_has_that_gateway_alone() {
        let identity = certificate(&["spiffe://any.example/gateway/shop/web"]);
        assert!(Access::default().permits(&identity, "shop/web").is_ok());
        assert!(Access::default().permits(&identity, "shop/web2").is_err());
        assert!(Access::default().permits(&identity, "shop").is_err());
    }

    #[test]
    fn what_is_no_such_name_permits_nothing() {
        for uri in ["", "spiffe://d", "spiffe://d/ns/shop", "spiffe://d/ns/shop/sa/a/b", "https://d/ns/shop/sa/a"] {
            let identity = certificate(&[uri]);
            assert!(Access::default().admit(&identity).is_err(), "it can have nothing: {uri:?}");
            assert!(Access::default().permits(&identity, "shop/web").is_err(), "{uri:?}");
        }
        assert!(Access::default().permits(&certificate(&[]), "shop/web").is_err());
    }

    #[test]
    fn off_loopback_nothing_goes_without_identity() {
        let refused = Access::default().admit(&Identity::Unknown).expect_err("no identity");
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        let anyone = Access { anyone: true, ..Access::default() };
        assert!(anyone.admit(&Identity::Unknown).is_ok() && anyone.permits(&Identity::Unknown, "a/b").is_ok());
        assert!(Access::default().permits(&Identity::Loopback, "a/b").is_ok());
    }

    #[test]
    fn the_uris_of_a_certificate_are_found() {
        let mut params = rcgen::CertificateParams::new(vec!["envoy.example".to_owned()]).expect("valid");
        let uri = rcgen::string::Ia5String::try_from("spiffe://cluster.local/ns/shop/sa/envoy").expect("ASCII");
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        let key = rcgen::KeyPair::generate().expect("a key");
        let identity = Identity::of_certificate(params.self_signed(&key).expect("signs").der());
        assert_eq!(identity, certificate(&["spiffe://cluster.local/ns/shop/sa/envoy"]));
        assert_eq!(Identity::of_certificate(b"garbage"), certificate(&[]));
    }
}
