//! What is YAML, where it is wrong, and what it may not cost.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    let mut documents = parse(text).unwrap_or_else(|e| panic!("{}:{}: {}\n{text}", e.at.line, e.at.column, e.reason));
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).tree
}

/// `line:column: reason`.
fn error(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("is accepted: {text}"),
        Err(e) => format!("{}:{}: {}", e.at.line, e.at.column, e.reason),
    }
}

#[test]
fn scalars_follow_the_core_schema() {
    let cases = [
        ("a: 1", json!(1)),
        ("a: -7", json!(-7)),
        ("a: 0x1F", json!(31)),
        ("a: 0o17", json!(15)),
        ("a: 1.5", json!(1.5)),
        ("a: 1e3", json!(1000.0)),
        ("a: true", json!(true)),
        ("a: False", json!(false)),
        ("a: ~", json!(null)),
        ("a:", json!(null)),
        ("a: null", json!(null)),
        ("a: yes", json!("yes")),
        ("a: 1.2.3", json!("1.2.3")),
        ("a: 10.0.0.1", json!("10.0.0.1")),
        ("a: '1'", json!("1")),
        ("a: \"true\"", json!("true")),
        ("a: !!str 1", json!("1")),
        ("a: !!int 1", json!(1)),
        ("a: 10s", json!("10s")),
        ("a: /", json!("/")),
        ("a: *.x", json!(null)),
        ("a: .nan", json!(".nan")),
        ("a: -", json!(null)),
        ("a: 18446744073709551615", json!(u64::MAX)),
        ("a: 2024-01-01T00:00:00Z", json!("2024-01-01T00:00:00Z")),
        ("a: e", json!("e")),
        ("a: .", json!(".")),
        ("a: -a", json!("-a")),
        ("a: 1e", json!("1e")),
        ("a: >-\n  b\n  c", json!("b c")),
        ("a: |\n  b\n", json!("b\n")),
    ];
    for (text, value) in cases {
        // An alias or an entry is no scalar: the two cases that are errors.
        if text == "a: *.x" || text == "a: -" {
            assert!(parse(text).is_err(), "{text}");
            continue;
        }
        assert_eq!(one(text), json!({ "a": value }), "{text}");
    }
}

#[test]
fn documents_comments_and_json_are_read() {
    let trees: Vec<_> = parse("# c\n---\na: 1 # d\n---\n# nothing\n---\nb: 2\n...\n")
        .expect("parses")
        .into_iter()
        .map(|d| d.tree)
        .collect();
    assert_eq!(trees, [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(parse("").expect("parses").len(), 0);
    assert_eq!(parse(" \n\t\n# c\n").expect("parses").len(), 0);
    assert_eq!(
        one("\u{feff}{\n\t\"a\": [1, \"\\u00e4\\/\", {}],\n\t\"b\": null\n}\n"),
        json!({"a": [1, "ä/", {}], "b": null})
    );
    assert_eq!(one("a: 1\r\nb: 2\r\n"), json!({"a": 1, "b": 2}));
    let long = "x".repeat(20_000);
    assert_eq!(one(&format!("{{\"a\": \"{long}\"}}")), json!({ "a": long }));
    assert_eq!(one(&format!("a: {long}\n")), json!({ "a": long }));
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    assert_eq!(one("a: &x {b: 1}\nc: *x"), json!({"a": {"b": 1}, "c": {"b": 1}}));
    assert_eq!(one("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3"), json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}));
    assert_eq!(one("a: &x {b: 1}\ne: &y {f: 2}\nd: {<<: [*x, *y]}")["d"], json!({"b": 1, "f": 2}));
    assert_eq!(one("'<<': 1"), json!({"<<": 1}));
}

#[test]
fn errors_name_line_column_and_reason() {
    let cases = [
        ("a: 1\n b: 2\n", "2:", ""),
        ("a: [1, 2\nb: 3", "2:", "':'"),
        ("a: 1\na: 2\n", "2:1: ", "\"a\" stands twice"),
        ("a:\n\t- b\n", "2:", "tab"),
        ("a: {{ .Values.x }}\n", "1:", "key"),
        ("a: *x\n", "1:4: ", "anchor"),
        ("a: &x [*x]\n", "1:8: ", "within the node"),
        ("a: !custom b\n", "1:", "!custom is not supported"),
        ("a: !!int b\n", "1:", "not of the type"),
        ("? [a]\n: b\n", "1:", "key must be a string"),
        ("<<: 1\n", "1:1: ", "mappings only"),
        ("a: [1, 2\n", "1:4: ", "unclosed bracket"),
        ("a: \"b\n", "", ""),
    ];
    for (text, place, reason) in cases {
        let found = error(text);
        assert!(found.starts_with(place), "{text:?}: {found}");
        assert!(found.to_lowercase().contains(&reason.to_lowercase()), "{text:?}: {found}");
        assert!(found.rsplit(": ").next().is_some_and(|reason| !reason.is_empty()), "{text:?}: {found}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for deep in ["[".repeat(200), "{a: ".repeat(200), "- ".repeat(200), format!("{}a", "[{a: ".repeat(100))] {
        assert!(parse(&deep).is_err());
    }
    let closed = format!("{}{}", "[".repeat(70), "]".repeat(70));
    assert!(error(&closed).contains("deeper than 64"), "{}", error(&closed));
    let fine = format!("{}{}", "[".repeat(60), "]".repeat(60));
    assert!(parse(&fine).is_ok());
    let mixed = format!("{}1{}", "[{a: ".repeat(40), "}]".repeat(40));
    assert!(error(&mixed).contains("deeper than 64"), "{}", error(&mixed));
}

#[test]
fn alias_bombs_are_an_error() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let before = i - 1;
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    assert!(error(&bomb).contains("more than 500000 nodes"), "{}", error(&bomb));
    let text = "x".repeat(1 << 20);
    let heavy = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 100].join(", "));
    assert!(error(&heavy).contains("64 MiB"), "{}", error(&heavy));
}

#[test]
fn fields_are_found_by_their_path() {
    let text = "\
kind: HTTPRoute
metadata:
  labels:
    app.kubernetes.io/name: x
spec:
  rules:
  - name: a
  - filters:
    - type: CORS
";
    let document = &parse(text).expect("parses")[0];
    let place = |path: &str| {
        let mark = document.marks.find(path);
        (mark.line, mark.column)
    };
    assert_eq!(place(""), (1, 1));
    assert_eq!(place("spec.rules"), (6, 3));
    assert_eq!(place("spec.rules[1]"), (8, 5));
    assert_eq!(place("spec.rules[1].filters[0].type"), (9, 7));
    assert_eq!(place("metadata.labels[app.kubernetes.io/name]"), (4, 5));
    assert_eq!(place("metadata.name"), (2, 1), "a missing field is where it should stand");
    assert_eq!(place("spec.rules[7].filters"), (6, 3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "[ \\n\\t:\\-a-c0-2\\[\\]{},&*!|>'\"#%<?~.\\\\é]{0,60}") {
        if let Ok(documents) = parse(&text) {
            for document in documents {
                let mark = document.marks.find("a[0].b");
                prop_assert!(mark.line >= 1 && mark.column >= 1);
            }
        }
    }

    /// What is written as JSON reads as the same tree.
    #[test]
    fn json_is_yaml(strings in prop::collection::vec("\\PC{0,20}", 1..5), number in any::<i64>(), float in -1e9f64..1e9) {
        let tree = json!({"strings": strings, "number": number, "float": float, "nested": {"a": [null, true, {}]}});
        prop_assert_eq!(one(&tree.to_string()), tree.clone());
        prop_assert_eq!(one(&serde_json::to_string_pretty(&tree).expect("serializes")), tree);
    }
}

#[test]
fn aliases_within_aliases_are_nested_no_deeper_than_collections() {
    let wrapped = |inner: &str| format!("{}{inner}{}", "[".repeat(60), "]".repeat(60));
    let mut tower = format!("a0: &a0 {}\n", wrapped("x"));
    for i in 1..100 {
        tower.push_str(&format!("a{i}: &a{i} {}\n", wrapped(&format!("*a{}", i - 1))));
    }
    assert!(error(&tower).ends_with("is nested deeper than 64 levels"), "{}", error(&tower));
    assert_eq!(one("a: &a [x]\nb: [*a]"), json!({"a": ["x"], "b": [["x"]]}));
}
