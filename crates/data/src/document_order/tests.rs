use std::collections::HashSet;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::shard::ShardWriter;

const EOS: TokenId = TokenId(0);

/// A shard of documents of these lengths, their eos counted; the directory keeps its file.
fn shard_of(lens: &[usize]) -> (TempDir, Shard) {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("s.tokens");
    let mut writer = ShardWriter::new(300, None);
    writer.extend([EOS]);
    for len in lens {
        writer.extend((1..*len).map(|at| TokenId(1 + at as u32 % 250)));
        writer.extend([EOS]);
    }
    writer.finish(&path).expect("written");
    (dir, Shard::open(&path).expect("a shard"))
}

fn order_of(lens: &[usize], seq_len: usize, seed: u64) -> DocumentOrder {
    DocumentOrder::new(&shard_of(lens).1, EOS, seq_len, seed)
}

/// Lengths of documents, and a sequence length for which they are long enough.
fn corpora() -> impl Strategy<Value = (Vec<usize>, usize)> {
    let lens = prop_oneof![
        prop::collection::vec(1usize..12, 1..60),
        prop::collection::vec(1usize..200, 1..30),
        prop::collection::vec(prop_oneof![Just(1usize), Just(16), Just(17), Just(32), Just(33)], 1..40),
    ];
    (lens, prop_oneof![Just(16usize), 1usize..150]).prop_map(|(lens, most)| {
        let seq_len = most.min(lens.iter().sum());
        (lens, seq_len)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_epoch_is_for_each_token_once((lens, seq_len) in corpora(), seed: u64, epoch in 0u64..4) {
        let order = order_of(&lens, seq_len, seed);
        let key = mix(seed, epoch);
        let texts: Vec<Window> = (0..order.windows_per_epoch()).map(|number| order.text(number, key)).collect();
        prop_assert!(texts.iter().all(|text| text.iter().map(Range::len).sum::<usize>() <= seq_len));
        let mut tokens: Vec<usize> = texts.into_iter().flatten().flatten().collect();
        tokens.sort_unstable();
        prop_assert!(tokens.into_iter().eq(1..=lens.iter().sum()), "a token was lost, or is there twice");
    }

    #[test]
    fn a_window_begins_with_a_document_or_within_a_long_one((lens, seq_len) in corpora(), seed: u64) {
        let order = order_of(&lens, seq_len, seed);
        let mut seen = HashSet::new();
        for sequence in 0..order.windows_per_epoch() {
            let window = order.window(sequence);
            prop_assert_eq!(window.iter().map(Range::len).sum::<usize>(), seq_len + 1);
            let head = window[0].start + 1..window[0].end;
            seen.extend(window.iter().skip(1).chain([&head]).cloned().flatten());
            let document = |at: usize| order.document(order.begins.partition_point(|begin| *begin <= at) as u32 - 1);
            let of_head = document(head.start);
            prop_assert!(head.end <= of_head.end);
            prop_assert!(head.start == of_head.start || (of_head.len() > seq_len && head.start > of_head.start));
            for pair in window.windows(2) {
                prop_assert_eq!(pair[0].end, document(pair[0].end - 1).end, "a document goes on elsewhere");
                prop_assert_eq!(pair[1].start, document(pair[1].start).start, "behind eos comes no beginning");
                prop_assert!(pair[1].end <= document(pair[1].start).end);
            }
        }
        prop_assert_eq!(seen.len(), lens.iter().sum::<usize>(), "text was lost");
    }
}

#[test]
fn documents_of_a_length_meet_others_in_each_epoch_and_stand_anywhere_in_a_window() {
    let lens: Vec<usize> = (0..500).map(|n| 20 + n * 37 % 80).collect();
    let order = order_of(&lens, 128, 1);
    let epoch = |epoch: u64| {
        let windows = epoch * order.windows_per_epoch()..(epoch + 1) * order.windows_per_epoch();
        windows.map(|sequence| order.window(sequence)).collect::<Vec<_>>()
    };
    let neighbours = |windows: &[Window]| -> HashSet<[usize; 2]> {
        windows.iter().flat_map(|window| window.windows(2).map(|pair| [pair[0].end, pair[1].start])).collect()
    };
    let (first, second) = (epoch(0), epoch(1));
    assert_eq!(epoch(0), first);
    assert_ne!(order_of(&lens, 128, 2).window(0), first[0]);
    let (before, after) = (neighbours(&first), neighbours(&second));
    let again = before.intersection(&after).count();
    assert!(before.len() > 300 && again < before.len() / 20, "{again} of {} meet again", before.len());

    let heads = |windows: &[Window]| windows.iter().map(|window| window[0].start).collect::<Vec<_>>();
    assert_ne!(heads(&first), heads(&second));
    let begins: HashSet<usize> = (0..8).flat_map(|number| heads(&epoch(number))).collect();
    assert!(begins.len() > 300, "{} of 500 documents have begun a window", begins.len());
}

#[test]
fn a_long_document_is_cut_elsewhere_in_each_epoch_and_its_rest_has_context() {
    let order = order_of(&[100], 16, 7);
    assert_eq!(order.windows_per_epoch(), 7);
    let cuts = |epoch: u64| {
        let mut cuts: Vec<usize> =
            (epoch * 7..(epoch + 1) * 7).map(|sequence| order.window(sequence)[0].start).collect();
        cuts.sort_unstable();
        cuts
    };
    let all: HashSet<Vec<usize>> = (0..40).map(cuts).collect();
    // the rest of 4 tokens comes behind one of six pieces, and is read with the 12 tokens before it
    let expected =
        (1..=6).map(|at| (0..7).map(|piece| if piece < at { piece * 16 } else { piece * 16 - 12 }).collect());
    assert_eq!(all, expected.collect::<HashSet<Vec<usize>>>());
}

#[test]
fn little_is_read_twice_where_documents_fit() {
    // as many tokens as stories have, in windows of twice the mean
    let lens: Vec<usize> = (0..4000).map(|n| 60 + (mix(n, 0) % 200 + mix(n, 1) % 200) as usize).collect();
    let order = order_of(&lens, 512, 1);
    let read = order.windows_per_epoch() as f64 * 512.0;
    let twice = 1.0 - lens.iter().sum::<usize>() as f64 / read;
    assert!((0.0..0.06).contains(&twice), "{twice:.3}");
}

#[test]
fn the_smallest_corpora_have_windows() {
    for (lens, seq_len, windows) in [(vec![1], 1, 1), (vec![1; 5], 3, 2), (vec![9], 8, 2), (vec![8, 8], 8, 2)] {
        let order = order_of(&lens, seq_len, 3);
        assert_eq!(order.windows_per_epoch(), windows, "{lens:?}");
        for sequence in 0..20 {
            assert_eq!(order.window(sequence).iter().map(Range::len).sum::<usize>(), seq_len + 1, "{lens:?}");
        }
    }
}

#[test]
fn lengths_are_rounded_up_to_six_bits() {
    for (len, class) in [(1, 1), (63, 63), (64, 64), (65, 66), (127, 128), (129, 132), (1000, 1008), (1 << 20, 1 << 20)]
    {
        assert_eq!(size_class(len), class, "{len}");
    }
}
