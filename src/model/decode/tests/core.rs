//! The kinds of Kubernetes itself, and ReferenceGrant.

use serde_json::{Value, json};

use super::{check_problem, decoded, object, problems};
use crate::model::decode::{NotDecoded, decode};
use crate::model::{
    ConfigMap, EndpointSlice, IpFamilies, Namespace, Object, Pod, Protocol, ReferenceGrant, Secret, Service,
    ServiceType, TargetPort,
};

fn service(spec: Value) -> (Service, Vec<String>) {
    let tree = object("v1", "Service", "s", json!({"spec": spec}));
    let Object::Service(service) = decoded(&tree).object else { panic!("a Service") };
    ((*service).clone(), problems(&tree))
}

fn pod(rest: Value) -> Pod {
    let tree = object("v1", "Pod", "p", rest);
    assert_eq!(problems(&tree), Vec::<String>::new());
    let Object::Pod(pod) = decoded(&tree).object else { panic!("a Pod") };
    (*pod).clone()
}

#[test]
fn a_namespace_has_its_name_as_a_label() {
    let Object::Namespace(found) = decoded(&object("v1", "Namespace", "shop", json!({}))).object else { panic!() };
    let own = ("kubernetes.io/metadata.name".into(), "shop".into());
    assert_eq!(*found, Namespace { labels: [own].into_iter().collect(), ..Namespace::default() });
}

#[test]
fn a_service_is_read_with_its_defaults() {
    let (found, problems) =
        service(json!({"selector": {"app": "a"}, "clusterIP": "None", "publishNotReadyAddresses": true,
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "appProtocol": "kubernetes.io/h2c"},
                  {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "zero", "port": 81, "targetPort": 0}]}));
    assert_eq!(problems, Vec::<String>::new());
    assert!(found.headless && found.publish_not_ready && found.kind == ServiceType::Cluster);
    let ports: Vec<_> = found.ports.iter().map(|p| (p.port, p.target.clone(), p.protocol.clone())).collect();
    assert_eq!(
        ports,
        [
            (80, TargetPort::Name("web".into()), Protocol::Tcp),
            (53, TargetPort::Number(53), Protocol::Udp),
            (81, TargetPort::Number(81), Protocol::Tcp),
        ]
    );
    assert_eq!(found.ports[0].app_protocol.as_deref(), Some("kubernetes.io/h2c"));

    let (found, _) = service(json!({"type": "ExternalName", "externalName": "example.com"}));
    assert_eq!(found.kind, ServiceType::ExternalName("example.com".into()));
    let (found, _) = service(json!({"selector": {}, "ports": [{"port": 1}]}));
    assert_eq!(found.selector, None);
}

#[test]
fn a_services_families_are_those_it_names() {
    let families = |named: Value| {
        let (found, problems) = service(json!({"ipFamilies": named, "ports": [{"port": 1}]}));
        (found.families, problems)
    };
    let fine = |families| (families, Vec::new());
    assert_eq!(families(json!([])), fine(IpFamilies::Any));
    assert_eq!(families(json!(["IPv4"])), fine(IpFamilies::V4));
    assert_eq!(families(json!(["IPv6"])), fine(IpFamilies::V6));
    assert_eq!(families(json!(["IPv6", "IPv4"])), fine(IpFamilies::Any));
    let (_, problems) = families(json!(["IPv5"]));
    assert_eq!(problems, ["spec.ipFamilies[0]: must be IPv4 or IPv6, is \"IPv5\""]);
}

#[test]
fn a_malformed_selector_selects_nothing_rather_than_more() {
    let (found, problems) = service(json!({"selector": {"app": "a", "version": 2}, "ports": [{"port": 1}]}));
    assert_eq!(found.selector, None);
    assert_eq!(problems, ["spec.selector[version]: must be a string, is a number (put it in quotes)"]);
}

#[test]
fn a_malformed_port_leaves_its_siblings() {
    let cases = [
        (json!({"name": "b", "port": 0}), "spec.ports[1].port", "from 1 to 65535"),
        (json!({"name": "b", "port": 65536}), "spec.ports[1].port", "from 1 to 65535"),
        (json!({"name": "b", "port": "80"}), "spec.ports[1].port", "whole number"),
        (json!({"name": "b"}), "spec.ports[1].port", "required"),
        (json!({"name": "b", "port": 81, "targetPort": "8080"}), "spec.ports[1].targetPort", "without quotes"),
        (json!({"port": 81}), "spec.ports[1].name", "required"),
        (json!({"name": "a", "port": 81}), "spec.ports[1].name", "unique"),
        (json!({"name": "b", "port": 80}), "spec.ports[1].port", "twice"),
        (json!(7), "spec.ports[1]", "must be a mapping"),
    ];
    for (port, field, message) in cases {
        let spec = json!({"ports": [{"name": "a", "port": 80}, port]});
        check_problem(&object("v1", "Service", "s", json!({"spec": spec})), field, message);
        assert_eq!(service(spec).0.ports.len(), 1);
    }
    let (found, problems) = service(json!({"ports": [{"port": 80, "protocol": "QUIC"}]}));
    assert_eq!(found.ports[0].protocol, Protocol::Unknown("QUIC".into()));
    assert!(problems[0].contains("must be TCP, UDP or SCTP"));
}

#[test]
fn a_pods_addresses_come_from_its_status() {
    let ips = |status: Value| pod(json!({"status": status})).ips.iter().map(|ip| ip.to_string()).collect::<Vec<_>>();
    assert_eq!(ips(json!({})), Vec::<String>::new());
    assert_eq!(ips(json!({"podIP": "10.0.0.1"})), ["10.0.0.1"]);
    assert_eq!(ips(json!({"podIP": ""})), Vec::<String>::new());
    assert_eq!(ips(json!({"podIP": "10.0.0.1", "podIPs": []})), ["10.0.0.1"]);
    assert_eq!(
        ips(json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]})),
        ["10.0.0.1", "fd00::1"]
    );
    check_problem(&object("v1", "Pod", "p", json!({"status": {"podIP": "10.0.0"}})), "status.podIP", "an IP address");
}

#[test]
fn a_pods_state_is_read() {
    let found = pod(json!({
        "metadata": {"name": "p", "labels": {"topology.kubernetes.io/zone": "z1"}, "deletionTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}, {"containerPort": 9}]}],
                 "initContainers": [
                     {"ports": [{"name": "web", "containerPort": 1}, {"name": "setup", "containerPort": 2}]},
                     {"restartPolicy": "Never", "ports": [{"name": "never", "containerPort": 3}]},
                     {"restartPolicy": "Always",
                      "ports": [{"name": "side", "containerPort": 7, "protocol": "UDP"}]}]},
        "status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "True"}]},
    }));
    assert!(found.ready && found.terminating && found.finished);
    assert_eq!(found.zone().map(|zone| zone.as_str()), Some("z1"));
    let ports: Vec<_> = found.named_ports.iter().map(|p| (p.name.as_str(), p.port, p.protocol.clone())).collect();
    assert_eq!(ports, [("web", 8080, Protocol::Tcp), ("side", 7, Protocol::Udp)]);
    let other = pod(json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}));
    assert!(!other.ready && !other.terminating && !other.finished);
}

#[test]
fn slices_of_kubernetes_own_controllers_stay_out() {
    for manager in ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"] {
        let mut tree = object("discovery.k8s.io/v1", "EndpointSlice", "s", json!({"addressType": "IPv4"}));
        tree["metadata"]["labels"] = json!({"endpointslice.kubernetes.io/managed-by": manager});
        let found = decode(&tree, None);
        assert!(matches!(found, Err(NotDecoded::Managed(_))), "{found:?}");
        tree["metadata"]["labels"] = json!({"endpointslice.kubernetes.io/managed-by": "me"});
        assert!(decode(&tree, None).is_ok());
    }
}

#[test]
fn a_hand_written_slice_is_read() {
    let mut tree = object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "s",
        json!({
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80}, {}],
            "endpoints": [{"addresses": ["10.0.0.1"], "zone": "z"},
                          {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "terminating": true}}],
        }),
    );
    tree["metadata"]["labels"] = json!({"kubernetes.io/service-name": "web"});
    assert_eq!(problems(&tree), Vec::<String>::new());
    let Object::EndpointSlice(found) = decoded(&tree).object else { panic!() };
    let EndpointSlice { service, ports, endpoints } = &*found;
    assert_eq!(service.as_deref(), Some("web"));
    assert_eq!(ports.iter().map(|p| p.port).collect::<Vec<_>>(), [Some(80), None]);
    let states: Vec<_> = endpoints.iter().map(|e| (e.ready, e.terminating, e.addresses.len())).collect();
    assert_eq!(states, [(true, false, 1), (false, true, 1)]);

    tree["addressType"] = json!("FQDN");
    check_problem(&tree, "addressType", "IPv4 or IPv6");
}

#[test]
fn secrets_come_from_data_and_string_data_and_print_redacted() {
    let tree = object(
        "v1",
        "Secret",
        "s",
        json!({"type": "kubernetes.io/tls",
        "data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}, "stringData": {"tls.key": "text"}}),
    );
    let Object::Secret(found) = decoded(&tree).object else { panic!() };
    assert_eq!(found.certificate.as_deref(), Some(b"cert".as_slice()));
    assert_eq!(found.key.as_ref().map(|k| k.expose()), Some(b"text".as_slice()));
    assert!(!format!("{found:?}").contains("text"));

    let Object::Secret(found) = decoded(&object("v1", "Secret", "s", json!({}))).object else { panic!() };
    assert_eq!(*found, Secret::default());
    let bad = object("v1", "Secret", "s", json!({"data": {"tls.crt": "Y2VydA==", "tls.key": "!geheim!"}}));
    check_problem(&bad, "data[tls.key]", "must be base64");
    assert!(!problems(&bad)[0].contains("geheim"));
}

#[test]
fn of_a_config_map_its_authorities_are_kept_if_they_are_not_too_many() {
    let bundle = |data: serde_json::Value| {
        let tree = object("v1", "ConfigMap", "c", json!({"data": data}));
        let Object::ConfigMap(found) = decoded(&tree).object else { panic!() };
        found.authorities.clone().map_err(|why| why.to_string())
    };
    assert_eq!(bundle(json!({"ca.crt": "pem", "other": "big"})).as_deref(), Ok(b"pem".as_slice()));
    let most = "x".repeat(ConfigMap::LARGEST);
    assert_eq!(bundle(json!({"ca.crt": most})).map(|kept| kept.len()), Ok(ConfigMap::LARGEST));
    assert!(bundle(json!({"ca.crt": most + "x"})).is_err_and(|why| why.contains("larger than 512 KiB")));
    assert!(bundle(json!({"ca.pem": "pem"})).is_err_and(|why| why.contains("has no `ca.crt`")));
    check_problem(&object("v1", "ConfigMap", "c", json!({"data": {"ca.crt": 7}})), "data[ca.crt]", "must be a string");
}

#[test]
fn a_malformed_grant_never_grants_more() {
    let grant = |to: Value| {
        let spec = json!({"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}], "to": [to]});
        let tree = object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "g", json!({"spec": spec}));
        let Object::ReferenceGrant(grant) = decoded(&tree).object else { panic!() };
        let ReferenceGrant { from, to, .. } = (*grant).clone();
        assert_eq!(from.len(), 1);
        (to.into_iter().map(|t| t.name).collect::<Vec<_>>(), problems(&tree))
    };
    assert_eq!(grant(json!({"group": "", "kind": "Service"})), (vec![None], vec![]));
    assert_eq!(grant(json!({"group": "", "kind": "Service", "name": "s"})), (vec![Some("s".into())], vec![]));
    let (to, problems) = grant(json!({"group": "", "kind": "Service", "name": 5}));
    assert_eq!((to.len(), problems.len()), (0, 1));
    let (to, problems) = grant(json!({"kind": "Service"}));
    assert_eq!((to.len(), problems), (0, vec!["spec.to[0].group: is required".to_owned()]));
}
