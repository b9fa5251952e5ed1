//! What has to be made anew, decided from what there is and from the time alone.
//!
//! An authority is replaced while a third of its life is left. The old one stays in the bundle, and vouches for the new one by a
//! certificate that goes along with every chain: whoever knows only the old bundle goes on trusting what the new authority signs.

use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::issue::{Authority, Found, Use};

/// The bundle: the authority, and those before it.
pub(super) const BUNDLE: &str = "ca.crt";
/// The authority's private key.
pub(super) const AUTHORITY_KEY: &str = "ca.key";
/// The authority, as the one before it vouches for it.
pub(super) const CROSS: &str = "ca-cross.crt";
/// The longest life of a certificate that is no authority: so long the one before stays in the bundle.
pub(super) const LONGEST: Duration = Duration::from_secs(398 * 24 * 3600);

/// The names of a certificate and of its key.
type Pair = [&'static str; 2];
pub(super) const SERVER: Pair = ["tls.crt", "tls.key"];
pub(super) const CLIENT: Pair = ["client.crt", "client.key"];

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Names and addresses of the server; none, and no server's certificate is made.
    pub(super) dns: Vec<String>,
    /// The URI of a client; none, and no client's certificate is made.
    pub(super) client: Option<String>,
    pub(super) life: Duration,
    pub(super) authority_life: Duration,
}

/// What is held, by the names of files; [`None`] where there is no such file.
pub(super) trait Held {
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan {
    /// What is to be written, in this order: whoever is interrupted is mended by the next run.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    /// What that means, for people.
    pub(super) said: Vec<String>,
    /// When the first of these certificates is to be renewed.
    pub(super) next: Option<SystemTime>,
}

impl Plan {
    fn due(&mut self, found: &Found) {
        self.next = Some(self.next.map_or(found.due(), |next| next.min(found.due())));
    }

    fn write(&mut self, held: &dyn Held, name: &'static str, text: String) {
        if held.get(name) != Some(text.as_bytes()) {
            self.files.push((name, text.into_bytes()));
        }
    }
}

/// Decides.
///
/// # Errors
/// A name that no certificate can have.
pub(super) fn plan(now: SystemTime, held: &dyn Held, wish: &Wish) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    let bundle = Found::all(held.get(BUNDLE).unwrap_or_default());
    let before = Authority::held(&bundle, held.get(AUTHORITY_KEY));
    let is_due = before.as_ref().is_some_and(|before| before.found.is_due(now));
    let (authority, cross) = match before {
        Some(before) if !is_due => {
            plan.said.push(format!("{BUNDLE}: kept, {}", before.found.until()));
            (before, held.get(CROSS).and_then(|pem| Found::all(pem).pop()))
        }
        before => {
            let made = Authority::make(now, wish.authority_life).context("making an authority")?;
            let cross = before.as_ref().filter(|before| !before.found.is_over(now));
            let cross = cross.map(|before| made.vouched_for_by(before)).transpose()?;
            let why = if is_due { "less than a third of its life was left" } else { "there was none" };
            plan.said.push(format!("{BUNDLE}: new authority, {} ({why})", made.found.until()));
            (made, cross)
        }
    };
    plan.due(&authority.found);
    let cross = cross.filter(|cross| !cross.is_over(now) && cross.key == authority.found.key);
    let older = bundle.iter().filter(|found| found.key != authority.found.key && !found.is_over(now));
    // Nothing that it signed is valid any longer after that.
    let older: Vec<&Found> = older.filter(|_| now < authority.found.from + LONGEST).collect();
    if !older.is_empty() {
        plan.said.push(format!("{BUNDLE}: {} before it kept", older.len()));
    }
    let all = std::iter::once(&authority.found).chain(older).map(|found| found.pem.as_str()).collect();
    plan.write(held, BUNDLE, all);
    plan.write(held, AUTHORITY_KEY, authority.key.serialize_pem());
    if let Some(cross) = &cross {
        plan.write(held, CROSS, cross.pem.clone());
    } else if held.get(CROSS).is_some_and(|held| !held.is_empty()) {
        plan.files.push((CROSS, Vec::new()));
    }
    if !wish.dns.is_empty() {
        leaf(&mut plan, now, held, wish, (SERVER, Use::Server(&wish.dns)), &authority, cross.as_ref())?;
    }
    if let Some(uri) = &wish.client {
        leaf(&mut plan, now, held, wish, (CLIENT, Use::Client(uri)), &authority, cross.as_ref())?;
    }
    Ok(plan)
}

fn leaf(
    plan: &mut Plan,
    now: SystemTime,
    held: &dyn Held,
    wish: &Wish,
    (names, usage): (Pair, Use<'_>),
    authority: &Authority,
    cross: Option<&Found>,
) -> anyhow::Result<()> {
    let [certificate, key] = names;
    let wanted = usage.params()?;
    let chain = Found::all(held.get(certificate).unwrap_or_default());
    let why = match chain.first() {
        None => Some("there was none"),
        Some(found) if found.is_due(now) => Some("less than a third of its life was left"),
        Some(found) if !found.is_signed_by(&authority.found) => Some("it was of another authority"),
        Some(found) if !found.fits_key(held.get(key)) => Some("its key was another"),
        Some(found) if !found.has_names(&wanted) => Some("it had other names"),
        Some(_) => None,
    };
    let end = |found: &Found| found.pem.clone() + cross.map_or("", |cross| cross.pem.as_str());
    if let (Some(found), None) = (chain.first(), why) {
        plan.said.push(format!("{certificate}: kept, {}", found.until()));
        plan.due(found);
        // Without the older authority's word once that is over.
        plan.write(held, certificate, end(found));
        return Ok(());
    }
    let (found, pair) = authority.sign(now, wish.life, wanted)?;
    plan.said.push(format!("{certificate}: new, {} ({})", found.until(), why.unwrap_or_default()));
    plan.due(&found);
    plan.files.push((certificate, end(&found).into_bytes()));
    plan.files.push((key, pair.serialize_pem().into_bytes()));
    Ok(())
}
