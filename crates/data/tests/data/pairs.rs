//! Pairs of the parts of documents.

use itera_data::{Pairs, TokenBatch};
use itera_tokenizer::TokenId;
use proptest::prelude::*;

use crate::shard::shard_of;

const EOS: u32 = 0;

/// The tokens of a sequence behind bos, and whether nothing but eos, unscored, is behind them.
fn text_of(inputs: &[i32], targets: &[i32]) -> (Vec<i32>, bool) {
    let scored: Vec<i32> = targets.iter().copied().take_while(|target| *target != TokenBatch::UNSCORED).collect();
    let is_filled = targets[scored.len()..].iter().all(|target| *target == TokenBatch::UNSCORED)
        && inputs[0] == EOS as i32
        && inputs[1..=scored.len()] == scored
        && inputs[scored.len() + 1..].iter().all(|input| *input == EOS as i32);
    (scored, is_filled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_epoch_visits_each_document_once_in_two_parts(
        lengths in proptest::collection::vec(0usize..12, 1..30),
        seed in proptest::option::of(any::<u64>()),
        epoch in 0u64..3,
    ) {
        let mut next = 0;
        let mut document = |len: usize| (0..len).map(|_| { next += 1; next }).collect::<Vec<u32>>();
        let documents: Vec<Vec<u32>> = lengths.iter().map(|&len| document(len)).collect();
        let ids: Vec<u32> = [EOS].into_iter().chain(documents.iter().flat_map(|d| d.iter().copied().chain([EOS]))).collect();
        let (_dir, shard) = shard_of(&ids, 500);
        let seq_len = 13;
        let pairs = Pairs::new(&shard, TokenId(EOS), seq_len, seed);
        let long: Vec<Vec<i32>> = documents.iter().filter(|d| d.len() > 1)
            .map(|d| d.iter().map(|&id| id as i32).collect()).collect();
        prop_assert_eq!(pairs.len(), long.len());
        if long.is_empty() {
            return Ok(());
        }
        let mut found = vec![];
        for pair in 0..long.len() as u64 {
            let batch = pairs.batch(epoch * long.len() as u64 + pair, 2);
            prop_assert_eq!((batch.batch_size, batch.inputs.len(), batch.targets.len()), (2, 2 * seq_len, 2 * seq_len));
            let rows: Vec<_> = batch.inputs.chunks(seq_len).zip(batch.targets.chunks(seq_len)).collect();
            let parts: Vec<_> = rows.iter().map(|(inputs, targets)| text_of(inputs, targets)).collect();
            prop_assert!(parts.iter().all(|(text, is_filled)| *is_filled && !text.is_empty()), "{:?}", parts);
            let (len, first) = (parts[0].0.len() + parts[1].0.len(), parts[0].0.len());
            let quarter = (len / 4).max(1);
            let cuts = if seed.is_some() { quarter..=len - quarter } else { len / 2..=len / 2 };
            prop_assert!(cuts.contains(&first));
            found.push(parts.into_iter().flat_map(|(text, _)| text).collect::<Vec<i32>>());
        }
        let mut expected = long;
        if seed.is_some() {
            found.sort();
            expected.sort();
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn long_parts_are_cut_off_and_whole_batches_are_validated() {
    let ids: Vec<u32> =
        (0..7).flat_map(|document| [EOS].into_iter().chain(document * 40 + 1..document * 40 + 41)).collect();
    let (_dir, shard) = shard_of(&ids, 500);
    let pairs = Pairs::new(&shard, TokenId(EOS), 8, None);
    let batch = pairs.batch(0, 4);
    assert_eq!(batch.inputs[..16], [0, 1, 2, 3, 4, 5, 6, 7, 0, 21, 22, 23, 24, 25, 26, 27]);
    assert_eq!(batch.targets[..8], [1, 2, 3, 4, 5, 6, 7, TokenBatch::UNSCORED]);
    let counts = [0, 1, 64, 65, 96, 10_000].map(|tokens| pairs.batches(tokens, 4).count());
    assert_eq!(counts, [3, 1, 2, 2, 3, 3]);
}
