//! gate | up → silu(gate) · up

use cubecl::prelude::*;

use crate::cube::{
    array::{Array, Indices, UNITS, cubes, units},
    maths::{sigmoid, silu_slope},
    reduce::cube_sum,
};

/// How the rows of experts are weighed in the sum of a token.
pub(super) struct Weighed<'a> {
    /// Of each slot.
    pub weights: &'a Array,
    /// The slot of each row, −1 where there is none.
    pub slots: &'a Indices,
    /// Where their gradients are written.
    pub d_weights: &'a Array,
}

/// [t, 2·f] → [t, f]
pub(super) fn swiglu(gate_up: &Array) -> Array {
    let (rows, f) = (gate_up.shape()[0], gate_up.width() / 2);
    let hidden = gate_up.beside([rows, f]);
    let (count, dim) = units(gate_up.client(), rows * f);
    forward::launch(gate_up.client(), count, dim, gate_up.arg(), hidden.arg(), f);
    hidden
}

/// The gradient of gate | up [t, 2·f] from what the sums of tokens give the rows [t, f], and the rows themselves, weighed.
pub(super) fn swiglu_gradient(gate_up: &Array, d_hidden: &Array, weighed: Option<Weighed<'_>>) -> (Array, Array) {
    let (rows, f) = (d_hidden.shape()[0], d_hidden.width());
    let (d_gate_up, hidden) = (gate_up.like(), d_hidden.like());
    let client = gate_up.client();
    let (count, dim) = cubes(client, rows);
    // what is not weighed needs places that nothing is read from
    let (nowhere, none) = (gate_up.beside([1]), Indices::beside(gate_up, 1));
    let nothing = Weighed { weights: gate_up, slots: &none, d_weights: &nowhere };
    let is_weighed = weighed.is_some();
    let Weighed { weights, slots, d_weights } = weighed.unwrap_or(nothing);
    backward::launch(
        client,
        count,
        dim,
        gate_up.arg(),
        d_hidden.arg(),
        weights.arg(),
        slots.arg(),
        d_gate_up.arg(),
        hidden.arg(),
        d_weights.arg(),
        rows,
        is_weighed,
        f,
        UNITS as usize,
    );
    (d_gate_up, hidden)
}

#[cube(launch)]
fn forward(gate_up: &[f32], hidden: &mut [f32], #[comptime] f: usize) {
    let at = ABSOLUTE_POS;
    if at < hidden.len() {
        let from = at / f * 2 * f + at % f;
        let gate = gate_up[from];
        hidden[at] = gate * sigmoid(gate) * gate_up[from + f];
    }
}

/// A cube a row.
#[cube(launch)]
fn backward(
    gate_up: &[f32],
    d_hidden: &[f32],
    weights: &[f32],
    slots: &[i32],
    d_gate_up: &mut [f32],
    hidden: &mut [f32],
    d_weights: &mut [f32],
    rows: usize,
    #[comptime] is_weighed: bool,
    #[comptime] f: usize,
    #[comptime] n_units: usize,
) {
    let row = CUBE_POS;
    let unit = UNIT_POS as usize;
    let mut weight = 1.0f32;
    let mut of_weight = 0.0f32;
    if row < rows {
        if comptime![is_weighed] {
            weight = 0.0;
            if slots[row] >= 0 {
                weight = weights[slots[row] as usize];
            }
        }
        for i in range_stepped(unit, f, n_units) {
            let from = row * 2 * f + i;
            let gate = gate_up[from];
            let up = gate_up[from + f];
            let s = sigmoid(gate);
            let value = gate * s * up;
            let gradient = d_hidden[row * f + i];
            of_weight += gradient * value;
            hidden[row * f + i] = value * weight;
            d_gate_up[from] = gradient * weight * up * silu_slope(gate);
            d_gate_up[from + f] = gradient * weight * gate * s;
        }
    }
    if comptime![is_weighed] {
        let sum = cube_sum(of_weight, n_units);
        if row < rows && unit == 0 && slots[row] >= 0 {
            d_weights[slots[row] as usize] = sum;
        }
    }
}
