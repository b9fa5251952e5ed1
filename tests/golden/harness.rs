//! The one way of a golden test: a folder for each case, with manifests in `input.yaml` and what becomes of them in `output.yaml`.
//!
//! `UPDATE_GOLDEN=1` writes the outputs again; what changed is then for the reviewer of the diff to judge.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;
use syncgate::model::decode::{self, Decoded};

/// Runs every case below `tests/golden/<area>`: decodes its input, hands the objects in the order of the file to
/// `translate`, and compares. Fails with one diff for each case that differs.
pub(crate) fn check(area: &str, translate: impl Fn(&[Decoded]) -> String) {
    let cases = cases(area);
    assert!(!cases.is_empty(), "there are no golden cases in {area}");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = String::new();
    for case in &cases {
        let actual = translate(&objects(&case.join("input.yaml")));
        let path = case.join("output.yaml");
        if update {
            fs::write(&path, &actual).expect("golden files can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_else(|_| "# there is no such file\n".to_owned());
        if actual != expected {
            differences += &diff(&path, &expected, &actual);
        }
    }
    assert!(differences.is_empty(), "\n{differences}\nUPDATE_GOLDEN=1 accepts this.");
}

/// The cases of an area, in the order of their names.
pub(crate) fn cases(area: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(area);
    let folders = fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut cases: Vec<_> = folders.map(|f| f.expect("readable").path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    cases
}

/// The objects of a file; all of them must be of a kind that syncgate reads. Problems are the case's business.
pub(crate) fn objects(path: &Path) -> Vec<Decoded> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let trees: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let decoded = trees.iter().map(|tree| decode::decode(tree, None).map_err(|e| (e, tree)));
    decoded.collect::<Result<_, _>>().unwrap_or_else(|(e, tree)| panic!("{}: {e:?}: {tree}", path.display()))
}

fn diff(path: &Path, expected: &str, actual: &str) -> String {
    let mut out = String::new();
    let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display().to_string();
    let diff = TextDiff::from_lines(expected, actual);
    write!(out, "{}", diff.unified_diff().context_radius(5).header(&name, "now")).expect("strings can be written");
    out
}
