//! Checkpoints: a Hugging Face directory, and in `trainer/` what a run needs to go on.
//!
//! ```text
//! run/checkpoints/step-001200/   config.json model.safetensors tokenizer.json …   opened by anyone
//!                                trainer/optimizer.safetensors                    what the optimizer remembers
//!                                trainer/weights.safetensors                      f32, where model.safetensors is bf16
//!                                trainer/state.json                               step, counters, sha256 of all
//! run/last, run/best  →  checkpoints/step-…                                        links, text files where there are none
//! ```
//!
//! A checkpoint appears whole or not at all: it is written beside its place, synced, and renamed into it. It is read
//! back only if every byte is the one written, and only into the run it belongs to. What Itera did not write is neither
//! removed nor replaced.

mod contents;
mod error;
mod find;
mod model_dir;
mod place;
mod pointer;
mod store;
mod trainer_files;
mod verify;

pub use error::{CheckpointError, Damage};
pub use find::{find_model, read_model, run_of};
pub use model_dir::{export_model, export_packed, vocabulary};
pub use place::Place;
pub use store::{Checkpoint, CheckpointStore, Found, Opened, Snapshot, Tensors};
pub use trainer_files::SavedTensors;
