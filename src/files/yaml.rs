//! YAML and JSON texts to trees that remember where each of their nodes stands.
//!
//! Composed directly of the parser's events, because errors and problems must name line and column, which no tree
//! of `serde` keeps. Invariant: no text makes this module panic, nest deeper than [`MAX_DEPTH`], or grow far beyond its
//! own size: aliases expand to [`MAX_EXPANDED_NODES`] and [`MAX_EXPANDED_BYTES`] at most.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};

/// Nested collections that a document may have: far more than any object of Kubernetes.
pub(super) const MAX_DEPTH: usize = 64;
const TOO_DEEP: &str = "is nested deeper than 64 levels";
/// Nodes that the aliases of a file may expand to.
pub(super) const MAX_EXPANDED_NODES: usize = 500_000;
/// Bytes of text that the aliases of a file may expand to.
pub(super) const MAX_EXPANDED_BYTES: usize = 64 << 20;

/// A line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Mark {
    fn of(span: Span) -> Self {
        // The parser counts columns from 0.
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Mark { line: small(span.start.line()), column: small(span.start.col()).saturating_add(1) }
    }
}

/// Where the nodes of a tree stand; of the same shape as its [`Value`].
#[derive(Debug, Clone)]
pub(super) struct Marks {
    at: Mark,
    below: Below,
}

#[derive(Debug, Clone)]
enum Below {
    Nothing,
    List(Vec<Marks>),
    /// Keys with the place of the key, which is where a reader looks for a field.
    Mapping(Vec<(String, Mark, Marks)>),
}

/// One document of a text.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) tree: Value,
    pub(super) marks: Marks,
}

/// Why a text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Mark,
    pub(super) reason: String,
}

impl Marks {
    /// Where the tree begins.
    pub(super) fn start(&self) -> Mark {
        self.at
    }

    /// The entry of a list.
    pub(super) fn item(&self, at: usize) -> Option<&Marks> {
        if let Below::List(items) = &self.below { items.get(at) } else { None }
    }

    /// The value of a key.
    pub(super) fn field(&self, name: &str) -> Option<&Marks> {
        let Below::Mapping(fields) = &self.below else { return None };
        fields.iter().find(|(key, ..)| key == name).map(|(.., marks)| marks)
    }

    /// The place of a field by its path (`spec.rules[2].filters[0].type`); of a path that is not there, the place of
    /// its deepest part that is: a missing field is reported where it should stand.
    pub(super) fn find(&self, path: &str) -> Mark {
        let (mut node, mut found) = (self, self.at);
        for step in steps(path) {
            let next = match (&node.below, step.trim_end_matches(']').parse::<usize>()) {
                (Below::List(items), Ok(at)) => items.get(at).map(|marks| (marks.at, marks)),
                (Below::Mapping(fields), _) => {
                    let key = step.strip_suffix(']').unwrap_or(step);
                    fields.iter().find(|(name, ..)| name == key).map(|(_, at, marks)| (*at, marks))
                }
                _ => None,
            };
            let Some((at, marks)) = next else { return found };
            (node, found) = (marks, at);
        }
        found
    }
}

/// The steps of a path. A step in brackets ends with its bracket, and may have dots in it.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        let end = match rest.strip_prefix('[') {
            Some(inner) => {
                rest = inner;
                rest.find(']').map_or(rest.len(), |at| at + 1)
            }
            None => rest.find(['.', '[']).unwrap_or(rest.len()),
        };
        let (step, after) = rest.split_at(end);
        rest = after;
        Some(step)
    })
}

/// Composes all documents of a text. Documents without content are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        expanded: (0, 0),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = composer.next()? {
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            // Anchors are known within their document only.
            Event::DocumentStart(..) => composer.anchors.clear(),
            event => {
                let node = composer.node(event, span, 0)?;
                if !node.tree.is_null() {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

/// An anchored node with its size, counted once.
struct Anchored {
    node: Document,
    nodes: usize,
    bytes: usize,
    height: usize,
}

struct Composer<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Anchored>,
    /// Nodes so far, those of aliases included.
    nodes: usize,
    /// Nodes and bytes that aliases expanded to so far.
    expanded: (usize, usize),
}

fn fault<T>(at: Mark, reason: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { at, reason: reason.into() })
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => {
                let marker = *error.marker();
                let reason = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => TOO_DEEP.to_owned(),
                    _ => error.info(),
                };
                fault(Mark::of(Span::empty(marker)), reason)
            }
        }
    }

    /// The next event within a collection, whose end must come.
    fn within(&mut self, start: Mark) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.next()? {
            Some(next) => Ok(next),
            None => fault(start, "the collection that begins here has no end"),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Document, SyntaxError> {
        let at = Mark::of(span);
        if depth > MAX_DEPTH {
            return fault(at, TOO_DEEP);
        }
        let before = self.nodes;
        self.nodes += 1;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tree = scalar(&text, style, tag.as_deref(), at)?;
                (anchor, Document { tree, marks: Marks { at, below: Below::Nothing } })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(at, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(at, depth)?),
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            _ => return fault(at, "is not a value"),
        };
        if anchor != 0 {
            let (nodes, bytes, height) = (self.nodes - before, bytes_of(&node.tree), height_of(&node.tree));
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, bytes, height });
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, at: Mark, depth: usize) -> Result<Document, SyntaxError> {
        let Some(Anchored { node, nodes, bytes, height }) = self.anchors.get(&anchor) else {
            return fault(at, "the alias stands within the node that it names");
        };
        if depth + height > MAX_DEPTH {
            return fault(at, TOO_DEEP);
        }
        // Counted before it is made, so that a bomb costs nothing.
        self.expanded = (self.expanded.0.saturating_add(*nodes), self.expanded.1.saturating_add(*bytes));
        if self.expanded.0 > MAX_EXPANDED_NODES || self.expanded.1 > MAX_EXPANDED_BYTES {
            return fault(
                at,
                format!(
                    "the file's aliases expand to more than {MAX_EXPANDED_NODES} nodes or {} MiB",
                    MAX_EXPANDED_BYTES >> 20
                ),
            );
        }
        self.nodes += nodes;
        let Document { tree, marks } = node.clone();
        Ok(Document { tree, marks: Marks { at, ..marks } })
    }

    fn list(&mut self, at: Mark, depth: usize) -> Result<Document, SyntaxError> {
        let (mut items, mut marks) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.within(at)?;
            if event == Event::SequenceEnd {
                break;
            }
            let node = self.node(event, span, depth + 1)?;
            items.push(node.tree);
            marks.push(node.marks);
        }
        Ok(Document { tree: Value::Array(items), marks: Marks { at, below: Below::List(marks) } })
    }

    fn mapping(&mut self, at: Mark, depth: usize) -> Result<Document, SyntaxError> {
        let (mut fields, mut marks, mut merged) = (Map::new(), Vec::new(), Vec::new());
        loop {
            let (event, span) = self.within(at)?;
            if event == Event::MappingEnd {
                break;
            }
            let key_at = Mark::of(span);
            let (key, plain) = match event {
                Event::Scalar(text, style, ..) => (text.into_owned(), style == ScalarStyle::Plain),
                _ => return fault(key_at, "a key must be a string"),
            };
            let (event, span) = self.within(at)?;
            let value = self.node(event, span, depth + 1)?;
            if plain && key == "<<" {
                merged.push((key_at, value));
            } else if fields.contains_key(&key) {
                return fault(key_at, format!("the key {key:?} stands twice in one mapping"));
            } else {
                fields.insert(key.clone(), value.tree);
                marks.push((key, key_at, value.marks));
            }
        }
        for (key_at, value) in merged {
            merge(key_at, value, &mut fields, &mut marks)?;
        }
        Ok(Document { tree: Value::Object(fields), marks: Marks { at, below: Below::Mapping(marks) } })
    }
}

/// A merge key (`<<`): the fields of the mapping, or of each of a list of them, that are not there yet.
fn merge(
    at: Mark,
    value: Document,
    fields: &mut Map<String, Value>,
    marks: &mut Vec<(String, Mark, Marks)>,
) -> Result<(), SyntaxError> {
    match (value.tree, value.marks.below) {
        (Value::Object(from), Below::Mapping(places)) => {
            let mut from = from;
            for (key, key_at, place) in places {
                if let (false, Some(value)) = (fields.contains_key(&key), from.remove(&key)) {
                    fields.insert(key.clone(), value);
                    marks.push((key, key_at, place));
                }
            }
            Ok(())
        }
        (Value::Array(items), Below::List(places)) => {
            for (tree, marks_of) in items.into_iter().zip(places) {
                if !tree.is_object() {
                    return fault(marks_of.at, "a merge key (<<) takes mappings only");
                }
                merge(at, Document { tree, marks: marks_of }, fields, marks)?;
            }
            Ok(())
        }
        _ => fault(at, "a merge key (<<) takes mappings only"),
    }
}

/// How many levels there are below a node.
fn height_of(tree: &Value) -> usize {
    let below = |deepest: Option<usize>| deepest.map_or(0, |height| height + 1);
    match tree {
        Value::Array(items) => below(items.iter().map(height_of).max()),
        Value::Object(fields) => below(fields.values().map(height_of).max()),
        _ => 0,
    }
}

fn bytes_of(tree: &Value) -> usize {
    match tree {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + bytes_of(value)).sum(),
        _ => 0,
    }
}

/// A scalar by YAML's core schema; what JSON has no number for (`.nan`) stays text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Result<Value, SyntaxError> {
    match tag.map(|tag| (tag.core_suffix(), tag)) {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None | Some((Some("str" | "binary" | "timestamp"), _)) => Ok(Value::String(text.to_owned())),
        Some((Some("int" | "float" | "bool" | "null"), tag)) => match plain(text) {
            Value::String(_) => fault(at, format!("{text:?} is not of the type that its tag {} says", tag.original())),
            value => Ok(value),
        },
        Some((_, tag)) => fault(at, format!("the tag {} is not supported", tag.original())),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    if !(first.is_ascii_digit() || first == b'.') || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(number) = text.parse::<i64>() {
            return Some(number.into());
        }
        if let Ok(number) = text.parse::<u64>() {
            return Some(number.into());
        }
    }
    if !unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests;
