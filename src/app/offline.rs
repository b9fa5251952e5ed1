//! A folder translated once, without sockets: for `check` and `explain --files`.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{
    explain,
    pipeline::{Pipeline, Troubled},
};
use crate::{
    files::{self, FileProblem, FilesError, Loaded},
    model::{Event, Kind, ObjectRef, Problem},
    render,
    resource::ResourceType,
    snapshot::World,
};

/// A folder, the graph it fills, and what came of it.
#[derive(Debug)]
pub struct Offline {
    loaded: Loaded,
    pipeline: Pipeline,
}

impl Offline {
    /// Reads and translates the folder.
    ///
    /// # Errors
    /// When the folder cannot be read at all; a broken file is a problem, not an error.
    pub fn load(dir: &Path) -> Result<Self, FilesError> {
        let loaded = files::load(dir)?;
        let mut pipeline = Pipeline::new();
        let objects = loaded.objects.iter().map(|loaded| Event::Put(loaded.at.clone(), loaded.object.clone()));
        let events: Vec<Event> = objects.chain(Kind::ALL.into_iter().map(Event::Listed)).collect();
        pipeline.apply(&events);
        Ok(Self { loaded, pipeline })
    }

    /// Every problem, of files and of objects, once, in the order of their places.
    #[must_use]
    pub fn problems(&self) -> Vec<FileProblem> {
        let of_objects = self.troubled().iter().flat_map(|(object, status)| {
            status.problems.iter().map(|at| Problem { object: object.clone(), at: at.clone() })
        });
        let located = self.loaded.locate(of_objects);
        // What decoding found travels with the object too: the same words at the same place are one problem.
        let unique: BTreeMap<_, _> = self
            .found_in_files()
            .iter()
            .cloned()
            .chain(located)
            .map(|problem| ((problem.place.clone(), problem.field.clone(), problem.message.clone()), problem))
            .collect();
        unique.into_values().collect()
    }

    /// What reading the files found, translation aside.
    #[must_use]
    pub fn found_in_files(&self) -> &[FileProblem] {
        &self.loaded.problems
    }

    /// What translation found, without places.
    #[must_use]
    pub fn troubled(&self) -> &Troubled {
        self.pipeline.troubled()
    }

    /// The snapshots of all Gateways.
    #[must_use]
    pub fn world(&self) -> &World {
        self.pipeline.world()
    }

    /// What was read and what it became, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let (world, loaded) = (self.pipeline.world(), &self.loaded);
        let resources: usize =
            world.iter().flat_map(|snapshot| ResourceType::ALL.map(|kind| snapshot.set(kind).len())).sum();
        format!(
            "{} files, {} objects ({} of other kinds passed over) became {resources} Envoy resources for {} Gateway{}",
            loaded.files,
            loaded.objects.len(),
            loaded.ignored,
            world.len(),
            if world.len() == 1 { "" } else { "s" },
        )
    }

    /// The Envoy resources of every Gateway, secrets redacted: Gateway → type → resources.
    #[must_use]
    pub fn resources(&self) -> Value {
        let gateways = self.pipeline.world().iter().map(|snapshot| {
            let types = ResourceType::ALL.into_iter().map(|kind| {
                let set = snapshot.set(kind);
                (kind.short().to_owned(), set.iter().map(|resource| render::resource(resource)).collect::<Value>())
            });
            (snapshot.gateway().to_string(), Value::Object(types.collect()))
        });
        json!({ "gateways": Value::Object(gateways.collect()) })
    }

    /// Why the object has no effect, or what it became; see [`explain::explain`].
    #[must_use]
    pub fn explain(&self, object: &ObjectRef) -> (bool, String) {
        let (found, mut text) = explain::explain(&self.pipeline, self.found_in_files(), object);
        if let Some(origin) = self.loaded.origin(object) {
            text.push_str(&format!("\nread from {origin}\n"));
        }
        (found, text)
    }
}
