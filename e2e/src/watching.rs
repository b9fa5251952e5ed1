//! What a syncgate makes of Kubernetes' lists and watches, seen from outside: where its sources and namespaces stand and stood, what they
//! hold, what it asked of the API server, and what it said in its log.
//!
//! Several with different rights watch the same namespaces of one API server, so that one event there shows in all of them.

pub mod cell;
pub mod film;
pub mod lines;
pub mod picture;
pub mod requests;
pub mod rights;
pub mod witness;
pub mod world;

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

use crate::kube::ControlPlane;
use crate::kube::identity::Identity;
use crate::syncgate::{self, Addresses, Source, Syncgate};
use film::Film;
use lines::{Line, lines};
use picture::Picture;
use rights::Rights;

/// A running syncgate with its rights, and the film of what it shows.
#[derive(Debug)]
pub struct Watcher {
    /// Its name in the test, which is that of its user.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// The process.
    pub syncgate: Syncgate,
    film: Film,
}

impl Watcher {
    /// Starts one as `identity` without waiting for anything, on an address of its own. It has the flags of its rights and these.
    pub fn start(
        identity: &Identity,
        rights: Rights,
        namespaces: &[&str],
        flags: &[&str],
        host: IpAddr,
        home: &Path,
    ) -> Result<Self> {
        let kubeconfig = home.join(format!("{}.kubeconfig", identity.name));
        identity.kubeconfig(&kubeconfig)?;
        let mut all = rights.flags(namespaces);
        all.push("--log-format=json".to_owned());
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let at = Addresses { xds: (host, 18000).into(), health: (host, 8081).into(), admin: (host, 19000).into() };
        let log = home.join(format!("{}.log", identity.name));
        let source = Source::Kubernetes { kubeconfig, flags: all };
        let syncgate = Syncgate::start(&syncgate::built_program()?, &source, at, &log)?;
        Ok(Self { name: identity.name.clone(), rights, syncgate, film: Film::start(at.admin) })
    }

    /// Grants its user what its rights give outside of namespaces.
    pub async fn grant(plane: &ControlPlane, user: &str, rights: Rights, namespaces: &[&str]) -> Result<()> {
        for object in rights.outside(user, namespaces) {
            plane.api().apply(&object).await?;
        }
        Ok(())
    }

    /// What it shows now.
    pub async fn picture(&self) -> Result<Picture> {
        Picture::of(&self.syncgate.debug("/debug/sources").await?)
    }

    /// What it showed so far.
    #[must_use]
    pub fn film(&self) -> &Film {
        &self.film
    }

    /// What it has said so far, from the level of information up.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        lines(&self.syncgate.log())
    }
}
