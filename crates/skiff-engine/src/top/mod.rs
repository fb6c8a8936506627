//! A container's processes, as `ps` on the host shows them: read from `/proc`, no `ps` is run.

mod args;
mod columns;
mod list;
mod process;
mod users;

use skiff_api::TopResponse;

use crate::Result;
use crate::container::Containers;

impl Containers {
    /// Lists the processes of a running container; `ps_args` as for `ps` (`-ef` when empty; forms
    /// that are supported are `-ef`, `aux`, `-o …` and their kin).
    pub fn top(&self, name: &str, ps_args: &str) -> Result<TopResponse> {
        list::top(&self.0, name, ps_args)
    }
}
