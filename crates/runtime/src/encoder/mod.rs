//! Encoders of the BERT family: a text → one vector.
//!
//! ```text
//! texts ─ tokens ─ by length, some at a time ─▶ rows of all, no padding
//! words + positions → norm → layers: x → norm(x + attention(x)) → norm(x + mlp(x)) ─▶ mean, first or last row of each text
//! ```
//!
//! Products see rows of many texts, attention those of one, and a row's bits depend on its text alone. Weights are f32 in memory,
//! whatever the file has, in the order in which products read them.

mod forward;
mod layers;

use std::path::Path;

use itera_formats::hf::{EncoderConfig, EncoderDir, Pooling};
use itera_tokenizer::{TokenId, WordPiece};
use itera_vectors::normalize;
use rayon::prelude::*;

use self::{
    forward::{Buffers, forward},
    layers::Layers,
};
use crate::error::{Result, RuntimeError};

/// Rows that go through the layers together, if no text is longer.
const ROWS: usize = 1024;

/// An encoder, its weights in memory. Shared between threads by reference; its threads belong to the rayon pool of the caller.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    layers: Layers,
    tokenizer: WordPiece,
    pooling: Pooling,
    is_normalized: bool,
    max_tokens: usize,
    is_lower_case: bool,
}

impl Encoder {
    /// Opens a directory of Hugging Face: `config.json`, `tokenizer.json`, weights in F32, F16, BF16, or in FP8 or NVFP4, and what
    /// sentence-transformers says beside them.
    ///
    /// # Errors
    /// If a file is absent or damaged, or describes what is not supported; if a weight is not finite; if the tokenizer has ids that
    /// the embedding lacks.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut opened = EncoderDir::open(dir)?;
        let tokenizer = WordPiece::from_file(&opened.tokenizer)?;
        let vocab_size = opened.config.vocab_size;
        if tokenizer.n_ids() > vocab_size {
            let token = TokenId(tokenizer.n_ids() as u32 - 1);
            return Err(RuntimeError::Token { token, vocab_size });
        }
        let layers = Layers::read(&mut opened)?;
        let EncoderDir { config, pooling, is_normalized, max_tokens, is_lower_case, .. } = opened;
        let said = max_tokens.or(tokenizer.max_tokens()).unwrap_or(config.max_positions);
        let max_tokens = said.clamp(1, config.max_positions);
        Ok(Self { config, layers, tokenizer, pooling, is_normalized, max_tokens, is_lower_case })
    }

    /// The same encoder, whose vectors are made of what `pooling` says and not of what its directory does.
    pub fn with_pooling(self, pooling: Pooling) -> Self {
        Self { pooling, ..self }
    }

    /// Its shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The length that texts are cut to, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The tokens of a text as they go through the layers.
    pub fn tokens(&self, text: &str) -> Vec<TokenId> {
        let lower = self.is_lower_case.then(|| text.to_lowercase());
        let mut tokens = self.tokenizer.encode(lower.as_deref().unwrap_or(text), self.max_tokens);
        tokens.truncate(self.max_tokens);
        tokens
    }

    /// The vectors of texts [n, d], in their order. A text's vector is the same to the bit whatever is beside it, and whatever
    /// the number of threads. `on_text` is called as texts are done.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T], on_text: &mut dyn FnMut()) -> Vec<f32> {
        let d = self.config.d_model;
        let tokens: Vec<Vec<TokenId>> = texts.par_iter().map(|text| self.tokens(text.as_ref())).collect();
        // of one length side by side, so that pieces have about as many rows
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(tokens[*index].len()));
        let mut vectors = vec![0.0; texts.len() * d];
        let mut buffers = Buffers::default();
        let mut rest = &order[..];
        while !rest.is_empty() {
            let mut rows = 0;
            let count = rest.iter().take_while(|index| {
                rows += tokens[**index].len();
                rows <= ROWS
            });
            let (piece, after) = rest.split_at(count.count().max(1));
            rest = after;
            let together: Vec<&[TokenId]> = piece.iter().map(|index| &tokens[*index][..]).collect();
            forward(&self.layers, &self.config, &together, &mut buffers);
            let mut outputs = buffers.outputs();
            for index in piece {
                let (text, others) = outputs.split_at(tokens[*index].len() * d);
                outputs = others;
                let vector = &mut vectors[index * d..][..d];
                pool(self.pooling, text, vector);
                if self.is_normalized {
                    normalize(vector);
                }
                on_text();
            }
        }
        vectors
    }
}

/// The vector of a text whose rows these are, one at least.
fn pool(pooling: Pooling, rows: &[f32], vector: &mut [f32]) {
    let d = vector.len();
    match pooling {
        Pooling::First => vector.copy_from_slice(&rows[..d]),
        Pooling::Last => vector.copy_from_slice(&rows[rows.len() - d..]),
        Pooling::Mean => {
            let mut sums = vec![0.0_f64; d];
            for row in rows.chunks_exact(d) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let n_rows = (rows.len() / d) as f64;
            vector.iter_mut().zip(sums).for_each(|(x, sum)| *x = (sum / n_rows) as f32);
        }
    }
}
