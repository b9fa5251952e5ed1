//! Readiness as metrics: neither of the two knows the other.

use crate::metrics;
use crate::readiness::{Change, Gate, State};

/// Records a change of readiness; made to be passed to [`Readiness::new`](crate::readiness::Readiness::new) (F40, F43).
pub fn record(change: &Change<'_>) {
    let states = State::ALL.map(State::as_str);
    match change {
        Change::Part { part, .. } => {
            metrics::part(part.layer.as_str(), &part.name, Some(part.state.as_str()), &states);
        }
        Change::Ended { part } => metrics::part(part.layer.as_str(), &part.name, None, &states),
        Change::Gate { gate, .. } => {
            metrics::gate(gate.as_str(), &Gate::ALL.map(Gate::as_str));
            metrics::gate_transition(gate.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exporter;
    use crate::readiness::{Layer, Readiness};

    #[test]
    fn every_part_and_every_flip_is_on_the_page() {
        let exporter = Exporter::install().unwrap();
        let readiness = Readiness::new(record);
        let source = readiness.register(Layer::Source, "the observed source");
        let other = readiness.register(Layer::Collection, "the observed collection");
        readiness.seal();
        source.ready();
        other.ready();
        let page = exporter.render();
        let series = |layer: &str, part: &str, state: &str, value: u8| {
            let line = format!(
                "syncgate_readiness_part_state{{layer=\"{layer}\",part=\"{part}\",state=\"{state}\"}} {value}\n"
            );
            assert!(page.contains(&line), "{line}{page}");
        };
        series("source", "the observed source", "ready", 1);
        series("source", "the observed source", "waiting", 0);
        series("collection", "the observed collection", "ready", 1);
        assert!(page.contains("syncgate_readiness{state=\"ready\"} 1\n"), "{page}");
        assert!(page.contains("syncgate_readiness_transitions_total{to=\"ready\"} "), "{page}");
        drop(source);
        let ended = "{layer=\"source\",part=\"the observed source\",state=\"ready\"} 0\n";
        assert!(exporter.render().contains(ended));
    }
}
