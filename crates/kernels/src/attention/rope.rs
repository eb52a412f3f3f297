//! Rotary position embedding (arXiv 2104.09864, §3.4.2), rotating the first half of a head against the second.

use rayon::prelude::*;

use crate::simd::{mul_add, simd};

/// Cosines and sines of the angle of each position and pair of channels.
#[derive(Clone, Debug)]
pub struct Rope {
    /// [positions, w/2, 2]: cosine and sine apart, cosines first in each row.
    turns: Vec<f32>,
    half: usize,
}

impl Rope {
    /// Angles `position·θ^(−2j/w)` of the pairs j of a head of width `d_head`, for positions from 0.
    ///
    /// # Panics
    /// If `d_head` is odd.
    pub fn new(theta: f64, d_head: usize, positions: usize) -> Self {
        assert!(d_head.is_multiple_of(2), "a head of {d_head} channels has no two halves");
        let half = d_head / 2;
        let mut turns = vec![0.0; positions * d_head];
        turns.par_chunks_mut(d_head.max(1)).enumerate().for_each(|(position, row)| {
            let (cos, sin) = row.split_at_mut(half);
            for (j, (cos, sin)) in cos.iter_mut().zip(sin).enumerate() {
                let angle = position as f64 * theta.powf(-2.0 * j as f64 / d_head as f64);
                (*cos, *sin) = (angle.cos() as f32, angle.sin() as f32);
            }
        });
        Self { turns, half }
    }

    /// Positions that the table covers.
    pub fn positions(&self) -> usize {
        self.turns.len() / (2 * self.half).max(1)
    }

    /// Width of the heads that it turns.
    pub fn d_head(&self) -> usize {
        2 * self.half
    }

    /// Turn `x` by the angles of `position`.
    pub(super) fn rotate(&self, x: &mut [f32], position: usize) {
        let (cos, sin) = self.row(position);
        turn(x, cos, sin, 1.0);
    }

    /// Turn `x` back: the transpose of [`Rope::rotate`], and its gradient.
    pub(super) fn rotate_back(&self, x: &mut [f32], position: usize) {
        let (cos, sin) = self.row(position);
        turn(x, cos, sin, -1.0);
    }

    fn row(&self, position: usize) -> (&[f32], &[f32]) {
        self.turns[position * 2 * self.half..][..2 * self.half].split_at(self.half)
    }
}

simd! {
    fn turn<S>(x: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
        let (x1, x2) = x.split_at_mut(cos.len());
        for (((x1, x2), cos), sin) in x1.iter_mut().zip(x2).zip(cos).zip(sin) {
            let sin = direction * sin;
            (*x1, *x2) = (mul_add::<S>(*x1, *cos, -*x2 * sin), mul_add::<S>(*x2, *cos, *x1 * sin));
        }
    }
}
