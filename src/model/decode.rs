//! JSON trees to domain values: tolerant, with the path of every problem.
//!
//! Files and custom kinds of Kubernetes arrive as JSON trees. Decoding checks what the schemas of Kubernetes and of
//! Gateway API 1.7 would check and fills in their defaults, so that an object from a folder means what it would mean in
//! a cluster. A field that cannot be understood becomes a [`FieldProblem`] and harms the smallest thing it belongs to
//! (a rule, a listener, an entry); what is left never means *more* than what was written: a host name, selector or
//! listener name that cannot be read never widens what its object matches.
//!
//! Architecture invariant: no JSON tree makes this module panic, and an object is refused as a whole only when it has
//! no identity. Unknown fields are no problem: the API evolves.

mod core;
mod cursor;
mod filter;
mod gateway;
mod route;
mod syntax;
#[cfg(test)]
mod tests;

use arcstr::ArcStr;
use serde_json::Value;

use self::cursor::{Cursor, Problems};
use super::{FieldProblem, Kind, Labels, Meta, Object, ObjectKey, ObjectRef, PodPort, PodPorts};

/// One object with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Kind, namespace and name.
    pub at: ObjectRef,
    /// The value. What could not be understood is left out or neutral in it.
    pub object: Object,
    /// Every problem of the object, also those that the value itself carries (a rule's, a listener's).
    pub problems: Vec<FieldProblem>,
}

/// Why a tree is not an object for syncgate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDecoded {
    /// A kind that syncgate does not read, such as a Deployment: nothing is wrong.
    Ignored,
    /// An object that Kubernetes itself derives from pods, which syncgate reads instead: nothing is wrong.
    Managed(ObjectRef),
    /// A kind or version near to what syncgate reads, but not served: a warning that names what is.
    Unsupported(FieldProblem),
    /// A tree without identity: no kind, no valid name. Which object it was meant to be is unknown.
    NoIdentity(Vec<FieldProblem>),
}

/// `apiVersion` and `kind` for trees that do not say them themselves: the entries of a `PodList`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeMeta<'a> {
    /// `apiVersion`.
    pub api_version: &'a str,
    /// `kind`.
    pub kind: &'a str,
}

/// The entries of a `List`, `PodList`, …, with the type that such a list gives to entries that do not say their own;
/// `None` when the tree is no list.
#[must_use]
pub fn list_items(tree: &Value) -> Option<(&[Value], Option<TypeMeta<'_>>)> {
    let kind = tree.get("kind")?.as_str()?.strip_suffix("List")?;
    let api_version = tree.get("apiVersion")?.as_str()?;
    let items = tree.get("items")?.as_array()?;
    let inherited = if kind.is_empty() { None } else { Some(TypeMeta { api_version, kind }) };
    Some((items, inherited))
}

/// Where the strings and label sets of decoded values come from. A source of many objects shares those that are equal.
pub trait Strings {
    /// A string that is equal to `text`.
    fn string(&self, text: &str) -> ArcStr;
    /// A label set that is equal to `labels`.
    fn labels(&self, labels: Labels) -> Labels;
    /// A list of ports that is equal to `ports`.
    fn ports(&self, ports: Vec<PodPort>) -> PodPorts;
}

/// Each value has its own.
struct Fresh;

impl Strings for Fresh {
    fn string(&self, text: &str) -> ArcStr {
        text.into()
    }

    fn labels(&self, labels: Labels) -> Labels {
        labels
    }

    fn ports(&self, ports: Vec<PodPort>) -> PodPorts {
        ports.into_iter().collect()
    }
}

/// Decodes one object. `inherited` is its type when the tree does not say it.
pub fn decode(tree: &Value, inherited: Option<TypeMeta<'_>>) -> Result<Decoded, NotDecoded> {
    decode_with(tree, inherited, &Fresh)
}

/// The same with strings from `strings`.
pub fn decode_with(
    tree: &Value,
    inherited: Option<TypeMeta<'_>>,
    strings: &dyn Strings,
) -> Result<Decoded, NotDecoded> {
    let problems = Problems::new(strings);
    let root = Cursor::root(tree, &problems);
    let Some(kind) = kind_of(root, inherited)? else {
        return Err(NotDecoded::NoIdentity(problems.into_inner()));
    };
    let Some((at, metadata)) = identity(kind, &root) else {
        return Err(NotDecoded::NoIdentity(problems.into_inner()));
    };
    if kind == Kind::EndpointSlice && core::is_managed(&metadata) {
        return Err(NotDecoded::Managed(at));
    }
    let object = object(kind, &root, &metadata, &at.key);
    let mut all = carried(&object);
    all.extend(problems.into_inner());
    Ok(Decoded { at, object, problems: all })
}

/// The problems that the value itself carries.
fn carried(object: &Object) -> Vec<FieldProblem> {
    match object {
        Object::GatewayClass(class) => class.problems.clone(),
        Object::Gateway(gateway) => {
            let listeners = gateway.listeners.iter().flat_map(|listener| &listener.problems);
            gateway.problems.iter().chain(gateway.frontend.problems()).chain(listeners).cloned().collect()
        }
        Object::HttpRoute(route) => {
            route.problems.iter().chain(route.rules.iter().flat_map(|r| &r.problems)).cloned().collect()
        }
        _ => Vec::new(),
    }
}

fn object(kind: Kind, root: &Cursor<'_>, metadata: &Cursor<'_>, key: &ObjectKey) -> Object {
    match kind {
        Kind::GatewayClass => Object::GatewayClass(gateway::gateway_class(root, meta(metadata)).into()),
        Kind::Gateway => Object::Gateway(gateway::gateway(root, meta(metadata), key).into()),
        Kind::HttpRoute => Object::HttpRoute(route::http_route(root, meta(metadata), key).into()),
        Kind::ReferenceGrant => Object::ReferenceGrant(core::reference_grant(root).into()),
        Kind::Namespace => Object::Namespace(core::namespace(metadata, &key.name).into()),
        Kind::Service => Object::Service(core::service(root).into()),
        Kind::Pod => Object::Pod(core::pod(root, metadata).into()),
        Kind::EndpointSlice => Object::EndpointSlice(core::endpoint_slice(root, metadata).into()),
        Kind::Secret => Object::Secret(core::secret(root).into()),
        Kind::ConfigMap => Object::ConfigMap(core::config_map(root).into()),
    }
}

/// The versions of each kind that decode alike.
const fn versions(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => &["v1", "v1beta1"],
        Kind::EndpointSlice | Kind::Namespace | Kind::Service | Kind::Pod | Kind::Secret | Kind::ConfigMap => &["v1"],
    }
}

fn supported(group: &str) -> String {
    let of_group = Kind::ALL.into_iter().filter(|kind| kind.group() == group);
    let with_versions = of_group.map(|kind| format!("{kind} ({})", versions(kind).join(", ")));
    with_versions.collect::<Vec<_>>().join(", ")
}

fn kind_of(root: Cursor<'_>, inherited: Option<TypeMeta<'_>>) -> Result<Option<Kind>, NotDecoded> {
    let Some(root) = root.mapping() else { return Ok(None) };
    let said = |name: &str, or: Option<&str>| -> Option<ArcStr> {
        match (root.get(name), or) {
            (None, Some(inherited)) => Some(inherited.into()),
            _ => root.required(name)?.text(syntax::value(316)),
        }
    };
    let api_version = said("apiVersion", inherited.map(|t| t.api_version));
    let kind_name = said("kind", inherited.map(|t| t.kind));
    let (Some(api_version), Some(kind_name)) = (api_version, kind_name) else { return Ok(None) };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    match Kind::find(group, &kind_name) {
        Some(kind) if versions(kind).contains(&version) => Ok(Some(kind)),
        Some(kind) => Err(NotDecoded::Unsupported(FieldProblem::new(
            "apiVersion",
            format!(
                "{api_version} is not served for {kind} and the object has no effect; supported are: {}",
                versions(kind).join(", ")
            ),
        ))),
        None if group == Kind::Gateway.group() => Err(NotDecoded::Unsupported(FieldProblem::new(
            "kind",
            format!(
                "{kind_name} is not served and the object has no effect; supported of {group} are: {}",
                supported(group)
            ),
        ))),
        None => Err(NotDecoded::Ignored),
    }
}

/// The object's name and its metadata; `None`, with problems, when it has no valid name.
fn identity<'b>(kind: Kind, root: &'b Cursor<'_>) -> Option<(ObjectRef, Cursor<'b>)> {
    let metadata = root.required("metadata")?.mapping()?;
    let name = {
        let name = metadata.required("name");
        let check = match kind {
            // Since Kubernetes 1.36 a Service's name may begin with a digit.
            Kind::Namespace | Kind::Service => syntax::dns_label,
            _ => syntax::dns_subdomain,
        };
        name.and_then(|n| n.text(check))
    };
    let namespace = if kind.is_cluster_scoped() {
        Some(ArcStr::new())
    } else {
        match metadata.get("namespace") {
            None => Some(arcstr::literal!("default")),
            Some(namespace) => namespace.text(syntax::dns_label),
        }
    };
    Some((ObjectRef::new(kind, ObjectKey::new(namespace?, name?)), metadata))
}

fn meta(metadata: &Cursor<'_>) -> Meta {
    let created = metadata.get("creationTimestamp").and_then(|at| {
        let seconds = syntax::timestamp(at.str()?);
        if seconds.is_none() {
            at.problem("must be a time such as \"2026-01-31T12:00:00Z\"");
        }
        seconds
    });
    Meta {
        generation: metadata.get("generation").and_then(|g| g.int(0..=i64::MAX)).unwrap_or_default(),
        created: created.unwrap_or_default(),
        labels: metadata.get("labels").map(|l| l.labels()).unwrap_or_default(),
    }
}
