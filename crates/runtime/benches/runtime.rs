//! How fast a model runs: tokens a second ("items") in each of its forms.
//!
//! ```text
//! cargo bench -p itera-runtime                         all of it; batches go over every core
//! cargo bench -p itera-runtime -- step                 one text, one thread
//! ```
//!
//! `story260k` has 0.27 M parameters, all of which every token uses; `tiny` is `configs/tiny.toml`: 1.9 M parameters, of
//! which a token uses 1.5 M. Weights are random; numbers of a kind take the same time whatever they are.

use std::fmt;

use divan::{Bencher, black_box, counter::ItemsCount};
use itera_fixtures::{SPECIAL_IDS, borrowed, weights};
use itera_formats::{
    gguf::{GgufSource, Vocabulary, write_gguf},
    pack_model,
};
use itera_kernels::quant::Kind;
use itera_runtime::{Activations, Batch, Model, OpenOptions, Text};
use itera_shape::ModelConfig;
use itera_tokenizer::TokenId;

/// A model and how its weights are stored.
#[derive(Clone, Copy)]
struct Case {
    model: &'static str,
    kind: Kind,
    activations: Activations,
}

const CASES: [Case; 7] = [
    Case { model: "story260k", kind: Kind::F32, activations: Activations::Exact },
    Case { model: "story260k", kind: Kind::Q8_0, activations: Activations::Int8 },
    Case { model: "story260k", kind: Kind::Q8_0, activations: Activations::Exact },
    Case { model: "tiny", kind: Kind::F32, activations: Activations::Exact },
    Case { model: "tiny", kind: Kind::Q8_0, activations: Activations::Int8 },
    Case { model: "tiny", kind: Kind::Q8_0, activations: Activations::Exact },
    Case { model: "tiny", kind: Kind::Q4_0, activations: Activations::Int8 },
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:?}", self.model, self.kind.name(), self.activations)
    }
}

fn config(name: &str) -> ModelConfig {
    let tiny = ModelConfig { vocab_size: 4096, ..ModelConfig::default() };
    if name == "tiny" {
        return tiny;
    }
    let (n_layers, d_model, d_state, d_shared) = (5, 64, 16, 128);
    ModelConfig {
        vocab_size: 512,
        n_layers,
        d_model,
        d_state,
        d_shared,
        n_experts: 0,
        n_attention_heads: 2,
        n_kv_heads: 1,
        ..tiny
    }
}

fn open(case: Case) -> Model {
    let config = config(case.model);
    let tensors = weights(&config, 1);
    let source = GgufSource {
        name: case.model,
        config: &config,
        special_ids: SPECIAL_IDS,
        vocabulary: &Vocabulary::default(),
        tensors: &pack_model(&config, &borrowed(&tensors), case.kind).expect("packed"),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    write_gguf(&path, &source, true).expect("written");
    let options = OpenOptions { activations: Some(case.activations), ..OpenOptions::default() };
    options.open(&path).expect("opened")
}

/// One text, one token at a time, at positions 64 to 192.
#[divan::bench(args = CASES)]
fn step(bencher: Bencher<'_, '_>, case: Case) {
    const TOKENS: u32 = 128;
    let model = open(case);
    let mut work = model.workspace();
    let mut start = model.new_state();
    model.prefill(&mut start, &[TokenId(3); 64], &mut work).expect("a prefill");
    start.reserve(TOKENS as usize);
    let mut state = start.clone();
    bencher.counter(ItemsCount::new(TOKENS)).bench_local(|| {
        state.clone_from(&start);
        for token in (0..TOKENS).map(TokenId) {
            black_box(model.step(&mut state, token, &mut work).expect("a step"));
        }
    });
}

/// One text of 512 tokens at once.
#[divan::bench(args = CASES)]
fn prefill(bencher: Bencher<'_, '_>, case: Case) {
    const TOKENS: u32 = 512;
    let model = open(case);
    let (mut work, mut state) = (model.workspace(), model.new_state());
    let tokens: Vec<TokenId> = (0..TOKENS).map(TokenId).collect();
    bencher.counter(ItemsCount::new(TOKENS)).bench_local(|| {
        state.reset();
        black_box(model.prefill(&mut state, &tokens, &mut work).expect("a prefill"));
    });
}

/// 64 texts side by side, 16 tokens each.
#[divan::bench(args = CASES)]
fn batch(bencher: Bencher<'_, '_>, case: Case) {
    const TEXTS: u32 = 64;
    const TOKENS: u32 = 16;
    let model = open(case);
    let mut batch = Batch::new(&model);
    bencher.counter(ItemsCount::new(TEXTS * TOKENS)).bench_local(|| {
        let text = |id| Text::of_ids(&model, &[TokenId(id)]).expect("a text").with_max_tokens(TOKENS as usize);
        black_box(batch.complete((0..TEXTS).map(text).collect()));
    });
}

fn main() {
    divan::main();
}
