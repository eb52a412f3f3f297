//! Bytes that a state, a workspace and a batch say they hold are those that are freed with them.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use itera_kernels::quant::Kind;
use itera_runtime::{Batch, Model, Text};

#[expect(dead_code, reason = "shared with the tests of models")]
#[path = "model/support.rs"]
mod support;

use support::{configs, named, packed_model, random_model, tokens};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: memory is the system's; counting it touches none of it
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
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
    let most_of_state = model.most_state_bytes();
    let mut longest = model.new_state();
    longest.reserve(model.context_len().unwrap_or(0));
    assert_eq!(longest.size_bytes(), most_of_state, "{name}");
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
            assert!(bytes <= most_of_state, "{name}, {len} tokens, {what}: {bytes} of {most_of_state}");
        }
        let bytes = work.size_bytes();
        assert!(bytes > 0 && freed(work) == bytes, "{name}, a workspace after {len} tokens: {bytes}");
        let most = model.most_workspace_bytes();
        assert!(bytes <= most, "{name}, a workspace after {len} tokens: {bytes} of {most}");
    }
    let text = |len: usize| Text::of_ids(model, &ids[..len]).expect("a text").with_max_tokens(5);
    let mut batch = Batch::new(model);
    batch.complete(vec![text(1), text(40), text(5), text(300), text(1)]);
    let bytes = batch.size_bytes();
    assert!(bytes > 0 && freed(batch) == bytes, "{name}, a batch: {bytes}");
    let most = Batch::most_bytes(model, 5);
    assert!((bytes..20 * bytes).contains(&most), "{name}, a batch: {bytes} of {most}");
}

#[test]
fn what_is_said_to_be_held_is_what_is_freed() {
    for (name, config) in configs() {
        check(name, &random_model(&config, 1));
    }
    let mut wide = named("hybrid");
    (wide.d_model, wide.d_expert, wide.d_shared) = (64, 64, 64);
    check("q8_0", &packed_model(&wide, 1, Kind::Q8_0));
}
