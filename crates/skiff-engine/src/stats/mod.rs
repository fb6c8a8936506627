//! What a container uses: Docker's statistics, from its control groups.

mod collect;
mod stream;

use skiff_api::ContainerStats;
use tokio::sync::mpsc;

use crate::Result;
use crate::container::Containers;

impl Containers {
    /// One sample. Without `one_shot` a second one is taken a second before, so that `precpu_stats`
    /// allows a percentage.
    pub async fn stats(&self, name: &str, one_shot: bool) -> Result<ContainerStats> {
        stream::once(&self.0, name, one_shot).await
    }

    /// A sample each second until the receiver is dropped or the container is removed. A container
    /// that does not run gives samples without numbers, as Docker's.
    pub async fn stats_stream(&self, name: &str) -> Result<mpsc::Receiver<ContainerStats>> {
        stream::stream(&self.0, name).await
    }
}
