//! Tests of the wire types as other crates see them.

mod openapi;
mod shapes;
