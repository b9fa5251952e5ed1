//! Arbitrary objects decode from both encodings to equal values with equal problems.
//!
//! That a message and its tree mean the same is shown on real answers, in `tests/wire_corpus.rs`; here the fields hold
//! what no server would write.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value as Tree, json};

use super::{json_list_of, json_page, list_of, problems, protobuf_page};
use crate::model::{FieldProblem, Kind, Object};
use crate::watch::wire::messages::{
    ConfigMap, Container, ContainerPort, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, Entry, IntOrString,
    Named, ObjectMeta, Pod, PodCondition, PodIp, PodSpec, PodStatus, Secret, SecretEntry, Service, ServicePort,
    ServiceSpec, Time,
};
use crate::watch::wire::{Value, tree};

/// Texts that a field may hold; a few of them are right for it.
fn text() -> impl Strategy<Value = Bytes> + Clone {
    let words = "a web-1 http Ready True False Failed Succeeded Running Always TCP UDP SCTP QUIC None ExternalName
        ClusterIP IPv4 IPv6 FQDN 10.0.0.1 fd00::1 10.0.0.256 example.com a.b Upper endpointslice-controller.k8s.io
        topology.kubernetes.io/zone kubernetes.io/service-name endpointslice.kubernetes.io/managed-by";
    let words: Vec<_> = words.split_whitespace().collect();
    prop_oneof![
        1 => Just(Bytes::new()),
        6 => prop::sample::select(words).prop_map(|word| Bytes::from_static(word.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from),
        1 => Just(Bytes::from(vec![b'a'; 300])),
    ]
}

fn number() -> impl Strategy<Value = i32> + Clone {
    prop_oneof![4 => 1..=65_535, 1 => prop::sample::select(vec![0, -1, 65_536, i32::MAX, i32::MIN])]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (text(), text()).prop_map(|(key, value)| Entry { key, value });
    let sorted = prop::collection::vec(entry.clone(), 0..4).prop_map(|mut entries| {
        entries.sort_by(|one, next| one.key.cmp(&next.key));
        entries
    });
    prop_oneof![3 => sorted, 1 => prop::collection::vec(entry, 0..4)]
}

fn meta() -> impl Strategy<Value = ObjectMeta> {
    (text(), text(), text(), text(), any::<bool>(), entries()).prop_map(
        |(name, namespace, uid, resource_version, terminating, labels)| ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            deletion_timestamp: terminating.then(Time::default),
            labels,
        },
    )
}

fn some<S: Strategy + Clone>(inner: S) -> impl Strategy<Value = Vec<S::Value>> + Clone
where
    S::Value: Clone,
{
    prop::collection::vec(inner, 0..3)
}

fn pod() -> impl Strategy<Value = Pod> {
    let port = (text(), number(), text()).prop_map(|(name, container_port, protocol)| ContainerPort {
        name,
        container_port,
        protocol,
    });
    let container = (some(port), text()).prop_map(|(ports, restart_policy)| Container { ports, restart_policy });
    let spec = (some(container.clone()), some(container))
        .prop_map(|(containers, init_containers)| PodSpec { containers, init_containers });
    let condition = (text(), text()).prop_map(|(r#type, status)| PodCondition { r#type, status });
    let ip = text().prop_map(|ip| PodIp { ip });
    let status = (text(), some(condition), text(), some(ip))
        .prop_map(|(phase, conditions, pod_ip, pod_ips)| PodStatus { phase, conditions, pod_ip, pod_ips });
    (meta(), prop::option::of(spec), prop::option::of(status)).prop_map(|(metadata, spec, status)| Pod {
        metadata: Some(metadata),
        spec,
        status,
    })
}

fn service() -> impl Strategy<Value = Service> {
    let target =
        (0..2_i64, number(), text()).prop_map(|(r#type, int_val, str_val)| IntOrString { r#type, int_val, str_val });
    let port = (text(), text(), number(), prop::option::of(target), prop::option::of(text())).prop_map(
        |(name, protocol, port, target_port, app_protocol)| ServicePort {
            name,
            protocol,
            port,
            target_port,
            app_protocol,
        },
    );
    let spec = (some(port), entries(), text(), text(), text(), any::<bool>(), some(text())).prop_map(
        |(ports, selector, cluster_ip, r#type, external_name, publish_not_ready_addresses, ip_families)| ServiceSpec {
            ports,
            selector,
            cluster_ip,
            r#type,
            external_name,
            publish_not_ready_addresses,
            ip_families,
        },
    );
    (meta(), prop::option::of(spec)).prop_map(|(metadata, spec)| Service { metadata: Some(metadata), spec })
}

fn endpoint_slice() -> impl Strategy<Value = EndpointSlice> {
    let conditions = (any::<Option<bool>>(), any::<Option<bool>>())
        .prop_map(|(ready, terminating)| EndpointConditions { ready, terminating });
    let endpoint = (some(text()), prop::option::of(conditions), prop::option::of(text()))
        .prop_map(|(addresses, conditions, zone)| Endpoint { addresses, conditions, zone });
    let port = (prop::option::of(text()), prop::option::of(text()), prop::option::of(number()))
        .prop_map(|(name, protocol, port)| EndpointPort { name, protocol, port });
    (meta(), some(endpoint), some(port), text()).prop_map(|(metadata, endpoints, ports, address_type)| EndpointSlice {
        metadata: Some(metadata),
        endpoints,
        ports,
        address_type,
    })
}

fn check(kind: Kind, raw: Vec<u8>, tree: Tree) {
    let protobuf = protobuf_page(kind, &list_of(kind, vec![raw.into()]));
    assert_eq!(protobuf, json_page(kind, &json_list_of(kind, &[tree])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pods_are_equal(pod in pod()) {
        check(Kind::Pod, pod.encode_to_vec(), tree::pod(&pod));
    }

    #[test]
    fn services_are_equal(service in service()) {
        check(Kind::Service, service.encode_to_vec(), tree::service(&service));
    }

    #[test]
    fn slices_are_equal(slice in endpoint_slice()) {
        check(Kind::EndpointSlice, slice.encode_to_vec(), tree::endpoint_slice(&slice));
    }

    #[test]
    fn namespaces_are_equal(metadata in meta()) {
        let named = Named { metadata: Some(metadata) };
        check(Kind::Namespace, named.encode_to_vec(), tree::named(&named));
    }

    #[test]
    fn secrets_are_equal(
        metadata in meta(),
        values in prop::collection::btree_map("tls.crt|tls.key|other", any::<Vec<u8>>(), 0..4),
    ) {
        let entry = |(key, value): (&String, &Vec<u8>)| (Bytes::from(key.clone()), Bytes::from(value.clone()));
        let data = values.iter().map(entry).map(|(key, value)| SecretEntry { key, value });
        let secret = Secret { metadata: Some(metadata), data: data.collect() };
        let mut tree = tree::named(&Named { metadata: secret.metadata.clone() });
        tree["data"] = values.iter().map(|(key, value)| (key.clone(), BASE64_STANDARD.encode(value))).collect();
        check(Kind::Secret, secret.encode_to_vec(), tree);
    }

    #[test]
    fn config_maps_are_equal(
        metadata in meta(),
        values in prop::collection::btree_map("ca.crt|other", any::<Vec<u8>>(), 0..3),
    ) {
        let entry = |(key, value): (&String, &Vec<u8>)| Entry { key: key.clone().into(), value: value.clone().into() };
        let map = ConfigMap { metadata: Some(metadata), data: values.iter().map(entry).collect() };
        let mut tree = tree::named(&Named { metadata: map.metadata.clone() });
        tree["data"] = values.iter().map(|(key, value)| (key.clone(), tree::text(value))).collect();
        check(Kind::ConfigMap, map.encode_to_vec(), tree);
    }
}

/// So that the fast way cannot silently stand still: what is plain is built by it.
#[test]
fn an_ordinary_pod_is_built_without_a_tree() {
    use crate::watch::wire::{Pool, pod::plain};
    let tree =
        json!({"metadata": {"name": "web-1", "namespace": "shop", "resourceVersion": "9", "labels": {"a": "b"}}});
    let text = Bytes::from_static;
    let metadata = ObjectMeta {
        name: text(b"web-1"),
        namespace: text(b"shop"),
        resource_version: text(b"9"),
        labels: vec![Entry { key: text(b"a"), value: text(b"b") }],
        ..ObjectMeta::default()
    };
    let pod = Pod { metadata: Some(metadata), ..Pod::default() };
    let item = plain(&pod, &Pool::new().strings()).unwrap();
    assert_eq!(item, json_page(Kind::Pod, &json_list_of(Kind::Pod, &[tree])).items[0]);
    assert_eq!((item.version, item.key.to_string().as_str()), (9, "shop/web-1"));
}

#[test]
fn problems_name_the_fields_as_json_does() {
    let port = |port: i32| ContainerPort { name: Bytes::from_static(b"x"), container_port: port, ..Default::default() };
    let container = Container { ports: vec![port(80), port(0)], ..Default::default() };
    let spec = Some(PodSpec { containers: vec![container], ..Default::default() });
    let ips = vec![PodIp { ip: Bytes::from_static(b"10.0.0.1") }, PodIp { ip: Bytes::from_static(b"\xff") }];
    let status = Some(PodStatus { pod_ips: ips, ..Default::default() });
    let metadata = Some(ObjectMeta { name: Bytes::from_static(b"p"), ..Default::default() });
    let list = list_of(Kind::Pod, vec![Pod { metadata, spec, status }.encode_to_vec().into()]);
    let items = protobuf_page(Kind::Pod, &list).items;
    let [item] = &items[..] else { panic!("{items:?}") };
    assert_eq!(
        problems(item),
        [
            "spec.containers[0].ports[1].containerPort: must be from 1 to 65535, is 0",
            "status.podIPs[1].ip: must be an IP address, is \"\u{fffd}\"",
        ]
    );
    let Value::Object(Object::Pod(pod), _) = &item.value else { panic!("{item:?}") };
    assert_eq!((pod.ips.len(), pod.named_ports.len()), (1, 1), "what is right of it has effect");
}

/// A copy of the bytes, not a view that keeps every Secret of the answer.
#[test]
fn a_secret_keeps_its_own_bytes_only() {
    let entry = |key: &'static str| SecretEntry { key: Bytes::from_static(key.as_bytes()), value: vec![1; 100].into() };
    let metadata = Some(ObjectMeta { name: Bytes::from_static(b"s"), ..Default::default() });
    let secret = Secret { metadata, data: vec![entry("other"), entry("tls.crt"), entry("tls.key")] };
    assert_eq!(format!("{secret:?}"), "Secret { .. }");
    let body = list_of(Kind::Secret, vec![secret.encode_to_vec().into()]);
    let items = protobuf_page(Kind::Secret, &body).items;
    let Value::Object(Object::Secret(found), problems) = &items[0].value else { panic!("{items:?}") };
    assert_eq!(problems, &Vec::<FieldProblem>::new());
    let certificate = found.certificate.as_ref().unwrap();
    assert!(!body.as_ptr_range().contains(&certificate.as_ptr()));
    assert!(certificate.is_unique());
}
