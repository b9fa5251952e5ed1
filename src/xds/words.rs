//! Words of clients, which end in logs and in terminals.

/// The same without what would begin another line, move the cursor or turn the direction of writing: a client must not be able
/// to put words into anyone else's mouth.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if is_plain(char) { char } else { ' ' }).collect()
}

fn is_plain(char: char) -> bool {
    !char.is_control() && !matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_letter_becomes_a_space() {
        assert_eq!(plain("ä \u{1f980} x"), "ä \u{1f980} x");
        assert_eq!(plain("a\n2026 INFO b\x1b[2Jc\u{9b}d\u{202e}e\u{2028}f\0"), "a 2026 INFO b [2Jc d e f ");
    }
}
