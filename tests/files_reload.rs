//! A folder that is really watched: real files, real notifications, and waiting for conditions, never for time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use syncgate::files::{FilesConfig, Findings, OnBrokenFile, SOURCE, run};
use syncgate::model::{Delta, Event, Kind, Object};
use syncgate::readiness::{Layer, Readiness, State};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// What the source has said so far.
#[derive(Default)]
struct Heard {
    objects: BTreeMap<String, Object>,
    listed: Vec<Kind>,
    deltas: usize,
    /// Every event as `+Namespace a` or `-Namespace a`.
    log: Vec<String>,
}

struct Watched {
    root: TempDir,
    heard: Arc<Mutex<Heard>>,
    findings: watch::Receiver<Arc<Findings>>,
    readiness: Readiness,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

fn namespace(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    a: \"{value}\"\n")
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("has a parent")).expect("creates folders");
    fs::write(path, text).expect("writes");
}

impl Watched {
    fn start(root: TempDir, edit: impl FnOnce(&mut FilesConfig)) -> Self {
        let dir = root.path().to_owned();
        Self::start_at(root, dir, edit)
    }

    fn start_at(root: TempDir, dir: PathBuf, edit: impl FnOnce(&mut FilesConfig)) -> Self {
        // So slow that what these tests see is due to notifications.
        let mut config = FilesConfig { rescan: Duration::from_secs(3600), ..FilesConfig::new(dir) };
        edit(&mut config);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (sender, findings) = watch::channel(Arc::default());
        let readiness = Readiness::new(|_| {});
        let part = readiness.register(Layer::Source, SOURCE);
        readiness.seal();
        let (stop, stopped) = oneshot::channel();
        let hears = heard.clone();
        let sink = move |delta: Delta| {
            let mut heard = hears.lock().expect("no test panics while it listens");
            heard.deltas += 1;
            for event in delta.events {
                match event {
                    Event::Put(at, object) => {
                        heard.log.push(format!("+{at}"));
                        heard.objects.insert(at.to_string(), object);
                    }
                    Event::Delete(at) => {
                        heard.log.push(format!("-{at}"));
                        heard.objects.remove(&at.to_string());
                    }
                    Event::Listed(kind) => heard.listed.push(kind),
                    // A folder says neither; every test that reads the log would stumble over it.
                    Event::Answered(..) | Event::Covers(_) => heard.log.push("?".to_owned()),
                }
            }
        };
        let stopped = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(run(config, sink, part, sender, stopped));
        Self { root, heard, findings, readiness, stop: Some(stop), task }
    }

    fn dir(&self) -> &Path {
        self.root.path()
    }

    /// Waits until what was heard satisfies the condition, 10 s at most.
    async fn until(&self, what: &str, condition: impl Fn(&Heard, &Watched) -> bool) {
        let start = Instant::now();
        loop {
            if condition(&self.heard.lock().expect("no test panics while it listens"), self) {
                return;
            }
            let said = || (self.heard.lock().expect("not poisoned").log.clone(), self.readiness.report());
            assert!(start.elapsed() < Duration::from_secs(10), "waited in vain: {what}; {:?}", said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_ready(&self) {
        self.until("ready", |_, w| w.state().0 == State::Ready).await;
    }

    fn state(&self) -> (State, String) {
        let report = self.readiness.report();
        let part = report.parts.iter().find(|part| part.name == SOURCE).expect("is registered");
        (part.state, part.reason.to_string())
    }

    fn names(&self) -> Vec<String> {
        self.heard.lock().expect("not poisoned").objects.keys().cloned().collect()
    }

    /// Hears everything that is still on its way: a marker object comes and goes after it.
    async fn settle(&self) {
        write(self.dir(), "zz-marker.yaml", &namespace("marker", ""));
        self.until("the marker", |h, _| h.objects.contains_key("Namespace marker")).await;
        fs::remove_file(self.dir().join("zz-marker.yaml")).expect("removes");
        self.until("the marker's end", |h, _| !h.objects.contains_key("Namespace marker")).await;
    }

    async fn stop(mut self) {
        self.stop.take().expect("stops once").send(()).expect("still runs");
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        assert!(ended.expect("ends when it is told").is_ok());
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_delta_is_whole_and_changes_follow() {
    let root = folder();
    write(root.path(), "a.yaml", &namespace("a", "1"));
    write(root.path(), "sub/b.yaml", &namespace("b", "1"));
    let watched = Watched::start(root, |_| {});
    watched.until("everything listed", |h, _| h.listed == Kind::ALL && h.deltas == 1).await;
    watched.until_ready().await;
    assert_eq!(watched.names(), ["Namespace a", "Namespace b"]);

    write(watched.dir(), "sub/b.yaml", &namespace("b", "2"));
    watched.until("the change of b", |h, _| h.log.iter().filter(|e| *e == "+Namespace b").count() == 2).await;
    write(watched.dir(), "new/er/c.yaml", &namespace("c", "1"));
    watched.until("a file in a new folder", |h, _| h.objects.contains_key("Namespace c")).await;
    write(watched.dir(), "new/er/c.yaml", &namespace("c", "2"));
    watched.until("its change", |h, _| h.log.iter().filter(|e| *e == "+Namespace c").count() == 2).await;
    fs::remove_file(watched.dir().join("a.yaml")).expect("removes");
    watched.until("the removal", |h, _| !h.objects.contains_key("Namespace a")).await;
    fs::remove_dir_all(watched.dir().join("new")).expect("removes");
    watched.until("the removal of a folder", |h, _| !h.objects.contains_key("Namespace c")).await;
    assert_eq!(watched.heard.lock().expect("not poisoned").listed, Kind::ALL, "said once");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_is_whole() {
    let watched = Watched::start(folder(), |_| {});
    watched.until("everything listed", |h, _| h.listed == Kind::ALL).await;
    watched.until_ready().await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_few_batches() {
    let watched = Watched::start(folder(), |_| {});
    watched.until_ready().await;
    let before = watched.heard.lock().expect("not poisoned").deltas;
    for i in 0..200 {
        write(watched.dir(), &format!("{i}.yaml"), &namespace(&format!("n{i}"), "1"));
    }
    watched.until("all of it", |h, _| h.objects.len() == 200).await;
    let batches = watched.heard.lock().expect("not poisoned").deltas - before;
    assert!(batches <= 20, "200 files came in {batches} batches");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_keeps_what_is_written_in_place() {
    let root = folder();
    write(root.path(), "a.yaml", &namespace("a", "0"));
    let watched = Watched::start(root, |_| {});
    watched.until_ready().await;
    let path = watched.dir().join("a.yaml");
    for round in 1..=20 {
        // As `cp` and editors do it: truncated, a pause in which the emptiness is noticed, then written.
        fs::write(&path, "").expect("truncates");
        tokio::time::sleep(Duration::from_millis(60)).await;
        fs::write(&path, namespace("a", &round.to_string())).expect("writes");
        watched
            .until("the round's value", |h, _| h.log.iter().filter(|e| *e == "+Namespace a").count() == round + 1)
            .await;
    }
    watched.settle().await;
    let log = watched.heard.lock().expect("not poisoned").log.clone();
    assert!(!log.contains(&"-Namespace a".to_owned()), "{log:?}");

    fs::write(&path, " \n").expect("truncates");
    watched.until("an empty file that stays empty", |h, _| h.objects.is_empty()).await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_its_objects_and_is_reported_until_mended() {
    let root = folder();
    write(root.path(), "a.yaml", &namespace("a", "1"));
    let watched = Watched::start(root, |_| {});
    watched.until_ready().await;
    write(watched.dir(), "a.yaml", "apiVersion: v1\nkind: \"Namesp\n");
    watched.until("the report", |_, w| w.findings.borrow().broken == 1).await;
    let problem = watched.findings.borrow().problems[0].clone();
    assert_eq!(problem.place.path.as_ref(), watched.dir().join("a.yaml"));
    assert!(problem.place.line >= 2 && problem.place.column >= 1 && !problem.message.is_empty(), "{problem}");
    assert_eq!(watched.state().0, State::Ready);
    watched.settle().await;
    assert_eq!(watched.names(), ["Namespace a"]);

    write(watched.dir(), "a.yaml", &namespace("a", "2"));
    watched.until("the end of the report", |_, w| w.findings.borrow().broken == 0).await;
    watched.until("the mended value", |h, _| h.log.iter().filter(|e| *e == "+Namespace a").count() == 2).await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_at_start_keeps_the_source_not_ready() {
    let root = folder();
    write(root.path(), "a.yaml", "kind: [\n");
    write(root.path(), "b.yaml", &namespace("b", "1"));
    let watched = Watched::start(root, |_| {});
    watched.until("the failure", |_, w| w.state().0 == State::Failed).await;
    let reason = watched.state().1;
    assert!(
        reason.contains("a.yaml:1:7: error: unclosed bracket") && reason.contains("--on-broken-file=skip"),
        "{reason}"
    );
    assert!(!watched.readiness.is_ready());
    assert_eq!(watched.heard.lock().expect("not poisoned").listed, []);

    write(watched.dir(), "a.yaml", &namespace("a", "1"));
    watched.until_ready().await;
    watched.until("everything listed", |h, _| h.listed == Kind::ALL && h.objects.len() == 2).await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_at_start_may_be_skipped() {
    let root = folder();
    write(root.path(), "a.yaml", "kind: [\n");
    write(root.path(), "b.yaml", &namespace("b", "1"));
    let watched = Watched::start(root, |config| config.on_broken = OnBrokenFile::Skip);
    watched.until_ready().await;
    watched.until("what is whole", |h, _| h.listed == Kind::ALL && h.objects.len() == 1).await;
    assert_eq!(watched.findings.borrow().broken, 1);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_read_never_becomes_ready_and_is_tried_again() {
    let root = folder();
    let dir = root.path().join("later");
    let watched = Watched::start_at(root, dir.clone(), |_| {});
    watched.until("the failure", |_, w| w.state().0 == State::Failed).await;
    assert!(watched.state().1.contains("does not exist"), "{}", watched.state().1);
    fs::write(&dir, "").expect("writes");
    watched.until("another reason", |_, w| w.state().1.contains("is not a folder")).await;
    fs::remove_file(&dir).expect("removes");
    write(&dir, "a.yaml", &namespace("a", "1"));
    watched.until_ready().await;
    assert_eq!(watched.names(), ["Namespace a"]);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanishes_is_stale_and_keeps_everything() {
    let root = folder();
    let dir = root.path().join("manifests");
    write(&dir, "a.yaml", &namespace("a", "1"));
    let watched = Watched::start_at(root, dir.clone(), |_| {});
    watched.until_ready().await;
    let away = watched.dir().join("away");
    fs::rename(&dir, &away).expect("moves away");
    watched.until("stale", |_, w| w.state().0 == State::Stale).await;
    assert!(watched.state().1.contains("stays in effect"), "{}", watched.state().1);
    assert_eq!(watched.names(), ["Namespace a"]);
    // Another folder takes its place.
    write(&dir, "a.yaml", &namespace("a", "1"));
    write(&dir, "b.yaml", &namespace("b", "1"));
    watched.until("the new folder", |h, w| h.objects.len() == 2 && w.state().0 == State::Ready).await;
    write(&dir, "b.yaml", &namespace("b", "2"));
    watched.until("its changes", |h, _| h.log.iter().filter(|e| *e == "+Namespace b").count() == 2).await;
    assert!(!watched.heard.lock().expect("not poisoned").log.iter().any(|e| e.starts_with('-')));
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_volume_is_swapped_in_one_batch() {
    let root = folder();
    let generation = |n: u32| {
        write(root.path(), &format!("..{n}/a.yaml"), &namespace("a", &n.to_string()));
        write(root.path(), &format!("..{n}/b.yaml"), &namespace("b", &n.to_string()));
    };
    generation(1);
    symlink("..1", root.path().join("..data")).expect("links");
    symlink("..data/a.yaml", root.path().join("a.yaml")).expect("links");
    symlink("..data/b.yaml", root.path().join("b.yaml")).expect("links");
    generation(2);
    let watched = Watched::start(root, |_| {});
    watched.until_ready().await;
    assert_eq!(watched.names(), ["Namespace a", "Namespace b"]);
    let before = watched.heard.lock().expect("not poisoned").deltas;

    symlink("..2", watched.dir().join("..data_tmp")).expect("links");
    fs::rename(watched.dir().join("..data_tmp"), watched.dir().join("..data")).expect("swaps");
    fs::remove_dir_all(watched.dir().join("..1")).expect("removes");
    watched.until("the new generation", |h, _| h.log.len() == 4).await;
    assert_eq!(watched.heard.lock().expect("not poisoned").deltas, before + 1);
    watched.settle().await;
    let log = watched.heard.lock().expect("not poisoned").log.clone();
    assert!(!log.iter().any(|e| e == "-Namespace a" || e == "-Namespace b"), "{log:?}");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_link_leads_to_is_watched() {
    let (root, outside) = (folder(), folder());
    write(outside.path(), "o.yaml", &namespace("o", "1"));
    symlink(outside.path().join("o.yaml"), root.path().join("linked.yaml")).expect("links");
    let watched = Watched::start(root, |_| {});
    watched.until_ready().await;
    write(outside.path(), "o.yaml", &namespace("o", "2"));
    watched.until("the change", |h, _| h.log.len() == 2).await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_notifications_are_made_up_for_by_looking_again() {
    let root = folder();
    write(root.path(), "a.yaml", &namespace("a", "1"));
    let dir = root.path().to_owned();
    let watched = Watched::start(root, |config| config.rescan = Duration::from_millis(100));
    watched.until_ready().await;
    // A hard link made elsewhere and written through there: no event reaches the folder.
    let elsewhere = tempfile::tempdir_in(dir.parent().expect("has a parent")).expect("a temporary folder");
    fs::hard_link(dir.join("a.yaml"), elsewhere.path().join("x")).expect("links");
    watched.settle().await;
    fs::write(elsewhere.path().join("x"), namespace("a", "2")).expect("writes");
    watched.until("the change", |h, _| h.log.iter().filter(|e| *e == "+Namespace a").count() == 2).await;
    watched.stop().await;
}
