//! OCI and Docker image documents (manifest, index, config) as plain data.
