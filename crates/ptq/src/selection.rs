//! name, shape, kind of number → whether a tensor is packed, and if not, why.
//!
//! Servers round the matrices of linear layers and nothing else, and a model loses most where its input, its output or its routing
//! is rounded. Which matrix is which shows in names alone: each part of a name, between dots, is looked at.

use std::fmt;

use glob::Pattern;
use itera_formats::{Dtype, TensorPlace};
use itera_kernels::quant::apart::NVFP4_GROUP;

use crate::{
    error::{PtqError, Result},
    method::Method,
    rows::{MAX_COLS, wide_kind},
};

/// Why a tensor stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is no matrix of a linear layer: it has another number of dimensions, or is not called `….weight`.
    NoMatrix,
    /// Its numbers are not F32, F16 or BF16.
    Dtype(Dtype),
    /// Its rows are not whole groups of 16.
    Columns,
    /// Its rows are longer than a piece of work.
    LongRows,
    /// Its name has a part that says what it is, such as an embedding.
    Named(&'static str),
    /// A pattern of the user's.
    Asked(String),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatrix => f.write_str("no matrix of a linear layer"),
            Self::Dtype(dtype) => write!(f, "numbers of {dtype}"),
            Self::Columns => write!(f, "rows are not whole groups of {NVFP4_GROUP}"),
            Self::LongRows => write!(f, "rows of more than {MAX_COLS} numbers"),
            Self::Named(what) => f.write_str(what),
            Self::Asked(pattern) => write!(f, "skipped by {pattern}"),
        }
    }
}

/// How a part of a name is compared.
enum Part {
    Is(&'static str),
    Contains(&'static str),
}

/// Parts of names, and what a tensor under them is. Those of pictures are kept from 4 bits alone.
const NAMED: [(Part, &str); 27] = [
    (Part::Contains("embed"), "embedding"),
    (Part::Is("wte"), "embedding"),
    (Part::Is("wpe"), "embedding"),
    (Part::Contains("norm"), "norm"),
    (Part::Contains("Norm"), "norm"),
    (Part::Is("ln_f"), "norm"),
    (Part::Contains("lm_head"), "head"),
    (Part::Is("embed_out"), "head"),
    (Part::Is("output_layer"), "head"),
    (Part::Is("score"), "head"),
    (Part::Is("classifier"), "head"),
    (Part::Is("cls"), "head"),
    (Part::Is("qa_outputs"), "head"),
    (Part::Contains("router"), "router"),
    (Part::Is("gate"), "router"),
    (Part::Is("shared_expert_gate"), "router"),
    (Part::Contains("pooler"), "pooling"),
    (Part::Is("dense_out"), "pooling"),
    (Part::Contains("conv"), "convolution"),
    (Part::Is("x_proj"), "state space"),
    (Part::Is("dt_proj"), "state space"),
    (Part::Is("A_log"), "state space"),
    (Part::Contains("vision"), VISION),
    (Part::Is("visual"), VISION),
    (Part::Is("connector"), VISION),
    (Part::Contains("modality_projection"), VISION),
    (Part::Contains("multi_modal_projector"), VISION),
];

const VISION: &str = "vision";

/// Which tensors are packed: the rules, and what the user changes of them.
#[derive(Debug, Default)]
pub struct Selection {
    skip: Vec<Pattern>,
    also: Vec<Pattern>,
}

impl Selection {
    /// The rules, but tensors whose name or module matches a pattern of `skip` stay, and of the others those that match one of `also`
    /// are packed whatever their name says. `*` stands for any letters, dots among them.
    ///
    /// # Errors
    /// [`PtqError::Pattern`].
    pub fn new(skip: &[String], also: &[String]) -> Result<Self> {
        let compiled = |pattern: &String| {
            Pattern::new(pattern).map_err(|source| PtqError::Pattern { pattern: pattern.clone(), source })
        };
        let all = |patterns: &[String]| patterns.iter().map(compiled).collect::<Result<Vec<_>>>();
        Ok(Self { skip: all(skip)?, also: all(also)? })
    }

    /// Why `tensor` stays; `None` if it is packed.
    pub(crate) fn kept(&self, tensor: &TensorPlace, method: Method) -> Option<Kept> {
        if let Some(pattern) = self.skip.iter().find(|pattern| matches(pattern, &tensor.name)) {
            return Some(Kept::Asked(pattern.to_string()));
        }
        let module = tensor.name.strip_suffix(".weight");
        let (Some(module), &[_, cols]) = (module, tensor.shape.as_slice()) else { return Some(Kept::NoMatrix) };
        if tensor.range.is_empty() {
            return Some(Kept::NoMatrix);
        }
        if wide_kind(tensor).is_none() {
            return Some(Kept::Dtype(tensor.dtype));
        }
        if method == Method::Nvfp4 && !cols.is_multiple_of(NVFP4_GROUP) {
            return Some(Kept::Columns);
        }
        if cols > MAX_COLS {
            return Some(Kept::LongRows);
        }
        if self.also.iter().any(|pattern| matches(pattern, &tensor.name)) {
            return None;
        }
        let is = |part: &Part, word: &str| match part {
            Part::Is(name) => word == *name,
            Part::Contains(name) => word.contains(name),
        };
        let found = NAMED.iter().find(|(part, _)| module.split('.').any(|word| is(part, word)));
        let what = found.map(|(_, what)| *what).filter(|what| *what != VISION || method == Method::Nvfp4);
        what.map(Kept::Named)
    }

    /// The patterns that match none of `names`.
    pub(crate) fn unused<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Vec<String> {
        let all = self.skip.iter().chain(&self.also);
        all.filter(|pattern| !names.clone().any(|name| matches(pattern, name))).map(ToString::to_string).collect()
    }
}

/// Whether a pattern is the name of a tensor or of its module.
fn matches(pattern: &Pattern, name: &str) -> bool {
    pattern.matches(name) || name.rsplit_once('.').is_some_and(|(module, _)| pattern.matches(module))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Fp8Scales;

    fn matrix(name: &str) -> TensorPlace {
        TensorPlace { name: name.into(), dtype: Dtype::BF16, shape: vec![4, 32], range: 0..256 }
    }

    fn said(selection: &Selection, tensor: &TensorPlace, method: Method) -> String {
        selection.kept(tensor, method).map_or_else(String::new, |kept| kept.to_string())
    }

    #[test]
    fn names_say_what_stays() {
        let rules = Selection::default();
        for (name, expected) in [
            ("model.layers.0.self_attn.q_proj.weight", ""),
            ("model.layers.0.mlp.gate_proj.weight", ""),
            ("model.layers.0.mlp.experts.3.down_proj.weight", ""),
            ("model.layers.0.block_sparse_moe.experts.1.w1.weight", ""),
            ("encoder.layer.0.attention.self.query.weight", ""),
            ("encoder.layer.0.attention.output.dense.weight", ""),
            ("model.layers.0.mamba.in_proj.weight", ""),
            ("model.layers.0.mlp.gate.weight", "router"),
            ("model.layers.0.block_sparse_moe.gate.weight", "router"),
            ("model.layers.0.mlp.shared_expert_gate.weight", "router"),
            ("model.embed_tokens.weight", "embedding"),
            ("embeddings.word_embeddings.weight", "embedding"),
            ("transformer.wte.weight", "embedding"),
            ("lm_head.weight", "head"),
            ("score.weight", "head"),
            ("cls.predictions.transform.dense.weight", "head"),
            ("pooler.dense.weight", "pooling"),
            ("model.layers.0.mamba.x_proj.weight", "state space"),
            ("model.layers.0.self_attn.q_proj.bias", "no matrix of a linear layer"),
            ("visual.blocks.0.attn.qkv.weight", "vision"),
        ] {
            assert_eq!(said(&rules, &matrix(name), Method::Nvfp4), expected, "{name}");
        }
        assert_eq!(said(&rules, &matrix("visual.blocks.0.attn.qkv.weight"), Method::Fp8(Fp8Scales::Channel)), "");
    }

    #[test]
    fn shapes_and_kinds_say_what_stays() {
        let rules = Selection::default();
        let fp8 = Method::Fp8(Fp8Scales::Channel);
        let of = |dtype, shape: &[usize]| TensorPlace { dtype, shape: shape.into(), ..matrix("a.weight") };
        assert_eq!(said(&rules, &of(Dtype::F32, &[32]), fp8), "no matrix of a linear layer");
        assert_eq!(said(&rules, &of(Dtype::F32, &[2, 4, 8]), fp8), "no matrix of a linear layer");
        assert_eq!(said(&rules, &of(Dtype::I64, &[4, 32]), fp8), "numbers of I64");
        assert_eq!(said(&rules, &of(Dtype::F32, &[4, 24]), Method::Nvfp4), "rows are not whole groups of 16");
        assert_eq!(said(&rules, &of(Dtype::F32, &[4, 24]), fp8), "");
        assert_eq!(
            said(&rules, &of(Dtype::F32, &[1, MAX_COLS + 16]), fp8),
            format!("rows of more than {MAX_COLS} numbers")
        );
    }

    #[test]
    fn the_user_decides_before_names_do_and_learns_of_patterns_without_effect() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let chosen =
            Selection::new(&words(&["*.layers.0.*", "none"]), &words(&["lm_head", "nothing*"])).expect("patterns");
        assert_eq!(
            said(&chosen, &matrix("model.layers.0.mlp.up_proj.weight"), Method::Nvfp4),
            "skipped by *.layers.0.*"
        );
        assert_eq!(said(&chosen, &matrix("model.layers.1.mlp.up_proj.weight"), Method::Nvfp4), "");
        assert_eq!(said(&chosen, &matrix("lm_head.weight"), Method::Nvfp4), "");
        let names = ["model.layers.0.mlp.up_proj.weight", "lm_head.weight"];
        assert_eq!(chosen.unused(names.into_iter()), ["none", "nothing*"]);
        assert!(matches!(Selection::new(&words(&["a["]), &[]), Err(PtqError::Pattern { .. })));
    }
}
