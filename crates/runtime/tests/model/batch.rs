//! Whatever else is in a batch, and whenever it came, a text has the bits that it has alone.

use std::sync::{Arc, Mutex};

use itera_kernels::quant::Kind;
use itera_runtime::{
    Batch, Model, OpenOptions, Sampler, State, Text,
    sampling::{LogitsProcessor, Temperature},
};
use itera_shape::ModelConfig;
use itera_tokenizer::TokenId;

use crate::support::{configs, named, packed_model, random_model, tokens};

/// Keeps the logits of every choice.
#[derive(Clone, Debug, Default)]
struct Record(Arc<Mutex<Vec<f32>>>);

impl LogitsProcessor for Record {
    fn process(&mut self, logits: &mut [f32], _: &[TokenId]) {
        self.0.lock().expect("no other has panicked").extend_from_slice(logits);
    }
}

/// A text to write: its prompt, how many tokens, and the index of its random stream.
struct Task {
    prompt: Vec<TokenId>,
    tokens: usize,
    index: u64,
}

/// What came of one: tokens, all logits, and the state.
#[derive(Debug, PartialEq)]
struct Outcome {
    ids: Vec<TokenId>,
    logits: Vec<f32>,
    state: State,
}

impl Task {
    fn sampler(&self, record: &Record) -> Sampler {
        Sampler::drawing(vec![Box::new(record.clone()), Box::new(Temperature(1.5))], 7, self.index)
    }

    /// By the functions of a model alone.
    fn alone(&self, model: &Model) -> Outcome {
        let (mut state, mut work, record) = (model.new_state(), model.workspace(), Record::default());
        let mut sampler = self.sampler(&record);
        let logits = model.prefill(&mut state, &self.prompt, &mut work).expect("a prefill");
        let mut ids = vec![sampler.choose(logits, &self.prompt)];
        while ids.len() < self.tokens {
            let logits = model.step(&mut state, ids[ids.len() - 1], &mut work).expect("a step");
            ids.push(sampler.choose(logits, &self.prompt));
        }
        let logits = record.0.lock().expect("no other has panicked").clone();
        Outcome { ids, logits, state }
    }

    fn begin<'m>(&self, model: &'m Model) -> (Text<'m>, Record) {
        let record = Record::default();
        let text = Text::of_ids(model, &self.prompt).expect("a text");
        (text.with_sampler(self.sampler(&record)).with_max_tokens(self.tokens), record)
    }
}

fn outcome((text, record): (Text<'_>, Record)) -> Outcome {
    let logits = record.0.lock().expect("no other has panicked").clone();
    Outcome { ids: text.ids().to_vec(), logits, state: text.into_state() }
}

/// Prompts around the lengths at which reading changes its form.
fn tasks(config: &ModelConfig) -> Vec<Task> {
    let lengths = [1, 7, 8, 9, 3, 40, 127, 1, 128, 136, 20, 137, 300, 2];
    let task = |(index, len): (u64, &usize)| Task {
        prompt: tokens(config, *len, 100 + index),
        tokens: 1 + 3 * (index as usize % 4),
        index,
    };
    (0..).zip(&lengths).map(task).collect()
}

/// All of `tasks`, of which `at_once` are begun, and one more with every step.
fn together(model: &Model, tasks: &[Task], at_once: usize) -> Vec<Outcome> {
    let mut texts: Vec<(Text<'_>, Record)> = tasks[..at_once].iter().map(|task| task.begin(model)).collect();
    let mut batch = Batch::new(model);
    loop {
        let went_on = batch.step(texts.iter_mut().map(|(text, _)| text));
        match tasks.get(texts.len()) {
            Some(task) => texts.push(task.begin(model)),
            None if went_on => {}
            None => return texts.into_iter().map(outcome).collect(),
        }
    }
}

#[test]
fn texts_in_a_batch_have_the_bits_that_they_have_alone() {
    let wide = ModelConfig { d_model: 64, d_expert: 64, d_shared: 64, ..named("hybrid") };
    let packed = [Kind::Q8_0, Kind::Q4_0].map(|kind| (kind.name(), packed_model(&wide, 3, kind)));
    let models = configs().into_iter().map(|(name, config)| (name, random_model(&config, 9)));
    for (name, model) in models.chain(packed) {
        let tasks = tasks(model.config());
        let alone: Vec<Outcome> = tasks.iter().map(|task| task.alone(&model)).collect();
        for at_once in [1, 2, 9, tasks.len()] {
            let found = together(&model, &tasks, at_once);
            for (task, (found, alone)) in tasks.iter().zip(found.iter().zip(&alone)) {
                assert!(found == alone, "{name}, {at_once} at once, a prompt of {}", task.prompt.len());
            }
        }
        let (mut text, record) = tasks[5].begin(&model);
        text.by_ref().for_each(drop);
        assert!(outcome((text, record)) == alone[5], "{name}, as an iterator");
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "has no threads")]
fn neither_the_order_nor_the_threads_nor_a_text_that_goes_matter() {
    let config = &named("hybrid");
    for ubatch_size in [1, 8, 50, usize::MAX] {
        let options = OpenOptions { ubatch_size, ..OpenOptions::default() };
        let model = random_model(config, 11).with_options(&options);
        let tasks = tasks(config);
        let alone: Vec<Outcome> = tasks.iter().map(|task| task.alone(&model)).collect();
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
            let mut texts: Vec<_> = tasks.iter().map(|task| Some(task.begin(&model))).collect();
            pool.install(|| {
                let mut batch = Batch::new(&model);
                let mut steps = 0;
                // another one is first each time
                loop {
                    let (last, first) = texts.split_at_mut(steps % tasks.len());
                    let live = first.iter_mut().chain(last).flatten();
                    if !batch.step(live.map(|(text, _)| text)) {
                        break;
                    }
                    steps += 1;
                    if steps < 4 {
                        texts[3 * steps] = None; // canceled while it was read or written
                    }
                }
            });
            for (index, text) in texts.into_iter().enumerate() {
                if let Some(text) = text {
                    assert!(outcome(text) == alone[index], "text {index}, ubatch {ubatch_size}, {threads} threads");
                }
            }
        }
    }
}

#[test]
fn a_long_prompt_does_not_hold_up_other_texts() {
    let config = &named("hybrid");
    let model = random_model(config, 12);
    let text = |len: usize| Text::of_ids(&model, &tokens(config, len, len as u64)).expect("a text").with_max_tokens(9);
    let mut texts = [text(300), text(1), text(20), text(100), text(5)];
    let mut batch = Batch::new(&model);
    let mut steps = 0;
    let mut positions = vec![];
    while batch.step(&mut texts) {
        steps += 1;
        positions.push(texts.each_ref().map(|text| text.state().position()));
        assert_eq!(texts[1].ids().len(), steps.min(9), "a token with every step");
        assert_eq!(texts[4].ids().len(), steps.saturating_sub(4).min(9), "and after as many as a short prompt has");
    }
    // 300 tokens are 128, 128 and 44, beside which 20 more fit; 100 wait
    assert_eq!(positions[..4].iter().map(|at| at[0]).collect::<Vec<_>>(), [128, 256, 300, 301]);
    assert_eq!(positions[..4].iter().map(|at| at[2]).collect::<Vec<_>>(), [0, 0, 20, 21]);
    assert_eq!(positions[..4].iter().map(|at| at[3]).collect::<Vec<_>>(), [0, 0, 0, 100]);
    assert!(!batch.step(&mut texts) && !batch.step(&mut []));
}
