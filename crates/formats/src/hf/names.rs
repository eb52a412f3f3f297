//! `layers.0.mamba.a_log` → `model.layers.0.mamba.A_log`, and what differs in shape.
//!
//! The names on the right are those of published Granite 4 checkpoints. (`transformers` renames the experts and the
//! router when it loads a model, and renames them back when it saves it.)

/// The embedding.
pub(super) const EMBED: &str = "model.embed_tokens.weight";

/// The head, which a file may have although it is tied to the embedding.
pub(super) const HEAD: &str = "lm_head.weight";

/// Ours, theirs; outside the layers.
const GLOBAL: [(&str, &str); 3] = [("embed", EMBED), ("norm", "model.norm.weight"), ("head", HEAD)];

/// Ours, theirs; after `layers.{i}.`.
const IN_LAYER: [(&str, &str); 19] = [
    ("mixer_norm", "input_layernorm.weight"),
    ("mamba.in_proj", "mamba.in_proj.weight"),
    ("mamba.conv_weight", "mamba.conv1d.weight"),
    ("mamba.conv_bias", "mamba.conv1d.bias"),
    ("mamba.dt_bias", "mamba.dt_bias"),
    ("mamba.a_log", "mamba.A_log"),
    ("mamba.d_skip", "mamba.D"),
    ("mamba.norm", "mamba.norm.weight"),
    ("mamba.out_proj", "mamba.out_proj.weight"),
    ("attention.q_proj", "self_attn.q_proj.weight"),
    ("attention.k_proj", "self_attn.k_proj.weight"),
    ("attention.v_proj", "self_attn.v_proj.weight"),
    ("attention.o_proj", "self_attn.o_proj.weight"),
    ("ffn_norm", "post_attention_layernorm.weight"),
    ("moe.router", "block_sparse_moe.router.layer.weight"),
    ("moe.w_in", "block_sparse_moe.input_linear.weight"),
    ("moe.w_out", "block_sparse_moe.output_linear.weight"),
    ("shared.w_in", "shared_mlp.input_linear.weight"),
    ("shared.w_out", "shared_mlp.output_linear.weight"),
];

/// The name that published checkpoints give to one of our tensors; `None` for any other name.
pub fn to_hf(name: &str) -> Option<String> {
    match name.strip_prefix("layers.") {
        Some(rest) => {
            let (layer, part) = split_layer(rest)?;
            Some(format!("model.layers.{layer}.{}", IN_LAYER.iter().find(|(ours, _)| *ours == part)?.1))
        }
        None => Some(GLOBAL.iter().find(|(ours, _)| *ours == name)?.1.to_owned()),
    }
}

/// The shape that published checkpoints give to one of our tensors; the numbers and their order are the same.
///
/// Theirs is the weight of a general convolution, `[channels, 1, d_conv]`; ours has no dimension of size 1.
pub fn hf_shape(name: &str, shape: &[usize]) -> Vec<usize> {
    match shape {
        &[channels, d_conv] if name.ends_with(".mamba.conv_weight") => vec![channels, 1, d_conv],
        _ => shape.to_vec(),
    }
}

/// `12.mamba.norm` → 12, `mamba.norm`; only the plain spelling of a number counts.
fn split_layer(rest: &str) -> Option<(usize, &str)> {
    let (digits, part) = rest.split_once('.')?;
    let layer: usize = digits.parse().ok()?;
    (layer.to_string() == digits).then_some((layer, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tensors_share_a_name() {
        let ours = GLOBAL.map(|(ours, _)| ours.to_owned()).into_iter();
        let ours: Vec<_> = ours
            .chain([0, 9, 10].iter().flat_map(|i| IN_LAYER.map(|(ours, _)| format!("layers.{i}.{ours}"))))
            .collect();
        let mut theirs: Vec<_> = ours.iter().map(|name| to_hf(name).expect("one of ours")).collect();
        theirs.sort();
        theirs.dedup();
        assert_eq!(theirs.len(), ours.len());
    }

    #[test]
    fn foreign_names_are_none() {
        for name in
            ["", "layers.0", "layers.x.norm", "layers.00.mixer_norm", "layers.+1.mixer_norm", "model.norm.weight"]
        {
            assert_eq!(to_hf(name), None, "{name}");
        }
    }
}
