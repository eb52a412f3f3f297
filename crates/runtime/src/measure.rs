//! What a token must cost, and what it does cost.
//!
//! ```text
//! prompt ─ read ─▶ first token ─ step ─▶ second ─ step ─▶ third …
//!          first_token             per_token[0]      per_token[1]
//! ```

use std::time::{Duration, Instant};

use crate::{
    batch::Batch,
    linear::Weight,
    model::Model,
    network::{Layer, Mlp},
    text::Text,
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
        StepCost {
            weight_bytes: layers.sum::<u64>() + bytes(&network.head) + row,
            state_bytes: self.state_bytes(context_len),
            flops: config.flops_per_token(context_len),
        }
    }

    /// The most of a prompt of `prompt_tokens`, and of `tokens` after it, that a text has room for; a prompt gets half
    /// of it at most.
    pub fn fit(&self, prompt_tokens: usize, tokens: usize) -> (usize, usize) {
        match self.context_len() {
            Some(room) if prompt_tokens.saturating_add(tokens) > room => {
                let prompt_tokens = prompt_tokens.min(room / 2).max(1);
                (prompt_tokens, tokens.min(room.saturating_sub(prompt_tokens)).max(1))
            }
            _ => (prompt_tokens, tokens),
        }
    }
}

impl Timing {
    /// Write `text` to its end in `batch`, by the clock.
    ///
    /// # Panics
    /// If they are of different models.
    pub fn of<'m>(mut text: Text<'m>, batch: &mut Batch<'m>) -> Self {
        let start = Instant::now();
        while text.ids().is_empty() && batch.step([&mut text]) {}
        let mut last = Instant::now();
        let first_token = last - start;
        let mut per_token = vec![];
        while batch.step([&mut text]) {
            let now = Instant::now();
            per_token.push(now - last);
            last = now;
        }
        Self { first_token, per_token }
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

fn bytes(matrix: &Weight<'_>) -> u64 {
    matrix.packed().bytes().len() as u64
}

#[cfg(test)]
mod tests {
    use itera_fixtures::{SPECIAL_IDS, borrowed, weights};
    use itera_shape::ModelConfig;
    use itera_tokenizer::TokenId;

    use super::*;
    use crate::State;

    fn model(config: &ModelConfig) -> Model {
        Model::from_tensors(config, SPECIAL_IDS, &borrowed(&weights(config, 1))).expect("a model")
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
        let saved = |state: &State| state.to_bytes().len() as u64;
        let (fresh, of_fresh) = (saved(&model.new_state()), model.step_cost(0).state_bytes);
        let mut text = Text::of_ids(&model, &[TokenId(0); 9]).expect("a text").with_max_tokens(24);
        assert_eq!(text.by_ref().count(), 24);
        assert_eq!(text.state().position(), 32);
        assert_eq!(model.step_cost(32).state_bytes - of_fresh, saved(text.state()) - fresh);
    }

    #[test]
    fn every_token_of_a_text_is_timed() {
        let model = model(&ModelConfig::default());
        for (prompt, tokens) in [(1, 1), (9, 24), (300, 2)] {
            let text = Text::of_ids(&model, &vec![TokenId(0); prompt]).expect("a text").with_max_tokens(tokens);
            assert_eq!(Timing::of(text, &mut Batch::new(&model)).per_token.len(), tokens - 1);
        }
    }

    #[test]
    fn what_is_measured_fits_the_context() {
        let of_context = |max_seq_len| model(&ModelConfig { max_seq_len, ..ModelConfig::default() });
        for (context, expected) in [(320, (64, 256)), (319, (64, 255)), (256, (64, 192)), (100, (50, 50)), (2, (1, 1))]
        {
            assert_eq!(of_context(context).fit(64, 256), expected);
        }
        let endless = model(&ModelConfig { attention_layers: vec![], max_seq_len: 8, ..ModelConfig::default() });
        assert_eq!(endless.fit(64, 256), (64, 256));
    }
}
