//! Seccomp filters: profiles, and their compilation to BPF.
//!
//! Public names to come (signatures are settled):
//! - `Filter { program: Vec<u8>, flags: u32, notify: bool }`: `program` is what
//!   `skiff_sys::seccomp::set_filter(&program, flags)` takes.
//! - `compile(&oci::Seccomp) -> Result<Filter, SeccompError>`
//! - `default_profile(caps: &[String]) -> oci::Seccomp`, and
//!   `default_program(caps: &[String]) -> Arc<Vec<u8>>`, cached by capability set; `caps` is the
//!   bounding set by name (`CAP_CHOWN`); install with flags `DEFAULT_FLAGS`.
//! - `profile_from_json(json: &str, caps: &[String]) -> Result<Option<oci::Seccomp>, SeccompError>`
//!   for Docker's custom profiles; `None` is an empty profile: no filter.
