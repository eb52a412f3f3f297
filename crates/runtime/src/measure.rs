//! What a token must cost, and what it does cost.
//!
//! ```text
//! prompt ─ prefill ─▶ first token ─ step ─▶ second ─ step ─▶ third …
//!          first_token                per_token[0]      per_token[1]
//! ```

use std::time::{Duration, Instant};

use itera_kernels::quant::QuantMatrix;

use crate::{
    Model, Result, Sampler, State, Workspace,
    network::{Layer, Mixer, Mlp},
};

/// What a step must read and compute, however it is done: with the machine's bandwidth and arithmetic, its roofline
/// (doi 10.1145/1498765.1498785).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepCost {
    /// Bytes of packed weights that a token uses: of the experts those that are chosen, of the embedding a row.
    pub weight_bytes: u64,
    /// Bytes of the state, which is read, and written but for keys and values.
    pub state_bytes: u64,
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
}

/// How long the parts of one generation took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the prompt to the first token chosen.
    pub first_token: Duration,
    /// From each token to the next.
    pub per_token: Vec<Duration>,
}

impl Model {
    /// What a step costs that continues a text of `context_len` tokens.
    pub fn step_cost(&self, context_len: usize) -> StepCost {
        let config = self.config();
        let network = self.network();
        let layers = network.layers.iter().map(|layer| layer.bytes(config.top_k));
        let row = network.embed.row(0).len() as u64;
        let position_bytes = |layer: &Layer<'_>| match &layer.mixer {
            Mixer::Mamba(_) => 0,
            Mixer::Attention(attention) => 2 * size_of::<f32>() * attention.k_proj.rows() * context_len,
        };
        let keys_values: usize = network.layers.iter().map(position_bytes).sum();
        StepCost {
            weight_bytes: layers.sum::<u64>() + bytes(network.head) + row,
            state_bytes: (self.new_state().size_bytes() + keys_values) as u64,
            flops: config.flops_per_token(context_len),
        }
    }

    /// Continue `prompt` from `state` by `tokens` most likely tokens, by the clock.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn time_generation(
        &self,
        state: &mut State,
        prompt: &[u32],
        tokens: usize,
        work: &mut Workspace,
    ) -> Result<Timing> {
        let mut sampler = Sampler::likeliest(vec![]);
        let start = Instant::now();
        let mut id = sampler.choose(self.prefill(state, prompt, work)?, prompt);
        let first_token = start.elapsed();
        let mut last = Instant::now();
        let mut per_token = Vec::with_capacity(tokens.saturating_sub(1));
        for _ in 1..tokens {
            id = sampler.choose(self.step(state, id, work)?, &[]);
            let now = Instant::now();
            per_token.push(now - last);
            last = now;
        }
        Ok(Timing { first_token, per_token })
    }
}

impl Layer<'_> {
    /// Packed bytes that a token reads.
    fn bytes(&self, top_k: usize) -> u64 {
        // all experts of a layer are stored alike
        let chosen = self.moe.iter().flat_map(|moe| moe.experts.iter().take(top_k));
        let mlps = chosen.chain([&self.shared]).flat_map(Mlp::matrices);
        self.mixer.matrices().into_iter().chain(mlps).map(bytes).sum()
    }
}

fn bytes(matrix: QuantMatrix<'_>) -> u64 {
    matrix.bytes().len() as u64
}

#[cfg(test)]
mod tests {
    use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef};

    use super::*;

    fn model(config: &ModelConfig) -> Model {
        let zeros = |spec: itera_shape::TensorSpec| {
            let data = vec![0.0; spec.n_params()];
            NamedTensor { name: spec.name, shape: spec.shape, data }
        };
        let tensors: Vec<NamedTensor> = config.tensors().into_iter().map(zeros).collect();
        let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
        Model::from_tensors(config, SpecialIds { bos: 0, eos: 0, pad: 1 }, &tensors).expect("a model")
    }

    #[test]
    fn a_step_reads_the_active_parameters_in_matrices() {
        for (n_experts, tie_embeddings) in [(4, true), (0, true), (4, false)] {
            let config = ModelConfig { n_experts, tie_embeddings, ..ModelConfig::default() };
            let cost = model(&config).step_cost(10);
            // all but norms, convolution, SSM vectors and routers, which are a few hundredths; untied, the embedding
            let embedding = if tie_embeddings { 0 } else { config.vocab_size * config.d_model };
            let active = 4.0 * (config.active_params() - embedding) as f64;
            let share = cost.weight_bytes as f64 / active;
            assert!((0.97..1.0).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_state_grows_by_keys_and_values() {
        let config = ModelConfig::default();
        let model = model(&config);
        let mut state = model.new_state();
        assert_eq!(model.step_cost(0).state_bytes, state.size_bytes() as u64);
        let timing = model.time_generation(&mut state, &[0; 9], 24, &mut model.workspace()).expect("a text");
        assert_eq!(timing.per_token.len(), 23);
        assert_eq!(state.position(), 32);
        assert_eq!(model.step_cost(32).state_bytes, state.size_bytes() as u64);
    }
}
