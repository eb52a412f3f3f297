//! A model file and what was measured of it.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use itera_formats::Listing;
use itera_runtime::{Batch, Evaluation, Model, RuntimeError, Text, Timing, Windows};
use itera_tokenizer::TokenId;
use serde::{Deserialize, Serialize};

use crate::session::{Abort, Session};

/// Tokens of the prompt, and of the text that speed is measured on; fewer where the context has no room for them.
const PROMPT_TOKENS: usize = 16;
const TOKENS: usize = 256;

/// One file or directory, measured as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// `baseline`, or the action of the stage that made it.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// Bytes on disk, tokenizer and metadata included; of the baseline those of its weights in f32 alone.
    pub size_bytes: u64,
    /// Bytes of the baseline for each of its own.
    pub times_smaller: f64,
    /// Bits per byte of all held-out documents, by the runtime.
    pub bits_per_byte: f64,
    /// By how much that is above the baseline's, in per cent.
    pub loss_percent: f64,
    /// Tokens a second of one text on one thread, the median.
    pub tokens_per_s: f64,
    /// How held-out documents were scored that are longer than the model's context; no part of a report.
    #[serde(skip)]
    pub windows: Option<Windows>,
}

impl Variant {
    /// Run the model at `path` over `documents`. `baseline` is what to compare with; without, the model is its own.
    /// `on_done` is told of each document.
    ///
    /// # Errors
    /// If the model cannot be opened or run, or a signal asks to stop.
    pub(crate) fn measure(
        name: &str,
        path: &Path,
        baseline: Option<&Self>,
        documents: &[&str],
        session: Session<'_>,
        on_done: &(dyn Fn() + Sync),
    ) -> Result<Self, Abort> {
        let model = Model::open(path)?;
        let tokenizer = model.tokenizer()?;
        let go_on = || {
            on_done();
            if session.proceed().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let evaluation = model.score_documents_while(&tokenizer, documents, &go_on)?;
        session.proceed()?;
        let Evaluation { score, windows, .. } = evaluation.expect("only a signal breaks it off");
        let bits_per_byte = score.bits_per_byte();
        let size_bytes = Listing::of(path)?.file_bytes;
        let (baseline_bytes, baseline_bpb) =
            baseline.map_or((size_bytes, bits_per_byte), |of| (of.size_bytes, of.bits_per_byte));
        Ok(Self {
            name: name.into(),
            path: path.into(),
            size_bytes,
            times_smaller: baseline_bytes as f64 / size_bytes as f64,
            bits_per_byte,
            loss_percent: 100.0 * (bits_per_byte / baseline_bpb - 1.0),
            tokens_per_s: 1.0 / token_time(&model)?.as_secs_f64(),
            windows,
        })
    }
}

/// The median time from a token to the next.
fn token_time(model: &Model) -> Result<Duration, RuntimeError> {
    let (prompt_tokens, tokens) = model.fit(PROMPT_TOKENS, TOKENS);
    let prompt = vec![TokenId(model.file().special_ids().bos); prompt_tokens];
    let text = Text::of_ids(model, &prompt)?.with_max_tokens(tokens);
    let Timing { first_token, per_token: mut times } = Timing::of(text, &mut Batch::new(model));
    times.sort();
    // the shortest context has room for one token alone
    Ok(times.get(times.len() / 2).copied().unwrap_or(first_token))
}
