//! The graph's inputs for objects: one collection for each kind, and the way in for an object of any kind.

use crate::graph::{Batch, GraphBuilder, Input};
use crate::model::{
    ConfigMap, EndpointSlice, Gateway, GatewayClass, HttpRoute, Kind, Namespace, Object, ObjectKey, ObjectRef, Pod,
    PortRef, ReferenceGrant, Secret, Service,
};

use super::led::Led;

/// Does the same to the input of a kind, whatever the type of its rows.
macro_rules! on_input {
    ($inputs:expr, $kind:expr, |$input:ident| $change:expr) => {
        match $kind {
            Kind::GatewayClass => on_input!(@one $inputs.gateway_classes, $input, $change),
            Kind::Gateway => on_input!(@one $inputs.gateways, $input, $change),
            Kind::HttpRoute => on_input!(@one $inputs.routes, $input, $change),
            Kind::ReferenceGrant => on_input!(@one $inputs.grants, $input, $change),
            Kind::Namespace => on_input!(@one $inputs.namespaces, $input, $change),
            Kind::Service => on_input!(@one $inputs.services, $input, $change),
            Kind::Pod => on_input!(@one $inputs.pods, $input, $change),
            Kind::EndpointSlice => on_input!(@one $inputs.slices, $input, $change),
            Kind::Secret => on_input!(@one $inputs.secrets, $input, $change),
            Kind::ConfigMap => on_input!(@one $inputs.config_maps, $input, $change),
        }
    };
    (@one $of:expr, $input:ident, $change:expr) => {{
        let $input = $of;
        $change
    }};
}

/// One input for each kind that syncgate reads, and one for what the door waits for.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// GatewayClasses.
    pub gateway_classes: Input<ObjectKey, GatewayClass>,
    /// Gateways, of every class.
    pub gateways: Input<ObjectKey, Gateway>,
    /// HTTPRoutes.
    pub routes: Input<ObjectKey, HttpRoute>,
    /// ReferenceGrants.
    pub grants: Input<ObjectKey, ReferenceGrant>,
    /// Namespaces.
    pub namespaces: Input<ObjectKey, Namespace>,
    /// Services.
    pub services: Input<ObjectKey, Service>,
    /// Pods.
    pub pods: Input<ObjectKey, Pod>,
    /// EndpointSlices that the endpoint-slice controller does not manage.
    pub slices: Input<ObjectKey, EndpointSlice>,
    /// Secrets.
    pub secrets: Input<ObjectKey, Secret>,
    /// ConfigMaps.
    pub config_maps: Input<ObjectKey, ConfigMap>,
    /// Service ports that changes lead to which wait at the door.
    pub awaited: Input<PortRef, Led>,
}

impl Inputs {
    /// Draws the inputs.
    pub(crate) fn draw(graph: &mut GraphBuilder) -> Self {
        Self {
            gateway_classes: graph.input("gateway classes"),
            gateways: graph.input("gateways"),
            routes: graph.input("routes"),
            grants: graph.input("grants"),
            namespaces: graph.input("namespaces"),
            services: graph.input("services"),
            pods: graph.input("pods"),
            slices: graph.input("slices"),
            secrets: graph.input("secrets"),
            config_maps: graph.input("config maps"),
            awaited: graph.input("awaited ports"),
        }
    }

    /// Writes an object into the input of its kind.
    pub fn put(&self, batch: &mut Batch, key: &ObjectKey, object: &Object) {
        match object {
            Object::GatewayClass(value) => batch.put(self.gateway_classes, key.clone(), value.clone()),
            Object::Gateway(value) => batch.put(self.gateways, key.clone(), value.clone()),
            Object::HttpRoute(value) => batch.put(self.routes, key.clone(), value.clone()),
            Object::ReferenceGrant(value) => batch.put(self.grants, key.clone(), value.clone()),
            Object::Namespace(value) => batch.put(self.namespaces, key.clone(), value.clone()),
            Object::Service(value) => batch.put(self.services, key.clone(), value.clone()),
            Object::Pod(value) => batch.put(self.pods, key.clone(), value.clone()),
            Object::EndpointSlice(value) => batch.put(self.slices, key.clone(), value.clone()),
            Object::Secret(value) => batch.put(self.secrets, key.clone(), value.clone()),
            Object::ConfigMap(value) => batch.put(self.config_maps, key.clone(), value.clone()),
        }
    }

    /// Takes an object out of the input of its kind.
    pub fn delete(&self, batch: &mut Batch, object: &ObjectRef) {
        on_input!(self, object.kind, |input| batch.delete(input, &object.key));
    }

    /// Says that a look-up of this object has no answer yet, until it is put, deleted or declared absent.
    pub fn pending(&self, batch: &mut Batch, object: &ObjectRef) {
        on_input!(self, object.kind, |input| batch.pending(input, object.key.clone()));
    }

    /// Says that this object is known not to exist, whatever the state of its input.
    pub fn absent(&self, batch: &mut Batch, object: &ObjectRef) {
        on_input!(self, object.kind, |input| batch.absent(input, &object.key));
    }

    /// Says that a change which waits at the door leads to this Service port, or that none does any more.
    pub fn await_port(&self, batch: &mut Batch, port: &PortRef, waits: bool) {
        if waits {
            batch.put(self.awaited, port.clone(), Led.into());
        } else {
            batch.delete(self.awaited, port);
        }
    }

    /// Says that every object of this kind has been put: what is not there does not exist.
    pub fn complete(&self, batch: &mut Batch, kind: Kind) {
        on_input!(self, kind, |input| batch.complete(input));
        // Nothing waits before the first lists are whole.
        if kind == Kind::HttpRoute {
            batch.complete(self.awaited);
        }
    }

    /// Takes [`complete`](Self::complete) back.
    pub fn incomplete(&self, batch: &mut Batch, kind: Kind) {
        on_input!(self, kind, |input| batch.incomplete(input));
    }
}
