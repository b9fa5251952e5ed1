//! Lists for people: a title, what is in it, and an end before it gets too long.

use std::fmt::{Display, Write};

use arcstr::ArcStr;

/// Entries of one list that are shown; a Service may have thousands of pods.
const SHOWN: usize = 50;

/// Writes a list under a title, or `none` when there is nothing in it.
pub(super) fn list<T: Display>(out: &mut String, title: &str, none: &str, entries: impl IntoIterator<Item = T>) {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        let _ = writeln!(out, "\n{none}");
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for entry in entries.by_ref().take(SHOWN) {
        let _ = writeln!(out, "  {entry}");
    }
    let more = entries.count();
    if more > 0 {
        let _ = writeln!(out, "  … and {more} more");
    }
}

/// Says why an object is not known, if it is not: then a stand-in was let in.
pub(super) fn unavailable(out: &mut String, reason: Option<&ArcStr>) {
    if let Some(reason) = reason {
        let _ = writeln!(out, "\nunavailable: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_end_with_the_number_of_the_rest() {
        let mut out = String::new();
        list(&mut out, "numbers", "no numbers", 0..SHOWN + 2);
        assert!(out.ends_with("  49\n  … and 2 more\n"), "{out}");
        out.clear();
        list(&mut out, "numbers", "no numbers", 0..0);
        assert_eq!(out, "\nno numbers\n");
    }
}
