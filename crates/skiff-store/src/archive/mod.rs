//! Images as archives: `docker load` and `docker save`.

mod load;
mod members;
mod plan;
mod save;

pub use load::{LoadedImage, Progress};
pub use save::SaveImage;
