//! The nonlinearity between the two products, on rows that lie in L1 or L2.
//!
//! Each row has a factor, the weight of an expert for its token: it multiplies the hidden row instead of the output,
//! which is the same function and f numbers instead of d.

use crate::{
    simd::{silu, silu_and_derivative, simd},
    sums::dot,
};

simd! {
    /// hidden = factor · silu(gate) · up (arXiv 2002.05202 eq. 6).
    ///
    /// # Shapes
    /// `gate_up`: [rows, 2·f], the gate first; `factors`: [rows]; `hidden`: [rows, f]
    pub(super) fn forward_rows<S>(gate_up: &[f32], factors: &[f32], f: usize, hidden: &mut [f32]) {
        let rows = gate_up.chunks_exact(2 * f).zip(hidden.chunks_exact_mut(f));
        for ((gate_up, hidden), factor) in rows.zip(factors) {
            let (gate, up) = gate_up.split_at(f);
            for ((h, gate), up) in hidden.iter_mut().zip(gate).zip(up) {
                *h = silu::<S>(*gate) * (*up * factor);
            }
        }
    }
}

simd! {
    /// From the gradient of the hidden rows without their factor: the gradients of gate and up, the hidden rows
    /// again, and what the factors' gradients are.
    ///
    /// With g = `d_hidden`, s = silu(gate): d_up = factor·g·s, d_gate = factor·g·up·silu′(gate),
    /// d_factor = ⟨g, s·up⟩.
    ///
    /// # Shapes
    /// `gate_up`, `d_gate_up`: [rows, 2·f]; `d_hidden`, `hidden`: [rows, f]; `factors`, `d_factors`: [rows]
    pub(super) fn backward_rows<S>(
        gate_up: &[f32],
        factors: &[f32],
        d_hidden: &[f32],
        f: usize,
        d_gate_up: &mut [f32],
        hidden: &mut [f32],
        d_factors: &mut [f32],
    ) {
        let inputs = gate_up.chunks_exact(2 * f).zip(d_hidden.chunks_exact(f)).zip(factors);
        let outputs = d_gate_up.chunks_exact_mut(2 * f).zip(hidden.chunks_exact_mut(f)).zip(d_factors);
        for (((gate_up, g), factor), ((d_gate_up, hidden), d_factor)) in inputs.zip(outputs) {
            let (gate, up) = gate_up.split_at(f);
            let (d_gate, d_up) = d_gate_up.split_at_mut(f);
            // one length for all, so that the loop has no bounds checks
            let (gate, up, g, hidden) = (&gate[..f], &up[..f], &g[..f], &mut hidden[..f]);
            let (d_gate, d_up) = (&mut d_gate[..f], &mut d_up[..f]);
            for i in 0..f {
                let (s, slope) = silu_and_derivative::<S>(gate[i]);
                let scaled = factor * g[i];
                hidden[i] = s * up[i];
                d_up[i] = scaled * s;
                d_gate[i] = scaled * up[i] * slope;
            }
            *d_factor = dot::<S>(g, hidden);
            for h in hidden {
                *h *= factor;
            }
        }
    }
}
