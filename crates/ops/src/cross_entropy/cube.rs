//! The fused form of CubeCL's devices: logits exist a block of tokens at a time, and once more in the backward pass.

use burn::tensor::{Int, Tensor};
use burn_cubecl::CubeBackend;
use cubecl::prelude::*;
use itera_shape::Precision;

use crate::{
    cube::{
        array::{Array, Indices, UNITS, array, cubes, units},
        operand::Operand,
        reduce::{cube_max, cube_sum},
    },
    function::{Function, apply, only},
    precision::precisions,
};

/// Logits of a block.
const LOGITS: usize = 1 << 22;

pub(super) fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    let (targets, scaling) = (Indices::of(targets_t), logits_scaling as f32);
    let head = Head { targets, scaling, products: precisions().products };
    let [nats] = apply(head, [hidden_td.into_dispatch(), head_vd.into_dispatch()]);
    Tensor::from_dispatch(nats)
}

struct Head {
    targets: Indices,
    scaling: f32,
    products: Precision,
}

impl Head {
    /// What `each` makes of the logits of every block of tokens, given its first one.
    fn blocks<T>(&self, hidden: &Operand, head: &Operand, mut each: impl FnMut(usize, Operand, Array) -> T) -> Vec<T> {
        let (t, v) = (hidden.len(), head.len());
        let block = (LOGITS / v).clamp(1, t);
        let block_of = |first| {
            let hidden = hidden.rows_from(first, block.min(t - first));
            let logits = array(hidden.times(&head.t()));
            each(first, hidden, logits)
        };
        (0..t).step_by(block).map(block_of).collect()
    }
}

impl Function<2, 1> for Head {
    type On = CubeBackend;

    /// hidden, head, ln Σ exp of each token's logits
    type Saved = (Operand, Operand, Array);

    fn forward(&self, [hidden, head]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Self::Saved>) {
        let tokens = hidden.shape()[0];
        let [nats, log_sums] = [(); 2].map(|()| hidden.beside([tokens]));
        let [hidden, head] = [hidden, head].map(|values| Operand::rows(&values, self.products));
        self.blocks(&hidden, &head, |first, _, logits| {
            let (count, dim) = cubes(logits.client(), logits.shape()[0]);
            nats_of_targets::launch(
                logits.client(),
                count,
                dim,
                logits.arg(),
                self.targets.arg(),
                nats.arg(),
                log_sums.arg(),
                first,
                1.0 / self.scaling,
                logits.width(),
                UNITS as usize,
            );
        });
        ([nats], wanted.contains(&true).then_some((hidden, head, log_sums)))
    }

    fn backward(
        &self,
        (hidden, head, log_sums): Self::Saved,
        grads: [Option<Array>; 1],
        wanted: [bool; 2],
    ) -> [Option<Array>; 2] {
        let upstream = only(grads);
        let gradients = self.blocks(&hidden, &head, |first, hidden, logits| {
            let (count, dim) = units(logits.client(), logits.len());
            logits_gradient::launch(
                logits.client(),
                count,
                dim,
                logits.arg(),
                self.targets.arg(),
                log_sums.arg(),
                upstream.arg(),
                first,
                1.0 / self.scaling,
                logits.width(),
            );
            let d_logits = Operand::rows(&logits, self.products);
            (wanted[0].then(|| d_logits.times(&head)), wanted[1].then(|| d_logits.t().times(&hidden)))
        });
        let (d_hidden, d_head): (Vec<_>, Vec<_>) = gradients.into_iter().unzip();
        let d_hidden: Option<Vec<_>> = d_hidden.into_iter().collect();
        let d_head = d_head.into_iter().flatten().reduce(|sum, block| sum + block);
        [d_hidden.map(|blocks| array(Tensor::cat(blocks, 0))), d_head.map(array)]
    }
}

#[cube(launch)]
fn nats_of_targets(
    logits: &[f32],
    targets: &[i32],
    nats: &mut [f32],
    log_sums: &mut [f32],
    first: usize,
    inverse_scaling: f32,
    #[comptime] v: usize,
    #[comptime] n_units: usize,
) {
    let row = CUBE_POS;
    let live = row * v < logits.len();
    let unit = UNIT_POS as usize;
    let mut largest = f32::new(f32::MIN);
    if live {
        for i in range_stepped(unit, v, n_units) {
            largest = max(largest, logits[row * v + i] * inverse_scaling);
        }
    }
    let largest = cube_max(largest, n_units);
    let mut sum = 0.0f32;
    if live {
        for i in range_stepped(unit, v, n_units) {
            sum += (logits[row * v + i] * inverse_scaling - largest).exp();
        }
    }
    let log_sum = largest + cube_sum(sum, n_units).ln();
    if live && unit == 0 {
        let token = first + row;
        log_sums[token] = log_sum;
        nats[token] = log_sum - logits[row * v + targets[token] as usize] * inverse_scaling;
    }
}

/// Logits become their gradients.
#[cube(launch)]
fn logits_gradient(
    logits: &mut [f32],
    targets: &[i32],
    log_sums: &[f32],
    upstream: &[f32],
    first: usize,
    inverse_scaling: f32,
    #[comptime] v: usize,
) {
    let at = ABSOLUTE_POS;
    if at < logits.len() {
        let token = first + at / v;
        let mut d_logit = (logits[at] * inverse_scaling - log_sums[token]).exp();
        if targets[token] as usize == at % v {
            d_logit -= 1.0;
        }
        logits[at] = d_logit * upstream[token] * inverse_scaling;
    }
}
