//! ids → embed → layers → norm → head

use std::sync::Arc;

use burn::{
    module::{Module, Param},
    tensor::{Device, Gradients, Int, Tensor},
};
use itera_ops::{
    DistillationScalings, HostValues, Routing, embedding, head_cross_entropy, head_distillation, host_values, linear,
    rms_norm,
};
use itera_shape::{ModelConfig, NamedTensor};

use crate::{
    dropout::Dropout,
    error::ModelError,
    init,
    layer::Layer,
    parameters,
    state::{LayerState, State},
    weights::Weights,
};

/// Embedding, layers, norm and head.
#[derive(Module, Debug)]
pub struct LanguageModel {
    embed: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: Param<Tensor<1>>,
    head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: ModelConfig,
}

/// Outputs of a forward pass.
#[derive(Clone, Debug)]
pub struct LmOutput {
    /// Normalised output of the last layer [b, l, d]; [`LanguageModel::logits`] and [`LanguageModel::nats`] read it.
    pub hidden: Tensor<3>,
    /// Where each layer with experts sent the tokens.
    pub routings: Vec<Routing>,
    /// State after the last position.
    pub state: State,
}

impl LanguageModel {
    /// A model with fresh weights, a function of `seed`.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        let weights = Weights::new(config.tensors(), device, |index, spec| init::values(config, seed, index, spec));
        Self::build(config, weights.expect("the initialiser fills every shape"))
    }

    /// A model with the weights that `values` gives for each name and shape of [`ModelConfig::tensors`], in that order.
    ///
    /// # Errors
    /// [`ModelError::ShapeMismatch`] if a tensor gets more or fewer values than its shape has.
    pub fn from_tensors(
        config: &ModelConfig,
        device: &Device,
        values: &mut dyn FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<Self, ModelError> {
        let weights = Weights::new(config.tensors(), device, |_, spec| values(&spec.name, &spec.shape))?;
        Ok(Self::build(config, weights))
    }

    fn build(config: &ModelConfig, mut weights: Weights<'_>) -> Self {
        let model = Self {
            embed: weights.next("embed"),
            layers: config.layer_kinds().into_iter().map(|kind| Layer::load(config, kind, &mut weights)).collect(),
            norm: weights.next("norm"),
            head: (!config.tie_embeddings).then(|| weights.next("head")),
            config: config.clone(),
        };
        weights.finish();
        model
    }

    /// [`Self::from_tensors`] with one vector of `values` after the other.
    ///
    /// # Errors
    /// As there; vectors that are missing count as empty.
    pub fn from_values(
        config: &ModelConfig,
        device: &Device,
        values: impl IntoIterator<Item = Vec<f32>>,
    ) -> Result<Self, ModelError> {
        let mut values = values.into_iter();
        Self::from_tensors(config, device, &mut |_, _| values.next().unwrap_or_default())
    }

    /// A copy of every weight, in the order of [`ModelConfig::tensors`].
    pub fn parameters(&self) -> Vec<NamedTensor> {
        parameters::named(self, &self.config.tensors())
    }

    /// The gradient of every weight, in the order of [`ModelConfig::tensors`]; zeros where the loss does not reach.
    pub fn gradients(&self, gradients: Gradients) -> Vec<HostValues> {
        parameters::gradients(self, gradients).iter().map(host_values).collect()
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.embed.val().device()
    }

    /// The state before the first position, for `batch` sequences.
    pub fn initial_state(&self, batch: usize) -> State {
        State::initial(&self.config, batch, &self.device())
    }

    /// A whole (piece of a) sequence by the chunked form: `hidden = norm(layers(embed(ids)·embedding_multiplier))`.
    ///
    /// # Shapes
    /// `ids`: [b, l], `state` of b sequences → hidden [b, l, d]
    pub fn forward(&self, ids: Tensor<2, Int>, state: State, mut dropout: Option<&mut Dropout>) -> LmOutput {
        self.run(ids, state, |layer, x, state| layer.forward(x, state, false, dropout.as_deref_mut()))
    }

    /// [`Self::forward`] with less memory and more time until the gradients are there: of each layer only the input is
    /// kept, and the backward pass computes the rest again. Numbers are the same; no gradient goes through `state`.
    ///
    /// # Shapes
    /// As [`Self::forward`].
    pub fn forward_recomputed(&self, ids: Tensor<2, Int>, state: State, mut dropout: Option<&mut Dropout>) -> LmOutput {
        self.run(ids, state, |layer, x, state| layer.forward_recomputed(x, state, dropout.as_deref_mut()))
    }

    /// [`Self::forward`] of one position, by the recurrent form.
    ///
    /// # Shapes
    /// `ids`: `[b]`, `state` of b sequences → hidden [b, 1, d]
    pub fn step(&self, ids: Tensor<1, Int>, state: State) -> LmOutput {
        self.run(ids.unsqueeze_dim(1), state, |layer, x, state| layer.forward(x, state, true, None))
    }

    fn run(
        &self,
        ids: Tensor<2, Int>,
        state: State,
        mut forward: impl FnMut(&Layer, Tensor<3>, LayerState) -> (Tensor<3>, LayerState, Option<Routing>),
    ) -> LmOutput {
        let mut x = embedding(self.embed.val(), ids, self.config.embedding_multiplier);
        let mut routings = Vec::new();
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, state) in self.layers.iter().zip(state.layers) {
            let (y, state, routing) = forward(layer, x, state);
            x = y;
            layers.push(state);
            routings.extend(routing);
        }
        let hidden = rms_norm(x, self.norm.val(), self.config.rms_norm_eps);
        LmOutput { hidden, routings, state: State { layers } }
    }

    /// Unnormalised log-probabilities of the next token: `hidden·headᵀ / logits_scaling`.
    ///
    /// # Shapes
    /// `hidden`: [b, l, d] → [b, l, v]
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        linear(hidden, self.head_weight()).div_scalar(self.config.logits_scaling)
    }

    /// Nats that each target costs: `−log softmax(logits)[target]`.
    ///
    /// # Shapes
    /// `hidden`: [b, l, d], `targets`: [b, l] → `[b·l]`
    pub fn nats(&self, hidden: Tensor<3>, targets: Tensor<2, Int>) -> Tensor<1> {
        let [b, l, d] = hidden.dims();
        head_cross_entropy(
            hidden.reshape([b * l, d]),
            self.head_weight(),
            targets.reshape([b * l]),
            self.config.logits_scaling,
        )
    }

    /// How far this model's distributions are from those of `teacher`: the mean over n positions of
    /// `T²·KL(teacher ‖ this)` in nats (arXiv 1503.02531 §2). The teacher gets no gradient. `pool` is for a teacher of another
    /// vocabulary, see [`head_distillation`].
    ///
    /// # Shapes
    /// `hidden`: [n, d], `teacher_hidden`: [n, its d], `pool`: the teacher's v → `[1]`
    pub fn divergence(
        &self,
        hidden: Tensor<2>,
        teacher: &Self,
        teacher_hidden: Tensor<2>,
        pool: Option<&Arc<[u32]>>,
        temperature: f64,
    ) -> Tensor<1> {
        let (student, teacher_scaling) = (self.config.logits_scaling, teacher.config.logits_scaling);
        let scalings = DistillationScalings { student, teacher: teacher_scaling, temperature };
        head_distillation((hidden, self.head_weight()), (teacher_hidden, teacher.head_weight()), pool, scalings)
    }

    fn head_weight(&self) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embed).val()
    }
}
