//! GGUF files: what is written is read, llama.cpp's converter agrees, and damage is told, never suffered.

mod converter;
mod damage;
mod hostile;
#[cfg(target_os = "linux")]
mod memory;
mod round_trip;
mod support;
