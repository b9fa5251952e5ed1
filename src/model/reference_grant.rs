//! ReferenceGrants: consent to be referred to from another namespace.

use arcstr::ArcStr;

/// A ReferenceGrant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferenceGrant {
    /// `spec.from`.
    pub from: Vec<GrantFrom>,
    /// `spec.to`.
    pub to: Vec<GrantTo>,
    /// Why the grants of its namespace are not known, if they are not: then this is the door's stand-in for all of them. It
    /// permits nothing, and its name is empty.
    pub unavailable: Option<ArcStr>,
}

/// Who may refer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFrom {
    /// API group of the referrer.
    pub group: ArcStr,
    /// Kind of the referrer.
    pub kind: ArcStr,
    /// Namespace of the referrer.
    pub namespace: ArcStr,
}

/// What may be referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTo {
    /// API group of the target; empty is core.
    pub group: ArcStr,
    /// Kind of the target.
    pub kind: ArcStr,
    /// Name of the target; `None` means every object of the kind.
    pub name: Option<ArcStr>,
}

impl ReferenceGrant {
    /// Whether a referrer (group, kind, namespace) may refer to a target (group, kind, name) in the grant's own namespace.
    #[must_use]
    pub fn permits(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        self.from.iter().any(|f| (f.group.as_str(), f.kind.as_str(), f.namespace.as_str()) == from)
            && self.to.iter().any(|t| t.group == to.0 && t.kind == to.1 && t.name.as_ref().is_none_or(|n| n == to.2))
    }
}
