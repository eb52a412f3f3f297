//! bytes of a file → the shape and the vocabulary of a student that fill them
//!
//! ```text
//! d_model, n_layers, d_shared → bytes with few and with all entries → entries for the rest → nearest to PROPORTIONS
//! ```
//!
//! No weight is needed: kinds give tensors their bytes, and a smaller vocabulary is the beginning of a larger one. Of the
//! shapes that fit, the one nearest to [`PROPORTIONS`] is taken; docs/frontier.md has the runs that these come from.

use std::collections::{HashMap, hash_map::Entry};

use itera_config::Config;
use itera_shape::ModelConfig;
use itera_tokenizer::Tokenizer;

/// What small models that learned well have in common, as far as few runs tell.
struct Proportions {
    /// Bytes of the vocabulary and its embedding, of all bytes.
    vocabulary: f64,
    /// d_model over layers.
    width: f64,
    /// d_shared over d_model.
    shared: f64,
}

const PROPORTIONS: Proportions = Proportions { vocabulary: 0.4, width: 21.0, shared: 0.75 };

/// Widths are multiples of this, which blocks of weights and heads divide.
const STEP: usize = 32;
const MAX_WIDTH: usize = 1024;
const MAX_LAYERS: usize = 32;
/// How far a shape may be from a proportion, as a factor.
const FARTHEST: f64 = 4.0;

/// A file to fill.
pub(crate) struct Filling<'a> {
    /// Most bytes of the file.
    pub budget: u64,
    /// What the student is, apart from the keys that are chosen.
    pub config: &'a Config,
    /// The keys of `[model]` that the recipe names.
    pub named: &'a toml::Table,
    /// The largest vocabulary: those that are tried are its beginnings.
    pub tokenizer: &'a Tokenizer,
    /// Bytes of the file of a model with a tokenizer; `None` if it cannot be written.
    pub size: &'a dyn Fn(&ModelConfig, &Tokenizer) -> Option<u64>,
}

/// A search, with the tokenizers that it has cut.
struct Search<'a> {
    filling: &'a Filling<'a>,
    tokenizers: HashMap<usize, Tokenizer>,
    /// Fewest and most entries.
    entries: (usize, usize),
}

impl Filling<'_> {
    /// The shape that fills the budget best.
    ///
    /// # Errors
    /// With the fewest bytes that a shape takes, if none fits.
    pub(crate) fn best(&self) -> Result<ModelConfig, u64> {
        let (own, all) = (&self.config.model, self.tokenizer.vocab_size());
        let entries = match self.named.contains_key("vocab_size") {
            true => (own.vocab_size, own.vocab_size),
            false => (all - self.tokenizer.merges().count(), all),
        };
        let mut search = Search { filling: self, tokenizers: HashMap::new(), entries };
        let (mut nearest, mut least): (Option<(f64, ModelConfig)>, u64) = (None, u64::MAX);
        for d_model in self.choices("d_model", own.d_model, (STEP..=MAX_WIDTH).step_by(STEP)) {
            for n_layers in self.choices("n_layers", own.n_layers, 1..=MAX_LAYERS) {
                let is_far = !(1.0 / FARTHEST..=FARTHEST).contains(&width(d_model, n_layers));
                if is_far && !(self.named.contains_key("d_model") || self.named.contains_key("n_layers")) {
                    continue;
                }
                for d_shared in self.choices("d_shared", own.d_shared, (STEP..=2 * d_model).step_by(STEP)) {
                    let model = self.model(d_model, n_layers, d_shared);
                    let Some(smallest) = search.bytes(&model, entries.0) else { continue };
                    least = least.min(smallest);
                    if smallest > self.budget {
                        // a larger one takes more
                        break;
                    }
                    let Some(distance) = search.distance(&model, smallest) else { continue };
                    if nearest.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                        nearest = Some((distance, model));
                    }
                }
            }
        }
        let (_, model) = nearest.ok_or(least)?;
        Ok(search.filled(model))
    }

    /// The value of a key that the recipe names, or all that it may have.
    fn choices(&self, key: &str, own: usize, all: impl Iterator<Item = usize>) -> Vec<usize> {
        if self.named.contains_key(key) { vec![own] } else { all.collect() }
    }

    /// A shape, with one attention layer in its middle if it has two layers or more.
    fn model(&self, d_model: usize, n_layers: usize, d_shared: usize) -> ModelConfig {
        let mut model = ModelConfig { d_model, n_layers, d_shared, ..self.config.model.clone() };
        if !self.named.contains_key("attention_layers") {
            model.attention_layers = if n_layers > 1 { vec![n_layers / 2] } else { vec![] };
        }
        model
    }
}

impl Search<'_> {
    /// Bytes of the file with so many entries; `None` if there is no such model.
    fn bytes(&mut self, model: &ModelConfig, entries: usize) -> Option<u64> {
        let model = ModelConfig { vocab_size: entries, ..model.clone() };
        model.validate().ok()?;
        let tokenizer = match self.tokenizers.entry(entries) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.filling.tokenizer.first_entries(entries)?),
        };
        (self.filling.size)(&model, tokenizer)
    }

    /// How far a shape is from the proportions, and from filling the budget, with as many entries as there are and as fit:
    /// the sum of squared logarithms.
    fn distance(&mut self, model: &ModelConfig, smallest: u64) -> Option<f64> {
        let ((fewest, most), budget) = (self.entries, self.filling.budget as f64);
        let (mut vocabulary, mut used) = (1.0, smallest as f64 / budget);
        if fewest < most {
            let of_entry = (self.bytes(model, most)? - smallest) as f64 / (most - fewest) as f64;
            let entries = (fewest as f64 + (budget - smallest as f64) / of_entry).min(most as f64);
            vocabulary = entries * of_entry / budget / PROPORTIONS.vocabulary;
            used += (entries - fewest as f64) * of_entry / budget;
        }
        let shared = model.d_shared as f64 / model.d_model as f64 / PROPORTIONS.shared;
        // bytes that nobody uses weigh most
        let ratios = [vocabulary, shared, width(model.d_model, model.n_layers), used.powi(4)];
        Some(ratios.map(|ratio| ratio.ln().powi(2)).iter().sum())
    }

    /// The shape with as many entries as fit.
    fn filled(&mut self, model: ModelConfig) -> ModelConfig {
        let (mut fits, mut more) = (self.entries.0, self.entries.1 + 1);
        while more - fits > 1 {
            let middle = fits + (more - fits) / 2;
            let is_within = self.bytes(&model, middle).is_some_and(|bytes| bytes <= self.filling.budget);
            *(if is_within { &mut fits } else { &mut more }) = middle;
        }
        ModelConfig { vocab_size: fits, ..model }
    }
}

/// Width of a layer over the proportion.
fn width(d_model: usize, n_layers: usize) -> f64 {
    d_model as f64 / n_layers as f64 / PROPORTIONS.width
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    /// A file whose embedding has half a byte a number, its entries 12 bytes of spelling, everything else half a byte.
    fn size(model: &ModelConfig, tokenizer: &Tokenizer) -> Option<u64> {
        assert_eq!(model.vocab_size, tokenizer.vocab_size());
        Some(1_000 + model.total_params() as u64 / 2 + 12 * tokenizer.vocab_size() as u64)
    }

    fn tokenizer() -> Tokenizer {
        let text: String = (0..40_000_u64).map(|word| format!("w{} ", word * word % 9_973)).collect();
        Tokenizer::train_bpe([text.as_str()].into_iter(), 3_000).unwrap()
    }

    fn best(budget: u64, named: &str) -> Result<ModelConfig, u64> {
        let tokenizer = tokenizer();
        let fixed = ["model.n_experts=0", "model.top_k=1", "model.expand=1", "model.d_state=16"].map(String::from);
        let named: toml::Table = named.parse().unwrap();
        let overrides: Vec<String> =
            fixed.into_iter().chain(named.iter().map(|(key, value)| format!("model.{key}={value}"))).collect();
        let config = Config::from_toml("", "test", &overrides).unwrap();
        Filling { budget, config: &config, named: &named, tokenizer: &tokenizer, size: &size }.best()
    }

    #[test]
    fn a_file_is_filled_to_within_an_entry() {
        for budget in [60_000, 75_577, 151_155] {
            let model = best(budget, "").unwrap();
            model.validate().unwrap();
            let bytes = |entries: usize| {
                let model = ModelConfig { vocab_size: entries, ..model.clone() };
                1_000 + model.total_params() as u64 / 2 + 12 * entries as u64
            };
            assert!(bytes(model.vocab_size) <= budget, "{budget}: {model:?}");
            assert!(
                bytes(model.vocab_size + 1) > budget || model.vocab_size == tokenizer().vocab_size(),
                "{budget}: {model:?}"
            );
            assert_eq!(model.attention_layers, [model.n_layers / 2]);
        }
    }

    #[test]
    fn more_bytes_are_more_width_and_depth() {
        let (small, large) = (best(60_000, "").unwrap(), best(600_000, "").unwrap());
        assert!(small.d_model < large.d_model && small.n_layers < large.n_layers, "{small:?} {large:?}");
    }

    #[test]
    fn keys_that_are_named_stay() {
        let model = best(151_155, "d_model = 96\nn_layers = 3\nattention_layers = []").unwrap();
        assert_eq!((model.d_model, model.n_layers, model.attention_layers), (96, 3, vec![]));
        let model = best(151_155, "vocab_size = 700").unwrap();
        assert_eq!(model.vocab_size, 700);
        let bytes = 1_000 + model.total_params() / 2 + 12 * 700;
        assert!((100_000..=151_155).contains(&bytes), "{bytes}: {model:?}");
    }

    #[test]
    fn a_budget_that_nothing_fits_says_what_is_least() {
        let least = best(5_000, "").unwrap_err();
        assert!(least > 5_000 && best(least, "").is_ok(), "{least}");
        assert!(best(least - 1, "").is_err());
    }
}
