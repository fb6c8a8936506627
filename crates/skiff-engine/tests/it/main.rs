//! The engine with a real keeper, real monitors and real containers.

mod exec;
mod files;
mod harness;
mod life;
mod observe;
mod restore;
mod settings;
