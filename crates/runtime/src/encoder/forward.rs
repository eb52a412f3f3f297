//! Rows of all tokens of some texts through the layers of an encoder.

use itera_formats::hf::EncoderConfig;
use itera_kernels::{attention::attend_whole, gelu::bias_gelu, layer_norm::join_layer_norm};
use itera_tokenizer::TokenId;
use rayon::prelude::*;

use super::layers::{Layers, norm};
use crate::buffer::sized;

/// Memory for rows on their way; it grows to the most that ever came together.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// [t, d]
    x: Vec<f32>,
    /// [t, 3·d]
    qkv: Vec<f32>,
    /// [t, d]
    mixed: Vec<f32>,
    /// [t, d]
    branch: Vec<f32>,
    /// [t, f]
    hidden: Vec<f32>,
    n_rows: usize,
    d: usize,
}

impl Buffers {
    /// The rows of all texts behind the last layer [t, d].
    pub(super) fn outputs(&self) -> &[f32] {
        &self.x[..self.n_rows * self.d]
    }
}

/// Sends texts of one token or more, none longer than the model has positions, through the layers.
pub(super) fn forward(layers: &Layers, config: &EncoderConfig, texts: &[&[TokenId]], buffers: &mut Buffers) {
    let (d, n_rows) = (config.d_model, texts.iter().map(|text| text.len()).sum::<usize>());
    (buffers.n_rows, buffers.d) = (n_rows, d);
    let x = sized(&mut buffers.x, n_rows * d);
    let qkv = sized(&mut buffers.qkv, n_rows * 3 * d);
    let mixed = sized(&mut buffers.mixed, n_rows * d);
    let branch = sized(&mut buffers.branch, n_rows * d);
    let hidden = sized(&mut buffers.hidden, n_rows * config.d_ff);
    let nothing = vec![0.0; d];
    let eps = config.layer_norm_eps;
    // one entry to the thread pool for all kernels
    rayon::scope(|_| {
        let embeddings = &layers.embeddings;
        let tokens = texts.iter().flat_map(|text| text.iter().enumerate());
        for ((position, token), (x, branch)) in tokens.zip(x.chunks_exact_mut(d).zip(branch.chunks_exact_mut(d))) {
            x.copy_from_slice(&embeddings.words[token.index() * d..][..d]);
            branch.copy_from_slice(&embeddings.positions[position * d..][..d]);
        }
        join_layer_norm(x, branch, &nothing, norm(&embeddings.norm, eps));
        for layer in &layers.layers {
            layer.qkv.times(x, qkv);
            add_bias(qkv, &layer.qkv.bias);
            attend(config.n_heads, texts, qkv, mixed);
            layer.attention_out.times(mixed, branch);
            join_layer_norm(x, branch, &layer.attention_out.bias, norm(&layer.attention_norm, eps));
            layer.ffn_in.times(x, hidden);
            bias_gelu(hidden, &layer.ffn_in.bias);
            layer.ffn_out.times(hidden, branch);
            join_layer_norm(x, branch, &layer.ffn_out.bias, norm(&layer.ffn_norm, eps));
        }
    });
}

fn add_bias(rows: &mut [f32], bias: &[f32]) {
    rows.par_chunks_mut(64 * bias.len()).for_each(|rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        }
    });
}

/// Each text's attention to itself.
fn attend(n_heads: usize, texts: &[&[TokenId]], mut qkv: &[f32], mut mixed: &mut [f32]) {
    let d = mixed.len() / texts.iter().map(|text| text.len()).sum::<usize>();
    let mut parts = Vec::with_capacity(texts.len());
    for text in texts {
        let (input, output);
        (input, qkv) = qkv.split_at(text.len() * 3 * d);
        (output, mixed) = std::mem::take(&mut mixed).split_at_mut(text.len() * d);
        parts.push((input, output));
    }
    parts.into_par_iter().for_each(|(qkv, mixed)| attend_whole(n_heads, d / n_heads, qkv, mixed));
}
