//! What an answer should be, as a line.
//!
//! `<status> [backend] [/path at the backend] [version=…] [host=…] [location=…] [cert=…] [>header=value at the backend]
//! [>!absent header] [<header=value of the answer] [<!absent header]`

use serde_json::{Map, Value};

use crate::client::Answer;

/// How the answer differs from what the line says.
pub(crate) fn differences(answer: &Answer, line: &str) -> Vec<String> {
    line.split_whitespace().filter_map(|word| difference(answer, word).err()).collect()
}

fn difference(answer: &Answer, word: &str) -> Result<(), String> {
    let none = Map::new();
    let asked = answer.backend["headers"].as_object().unwrap_or(&none);
    if let Ok(status) = word.parse::<u16>() {
        return same("status", Some(status), Some(answer.status));
    }
    if word.starts_with('/') {
        return same("path", Some(word), answer.backend["path"].as_str());
    }
    if let Some(header) = word.strip_prefix('>') {
        return check_header("request", asked, header);
    }
    if let Some(header) = word.strip_prefix('<') {
        return check_header("response", &answer.headers, header);
    }
    match word.split_once('=') {
        None => same("backend", Some(word), answer.backend["backend"].as_str()),
        Some(("cert", name)) => same("certificate", Some(name), answer.certificate.as_deref()),
        Some(("location", location)) => {
            same("location", Some(location), answer.headers.get("location").and_then(Value::as_str))
        }
        Some(("version", version)) => same("version", Some(version), answer.backend["version"].as_str()),
        Some(("host", host)) => same("host", Some(host), answer.backend["host"].as_str()),
        Some((name, _)) => panic!("nothing is called {name}"),
    }
}

/// `name=value`, or `!name` for none.
fn check_header(of: &str, headers: &Map<String, Value>, expected: &str) -> Result<(), String> {
    match expected.strip_prefix('!') {
        Some(name) => same(&format!("{of} header {name}"), None, headers.get(name).and_then(Value::as_str)),
        None => {
            let (name, value) = expected.split_once('=').expect("`name=value` or `!name`");
            same(&format!("{of} header {name}"), Some(value), headers.get(name).and_then(Value::as_str))
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: Option<T>, actual: Option<T>) -> Result<(), String> {
    if expected == actual { Ok(()) } else { Err(format!("{what} is {actual:?}")) }
}
