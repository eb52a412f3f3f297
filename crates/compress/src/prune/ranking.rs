//! units, a shape to reach → the weights that go
//!
//! ```text
//! calibration text ─┬▶ Σ g² of each weight ─▶ saliency g²·w² ─▶ of each unit the sum over its matrices ─┐
//!                   └▶ loss with the weights of the unit at 0 ───────────────────────────────────────────┤
//!                                                            in each layer those of least importance go ◀┘
//! ```
//!
//! Saliency is that of Optimal Brain Damage (LeCun et al. 1990), ½·h·w² for a weight w, with the diagonal of the empirical
//! Fisher information for the curvature h, as for structured units in arXiv 1906.10771.

use itera_shape::{LayerKind, ModelConfig, TensorRole, TensorSpec};
use itera_trainer::StopFlag;

use super::units::{self, Unit};
use crate::{CompressError, Result, inspect::Calibration, subject::Subject};

/// What says which units matter most.
pub(crate) enum Ranking<'a> {
    /// Saliencies, from Σ g² of each weight.
    Saliency(Vec<Vec<f32>>),
    /// The loss without each.
    Loss {
        /// What it is measured on.
        calibration: Calibration<'a>,
        /// Asks to stop.
        stop: &'a StopFlag,
        /// Is told how many units of how many are measured.
        on_done: &'a mut dyn FnMut(usize, usize),
    },
}

/// Why units were not ranked.
pub(crate) enum Halt {
    /// A signal asked to stop.
    Signal(usize),
    /// Something is wrong.
    Failed(CompressError),
}

impl<E: Into<CompressError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Tells which weights of `subject` go, so that it has the shape `left`.
pub(super) struct Ranker<'a, 'r> {
    subject: &'a Subject,
    left: &'a ModelConfig,
    /// Layers that stay.
    layers: &'a [usize],
    ranking: Ranking<'r>,
    specs: Vec<TensorSpec>,
    /// Of each tensor the weights that go.
    gone: Vec<Vec<bool>>,
    /// Units that are ranked so far.
    done: usize,
}

impl<'a, 'r> Ranker<'a, 'r> {
    pub(super) fn new(subject: &'a Subject, left: &'a ModelConfig, ranking: Ranking<'r>, layers: &'a [usize]) -> Self {
        let gone = subject.parameters.iter().map(|parameter| vec![false; parameter.data.len()]).collect();
        Self { subject, left, layers, ranking, specs: subject.model().tensors(), gone, done: 0 }
    }

    /// Of each tensor the weights that go.
    ///
    /// # Errors
    /// If a signal asks to stop, or a loss cannot be measured.
    pub(super) fn gone(mut self) -> Result<Vec<Vec<bool>>, Halt> {
        let (model, left) = (self.subject.model(), self.left);
        for layer in self.layers.iter().copied() {
            for expert in self.thin(layer, units::experts(model), left.n_experts)? {
                self.thin(layer, units::expert_channels(model, expert), left.d_expert)?;
            }
            self.thin(layer, units::shared_channels(model), left.d_shared)?;
            match model.layer_kinds()[layer] {
                LayerKind::Mamba => {
                    // heads of a group share B and C, so every group keeps as many
                    for heads in units::ssm_heads(model) {
                        self.thin(layer, heads, left.n_heads() / left.n_groups)?;
                    }
                    self.thin(layer, units::state(model), left.d_state)?;
                }
                LayerKind::Attention => {
                    self.thin(layer, units::attention_heads(model), left.n_kv_heads)?;
                }
            }
        }
        Ok(self.gone)
    }

    /// Units that are ranked in all: those of a sort that loses any.
    fn n_ranked(&self) -> usize {
        let (model, left) = (self.subject.model(), self.left);
        let ranked = |of: usize, keep: usize| if keep < of { of } else { 0 };
        let of_experts =
            ranked(model.n_experts, left.n_experts) + left.n_experts * ranked(model.d_expert, left.d_expert);
        let of_layer = |layer: &usize| match model.layer_kinds()[*layer] {
            LayerKind::Mamba => ranked(model.n_heads(), left.n_heads()) + ranked(model.d_state, left.d_state),
            LayerKind::Attention => ranked(model.n_kv_heads, left.n_kv_heads),
        };
        let of_mlps = ranked(model.d_shared, left.d_shared) + of_experts;
        self.layers.iter().map(|layer| of_mlps + of_layer(layer)).sum()
    }

    /// Let all `units` of a layer go but the `keep` that matter most, of equal ones the first. Which those are, in order.
    fn thin(&mut self, layer: usize, units: Vec<Unit>, keep: usize) -> Result<Vec<usize>, Halt> {
        if keep == units.len() {
            return Ok((0..keep).collect());
        }
        let mut ranked = vec![];
        for (index, unit) in units.iter().enumerate() {
            ranked.push((index, self.importance(layer, unit)?));
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let (kept, rest) = ranked.split_at(keep);
        for (index, _) in rest {
            for (tensor, places) in self.weights(layer, &units[*index]) {
                places.for_each(|at| self.gone[tensor][at] = true);
            }
        }
        let mut kept: Vec<usize> = kept.iter().map(|(index, _)| *index).collect();
        kept.sort();
        Ok(kept)
    }

    /// The tensors that a unit is part of, and which of their weights it has.
    fn weights<'u>(&self, layer: usize, unit: &'u Unit) -> Vec<(usize, impl Iterator<Item = usize> + use<'u>)> {
        let block = |block: &'u units::Block| {
            let tensor = self.subject.index_of(&format!("layers.{layer}.{}", block.tensor));
            (tensor, block.indices(&self.specs[tensor].shape))
        };
        unit.iter().map(block).collect()
    }

    fn importance(&mut self, layer: usize, unit: &Unit) -> Result<f64, Halt> {
        let weights = self.weights(layer, unit);
        let of = self.n_ranked();
        let (parameters, specs) = (&self.subject.parameters, &self.specs);
        match &mut self.ranking {
            Ranking::Saliency(fisher) => {
                let of_weight = |tensor: usize, at: usize| {
                    f64::from(fisher[tensor][at]) * f64::from(parameters[tensor].data[at]).powi(2)
                };
                // what is no matrix goes with the rest, but is no reason to stay
                let matrices = weights.into_iter().filter(|(tensor, _)| specs[*tensor].role.is_matrix());
                Ok(matrices.flat_map(|(tensor, places)| places.map(move |at| of_weight(tensor, at))).sum())
            }
            Ranking::Loss { calibration, stop, on_done } => {
                if let Some(signal) = stop.signal() {
                    return Err(Halt::Signal(signal));
                }
                let mut values = self.subject.values();
                // an expert of router logit 0 is chosen still, in the place of others
                for (tensor, places) in
                    weights.into_iter().filter(|(tensor, _)| specs[*tensor].role != TensorRole::Router)
                {
                    places.for_each(|at| values[tensor][at] = 0.0);
                }
                let loss = calibration.bits_per_byte(values)?;
                self.done += 1;
                on_done(self.done, of);
                Ok(loss)
            }
        }
    }
}
