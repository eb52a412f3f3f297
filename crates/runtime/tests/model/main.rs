//! The runtime against the numbers that `transformers` produced, and against itself.

mod cuts;
mod golden;
mod packed;
mod state;
mod support;
mod text;
