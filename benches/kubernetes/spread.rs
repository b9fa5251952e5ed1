//! A figure with its spread.

use std::fmt;

/// Least, median and most of some measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    least: f64,
    pub(crate) median: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self { least: figures[0], median: figures[figures.len() / 2], most: figures[figures.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let Self { least, median, most } = self;
        let text = format!("{median:.digits$} ({least:.digits$}-{most:.digits$})");
        write!(f, "{text:>width$}", width = f.width().unwrap_or_default())
    }
}
