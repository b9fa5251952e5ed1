//! What is read only while an object's spec refers to it: Secrets, ConfigMaps, and whatever lies outside the watched
//! namespaces.
//!
//! The door derives wants from the specs it sees; the source of Kubernetes reads what is wanted and answers each want. A
//! want is an item of a set, never a request: it holds as long as something refers to its target.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arcstr::ArcStr;

use super::{Kind, ObjectKey, ObjectRef};

/// One thing that some spec refers to and that no source reads by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// One object by its name: a Secret or a ConfigMap.
    Object(ObjectRef),
    /// The ReferenceGrants of a namespace outside the watched ones: whether it consents at all. Wanted first.
    Grants(ArcStr),
    /// A Service outside the watched namespaces with what its endpoints are made of (the Pods and EndpointSlices of its
    /// namespace). Wanted only when a grant permits the reference.
    Backend(ObjectKey),
}

impl Want {
    /// The namespace that is read.
    #[must_use]
    pub fn namespace(&self) -> &ArcStr {
        match self {
            Want::Object(object) => &object.key.namespace,
            Want::Grants(namespace) => namespace,
            Want::Backend(service) => &service.namespace,
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Object(object) => write!(f, "{object}"),
            Want::Grants(namespace) => write!(f, "the ReferenceGrants of namespace {namespace}"),
            Want::Backend(service) => write!(f, "Service {service} with its endpoints"),
        }
    }
}

/// Everything that is wanted at present, each want with the turn in which it came to be: a number that is never given
/// twice.
///
/// Who wants something again after having done without it has forgotten the answer. A reader that missed the moment between
/// sees it by the new turn, and has to answer that want again.
pub type Wants = imbl::OrdMap<Want, u64>;

/// What became of a want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What is wanted has been put before this answer, or is known not to exist.
    Known,
    /// It cannot be read, for this reason (a lower-case fragment with the remedy): an error on its referrers alone.
    Unavailable(ArcStr),
}

/// What the sources read by themselves. The rest is read on demand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Kinds that are read object by object, only while something refers to them. Nobody says [`Listed`] of them: the door
    /// does, when what was wanted at the start is answered.
    ///
    /// [`Listed`]: super::Event::Listed
    pub on_demand: Vec<Kind>,
    /// The namespaces that are read as a whole; `None` means all of them.
    pub namespaces: Option<Arc<BTreeSet<ArcStr>>>,
}

impl Coverage {
    /// Whether objects of this namespace are read without being asked for (kinds on demand apart).
    #[must_use]
    pub fn includes(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|covered| covered.contains(namespace))
    }
}
