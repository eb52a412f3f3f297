//! Recipes on a small run: from the trained checkpoint to the file, the report, and back.

mod artifacts;
mod calibration;
mod courses;
mod output;
mod stops;
mod support;
mod teachers;
