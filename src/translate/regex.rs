//! Regular expressions that Envoy will take: RE2's syntax and Envoy's limit on the size of the compiled program.
//!
//! An expression that Envoy refuses makes it refuse the whole route configuration, so nothing may pass here that it
//! would not take. It is parsed as Rust's regex syntax, whose tree is then walked: only what RE2 reads in the same
//! way passes. The size of RE2's program is estimated from above.
//!
//! Envoy 1.37 reads expressions as UTF-8, Envoy 1.40 as bytes (RE2's Latin-1), where a character outside of ASCII is
//! several: those are refused, and with them Unicode classes. Refused too, although RE2 knows them: `\C`, `\Q…\E`, and braces, brackets and operators as literals without a backslash.

use arcstr::ArcStr;
use regex_syntax::ast::{
    self, Ast, ClassSet, ClassSetItem, Flag, FlagsItemKind, GroupKind, LiteralKind, RepetitionKind, RepetitionRange,
};

/// Envoy's default for the runtime value `re2.max_program_size.error_level`.
const MAX_PROGRAM: usize = 100;
/// What every program has beside its expression: fail, match, and the loop that looks for a beginning.
const FRAME: usize = 4;
/// The third forms of `k` and `s`, in UTF-8: what ignoring case adds to a range, at most.
const FOLDED: usize = 5;
/// What a class costs, at most, that holds everything outside of ASCII: the ranges of the bytes of UTF-8.
const OUTSIDE_ASCII: usize = 6;
/// The same where case is ignored, so that the third forms are taken out.
const OUTSIDE_ASCII_BUT_FOLDED: usize = 24;
/// RE2 refuses higher counts, also as the product of nested ones.
const MAX_REPEAT: usize = 1000;
/// How deep groups may be nested; the size limit leaves no use for more.
const MAX_DEPTH: u32 = 50;

/// Checks an expression that is to match a whole value.
///
/// # Errors
/// Says what in it Envoy would not take.
pub(crate) fn check(expression: &str) -> Result<(), ArcStr> {
    if expression.is_empty() {
        return Err("the expression is empty".into());
    }
    if expression.len() > 4 * MAX_PROGRAM {
        return Err(too_large());
    }
    if expression.chars().any(char::is_control) {
        return Err("the expression holds a control character; write it as an escape".into());
    }
    let tree = ast::parse::ParserBuilder::new().nest_limit(MAX_DEPTH).build().parse(expression).map_err(|error| {
        arcstr::format!("the expression cannot be read at column {}: {}", error.span().start.column, error.kind())
    })?;
    let mut size = Size { source: expression, fold_case: false, repeats: 1 };
    if size.of(&tree)? + FRAME > MAX_PROGRAM { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> ArcStr {
    arcstr::format!(
        "the expression is too large for Envoy, whose limit is a program of {MAX_PROGRAM} instructions; shorten it or split the rule"
    )
}

fn refuse<T>(what: &str) -> Result<T, ArcStr> {
    Err(arcstr::format!("the expression uses {what}, which Envoy (RE2) does not read"))
}

/// Walks a tree; adds up what each part costs in RE2's program, at most.
struct Size<'e> {
    source: &'e str,
    /// `(?i)` has been seen; it is never taken back, which only makes the estimate larger.
    fold_case: bool,
    /// The product of the counts around what is walked.
    repeats: usize,
}

impl Size<'_> {
    fn of(&mut self, tree: &Ast) -> Result<usize, ArcStr> {
        match tree {
            Ast::Empty(_) => Ok(1),
            Ast::Flags(flags) => self.flags(&flags.flags).map(|()| 1),
            Ast::Literal(literal) => check_literal(literal).map(|()| self.literal(literal.c)),
            // Any character but a line break.
            Ast::Dot(_) => Ok(2 + OUTSIDE_ASCII),
            Ast::Assertion(assertion) => check_assertion(&assertion.kind),
            Ast::ClassUnicode(_) => refuse("a Unicode class"),
            Ast::ClassPerl(class) => Ok(self.perl(class)),
            Ast::ClassBracketed(class) => match &class.kind {
                ClassSet::Item(item) => {
                    let ranges = self.class(item)?;
                    Ok(self.negated(class.negated, ranges))
                }
                ClassSet::BinaryOp(_) => refuse("an operation on sets in a character class"),
            },
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::Group(group) => self.group(group),
            Ast::Alternation(alternation) => {
                alternation.asts.iter().try_fold(0, |sum, tree| Ok(sum + self.of(tree)? + 1))
            }
            Ast::Concat(concat) => concat.asts.iter().try_fold(0, |sum, tree| Ok(sum + self.of(tree)?)),
        }
    }

    fn flags(&mut self, flags: &ast::Flags) -> Result<(), ArcStr> {
        if flags.items.is_empty() {
            return refuse("an empty list of flags");
        }
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Flag(Flag::CaseInsensitive) => self.fold_case = true,
                FlagsItemKind::Negation
                | FlagsItemKind::Flag(Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed) => {}
                FlagsItemKind::Flag(_) => return refuse("a flag other than i, m, s and U"),
            }
        }
        Ok(())
    }

    fn group(&mut self, group: &ast::Group) -> Result<usize, ArcStr> {
        match &group.kind {
            GroupKind::CaptureIndex(_) => {}
            GroupKind::CaptureName { name, .. } => {
                if !name.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return refuse("a group's name with other characters than letters, digits and `_`");
                }
            }
            GroupKind::NonCapturing(flags) if flags.items.is_empty() => {}
            GroupKind::NonCapturing(flags) => self.flags(flags)?,
        }
        Ok(self.of(&group.ast)? + 2)
    }

    fn repetition(&mut self, repetition: &ast::Repetition) -> Result<usize, ArcStr> {
        match &*repetition.ast {
            Ast::Repetition(_) => return refuse("a repetition of a repetition without parentheses"),
            Ast::Assertion(_) | Ast::Empty(_) | Ast::Flags(_) => return refuse("a repetition of nothing"),
            _ => {}
        }
        let operator = &self.source[repetition.op.span.start.offset..repetition.op.span.end.offset];
        let (copies, extra) = match &repetition.op.kind {
            RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => (1, 2),
            RepetitionKind::Range(_) if !is_plain_count(operator) => {
                return refuse("a count in another form than {n}, {n,} and {n,m}");
            }
            RepetitionKind::Range(RepetitionRange::Exactly(n)) => (*n as usize, 0),
            RepetitionKind::Range(RepetitionRange::AtLeast(n)) => (*n as usize + 1, 2),
            RepetitionKind::Range(RepetitionRange::Bounded(_, m)) => (*m as usize, *m as usize * 2),
        };
        let around = self.repeats;
        self.repeats = around.saturating_mul(copies.max(1));
        if self.repeats > MAX_REPEAT {
            return refuse("a count of more than 1000");
        }
        let one = self.of(&repetition.ast)?;
        self.repeats = around;
        Ok(one * copies.max(1) + extra)
    }

    /// One character.
    fn literal(&self, c: char) -> usize {
        if self.fold_case && matches!(c, 'k' | 'K' | 's' | 'S') { 1 + FOLDED } else { 1 }
    }

    /// The ranges of `\d`, `\s` or `\w`, or of what is none of them.
    fn perl(&self, class: &ast::ClassPerl) -> usize {
        let ranges = match class.kind {
            ast::ClassPerlKind::Digit => 1,
            ast::ClassPerlKind::Space => 3,
            ast::ClassPerlKind::Word => 4,
        };
        self.negated(class.negated, ranges + self.third_forms())
    }

    /// What a class costs that holds these ranges, or everything else.
    fn negated(&self, negated: bool, ranges: usize) -> usize {
        match (negated, self.fold_case) {
            (false, _) => ranges,
            (true, false) => ranges + 1 + OUTSIDE_ASCII,
            (true, true) => ranges + 1 + OUTSIDE_ASCII_BUT_FOLDED,
        }
    }

    fn third_forms(&self) -> usize {
        if self.fold_case { FOLDED } else { 0 }
    }

    /// The ranges of a class, at most.
    fn class(&self, item: &ClassSetItem) -> Result<usize, ArcStr> {
        match item {
            ClassSetItem::Empty(_) => Ok(0),
            ClassSetItem::Literal(literal) => {
                check_literal(literal).map(|()| self.literal(literal.c) + usize::from(self.fold_case))
            }
            ClassSetItem::Range(range) => {
                check_literal(&range.start)?;
                check_literal(&range.end)?;
                // Its letters in the other case: up to two ranges more, what lies between them, and the third forms.
                Ok(if self.fold_case { 4 + FOLDED } else { 1 })
            }
            ClassSetItem::Ascii(class) => Ok(self.negated(class.negated, 5 + self.third_forms())),
            ClassSetItem::Unicode(_) => refuse("a Unicode class"),
            ClassSetItem::Perl(class) => Ok(self.perl(class)),
            ClassSetItem::Bracketed(_) => refuse("a character class within another"),
            ClassSetItem::Union(union) if union.items.iter().skip(1).rev().skip(1).any(is_bare_dash) => {
                refuse("a `-` within a character class without a backslash")
            }
            ClassSetItem::Union(union) => union.items.iter().try_fold(0, |sum, item| Ok(sum + self.class(item)?)),
        }
    }
}

/// A `-` that stands for itself, which RE2 reads as a range with what stands around it.
fn is_bare_dash(item: &ClassSetItem) -> bool {
    matches!(item, ClassSetItem::Literal(literal) if literal.c == '-' && literal.kind == LiteralKind::Verbatim)
}

fn check_assertion(kind: &ast::AssertionKind) -> Result<usize, ArcStr> {
    use ast::AssertionKind as Kind;
    match kind {
        Kind::StartLine
        | Kind::EndLine
        | Kind::StartText
        | Kind::EndText
        | Kind::WordBoundary
        | Kind::NotWordBoundary => Ok(1),
        _ => refuse("a boundary other than ^, $, \\A, \\z, \\b and \\B"),
    }
}

fn check_literal(literal: &ast::Literal) -> Result<(), ArcStr> {
    if !literal.c.is_ascii() {
        return refuse("a character outside of ASCII");
    }
    match literal.kind {
        LiteralKind::Verbatim | LiteralKind::Meta => Ok(()),
        LiteralKind::Superfluous if literal.c.is_ascii_punctuation() && literal.c != '_' => Ok(()),
        LiteralKind::HexFixed(ast::HexLiteralKind::X) | LiteralKind::HexBrace(ast::HexLiteralKind::X) => Ok(()),
        LiteralKind::Special(ast::SpecialLiteralKind::Space) => refuse("an escaped space"),
        LiteralKind::Special(_) => Ok(()),
        _ => refuse("an escape other than \\x7F and \\x{7F}"),
    }
}

/// `{n}`, `{n,}` or `{n,m}`, with or without a `?` behind it: what RE2 takes for a count and not for literals.
fn is_plain_count(operator: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    let inner = operator.strip_suffix('?').unwrap_or(operator);
    let Some(inner) = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else { return false };
    match inner.split_once(',') {
        None => digits(inner),
        Some((least, most)) => digits(least) && (most.is_empty() || digits(most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_envoy_takes_passes() {
        for good in [
            "/api/v[0-9]+/users/[a-z0-9-]+",
            "/.*",
            "(a|b)*c{2,3}?",
            "(?i)abc",
            "(?P<name>x)",
            "[^/]+/\\d{1,3}",
            "\\.\\-\\/",
            "[[:alpha:]]",
            "\\x41\\x{7e}",
            "^a$",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_envoy_refuses_or_reads_otherwise_is_refused() {
        for bad in [
            "",
            "(",
            "a**",
            "(?=a)",
            "(a)\\1",
            "a{1001}",
            "(?:a{40}){40}",
            "[a&&b]",
            "[a[b]]",
            "[a-c-e]",
            "[\\w-z]",
            "\\pL",
            "(?x)a b",
            "\\u0041",
            "\\<a",
            "\\_",
            "a{,3}",
            "^*",
            "(?)a",
            "a\nb",
            "[a-z]{99}",
            "é",
            "[à-ü]",
            "\\xe9",
            &"x".repeat(101),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
