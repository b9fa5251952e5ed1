//! From domain rows to Envoy resources and to the status of each object: the graph's nodes, drawn with pure
//! transforms.
//!
//! Architecture invariant: nothing here waits, logs, reads a clock or keeps state of its own; what a transform
//! yields depends on the rows it read and on nothing else.

pub mod clusters;
pub mod endpoints;
pub mod gateways;
pub mod hostname;
pub mod inputs;
pub mod keys;
pub mod names;
pub mod status;

pub use gateways::{Accepted, CONTROLLER};
pub use inputs::Inputs;
pub use names::ResourceKey;
pub use status::{Condition, ListenerStatus, ParentStatus, Status};

use crate::graph::{GraphBuilder, Rows};
use crate::model::{ObjectKey, ObjectRef};
use crate::resource::Resource;

/// What translation yields.
#[derive(Debug, Clone, Copy)]
pub struct Outputs {
    /// Every Gateway of a class of ours. What is not here has no snapshot.
    pub gateways: Rows<ObjectKey, Accepted>,
    /// Every resource of every such Gateway. Clusters and load assignments are shared: the same rows under the
    /// names of several Gateways.
    pub resources: Rows<ResourceKey, Resource>,
    /// The status of every GatewayClass, Gateway and HTTPRoute, also of those that are not ours.
    pub statuses: Rows<ObjectRef, Status>,
}

/// Draws all of translation.
pub fn build(graph: &mut GraphBuilder) -> (Inputs, Outputs) {
    let inputs = Inputs::draw(graph);
    let gateways =
        graph.derive("accepted gateways", inputs.gateways).reading(inputs.gateway_classes).rows(gateways::accept);
    let resources = graph.derive("resources", gateways).rows(|_, _, _| Ok(()));
    let statuses = graph.derive("statuses", gateways).rows(|_, _, _| Ok(()));
    (inputs, Outputs { gateways, resources, statuses })
}
