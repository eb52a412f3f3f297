//! Whole runs.

mod contrast;
mod directory;
mod documents;
mod ranks;
mod steps;
mod support;
