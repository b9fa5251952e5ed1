//! Services, Pods and EndpointSlices in, clusters and load assignments out (F25 to F28).

use syncgate::graph::GraphBuilder;
use syncgate::model::decode::Decoded;
use syncgate::model::{Object, PortRef};
use syncgate::render;
use syncgate::translate::endpoints;
use syncgate::translate::led::{self, Led};

use crate::harness;

#[test]
fn endpoints_are_as_the_golden_files_say() {
    harness::check("endpoints", translate);
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    for case in harness::cases("endpoints") {
        let mut objects = harness::objects(&case.join("input.yaml"));
        let forwards = translate(&objects);
        objects.reverse();
        assert_eq!(forwards, translate(&objects), "{}", case.display());
    }
}

fn translate(objects: &[Decoded]) -> String {
    let mut builder = GraphBuilder::new();
    let (services, pods, slices) = (builder.input("services"), builder.input("pods"), builder.input("slices"));
    let leads = builder.input("leads");
    let led = builder.derive("led ports", leads).reading(services).rows(led::by_waiting);
    let endpoints = endpoints::build(&mut builder, services, pods, slices, led);
    let mut graph = builder.build();
    for decoded in objects {
        assert_eq!(decoded.problems, [], "{}", decoded.at);
        let key = decoded.at.key.clone();
        graph.epoch(|batch| match &decoded.object {
            Object::Service(service) => {
                for port in &service.ports {
                    batch.put(leads, PortRef { service: key.clone(), port: port.port }, Led.into());
                }
                batch.put(services, key, service.clone());
            }
            Object::Pod(pod) => batch.put(pods, key, pod.clone()),
            Object::EndpointSlice(slice) => batch.put(slices, key, slice.clone()),
            other => panic!("not an input of endpoints: {}", other.kind()),
        });
    }
    graph.epoch(|batch| {
        batch.complete(leads);
        batch.complete(services);
        batch.complete(pods);
        batch.complete(slices);
    });
    let mut rows: Vec<_> = graph.iter(endpoints.clusters).chain(graph.iter(endpoints.assignments)).collect();
    rows.sort_by_key(|(key, resource)| ((*key).clone(), resource.kind));
    render::yaml(rows.into_iter().map(|(_, resource)| &**resource))
}
