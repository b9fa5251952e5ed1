//! The whole product put together: one `build_*` for each stage, in the order of the data.

pub mod explain;
pub mod offline;
pub mod pipeline;

use crate::config::ServeConfig;

/// Temporary.
pub async fn serve(_config: ServeConfig) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
