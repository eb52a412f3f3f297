//! The fused form of CubeCL's devices: logits exist a block of tokens at a time, and once more in the backward pass.

use burn::tensor::{Int, Tensor};
use burn_cubecl::CubeBackend;
use cubecl::prelude::*;

use crate::{
    cube::{
        array::{Array, Indices, UNITS, array, cubes, tensor, units},
        reduce::{cube_max, cube_sum},
    },
    function::{Function, apply, only},
};

/// Logits of a block.
const LOGITS: usize = 1 << 22;

pub(super) fn head_cross_entropy(
    hidden_td: Tensor<2>,
    head_vd: Tensor<2>,
    targets_t: Tensor<1, Int>,
    logits_scaling: f64,
) -> Tensor<1> {
    let head = Head { targets: Indices::of(targets_t), scaling: logits_scaling as f32 };
    let [nats] = apply(head, [hidden_td.into_dispatch(), head_vd.into_dispatch()]);
    Tensor::from_dispatch(nats)
}

struct Head {
    targets: Indices,
    scaling: f32,
}

impl Head {
    /// What `each` makes of the logits of every block of tokens, given its first one.
    fn blocks<T>(
        &self,
        hidden: &Tensor<2>,
        head: &Tensor<2>,
        mut each: impl FnMut(usize, Tensor<2>, Array) -> T,
    ) -> Vec<T> {
        let ([t, _], [v, _]) = (hidden.dims(), head.dims());
        let block = (LOGITS / v).clamp(1, t);
        let block_of = |first| {
            let hidden = hidden.clone().narrow(0, first, block.min(t - first));
            let logits = array(hidden.clone().matmul(head.clone().transpose()));
            each(first, hidden, logits)
        };
        (0..t).step_by(block).map(block_of).collect()
    }
}

impl Function<2, 1> for Head {
    type On = CubeBackend;

    /// hidden, head, ln Σ exp of each token's logits
    type Saved = [Array; 3];

    fn forward(&self, [hidden, head]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Self::Saved>) {
        let tokens = hidden.shape()[0];
        let [nats, log_sums] = [(); 2].map(|()| hidden.beside([tokens]));
        self.blocks(&tensor(hidden.clone()), &tensor(head.clone()), |first, _, logits| {
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
        ([nats], wanted.contains(&true).then_some([hidden, head, log_sums]))
    }

    fn backward(
        &self,
        [hidden, head, log_sums]: Self::Saved,
        grads: [Option<Array>; 1],
        wanted: [bool; 2],
    ) -> [Option<Array>; 2] {
        let upstream = only(grads);
        let head: Tensor<2> = tensor(head);
        let gradients = self.blocks(&tensor(hidden), &head, |first, hidden, logits| {
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
            let d_logits: Tensor<2> = tensor(logits);
            let d_hidden = wanted[0].then(|| d_logits.clone().matmul(head.clone()));
            (d_hidden, wanted[1].then(|| d_logits.transpose().matmul(hidden)))
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
