//! The engine with a real keeper, real monitors and real containers.

mod harness;
mod life;
