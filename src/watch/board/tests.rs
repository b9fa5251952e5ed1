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
    inner.lost.values_mut().for_each(|last| *last = last.checked_sub(SETTLED).unwrap());
    inner.tell_of_the_lost();
    drop(inner);
    assert_eq!(told(), Some(Told::Ready));
}
