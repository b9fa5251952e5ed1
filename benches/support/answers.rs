//! Answers of an API server, made by the thousand: lists and events in Kubernetes' protobuf, as long as real ones.

#![allow(dead_code, reason = "each benchmark uses its part")]

use bytes::Bytes;

/// What is passed over in each pod: containers, volumes, managed fields. A small pod would flatter whoever reads many.
const UNREAD_OF_POD: usize = 4_500;
/// The same of a Service and of a slice: mostly managed fields.
const UNREAD_OF_OTHERS: usize = 700;
/// Pods of each Service.
pub(crate) const PODS_OF_SERVICE: usize = 15;
/// Services of each namespace.
pub(crate) const SERVICES_OF_NAMESPACE: usize = 50;
/// Kubernetes' own controller puts so many endpoints in a slice at most.
const ENDPOINTS_OF_SLICE: usize = 100;

/// Of every object and event.
pub(crate) const REVISION: &str = "123456789";

/// How many Services so many pods have.
pub(crate) fn services(pods: usize) -> usize {
    pods.div_ceil(PODS_OF_SERVICE)
}

/// The namespace of a Service.
pub(crate) fn namespace(service: usize) -> String {
    format!("team-{}", service / SERVICES_OF_NAMESPACE)
}

/// A page of pods, by their numbers.
pub(crate) fn pods(numbers: std::ops::Range<usize>) -> Bytes {
    list("v1", "PodList", numbers.map(|number| pod(number, number / PODS_OF_SERVICE, true)))
}

/// A page of Services.
pub(crate) fn service_list(numbers: std::ops::Range<usize>) -> Bytes {
    list("v1", "ServiceList", numbers.map(service))
}

/// A page of the slices that would hold the endpoints of these Services' pods, of which there are `pods` in all.
pub(crate) fn slices(services: std::ops::Range<usize>, pods: usize) -> Bytes {
    let of = |service: usize| {
        let all: Vec<usize> = (service * PODS_OF_SERVICE..((service + 1) * PODS_OF_SERVICE).min(pods)).collect();
        let slices: Vec<_> = all.chunks(ENDPOINTS_OF_SLICE).map(|some| slice(service, some)).collect();
        slices
    };
    list("discovery.k8s.io/v1", "EndpointSliceList", services.flat_map(of))
}

/// A message under construction.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, tag: u32, number: u64) -> Self {
        self.varint(u64::from(tag) << 3);
        self.varint(number);
        self
    }

    fn bytes(mut self, tag: u32, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(u64::from(tag) << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn message(self, tag: u32, inner: Message) -> Self {
        self.bytes(tag, inner.0)
    }
}

fn list(api_version: &str, kind: &str, items: impl Iterator<Item = Message>) -> Bytes {
    let list = Message::default().message(1, Message::default().bytes(2, "1000"));
    let list = items.fold(list, |list, item| list.message(2, item));
    typed(api_version, kind, list).0.into()
}

fn typed(api_version: &str, kind: &str, object: Message) -> Message {
    let types = Message::default().bytes(1, api_version).bytes(2, kind);
    Message(b"k8s\0".to_vec()).message(1, types).message(2, object)
}

/// An event of a watch of Kubernetes' own kinds in `v1`, with its length before it.
pub(crate) fn event(change: &str, kind: &str, object: Message) -> Vec<u8> {
    let raw = Message::default().message(1, typed("v1", kind, object));
    let Message(event) = Message::default().bytes(1, change).message(2, raw);
    let length = u32::try_from(event.len()).expect("a small event");
    [length.to_be_bytes().as_slice(), &event].concat()
}

/// What the bookmark at the end of the first objects of a watch is about.
pub(crate) fn end_of_list() -> Message {
    let end = Message::default().bytes(1, "k8s.io/initial-events-end").bytes(2, "true");
    Message::default().message(1, Message::default().bytes(6, REVISION).message(12, end))
}

fn metadata(namespace: &str, name: &str, labels: &[(&str, &str)], unread: usize) -> Message {
    let meta = Message::default().bytes(1, name).bytes(3, namespace).bytes(5, [b'a'; 36]).bytes(6, REVISION);
    let entry = |(key, value): &(&str, &str)| Message::default().bytes(1, key).bytes(2, value);
    let meta = labels.iter().fold(meta, |meta, pair| meta.message(11, entry(pair)));
    meta.message(12, Message::default().bytes(1, "unread").bytes(2, vec![b'x'; unread]))
}

/// The name of a Service.
pub(crate) fn name_of_app(service: usize) -> String {
    format!("checkout-{service}")
}

/// As long as a Deployment's pods are called.
fn name_of_pod(number: usize, service: usize) -> String {
    format!("{}-6d5f8c{:04x}-{:05x}", name_of_app(service), service % 0xffff, number)
}

fn address(number: usize) -> String {
    let [_, b, c, d] = u32::try_from(number).expect("fewer than 2^24 pods").to_be_bytes();
    format!("10.{b}.{c}.{d}")
}

/// A pod of that Service.
pub(crate) fn pod(number: usize, service: usize, ready: bool) -> Message {
    let (app, hash) = (name_of_app(service), format!("6d5f8c{:04x}", service % 0xffff));
    let labels = [
        ("app.kubernetes.io/instance", app.as_str()),
        ("app.kubernetes.io/name", &app),
        ("app.kubernetes.io/version", "4.18.2"),
        ("pod-template-hash", &hash),
        ("topology.kubernetes.io/zone", ["zone-a", "zone-b", "zone-c"][number % 3]),
    ];
    let port = |name: &str, port| Message::default().bytes(1, name).number(3, port).bytes(4, "TCP");
    let container = Message::default().bytes(1, "web").message(6, port("http", 8080));
    let condition = |kind: &str| Message::default().bytes(1, kind).bytes(2, if ready { "True" } else { "False" });
    let status = Message::default()
        .bytes(1, "Running")
        .message(2, condition("ContainersReady"))
        .message(2, condition("Ready"))
        .bytes(6, address(number))
        .message(12, Message::default().bytes(1, address(number)));
    Message::default()
        .message(1, metadata(&namespace(service), &name_of_pod(number, service), &labels, UNREAD_OF_POD))
        .message(2, Message::default().message(2, container))
        .message(3, status)
}

/// A Service.
pub(crate) fn service(number: usize) -> Message {
    let app = name_of_app(number);
    let target = Message::default().number(1, 1).number(2, 0).bytes(3, "http");
    let port = Message::default().bytes(1, "http").bytes(2, "TCP").number(3, 80).message(4, target);
    let selector = Message::default().bytes(1, "app.kubernetes.io/name").bytes(2, &app);
    let spec = Message::default().message(1, port).message(2, selector).bytes(3, "10.96.0.1").bytes(4, "ClusterIP");
    let labels = [("app.kubernetes.io/name", app.as_str())];
    Message::default().message(1, metadata(&namespace(number), &app, &labels, UNREAD_OF_OTHERS)).message(2, spec)
}

fn slice(service: usize, pods: &[usize]) -> Message {
    let (app, namespace) = (name_of_app(service), namespace(service));
    // Not Kubernetes' own controller, whose slices are passed over.
    let labels =
        [("endpointslice.kubernetes.io/managed-by", "bench.example.com"), ("kubernetes.io/service-name", app.as_str())];
    let name = format!("{app}-{:05x}", pods.first().copied().unwrap_or_default());
    let slice = Message::default().message(1, metadata(&namespace, &name, &labels, UNREAD_OF_OTHERS));
    let conditions = || Message::default().number(1, 1).number(2, 1).number(3, 0);
    let target = |pod| {
        Message::default().bytes(1, "Pod").bytes(2, &namespace).bytes(3, name_of_pod(pod, service)).bytes(4, [b'a'; 36])
    };
    let endpoint = |pod: usize| {
        Message::default()
            .bytes(1, address(pod))
            .message(2, conditions())
            .message(4, target(pod))
            .bytes(6, format!("node-{}", pod % 500))
            .bytes(7, ["zone-a", "zone-b", "zone-c"][pod % 3])
    };
    let slice = pods.iter().fold(slice, |slice, pod| slice.message(2, endpoint(*pod)));
    let port = Message::default().bytes(1, "http").bytes(2, "TCP").number(3, 8080);
    slice.message(3, port).bytes(4, "IPv4")
}
