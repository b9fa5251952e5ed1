//! Each reason, one at a time; the order of reasons is that of what a reader would mend first.

use crate::model::{
    EndpointSlice, IpFamilies, Labels, Pod, PodIps, PodPort, Protocol, Service, ServicePort, SliceEndpoint, SlicePort,
    TargetPort,
};
use crate::translate::endpoints::judge::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn service() -> Service {
    Service { selector: Some(labels(&[("app", "web")])), ..Service::default() }
}

fn port(target: TargetPort) -> ServicePort {
    ServicePort { name: "http".into(), port: 80, target, protocol: Protocol::Tcp, app_protocol: None }
}

fn pod() -> Pod {
    let ips = ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|ip| ip.parse().unwrap());
    let ips = ips.into_iter().collect();
    Pod { labels: labels(&[("app", "web"), ("x", "y")]), ips, ready: true, ..Pod::default() }
}

#[test]
fn a_ready_pod_is_an_endpoint_at_its_first_address_and_the_first_of_the_other_family() {
    let expected = Addresses { primary: "10.0.0.1".parse().unwrap(), additional: "fd00::1".parse().ok() };
    assert_eq!(addresses(&service(), &pod()), Ok(expected));
    assert_eq!(selects(&service(), &pod()), Ok(()));
}

#[test]
fn finished_pods_and_pods_without_address_are_no_endpoints() {
    assert_eq!(exists(&pod()), Ok(()));
    assert_eq!(exists(&Pod { finished: true, ..pod() }), Err(NotEndpoint::Finished));
    assert_eq!(exists(&Pod { ips: PodIps::default(), ..pod() }), Err(NotEndpoint::NoAddress));
}

#[test]
fn a_service_of_one_family_has_endpoints_at_addresses_of_that_family_alone() {
    let of = |families| Service { families, ..service() };
    let only = |ip: &str| Ok(Addresses { primary: ip.parse().unwrap(), additional: None });
    assert_eq!(addresses(&of(IpFamilies::V4), &pod()), only("10.0.0.1"));
    assert_eq!(addresses(&of(IpFamilies::V6), &pod()), only("fd00::1"));
    let single = Pod { ips: ["10.0.0.1".parse().unwrap()].into_iter().collect(), ..pod() };
    assert_eq!(addresses(&of(IpFamilies::V6), &single), Err(NotEndpoint::OtherFamily));
}

#[test]
fn a_service_selects_by_all_pairs_and_none_selects_nothing() {
    let both = Service { selector: Some(labels(&[("app", "web"), ("tier", "front")])), ..service() };
    assert_eq!(selects(&both, &pod()), Err(NotEndpoint::NotSelected));
    assert_eq!(selects(&Service { selector: None, ..service() }, &pod()), Err(NotEndpoint::NotSelected));
}

#[test]
fn unready_and_terminating_pods_need_a_service_that_publishes_them() {
    let publishing = Service { publish_not_ready: true, ..service() };
    let unready = Pod { ready: false, ..pod() };
    let terminating = Pod { terminating: true, ..pod() };
    assert_eq!(selects(&service(), &unready), Err(NotEndpoint::NotReady));
    assert_eq!(selects(&service(), &terminating), Err(NotEndpoint::Terminating));
    assert_eq!(selects(&publishing, &unready), Ok(()));
    assert_eq!(selects(&publishing, &terminating), Ok(()));
}

#[test]
fn a_named_target_port_is_the_pods_own_tcp_port_of_that_name() {
    let named = |name: &str, port, protocol| PodPort { name: name.into(), port, protocol };
    let by_name = port(TargetPort::Name("web".into()));
    let ports =
        vec![named("web", 53, Protocol::Udp), named("other", 1, Protocol::Tcp), named("web", 8081, Protocol::Tcp)];
    assert_eq!(target_port(&by_name, &Pod { named_ports: ports.into_iter().collect(), ..pod() }), Ok(8081));
    assert_eq!(target_port(&by_name, &pod()), Err(NotEndpoint::NoPortNamed("web".into())));
    assert_eq!(target_port(&port(TargetPort::Number(8080)), &pod()), Ok(8080));
}

#[test]
fn a_slices_port_is_that_of_the_service_ports_name() {
    let slice = |name: &str, port, protocol| EndpointSlice {
        ports: vec![SlicePort { name: name.into(), port, protocol }],
        ..EndpointSlice::default()
    };
    let service_port = port(TargetPort::Number(1));
    assert_eq!(slice_port(&service_port, &slice("http", Some(8080), Protocol::Tcp)), Ok(8080));
    let none = Err(NotEndpoint::NoSlicePort("http".into()));
    assert_eq!(slice_port(&service_port, &slice("http", None, Protocol::Tcp)), none);
    assert_eq!(slice_port(&service_port, &slice("http", Some(8080), Protocol::Udp)), none);
    assert_eq!(slice_port(&service_port, &slice("other", Some(8080), Protocol::Tcp)), none);
}

#[test]
fn a_slices_entry_counts_when_ready_and_not_terminating() {
    let entry = |ready, terminating| SliceEndpoint {
        addresses: vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()],
        ready,
        terminating,
        zone: None,
    };
    assert_eq!(slice_address(&entry(true, false)).ok(), "192.0.2.1".parse().ok());
    assert_eq!(slice_address(&entry(false, false)), Err(NotEndpoint::NotReady));
    assert_eq!(slice_address(&entry(true, true)), Err(NotEndpoint::Terminating));
    let without = SliceEndpoint { addresses: vec![], ..entry(true, false) };
    assert_eq!(slice_address(&without), Err(NotEndpoint::NoAddress));
}
