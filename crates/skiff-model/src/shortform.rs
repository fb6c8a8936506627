//! Short forms of the command line (mounts, ports, ulimits, devices).
