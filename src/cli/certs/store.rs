//! Where certificates are kept: a folder, or Secrets.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::plan::{AUTHORITY_KEY, BUNDLE, CLIENT, CROSS, Held, SERVER};
use crate::watch::{Client, Fault, Limits, Origin, Secrets, Stored};

/// Every name that something is kept by.
const NAMES: [&str; 7] = [CROSS, BUNDLE, AUTHORITY_KEY, CLIENT[0], CLIENT[1], SERVER[0], SERVER[1]];

/// In a folder: who holds a lock on it may write. It stays, since whoever removed it could remove another's.
const LOCK: &str = ".syncgate-certs.lock";

/// A place for certificates, and what it holds.
pub(super) enum Store {
    Folder(Folder),
    Secret(SecretStore),
}

impl Store {
    pub(super) fn held(&self) -> &dyn Held {
        match self {
            Store::Folder(folder) => &folder.held,
            Store::Secret(secret) => &secret.held,
        }
    }

    /// Writes files; empty ones go.
    pub(super) async fn write(&mut self, files: &[(&'static str, Vec<u8>)]) -> anyhow::Result<()> {
        match self {
            Store::Folder(folder) => folder.write(files),
            Store::Secret(secret) => secret.write(files).await,
        }
    }
}

impl Held for BTreeMap<String, Vec<u8>> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        BTreeMap::get(self, name).map(Vec::as_slice)
    }
}

/// Files in a folder, which is this process' alone as long as this is held.
pub(super) struct Folder {
    dir: PathBuf,
    _lock: File,
    held: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    pub(super) fn read(dir: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("--out {}", dir.display()))?;
        let lock = alone(&dir).with_context(|| format!("--out {}", dir.display()))?;
        let mut held = BTreeMap::new();
        for name in NAMES {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => drop(held.insert(name.to_owned(), bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // What cannot be read is not what is missing: it must not be made anew.
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        Ok(Self { dir, _lock: lock, held })
    }

    fn write(&self, files: &[(&'static str, Vec<u8>)]) -> anyhow::Result<()> {
        for (name, bytes) in files {
            let path = self.dir.join(name);
            let written = if bytes.is_empty() { std::fs::remove_file(&path) } else { replace(&path, bytes) };
            written.with_context(|| path.display().to_string())?;
        }
        // The names of the files are as lasting as what they hold.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).with_context(|| self.dir.display().to_string())
    }
}

/// Of two that make certificates at once, the authority of one would not fit the certificate of the other.
fn alone(dir: &Path) -> anyhow::Result<File> {
    let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(dir.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another `syncgate certs` is at work in this folder: run this again"),
        Err(TryLockError::Error(error)) => Err(error).context("locking the folder"),
    }
}

/// Whole or not at all; what is private is private from its first byte on.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let is_key = path.extension().is_some_and(|extension| extension == "key");
    // A name of its own: the bytes of a key never go where those of a certificate may.
    let staged = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().display()));
    // One that was left behind may have other rights.
    match std::fs::remove_file(&staged) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if is_key { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&staged, path)
}

/// Three Secrets: what a server mounts, what only this program needs, and what an Envoy mounts.
pub(super) struct SecretStore {
    secrets: Secrets,
    namespace: String,
    name: String,
    held: BTreeMap<String, Vec<u8>>,
    stored: [Option<Stored>; 3],
}

const SUFFIXES: [&str; 3] = ["", "-ca", "-client"];

impl SecretStore {
    pub(super) async fn read(origin: Origin, secret: &str) -> anyhow::Result<Self> {
        let (namespace, name) = secret
            .split_once('/')
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
            .with_context(|| {
                format!("--secret {secret:?} must be NAMESPACE/NAME, such as syncgate-system/syncgate-tls")
            })?;
        let secrets = Secrets::new(Client::new(origin, Limits::default()).await?);
        let (mut held, mut stored) = (BTreeMap::new(), [None, None, None]);
        for (suffix, slot) in SUFFIXES.iter().zip(&mut stored) {
            let full = format!("{name}{suffix}");
            *slot = secrets.read(namespace, &full).await.map_err(|fault| explained(&fault, namespace, &full))?;
            for (key, bytes) in slot.iter().flat_map(|stored| &stored.data) {
                if let Some(file) = file_of(suffix, key) {
                    held.insert(file.to_owned(), bytes.clone());
                }
            }
        }
        Ok(Self { secrets, namespace: namespace.to_owned(), name: name.to_owned(), held, stored })
    }

    async fn write(&self, files: &[(&'static str, Vec<u8>)]) -> anyhow::Result<()> {
        // The authority first: whoever is interrupted then has what signs.
        for suffix in ["-ca", "", "-client"] {
            let mut data: BTreeMap<&str, Option<&[u8]>> = files
                .iter()
                .filter_map(|(name, bytes)| {
                    Some((key_of(suffix, name)?, Some(bytes.as_slice()).filter(|bytes| !bytes.is_empty())))
                })
                .collect();
            let place = SUFFIXES.iter().position(|known| *known == suffix);
            let before = place.and_then(|place| self.stored[place].as_ref());
            // A bundle alone makes no Secret of a server or a client.
            let is_whole = before.is_some() || suffix == "-ca" || data.contains_key("tls.crt");
            let written = files.iter().find(|(name, _)| *name == BUNDLE).map(|(_, bytes)| bytes);
            let bundle = written.or_else(|| self.held.get(BUNDLE)).map(Vec::as_slice);
            // Each has the whole bundle, whatever became of it meanwhile.
            if is_whole && before.and_then(|before| before.data.get(BUNDLE)).map(Vec::as_slice) != bundle {
                data.insert(BUNDLE, bundle);
            }
            if data.is_empty() || !is_whole {
                continue;
            }
            let kind = if suffix == "-ca" { "Opaque" } else { "kubernetes.io/tls" };
            let name = format!("{}{suffix}", self.name);
            let written = self.secrets.write((&self.namespace, &name), kind, before, &data).await;
            written.map_err(|fault| explained(&fault, &self.namespace, &name))?;
        }
        Ok(())
    }
}

/// The file that a key of a Secret stands for.
fn file_of(suffix: &str, key: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|name| (suffix == "-ca" || !is_authoritys(name)) && key_of(suffix, name) == Some(key))
}

fn is_authoritys(name: &str) -> bool {
    [CROSS, BUNDLE, AUTHORITY_KEY].contains(&name)
}

/// The key of a Secret under which a file is kept, if it is.
fn key_of(suffix: &str, name: &'static str) -> Option<&'static str> {
    match (suffix, name) {
        ("-ca", name) if is_authoritys(name) => Some(name),
        ("" | "-client", BUNDLE) => Some(BUNDLE),
        ("", name) if SERVER.contains(&name) => Some(name),
        ("-client", "client.crt") => Some("tls.crt"),
        ("-client", "client.key") => Some("tls.key"),
        _ => None,
    }
}

fn explained(fault: &Fault, namespace: &str, name: &str) -> anyhow::Error {
    let remedy = match fault {
        Fault::Answer(status) if status.code == 403 => format!(
            "; grant it in a Role of namespace {namespace} with the rule {{apiGroups: [\"\"], resources: [\"secrets\"], \
             verbs: [\"get\", \"create\", \"patch\"]}}"
        ),
        Fault::Answer(status) if status.code == 409 => "; somebody else wrote it meanwhile: run this again".to_owned(),
        Fault::Answer(status) if status.code == 404 => format!("; is there a namespace {namespace}?"),
        _ => String::new(),
    };
    anyhow::anyhow!("Secret {namespace}/{name}: {fault}{remedy}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn two_at_once_never_mix_what_they_write() {
        let dir = tempfile::tempdir().unwrap();
        let work = |who: &str| {
            let mut turns = 0;
            while turns < 50 {
                match Folder::read(dir.path().to_owned()) {
                    Ok(folder) => {
                        let of = |what: &str| format!("{what} of {who}").into_bytes();
                        folder.write(&[(SERVER[0], of("certificate")), (SERVER[1], of("key"))]).unwrap();
                        let read = |name| std::fs::read(dir.path().join(name)).unwrap();
                        assert_eq!((read(SERVER[0]), read(SERVER[1])), (of("certificate"), of("key")));
                        turns += 1;
                    }
                    Err(error) => {
                        assert!(format!("{error:#}").contains("another `syncgate certs` is at work"), "{error:#}")
                    }
                }
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| work("one"));
            scope.spawn(|| work("two"));
        });
        let mode = |name| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(SERVER[0]), mode(SERVER[1])), (0o644, 0o600));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left but the lock");
    }
}
