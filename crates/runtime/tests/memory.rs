//! Bytes that a state, a workspace and a batch say they hold are those that are freed with them, and the most that they say they
//! can hold is that.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use itera_kernels::quant::Kind;
use itera_runtime::{Batch, Model, Text};
use itera_shape::ModelConfig;

#[expect(dead_code, reason = "shared with the tests of models")]
#[path = "model/support.rs"]
mod support;

use support::{configs, named, packed_model, random_model, tokens};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Whoever counts.
static ALONE: Mutex<()> = Mutex::new(());

/// Of all that was ever held.
static MADE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: memory is the system's; counting it touches none of it
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        MADE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's layout, as it came
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: what `alloc` above gave for the same layout
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that go with a value.
fn freed<T>(value: T) -> usize {
    let before = HELD.load(Relaxed);
    drop(value);
    before - HELD.load(Relaxed)
}

fn check(name: &str, model: &Model) {
    let ids = tokens(model.config(), 300, 1);
    for len in [0, 1, 8, 129, 300] {
        let (mut state, mut work) = (model.new_state(), model.workspace());
        if len > 0 {
            model.prefill(&mut state, &ids[..len], &mut work).expect("a prefill");
            model.step(&mut state, ids[0], &mut work).expect("a step");
        }
        let loaded = model.load_state(&state.to_bytes()).expect("a state");
        for (what, state) in [("loaded", loaded), ("cloned", state.clone()), ("grown", state)] {
            let bytes = state.size_bytes();
            assert!(bytes > 0 && freed(state) == bytes, "{name}, {len} tokens, {what}: {bytes}");
        }
        let bytes = work.size_bytes();
        assert!(bytes > 0 && freed(work) == bytes, "{name}, a workspace after {len} tokens: {bytes}");
    }
    let text = |len: usize| Text::of_ids(model, &ids[..len]).expect("a text").with_max_tokens(5);
    let mut batch = Batch::new(model);
    batch.complete(vec![text(1), text(40), text(5), text(300), text(1)]);
    let bytes = batch.size_bytes();
    assert!(bytes > 0 && freed(batch) == bytes, "{name}, a batch: {bytes}");
}

/// What is said to be the most is no less than what is held after as much as may be, and little more.
fn check_most(name: &str, model: &Model) {
    let within = |what: &str, bytes: usize, most: usize| {
        assert!((bytes..=bytes + bytes / 3).contains(&most), "{name}, {what}: {bytes} of {most}");
    };
    let context = model.context_len().unwrap_or(300);
    let ids = tokens(model.config(), context, 1);
    // the longest piece, all of whose logits are wanted
    let longest = context.min(model.ubatch_size() + 7);
    let (mut state, mut work) = (model.new_state(), model.workspace());
    model.prefill_all(&mut state, &ids[..longest], &mut work, |_, _| ()).expect("a prefill");
    within("a workspace", work.size_bytes(), model.most_workspace_bytes());
    let mut state = model.new_state();
    state.reserve(context);
    within("a state", state.size_bytes(), model.most_state_bytes());

    let prompts = [longest - 1, 20, 20, 20, 20, 20, 20, 20];
    let text = |len: usize| Text::of_ids(model, &ids[..len.min(longest - 1)]).expect("a text").with_logprobs(1, true);
    let mut batch = Batch::new(model);
    let mut texts: Vec<_> = prompts.into_iter().map(text).collect();
    (0..context).for_each(|_| _ = batch.step(&mut texts));
    within("a batch", batch.size_bytes(), Batch::most_bytes(model, texts.len()));
}

#[test]
fn what_is_said_to_be_the_most_is_no_less_than_is_held_and_little_more() {
    let _alone = ALONE.lock().expect("the other test is fine");
    let of_context = |max_seq_len: usize| {
        for (name, config) in configs() {
            let config = ModelConfig { max_seq_len, ..config };
            check_most(&format!("{name} of {max_seq_len}"), &random_model(&config, 1));
        }
    };
    of_context(21);
    of_context(300);
    let mut wide = named("hybrid");
    (wide.d_model, wide.d_expert, wide.d_shared, wide.max_seq_len) = (64, 64, 64, 300);
    check_most("q8_0", &packed_model(&wide, 1, Kind::Q8_0));
    // nothing is made to find that out
    let long = random_model(&ModelConfig { max_seq_len: 1 << 20, ..named("hybrid") }, 1);
    let before = MADE.load(Relaxed);
    let most = long.most_state_bytes() + Batch::most_bytes(&long, 4);
    let made = MADE.load(Relaxed) - before;
    assert!(made < most / 100, "{made} bytes were made to tell of {most}");
}

#[test]
fn what_is_said_to_be_held_is_what_is_freed() {
    let _alone = ALONE.lock().expect("the other test is fine");
    for (name, config) in configs() {
        check(name, &random_model(&config, 1));
    }
    let mut wide = named("hybrid");
    (wide.d_model, wide.d_expert, wide.d_shared) = (64, 64, 64);
    let packed = packed_model(&wide, 1, Kind::Q8_0);
    check("q8_0", &packed);
    // scales are copied where kernels ask for them: 6 bytes for 34, and those of rows that fill an eight up
    let weights = packed.step_cost(0).weight_bytes as usize;
    let copied = if cfg!(target_arch = "x86_64") { weights / 34 * 6..weights } else { 0..1 };
    assert!(copied.contains(&packed.scales_bytes()), "{} of {weights}", packed.scales_bytes());
    assert_eq!(random_model(&wide, 1).scales_bytes(), 0, "f32 has no scales");
}
