//! The fused form of CubeCL's devices, with and without a gate: a cube a group of channels of a row.

use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use cubecl::prelude::*;

use crate::{
    cube::{
        array::{Array, UNITS, cubes, units},
        maths::{sigmoid, silu_slope},
        reduce::{column_sums, cube_sum},
    },
    function::{Function, apply, only},
};

/// Rows that a unit adds up for the gradient of the weight.
const ROWS: usize = 64;

pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    let [y] = apply(RmsNorm { eps: eps as f32 }, [x.into_dispatch(), w_d.into_dispatch()]);
    Tensor::from_dispatch(y)
}

struct RmsNorm {
    eps: f32,
}

impl Function<2, 1> for RmsNorm {
    type On = CubeBackend;

    /// x, w
    type Saved = [Array; 2];

    fn forward(&self, [x, w]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Self::Saved>) {
        let y = Norm { gate: None, n_groups: 1, eps: self.eps }.forward(&x, &w);
        ([y], wanted.contains(&true).then_some([x, w]))
    }

    fn backward(&self, [x, w]: Self::Saved, grads: [Option<Array>; 1], wanted: [bool; 2]) -> [Option<Array>; 2] {
        let norm = Norm { gate: None, n_groups: 1, eps: self.eps };
        let (dx, dw) = norm.backward(&x, &w, &only(grads), None);
        [wanted[0].then_some(dx), wanted[1].then_some(dw)]
    }
}

/// `rms_norm(x · silu(gate))` within groups of channels, or without a gate.
pub(crate) struct Norm<'a> {
    /// Rows that begin with the gate.
    pub gate: Option<&'a Array>,
    pub n_groups: usize,
    pub eps: f32,
}

impl Norm<'_> {
    /// `x`: [.., i], `w`: `[i]` → [.., i]
    pub(crate) fn forward(&self, x: &Array, w: &Array) -> Array {
        let y = x.like();
        let width = w.len();
        let gate = self.gate.unwrap_or(x);
        let (count, dim) = cubes(x.client(), x.len() / width * self.n_groups);
        forward::launch(
            x.client(),
            count,
            dim,
            x.arg(),
            gate.arg(),
            w.arg(),
            y.arg(),
            self.eps,
            gate.width(),
            self.gate.is_some(),
            width / self.n_groups,
            self.n_groups,
            UNITS as usize,
        );
        y
    }

    /// Gradients of `x` and `w`; that of the gate is written into the columns of `d_gate` where the gate lies.
    pub(crate) fn backward(&self, x: &Array, w: &Array, dy: &Array, d_gate: Option<&Array>) -> (Array, Array) {
        let (width, rows) = (w.len(), x.len() / w.len());
        let client = x.client();
        let gate = self.gate.unwrap_or(x);
        let dx = x.like();
        // what has no gate needs a place that nothing is written to
        let nowhere = x.beside([1]);
        let d_gate = d_gate.unwrap_or(&nowhere);
        let scales = x.beside([rows, self.n_groups]);
        let (count, dim) = cubes(client, rows * self.n_groups);
        backward::launch(
            client,
            count,
            dim,
            x.arg(),
            gate.arg(),
            w.arg(),
            dy.arg(),
            dx.arg(),
            d_gate.arg(),
            scales.arg(),
            self.eps,
            gate.width(),
            self.gate.is_some(),
            width / self.n_groups,
            self.n_groups,
            UNITS as usize,
        );
        let blocks = rows.div_ceil(ROWS);
        let partial = x.beside([blocks, width]);
        let (count, dim) = units(client, blocks * width);
        weight_gradient::launch(
            client,
            count,
            dim,
            x.arg(),
            gate.arg(),
            dy.arg(),
            scales.arg(),
            partial.arg(),
            rows,
            gate.width(),
            self.gate.is_some(),
            width,
            self.n_groups,
            ROWS,
        );
        (dx, column_sums(&partial))
    }
}

/// `x · silu(gate)`, or `x`.
#[cube]
fn gated(x: f32, gate: f32, #[comptime] has_gate: bool) -> f32 {
    let mut value = x;
    if comptime![has_gate] {
        value *= gate * sigmoid(gate);
    }
    value
}

#[cube(launch)]
fn forward(
    x: &[f32],
    gate: &[f32],
    w: &[f32],
    y: &mut [f32],
    eps: f32,
    gate_stride: usize,
    #[comptime] has_gate: bool,
    #[comptime] group: usize,
    #[comptime] n_groups: usize,
    #[comptime] n_units: usize,
) {
    let width = group * n_groups;
    let row = CUBE_POS / n_groups;
    let column = CUBE_POS % n_groups * group;
    let live = row * width < x.len();
    let unit = UNIT_POS as usize;
    let mut squares = 0.0f32;
    if live {
        for i in range_stepped(unit, group, n_units) {
            let value = gated(x[row * width + column + i], gate[row * gate_stride + column + i], has_gate);
            squares += value * value;
        }
    }
    let scale = (cube_sum(squares, n_units) / group as f32 + eps).inverse_sqrt();
    if live {
        for i in range_stepped(unit, group, n_units) {
            let value = gated(x[row * width + column + i], gate[row * gate_stride + column + i], has_gate);
            y[row * width + column + i] = value * scale * w[column + i];
        }
    }
}

/// With v = x · silu(gate), s = 1 / √(mean v² + ε) and g = w · dy: dv = s · (g − v · s² · mean(g · v)).
#[cube(launch)]
fn backward(
    x: &[f32],
    gate: &[f32],
    w: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    d_gate: &mut [f32],
    scales: &mut [f32],
    eps: f32,
    gate_stride: usize,
    #[comptime] has_gate: bool,
    #[comptime] group: usize,
    #[comptime] n_groups: usize,
    #[comptime] n_units: usize,
) {
    let width = group * n_groups;
    let row = CUBE_POS / n_groups;
    let column = CUBE_POS % n_groups * group;
    let live = row * width < x.len();
    let unit = UNIT_POS as usize;
    let mut squares = 0.0f32;
    let mut products = 0.0f32;
    if live {
        for i in range_stepped(unit, group, n_units) {
            let at = row * width + column + i;
            let value = gated(x[at], gate[row * gate_stride + column + i], has_gate);
            squares += value * value;
            products += value * w[column + i] * dy[at];
        }
    }
    let scale = (cube_sum(squares, n_units) / group as f32 + eps).inverse_sqrt();
    let mean = cube_sum(products, n_units) / group as f32;
    if live {
        for i in range_stepped(unit, group, n_units) {
            let at = row * width + column + i;
            let x = x[at];
            let gate_at = row * gate_stride + column + i;
            let z = gate[gate_at];
            let value = gated(x, z, has_gate);
            let d_value = scale * (w[column + i] * dy[at] - value * scale * scale * mean);
            if comptime![has_gate] {
                dx[at] = d_value * z * sigmoid(z);
                d_gate[gate_at] = d_value * x * silu_slope(z);
            } else {
                dx[at] = d_value;
            }
        }
        if unit == 0 {
            scales[CUBE_POS] = scale;
        }
    }
}

#[cube(launch)]
fn weight_gradient(
    x: &[f32],
    gate: &[f32],
    dy: &[f32],
    scales: &[f32],
    partial: &mut [f32],
    n_rows: usize,
    gate_stride: usize,
    #[comptime] has_gate: bool,
    #[comptime] width: usize,
    #[comptime] n_groups: usize,
    #[comptime] rows: usize,
) {
    let at = ABSOLUTE_POS;
    if at < partial.len() {
        let column = at % width;
        let first = at / width * rows;
        let group = column / (width / n_groups);
        let mut sum = 0.0f32;
        for row in first..(first + rows).min(n_rows) {
            let value = gated(x[row * width + column], gate[row * gate_stride + column], has_gate);
            sum += dy[row * width + column] * value * scales[row * n_groups + group];
        }
        partial[at] = sum;
    }
}
