//! Rows that stand in for what cannot be read, so that its referrers, and they alone, can say why.
//!
//! Invariant: there is a stand-in exactly for what is wanted, cannot be read and is not known from before.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use arcstr::ArcStr;

use crate::model::{ConfigMap, Event, Kind, Object, ObjectKey, ObjectRef, ReferenceGrant, Secret, Service, Want};

/// The stand-ins behind the door.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    /// Those that were let in, by the want that they answer.
    shown: BTreeMap<Want, ArcStr>,
    /// Wants whose stand-in may have to come or go.
    unsettled: BTreeSet<Want>,
}

impl StandIns {
    /// What is known of a want has changed.
    pub(super) fn look_at(&mut self, want: Want) {
        self.unsettled.insert(want);
    }

    /// A row of `object` was let in, or its deletion: whatever stood in for it is gone.
    pub(super) fn entered(&mut self, object: &ObjectRef, is_wanted: impl Fn(&Want) -> bool) {
        let backend = (object.kind == Kind::Service).then(|| Want::Backend(object.key.clone()));
        for want in backend.into_iter().chain([Want::Object(object.clone())]) {
            self.shown.remove(&want);
            if is_wanted(&want) {
                self.unsettled.insert(want);
            }
        }
    }

    /// The rows that come to stand in, and the deletion of those that no longer have to. `lack` says why a want needs one for
    /// its target.
    pub(super) fn settle(&mut self, lack: impl Fn(&Want, &ObjectRef) -> Option<ArcStr>) -> Vec<Event> {
        let mut events = Vec::new();
        for want in mem::take(&mut self.unsettled) {
            let target = target(&want);
            match lack(&want, &target) {
                Some(reason) if self.shown.get(&want) == Some(&reason) => {}
                Some(reason) => {
                    events.extend(stand_in(target.kind, reason.clone()).map(|row| Event::Put(target, row)));
                    self.shown.insert(want, reason);
                }
                None => events.extend(self.shown.remove(&want).map(|_| Event::Delete(target))),
            }
        }
        events
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.unsettled.is_empty()
    }
}

/// Where the row for what is wanted stands, or would.
fn target(want: &Want) -> ObjectRef {
    match want {
        Want::Object(object) => object.clone(),
        Want::Backend(service) => ObjectRef::new(Kind::Service, service.clone()),
        // No object's name is empty.
        Want::Grants(namespace) => {
            ObjectRef::new(Kind::ReferenceGrant, ObjectKey::new(namespace.clone(), ArcStr::new()))
        }
    }
}

/// A row that says why it is none; `None` for kinds that nothing is wanted of.
fn stand_in(kind: Kind, reason: ArcStr) -> Option<Object> {
    let unavailable = Some(reason.clone());
    match kind {
        Kind::Secret => Some(Object::Secret(Arc::new(Secret { unavailable, ..Secret::default() }))),
        Kind::ConfigMap => Some(Object::ConfigMap(Arc::new(ConfigMap { authorities: Err(reason) }))),
        Kind::Service => Some(Object::Service(Arc::new(Service { unavailable, ..Service::default() }))),
        Kind::ReferenceGrant => {
            Some(Object::ReferenceGrant(Arc::new(ReferenceGrant { unavailable, ..ReferenceGrant::default() })))
        }
        Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::Namespace | Kind::Pod | Kind::EndpointSlice => {
            None
        }
    }
}
