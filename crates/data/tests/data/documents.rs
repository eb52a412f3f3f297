//! Sequences that begin with documents.

use itera_config::Windows;
use itera_data::{Sampler, Shard, TokenBatch, document_batches, stream_batches};
use itera_tokenizer::TokenId;
use proptest::prelude::*;

use crate::shard::shard_of;

const EOS: TokenId = TokenId(0);

/// A stream of documents of these lengths, their eos counted, in which every other token is another.
fn stream(lens: &[usize]) -> Vec<u32> {
    let mut ids = vec![0];
    for len in lens {
        let first = ids.len() as u32;
        ids.extend(first..first + *len as u32 - 1);
        ids.push(0);
    }
    ids
}

fn sampler(shard: &Shard, seq_len: usize) -> Sampler<'_> {
    Sampler::new(shard, EOS, Windows::Documents, seq_len, 5)
}

#[test]
fn a_batch_is_a_function_of_its_index_across_epochs_and_threads() {
    let lens: Vec<usize> = (0..20).map(|n| 1 + n * 7 % 40).collect();
    let (_dir, shard) = shard_of(&stream(&lens), 1000);
    let first = sampler(&shard, 16);
    let windows = first.windows_per_epoch();
    // batches of 7, and one of more sequences than an epoch has
    let batches: Vec<TokenBatch> = (0..3 * windows).map(|index| first.batch(index, 7)).collect();
    let again = sampler(&shard, 16);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (again, batches) = (&again, &batches);
            let check = move || {
                (0..batches.len()).rev().skip(thread).step_by(3).all(|i| again.batch(i as u64, 7) == batches[i])
            };
            assert!(scope.spawn(check).join().unwrap());
        }
    });
    let flat = |batches: &[TokenBatch]| batches.iter().flat_map(|batch| batch.targets.clone()).collect::<Vec<_>>();
    let whole = again.batch(0, 21 * windows as usize);
    assert_eq!(whole.targets, flat(&batches));
    let epoch = |number: usize| &whole.targets[number * windows as usize * 16..][..windows as usize * 16];
    assert_ne!(epoch(0), epoch(1));
}

#[test]
fn targets_are_the_tokens_that_follow_and_documents_follow_eos() {
    let lens: Vec<usize> = (0..30).map(|n| 2 + n * 7 % 40).collect();
    let ids = stream(&lens);
    let (_dir, shard) = shard_of(&ids, 1000);
    let batch = sampler(&shard, 16).batch(2, 9);
    assert_eq!((batch.batch_size, batch.seq_len, batch.inputs.len()), (9, 16, 144));
    let at = |position: &usize| shard.token(*position).0.cast_signed();
    assert!(batch.positions.iter().map(at).eq(batch.targets.iter().copied()));
    let begins: Vec<i32> = (1..ids.len()).filter(|at| ids[at - 1] == 0).map(|at| ids[at] as i32).collect();
    for (inputs, targets) in batch.inputs.chunks(16).zip(batch.targets.chunks(16)) {
        assert_eq!(inputs[1..], targets[..15]);
        for (input, target) in inputs.iter().zip(targets) {
            match input {
                0 => assert!(begins.contains(target), "{target} begins no document"),
                _ => assert!(*target == 0 || *target == input + 1, "{target} behind {input}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn validation_scores_each_token_once_with_half_a_window_before_it(
        lens in prop_oneof![prop::collection::vec(1usize..12, 1..40), prop::collection::vec(1usize..90, 1..12)],
        seq_len in 1usize..40,
        batch_size in 1usize..5,
        max_tokens in prop_oneof![Just(0), 1usize..400],
    ) {
        let (_dir, shard) = shard_of(&stream(&lens), 2000);
        let batches: Vec<TokenBatch> = document_batches(&shard, EOS, max_tokens, batch_size, seq_len).collect();
        let mut scored = vec![];
        for batch in &batches {
            prop_assert!((1..=batch_size).contains(&batch.batch_size) && (1..=seq_len).contains(&batch.seq_len));
            prop_assert_eq!(batch.inputs.len(), batch.batch_size * batch.seq_len);
            prop_assert_eq!(batch.targets.len(), batch.inputs.len());
            for (inputs, targets) in batch.inputs.chunks(batch.seq_len).zip(batch.targets.chunks(batch.seq_len)) {
                let counts: Vec<usize> = (0..targets.len()).filter(|at| targets[*at] >= 0).collect();
                prop_assert!(counts.windows(2).all(|pair| pair[1] == pair[0] + 1));
                let first = counts[0];
                prop_assert!(first == 0 && inputs[0] == 0 || first >= seq_len / 2, "{} tokens before it", first);
                for at in counts {
                    prop_assert!(at == 0 || inputs[at] != 0, "a document behind another one");
                    // a token is its position; eos has that behind the token before it
                    let follows = if inputs[at] == 0 { targets[at] } else { inputs[at] + 1 };
                    prop_assert!(targets[at] == follows || targets[at] == 0);
                    if follows > 0 { scored.push(follows as usize) }
                }
            }
        }
        scored.sort_unstable();
        // documents of eos alone do not say where they are
        let told: Vec<usize> = {
            let ids = stream(&lens);
            (1..ids.len()).filter(|at| ids[*at] != 0 || ids[at - 1] != 0).collect()
        };
        prop_assert_eq!(&scored, &told[..scored.len()], "those from the start of the shard on, each once");
        let n_scored: usize = batches.iter().flat_map(|batch| &batch.targets).filter(|target| **target >= 0).count();
        let all: usize = lens.iter().sum();
        match max_tokens {
            0 => prop_assert_eq!(n_scored, all),
            _ => {
                let first = lens[0].min(seq_len);
                prop_assert!(n_scored <= max_tokens.max(first));
                prop_assert!(n_scored == all || n_scored + seq_len > max_tokens, "{} of {}", n_scored, max_tokens);
            }
        }
    }
}

#[test]
fn a_stream_of_one_document_that_fits_is_validated_alike_either_way() {
    let (_dir, shard) = shard_of(&stream(&[33]), 1000);
    let documents: Vec<TokenBatch> = document_batches(&shard, EOS, 0, 4, 33).collect();
    assert_eq!(documents, stream_batches(&shard, 0, 4, 33).collect::<Vec<_>>());
}
