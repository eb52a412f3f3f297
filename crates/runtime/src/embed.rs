//! A vector of a text by a model of the family: what the last layer says at its tokens.

use itera_formats::hf::Pooling;
use itera_tokenizer::TokenId;
use itera_vectors::normalize;

use crate::{error::Result, model::Model, workspace::Workspace};

impl Model {
    /// The vector `[d]` of a text, of length 1: the mean of the normalised outputs of the last layer, or the first or last of
    /// them. Memory does not grow with a text where no layer is attention.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn embed(&self, tokens: &[TokenId], pooling: Pooling, work: &mut Workspace) -> Result<Vec<f32>> {
        let mut state = self.new_state();
        self.check(&state, tokens)?;
        let d = self.config().d_model;
        let mut sums = vec![0.0_f64; d];
        self.run(&mut state, tokens, work, |_, start, len, work| {
            let rows = &work.u[..len * d];
            match pooling {
                Pooling::Mean => {
                    for row in rows.chunks_exact(d) {
                        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                    }
                }
                Pooling::First if start > 0 => {}
                Pooling::First => sums.iter_mut().zip(rows).for_each(|(sum, x)| *sum = f64::from(*x)),
                Pooling::Last => sums.iter_mut().zip(&rows[(len - 1) * d..]).for_each(|(sum, x)| *sum = f64::from(*x)),
            }
        });
        let mut vector: Vec<f32> = sums.into_iter().map(|sum| (sum / tokens.len() as f64) as f32).collect();
        normalize(&mut vector);
        Ok(vector)
    }
}
