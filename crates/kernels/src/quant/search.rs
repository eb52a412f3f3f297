//! numbers, how much each matters → blocks whose scales are searched for
//!
//! ```text
//! span → scale of `quantize` → that times 0.5 … 1.5, of either sign → nearest codes → Σ w·(x − q)² → the least
//!                                                       └→ scale of least squares for these codes, once more ┘
//! ```

use super::block::{MAX_LEN, Scaled, decode_block};
use super::{Iq4Nl, Kind, Mxfp4, Nvfp4, Q2_0, Q4_0, Q5_0, Q8_0};

/// What the first scale is multiplied with.
const FACTORS: [f32; 16] = [0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.88, 0.91, 0.94, 0.97, 1.0, 1.04, 1.1, 1.2, 1.5];

/// Round `x` to blocks that are close to it: of many scales for each span, the one under which Σ wᵢ·(xᵢ − qᵢ)² is least.
/// `weights` are as many as `x`, none negative; all are 1 if there are none.
///
/// Never farther from `x`, so measured, than [`quantize`](super::quantize), whose blocks these are where no other scale is
/// closer, and for the kinds without a scale, or with a minimum.
///
/// # Panics
/// If `bytes` is not the whole blocks of `x.len()` elements, or `weights` are not as many.
pub fn quantize_closest(kind: Kind, x: &[f32], weights: Option<&[f32]>, bytes: &mut [u8]) {
    assert!(weights.is_none_or(|weights| weights.len() == x.len()), "a weight for each element");
    super::quantize(kind, x, bytes);
    match kind {
        Kind::Q8_0 => search::<Q8_0>(x, weights, bytes),
        Kind::Q5_0 => search::<Q5_0>(x, weights, bytes),
        Kind::Q4_0 => search::<Q4_0>(x, weights, bytes),
        Kind::Iq4Nl => search::<Iq4Nl>(x, weights, bytes),
        Kind::Mxfp4 => search::<Mxfp4>(x, weights, bytes),
        Kind::Nvfp4 => search::<Nvfp4>(x, weights, bytes),
        Kind::Q2_0 => search::<Q2_0>(x, weights, bytes),
        Kind::F32 | Kind::F16 | Kind::Bf16 | Kind::F8E4M3 | Kind::Q4_1 | Kind::Q5_1 => {}
    }
}

/// Better `bytes`, which are blocks of `x`.
fn search<B: Scaled>(x: &[f32], weights: Option<&[f32]>, bytes: &mut [u8]) {
    const ONES: [f32; MAX_LEN] = [1.0; MAX_LEN];
    for (index, (x, block)) in x.chunks_exact(B::LEN).zip(bytes.chunks_exact_mut(B::BYTES)).enumerate() {
        let weights = weights.map_or(&ONES[..B::LEN], |weights| &weights[index * B::LEN..][..B::LEN]);
        for (span, (x, weights)) in x.chunks_exact(B::SPAN).zip(weights.chunks_exact(B::SPAN)).enumerate() {
            let mut search = Search::<B>::new(x, weights, span, block);
            for factor in FACTORS {
                search.try_scale(factor * search.first);
                search.try_scale(-factor * search.first);
            }
            search.try_scale(search.least_squares());
            block.copy_from_slice(&search.best[..B::BYTES]);
        }
    }
}

/// One span of a block.
struct Search<'a, B> {
    x: &'a [f32],
    weights: &'a [f32],
    span: usize,
    /// Scale that the search began with.
    first: f32,
    best: [u8; 36],
    best_error: f32,
    kind: std::marker::PhantomData<B>,
}

impl<'a, B: Scaled> Search<'a, B> {
    fn new(x: &'a [f32], weights: &'a [f32], span: usize, block: &[u8]) -> Self {
        let mut best = [0; 36];
        best[..B::BYTES].copy_from_slice(block);
        let mut search = Self {
            x,
            weights,
            span,
            first: B::FIRST * B::span_scale(block, span),
            best,
            best_error: f32::INFINITY,
            kind: std::marker::PhantomData,
        };
        search.best_error = search.error(&best);
        search
    }

    fn try_scale(&mut self, scale: f32) {
        let mut block = self.best;
        B::encode_span(self.x, self.span, scale, &mut block[..B::BYTES]);
        let error = self.error(&block);
        if error < self.best_error {
            (self.best, self.best_error) = (block, error);
        }
    }

    /// Σ w·(x − q)² of the span; NaN, which nothing is less than, where a number is.
    fn error(&self, block: &[u8]) -> f32 {
        let mut numbers = [0.0; MAX_LEN];
        decode_block::<B>(&block[..B::BYTES], &mut numbers[..B::LEN]);
        let span = &numbers[self.span * B::SPAN..][..B::SPAN];
        self.x.iter().zip(span).zip(self.weights).map(|((x, q), w)| w * (x - q) * (x - q)).sum()
    }

    /// The scale that is best for the codes of the best block: Σ w·x·c / Σ w·c².
    fn least_squares(&self) -> f32 {
        let codes = B::codes(&self.best[..B::BYTES]);
        let codes = &codes[self.span * B::SPAN..][..B::SPAN];
        let (mut products, mut squares) = (0.0, 0.0);
        for ((x, code), w) in self.x.iter().zip(codes).zip(self.weights) {
            products += w * x * f32::from(*code);
            squares += w * f32::from(*code) * f32::from(*code);
        }
        if squares > 0.0 { products / squares } else { self.first }
    }
}
