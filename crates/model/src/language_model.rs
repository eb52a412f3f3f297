//! ids → embed → layers → norm → head

use std::sync::Arc;

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor},
};
use itera_ops::{DistillationShape, Routing, embedding, head_cross_entropy, head_distillation, linear, rms_norm};
use itera_shape::ModelConfig;

use crate::{
    block::Block,
    dropout::Dropout,
    error::ModelError,
    init,
    parameters::Source,
    state::{LayerState, State},
};

/// The whole model.
#[derive(Module, Debug)]
pub struct LanguageModel {
    embed: Param<Tensor<2>>,
    layers: Vec<Block>,
    norm: Param<Tensor<1>>,
    head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: ModelConfig,
}

/// What a forward pass gives.
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
        Self::from_tensors(config, device, &mut |name, shape| init::tensor(config, seed, name, shape))
            .expect("the initialiser fills every shape")
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
        let mut source = Source::new(config, device, values)?;
        let model = Self {
            embed: source.next(),
            layers: config.layer_kinds().into_iter().map(|kind| Block::load(config, kind, &mut source)).collect(),
            norm: source.next(),
            head: (!config.tie_embeddings).then(|| source.next()),
            config: config.clone(),
        };
        Ok(model)
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

    /// Something to leave in the place of a model while its weights are elsewhere.
    pub(crate) fn hollow(config: &ModelConfig, device: &Device) -> Self {
        Self {
            embed: Param::from_tensor(Tensor::zeros([1, 1], device)),
            layers: vec![],
            norm: Param::from_tensor(Tensor::zeros([1], device)),
            head: None,
            config: config.clone(),
        }
    }

    /// The shape of the model.
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

    /// A whole (piece of a) sequence by the chunked form.
    ///
    /// # Shapes
    /// `ids`: [b, l], `state` of b sequences → hidden [b, l, d]
    pub fn forward(&self, ids: Tensor<2, Int>, state: State, mut dropout: Option<&mut Dropout>) -> LmOutput {
        self.run(ids, state, |block, x, state| block.forward(x, state, false, dropout.as_deref_mut()))
    }

    /// [`Self::forward`] with less memory and more time until the gradients are there: of each layer only the input is
    /// kept, and the backward pass computes the rest again. Same numbers; no gradient goes through `state`.
    pub fn forward_recomputed(&self, ids: Tensor<2, Int>, state: State, mut dropout: Option<&mut Dropout>) -> LmOutput {
        self.run(ids, state, |block, x, state| block.forward_recomputed(x, state, dropout.as_deref_mut()))
    }

    /// One position by the recurrent form.
    ///
    /// # Shapes
    /// `ids`: `[b]`, `state` of b sequences → hidden [b, 1, d]
    pub fn step(&self, ids: Tensor<1, Int>, state: State) -> LmOutput {
        self.run(ids.unsqueeze_dim(1), state, |block, x, state| block.forward(x, state, true, None))
    }

    fn run(
        &self,
        ids: Tensor<2, Int>,
        state: State,
        mut forward: impl FnMut(&Block, Tensor<3>, LayerState) -> (Tensor<3>, LayerState, Option<Routing>),
    ) -> LmOutput {
        let mut x = embedding(self.embed.val(), ids, self.config.embedding_multiplier);
        let mut routings = Vec::new();
        let mut layers = Vec::with_capacity(self.layers.len());
        for (block, state) in self.layers.iter().zip(state.layers) {
            let (y, state, routing) = forward(block, x, state);
            x = y;
            layers.push(state);
            routings.extend(routing);
        }
        let hidden = rms_norm(x, self.norm.val(), self.config.rms_norm_eps);
        LmOutput { hidden, routings, state: State { layers } }
    }

    /// Unnormalised log-probabilities of the next token: [b, l, d] → [b, l, v].
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        linear(hidden, self.head_weight()).div_scalar(self.config.logits_scaling)
    }

    /// Nats that each target costs: hidden [b, l, d], targets [b, l] → [b·l].
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
        let shape = DistillationShape {
            student_scaling: self.config.logits_scaling,
            teacher_scaling: teacher.config.logits_scaling,
            temperature,
        };
        head_distillation((hidden, self.head_weight()), (teacher_hidden, teacher.head_weight()), pool, shape)
    }

    fn head_weight(&self) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embed).val()
    }
}
