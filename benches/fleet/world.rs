//! What is served: one Gateway, 200 clusters and their load assignments of ten endpoints each, as a folder of manifests.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use syncgate_e2e::folder::Folder;
use syncgate_e2e::manifests::{self, GATEWAY, NAMESPACE};

pub(crate) const CLUSTERS: usize = 200;
const ENDPOINTS: u8 = 10;
/// Whose Envoys the fleet stands for.
pub(crate) const FLEET: &str = GATEWAY;

/// The folder.
pub(crate) struct World {
    folder: Folder,
    changes: u8,
}

impl World {
    pub(crate) fn write(home: &Path, gateway: IpAddr) -> Result<Self> {
        let path = home.join("manifests");
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        let world = Self { folder: Folder::create(path)?, changes: 0 };
        let mut objects = vec![
            manifests::gateway_class(),
            manifests::namespace(NAMESPACE),
            manifests::gateway(gateway, &[manifests::HTTP_PORT]),
        ];
        for cluster in 0..CLUSTERS {
            let name = service(cluster);
            objects.push(manifests::service(&name));
            objects.push(manifests::route(&name, &format!("{name}.example"), &[manifests::rule("/", &name)]));
        }
        world.folder.write("objects.yaml", &objects)?;
        for cluster in 0..CLUSTERS {
            world.write_pods(cluster, 0)?;
        }
        Ok(world)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Gives one endpoint of one cluster another address.
    pub(crate) fn change(&mut self) -> Result<()> {
        self.changes = self.changes % 100 + 1;
        self.write_pods(0, self.changes)
    }

    fn write_pods(&self, cluster: usize, changes: u8) -> Result<()> {
        let name = service(cluster);
        let [high, low] = u16::try_from(cluster)?.to_be_bytes();
        let pods: Vec<Value> = (0..ENDPOINTS)
            .map(|pod| {
                let last = if pod == 0 { 100 + changes } else { pod };
                manifests::pod(&format!("{name}-{pod}"), &name, Ipv4Addr::new(10, high, low, last).into())
            })
            .collect();
        self.folder.write(&format!("pods-{cluster}.yaml"), &pods)
    }
}

fn service(cluster: usize) -> String {
    format!("service-{cluster}")
}
