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

    /// Turn `rows` by the angles of consecutive positions from `start`.
    pub(super) fn rotate(&self, rows: &mut [f32], start: usize) {
        turn(rows, &self.turns[start * 2 * self.half..], self.half);
    }

    /// Turn `rows` back by the angles of one `position`: the transpose of [`Rope::rotate`], and its gradient.
    pub(super) fn rotate_back(&self, rows: &mut [f32], position: usize) {
        turn_back(rows, &self.turns[position * 2 * self.half..], self.half);
    }
}

simd! {
    /// Row i by row i of `turns`.
    fn turn<S>(rows: &mut [f32], turns: &[f32], half: usize) {
        for (row, turns) in rows.chunks_exact_mut(2 * half).zip(turns.chunks_exact(2 * half)) {
            let ((x1, x2), (cos, sin)) = (row.split_at_mut(half), turns.split_at(half));
            for (((x1, x2), cos), sin) in x1.iter_mut().zip(x2).zip(cos).zip(sin) {
                (*x1, *x2) = (mul_add::<S>(*x1, *cos, -*x2 * sin), mul_add::<S>(*x2, *cos, *x1 * sin));
            }
        }
    }
}

simd! {
    /// Every row by the first row of `turns`, the other way.
    fn turn_back<S>(rows: &mut [f32], turns: &[f32], half: usize) {
        let (cos, sin) = turns[..2 * half].split_at(half);
        for row in rows.chunks_exact_mut(2 * half) {
            let (x1, x2) = row.split_at_mut(half);
            for (((x1, x2), cos), sin) in x1.iter_mut().zip(x2).zip(cos).zip(sin) {
                (*x1, *x2) = (mul_add::<S>(*x1, *cos, *x2 * sin), mul_add::<S>(*x2, *cos, -*x1 * sin));
            }
        }
    }
}
