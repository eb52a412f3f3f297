//! A head's gradients over a chunk that are one number a position, and the gradient of its decay among them.

use super::gates::{CHUNK, Gates};
use crate::{
    simd::{mul_add, sigmoid, simd},
    sums::{LANES, lane_sum},
};

/// Those numbers.
pub(super) struct Slopes {
    /// ⟨B_t, C_t⟩
    pub bc: [f32; CHUNK],
    /// ⟨x_t, dy_t⟩
    pub x_dy: [f32; CHUNK],
    /// Δ_t·⟨x_t, dy_t⟩
    pub delta_x_dy: [f32; CHUNK],
    /// ⟨x_t, d(Δx)_t⟩ without what dy_t itself adds.
    pub x_future: [f32; CHUNK],
    /// Δ_t·⟨B_t, C_t⟩ + D
    pub to_x: [f32; CHUNK],
    /// Gradient of the raw step.
    pub raw: [f32; CHUNK],
}

impl Slopes {
    pub fn new() -> Self {
        let zeros = [0.0; CHUNK];
        Self { bc: zeros, x_dy: zeros, delta_x_dy: zeros, x_future: zeros, to_x: zeros, raw: zeros }
    }

    /// Fills Δ·⟨x, dy⟩.
    pub fn fill_delta_x_dy(&mut self, gates: &Gates) {
        for ((out, x_dy), delta) in self.delta_x_dy.iter_mut().zip(&self.x_dy).zip(&gates.delta) {
            *out = delta * x_dy;
        }
    }

    /// Fills Δ·⟨B, C⟩ + D.
    pub fn fill_to_x(&mut self, gates: &Gates, d_skip: f32) {
        for ((to_x, bc), delta) in self.to_x.iter_mut().zip(&self.bc).zip(&gates.delta) {
            *to_x = delta * bc + d_skip;
        }
    }

    /// Fills `raw` for a head with decay rate `a`; returns the gradients of dt_bias, a_log and D.
    ///
    /// `end` is u after the last position: what the future asks of the decay up to there. `dy_past` is
    /// ⟨dy_t, a_t·S_{t−1}·C_t⟩.
    pub fn fill_raw(&mut self, gates: &Gates, dy_past: &[f32], a: f32, end: f32) -> [f32; 3] {
        let len = dy_past.len();
        let mut u = end;
        for t in (0..len).rev() {
            u += dy_past[t] - gates.delta[t] * self.x_future[t];
            // what a decay of zero let through was nothing
            u = if gates.carry[t] == 0.0 { 0.0 } else { u };
            self.raw[t] = u;
        }
        for rest in [&mut self.raw, &mut self.x_future, &mut self.x_dy] {
            rest[len..].fill(0.0);
        }
        raw_steps(gates, self, a)
    }
}

simd! {
    /// `raw`: u → (A·u + ⟨x, d(Δx)⟩)·softplus'; returns the sums of that, of u·Δ·A and of ⟨x, dy⟩.
    fn raw_steps<S>(gates: &Gates, slopes: &mut Slopes, a: f32) -> [f32; 3] {
        let [mut d_bias, mut d_a_log, mut d_skip] = [[0.0; LANES]; 3];
        for start in (0..CHUNK).step_by(LANES) {
            for lane in 0..LANES {
                let i = start + lane;
                let u = a * slopes.raw[i];
                let d_delta = u + mul_add::<S>(slopes.bc[i], slopes.x_dy[i], slopes.x_future[i]);
                let d_raw = d_delta * sigmoid::<S>(gates.argument[i]);
                slopes.raw[i] = d_raw;
                d_bias[lane] += d_raw;
                d_a_log[lane] = mul_add::<S>(u, gates.delta[i], d_a_log[lane]);
                d_skip[lane] += slopes.x_dy[i];
            }
        }
        [d_bias, d_a_log, d_skip].map(lane_sum)
    }
}
