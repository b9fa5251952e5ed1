//! Kubernetes' protobuf messages with no more fields than are read: prost skips the others without a copy.
//!
//! The numbers are those of `generated.proto` in `k8s.io/api` and `k8s.io/apimachinery` (1.36). They are Kubernetes'
//! stored format and never change their meaning. Strings are slices of the answer until they are interned, and are no
//! `string` here: Go writes them without a look at their UTF-8. An `Option` stands where an absent field differs from
//! an empty one; Kubernetes writes the others even when they are empty. A map is its entries.

use bytes::Bytes;
use prost::Message;

/// `runtime.TypeMeta`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeMeta {
    #[prost(string, tag = "1")]
    pub(super) api_version: String,
    #[prost(string, tag = "2")]
    pub(super) kind: String,
}

/// `runtime.Unknown`: what every answer and every object of an event is wrapped in.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) raw: Bytes,
    #[prost(string, tag = "3")]
    pub(super) content_encoding: String,
    #[prost(string, tag = "4")]
    pub(super) content_type: String,
}

/// `metav1.WatchEvent`.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct WatchEvent {
    #[prost(string, tag = "1")]
    pub(super) r#type: String,
    #[prost(message, optional, tag = "2")]
    pub(super) object: Option<RawExtension>,
}

/// `runtime.RawExtension`.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct RawExtension {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) raw: Bytes,
}

/// A list of any kind. Its objects are decoded one by one, so that a bad one harms no other.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct List {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) items: Vec<Bytes>,
}

/// `metav1.ListMeta`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListMeta {
    #[prost(string, tag = "2")]
    pub(super) resource_version: String,
    #[prost(string, tag = "3")]
    pub(super) r#continue: String,
    #[prost(int64, optional, tag = "4")]
    pub(super) remaining_item_count: Option<i64>,
}

/// An object of any kind, of which only the metadata are read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
}

/// `metav1.ObjectMeta`, without annotations and managed fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ObjectMeta {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) namespace: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) uid: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) resource_version: Bytes,
    #[prost(message, optional, tag = "9")]
    pub(super) deletion_timestamp: Option<Time>,
    #[prost(message, repeated, tag = "11")]
    pub(super) labels: Vec<Entry>,
}

/// The same of a bookmark, whose annotations mean something.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Bookmark {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<BookmarkMeta>,
}

/// `metav1.ObjectMeta` of a bookmark.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BookmarkMeta {
    #[prost(string, tag = "6")]
    pub(super) resource_version: String,
    #[prost(message, repeated, tag = "12")]
    pub(super) annotations: Vec<Entry>,
}

/// `metav1.Time`: it matters only whether there is one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Time {}

/// An entry of a `map<string, string>`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// `v1.Pod`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Pod {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    pub(super) status: Option<PodStatus>,
}

/// `v1.PodSpec`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    pub(super) containers: Vec<Container>,
    #[prost(message, repeated, tag = "20")]
    pub(super) init_containers: Vec<Container>,
}

/// `v1.Container`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(message, repeated, tag = "6")]
    pub(super) ports: Vec<ContainerPort>,
    #[prost(bytes = "bytes", tag = "24")]
    pub(super) restart_policy: Bytes,
}

/// `v1.ContainerPort`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerPort {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(int32, tag = "3")]
    pub(super) container_port: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) protocol: Bytes,
}

/// `v1.PodStatus`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodStatus {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) phase: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) conditions: Vec<PodCondition>,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) pod_ip: Bytes,
    #[prost(message, repeated, tag = "12")]
    pub(super) pod_ips: Vec<PodIp>,
}

/// `v1.PodCondition`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodCondition {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) r#type: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) status: Bytes,
}

/// `v1.PodIP`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodIp {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) ip: Bytes,
}

/// `v1.Service`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Service {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<ServiceSpec>,
}

/// `v1.ServiceSpec`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceSpec {
    #[prost(message, repeated, tag = "1")]
    pub(super) ports: Vec<ServicePort>,
    #[prost(message, repeated, tag = "2")]
    pub(super) selector: Vec<Entry>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) cluster_ip: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) r#type: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) external_name: Bytes,
    #[prost(bool, tag = "13")]
    pub(super) publish_not_ready_addresses: bool,
    #[prost(bytes = "bytes", repeated, tag = "19")]
    pub(super) ip_families: Vec<Bytes>,
}

/// `v1.ServicePort`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ServicePort {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) protocol: Bytes,
    #[prost(int32, tag = "3")]
    pub(super) port: i32,
    #[prost(message, optional, tag = "4")]
    pub(super) target_port: Option<IntOrString>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) app_protocol: Option<Bytes>,
}

/// `intstr.IntOrString`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct IntOrString {
    /// 0: a number; 1: a string.
    #[prost(int64, tag = "1")]
    pub(super) r#type: i64,
    #[prost(int32, tag = "2")]
    pub(super) int_val: i32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) str_val: Bytes,
}

/// `discovery.v1.EndpointSlice`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EndpointSlice {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) endpoints: Vec<Endpoint>,
    #[prost(message, repeated, tag = "3")]
    pub(super) ports: Vec<EndpointPort>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) address_type: Bytes,
}

/// `discovery.v1.Endpoint`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Endpoint {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) addresses: Vec<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub(super) conditions: Option<EndpointConditions>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(super) zone: Option<Bytes>,
}

/// `discovery.v1.EndpointConditions`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EndpointConditions {
    #[prost(bool, optional, tag = "1")]
    pub(super) ready: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub(super) terminating: Option<bool>,
}

/// `discovery.v1.EndpointPort`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EndpointPort {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) name: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) protocol: Option<Bytes>,
    #[prost(int32, optional, tag = "3")]
    pub(super) port: Option<i32>,
}

/// `v1.Secret`, without `stringData`, which no answer has.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Secret {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) data: Vec<SecretEntry>,
}

/// An entry of a Secret's data.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct SecretEntry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// `v1.ConfigMap`.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct ConfigMap {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) data: Vec<Entry>,
}

/// `metav1.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) message: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) reason: Bytes,
    #[prost(message, optional, tag = "5")]
    pub(super) details: Option<StatusDetails>,
    #[prost(int32, tag = "6")]
    pub(super) code: i32,
}

/// `metav1.StatusDetails`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusDetails {
    #[prost(message, repeated, tag = "4")]
    pub(super) causes: Vec<StatusCause>,
    #[prost(int32, tag = "5")]
    pub(super) retry_after_seconds: i32,
}

/// `metav1.StatusCause`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusCause {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) reason: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) message: Bytes,
}

/// Implemented by skip-debug messages: which one it is, and nothing of what it holds.
macro_rules! without_content {
    ($($message:ident),*) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

without_content!(Unknown, WatchEvent, RawExtension, List, Secret, SecretEntry, ConfigMap);
