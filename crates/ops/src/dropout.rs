//! x → x · mask / keep

use burn::tensor::Tensor;
use itera_shape::rng::Stream;

use crate::dispatch::dispatch;

/// Dropout (arXiv 1207.0580, scaled while training): `y = x · mask / keep`, where an entry of the mask is 1 with probability
/// `keep` in (0, 1), and else 0.
///
/// An entry takes two words of `random`, in row-major order, so that a mask is the same on every device.
///
/// # Shapes
/// `x`: any → the same
///
/// # Panics
/// If `keep` is not in (0, 1), or an odd number of words was taken from `random` before.
pub fn dropout<const D: usize>(x: Tensor<D>, keep: f64, random: &mut Stream) -> Tensor<D> {
    assert!(0.0 < keep && keep < 1.0, "dropout that keeps {keep}");
    assert!(random.get_word_pos().is_multiple_of(2), "a mask begins within a number");
    dispatch!(cube: &x => dropout(x, keep, random))
}

pub(crate) mod composite {
    use burn::tensor::{Tensor, TensorData};
    use itera_shape::rng::Stream;
    use rand::RngExt;

    /// Composite of [`crate::dropout()`].
    pub fn dropout<const D: usize>(x: Tensor<D>, keep: f64, random: &mut Stream) -> Tensor<D> {
        let (shape, scale) = (x.dims(), (1.0 / keep) as f32);
        let mut entry = || if random.random_bool(keep) { scale } else { 0.0 };
        let mask: Vec<f32> = (0..shape.iter().product()).map(|_| entry()).collect();
        let mask = Tensor::from_data(TensorData::new(mask, shape), &x.device());
        x * mask
    }
}

#[cfg(feature = "cube")]
mod cube {
    use burn::tensor::{Device, Int, Tensor};
    use burn_cubecl::CubeBackend;
    use cubecl::prelude::*;
    use itera_shape::rng::Stream;

    use crate::{
        cube::array::{Array, Indices, units},
        function::{Function, apply, only},
    };

    /// Entries of a mask that a block of ChaCha makes.
    const BLOCK: usize = 8;

    pub(super) fn dropout<const D: usize>(x: Tensor<D>, keep: f64, random: &mut Stream) -> Tensor<D> {
        let mask = Mask::next(keep, random, x.shape().num_elements(), &x.device().inner());
        let [y] = apply(mask, [x.into_dispatch()]);
        Tensor::from_dispatch(y)
    }

    /// Where a mask begins in its stream: nothing of the mask itself is kept, backward makes it again.
    struct Mask {
        /// The matrix of the first block (RFC 8439 section 2.3, with a counter and a nonce of two words each).
        state: Indices,
        /// Entries of that block which were taken before.
        taken: usize,
        /// An entry is 1 where its number is below this.
        below: u64,
        scale: f32,
    }

    impl Mask {
        /// The next `len` entries.
        fn next(keep: f64, random: &mut Stream, len: usize, device: &Device) -> Self {
            let words = random.get_word_pos();
            random.set_word_pos(words + 2 * len as u128);
            let mut state = [0u32; 16];
            state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
            for (word, bytes) in state[4..12].iter_mut().zip(random.get_seed().as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            let (block, nonce) = ((words / 16) as u64, random.get_stream());
            state[12..].copy_from_slice(&[block as u32, (block >> 32) as u32, nonce as u32, (nonce >> 32) as u32]);
            let state = Indices::of(Tensor::<1, Int>::from_ints(state.map(u32::cast_signed), device));
            let taken = (words % 16) as usize / 2;
            // as `random_bool` has it
            Self { state, taken, below: (keep * 2.0f64.powi(64)) as u64, scale: (1.0 / keep) as f32 }
        }

        fn apply(&self, x: &Array) -> Array {
            let y = x.like();
            let (count, dim) = units(x.client(), (x.len() + self.taken).div_ceil(BLOCK));
            apply_mask::launch(
                x.client(),
                count,
                dim,
                x.arg(),
                self.state.arg(),
                y.arg(),
                self.taken,
                self.below as u32,
                (self.below >> 32) as u32,
                self.scale,
                BLOCK,
            );
            y
        }
    }

    impl Function<1, 1> for Mask {
        type On = CubeBackend;
        type Saved = ();

        fn forward(&self, [x]: [Array; 1], _: [bool; 1]) -> ([Array; 1], Option<()>) {
            ([self.apply(&x)], Some(()))
        }

        fn backward(&self, (): (), grads: [Option<Array>; 1], _: [bool; 1]) -> [Option<Array>; 1] {
            [Some(self.apply(&only(grads)))]
        }
    }

    type Words = cubecl::prelude::Array<u32>;

    /// A unit a block of ChaCha with 8 rounds, whose words are two a number, the lower first.
    #[cube(launch)]
    fn apply_mask(
        x: &[f32],
        state: &[i32],
        y: &mut [f32],
        taken: usize,
        below_low: u32,
        below_high: u32,
        scale: f32,
        #[comptime] block: usize,
    ) {
        if ABSOLUTE_POS * block < x.len() + taken {
            let first = state[12] as u32;
            let counter = first + ABSOLUTE_POS as u32;
            let mut begun = Words::new(16usize);
            let mut words = Words::new(16usize);
            #[unroll]
            for i in 0..16 {
                begun[i] = state[i] as u32;
            }
            begun[12] = counter;
            if counter < first {
                begun[13] += 1;
            }
            #[unroll]
            for i in 0..16 {
                words[i] = begun[i];
            }
            for _ in 0..4 {
                quarter_round(&mut words, 0usize, 4usize, 8usize, 12usize);
                quarter_round(&mut words, 1usize, 5usize, 9usize, 13usize);
                quarter_round(&mut words, 2usize, 6usize, 10usize, 14usize);
                quarter_round(&mut words, 3usize, 7usize, 11usize, 15usize);
                quarter_round(&mut words, 0usize, 5usize, 10usize, 15usize);
                quarter_round(&mut words, 1usize, 6usize, 11usize, 12usize);
                quarter_round(&mut words, 2usize, 7usize, 8usize, 13usize);
                quarter_round(&mut words, 3usize, 4usize, 9usize, 14usize);
            }
            #[unroll]
            for i in 0..block {
                let entry = ABSOLUTE_POS * block + i;
                let low = words[2 * i] + begun[2 * i];
                let high = words[2 * i + 1] + begun[2 * i + 1];
                if entry >= taken && entry - taken < x.len() {
                    let is_kept = high < below_high || (high == below_high && low < below_low);
                    y[entry - taken] = select(is_kept, x[entry - taken] * scale, 0.0f32);
                }
            }
        }
    }

    /// RFC 8439 section 2.1, of four words of the matrix.
    #[cube]
    fn quarter_round(
        words: &mut Words,
        #[comptime] a: usize,
        #[comptime] b: usize,
        #[comptime] c: usize,
        #[comptime] d: usize,
    ) {
        words[a] += words[b];
        words[d] = turn(words[d] ^ words[a], 16u32);
        words[c] += words[d];
        words[b] = turn(words[b] ^ words[c], 12u32);
        words[a] += words[b];
        words[d] = turn(words[d] ^ words[a], 8u32);
        words[c] += words[d];
        words[b] = turn(words[b] ^ words[c], 7u32);
    }

    /// The bits of `word` moved up by `by`, those at the top to the bottom.
    #[cube]
    fn turn(word: u32, #[comptime] by: u32) -> u32 {
        (word << by) | (word >> comptime![32 - by])
    }
}
