//! llama.cpp's own API: `/completion`, `/props`, `/slots`. Its `/tokenize`, `/detokenize` and `/health` are those of all.

mod completion;
mod props;
mod settings;

pub(crate) use completion::completion;
pub(crate) use props::{props, slots};
