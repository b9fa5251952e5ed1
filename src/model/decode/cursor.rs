//! A place in a JSON tree that knows its own path and where to leave problems.
//!
//! Reading through a cursor never fails: what is absent or malformed reads as `None`, and what is malformed leaves a
//! [`FieldProblem`] behind. The path costs nothing until a problem is written.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use arcstr::ArcStr;
use serde_json::Value;

use super::Strings;
use crate::model::{FieldProblem, Labels, PodPort, PodPorts};

/// The problems found so far, shared by all cursors of one object, and where its strings come from.
pub(super) struct Problems<'s> {
    found: RefCell<Vec<FieldProblem>>,
    strings: &'s dyn Strings,
}

impl<'s> Problems<'s> {
    pub(super) fn new(strings: &'s dyn Strings) -> Self {
        Self { found: RefCell::default(), strings }
    }

    /// The number of problems so far, to be handed to [`Problems::since`].
    pub(super) fn mark(&self) -> usize {
        self.found.borrow().len()
    }

    /// Whether nothing was found since `mark`.
    pub(super) fn none_since(&self, mark: usize) -> bool {
        self.mark() == mark
    }

    /// Takes what was found since `mark`: the problems of one rule or listener.
    pub(super) fn since(&self, mark: usize) -> Vec<FieldProblem> {
        self.found.borrow_mut().split_off(mark)
    }

    /// Everything that nobody took.
    pub(super) fn into_inner(self) -> Vec<FieldProblem> {
        self.found.into_inner()
    }
}

/// The way from the object's root to a field, as a chain of borrowed steps.
#[derive(Debug, Clone, Copy)]
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
            Path::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

/// One node of the tree.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    value: &'a Value,
    path: Path<'a>,
    problems: &'a Problems<'a>,
}

/// What a syntax check says: `Err` completes "must …" with what is wrong and how to mend it.
pub(super) type Check = Result<(), String>;

impl<'a> Cursor<'a> {
    /// A cursor at the root of an object.
    pub(super) fn root(value: &'a Value, problems: &'a Problems<'a>) -> Self {
        Self { value, path: Path::Root, problems }
    }

    /// The problems of the object that this cursor walks.
    pub(super) fn problems(&self) -> &'a Problems<'a> {
        self.problems
    }

    /// The name of this field.
    pub(super) fn field(&self) -> ArcStr {
        arcstr::format!("{}", self.path)
    }

    /// Leaves a problem at this field.
    pub(super) fn problem(&self, message: impl Into<ArcStr>) {
        self.problems.found.borrow_mut().push(FieldProblem::new(self.path.to_string(), message));
    }

    /// Leaves a problem at a field below this one.
    pub(super) fn problem_at(&self, name: &str, message: impl Into<ArcStr>) {
        let path = Path::Field(&self.path, name);
        self.problems.found.borrow_mut().push(FieldProblem::new(path.to_string(), message));
    }

    fn wrong_type(&self, wanted: &str) {
        let (is, hint) = match self.value {
            Value::Null => ("nothing", ""),
            Value::Bool(_) => ("a boolean", if wanted == "a string" { " (put it in quotes)" } else { "" }),
            Value::Number(_) => ("a number", if wanted == "a string" { " (put it in quotes)" } else { "" }),
            Value::String(_) => ("a string", ""),
            Value::Array(_) => ("a list", ""),
            Value::Object(_) => ("a mapping", ""),
        };
        self.problem(format!("must be {wanted}, is {is}{hint}"));
    }

    /// The field of this name. `null` counts as absent, as it does for the API server. A node that is not a mapping
    /// has no fields; [`Cursor::mapping`] reports that once.
    pub(super) fn get<'b>(&'b self, name: &'b str) -> Option<Cursor<'b>> {
        let value = self.value.as_object()?.get(name).filter(|v| !v.is_null())?;
        Some(Cursor { value, path: Path::Field(&self.path, name), problems: self.problems })
    }

    /// The entry of this key in a mapping whose keys are data, not field names.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> Option<Cursor<'b>> {
        self.get(key).map(|field| Cursor { path: Path::Key(&self.path, key), ..field })
    }

    /// The field of this name, whose absence is a problem.
    pub(super) fn required<'b>(&'b self, name: &'b str) -> Option<Cursor<'b>> {
        let found = self.get(name);
        if found.is_none() {
            self.problem_at(name, "is required");
        }
        found
    }

    /// This node, if it is a mapping; anything else is a problem.
    pub(super) fn mapping(self) -> Option<Self> {
        if self.value.is_object() {
            return Some(self);
        }
        self.wrong_type("a mapping");
        None
    }

    /// The field of this name, if it is a mapping; anything else than a mapping or nothing is a problem.
    pub(super) fn section<'b>(&'b self, name: &'b str) -> Option<Cursor<'b>> {
        self.get(name).and_then(Cursor::mapping)
    }

    /// The keys and values of a mapping; anything else is a problem and reads as empty.
    pub(super) fn entries<'b>(&'b self) -> Vec<(&'b str, Cursor<'b>)> {
        let Some(map) = self.value.as_object() else {
            self.wrong_type("a mapping");
            return Vec::new();
        };
        let at = |key: &'b str, value: &'b Value| Cursor {
            value,
            path: Path::Key(&self.path, key),
            problems: self.problems,
        };
        map.iter().map(|(key, value)| (key.as_str(), at(key, value))).collect()
    }

    /// The entries of a list; anything else is a problem and reads as empty. More than `max` entries are a problem,
    /// and those beyond it are not read.
    pub(super) fn items<'b>(&'b self, max: usize) -> Vec<Cursor<'b>> {
        let Some(list) = self.value.as_array() else {
            self.wrong_type("a list");
            return Vec::new();
        };
        if list.len() > max {
            self.problem(format!("has {} entries; at most {max} are allowed", list.len()));
        }
        let at = |(i, value)| Cursor { value, path: Path::Item(&self.path, i), problems: self.problems };
        list.iter().take(max).enumerate().map(at).collect()
    }

    /// A string.
    pub(super) fn str(&self) -> Option<&'a str> {
        let found = self.value.as_str();
        if found.is_none() {
            self.wrong_type("a string");
        }
        found
    }

    /// The string, when this is one; nothing and no problem otherwise.
    pub(super) fn maybe_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// A string that passes `check`.
    pub(super) fn text(&self, check: impl FnOnce(&str) -> Check) -> Option<ArcStr> {
        let text = self.str()?;
        match check(text) {
            Ok(()) => Some(self.problems.strings.string(text)),
            Err(message) => {
                self.problem(message);
                None
            }
        }
    }

    /// A boolean.
    pub(super) fn bool(&self) -> Option<bool> {
        let found = self.value.as_bool();
        if found.is_none() {
            self.wrong_type("true or false");
        }
        found
    }

    /// A whole number within `range`.
    pub(super) fn int(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Some(number) = self.value.as_i64() else {
            self.wrong_type("a whole number");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        self.problem(format!("must be from {} to {}, is {number}", range.start(), range.end()));
        None
    }

    /// A port number.
    pub(super) fn port(&self) -> Option<u16> {
        self.int(1..=65535).and_then(|n| u16::try_from(n).ok())
    }

    /// Whether this node is a number.
    pub(super) fn is_number(&self) -> bool {
        self.value.is_number()
    }

    /// An IP address.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        let text = self.str()?;
        let ip = text.parse().ok();
        if ip.is_none() {
            self.problem(format!("must be an IP address, is {text:?}"));
        }
        ip
    }

    /// Pairs of strings; a value that is not a string is a problem and left out.
    pub(super) fn labels(&self) -> Labels {
        let strings = self.problems.strings;
        let pair = |(key, value): (&str, Cursor<'_>)| Some((strings.string(key), strings.string(value.str()?)));
        strings.labels(self.entries().into_iter().filter_map(pair).collect())
    }

    /// The ports that were found in this node.
    pub(super) fn shared_ports(&self, ports: Vec<PodPort>) -> PodPorts {
        self.problems.strings.ports(ports)
    }
}
