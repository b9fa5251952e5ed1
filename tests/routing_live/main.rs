//! What translation promises, asked of a real Envoy: manifests in, requests through Envoy, answers compared.
//!
//! All scenes are translated together and served by one Envoy with static configuration, so that nothing but
//! translation is under test. `SYNCGATE_ENVOY` names the binary; without it the test says so and passes.

#[cfg(test)]
mod backend;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod bootstrap;
#[cfg(test)]
mod client;
#[cfg(test)]
mod expect;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod scenes;

#[cfg(test)]
mod tests {
    use crate::bed::Bed;
    use crate::{client, expect, scenes};

    /// How far a backend's share of the requests may be from its weight: five standard deviations of 400 draws.
    const TOLERANCE: f64 = 0.125;

    #[tokio::test]
    async fn every_request_is_answered_as_the_gateway_api_says() {
        let Some(envoy) = std::env::var_os("SYNCGATE_ENVOY") else {
            eprintln!("SYNCGATE_ENVOY is not set: nothing is asked");
            return;
        };
        let scenes = scenes::all();
        let bed = Bed::start(envoy.as_ref(), &scenes).await;
        let mut wrong = Vec::new();
        let mut asked = 0;
        for scene in &scenes {
            for (request, expected) in &scene.asks {
                let answer = client::ask(&bed, scene.name, request).await;
                asked += 1;
                wrong.extend(
                    expect::differences(&answer, expected)
                        .into_iter()
                        .map(|why| format!("{}: {request} → {expected}: {why}\n    {answer:?}", scene.name)),
                );
            }
            for (request, shares) in &scene.shares {
                let counts = client::count(&bed, scene.name, request).await;
                let off = shares.iter().filter(|(who, share)| {
                    let actual = counts.get(*who).copied().unwrap_or_default();
                    (actual - share).abs() > if *share == 0.0 { 0.0 } else { TOLERANCE }
                });
                wrong.extend(off.map(|(who, share)| {
                    format!("{}: {request}: {who} should have {share} of the requests: {counts:?}", scene.name)
                }));
            }
        }
        assert!(wrong.is_empty(), "{} of {asked} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
