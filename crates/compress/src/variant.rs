//! A model file and what was measured of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use itera_formats::Listing;
use itera_runtime::Model;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Tokens of the prompt, and of the text that speed is measured on.
const PROMPT_TOKENS: usize = 16;
const TOKENS: usize = 256;

/// One file or directory, measured as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// What it is called: `baseline`, or the stage that made it.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// Bytes on disk, tokenizer and metadata included; of the baseline those of its weights in f32 alone.
    pub size_bytes: u64,
    /// How often it goes into the baseline.
    pub times_smaller: f64,
    /// Bits per byte of all held-out documents, by the runtime.
    pub bits_per_byte: f64,
    /// By how much that is above the baseline's, in per cent.
    pub loss_percent: f64,
    /// Tokens a second of one text on one thread, the median.
    pub tokens_per_s: f64,
}

impl Variant {
    /// Run the model at `path` over `documents`. `baseline` is the size and the bits per byte to compare with; without,
    /// it is its own. `on_done` is told of each document.
    ///
    /// # Errors
    /// If it cannot be opened or run.
    pub fn measure(
        name: &str,
        path: &Path,
        baseline: Option<(u64, f64)>,
        documents: &[&str],
        on_done: &(dyn Fn() + Sync),
    ) -> Result<Self> {
        let model = Model::open(path)?;
        let tokenizer = model.tokenizer()?;
        let bits_per_byte = model.score_documents(&tokenizer, documents, on_done)?.bits_per_byte();
        let size_bytes = Listing::of(path)?.file_bytes;
        let (baseline_bytes, baseline_bpb) = baseline.unwrap_or((size_bytes, bits_per_byte));
        Ok(Self {
            name: name.into(),
            path: path.into(),
            size_bytes,
            times_smaller: baseline_bytes as f64 / size_bytes as f64,
            bits_per_byte,
            loss_percent: 100.0 * (bits_per_byte / baseline_bpb - 1.0),
            tokens_per_s: 1.0 / token_time(&model)?.as_secs_f64(),
        })
    }
}

/// The median time from a token to the next.
fn token_time(model: &Model) -> Result<Duration> {
    let prompt = [model.file().special_ids().bos; PROMPT_TOKENS];
    let mut work = model.workspace();
    let mut times = model.time_generation(&mut model.new_state(), &prompt, TOKENS, &mut work)?.per_token;
    times.sort();
    Ok(times[times.len() / 2])
}
