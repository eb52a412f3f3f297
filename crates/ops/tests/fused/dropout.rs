//! dropout

use burn::tensor::Tensor;
use itera_ops::{device::tested, dropout};
use itera_shape::rng::{Purpose, Stream, stream};

use crate::case::Case;

/// A stream of which `blocks` blocks of ChaCha and some entries of a mask were taken.
fn begun(blocks: u64, entries: u128) -> Stream {
    let mut random = stream(0x0123_4567_89ab_cdef, Purpose::Dropout, 0x1_0000_0003);
    random.set_word_pos(16 * u128::from(blocks) + 2 * entries);
    random
}

#[test]
fn dropout_is_its_composite_wherever_its_stream_stands() {
    for [blocks, taken] in [[0, 0], [0, 3], [7, 7], [u64::from(u32::MAX) - 1, 5]] {
        for len in [1, 7, 8, 9, 40, 3000] {
            for keep in [0.9, 0.5] {
                let start = || begun(blocks, taken.into());
                Case::new(format!("dropout of {len} after {blocks} blocks and {taken} entries, {keep} kept"), 0.0)
                    .uniform(len, -1.0, 1.0)
                    .check(|inputs| vec![dropout(inputs[0].clone(), keep, &mut start()).into()]);
                let mut after = start();
                dropout(Tensor::<1>::ones([len], &tested()), keep, &mut after);
                assert_eq!(after.get_word_pos(), start().get_word_pos() + 2 * len as u128, "words that a mask takes");
            }
        }
    }
}
