//! Coalescing, order, waiting and ending of the mailbox.

use std::thread;

use super::*;

/// What is there now.
fn taken(mailbox: &Mailbox) -> Vec<Arrival> {
    match mailbox.take(Duration::ZERO) {
        Taken::Arrivals(arrivals) => arrivals,
        Taken::Closed => panic!("closed"),
    }
}

fn events(mailbox: &Mailbox) -> Vec<Event> {
    taken(mailbox).into_iter().map(|arrival| arrival.event).collect()
}

fn send(sender: &Sender, events: Vec<Event>) {
    sender.send(Delta::new(Instant::now(), events));
}

#[test]
fn the_newest_event_of_an_object_stays_with_the_earliest_arrival() {
    let (sender, mailbox) = mailbox();
    let start = Instant::now();
    sender.send(Delta::new(start + ms(5), vec![service("a", &[1])]));
    sender.send(Delta::new(start, vec![service("a", &[2])]));
    sender.send(Delta::new(start + ms(9), vec![service("a", &[3])]));
    assert_eq!(mailbox.len(), 1);
    assert_eq!(taken(&mailbox), [Arrival { arrived: start, event: service("a", &[3]), firm: false }]);
    assert!(mailbox.is_empty());
}

#[test]
fn a_delete_after_a_put_stays_and_so_does_a_put_after_a_delete() {
    let (sender, mailbox) = mailbox();
    send(&sender, vec![service("a", &[1]), delete(Kind::Service, "b")]);
    send(&sender, vec![delete(Kind::Service, "a"), service("b", &[1])]);
    assert_eq!(events(&mailbox), [delete(Kind::Service, "a"), service("b", &[1])]);
}

#[test]
fn no_marker_overtakes_a_row_it_stands_for() {
    let (sender, mailbox) = mailbox();
    send(&sender, vec![service("a", &[1]), Event::Listed(Kind::Service)]);
    send(&sender, vec![service("a", &[2]), service("b", &[1]), Event::Listed(Kind::Service)]);
    let expected = [service("a", &[2]), service("b", &[1]), Event::Listed(Kind::Service)];
    assert_eq!(events(&mailbox), expected);
}

#[test]
fn a_thousand_updates_are_one_entry() {
    let (sender, mailbox) = mailbox();
    for port in 1..=1000 {
        send(&sender, vec![service("a", &[port])]);
    }
    assert_eq!(events(&mailbox), [service("a", &[1000])]);
}

#[test]
fn whole_deltas_are_taken_from_several_threads() {
    let (sender, mailbox) = mailbox();
    let senders: Vec<_> = (0..4)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                for n in 1..=200 {
                    let pair = [format!("{thread}-x"), format!("{thread}-y")];
                    send(&sender, pair.iter().map(|name| service(name, &[n])).collect());
                }
            })
        })
        .collect();
    drop(sender);
    let mut last = std::collections::BTreeMap::new();
    while let Taken::Arrivals(arrivals) = mailbox.take(Duration::from_secs(10)) {
        assert_eq!(arrivals.len() % 2, 0, "half a delta");
        for arrival in arrivals {
            if let Event::Put(object, value) = arrival.event {
                last.insert(object, value);
            }
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(last.len(), 8);
    for (object, value) in last {
        let Event::Put(_, expected) = service("any", &[200]) else { unreachable!() };
        assert_eq!(value, expected, "{object}");
    }
}

#[test]
fn the_reader_waits_for_something_or_for_its_time() {
    let (sender, mailbox) = mailbox();
    let before = Instant::now();
    assert_eq!(mailbox.take(ms(20)), Taken::Arrivals(Vec::new()));
    assert!(before.elapsed() >= ms(20));

    let late = thread::spawn(move || {
        thread::sleep(ms(20));
        send(&sender, vec![service("a", &[1])]);
        sender
    });
    assert!(matches!(mailbox.take(Duration::from_secs(60)), Taken::Arrivals(arrivals) if arrivals.len() == 1));
    let sender = late.join().unwrap();

    sender.wake();
    assert_eq!(mailbox.take(Duration::from_secs(60)), Taken::Arrivals(Vec::new()));
    assert_eq!(mailbox.take(Duration::ZERO), Taken::Arrivals(Vec::new()), "one wake is one look");
}

#[test]
fn it_is_closed_when_the_last_sender_is_gone_and_everything_is_taken() {
    let (sender, mailbox) = mailbox();
    let second = sender.clone();
    send(&sender, vec![service("a", &[1])]);
    drop(sender);
    drop(second);
    assert_eq!(events(&mailbox), [service("a", &[1])]);
    assert_eq!(mailbox.take(Duration::from_secs(60)), Taken::Closed);
}

#[test]
fn what_the_sources_cover_comes_first_and_answers_come_behind_the_rows_they_stand_for() {
    let (sender, mailbox) = mailbox();
    let [a, b] = [wants_secret("a"), wants_secret("b")];
    send(&sender, vec![Event::Listed(Kind::Service), known(&b), unavailable(&a, "for now"), secret("b")]);
    send(&sender, vec![secret("a"), known(&a), covers(&[], None)]);
    send(&sender, vec![covers(&[Kind::Secret], None)]);
    let covers = covers(&[Kind::Secret], None);
    assert_eq!(
        events(&mailbox),
        [covers, secret("b"), secret("a"), known(&a), known(&b), Event::Listed(Kind::Service)],
        "the newest of each"
    );
    assert_eq!(events(&mailbox), []);
    send(&sender, vec![known(&a)]);
    assert_eq!((mailbox.len(), events(&mailbox)), (0, vec![known(&a)]), "an answer alone is heard too");
}

#[test]
fn an_event_is_firm_if_the_newest_of_its_object_is() {
    let (sender, mailbox) = mailbox();
    sender.send(Delta::firm(Instant::now(), vec![delete(Kind::Service, "a"), delete(Kind::Service, "b")]));
    send(&sender, vec![service("a", &[1]), service("c", &[1])]);
    sender.send(Delta::firm(Instant::now(), vec![delete(Kind::Service, "c")]));
    let firm: Vec<_> = taken(&mailbox).into_iter().map(|arrival| (arrival.event, arrival.firm)).collect();
    let expected =
        [(service("a", &[1]), false), (delete(Kind::Service, "b"), true), (delete(Kind::Service, "c"), true)];
    assert_eq!(firm, expected);
}
