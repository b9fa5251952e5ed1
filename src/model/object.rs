//! One object of any kind: the unit that sources deliver and the door lets in.

use std::sync::Arc;

use super::{
    ConfigMap, EndpointSlice, Gateway, GatewayClass, HttpRoute, Kind, Namespace, Pod, ReferenceGrant, Secret, Service,
};

/// An object's value; its name travels beside it as an [`ObjectRef`](super::ObjectRef).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// See [`GatewayClass`].
    GatewayClass(Arc<GatewayClass>),
    /// See [`Gateway`].
    Gateway(Arc<Gateway>),
    /// See [`HttpRoute`].
    HttpRoute(Arc<HttpRoute>),
    /// See [`ReferenceGrant`].
    ReferenceGrant(Arc<ReferenceGrant>),
    /// See [`Namespace`].
    Namespace(Arc<Namespace>),
    /// See [`Service`].
    Service(Arc<Service>),
    /// See [`Pod`].
    Pod(Arc<Pod>),
    /// See [`EndpointSlice`].
    EndpointSlice(Arc<EndpointSlice>),
    /// See [`Secret`].
    Secret(Arc<Secret>),
    /// See [`ConfigMap`].
    ConfigMap(Arc<ConfigMap>),
}

impl Object {
    /// The object's kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Object::GatewayClass(_) => Kind::GatewayClass,
            Object::Gateway(_) => Kind::Gateway,
            Object::HttpRoute(_) => Kind::HttpRoute,
            Object::ReferenceGrant(_) => Kind::ReferenceGrant,
            Object::Namespace(_) => Kind::Namespace,
            Object::Service(_) => Kind::Service,
            Object::Pod(_) => Kind::Pod,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::Secret(_) => Kind::Secret,
            Object::ConfigMap(_) => Kind::ConfigMap,
        }
    }
}
