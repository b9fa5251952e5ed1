use super::*;

fn holdings(client: &Client) -> String {
    let text = |holding: Holding| {
        let content = holding.resource.map(|r| String::from_utf8(r.body.to_bytes().to_vec()).expect("text"));
        let reason = holding.refusal.map(|refusal| format!("({})", refusal.message)).unwrap_or_default();
        format!("{} {}={} {:?}{reason}", holding.kind, holding.name, content.unwrap_or_default(), holding.state)
    };
    client.session.holdings().into_iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn rule_36_each_name_is_held_sent_behind_or_missing() {
    for variant in BOTH {
        let mut client = Client::new(variant, "c:a=1 c:b=1");
        assert_eq!(holdings(&client), "", "nothing was asked for");
        client.subscribe("CDS", "");
        assert_eq!(holdings(&client), "CDS a=1 Sent, CDS b=1 Sent");
        client.ack("CDS");
        assert_eq!(holdings(&client), "CDS a=1 Held, CDS b=1 Held");
        client.snapshot("c:a=2 c:b=1");
        client.snapshot("c:a=2 c:b=2 c:c=1");
        assert_eq!(holdings(&client), "CDS a=2 Sent, CDS b=1 Behind, CDS c=1 NotSent");
        client.ack("CDS");
        client.ack("CDS");
        client.snapshot("c:a=2 c:c=1");
        let removal = holdings(&client);
        assert!(removal.contains("CDS b=2 "), "still at the client: {removal}");
    }
}

#[test]
fn rule_36_a_refused_name_has_the_reason() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 c:b=1");
        client.snapshot("c:a=2 c:b=1");
        client.nack("CDS");
        assert_eq!(holdings(&client), "CDS a=2 Refused(bad), CDS b=1 Held");
        client.snapshot("c:a=3 c:b=1");
        client.ack("CDS");
        assert_eq!(holdings(&client), "CDS a=3 Held, CDS b=1 Held");
    }
}

#[test]
fn rule_36_a_name_that_does_not_exist_is_missing() {
    for variant in BOTH {
        let mut client = Client::new(variant, "e:a=1");
        client.subscribe("EDS", "a none");
        client.ack("EDS");
        client.ack("EDS");
        assert_eq!(holdings(&client), "EDS a=1 Held, EDS none= Missing");
    }
}
