//! Whole runs.

mod directory;
mod documents;
mod ranks;
mod steps;
mod support;
