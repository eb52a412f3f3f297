//! The runtime against the numbers that `transformers` produced, and against itself.

mod batch;
mod converter;
mod cuts;
mod embed;
mod golden;
mod packed;
mod state;
mod support;
mod text;
