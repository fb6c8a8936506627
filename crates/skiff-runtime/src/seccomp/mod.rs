//! Seccomp profiles to BPF (placeholder until the module lands).
