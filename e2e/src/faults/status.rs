//! The answers of an API server that says no, byte for byte in both of its encodings; but 403 cannot know the user's name.
//!
//! From the sources of Kubernetes 1.36. Errors are encoded as the client asked in `Accept`: JSON, or `application/vnd.kubernetes.protobuf`,
//! which is the magic `k8s\0` and a `runtime.Unknown` that names the type and holds the message. Two answers are no `Status` at all but
//! plain text: 429 of priority and fairness, and 404 for a path that no API serves. A Status with `retryAfterSeconds` has a `Retry-After`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::call::Call;
use super::wire;

/// The media type of protobuf.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// The media type of JSON.
pub const JSON: &str = "application/json";

/// How an answer or a stream is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Encoding {
    /// What a client would rather have: the first of the two that its `Accept` names. JSON if it names neither.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accept.split(',').find_map(Self::of_media_type);
        first.unwrap_or(Self::Json)
    }

    /// Of a media type, parameters and all.
    pub(super) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.split(';').next()?.trim() {
            JSON => Some(Self::Json),
            PROTOBUF => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// What is answered instead of forwarding a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 401: the token is not, or no longer, known.
    Unauthorized,
    /// 403: RBAC says no.
    Forbidden,
    /// 404 of an object.
    NotFound,
    /// 404 of a path, in plain text: no such API.
    NoSuchApi,
    /// 409: the object has changed meanwhile.
    Conflict,
    /// 410 `Expired`: the asked resource version has been compacted.
    Expired,
    /// 422: the server does not do `sendInitialEvents`.
    WatchListOff,
    /// 429 of priority and fairness, in plain text, with this `Retry-After` in seconds.
    TooManyRequests(u32),
    /// 429 of a watch cache that is not yet filled, with this `Retry-After` in seconds.
    StorageInitializing(u32),
    /// 500.
    InternalError,
    /// 503: the server starts or stops, with this `Retry-After` in seconds.
    Unavailable(u32),
    /// 504: etcd did not answer in time.
    Timeout,
    /// 504: the asked resource version is newer than the server's, which is this.
    FutureVersion(u64),
    /// Anything else.
    Status(Status),
}

/// A `metav1.Status` that tells of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Group and kind (by the name of its resource, in most errors) of what was asked for.
    pub group: String,
    /// See `group`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Reason, message and field of each cause.
    pub causes: Vec<[String; 3]>,
    /// Seconds, 0 for none.
    pub retry_after: u32,
}

impl Reply {
    /// The Status that answers `call`; for the replies in plain text, the one that a client makes of them.
    pub(super) fn status(&self, call: &Call) -> Status {
        let subject = call.qualified();
        let name = call.name.clone().unwrap_or_default();
        let plain = |code, reason: &str, message: &str| Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Status::default()
        };
        let about = |status: Status| Status {
            group: call.group.clone(),
            kind: call.resource.clone(),
            name: name.clone(),
            ..status
        };
        match self {
            Self::Unauthorized => plain(401, "Unauthorized", "Unauthorized"),
            Self::Forbidden => about(plain(403, "Forbidden", &forbidden(call))),
            Self::NotFound => about(plain(404, "NotFound", &format!("{subject} {name:?} not found"))),
            Self::NoSuchApi => plain(404, "NotFound", "the server could not find the requested resource"),
            Self::Conflict => about(plain(
                409,
                "Conflict",
                &format!(
                    "Operation cannot be fulfilled on {subject} {name:?}: the object has been modified; please apply your changes to the \
                     latest version and try again"
                ),
            )),
            Self::Expired => {
                let asked = call.resource_version.as_deref().unwrap_or("1");
                plain(410, "Expired", &format!("too old resource version: {asked} ({asked}0)"))
            }
            Self::WatchListOff => watch_list_off(),
            Self::TooManyRequests(seconds) => {
                let status = plain(429, "TooManyRequests", "Too many requests, please try again later.");
                Status { retry_after: *seconds, ..status }
            }
            Self::StorageInitializing(seconds) => {
                Status { retry_after: *seconds, ..plain(429, "TooManyRequests", "storage is (re)initializing") }
            }
            Self::InternalError => {
                let cause = "etcdserver: leader changed";
                let status = plain(500, "InternalError", &format!("Internal error occurred: {cause}"));
                Status { causes: vec![[String::new(), cause.to_owned(), String::new()]], ..status }
            }
            Self::Unavailable(seconds) => {
                Status { retry_after: *seconds, ..plain(503, "ServiceUnavailable", "apiserver is shutting down") }
            }
            Self::Timeout => plain(504, "Timeout", "Timeout: request did not complete within the allotted timeout"),
            Self::FutureVersion(current) => future_version(call, *current),
            Self::Status(status) => status.clone(),
        }
    }

    /// The whole answer.
    pub(super) fn response(&self, call: &Call, encoding: Encoding) -> Response<Full<Bytes>> {
        let status = self.status(call);
        const TEXT: &str = "text/plain; charset=utf-8";
        let (media_type, body) = match (self, encoding) {
            // What Go's `http.Error` and `http.NotFound` write.
            (Self::TooManyRequests(_), _) => (TEXT, format!("{}\n", status.message).into()),
            (Self::NoSuchApi, _) => (TEXT, Bytes::from_static(b"404 page not found\n")),
            (_, Encoding::Json) => (JSON, format!("{}\n", status.json()).into()),
            (_, Encoding::Protobuf) => (PROTOBUF, status.protobuf()),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = hyper::StatusCode::from_u16(status.code).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if media_type == TEXT || *self == Self::Forbidden {
            headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        }
        if status.retry_after > 0 {
            headers.insert(RETRY_AFTER, status.retry_after.into());
        }
        response
    }
}

fn forbidden(call: &Call) -> String {
    let scope = match &call.namespace {
        Some(namespace) => format!("in the namespace {namespace:?}"),
        None => "at the cluster scope".to_owned(),
    };
    let name = call.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    format!(
        "{}{name} is forbidden: User \"proxied\" cannot {} resource {:?} in API group {:?} {scope}",
        call.qualified(),
        call.verb.as_str(),
        call.resource,
        call.group,
    )
}

fn watch_list_off() -> Status {
    let what = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    Status {
        code: 422,
        reason: "Invalid".to_owned(),
        message: format!("ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: {what}"),
        group: "meta.k8s.io".to_owned(),
        kind: "ListOptions".to_owned(),
        causes: vec![["FieldValueForbidden", what, "sendInitialEvents"].map(str::to_owned)],
        ..Status::default()
    }
}

fn future_version(call: &Call, current: u64) -> Status {
    let asked = call.resource_version.as_deref().filter(|asked| !asked.is_empty()).unwrap_or("999");
    Status {
        code: 504,
        reason: "Timeout".to_owned(),
        message: format!("Timeout: Too large resource version: {asked}, current: {current}"),
        causes: vec![["ResourceVersionTooLarge", "Too large resource version", ""].map(str::to_owned)],
        retry_after: 1,
        ..Status::default()
    }
}

impl Status {
    fn has_details(&self) -> bool {
        !(self.kind.is_empty() && self.causes.is_empty() && self.retry_after == 0)
    }

    /// As Go writes it: in this order, and without empty fields.
    pub(super) fn json(&self) -> String {
        let details = || {
            let causes = self.causes.iter().map(|[reason, message, field]| {
                object([("reason", &json!(reason)), ("message", &json!(message)), ("field", &json!(field))])
            });
            let causes = format!("[{}]", causes.collect::<Vec<_>>().join(","));
            object([
                ("name", &json!(self.name) as &dyn ToString),
                ("group", &json!(self.group)),
                ("kind", &json!(self.kind)),
                ("causes", &causes),
                ("retryAfterSeconds", &self.retry_after),
            ])
        };
        object([
            ("kind", &json!("Status") as &dyn ToString),
            ("apiVersion", &json!("v1")),
            ("metadata", &json!({})),
            ("status", &json!("Failure")),
            ("message", &json!(self.message)),
            ("reason", &json!(self.reason)),
            ("details", &if self.has_details() { details() } else { String::new() }),
            ("code", &self.code),
        ])
    }

    /// The magic and the `runtime.Unknown`.
    pub(super) fn protobuf(&self) -> Bytes {
        let causes = self.causes.iter().map(|[reason, message, field]| wire::StatusCause {
            reason: Some(reason.clone()),
            message: Some(message.clone()),
            field: Some(field.clone()),
        });
        let details = self.has_details().then(|| wire::StatusDetails {
            name: Some(self.name.clone()),
            group: Some(self.group.clone()),
            kind: Some(self.kind.clone()),
            causes: causes.collect(),
            retry_after_seconds: Some(self.retry_after.cast_signed()),
            uid: Some(String::new()),
        });
        let status = wire::Status {
            metadata: Some(wire::ListMeta::blank()),
            status: Some("Failure".to_owned()),
            message: Some(self.message.clone()),
            reason: Some(self.reason.clone()),
            details,
            code: Some(self.code.into()),
        };
        wire::object("v1", "Status", &status)
    }

    /// An ERROR event that ends a watch.
    pub(super) fn event(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Json => format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", self.json()).into(),
            Encoding::Protobuf => wire::event("ERROR", self.protobuf()),
        }
    }
}

/// A JSON object of these fields, in this order, without those that say nothing.
fn object<'f, V: ToString + ?Sized + 'f>(fields: impl IntoIterator<Item = (&'f str, &'f V)>) -> String {
    let fields = fields.into_iter().map(|(name, value)| (name, value.to_string()));
    let filled = fields.filter(|(_, value)| !["", "0", "[]", "\"\""].contains(&value.as_str()));
    let filled: Vec<String> = filled.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", filled.join(","))
}
