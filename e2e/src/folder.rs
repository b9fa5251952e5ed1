//! A folder of manifests that a scenario edits while syncgate watches it. Every write is a rename, as a careful editor's: no reader ever
//! sees half a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if it does not exist.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the objects as the documents of one file, replacing what it held in one step.
    pub fn write(&self, name: &str, objects: &[Value]) -> Result<()> {
        let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
        self.write_text(name, &documents.join("\n---\n"))
    }

    /// The same with the text of the file.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        let (staged, file) = (self.path.join(format!(".{name}.new")), self.path.join(name));
        std::fs::write(&staged, text).with_context(|| format!("write {}", staged.display()))?;
        std::fs::rename(&staged, &file).with_context(|| format!("rename to {}", file.display()))
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<()> {
        let file = self.path.join(name);
        std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_holds_its_documents_and_nothing_else_stays_behind() {
        let place = std::env::temp_dir().join(format!("syncgate-e2e-folder-{}", std::process::id()));
        let folder = Folder::create(&place).unwrap();
        folder.write("a.yaml", &[json!({"kind": "A"}), json!({"kind": "B"})]).unwrap();
        let text = std::fs::read_to_string(place.join("a.yaml")).unwrap();
        assert_eq!(text, "{\"kind\":\"A\"}\n---\n{\"kind\":\"B\"}");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
        folder.remove("a.yaml").unwrap();
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        std::fs::remove_dir(&place).unwrap();
    }
}
