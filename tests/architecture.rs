//! The architecture's rules, enforced: who may import whom, how long a file may be, which layers stay sans-IO.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which modules of ours each module may import; the same table stands in ARCHITECTURE.md.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("graph", &[]),
    ("resource", &[]),
    ("readiness", &[]),
    ("lobby", &[]),
    ("metrics", &[]),
    ("proto", &[]),
    ("config", &[]),
    ("files", &["model", "readiness", "metrics"]),
    ("watch", &["model", "readiness", "metrics"]),
    ("ingest", &["model", "graph", "readiness", "metrics"]),
    ("translate", &["model", "graph", "resource"]),
    ("snapshot", &["resource"]),
    ("render", &["resource"]),
    ("xds", &["snapshot", "resource", "lobby", "readiness", "metrics"]),
    ("admin", &["lobby", "readiness", "metrics", "proto"]),
];

/// Modules that know every other one.
const TOP: &[&str] = &["app", "cli"];

/// Crates that a module must not name: these layers are pure or sans-IO.
const FORBIDDEN_CRATES: &[(&str, &[&str])] = &[
    ("model", &["kube", "prost", "tokio", "tonic", "envoy_types"]),
    ("graph", &["kube", "prost", "tokio", "tonic", "envoy_types", "tracing"]),
    ("resource", &["tokio", "tonic", "kube"]),
    ("translate", &["tokio", "tonic", "kube", "tracing"]),
    ("snapshot", &["tokio", "tonic", "kube"]),
    ("ingest", &["kube", "tonic", "envoy_types"]),
];

const LONGEST_FILE: usize = 600;

#[test]
fn imports_follow_the_table() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        if module == "lib" || module == "main" || TOP.contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} is not in the import table", file.display()));
            continue;
        };
        for import in imports(product(&file, &text)) {
            if import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: {module} may not import {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_the_one_in_architecture_md() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (module, allowed) in IMPORTS {
        let allowed = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        let row = format!("| `{module}` | {allowed} |");
        assert!(document.contains(&row), "ARCHITECTURE.md lacks the row {row}");
    }
}

#[test]
fn files_that_the_documents_name_exist() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let document = fs::read_to_string(root().join(name)).unwrap();
        let quoted = document.split('`').skip(1).step_by(2);
        let files =
            quoted.filter(|text| ["src/", "tests/", "e2e/", "examples/"].iter().any(|top| text.starts_with(top)));
        let lost: Vec<_> = files.filter(|file| !root().join(file).exists()).collect();
        assert!(lost.is_empty(), "{name} names files that are not there: {lost:?}");
    }
}

#[test]
fn pure_layers_name_no_io() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        let Some((_, forbidden)) = FORBIDDEN_CRATES.iter().find(|(name, _)| *name == module) else { continue };
        let code = without_comments(product(&file, &text));
        for name in *forbidden {
            if code.contains(&format!("{name}::")) {
                wrong.push(format!("{}: {module} must not know {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(_, file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(file, lines)| format!("{}: {lines} lines, at most {LONGEST_FILE}", file.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_module_says_why_it_exists() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(_, file, text)| !product(file, text).is_empty() && !text.starts_with("//! "))
        .map(|(_, file, _)| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without module documentation: {}", silent.join(", "));
}

/// The twelve invariants of ARCHITECTURE.md; each is the beginning of at least one test's name.
const INVARIANTS: [&str; 12] = [
    "pure",
    "gated",
    "doubt_keeps",
    "no_dangling",
    "make_before_break",
    "nack_is_unknown",
    "one_harms_one",
    "own_only",
    "bounded",
    "cost_of_change",
    "gone_is_gone",
    "explained",
];

#[test]
fn every_invariant_is_a_test_of_its_name() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "e2e"] {
        collect(&root().join(folder), &mut files);
    }
    let tests: BTreeSet<String> =
        files.iter().flat_map(|file| test_names(&fs::read_to_string(file).unwrap())).collect();
    assert!(tests.len() > 100, "the tests were not found");
    let untested: Vec<&str> =
        INVARIANTS.into_iter().filter(|invariant| !tests.iter().any(|test| test.starts_with(invariant))).collect();
    assert!(untested.is_empty(), "no test is named after {}", untested.join(", "));
}

/// Rules of xDS that are not meant to be kept yet.
const NOT_YET: [u32; 3] = [31, 37, 38];

#[test]
fn the_table_of_rules_names_the_tests_of_each() {
    let document = fs::read_to_string(root().join("docs/xds.md")).unwrap();
    let mut told = BTreeSet::new();
    for row in document.lines().filter_map(|line| line.strip_prefix("| ")) {
        let (first, rest) = row.split_once(' ').unwrap_or_default();
        if let Ok(rule) = first.parse::<u32>() {
            let files = rest.split('`').skip(1).step_by(2).filter(|text| text.ends_with(".rs"));
            told.extend(files.map(|file| (rule, file.to_owned())));
        }
    }
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|folder| collect(&root().join(folder), &mut files));
    let mut there = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let names = test_names(&fs::read_to_string(&file).unwrap());
        let rules = names.iter().filter_map(|name| name.strip_prefix("rule_")?.split('_').next()?.parse().ok());
        there.extend(rules.map(|rule: u32| (rule, path.clone())));
    }
    let differ: Vec<_> = told.symmetric_difference(&there).collect();
    assert!(differ.is_empty(), "in docs/xds.md or in the sources alone: {differ:?}");
    let without: Vec<u32> = (1..=39).filter(|rule| !there.iter().any(|(of, _)| of == rule)).collect();
    assert_eq!(without, NOT_YET);
}

/// The names of the functions that stand under a `#[test]` or `#[tokio::test]`, also inside `proptest!`.
fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut under_attribute = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            under_attribute = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            && std::mem::take(&mut under_attribute)
        {
            names.extend(leading_name(rest));
        }
    }
    names
}

/// The text without its tests, which may use any module.
fn product<'t>(file: &Path, text: &'t str) -> &'t str {
    let is_test = |name: &std::ffi::OsStr| name == "tests" || name == "tests.rs";
    if file.iter().any(is_test) {
        return "";
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The modules of ours that a file names with `crate::`, in single or grouped imports.
fn imports(text: &str) -> BTreeSet<String> {
    let code = without_comments(text);
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(top_level_names(group));
        } else {
            found.extend(leading_name(rest));
        }
    }
    found
}

/// `app::{x, y}, model::Kind}` → `app`, `model`.
fn top_level_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut start) = (0_usize, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && depth == 0 && !letter.is_whitespace() => {
                names.extend(leading_name(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn leading_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase())).then_some(name)
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every file of `src/` with the top module it belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    files
        .into_iter()
        .map(|file| {
            let first = file.strip_prefix(&src).expect("below src").components().next().expect("a file");
            let module = Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).expect("readable sources");
            (module, file, text)
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn grouped_imports_are_seen() {
    let found = imports("use crate::{\n    graph::{Lens, Rows},\n    model::Kind,\n};\nfn f() { crate::xds::f() }");
    assert_eq!(found, ["graph", "model", "xds"].map(str::to_owned).into());
}
