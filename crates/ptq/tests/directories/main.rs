//! Directories of any family: rounded, and compared with what they were.

mod compare;
mod quantize;
mod support;
