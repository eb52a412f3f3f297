//! Downloads from a small server on this machine that lays files out as the hub does.
