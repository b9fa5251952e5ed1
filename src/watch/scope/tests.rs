//! What leaves a scope, and in what order, against a sink that keeps everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::{Kind, Object, Pod, Service};

/// Everything that was said.
#[derive(Default, Clone)]
struct Said(Arc<Mutex<Vec<Delta>>>);

impl Said {
    fn sink(&self) -> Sink {
        let said = self.0.clone();
        Arc::new(move |delta| said.lock().unwrap().push(delta))
    }

    /// The deltas since the last call: `+a`, `-a`, `=Kind`, a firm one in brackets.
    fn take(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Put(object, _) => format!("+{}", object.key.name),
            Event::Delete(object) => format!("-{}", object.key.name),
            Event::Listed(kind) => format!("={kind}"),
            other => format!("{other:?}"),
        };
        let said = std::mem::take(&mut *self.0.lock().unwrap());
        let delta = |delta: Delta| {
            let mut events: Vec<_> = delta.events.iter().map(text).collect();
            events.sort_unstable();
            if delta.firm { format!("[{}]", events.join(" ")) } else { events.join(" ") }
        };
        said.into_iter().map(delta).collect()
    }
}

fn of_value(name: &str, version: u64, value: Value) -> Item {
    Item { key: ObjectKey::new("shop", name), version, value }
}

fn item(name: &str, version: u64) -> Item {
    let object = Object::Pod(Arc::new(Pod { terminating: version.is_multiple_of(2), ..Pod::default() }));
    of_value(name, version, Value::Object(object, vec![]))
}

fn pods() -> Target {
    Target::all(Kind::Pod, Some("shop".into()))
}

fn services() -> Target {
    Target::all(Kind::Service, Some("shop".into()))
}

fn scope(said: &Said, first: First) -> Arc<Scope> {
    let board = Board::new(BTreeMap::new(), None, said.sink());
    let targets = [pods(), services()];
    targets.iter().for_each(|target| board.add(target, true));
    board.seal();
    Scope::new(said.sink(), board, &targets, first)
}

fn list(scope: &Scope, target: &Target, items: Vec<Item>) -> Loss {
    let mut gathering = Gathering::default();
    scope.gather(target, &mut gathering, items);
    let loss = scope.loss(target, &gathering);
    scope.swap(target, gathering, Instant::now());
    loss
}

#[test]
fn a_second_list_says_only_what_changed() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &pods(), vec![item("a", 1), item("b", 2), item("c", 3)]);
    assert_eq!(said.take(), ["+a +b +c"]);
    let loss = list(&scope, &pods(), vec![item("a", 1), item("b", 5)]);
    assert_eq!(loss, Loss { had: 3, lost: 1 });
    assert_eq!(said.take(), ["+b -c"]);
    list(&scope, &pods(), vec![item("a", 1), item("b", 5)]);
    assert_eq!(said.take(), [""; 0], "nothing changed");
}

#[test]
fn an_object_that_cannot_be_read_keeps_what_it_was() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &pods(), vec![item("a", 1)]);
    said.take();
    let unreadable = of_value("a", 2, Value::Unreadable(vec![]));
    let loss = list(&scope, &pods(), vec![unreadable]);
    assert_eq!((loss.lost, said.take()), (0, vec![]));
}

#[test]
fn the_first_lists_of_a_staged_scope_leave_together() {
    let said = Said::default();
    let scope = scope(&said, First::Together);
    list(&scope, &services(), vec![item("s", 1)]);
    scope.change(&services(), vec![Change::Put(item("t", 2))], Instant::now());
    assert_eq!(said.take(), [""; 0], "the pods are not there yet");
    list(&scope, &pods(), vec![item("p", 1)]);
    assert_eq!(said.take(), ["+p +s +t"]);
    scope.change(&pods(), vec![Change::Delete(Gone { key: ObjectKey::new("shop", "p"), version: 3 })], Instant::now());
    assert_eq!(said.take(), ["-p"]);
}

#[test]
fn what_is_staged_can_be_let_go_without_the_rest() {
    let said = Said::default();
    let scope = scope(&said, First::Together);
    list(&scope, &services(), vec![item("s", 1)]);
    scope.release();
    assert_eq!(said.take()[0], "+s");
    let delivered = |target: &Target| scope.board.has_delivered(target);
    assert!(delivered(&services()) && !delivered(&pods()), "what was let go counts as delivered");
    list(&scope, &pods(), vec![item("p", 1)]);
    assert_eq!(said.take(), ["+p"]);
}

#[test]
fn gone_is_gone_and_late_events_are_fenced() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &pods(), vec![item("a", 1)]);
    list(&scope, &services(), vec![item("s", 1)]);
    said.take();
    assert_eq!(scope.end(), 2);
    assert_eq!(said.take(), ["[-a -s]"], "one firm delta");
    scope.change(&pods(), vec![Change::Put(item("late", 9))], Instant::now());
    list(&scope, &pods(), vec![item("late", 9)]);
    assert_eq!((scope.end(), said.take()), (0, vec![]));
}

#[test]
fn a_staged_scope_that_ends_was_never_said() {
    let said = Said::default();
    let scope = scope(&said, First::Together);
    list(&scope, &pods(), vec![item("a", 1)]);
    assert_eq!((scope.end(), said.take()), (0, vec![]));
}

#[test]
fn rows_of_some_sources_can_be_dropped_and_come_back() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &pods(), vec![item("a", 1)]);
    list(&scope, &services(), vec![item("s", 1)]);
    said.take();
    scope.drop_rows(&[pods()]);
    assert_eq!(said.take(), ["[-a]"]);
    list(&scope, &pods(), vec![item("a", 1)]);
    assert_eq!(said.take(), ["+a"]);
}

#[test]
fn a_change_of_one_object_is_said_once_and_a_managed_slice_goes() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &services(), vec![]);
    let service = || Object::Service(Arc::new(Service::default()));
    let put = |version| Change::Put(of_value("s", version, Value::Object(service(), vec![])));
    scope.change(&services(), vec![put(1), put(2)], Instant::now());
    assert_eq!(said.take(), ["+s"]);
    let managed = of_value("s", 3, Value::Managed);
    scope.change(&services(), vec![Change::Put(managed)], Instant::now());
    assert_eq!(said.take(), ["-s"]);
}

#[test]
fn a_kind_is_listed_when_every_required_source_of_it_has_delivered() {
    let said = Said::default();
    let part = || crate::readiness::Readiness::new(|_| {}).register(crate::readiness::Layer::Source, "Pod");
    let board = Board::new(BTreeMap::from([(Kind::Pod, part())]), None, said.sink());
    let other = Target::all(Kind::Pod, Some("blog".into()));
    let scopes = [pods(), other.clone()].map(|target| {
        board.add(&target, true);
        Scope::new(said.sink(), board.clone(), &[target], First::Whole)
    });
    list(&scopes[0], &pods(), vec![]);
    assert_eq!(said.take(), [""; 0], "not sealed: more may be expected");
    board.seal();
    assert_eq!(said.take(), [""; 0], "the other has not delivered");
    list(&scopes[1], &other, vec![item("p", 1)]);
    assert_eq!(said.take(), ["+p", "=Pod"]);
    assert!(board.is_listed());
}

#[test]
fn pods_leave_while_they_are_listed_once_the_services_are_there() {
    let said = Said::default();
    let scope = scope(&said, First::Early);
    let many = || (0..EARLY).map(|n| item(&format!("p{n}"), 1)).collect::<Vec<_>>();
    let mut cut = Gathering::default();
    scope.gather(&pods(), &mut cut, many());
    assert_eq!(said.take(), [""; 0], "the Services are not there yet");
    list(&scope, &services(), vec![item("s", 1)]);
    assert_eq!(said.take(), ["+s"]);
    scope.gather(&pods(), &mut cut, vec![item("last", 1)]);
    assert_eq!((said.take().len(), cut.len()), (1, EARLY + 1));
    scope.gather(&pods(), &mut cut, vec![item("lost", 1)]);
    scope.take_out(&pods(), &mut cut, &ObjectKey::new("shop", "p0"));
    assert_eq!((said.take(), cut.len()), (vec!["-p0".to_owned()], EARLY + 1));

    // That list broke. The next one says what is missing, and what went meanwhile.
    let mut items = many();
    items.truncate(EARLY - 1);
    items.push(item("last", 2));
    items.push(item("lost", 1));
    assert_eq!(list(&scope, &pods(), items).lost, 1);
    assert_eq!(said.take(), [format!("+last +lost +p0 -p{}", EARLY - 1)]);
}

#[test]
fn a_row_leaves_when_its_last_owner_lets_go() {
    let (said, owners) = (Said::default(), Arc::<Owners>::default());
    let board = Board::new(BTreeMap::new(), None, said.sink());
    let scope = |target: &Target, first| {
        board.add(target, false);
        Scope::among(Some(&owners), said.sink(), board.clone(), std::slice::from_ref(target), first)
    };
    let (watched, demanded) = (pods(), pods().on_demand());
    let (first, second) = (scope(&demanded, First::Whole), scope(&watched, First::Together));
    list(&first, &demanded, vec![item("a", 1), item("b", 1)]);
    list(&second, &watched, vec![item("a", 1), item("c", 1)]);
    said.take();
    assert_eq!((first.end(), said.take()), (1, vec!["[-b]".to_owned()]), "the other has the first one too");
    drop(first);
    let third = scope(&demanded, First::Whole);
    list(&third, &demanded, vec![item("c", 1)]);
    said.take();
    second.change(
        &watched,
        vec![Change::Delete(Gone { key: ObjectKey::new("shop", "c"), version: 3 })],
        Instant::now(),
    );
    assert_eq!(said.take(), [""; 0]);
    third.change(
        &demanded,
        vec![Change::Delete(Gone { key: ObjectKey::new("shop", "c"), version: 3 })],
        Instant::now(),
    );
    assert_eq!(said.take(), ["-c"], "now nobody has it");
    drop((second, third));
    assert_eq!(owners.len(), 0, "nothing is left behind");
}

#[test]
fn of_what_is_staged_the_newest_leaves() {
    let said = Said::default();
    let scope = scope(&said, First::Together);
    list(&scope, &services(), vec![item("s", 1), item("t", 1)]);
    for version in 2..9 {
        scope.change(&services(), vec![Change::Put(item("s", version))], Instant::now());
    }
    scope.change(
        &services(),
        vec![Change::Delete(Gone { key: ObjectKey::new("shop", "t"), version: 9 })],
        Instant::now(),
    );
    list(&scope, &pods(), vec![]);
    assert_eq!(said.take(), ["+s -t"], "one event for each object");
}

#[test]
fn a_list_during_which_rows_were_dropped_is_read_once_more() {
    let said = Said::default();
    let scope = scope(&said, First::Whole);
    list(&scope, &pods(), vec![item("a", 1)]);
    let mut gathering = Gathering::default();
    scope.gather(&pods(), &mut gathering, vec![item("a", 1)]);
    scope.drop_rows(&[pods()]);
    assert!(!scope.swap(&pods(), gathering, Instant::now()), "what was known at its beginning is not any more");
    said.take();
    list(&scope, &pods(), vec![item("a", 1)]);
    assert_eq!(said.take(), ["+a"]);
}

#[test]
fn a_source_that_was_replaced_is_fenced() {
    let said = Said::default();
    let old = scope(&said, First::Whole);
    list(&old, &pods(), vec![item("a", 1)]);
    old.drop_rows(&[pods()]);
    let new = old.renew(&pods());
    said.take();
    old.change(&pods(), vec![Change::Put(item("late", 9))], Instant::now());
    list(&old, &pods(), vec![item("late", 9)]);
    assert_eq!(said.take(), [""; 0]);
    list(&new, &pods(), vec![item("a", 1)]);
    assert_eq!(said.take(), ["+a"]);
    assert_eq!((old.end(), said.take()), (1, vec!["[-a]".to_owned()]), "all of it leaves with the scope");
}
