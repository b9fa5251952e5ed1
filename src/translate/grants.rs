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

/// Whether an object of kind `from` in namespace `namespace` may refer to `target` of kind `to`; if not, why.
///
/// # Errors
/// Within: why there is no consent. Around: a look-up that has no answer yet.
pub(crate) fn permit(
    grants: Lens<'_, Grants>,
    (from, namespace): (Kind, &ArcStr),
    (to, target): (Kind, &ObjectKey),
) -> Result<Result<(), ArcStr>, Stop> {
    if *namespace == target.namespace {
        return Ok(Ok(()));
    }
    let of_target = grants.of(&target.namespace)?;
    let referrer = (from.group(), from.as_str(), namespace.as_str());
    let referred = (to.group(), to.as_str(), target.name.as_str());
    if of_target.iter().any(|(_, grant)| grant.permits(referrer, referred)) {
        return Ok(Ok(()));
    }
    let unknown = of_target.iter().find_map(|(_, grant)| grant.unavailable.as_ref());
    let (there, name) = (&target.namespace, &target.name);
    Ok(Err(match unknown {
        Some(reason) => arcstr::format!("the ReferenceGrants of namespace `{there}`: {reason}"),
        None => arcstr::format!(
            "no ReferenceGrant in namespace `{there}` lets {from}s of namespace `{namespace}` refer to {to} `{name}`"
        ),
    }))
}
