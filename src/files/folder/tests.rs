//! The folder's state machine: doubts, duplicates, swaps, and equality with reading from scratch.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

fn labelled(name: &str, value: &str) -> String {
    format!("{}  labels:\n    a: \"{value}\"\n", namespace(name))
}

/// A temporary folder, its state machine and a clock.
struct World {
    root: tempfile::TempDir,
    folder: Folder,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::new(root.path());
        Self { root, folder, now: Instant::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("creates folders");
        fs::write(path, text).expect("writes");
    }

    /// Scans and renders the events: `+Namespace a`, `-Namespace a`.
    fn scan(&mut self) -> Vec<String> {
        let scan = self.folder.scan(self.now).expect("the folder can be read");
        let render = |event: &Event| match event {
            Event::Put(at, _) => format!("+{at}"),
            Event::Delete(at) => format!("-{at}"),
            Event::Listed(kind) => format!("={kind}"),
            other @ (Event::Answered(..) | Event::Covers(_)) => panic!("a folder does not say {other:?}"),
        };
        scan.events.iter().map(render).collect()
    }

    /// Scans after the time that a removal needs to be believed.
    fn scan_later(&mut self) -> Vec<String> {
        self.now += CONFIRM_AFTER;
        self.scan()
    }

    /// Problems with paths below the folder.
    fn problems(&self) -> Vec<String> {
        let root = format!("{}/", self.root.path().display());
        self.folder.problems().iter().map(|p| p.to_string().replace(&root, "")).collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn files_are_read_recursively_and_only_changes_are_said() {
    let mut world = World::new();
    world.write("a.yaml", &format!("{}---\n{}", namespace("a"), namespace("b")));
    world.write("deep/er/c.json", r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}"#);
    world.write("d.yml", &namespace("d"));
    world.write("notes.txt", "not: [yaml");
    world.write(".hidden/e.yaml", "not: [yaml");
    world.write("kustomization.yaml", "resources: [a.yaml]");
    assert_eq!(world.scan(), ["+Namespace a", "+Namespace b", "+Namespace c", "+Namespace d"]);
    assert_eq!((world.folder.file_count(), world.folder.object_count()), (3, 4));
    assert_eq!(world.scan(), NOTHING);
    world.write("a.yaml", &format!("{}---\n{}", namespace("a"), labelled("b", "x")));
    assert_eq!(world.scan(), ["+Namespace b"]);
    assert_eq!(world.problems(), NOTHING);
}

#[test]
fn doubt_keeps_what_was_removed_until_a_second_look() {
    let mut world = World::new();
    world.write("a.yaml", &format!("{}---\n{}", namespace("a"), namespace("b")));
    world.scan();
    world.write("a.yaml", "");
    assert_eq!(world.scan(), NOTHING);
    world.now += CONFIRM_AFTER / 2;
    assert_eq!(world.scan(), NOTHING);
    world.write("a.yaml", &labelled("a", "new"));
    assert_eq!(world.scan(), NOTHING, "b is still missing, since less than the time");
    world.now += CONFIRM_AFTER / 2;
    assert_eq!(world.scan(), ["+Namespace a", "-Namespace b"]);
}

#[test]
fn doubt_begins_anew_for_what_was_there_at_the_first_look() {
    let mut world = World::new();
    world.write("a.yaml", &format!("{}---\n{}", namespace("a"), namespace("b")));
    world.scan();
    world.write("a.yaml", &namespace("a"));
    world.scan();
    world.write("a.yaml", "");
    assert_eq!(world.scan_later(), NOTHING, "a is missing for the first time");
    world.write("a.yaml", &namespace("a"));
    assert_eq!(world.scan(), NOTHING, "b has not been missing alone for long enough since");
    assert_eq!(world.scan_later(), ["-Namespace b"]);
}

#[test]
fn a_doubt_names_the_time_of_the_second_look() {
    let mut world = World::new();
    world.write("a.yaml", &namespace("a"));
    world.scan();
    fs::remove_file(world.path("a.yaml")).expect("removes");
    let scan = world.folder.scan(world.now).expect("scans");
    assert_eq!(scan.look_again, Some(world.now + CONFIRM_AFTER));
    assert_eq!(world.scan_later(), ["-Namespace a"]);
    assert_eq!(world.folder.file_count(), 0);
}

#[test]
fn a_file_that_is_back_before_the_second_look_changes_nothing() {
    let mut world = World::new();
    world.write("a.yaml", &namespace("a"));
    world.scan();
    fs::remove_file(world.path("a.yaml")).expect("removes");
    assert_eq!(world.scan(), NOTHING);
    world.write("a.yaml", &namespace("a"));
    assert_eq!(world.scan_later(), NOTHING);
    assert_eq!(world.scan_later(), NOTHING);
    assert_eq!(world.folder.object_count(), 1);
}

#[test]
fn an_object_may_move_to_another_file_at_once() {
    let mut world = World::new();
    world.write("a.yaml", &namespace("a"));
    world.scan();
    fs::rename(world.path("a.yaml"), world.path("b.yaml")).expect("renames");
    assert_eq!(world.scan(), NOTHING);
    assert_eq!(world.problems(), NOTHING, "a vanished file is no duplicate");
    assert_eq!(world.scan_later(), NOTHING);
    assert_eq!(world.folder.file_count(), 1);

    fs::remove_file(world.path("b.yaml")).expect("removes");
    world.write("c.yaml", &labelled("a", "moved and changed"));
    assert_eq!(world.scan(), ["+Namespace a"]);
    assert_eq!(world.scan_later(), NOTHING);
}

#[test]
fn a_broken_file_keeps_what_it_last_said() {
    let mut world = World::new();
    world.write("a.yaml", &namespace("a"));
    world.write("b.yaml", &namespace("b"));
    world.scan();
    world.write("a.yaml", "apiVersion: v1\nkind: [\n");
    world.write("b.yaml", &labelled("b", "x"));
    assert_eq!(world.scan(), ["+Namespace b"]);
    assert_eq!(world.problems(), ["a.yaml:2:7: error: unclosed bracket '['"]);
    assert!(!world.folder.lacks_a_file());
    assert_eq!(world.scan_later(), NOTHING);
    assert_eq!((world.folder.object_count(), world.folder.broken_count()), (2, 1));

    world.write("a.yaml", &labelled("a", "mended"));
    assert_eq!(world.scan(), ["+Namespace a"]);
    assert_eq!(world.problems(), NOTHING);

    world.write("a.yaml", "kind: [");
    world.scan();
    fs::remove_file(world.path("a.yaml")).expect("removes");
    world.scan();
    assert_eq!(world.scan_later(), ["-Namespace a"]);
    assert_eq!(world.problems(), NOTHING);
}

#[test]
fn a_document_without_identity_breaks_its_file() {
    let mut world = World::new();
    world.write("a.yaml", &format!("{}---\napiVersion: v1\n", namespace("a")));
    world.write("b.yaml", "kind: Namespace\napiVersion: v1\nmetadata:\n  name: No\n");
    world.write("c.yaml", &namespace("c"));
    assert_eq!(world.scan(), ["+Namespace c"]);
    let problems = world.problems();
    assert_eq!(problems[0], "a.yaml:6:1: error: kind: is required");
    assert!(problems[1].starts_with("b.yaml:4:3: error: metadata.name: must consist of"), "{}", problems[1]);
    assert!(world.folder.lacks_a_file());
}

#[test]
fn files_that_cannot_be_read_are_broken() {
    let mut world = World::new();
    fs::write(world.path("a.yaml"), b"a: 1\nb: \xff\n").expect("writes");
    let big = fs::File::create(world.path("b.yaml")).expect("creates");
    big.set_len(manifest::MAX_BYTES + 1).expect("grows");
    assert_eq!(world.scan(), NOTHING);
    let problems = world.problems();
    assert_eq!(problems, ["a.yaml:2:4: error: is not UTF-8 text", "b.yaml: error: is larger than 16 MiB; split it"]);
}

#[test]
fn a_duplicate_names_both_places_and_the_first_in_path_order_has_effect() {
    let mut world = World::new();
    world.write("b.yaml", &labelled("x", "b"));
    world.scan();
    world.write("a.yaml", &format!("{}---\n{}", namespace("other"), labelled("x", "a")));
    assert_eq!(world.scan(), ["+Namespace other", "+Namespace x"]);
    let root = world.root.path().display().to_string();
    let expected = format!(
        "b.yaml:1:1: error: Namespace x: is defined at {root}/a.yaml:6 already, which has effect; remove one of the two"
    );
    assert_eq!(world.problems(), [expected.replace(&format!("{root}/"), "")]);

    // The state is that of a folder which was always like this.
    let mut fresh = Folder::new(world.root.path());
    fresh.scan(world.now).expect("scans");
    assert_eq!(fresh.problems(), world.folder.problems());
    assert_eq!(fresh.objects(), world.folder.objects());

    fs::remove_file(world.path("a.yaml")).expect("removes");
    assert_eq!(world.scan(), ["+Namespace x"], "the other place is there and takes effect");
    assert_eq!(world.scan_later(), ["-Namespace other"]);
    assert_eq!(world.problems(), NOTHING);
}

#[test]
fn duplicates_within_one_file_are_named_too() {
    let mut world = World::new();
    world.write("a.yaml", &format!("{}---\n{}", labelled("x", "first"), labelled("x", "second")));
    assert_eq!(world.scan(), ["+Namespace x"]);
    assert_eq!(world.problems().len(), 1);
    assert!(world.problems()[0].starts_with("a.yaml:8:1: error: Namespace x: is defined at a.yaml:1 already"));
}

#[test]
fn config_map_volumes_are_read_once_and_swapped_at_once() {
    let mut world = World::new();
    world.write("..2024_1/a.yaml", &labelled("a", "1"));
    world.write("..2024_1/b.yaml", &labelled("b", "1"));
    symlink("..2024_1", world.path("..data")).expect("links");
    symlink("..data/a.yaml", world.path("a.yaml")).expect("links");
    symlink("..data/b.yaml", world.path("b.yaml")).expect("links");
    assert_eq!(world.scan(), ["+Namespace a", "+Namespace b"]);
    assert_eq!(world.problems(), NOTHING);

    world.write("..2024_2/a.yaml", &labelled("a", "2"));
    world.write("..2024_2/b.yaml", &labelled("b", "2"));
    symlink("..2024_2", world.path("..data_tmp")).expect("links");
    assert_eq!(world.scan(), NOTHING);
    fs::rename(world.path("..data_tmp"), world.path("..data")).expect("swaps");
    assert_eq!(world.scan(), ["+Namespace a", "+Namespace b"]);
    assert_eq!(world.scan_later(), NOTHING);

    // A file less: the link stays for a moment and leads nowhere, then it goes.
    world.write("..2024_3/a.yaml", &labelled("a", "2"));
    symlink("..2024_3", world.path("..data_tmp")).expect("links");
    fs::rename(world.path("..data_tmp"), world.path("..data")).expect("swaps");
    assert_eq!(world.scan(), NOTHING);
    assert_eq!(world.problems(), ["b.yaml: warning: is a symbolic link that leads nowhere"]);
    fs::remove_file(world.path("b.yaml")).expect("removes");
    assert_eq!(world.scan_later(), ["-Namespace b"]);
    assert_eq!(world.problems(), NOTHING);
}

#[test]
fn links_are_followed_and_their_loops_survived() {
    let mut world = World::new();
    let outside = tempfile::tempdir().expect("a temporary folder");
    fs::write(outside.path().join("o.yaml"), namespace("outside")).expect("writes");
    world.write("sub/a.yaml", &namespace("a"));
    symlink(world.root.path(), world.path("sub/loop")).expect("links");
    symlink("self.yaml", world.path("self.yaml")).expect("links");
    symlink(outside.path(), world.path("linked")).expect("links");
    symlink("a.yaml", world.path("sub/same.yaml")).expect("links");
    assert_eq!(world.scan(), ["+Namespace a", "+Namespace outside"]);
    let scan = world.folder.scan(world.now).expect("scans");
    let outside = outside.path().canonicalize().expect("is there");
    assert!(scan.dirs.iter().any(|dir| dir.path == outside), "what a link leads to is watched");
}

#[test]
fn a_folder_that_cannot_be_read_keeps_everything_and_says_why() {
    let mut world = World::new();
    world.write("sub/a.yaml", &namespace("a"));
    world.scan();
    let away = world.path("..away");
    fs::rename(world.path("sub"), &away).expect("renames");
    fs::rename(away, world.path("sub")).expect("renames");
    assert_eq!(world.scan(), NOTHING);

    let gone = world.root.path().with_extension("gone");
    fs::rename(world.root.path(), &gone).expect("renames");
    let error = world.folder.scan(world.now).expect_err("is gone");
    assert_eq!(error, FilesError::Missing(world.root.path().to_owned()));
    assert_eq!(world.folder.object_count(), 1);
    fs::rename(&gone, world.root.path()).expect("renames back");
    assert_eq!(world.scan_later(), NOTHING);

    let file = world.path("file");
    fs::write(&file, "").expect("writes");
    assert_eq!(Folder::new(&file).scan(world.now).expect_err("is a file"), FilesError::NotAFolder(file));
}

#[test]
fn a_subfolder_without_permission_is_unknown_and_not_gone() {
    let mut world = World::new();
    world.write("sub/a.yaml", &namespace("a"));
    world.scan();
    fs::set_permissions(world.path("sub"), fs::Permissions::from_mode(0o000)).expect("locks");
    // The superuser may read everything: then there is nothing to see here.
    let locked = fs::read_dir(world.path("sub")).is_err();
    assert_eq!(world.scan(), NOTHING);
    assert_eq!(world.scan_later(), NOTHING);
    assert_eq!(world.folder.object_count(), 1);
    assert_eq!(world.problems().len(), usize::from(locked));
    fs::set_permissions(world.path("sub"), fs::Permissions::from_mode(0o755)).expect("unlocks");
}

#[test]
fn problems_of_objects_name_their_line_and_warnings_are_no_errors() {
    let mut world = World::new();
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n  rules:\n  - matches:\n    - path:\n        type: Glob\n";
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: s, namespace: n}\n  spec:\n    ports:\n    - port: 0\n";
    world.write("a.yaml", &format!("# comment\n---\n{route}"));
    world.write("b.yaml", list);
    world.write("c.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g}\n---\napiVersion: apps/v1\nkind: Deployment\n");
    assert_eq!(world.scan(), ["+HTTPRoute default/r", "+Service n/s"]);
    let problems = world.problems();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(
        problems[0].starts_with("a.yaml:10:9: error: HTTPRoute default/r: spec.rules[0].matches[0].path.type: must be")
    );
    assert_eq!(problems[1], "b.yaml:9:7: error: Service n/s: spec.ports[0].port: must be from 1 to 65535, is 0");
    assert!(problems[2].starts_with("c.yaml:2:1: warning: kind: GRPCRoute is not served"));
    assert_eq!(world.folder.ignored_count(), 2);
}

#[test]
fn writes_within_one_tick_of_the_file_systems_clock_are_seen() {
    let mut world = World::new();
    for round in 0..50 {
        // Same length, and often the same time stamp.
        world.write("a.yaml", &labelled("a", &format!("{round:04}")));
        assert_eq!(world.scan(), ["+Namespace a"], "round {round}");
    }
}

/// A change of one of a few files.
#[derive(Debug, Clone)]
enum Step {
    Write(usize, Vec<(usize, usize)>),
    Break(usize),
    Remove(usize),
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let objects = prop::collection::vec((0..4usize, 0..3usize), 0..4);
    let step = prop_oneof![
        4 => (0..3usize, objects).prop_map(|(file, objects)| Step::Write(file, objects)),
        1 => (0..3usize).prop_map(Step::Break),
        1 => (0..3usize).prop_map(Step::Remove),
        2 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened to a folder, once it stands still its state is that of a folder read for the first time; and
    /// what was said adds up to that state at every moment.
    #[test]
    fn incremental_reading_equals_reading_from_scratch(steps in steps()) {
        let mut world = World::new();
        let mut said = BTreeMap::new();
        let mut hear = |world: &mut World| {
            for event in world.folder.scan(world.now).expect("scans").events {
                match event {
                    Event::Put(at, object) => drop(said.insert(at, object)),
                    Event::Delete(at) => assert!(said.remove(&at).is_some(), "{at} was never put"),
                    Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => {}
                }
            }
            let held: BTreeMap<_, _> = world.folder.objects().into_iter().map(|(at, (o, _))| (at.clone(), o.clone())).collect();
            assert_eq!(said, held);
        };
        for step in steps {
            match step {
                Step::Write(file, objects) => {
                    let texts: Vec<_> = objects.iter().map(|(n, v)| labelled(&format!("n{n}"), &v.to_string())).collect();
                    world.write(&format!("{file}.yaml"), &texts.join("---\n"));
                }
                Step::Break(file) => world.write(&format!("{file}.yaml"), "kind: ["),
                Step::Remove(file) => drop(fs::remove_file(world.path(&format!("{file}.yaml")))),
                Step::Wait => world.now += CONFIRM_AFTER,
            }
            hear(&mut world);
        }
        for broken in world.folder.broken() {
            fs::remove_file(&broken.place.path).expect("removes");
        }
        for _ in 0..4 {
            world.now += CONFIRM_AFTER;
            hear(&mut world);
        }
        let mut fresh = Folder::new(world.root.path());
        fresh.scan(world.now).expect("scans");
        prop_assert_eq!(fresh.objects(), world.folder.objects());
        prop_assert_eq!(fresh.problems(), world.folder.problems());
    }
}
