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
use itera_formats::{
    gguf::{GgufSource, Vocabulary, write_gguf},
    pack_model,
};
use itera_kernels::quant::Kind;
use itera_runtime::{Model, Precision, State};
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef};
use itera_testkit::uniform;

/// A model and how its weights are stored.
#[derive(Clone, Copy)]
struct Case {
    model: &'static str,
    kind: Kind,
    precision: Precision,
}

const CASES: [Case; 7] = [
    Case { model: "story260k", kind: Kind::F32, precision: Precision::Exact },
    Case { model: "story260k", kind: Kind::Q8_0, precision: Precision::Int8 },
    Case { model: "story260k", kind: Kind::Q8_0, precision: Precision::Exact },
    Case { model: "tiny", kind: Kind::F32, precision: Precision::Exact },
    Case { model: "tiny", kind: Kind::Q8_0, precision: Precision::Int8 },
    Case { model: "tiny", kind: Kind::Q8_0, precision: Precision::Exact },
    Case { model: "tiny", kind: Kind::Q4_0, precision: Precision::Int8 },
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:?}", self.model, self.kind.name(), self.precision)
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
    let tensor = |(seed, spec): (u64, itera_shape::TensorSpec)| {
        let data = uniform(spec.shape.iter().product(), -0.2, 0.2, seed);
        NamedTensor { name: spec.name, shape: spec.shape, data }
    };
    let tensors: Vec<NamedTensor> = (0..).zip(config.tensors()).map(tensor).collect();
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let special_ids = SpecialIds { bos: 0, eos: 0, pad: 1 };
    let source = GgufSource {
        name: case.model,
        config: &config,
        special_ids,
        vocabulary: &Vocabulary::default(),
        tensors: &pack_model(&config, &tensors, case.kind).expect("packed"),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    write_gguf(&path, &source, true).expect("written");
    Model::open(&path).expect("opened").with_precision(case.precision)
}

/// One text, one token at a time, at positions 64 to 192.
#[divan::bench(args = CASES)]
fn step(bencher: Bencher<'_, '_>, case: Case) {
    const TOKENS: u32 = 128;
    let model = open(case);
    let mut work = model.workspace();
    let mut start = model.new_state();
    model.prefill(&mut start, &[3; 64], &mut work).expect("a prefill");
    start.reserve(TOKENS as usize);
    let mut state = start.clone();
    bencher.counter(ItemsCount::new(TOKENS)).bench_local(|| {
        state.clone_from(&start);
        for token in 0..TOKENS {
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
    let tokens: Vec<u32> = (0..TOKENS).collect();
    bencher.counter(ItemsCount::new(TOKENS)).bench_local(|| {
        state.reset();
        black_box(model.prefill(&mut state, &tokens, &mut work).expect("a prefill"));
    });
}

/// 64 texts side by side, 16 tokens each.
#[divan::bench(args = CASES)]
fn step_all(bencher: Bencher<'_, '_>, case: Case) {
    const TEXTS: usize = 64;
    const TOKENS: usize = 16;
    let model = open(case);
    let mut work = model.batch_workspace(TEXTS);
    let mut states: Vec<State> = (0..TEXTS).map(|_| model.new_state()).collect();
    let tokens: Vec<u32> = (0..TEXTS as u32).collect();
    bencher.counter(ItemsCount::new(TEXTS * TOKENS)).bench_local(|| {
        let mut states: Vec<&mut State> = states.iter_mut().collect();
        states.iter_mut().for_each(|state| state.reset());
        for _ in 0..TOKENS {
            model.step_all(&mut states, &tokens, &mut work).expect("steps");
        }
        black_box(work.logits(0));
    });
}

fn main() {
    divan::main();
}
