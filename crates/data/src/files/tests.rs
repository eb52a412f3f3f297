//! Files of each kind, whole and broken.
