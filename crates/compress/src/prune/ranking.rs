//! units, a shape to reach → the weights that are removed
//!
//! ```text
//! calibration text ─┬▶ Σ g² of each weight ─▶ saliency g²·w² ─▶ sum over the matrices of each unit ─┐
//!                   └▶ loss with the weights of the unit at 0 ───────────────────────────────────────┤
//!                                               in each group the units of least importance are cut ◀┘
//! ```
//!
//! Saliency is that of Optimal Brain Damage (LeCun et al. 1990), ½·h·w² for a weight w, with the diagonal of the empirical
//! Fisher information for the curvature h, as for structured units in arXiv 1906.10771.

use std::collections::HashMap;

use itera_shape::{LayerKind, ModelConfig, TensorRole, TensorSpec};

use super::units::{self, Block, Unit};
use crate::{candidate::Candidate, inspect::Calibration, session::Abort};

/// What says which units matter most.
pub(crate) enum Ranking<'a> {
    /// Saliencies, from Σ g² of each weight.
    Saliency(Vec<Vec<f32>>),
    /// The loss without each.
    Loss {
        /// What it is measured on.
        calibration: Calibration<'a>,
        /// Is told how many units of how many are measured.
        on_done: &'a mut dyn FnMut(usize, usize),
    },
}

/// Units of a layer that are ranked against each other.
struct Group {
    layer: usize,
    units: Vec<Unit>,
    /// How many are left.
    keep: usize,
}

impl Group {
    /// Units whose importance is asked for: none where all are left.
    fn n_ranked(&self) -> usize {
        if self.keep < self.units.len() { self.units.len() } else { 0 }
    }
}

/// Tells which weights of a model are removed, so that it has the shape `left`.
pub(super) struct Ranker<'a, 'r> {
    candidate: &'a Candidate,
    left: &'a ModelConfig,
    /// Layers that are left.
    layers: &'a [usize],
    ranking: Ranking<'r>,
    specs: Vec<TensorSpec>,
    /// Where in the tensor table the tensors of each layer are, by their name within it.
    indices: Vec<HashMap<String, usize>>,
    /// Of each tensor the weights that are removed.
    masks: Vec<Vec<bool>>,
    /// Units whose loss was measured.
    done: usize,
    /// Units whose loss will be.
    total: usize,
}

impl<'a, 'r> Ranker<'a, 'r> {
    pub(super) fn new(
        candidate: &'a Candidate,
        left: &'a ModelConfig,
        ranking: Ranking<'r>,
        layers: &'a [usize],
    ) -> Self {
        let masks = candidate.parameters.iter().map(|parameter| vec![false; parameter.data.len()]).collect();
        let specs = candidate.model().tensors();
        let mut indices = vec![HashMap::new(); candidate.model().n_layers];
        for (index, spec) in specs.iter().enumerate() {
            if let Some((layer, part)) = spec.name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
                indices[layer.parse::<usize>().expect("layers are numbered")].insert(part.to_owned(), index);
            }
        }
        Self { candidate, left, layers, ranking, specs, indices, masks, done: 0, total: 0 }
    }

    /// Of each tensor the weights that are removed.
    ///
    /// # Errors
    /// If a signal asks to stop, or a loss cannot be measured.
    pub(super) fn masks(mut self) -> Result<Vec<Vec<bool>>, Abort> {
        let layers = self.layers;
        // experts have as many channels, whichever of them are left
        let any: Vec<usize> = (0..self.left.n_experts).collect();
        let of_layer = |layer: &usize| self.others(*layer, &any).into_iter().chain([self.experts(*layer)]);
        self.total = layers.iter().flat_map(of_layer).map(|group| group.n_ranked()).sum();
        for layer in layers.iter().copied() {
            let experts = self.cut(self.experts(layer))?;
            for group in self.others(layer, &experts) {
                self.cut(group)?;
            }
        }
        Ok(self.masks)
    }

    fn experts(&self, layer: usize) -> Group {
        Group { layer, units: units::experts(self.candidate.model()), keep: self.left.n_experts }
    }

    /// All groups of a layer but its experts, of which `experts` are left.
    fn others(&self, layer: usize, experts: &[usize]) -> Vec<Group> {
        let (model, left) = (self.candidate.model(), self.left);
        let group = |units, keep| Group { layer, units, keep };
        let mut groups: Vec<Group> =
            experts.iter().map(|expert| group(units::expert_channels(model, *expert), left.d_expert)).collect();
        groups.push(group(units::shared_channels(model), left.d_shared));
        match model.layer_kinds()[layer] {
            LayerKind::Mamba => {
                // heads of a group share B and C, so every group keeps as many
                let heads = left.n_heads() / left.n_groups;
                groups.extend(units::ssm_heads(model).into_iter().map(|units| group(units, heads)));
                groups.push(group(units::state(model), left.d_state));
            }
            LayerKind::Attention => groups.push(group(units::attention_heads(model), left.n_kv_heads)),
        }
        groups
    }

    /// Remove all units of a group but those that matter most, of equals the first. Which those are, in order.
    fn cut(&mut self, group: Group) -> Result<Vec<usize>, Abort> {
        if group.n_ranked() == 0 {
            return Ok((0..group.keep).collect());
        }
        let mut ranked = vec![];
        for (index, unit) in group.units.iter().enumerate() {
            ranked.push((index, self.importance(group.layer, unit)?));
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (index, _) in ranked.split_off(group.keep) {
            for (tensor, places) in self.weights(group.layer, &group.units[index]) {
                places.for_each(|at| self.masks[tensor][at] = true);
            }
        }
        let mut left: Vec<usize> = ranked.into_iter().map(|(index, _)| index).collect();
        left.sort();
        Ok(left)
    }

    /// The tensors that a unit is part of, and which of their weights it has.
    fn weights<'u>(&self, layer: usize, unit: &'u Unit) -> Vec<(usize, impl Iterator<Item = usize> + use<'u>)> {
        let weights = |block: &'u Block| {
            let tensor = self.indices[layer][block.tensor];
            (tensor, block.indices(&self.specs[tensor].shape))
        };
        unit.iter().map(weights).collect()
    }

    fn importance(&mut self, layer: usize, unit: &Unit) -> Result<f64, Abort> {
        let weights = self.weights(layer, unit);
        let (parameters, specs) = (&self.candidate.parameters, &self.specs);
        match &mut self.ranking {
            Ranking::Saliency(fisher) => {
                let of_weight = |tensor: usize, at: usize| {
                    f64::from(fisher[tensor][at]) * f64::from(parameters[tensor].data[at]).powi(2)
                };
                // what is no matrix is removed with the rest, but is no reason to stay
                let matrices = weights.into_iter().filter(|(tensor, _)| specs[*tensor].role.is_matrix());
                Ok(matrices.flat_map(|(tensor, places)| places.map(move |at| of_weight(tensor, at))).sum())
            }
            Ranking::Loss { calibration, on_done } => {
                let mut values = self.candidate.values();
                // an expert of router logit 0 would still be chosen, in the place of others
                let zeroed = weights.into_iter().filter(|(tensor, _)| specs[*tensor].role != TensorRole::Router);
                for (tensor, places) in zeroed {
                    places.for_each(|at| values[tensor][at] = 0.0);
                }
                let loss = calibration.bits_per_byte(values)?;
                self.done += 1;
                on_done(self.done, self.total);
                Ok(loss)
            }
        }
    }
}
