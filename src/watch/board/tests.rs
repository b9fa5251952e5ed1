//! What readiness is told of a kind with several sources.

use super::*;
use crate::readiness::{Layer, Readiness, State as Told};

#[test]
fn a_kind_is_in_touch_again_once_all_its_sources_have_been_for_a_while() {
    let readiness = Readiness::new(|_| {});
    let parts = BTreeMap::from([(Kind::Pod, readiness.register(Layer::Source, "Pod"))]);
    let board = Board::new(parts, None, Arc::new(|_| {}));
    let told = || readiness.report().parts.iter().find(|part| part.name == "Pod").map(|part| part.state);
    let [shop, blog] = ["shop", "blog"].map(|namespace| Target::all(Kind::Pod, Some(namespace.into())));
    for target in [&shop, &blog] {
        board.add(target, true);
        board.set(target, State::Synced, "");
        board.delivered(target);
    }
    board.seal();
    assert_eq!(told(), Some(Told::Ready), "at the start nothing is awaited");

    for target in [&shop, &blog] {
        board.set(target, State::Stale, "an outage");
        assert_eq!(told(), Some(Told::Stale));
        board.set(target, State::Synced, "");
        assert_eq!(told(), Some(Told::Stale), "the next may be lost at once");
    }
    let mut inner = board.lock();
    inner.lost.values_mut().for_each(|last| *last = last.checked_sub(inner::SETTLED).unwrap());
    inner.tell_of_the_lost();
    drop(inner);
    assert_eq!(told(), Some(Told::Ready));
}

#[test]
fn the_index_is_what_a_look_at_every_source_finds() {
    let board = Board::new(BTreeMap::new(), None, Arc::new(|_| {}));
    let namespaces = [None, Some(ArcStr::from("shop")), Some(ArcStr::from("blog"))];
    let mut dice = 7_u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((dice >> 33) % sides).unwrap()
    };
    for step in 0..5_000 {
        let kind = [Kind::Pod, Kind::Service, Kind::Namespace][roll(3)];
        let mut target = Target::all(kind, namespaces[roll(3)].clone());
        target.demanded = roll(4) == 0;
        match roll(7) {
            0 => board.add(&target, roll(2) == 0),
            1 => board.remove(&target),
            2 => board.delivered(&target),
            3 => board.excuse(&target),
            4 => board.read(&target, Progress { objects: roll(2_000), pages: 0 }),
            _ => board.set(&target, State::ALL[roll(6)], "a reason"),
        }
        assert!(board.lock().is_indexed(), "step {step}");
        assert_eq!(board.is_denied_in("shop"), !board.denied_in("shop").is_empty());
    }
}

/// F45: objects, and pages of a list that has any.
#[test]
fn progress_counts_objects_and_pages() {
    let readiness = Readiness::new(|_| {});
    let parts = BTreeMap::from([(Kind::Pod, readiness.register(Layer::Source, "Pod"))]);
    let board = Board::new(parts, None, Arc::new(|_| {}));
    let target = Target::all(Kind::Pod, None);
    board.add(&target, true);
    board.seal();
    board.set(&target, State::Listing, "");
    let told = || readiness.report().parts.iter().find(|part| part.name == "Pod").map(|part| part.reason.to_string());
    board.read(&target, Progress { objects: 1_500, pages: 3 });
    assert_eq!(told().unwrap(), "Pod: listing: 1500 objects read, page 3");
    board.read(&target, Progress { objects: 90_000, pages: 0 });
    assert_eq!(told().unwrap(), "Pod: listing: 90000 objects read", "a stream has none");
}

#[test]
fn a_missing_right_is_named_before_what_merely_waits() {
    let readiness = Readiness::new(|_| {});
    let parts = BTreeMap::from([(Kind::Pod, readiness.register(Layer::Source, "Pod"))]);
    let board = Board::new(parts, None, Arc::new(|_| {}));
    let targets = ["a", "b", "c"].map(|namespace| Target::all(Kind::Pod, Some(namespace.into())));
    targets.iter().for_each(|target| board.add(target, true));
    board.seal();
    let told = || readiness.report().parts.iter().find(|part| part.name == "Pod").map(|part| part.reason.to_string());
    board.set(&targets[0], State::Synced, "");
    assert_eq!(told().unwrap(), "Pod in a: synced: read, and waits for the other kinds of its namespace; and 2 more");
    board.set(&targets[1], State::Denied, "no right");
    assert_eq!(told().unwrap(), "Pod in b: denied: no right; and 2 more");
    board.excuse(&targets[1]);
    board.delivered(&targets[0]);
    assert_eq!(told().unwrap(), "Pod in c: pending: not begun");
}

/// F23.
#[test]
fn every_transition_is_on_the_page_with_the_age_of_what_is_stale() {
    let exporter = crate::metrics::Exporter::install().unwrap();
    let board = Board::new(BTreeMap::new(), None, Arc::new(|_| {}));
    // Of a kind that no other test exports.
    let target = Target::all(Kind::GatewayClass, None);
    board.add(&target, true);
    for state in State::ALL {
        board.set(&target, state, "a reason");
        board.lock().change(&target, |entry| entry.since = entry.since.checked_sub(inner::SETTLED).unwrap());
        board.export();
        let page = exporter.render();
        for other in State::ALL {
            let count = u8::from(other == state);
            let line = format!("syncgate_sources{{kind=\"GatewayClass\",state=\"{}\"}} {count}\n", other.as_str());
            assert!(page.contains(&line), "{line}{page}");
        }
        let ages = page
            .lines()
            .find_map(|line| line.strip_prefix("syncgate_source_staleness_seconds{kind=\"GatewayClass\"} "));
        let age: f64 = ages.unwrap().parse().unwrap();
        let is_stale = matches!(state, State::Stale | State::Denied);
        assert_eq!(age >= inner::SETTLED.as_secs_f64(), is_stale, "{state:?}: {age}");
    }
    for life in Life::ALL {
        board.life(&"shop".into(), Some((life, ArcStr::new())));
        board.export();
        let page = exporter.render();
        for other in Life::ALL {
            let line = format!("syncgate_namespaces{{state=\"{}\"}} {}\n", other.as_str(), u8::from(other == life));
            assert!(page.contains(&line), "{line}{page}");
        }
    }
}
