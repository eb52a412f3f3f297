//! The fused form of CubeCL's devices: convolution, scan and gated norm read their columns of the projection in place, and
//! write those of its gradient.

mod conv;
mod scan;

use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;

use self::{
    conv::Conv,
    scan::{Scan, ScanWeights, Scanned},
};
use super::types::{Mamba2Shape, Mamba2State, Mamba2Weights, inputs, outputs};
use crate::{
    cube::array::{Array, zeros},
    function::{Function, apply},
    norm::cube::Norm,
};

pub(super) fn mamba2(
    projected: Tensor<3>,
    weights: Mamba2Weights,
    state: Mamba2State,
    shape: &Mamba2Shape,
) -> (Tensor<3>, Mamba2State) {
    outputs(apply(Mamba2 { shape: *shape }, inputs(projected, weights, state)))
}

/// From [`inputs`] to [`outputs`].
struct Mamba2 {
    shape: Mamba2Shape,
}

struct Saved {
    inputs: [Array; 8],
    /// Rows x | B | C after the convolution.
    xbc: Array,
    scanned: Scanned,
}

impl Mamba2 {
    fn conv(&self) -> Conv {
        Conv { start: self.shape.d_inner(), channels: self.shape.d_conv_channels() }
    }

    fn norm<'a>(&self, projected: &'a Array) -> Norm<'a> {
        Norm { gate: Some(projected), n_groups: self.shape.n_groups, eps: self.shape.eps as f32 }
    }
}

impl Function<9, 3> for Mamba2 {
    type On = CubeBackend;

    type Saved = Saved;

    fn forward(&self, inputs: [Array; 9], wanted: [bool; 9]) -> ([Array; 3], Option<Saved>) {
        let [projected, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv_state, ssm_state] = inputs;
        let (xbc, next_conv) = self.conv().forward(&projected, &conv_weight, &conv_bias, &conv_state);
        let weights = ScanWeights { dt_bias: &dt_bias, a_log: &a_log, d_skip: &d_skip };
        let (scanned, next_ssm) = Scan::new(&self.shape, &projected).forward(&projected, &xbc, &weights, &ssm_state);
        let normed = self.norm(&projected).forward(&scanned.y, &norm);
        let saved = wanted.contains(&true).then(|| Saved {
            inputs: [projected, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv_state],
            xbc,
            scanned,
        });
        ([normed, next_conv, next_ssm], saved)
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 3], wanted: [bool; 9]) -> [Option<Array>; 9] {
        let [d_normed, d_next_conv, d_next_ssm] = grads;
        let Saved { inputs, xbc, scanned } = saved;
        let [projected, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv_state] = inputs;
        // the loss may depend on a state alone
        let d_normed = d_normed.unwrap_or_else(|| zeros(&scanned.y));

        let d_projected = projected.like();
        let (d_y, d_norm) = self.norm(&projected).backward(&scanned.y, &norm, &d_normed, Some(&d_projected));
        let weights = ScanWeights { dt_bias: &dt_bias, a_log: &a_log, d_skip: &d_skip };
        let scan = Scan::new(&self.shape, &projected);
        let gradients = scan.backward(&projected, &xbc, &weights, &scanned, &d_y, d_next_ssm, &d_projected);
        let conv = self.conv().backward(
            &projected,
            &conv_weight,
            &conv_bias,
            &conv_state,
            &gradients.xbc,
            d_next_conv,
            &d_projected,
        );
        let found = [
            d_projected,
            conv.weight,
            conv.bias,
            gradients.dt_bias,
            gradients.a_log,
            gradients.d_skip,
            d_norm,
            conv.state,
            gradients.state,
        ];
        let mut wanted = wanted.into_iter();
        found.map(|gradient| wanted.next().expect("nine inputs").then_some(gradient))
    }
}
