//! From domain rows to Envoy resources and to the status of each object: the graph's nodes, drawn with pure
//! transforms.
//!
//! ```text
//!  gateway classes ─┐
//!  gateways ────────┴► accepted gateways ─┬► bound ports ◄─ certificates ◄─ secrets
//!  namespaces ──┐            │            │      │  ▲       (grants)
//!               │            │            │      │  └────── clients ◄─ authorities ◄─ config maps
//!  routes ──────┴► attached routes ─┐     ├► tables, bases
//!      │                            ▼     ▼      │
//!      └► compiled routes ──────► entries ─► host routes ─► virtual hosts ─► route configurations
//!      │    ▲  (services' ports, grants)                                             │
//!      └► led ports ─► clusters, load assignments ───────────────► resources ◄───────┴── what each Gateway needs
//!              ▲  (services, pods, slices)
//!              └─ what waits at the door
//!                              statuses ◄─ everything that was judged on the way
//! ```
//!
//! Architecture invariant: nothing here waits, logs, reads a clock or keeps state of its own; what a transform
//! yields depends on the rows it read and on nothing else.

mod ads;
mod attachment;
mod backends;
mod certificates;
mod clients;
mod cluster_count;
mod filters;
mod gateway_status;
mod grants;
mod listeners;
mod only;
mod ports;
mod precedence;
mod proof;
mod refusal;
mod regex;
mod resources;
mod route_configs;
mod route_status;
mod routes;
mod rule_action;
mod rule_match;
mod text;
mod virtual_hosts;

pub mod clusters;
pub mod endpoints;
pub mod gateways;
pub mod hostname;
pub mod inputs;
pub mod keys;
pub mod led;
pub mod names;
pub mod status;

pub use gateways::Accepted;
pub use inputs::Inputs;
pub use names::ResourceKey;
pub use status::{Condition, ListenerStatus, ParentStatus, Status};

use crate::graph::{GraphBuilder, Rows};
use crate::model::{ObjectKey, ObjectRef};
use crate::resource::Resource;

use keys::ClusterKey;

/// What translation yields.
#[derive(Debug, Clone, Copy)]
pub struct Outputs {
    /// Every Gateway of a class of ours. What is not here has no snapshot.
    pub gateways: Rows<ObjectKey, Accepted>,
    /// Every resource of every such Gateway. Clusters and load assignments are shared: the same rows under the
    /// names of several Gateways.
    pub resources: Rows<ResourceKey, Resource>,
    /// The load assignment of every Service port that anything leads to.
    pub assignments: Rows<ClusterKey, Resource>,
    /// The status of every GatewayClass, Gateway and HTTPRoute, also of those that are not ours.
    pub statuses: Rows<ObjectRef, Status>,
}

/// Draws all of translation.
pub fn build(graph: &mut GraphBuilder) -> (Inputs, Outputs) {
    let inputs = Inputs::draw(graph);
    let ports = endpoints::ports(graph, inputs.services);
    let grants = graph.index("grants by namespace", inputs.grants, grants::by_namespace);
    let gateways =
        graph.derive("accepted gateways", inputs.gateways).reading(inputs.gateway_classes).rows(gateways::accept);
    let routes = draw_routes(graph, &inputs, ports, grants, gateways);
    let led = draw_led(graph, &inputs, &routes);
    let backends = endpoints::build(graph, inputs.services, inputs.pods, inputs.slices, led);
    let configs = draw_route_configs(graph, gateways, &routes);
    let certificates = graph.derive("certificates", inputs.secrets).rows(certificates::certificate);
    let bound = draw_ports(graph, &inputs, certificates, grants, gateways);
    let needs = draw_needs(graph, &routes, configs, bound);
    let resources = graph
        .derive("resources", needs)
        .reading(backends.clusters)
        .reading(backends.assignments)
        .reading(certificates)
        .rows(resources::resource);
    let statuses = draw_statuses(graph, &inputs, gateways, &routes, bound);
    (inputs, Outputs { gateways, resources, assignments: backends.assignments, statuses })
}

fn draw_ports(
    graph: &mut GraphBuilder,
    inputs: &Inputs,
    certificates: Rows<ObjectKey, certificates::Certificate>,
    grants: grants::Grants,
    gateways: Rows<ObjectKey, Accepted>,
) -> Rows<names::PortKey, ports::Bound> {
    let ports = graph.derive("ports", gateways).rows(ports::by_port);
    let authorities = graph.derive("authorities", inputs.config_maps).rows(clients::authorities);
    let clients = graph
        .derive("clients", ports)
        .reading(inputs.config_maps)
        .reading(authorities)
        .reading(grants)
        .rows(clients::of_port);
    graph
        .derive("bound ports", ports)
        .reading(inputs.secrets)
        .reading(certificates)
        .reading(grants)
        .reading(clients)
        .rows(ports::bind)
}

/// Routes as far as they are known by themselves.
struct Routes {
    attached: Rows<ObjectKey, attachment::Attached>,
    compiled: Rows<ObjectKey, routes::Compiled>,
}

fn draw_routes(
    graph: &mut GraphBuilder,
    inputs: &Inputs,
    service_ports: Rows<ClusterKey, endpoints::PortFacts>,
    grants: grants::Grants,
    gateways: Rows<ObjectKey, Accepted>,
) -> Routes {
    let attached = graph
        .derive("attached routes", inputs.routes)
        .reading(gateways)
        .reading(inputs.gateways)
        .reading(inputs.namespaces)
        .rows(attachment::attach);
    let compiled = graph
        .derive("compiled routes", inputs.routes)
        .reading(inputs.services)
        .reading(service_ports)
        .reading(grants)
        .rows(routes::compile);
    Routes { attached, compiled }
}

fn draw_led(graph: &mut GraphBuilder, inputs: &Inputs, routes: &Routes) -> Rows<ClusterKey, led::Led> {
    let by_routes = graph.derive("ports of routes", routes.attached).reading(routes.compiled).rows(led::by_route);
    let by_waiting = graph.derive("ports awaited", inputs.awaited).reading(inputs.services).rows(led::by_waiting);
    graph
        .fold::<led::LedFold, _>("led ports")
        .from(by_routes, |(cluster, _), _| cluster.clone())
        .from(by_waiting, |cluster, _| cluster.clone())
        .rows()
}

fn draw_route_configs(
    graph: &mut GraphBuilder,
    gateways: Rows<ObjectKey, Accepted>,
    routes: &Routes,
) -> Rows<names::TableKey, Resource> {
    let entries = graph.derive("route entries", routes.attached).reading(routes.compiled).rows(virtual_hosts::entries);
    let bases = graph.derive("host bases", gateways).rows(virtual_hosts::bases);
    let host_routes = graph
        .fold::<virtual_hosts::HostFold, _>("host routes")
        .from(entries, virtual_hosts::host_of)
        .from(bases, |key, _| key.clone())
        .rows();
    let hosts = graph.derive("virtual hosts", host_routes).reading(host_routes).rows(virtual_hosts::virtual_host);
    let tables = graph.derive("route tables", gateways).rows(route_configs::tables);
    graph
        .fold::<route_configs::TableFold, _>("route configurations")
        .from(tables, |key, _| key.clone())
        .from(hosts, |key, _| key.table.clone())
        .rows()
}

fn draw_needs(
    graph: &mut GraphBuilder,
    routes: &Routes,
    configs: Rows<names::TableKey, Resource>,
    bound: Rows<names::PortKey, ports::Bound>,
) -> Rows<ResourceKey, resources::Need> {
    let of_routes = graph.derive("needs of routes", routes.attached).reading(routes.compiled).rows(resources::of_route);
    let of_tables = graph.derive("needs of tables", configs).rows(resources::of_table);
    let of_ports = graph.derive("needs of ports", bound).rows(resources::of_port);
    graph
        .fold::<only::Only<resources::Need>, _>("needs")
        .from(of_routes, |key, _| key.clone())
        .from(of_tables, |key, _| key.clone())
        .from(of_ports, |key, _| key.clone())
        .rows()
}

fn draw_statuses(
    graph: &mut GraphBuilder,
    inputs: &Inputs,
    gateways: Rows<ObjectKey, Accepted>,
    routes: &Routes,
    bound: Rows<names::PortKey, ports::Bound>,
) -> Rows<ObjectRef, Status> {
    let attachments = graph.derive("attachments", routes.attached).rows(gateway_status::attachments);
    let counts = graph
        .fold::<gateway_status::Counts, _>("attached counts")
        .from(attachments, |key, _| key.listener.gateway.clone())
        .rows();
    let of_classes = graph.derive("statuses of classes", inputs.gateway_classes).rows(gateway_status::of_class);
    let of_gateways = graph
        .derive("statuses of gateways", inputs.gateways)
        .reading(inputs.gateway_classes)
        .reading(gateways)
        .reading(bound)
        .reading(counts)
        .rows(gateway_status::of_gateway);
    let of_routes = graph
        .derive("statuses of routes", inputs.routes)
        .reading(routes.attached)
        .reading(routes.compiled)
        .rows(route_status::of_route);
    graph
        .fold::<only::Only<Status>, _>("statuses")
        .from(of_classes, |key, _| key.clone())
        .from(of_gateways, |key, _| key.clone())
        .from(of_routes, |key, _| key.clone())
        .rows()
}
