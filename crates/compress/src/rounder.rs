//! weights → blocks → the numbers that they stand for
//!
//! ```text
//!               ┌─ pack_tensor ─▶ PackedTensor ─▶ the file
//! NamedTensor ──┤
//!               └─ computed ────▶ numbers ──────▶ the model while it trains (QAT)
//! ```
//!
//! Both are one rounding, so that training sees what the file will hold, bit for bit.

use itera_formats::{Kind, PackedTensor, hf::kind_in_dir};
use itera_kernels::quant::{Feedback, dequantize, quantize, quantize_closest, quantize_with_feedback};
use itera_shape::{ModelConfig, NamedTensor, TensorSpec};
use rayon::prelude::*;

use crate::{
    error::{CompressError, Result},
    format::Format,
    misfit::Misfit,
    stage::Quantize,
};

/// Numbers that are rounded at a time where each block is rounded by itself: some blocks of any kind.
const TASK_LEN: usize = 4096;

/// What rounding is to keep small: a [`Rounding`](crate::Rounding), with what was measured for it, tensor by tensor.
#[derive(Clone, Debug)]
pub enum Measure {
    /// Nothing: scales are those that the largest elements ask for.
    MinMax,
    /// The squared error.
    Mse,
    /// That weighted by how much each weight matters, 0 or more.
    Fisher(Vec<Vec<f32>>),
    /// What errors cost together: for each part of a tensor, all its experts or the one matrix that it is.
    Gptq(Vec<Vec<Feedback>>),
}

/// How each tensor of a model is rounded.
#[derive(Clone, Debug)]
pub struct Rounder {
    kinds: Vec<Kind>,
    measure: Measure,
}

/// The kind of each tensor of `config` that `stage` of `recipe` asks for, in the order of the tensor table.
///
/// # Errors
/// [`CompressError::Misfit`] if the stage names what the model lacks, or a kind that a tensor cannot have.
pub(crate) fn kinds_of(recipe: &str, stage: &Quantize, config: &ModelConfig) -> Result<Vec<Kind>> {
    let specs = config.tensors();
    let is_meant = |key: &str, spec: &TensorSpec| key == spec.name || key == spec.role.name();
    for key in stage.kinds.keys() {
        if !specs.iter().any(|spec| is_meant(key, spec)) {
            let mut roles: Vec<&str> = specs.iter().map(|spec| spec.role.name()).collect();
            roles.sort();
            roles.dedup();
            let problem = Misfit::NoTensor { key: key.clone(), roles: roles.join(", ") };
            return Err(CompressError::misfit(recipe, problem));
        }
    }
    let kind_of = |spec: &TensorSpec| {
        let named = stage.kinds.get(&spec.name).or_else(|| stage.kinds.get(spec.role.name()));
        let kind = match named {
            Some(kind) => kind.0,
            None if stage.format == Format::Hf => kind_in_dir(spec, stage.kind.0),
            None if spec.role.is_matrix() => stage.kind.0,
            None => Kind::F32,
        };
        let cols = spec.shape.last().copied().unwrap_or(1);
        let tensor = spec.name.clone();
        if !spec.role.is_matrix() && kind != Kind::F32 {
            return Err(CompressError::misfit(recipe, Misfit::StaysF32 { tensor, kind: kind.name() }));
        }
        if kind.row_bytes(cols).is_none() {
            let problem = Misfit::Rows { tensor, cols, block_len: kind.block_len(), kind: kind.name() };
            return Err(CompressError::misfit(recipe, problem));
        }
        Ok(kind)
    };
    specs.iter().map(kind_of).collect()
}

impl Rounder {
    /// What `stage` of `recipe` asks for, with the measure of its rounding.
    ///
    /// # Errors
    /// [`CompressError::Misfit`] if the stage names what the model lacks, or a kind that a tensor cannot have.
    pub fn new(recipe: &str, stage: &Quantize, config: &ModelConfig, measure: Measure) -> Result<Self> {
        Ok(Self { kinds: kinds_of(recipe, stage, config)?, measure })
    }

    /// The kind of each tensor, in the order of the tensor table.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The tensor at `index` of the tensor table as the file holds it.
    ///
    /// # Errors
    /// If it cannot be packed.
    pub fn pack_tensor(&self, index: usize, parameter: &NamedTensor) -> Result<PackedTensor> {
        let NamedTensor { name, shape, data: values } = parameter;
        let kind = self.kinds[index];
        let len = self.part_len(index, values.len());
        let bytes_of = |len: usize| len / kind.block_len() * kind.block_bytes();
        let mut bytes = vec![0; bytes_of(values.len())];
        let parts = values.par_chunks(len).zip(bytes.par_chunks_mut(bytes_of(len)));
        parts.enumerate().for_each(|(part, (values, bytes))| self.round(index, part * len, values, bytes));
        Ok(PackedTensor::new(name, shape, kind, bytes)?)
    }

    /// What the packed tensors stand for. `parameters` are those of the model, in the order of the tensor table.
    pub fn computed(&self, parameters: &[NamedTensor]) -> Vec<Vec<f32>> {
        parameters.iter().enumerate().map(|(index, parameter)| self.computed_tensor(index, parameter)).collect()
    }

    /// What the packed tensor at `index` of the tensor table stands for.
    pub(crate) fn computed_tensor(&self, index: usize, parameter: &NamedTensor) -> Vec<f32> {
        let kind = self.kinds[index];
        let mut numbers = parameter.data.clone();
        if kind != Kind::F32 {
            let len = self.part_len(index, numbers.len());
            numbers.par_chunks_mut(len).enumerate().for_each(|(part, numbers)| {
                let mut bytes = vec![0; numbers.len() / kind.block_len() * kind.block_bytes()];
                self.round(index, part * len, numbers, &mut bytes);
                dequantize(kind, &bytes, numbers);
            });
        }
        numbers
    }

    /// Numbers of a tensor of `len` that are rounded without regard to the others.
    fn part_len(&self, tensor: usize, len: usize) -> usize {
        match &self.measure {
            Measure::Gptq(feedback) => len / feedback[tensor].len().max(1),
            _ => TASK_LEN,
        }
    }

    /// Round a part of a tensor, which begins at its number `start`.
    fn round(&self, tensor: usize, start: usize, values: &[f32], bytes: &mut [u8]) {
        let kind = self.kinds[tensor];
        match &self.measure {
            Measure::MinMax => quantize(kind, values, bytes),
            Measure::Mse => quantize_closest(kind, values, None, bytes),
            Measure::Fisher(all) => quantize_closest(kind, values, Some(&all[tensor][start..][..values.len()]), bytes),
            Measure::Gptq(all) => match all[tensor].get(start / values.len()) {
                Some(feedback) => quantize_with_feedback(kind, values, feedback, bytes),
                None => quantize(kind, values, bytes),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use itera_testkit::uniform;

    use super::*;
    use crate::stage::{KindName, Rounding};

    fn config() -> ModelConfig {
        ModelConfig { vocab_size: 300, d_model: 64, d_head: 16, d_expert: 64, d_shared: 32, ..ModelConfig::default() }
    }

    fn parameters(config: &ModelConfig) -> Vec<NamedTensor> {
        let parameter = |(seed, spec): (u64, TensorSpec)| {
            let values = uniform(spec.shape.iter().product(), -1.0, 1.0, seed);
            NamedTensor { name: spec.name, shape: spec.shape, data: values }
        };
        (0..).zip(config.tensors()).map(parameter).collect()
    }

    fn stage(kind: Kind, kinds: &[(&str, Kind)]) -> Quantize {
        let kinds: BTreeMap<_, _> = kinds.iter().map(|(key, kind)| (key.to_string(), KindName(*kind))).collect();
        let (format, rounding, calibration_tokens) = (Format::Gguf, Rounding::MinMax, 1);
        Quantize { kind: KindName(kind), format, kinds, rounding, calibration_tokens }
    }

    #[test]
    fn what_is_trained_with_is_what_is_packed() {
        use Kind::{F8E4M3, F16, Iq4Nl, Mxfp4, Nvfp4, Q2_0, Q4_0, Q8_0};
        let config = ModelConfig { d_shared: 64, ..config() };
        let parameters = parameters(&config);
        let importance: Vec<Vec<f32>> = parameters.iter().map(|p| uniform(p.data.len(), 0.0, 1.0, 77)).collect();
        let feedback = |spec: TensorSpec| -> Vec<Feedback> {
            let cols = spec.shape[spec.shape.len() - 1];
            let parts = if spec.shape.len() == 3 { spec.shape[0] } else { 1 };
            let one = |seed: usize| Feedback::new(&uniform(cols, 0.1, 1.0, seed as u64).repeat(cols), cols);
            if spec.role.is_matrix() { (0..parts).map(one).collect() } else { vec![] }
        };
        let feedback: Vec<_> = config.tensors().into_iter().map(feedback).collect();
        for measure in [Measure::MinMax, Measure::Mse, Measure::Fisher(importance), Measure::Gptq(feedback)] {
            for kind in [F16, F8E4M3, Q8_0, Q4_0, Iq4Nl, Mxfp4, Nvfp4, Q2_0] {
                let rounder = Rounder::new("r", &stage(kind, &[]), &config, measure.clone()).expect("fits");
                let computed = rounder.computed(&parameters);
                for (index, (computed, parameter)) in computed.iter().zip(&parameters).enumerate() {
                    let packed = rounder.pack_tensor(index, parameter).expect("whole blocks");
                    assert_eq!(packed.numbers(), *computed, "{kind:?} {}", parameter.name);
                    assert_eq!(packed.name(), parameter.name);
                }
            }
        }
    }

    #[test]
    fn the_name_of_a_tensor_goes_before_its_role_and_that_before_the_rest() {
        let kinds = [("experts", Kind::Q8_0), ("layers.1.moe.w_in", Kind::F16), ("embedding", Kind::Bf16)];
        let config = config();
        let rounder = Rounder::new("r", &stage(Kind::Q4_0, &kinds), &config, Measure::MinMax).expect("fits");
        let kind = |name: &str| {
            let at = config.tensors().iter().position(|spec| spec.name == name).expect("a tensor");
            rounder.kinds()[at]
        };
        assert_eq!(kind("embed"), Kind::Bf16);
        assert_eq!(kind("layers.0.moe.w_in"), Kind::Q8_0);
        assert_eq!(kind("layers.1.moe.w_in"), Kind::F16);
        assert_eq!(kind("layers.1.mamba.in_proj"), Kind::Q4_0);
        assert_eq!(kind("layers.1.moe.router"), Kind::F32);
        assert_eq!(kind("layers.1.mamba.conv_weight"), Kind::F32);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let config = ModelConfig { d_shared: 48, ..config() };
        let refused =
            |kinds: &[(&str, Kind)]| match Rounder::new("mine", &stage(Kind::Q4_0, kinds), &config, Measure::MinMax)
                .expect_err("refused")
            {
                CompressError::Misfit { recipe, problem } if recipe == "mine" => problem,
                other => panic!("{other}"),
            };
        assert!(matches!(refused(&[("mlp", Kind::Q8_0)]), Misfit::NoTensor { key, .. } if key == "mlp"));
        let is_router = |tensor: &str| tensor == "layers.0.moe.router";
        assert!(matches!(refused(&[("router", Kind::Q8_0)]), Misfit::StaysF32 { tensor, .. } if is_router(&tensor)));
        let is_shared = |tensor: &str| tensor == "layers.0.shared.w_out";
        assert!(matches!(refused(&[]), Misfit::Rows { tensor, cols: 48, .. } if is_shared(&tensor)));
    }
}
