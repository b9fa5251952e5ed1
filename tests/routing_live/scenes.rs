//! All scenes. Each has a namespace of its own.

mod backends;
mod filters;
mod hosts;
mod matching;
mod redirects;
mod tls;

use crate::scene::Scene;

pub(crate) fn all() -> Vec<Scene> {
    let mut all = matching::scenes();
    all.extend(hosts::scenes());
    all.extend(backends::scenes());
    all.extend(filters::scenes());
    all.extend(redirects::scenes());
    all.extend(tls::scenes());
    all
}
