//! tensor of the table → the tensors that hold its pieces in a GGUF file, with their names and shapes there.
//!
//! ```text
//! layers.0.moe.w_in [e, 2·f, d] → blk.0.ffn_gate_exps.weight [e, f, d]  blk.0.ffn_up_exps.weight [e, f, d]
//! ```
//!
//! Names and shapes are those that llama.cpp's converter gives to `GraniteMoeHybridForCausalLM`.

use itera_shape::{ModelConfig, TensorSpec};

use crate::model_file::{Piece, pieces_of};

/// A tensor of a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its name.
    pub(crate) name: String,
    /// Sizes of its dimensions; the last varies fastest.
    pub(crate) shape: Vec<usize>,
    /// What lies in it, by its place in the tensor of the table.
    pub(crate) piece: Piece,
}

/// The head, absent where it is tied to the embedding.
pub(super) const HEAD: &str = "output.weight";

/// The embedding.
pub(super) const EMBED: &str = "token_embd.weight";

/// Ours, theirs; outside the layers.
const GLOBAL: [(&str, &str); 3] = [("embed", EMBED), ("norm", "output_norm.weight"), ("head", HEAD)];

/// Ours after `layers.{i}.`, the ending of the pieces that are meant, theirs after `blk.{i}.`.
const IN_LAYER: [(&str, &str, &str); 21] = [
    ("mixer_norm", "", "attn_norm.weight"),
    ("mamba.in_proj", "", "ssm_in.weight"),
    ("mamba.conv_weight", "", "ssm_conv1d.weight"),
    ("mamba.conv_bias", "", "ssm_conv1d.bias"),
    ("mamba.dt_bias", "", "ssm_dt.bias"),
    ("mamba.a_log", "", "ssm_a"),
    ("mamba.d_skip", "", "ssm_d"),
    ("mamba.norm", "", "ssm_norm.weight"),
    ("mamba.out_proj", "", "ssm_out.weight"),
    ("attention.q_proj", "", "attn_q.weight"),
    ("attention.k_proj", "", "attn_k.weight"),
    ("attention.v_proj", "", "attn_v.weight"),
    ("attention.o_proj", "", "attn_output.weight"),
    ("ffn_norm", "", "ffn_norm.weight"),
    ("moe.router", "", "ffn_gate_inp.weight"),
    ("moe.w_in", ".gate", "ffn_gate_exps.weight"),
    ("moe.w_in", ".up", "ffn_up_exps.weight"),
    ("moe.w_out", ".out", "ffn_down_exps.weight"),
    ("shared.w_in", ".gate", "ffn_gate_shexp.weight"),
    ("shared.w_in", ".up", "ffn_up_shexp.weight"),
    ("shared.w_out", ".out", "ffn_down_shexp.weight"),
];

/// The tensors that hold a tensor of the table of `config`.
pub(crate) fn stored(config: &ModelConfig, spec: &TensorSpec) -> Vec<Stored> {
    let shape = shape_of(config, spec);
    let stored = |piece: Piece| {
        let name = match spec.name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
            Some((layer, part)) => {
                let row = IN_LAYER.iter().find(|(ours, ending, _)| *ours == part && piece.name.ends_with(ending));
                row.map(|(.., theirs)| format!("blk.{layer}.{theirs}"))
            }
            None => GLOBAL.iter().find(|(ours, _)| *ours == spec.name).map(|(_, theirs)| (*theirs).to_owned()),
        };
        let name = name.expect("every piece of the family has a name in GGUF");
        // an expert that shares with none goes by the name of a plain MLP
        let name = if config.n_experts == 0 { name.replace("_shexp", "") } else { name };
        Stored { name, shape: shape.clone(), piece }
    };
    pieces_of(spec).into_iter().map(stored).collect()
}

fn shape_of(config: &ModelConfig, spec: &TensorSpec) -> Vec<usize> {
    let part = spec.name.rsplit_once('.').map_or("", |(_, part)| part);
    match (part, &spec.shape[..]) {
        ("a_log" | "d_skip", &[heads]) => vec![heads, 1],
        ("norm", &[d_inner]) => vec![config.n_groups, d_inner / config.n_groups],
        // gate and up are apart
        ("w_in", [leading @ .., rows, cols]) => [leading, &[rows / 2, *cols]].concat(),
        _ => spec.shape.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_piece_fills_a_tensor_of_its_own() {
        for n_experts in [0, 1, 3] {
            let config = ModelConfig { n_experts, top_k: 1, n_groups: 2, tie_embeddings: false, ..Default::default() };
            let mut names = HashSet::new();
            for spec in config.tensors() {
                for stored in stored(&config, &spec) {
                    let Piece { rows, cols, count, .. } = stored.piece;
                    assert_eq!(stored.shape.iter().product::<usize>(), rows * cols * count, "{stored:?}");
                    assert!(names.insert(stored.name.clone()), "{stored:?}");
                }
            }
            assert_eq!(names.contains("blk.2.ffn_up.weight"), n_experts == 0);
            assert_eq!(names.contains("blk.2.ffn_up_shexp.weight"), n_experts > 0);
        }
    }
}
