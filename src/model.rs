//! Keys and plain domain values: what the watched objects mean to syncgate, and nothing else of them.
//!
//! Values here are narrow (what no transform reads is not stored), tolerant (an unknown enum value or a
//! malformed field is a value with a [`FieldProblem`], never a failed object) and comparable, because equal
//! rows stop propagation in the graph.
//!
//! Architecture invariant: this module knows no kube, prost or tokio, and imports nothing of ours.

pub mod config_map;
pub mod decode;
pub mod delta;
pub mod endpoint_slice;
pub mod gateway;
pub mod key;
pub mod meta;
pub mod namespace;
pub mod object;
pub mod pod;
pub mod problem;
pub mod reference_grant;
pub mod references;
pub mod route;
pub mod secret;
pub mod service;
pub mod want;

pub use config_map::ConfigMap;
pub use delta::{Delta, Event};
pub use endpoint_slice::{EndpointSlice, SliceEndpoint, SlicePort};
pub use gateway::{
    AllowedRoutes, CONTROLLER, CertificateRef, ClientValidation, FromNamespaces, FrontendTls, Gateway, GatewayClass,
    Listener, ListenerProtocol, ListenerTls, PortTls, RouteKind,
};
pub use key::{Kind, ObjectKey, ObjectRef};
pub use meta::{LabelSelector, Labels, Meta, Requirement, SelectorOperator};
pub use namespace::Namespace;
pub use object::Object;
pub use pod::{Pod, PodIps, PodPort, PodPorts};
pub use problem::{FieldProblem, Problem};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant};
pub use route::{
    BackendRef, HeaderMatch, HeaderModifier, HeaderValue, HttpRoute, Matcher, ParentRef, PathMatch, PathModifier,
    QueryMatch, Redirect, Rewrite, RouteFilter, RouteMatch, RouteRule,
};
pub use secret::{KeyBytes, Secret};
pub use service::{IpFamilies, PortRef, Protocol, Service, ServicePort, ServiceType, TargetPort};
pub use want::{Answer, Coverage, Want, Wants};
