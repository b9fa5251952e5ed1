//! Consent to references across namespaces.

use arcstr::ArcStr;

use crate::graph::{Index, Lens, Stop};
use crate::model::{Kind, ObjectKey, ReferenceGrant};

/// ReferenceGrants by their namespace, which is that of the targets they speak of.
pub(crate) type Grants = Index<ArcStr, ObjectKey, ReferenceGrant>;

/// Where a grant is looked for.
pub(crate) fn by_namespace(key: &ObjectKey, _: &ReferenceGrant, out: &mut Vec<ArcStr>) {
    out.push(key.namespace.clone());
}

/// Whether an object of kind `from` in namespace `namespace` may refer to `target` of kind `to`.
pub(crate) fn permitted(
    grants: Lens<'_, Grants>,
    (from, namespace): (Kind, &ArcStr),
    (to, target): (Kind, &ObjectKey),
) -> Result<bool, Stop> {
    if *namespace == target.namespace {
        return Ok(true);
    }
    let from = (from.group(), from.as_str(), namespace.as_str());
    let to = (to.group(), to.as_str(), target.name.as_str());
    Ok(grants.of(&target.namespace)?.iter().any(|(_, grant)| grant.permits(from, to)))
}
