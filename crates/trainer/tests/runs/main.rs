//! Whole runs.

mod directory;
mod steps;
mod support;
