use std::time::Duration;

use super::*;

const KIB: usize = 1 << 10;

/// A request's way to its room, step by step.
async fn comes(rooms: &Rooms, taken: Option<Taken>, whole: usize) -> Option<Taken> {
    tokio::time::timeout(Duration::from_secs(1), rooms.take(taken, whole)).await.ok()
}

fn rooms(hall: &Hall, share: &Share) -> Rooms {
    Rooms { of_connection: Room::new(1 << 30), of_tenant: share.clone(), of_process: hall.clone() }
}

#[tokio::test(start_paused = true)]
async fn bounded_a_request_takes_room_as_it_comes() {
    let (hall, share) = (Hall::new(1 << 20), Share::new(1 << 20));
    let rooms = rooms(&hall, &share);
    let mut taken = comes(&rooms, None, 700 * KIB).await;
    let mut steps = vec![taken.as_ref().expect("free").bytes()];
    while *steps.last().expect("one") < 700 * KIB {
        taken = comes(&rooms, taken, 700 * KIB).await;
        steps.push(taken.as_ref().expect("free").bytes());
    }
    assert_eq!(steps, [STEP, 2 * STEP, 700 * KIB]);
    let small = comes(&rooms, None, 20 * KIB).await.expect("free");
    assert_eq!(small.bytes(), 20 * KIB);
}

#[tokio::test(start_paused = true)]
async fn bounded_a_connection_and_a_tenant_leave_room_for_others() {
    let (hall, a, b) = (Hall::new(1_000 * KIB), Share::new(300 * KIB), Share::new(1_000 * KIB));
    let narrow = Rooms { of_connection: Room::new(300 * KIB), ..rooms(&hall, &a) };
    let first = comes(&narrow, None, 200 * KIB).await.expect("free");
    assert!(comes(&narrow, None, 150 * KIB).await.is_none(), "more than the connection's");
    assert!(comes(&rooms(&hall, &a), None, 150 * KIB).await.is_none(), "more than the tenant's");
    let other = comes(&rooms(&hall, &b), None, 200 * KIB).await.expect("free");
    drop(first);
    let huge = comes(&narrow, None, 900 * KIB).await.expect("a request that is larger than everything gets everything");
    let huge = comes(&narrow, Some(huge), 900 * KIB).await.expect("the oldest of its tenant");
    assert!(comes(&narrow, Some(huge), 900 * KIB).await.is_none(), "more than the process', and others are older");
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn bounded_requests_that_hold_some_room_do_not_wait_for_each_other() {
    let (hall, share) = (Hall::new(2 * STEP), Share::new(2 * STEP));
    let rooms = rooms(&hall, &share);
    let one = comes(&rooms, None, 3 * STEP).await.expect("free");
    let two = comes(&rooms, None, 3 * STEP).await.expect("free");
    let mut waits = tokio::spawn(rooms.take(Some(two), 3 * STEP));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut waits).await.is_err(), "all is taken");
    let one = comes(&rooms, Some(one), 3 * STEP).await.expect("the oldest");
    let one = comes(&rooms, Some(one), 3 * STEP).await.expect("the oldest");
    assert_eq!(one.bytes(), 3 * STEP);
    drop(one);
    let two = waits.await.expect("no panic");
    assert_eq!(two.bytes(), 2 * STEP);
}

#[tokio::test(start_paused = true)]
async fn bounded_nobody_keeps_a_tenant_waiting_for_its_first_step() {
    let (hall, shares) = (Hall::new(4 * STEP), [(); 6].map(|()| Share::new(4 * STEP)));
    let mut greedy = Vec::new();
    for share in &shares[..4] {
        greedy.push(comes(&rooms(&hall, share), None, 9 * STEP).await.expect("free"));
    }
    // They want more, each as much as it has.
    let mut waiting: Vec<_> = shares.iter().zip(greedy).skip(1).collect();
    let (share, last) = waiting.pop().expect("four");
    let more = rooms(&hall, share).take(Some(last), 9 * STEP);
    let mut waiting = tokio::spawn(more);
    let small = comes(&rooms(&hall, &shares[4]), None, STEP).await.expect("it holds nothing");
    assert!(comes(&rooms(&hall, &shares[4]), None, STEP).await.is_none(), "one at a time");
    let other = comes(&rooms(&hall, &shares[5]), None, STEP).await.expect("it holds nothing");
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err(), "there is no room");
    drop((small, other));
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn bounded_of_those_that_wait_the_tenant_that_holds_least_is_next() {
    let (hall, a, b, c) = (Hall::new(4 * STEP), Share::new(9 * STEP), Share::new(9 * STEP), Share::new(9 * STEP));
    let oldest = comes(&rooms(&hall, &a), None, STEP).await.expect("free");
    let of_b = comes(&rooms(&hall, &b), None, 9 * STEP).await.expect("free");
    let of_b = comes(&rooms(&hall, &b), Some(of_b), 9 * STEP).await.expect("free");
    let of_c = comes(&rooms(&hall, &c), None, 9 * STEP).await.expect("free");
    let mut more_of_b = tokio::spawn(rooms(&hall, &b).take(None, STEP));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut more_of_c = tokio::spawn(rooms(&hall, &c).take(None, STEP));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(oldest);
    let taken =
        tokio::time::timeout(Duration::from_secs(1), &mut more_of_c).await.expect("its turn").expect("no panic");
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut more_of_b).await.is_err(), "it came first, and has more");
    drop((taken, of_c));
    assert!(tokio::time::timeout(Duration::from_secs(1), more_of_b).await.is_ok());
    drop(of_b);
}

/// Otherwise of a fleet that comes back each Envoy would have some of its room, and one after the other the rest.
#[tokio::test(start_paused = true)]
async fn bounded_requests_that_began_first_are_whole_first() {
    let (hall, share) = (Hall::new(16 * STEP), Share::new(4 * STEP));
    let rooms = rooms(&hall, &share);
    let whole = STEP + 1;
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(comes(&rooms, None, whole).await.expect("free"));
    }
    let newcomers: Vec<_> = (0..4).map(|_| tokio::spawn(rooms.take(None, whole))).collect();
    tokio::task::yield_now().await;
    let mut rest: Vec<_> = begun.into_iter().map(|taken| tokio::spawn(rooms.take(Some(taken), whole))).collect();
    let oldest = rest.remove(0).await.expect("no panic");
    assert_eq!(oldest.bytes(), whole, "the oldest never waits");
    drop(oldest);
    for taken in rest {
        let taken = tokio::time::timeout(Duration::from_secs(1), taken).await.expect("its turn").expect("no panic");
        assert_eq!(taken.bytes(), whole);
    }
    for newcomer in newcomers {
        newcomer.await.expect("no panic");
    }
}
