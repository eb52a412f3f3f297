//! Δ, and the decay over a chunk in a form that costs nothing per element of the state.
//!
//! ```text
//! raw → +bias → softplus → Δ → a = exp(A·Δ) → s: products of a since the scale was last settled
//! ```
//!
//! A pass keeps S/s instead of S: then S_t = a·S_{t−1} + Δx⊗B is an addition of Δx/s ⊗ B, and y = s·(S/s)·C. When s
//! would fall below 2⁻³⁰ the state is multiplied by it and s starts at 1 again; the same happens at the end of a chunk.
//! Terms of S/s only grow with time, by factors of at most 2³⁰, so none drowns that S would have kept: the rounding is
//! that of the recurrence, without an upper bound on the decay.

use crate::simd::{exp, simd, softplus};

/// Positions that a pass keeps in L1 while it goes over the tiles of the state.
pub(super) const CHUNK: usize = 64;

/// The scale is settled before it falls below this.
const MIN_SCALE: f32 = 1.0 / (1u64 << 30) as f32;

/// A decay below this, about exp(−50), is zero: what it leaves of a state no f32 sum can see.
const MIN_CARRY: f32 = 1.0 / (1u128 << 72) as f32;

/// One head's steps and decays in a chunk.
pub(super) struct Gates {
    /// raw + bias, the argument of the softplus.
    pub argument: [f32; CHUNK],
    /// Δ
    pub delta: [f32; CHUNK],
    /// s
    pub scale: [f32; CHUNK],
    /// 1/s
    pub inverse: [f32; CHUNK],
    /// Δ/s
    pub input: [f32; CHUNK],
    /// What settles the scale before each position, and after the last: 1 where there is nothing to do.
    pub carry: [f32; CHUNK + 1],
    /// Where spans of one scale begin, and where the last ends; see [`bounds`](Self::bounds).
    bounds: [usize; CHUNK + 1],
    n_spans: usize,
}

impl Gates {
    pub fn new() -> Self {
        let zeros = [0.0; CHUNK];
        Self {
            argument: zeros,
            delta: zeros,
            scale: zeros,
            inverse: zeros,
            input: zeros,
            carry: [0.0; CHUNK + 1],
            bounds: [0; CHUNK + 1],
            n_spans: 0,
        }
    }

    /// Fill in the gates of a head with decay rate `a` < 0 whose raw steps are `raw`, at most [`CHUNK`].
    pub fn fill(&mut self, raw: impl Iterator<Item = f32>, bias: f32, a: f32) {
        let mut len = 0;
        for (argument, raw) in self.argument.iter_mut().zip(raw) {
            *argument = raw + bias;
            len += 1;
        }
        step_sizes(&self.argument, a, &mut self.delta, &mut self.scale);
        let mut scale = 1.0;
        self.n_spans = 1;
        for (t, (decay, carry)) in self.scale[..len].iter_mut().zip(&mut self.carry).enumerate() {
            scale *= *decay;
            *carry = 1.0;
            if scale < MIN_SCALE {
                *carry = carried(scale);
                scale = 1.0;
                self.bounds[self.n_spans] = t;
                self.n_spans += usize::from(t > 0);
            }
            *decay = scale;
        }
        self.carry[len] = carried(scale);
        self.bounds[self.n_spans] = len;
        ratios(&self.delta, &self.scale, &mut self.inverse, &mut self.input);
    }

    /// The positions at which spans of one scale begin, from 0, then the length: the scale is settled at the inner ones,
    /// and perhaps at the first.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds[..=self.n_spans]
    }
}

fn carried(scale: f32) -> f32 {
    if scale < MIN_CARRY { 0.0 } else { scale }
}

simd! {
    /// Δ and exp(A·Δ).
    fn step_sizes<S>(argument: &[f32; CHUNK], a: f32, delta: &mut [f32; CHUNK], decay: &mut [f32; CHUNK]) {
        for i in 0..CHUNK {
            delta[i] = softplus::<S>(argument[i]);
            decay[i] = exp::<S>(a * delta[i]);
        }
    }
}

simd! {
    fn ratios<S>(delta: &[f32; CHUNK], scale: &[f32; CHUNK], inverse: &mut [f32; CHUNK], input: &mut [f32; CHUNK]) {
        for i in 0..CHUNK {
            inverse[i] = 1.0 / scale[i];
            input[i] = delta[i] * inverse[i];
        }
    }
}
