//! a model file → every tensor in f32, as training knows it
//!
//! ```text
//! pieces ─ dequantize ─▶ rows one after the other ─┬─ a ────────────── ln(−a) ─────────────▶ a_log
//!                                                  ├─ q_proj, k_proj ─ pairs half a head apart ─┐
//!                                                  └─ others ───────────────────────────────────┴▶ tensors of the table
//! ```

use itera_kernels::quant::dequantize;
use itera_shape::{NamedTensor, TensorSpec};

use super::pieces::pieces_of;
use crate::{
    error::Result,
    finite::check_finite,
    gguf::rotary,
    hf::HfModel,
    model_file::{ModelFile, RotaryPairs},
};

impl ModelFile {
    /// The whole model in f32: the numbers that the file's stand for, but for `a_log` of a GGUF file, which holds
    /// −exp(a_log), to a rounding.
    ///
    /// # Errors
    ///
    /// If a number is not finite, or a decay of an SSM layer has no logarithm.
    pub fn expand(&self) -> Result<HfModel> {
        let tensors = self.config().tensors().into_iter().map(|spec| self.tensor(spec)).collect::<Result<_>>()?;
        Ok(HfModel { config: self.config().clone(), special_ids: self.special_ids(), tensors })
    }

    fn tensor(&self, spec: TensorSpec) -> Result<NamedTensor> {
        let mut data = vec![0.0; spec.n_params()];
        for piece in pieces_of(&spec) {
            for (index, first_row) in piece.first_rows().enumerate() {
                let rows = &mut data[first_row * piece.cols..][..piece.rows * piece.cols];
                if piece.is_matrix {
                    let matrix = self.matrix(&piece.name_of(index))?;
                    dequantize(matrix.kind(), matrix.bytes(), rows);
                } else {
                    rows.copy_from_slice(self.vector(&piece.name)?);
                }
            }
        }
        match spec.name.rsplit_once('.') {
            Some((_, "a_log")) => data.iter_mut().for_each(|a| *a = (-f64::from(*a)).ln() as f32),
            Some((_, "q_proj" | "k_proj")) if self.rotary_pairs() == RotaryPairs::Neighbours => {
                data = rotary::halves(&data, self.config().d_attention_head(), self.config().d_model);
            }
            _ => {}
        }
        if !data.iter().all(|number| number.is_finite()) {
            // where the file has it, or, where a decay has no logarithm, by the name that comes nearest
            self.check_finite()?;
            check_finite(&self.path, &self.places_of(&spec)[0].tensor, 0, &data)?;
        }
        Ok(NamedTensor { name: spec.name, shape: spec.shape, data })
    }
}
