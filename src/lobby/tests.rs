//! Who goes, and who waits.

use tokio::task::JoinHandle;

use super::guests::LOOK;
use super::*;

const SIZE: Size =
    Size { places: 4, share: 2, waiting: 3, enough: Duration::from_secs(1), busy: Duration::from_secs(10) };

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn at_once(lobby: &Lobby<IpAddr>, from: u8) -> Option<Place<IpAddr>> {
    tokio::time::timeout(Duration::from_millis(1), lobby.enter(ip(from))).await.ok().flatten()
}

async fn filled(with: [u8; 4]) -> (Lobby<IpAddr>, Vec<Place<IpAddr>>) {
    let (lobby, mut places) = (Lobby::new(SIZE), Vec::new());
    for from in with {
        places.push(at_once(&lobby, from).await.expect("there is room, whatever the share"));
    }
    (lobby, places)
}

fn held(places: &[Place<IpAddr>]) -> Vec<bool> {
    places.iter().map(Place::is_held).collect()
}

#[tokio::test(start_paused = true)]
async fn bounded_an_address_with_more_than_its_share_gives_way_at_once() {
    let (lobby, places) = filled([1, 2, 2, 2]).await;
    let _new = at_once(&lobby, 3).await.expect("another address");
    assert_eq!(held(&places), [true, false, true, true]);
    places[1].ousted().await;
    assert!(at_once(&lobby, 4).await.is_none(), "nobody has more than its share now");
    assert!(at_once(&lobby, 2).await.is_none(), "and not for itself");
}

#[tokio::test(start_paused = true)]
async fn bounded_who_has_been_there_longest_goes_and_not_before_it_is_long_enough() {
    let (lobby, places) = filled([1, 2, 3, 4]).await;
    let (since, one) = (Instant::now(), lobby.enter(ip(5)).await.expect("a place"));
    assert_eq!(since.elapsed(), SIZE.enough);
    let two = lobby.enter(ip(6)).await.expect("a place");
    assert_eq!(since.elapsed(), SIZE.enough);
    assert_eq!(held(&places), [false, false, true, true]);
    drop((one, two));
    assert!(at_once(&lobby, 7).await.is_some(), "gone is gone");
    drop(places);
    assert!(lobby.0.guests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn bounded_an_address_takes_no_place_of_one_that_has_fewer() {
    let (lobby, places) = filled([1, 2, 2, 2]).await;
    tokio::time::sleep(SIZE.enough).await;
    let _new = at_once(&lobby, 2).await.expect("one of its own goes");
    assert_eq!(held(&places), [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn the_busy_stay_for_a_while() {
    let (lobby, places) = filled([1, 2, 3, 4]).await;
    let busy = places[0].busy();
    tokio::time::sleep(SIZE.enough).await;
    let _one = at_once(&lobby, 5).await.expect("the second one goes");
    drop(busy);
    let _two = at_once(&lobby, 6).await.expect("the first one goes");
    assert_eq!(held(&places), [false, false, true, true]);
    let (lobby, places) = filled([1, 2, 3, 4]).await;
    let _busy: Vec<_> = places.iter().map(Place::busy).collect();
    let since = Instant::now();
    lobby.enter(ip(5)).await.expect("a place");
    assert!(since.elapsed() >= SIZE.busy && since.elapsed() < SIZE.busy + LOOK, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn newcomers_wait_for_those_who_are_quick() {
    let (lobby, mut places) = filled([1, 1, 1, 1]).await;
    let (since, mut came) = (Instant::now(), Vec::new());
    for number in 0..3 {
        let lobby = lobby.clone();
        came.push(tokio::spawn(async move { (number, lobby.enter(ip(1)).await, Instant::now()) }));
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        places.remove(0);
    }
    let mut came_in = Vec::new();
    for (number, task) in (1..).zip(came) {
        let (_, place, at) = task.await.expect("no panic");
        came_in.push(place.expect("nobody is turned away"));
        assert_eq!((at - since).as_millis(), 10 * number, "first come, first served");
    }
    assert!(held(&places)[0], "nobody had to go");
}

/// One after the other, each in a task of its own, as connections come.
async fn wait(lobby: &Lobby<IpAddr>, from: impl IntoIterator<Item = u8>) -> Vec<JoinHandle<Option<Place<IpAddr>>>> {
    let from = from.into_iter().map(|from| lobby.arrive(ip(from)).expect("it may wait"));
    let waiting = from.map(|newcomer| tokio::spawn(newcomer.place())).collect();
    tokio::task::yield_now().await;
    waiting
}

#[tokio::test(start_paused = true)]
async fn bounded_the_busy_are_outranked_and_the_quiet_before_them() {
    let (lobby, places) = filled([1, 1, 1, 1]).await;
    let mut busy: Vec<_> = places.iter().map(Place::busy).collect();
    let waiting = wait(&lobby, [1, 1, 1]).await;
    let one = at_once(&lobby, 2).await.expect("others of its address wait, and all are busy");
    assert_eq!(held(&places), [false, true, true, true]);
    drop(busy.remove(2));
    let _two = at_once(&lobby, 3).await.expect("one is not");
    assert_eq!(held(&places), [false, true, false, true]);
    drop((busy, waiting, one));
}

#[tokio::test(start_paused = true)]
async fn bounded_those_who_wait_keep_out_nobody_whose_address_has_fewer() {
    let (lobby, mut places) = filled([1, 2, 2, 1]).await;
    let mut waiting = wait(&lobby, [1, 2, 3]).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "nobody has more than its share");
    drop(places.remove(0));
    let third = waiting.remove(2).await.expect("no panic").expect("its address has none");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "they came first, and have more");
    drop(third);
    let first = waiting.remove(0).await.expect("no panic").expect("its address has one, the other's has two");
    assert!(!waiting[0].is_finished() && first.is_held());
}

#[tokio::test(start_paused = true)]
async fn bounded_of_too_many_who_wait_the_address_with_most_loses_its_last() {
    let (lobby, _places) = filled([1, 2, 3, 4]).await;
    let mut waiting = wait(&lobby, [5, 5, 5]).await;
    assert!(lobby.arrive(ip(5)).is_none(), "told at once");
    let other = lobby.arrive(ip(6)).expect("its address has fewer who wait");
    assert!(waiting.remove(2).await.expect("no panic").is_none(), "the last one goes");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    drop(other);
    assert!(lobby.arrive(ip(5)).is_some(), "gone is gone");
}

#[tokio::test(start_paused = true)]
async fn two_addresses_do_not_take_the_same_place_from_each_other() {
    let size = Size { places: 5, share: 1, waiting: 100, ..SIZE };
    let lobby = Lobby::new(size);
    let come = async |from| wait(&lobby, std::iter::repeat_n(from, 50)).await;
    let (one, two) = (come(1).await, come(2).await);
    let there = |waiting: &[JoinHandle<_>]| waiting.iter().filter(|waiting| waiting.is_finished()).count();
    assert_eq!((there(&one), there(&two)), (5, 2), "two gave way, and that was all");
}

#[tokio::test(start_paused = true)]
async fn time_in_which_this_program_came_late_counts_for_nobody() {
    let (lobby, places) = filled([1, 1, 1, 1]).await;
    let waiting = wait(&lobby, [1]).await;
    tokio::time::advance(SIZE.enough * 10).await;
    tokio::task::yield_now().await;
    let since = Instant::now();
    assert_eq!(held(&places), [true; 4], "it may be their turn, and nobody has looked");
    for waiting in waiting {
        waiting.await.expect("no panic").expect("a place");
    }
    assert!(since.elapsed() >= SIZE.enough - LOOK * 2, "{:?}", since.elapsed());
}

#[test]
fn an_address_is_a_host() {
    let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert_eq!(origin(parse("::ffff:192.0.2.1")), ip(1));
    assert_eq!(origin(parse("2001:db8:1:2:3:4:5:6")), parse("2001:db8:1:2::"));
    assert_eq!(origin(parse("::1")), parse("::"));
}
