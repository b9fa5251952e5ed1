//! Who goes, and who waits.

use super::*;

const SIZE: Size = Size { places: 4, share: 2, enough: Duration::from_secs(1), busy: Duration::from_secs(10) };

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn at_once(lobby: &Lobby, from: u8) -> Option<Place> {
    tokio::time::timeout(Duration::from_millis(1), lobby.enter(ip(from))).await.ok()
}

async fn filled(with: [u8; 4]) -> (Lobby, Vec<Place>) {
    let (lobby, mut places) = (Lobby::new(SIZE), Vec::new());
    for from in with {
        places.push(at_once(&lobby, from).await.expect("there is room, whatever the share"));
    }
    (lobby, places)
}

fn held(places: &[Place]) -> Vec<bool> {
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
    let (since, one) = (Instant::now(), lobby.enter(ip(5)).await);
    assert_eq!(since.elapsed(), SIZE.enough);
    let two = lobby.enter(ip(6)).await;
    assert_eq!(since.elapsed(), SIZE.enough);
    assert_eq!(held(&places), [false, false, true, true]);
    drop((one, two));
    assert!(at_once(&lobby, 7).await.is_some(), "gone is gone");
    drop(places);
    assert!(lobby.0.guests().present.is_empty() && lobby.0.guests().of.is_empty());
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
    lobby.enter(ip(5)).await;
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
    for (number, task) in (1..).zip(came) {
        let (_, _place, at) = task.await.expect("no panic");
        assert_eq!((at - since).as_millis(), 10 * number, "first come, first served");
    }
    assert!(held(&places)[0], "nobody had to go");
}

#[test]
fn an_address_is_a_host() {
    let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert_eq!(origin(parse("::ffff:192.0.2.1")), ip(1));
    assert_eq!(origin(parse("2001:db8:1:2:3:4:5:6")), parse("2001:db8:1:2::"));
    assert_eq!(origin(parse("::1")), parse("::"));
}
