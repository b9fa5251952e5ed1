//! Invariant `bounded`, the door's part: how much is held and for how long, and what happens at the bound.

use super::*;

#[test]
fn bounded_the_mailbox_holds_one_entry_for_each_object() {
    let (sender, mailbox) = mailbox();
    for round in 0..100 {
        for n in 0..50 {
            let event =
                if round % 2 == 0 { service(&n.to_string(), &[80]) } else { delete(Kind::Service, &n.to_string()) };
            sender.send(Delta::new(Instant::now(), vec![event, Event::Listed(Kind::Service)]));
        }
    }
    assert_eq!(mailbox.len(), 50);
    let Taken::Arrivals(arrivals) = mailbox.take(Duration::ZERO) else { panic!("closed") };
    assert_eq!(arrivals.len(), 51, "and one marker for each kind");
}

#[test]
fn bounded_beyond_the_cap_changes_pass_unheld() {
    let mut rig = Rig::around(Door::with_max_held(3), vec![]);
    let routes: Vec<_> = (0..5).map(|n| route(&n.to_string(), &[("missing", 80)])).collect();
    assert_eq!(rig.offer(routes.clone()).len(), 2);
    assert_eq!(rig.door.held_count(), 3);
    assert_eq!(rig.offer(routes).len(), 2, "the three that are held stay held");
    assert_eq!(rig.at(ms(500)).len(), 3);
}

#[test]
fn bounded_no_stream_of_updates_holds_an_object_longer_than_500_ms() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    let mut let_in = Vec::new();
    for step in 0..100_u64 {
        rig.now = rig.start + ms(10 * step);
        let news = rig.offer(vec![route("r", &[(&format!("missing-{step}"), 80)])]);
        let_in.extend(news.iter().map(|_| step * 10));
    }
    assert_eq!(let_in, [500], "the version of that moment; the next has a clock of its own");
}

#[test]
fn bounded_nothing_stays_behind_of_what_was_held() {
    let mut rig = Rig::with(vec![]);
    for n in 0..200 {
        rig.offer(vec![route(&n.to_string(), &[("missing", 80)])]);
    }
    assert_eq!(rig.door.held_count(), 200);
    rig.at(ms(500));
    for n in 0..200 {
        rig.offer(vec![delete(Kind::HttpRoute, &n.to_string())]);
    }
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (0, None));
    assert!(rig.door.is_idle(), "{:?}", rig.door);
}
