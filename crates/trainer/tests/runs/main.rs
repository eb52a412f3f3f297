//! Whole runs.

mod directory;
mod documents;
mod steps;
mod support;
