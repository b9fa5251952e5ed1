//! Which objects a refused response comes from.
//!
//! A fleet refuses the same resource for the same reason at once, so the last answers are kept: tracing back may mean to
//! read a large resource.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;

use super::lock;
use crate::resource::{ResourceType, Version};
use crate::xds::session::Refusal;

/// Answers that are kept.
const KEPT: usize = 32;

/// Names the objects that the [blamed](Refusal::blamed) resources come from.
pub type TraceBack = fn(&Refusal) -> Vec<ArcStr>;

/// See the module.
pub(super) struct Origins {
    trace: TraceBack,
    known: Mutex<VecDeque<(Question, Arc<[ArcStr]>)>>,
}

/// What an answer depends on.
#[derive(PartialEq, Eq)]
struct Question {
    kind: ResourceType,
    message: String,
    blamed: Vec<(ArcStr, Version)>,
}

impl Default for Origins {
    fn default() -> Self {
        Origins::new(|_| Vec::new())
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").finish_non_exhaustive()
    }
}

impl Origins {
    pub(super) fn new(trace: TraceBack) -> Origins {
        Origins { trace, known: Mutex::default() }
    }

    /// The objects that a refusal is about.
    pub(super) fn of(&self, refusal: &Refusal) -> Arc<[ArcStr]> {
        let blamed = refusal.blamed.iter().map(|resource| (resource.name.clone(), resource.version)).collect();
        let question = Question { kind: refusal.kind, message: refusal.message.clone(), blamed };
        if let Some((_, answer)) = lock(&self.known).iter().find(|(known, _)| *known == question) {
            return answer.clone();
        }
        let answer: Arc<[ArcStr]> = (self.trace)(refusal).into();
        let mut known = lock(&self.known);
        known.truncate(KEPT - 1);
        known.push_front((question, answer.clone()));
        answer
    }
}
