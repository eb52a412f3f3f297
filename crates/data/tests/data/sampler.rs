//! The order of training, and the fixed batches of a validation, where text is one stream.

use std::collections::HashSet;

use itera_config::Windows;
use itera_data::{Sampler, Shard, TokenBatch, stream_batches};
use itera_tokenizer::TokenId;
use proptest::prelude::*;

use crate::shard::shard_of;

fn sampler(shard: &Shard, seq_len: usize, seed: u64) -> Sampler<'_> {
    Sampler::new(shard, TokenId(0), Windows::Stream, seq_len, seed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_epoch_visits_every_window_once(
        seq_len in 1usize..70,
        more_tokens in 1usize..2000,
        seed: u64,
        epoch in 0u64..5,
    ) {
        let n_tokens = seq_len + more_tokens;
        let (_dir, shard) = shard_of(&vec![1; n_tokens], 300);
        let sampler = sampler(&shard, seq_len, seed);
        let count = sampler.windows_per_epoch();
        let windows: Vec<_> = (epoch * count..(epoch + 1) * count).flat_map(|i| sampler.window(i)).collect();
        prop_assert!(windows.iter().all(|window| window.len() == seq_len + 1 && window.end <= n_tokens));
        let mut targets: Vec<usize> = windows.iter().flat_map(|window| window.start + 1..window.end).collect();
        targets.sort_unstable();
        let is_consecutive = targets.windows(2).all(|pair| pair[1] == pair[0] + 1);
        prop_assert!(is_consecutive, "a token was skipped or visited twice");
        prop_assert!(n_tokens - targets.len() <= 2 * seq_len, "{} tokens left out", n_tokens - targets.len());
    }

    #[test]
    fn targets_are_the_tokens_that_follow(
        seq_len in 1usize..20,
        batch_size in 1usize..5,
        micro_batch in 0u64..50,
        seed: u64,
    ) {
        let ids: Vec<u32> = (0..200).collect();
        let (_dir, shard) = shard_of(&ids, 300);
        let sampler = sampler(&shard, seq_len, seed);
        let batch = sampler.batch(micro_batch, batch_size);
        prop_assert_eq!((batch.batch_size, batch.seq_len), (batch_size, seq_len));
        prop_assert_eq!(batch.inputs.len(), batch_size * seq_len);
        prop_assert!(batch.inputs.iter().zip(&batch.targets).all(|(input, target)| *target == input + 1));
        let positions: Vec<i32> = batch.positions.iter().map(|position| *position as i32).collect();
        prop_assert_eq!(&positions, &batch.targets, "the token at position i is i");
        for (row, inputs) in batch.inputs.chunks(seq_len).enumerate() {
            let window = sampler.window(micro_batch * batch_size as u64 + row as u64);
            prop_assert_eq!(inputs[0] as usize, window[0].start);
        }
    }

    #[test]
    fn validation_scores_consecutive_tokens(
        n_tokens in 2usize..300,
        seq_len in 1usize..40,
        batch_size in 1usize..5,
        max_tokens in prop_oneof![Just(0), 1usize..400],
    ) {
        let ids: Vec<u32> = (0..n_tokens as u32).collect();
        let (_dir, shard) = shard_of(&ids, 300);
        prop_assume!(n_tokens > seq_len);
        let batches: Vec<TokenBatch> = stream_batches(&shard, max_tokens, batch_size, seq_len).collect();
        prop_assert!(batches.iter().all(|batch| batch.inputs.len() == batch.batch_size * batch.seq_len));
        prop_assert!(batches.iter().all(|batch| (1..=batch_size).contains(&batch.batch_size)));
        let targets: Vec<i32> = batches.iter().flat_map(|batch| batch.targets.clone()).collect();
        let inputs: Vec<i32> = batches.iter().flat_map(|batch| batch.inputs.clone()).collect();
        prop_assert!(inputs.iter().zip(0..).all(|(&input, position)| input == position));
        prop_assert!(targets.iter().zip(1..).all(|(&target, position)| target == position));
        let expected = match max_tokens {
            0 => n_tokens - 1,
            _ => (max_tokens / seq_len).max(1).min((n_tokens - 1) / seq_len) * seq_len,
        };
        prop_assert_eq!(targets.len(), expected);
    }
}

#[test]
fn epochs_and_seeds_differ_in_order_and_cut() {
    let (_dir, shard) = shard_of(&[1; 10_000], 300);
    let epoch = |seed, epoch| {
        let sampler = sampler(&shard, 32, seed);
        let count = sampler.windows_per_epoch();
        (epoch * count..(epoch + 1) * count).map(|i| sampler.window(i)[0].start).collect::<Vec<_>>()
    };
    assert_eq!(epoch(1, 0), epoch(1, 0));
    let cuts: HashSet<_> = (0..8).map(|i| epoch(1, i)[0] % 32).collect();
    assert!(cuts.len() > 2, "epochs are cut at the same places");
    assert_ne!(epoch(1, 0), epoch(1, 1));
    assert_ne!(epoch(1, 0), epoch(2, 0));
}

#[test]
fn the_shortest_stream_has_one_window() {
    let (_dir, shard) = shard_of(&[1; 9], 300);
    let sampler = sampler(&shard, 8, 3);
    assert_eq!(sampler.windows_per_epoch(), 1);
    assert!([0, 5].map(|sequence| sampler.window(sequence)).iter().flatten().eq([&(0..9), &(0..9)]));
}
