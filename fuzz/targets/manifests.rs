//! A file of manifests, through the whole of `syncgate check`: problems or configuration, and both can be printed.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use syncgate::app::offline::Offline;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("syncgate-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.join("objects.yaml"), bytes).expect("room for a file");
    let offline = Offline::load(&FOLDER).expect("a folder that can be read");
    let problems = offline.problems();
    let _ = (offline.summary(), offline.resources());
    assert!(problems.iter().all(|problem| !problem.message.is_empty()), "a problem without a word: {problems:?}");
});
