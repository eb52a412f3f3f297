//! The fused form, over `itera_kernels::{conv, scan, gated_norm}`: all three read their columns of the projection in place,
//! and write those of its gradient.

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::{
    columns::Columns,
    conv::{CausalConv, ConvGradients, causal_conv_silu, causal_conv_silu_backward},
    gated_norm::{GatedNorm, gated_norm, gated_norm_backward},
    scan::{ScanGradient, ScanInput, ScanShape, scan, scan_backward},
};

use super::types::{Mamba2Shape, Mamba2State, Mamba2Weights, inputs, outputs};
use crate::{
    flex::{array::Array, buffers, kept::Kept},
    function::{Function, apply},
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
    projected: Kept,
    /// Rows x | B | C after the convolution.
    xbc: Kept,
    /// What the scan made of them.
    y: Kept,
    /// conv_weight, conv_bias, dt_bias, a_log, d_skip, norm
    weights: [Kept; 6],
    /// conv, ssm
    states: [Kept; 2],
    batch: usize,
}

/// The operators of a mixer for sequences of one length.
struct Parts {
    conv: CausalConv,
    scan: ScanShape,
    norm: GatedNorm,
    dt_columns: Columns,
}

impl Mamba2 {
    fn parts(&self, batch: usize, len: usize, taps: usize) -> Parts {
        let Mamba2Shape { n_heads, d_head, d_state, n_groups, eps, .. } = self.shape;
        let (i, channels) = (self.shape.d_inner(), self.shape.d_conv_channels());
        let stride = i + channels + n_heads;
        let z = Columns { stride, start: 0, width: i };
        let x = Columns { stride, start: i, width: channels };
        Parts {
            conv: CausalConv { len, taps, x, dx: x },
            scan: ScanShape { batch, len, n_heads, d_head, d_state, n_groups },
            norm: GatedNorm { z, dz: z, n_groups, eps: eps as f32 },
            dt_columns: Columns { stride, start: i + channels, width: n_heads },
        }
    }
}

impl Function<9, 3> for Mamba2 {
    type On = Flex;
    type Saved = Saved;

    fn forward(&self, inputs: [Array; 9], wanted: [bool; 9]) -> ([Array; 3], Option<Saved>) {
        let [projected, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv_state, ssm_state] = &inputs;
        let (batch, len) = (projected.shape()[0], projected.shape()[1]);
        let Parts { conv, scan: scan_shape, norm: norm_op, dt_columns } = self.parts(batch, len, conv_weight.width());
        let tokens = batch * len;

        let mut xbc = buffers::take(tokens * conv.x.width);
        let mut next_conv = buffers::take(conv_state.len());
        let state = Some(&**conv_state);
        causal_conv_silu(&conv, projected, conv_weight, conv_bias, state, &mut xbc, Some(&mut next_conv));

        let mut y = buffers::take(tokens * scan_shape.d_inner());
        let mut next_ssm = buffers::take(ssm_state.len());
        let input = ScanInput {
            xbc: &xbc,
            raw_dt: projected[..].into(),
            dt_columns,
            dt_bias,
            a_log,
            d_skip,
            state: Some(ssm_state),
        };
        scan(&scan_shape, &input, &mut y, Some(&mut next_ssm));

        let mut normed = buffers::take(y.len());
        gated_norm(&norm_op, &y, projected, norm, &mut normed);

        let outputs = [
            Array::new(normed, [batch, len, scan_shape.d_inner()]),
            Array::new(next_conv, conv_state.shape().clone()),
            Array::new(next_ssm, ssm_state.shape().clone()),
        ];
        let [xbc, y] = [xbc, y].map(Array::from);
        let saved = wanted.contains(&true).then(|| Saved {
            projected: Kept::activation(projected),
            xbc: Kept::activation(&xbc),
            y: Kept::activation(&y),
            weights: [conv_weight, conv_bias, dt_bias, a_log, d_skip, norm].map(Kept::weight),
            states: [conv_state, ssm_state].map(Kept::exact),
            batch,
        });
        (outputs, saved)
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 3], wanted: [bool; 9]) -> [Option<Array>; 9] {
        let [d_normed, d_next_conv, d_next_ssm] = grads;
        let (projected, xbc, y) = (saved.projected.stored(), saved.xbc.read(), saved.y.stored());
        let [conv_weight, conv_bias, dt_bias, a_log, d_skip, norm] = saved.weights.each_ref().map(Kept::read);
        let [conv_state, ssm_state] = saved.states.each_ref().map(Kept::read);
        let tokens = xbc.len() / self.shape.d_conv_channels();
        let taps = conv_weight.len() / conv_bias.len();
        let Parts { conv, scan, norm: norm_op, dt_columns } = self.parts(saved.batch, tokens / saved.batch, taps);
        // the loss may depend on a state alone
        let d_normed = d_normed.unwrap_or_else(|| vec![0.0; tokens * self.shape.d_inner()].into());

        let mut d_projected = buffers::take(tokens * dt_columns.stride);
        let (mut d_y, mut d_norm) = (buffers::take(d_normed.len()), buffers::take(norm.len()));
        gated_norm_backward(&norm_op, y, projected, &norm, &d_normed, &mut d_y, &mut d_projected, &mut d_norm);

        let mut d_xbc = buffers::take(xbc.len());
        let [mut d_dt_bias, mut d_a_log, mut d_d_skip] = [&dt_bias, &a_log, &d_skip].map(|w| buffers::take(w.len()));
        let mut d_ssm_state = wanted[8].then(|| buffers::take(ssm_state.len()));
        let input = ScanInput {
            xbc: &xbc,
            raw_dt: projected,
            dt_columns,
            dt_bias: &dt_bias,
            a_log: &a_log,
            d_skip: &d_skip,
            state: Some(&ssm_state),
        };
        let gradient = ScanGradient {
            xbc: &mut d_xbc,
            raw_dt: &mut d_projected,
            dt_columns,
            dt_bias: &mut d_dt_bias,
            a_log: &mut d_a_log,
            d_skip: &mut d_d_skip,
            state: d_ssm_state.as_deref_mut(),
        };
        scan_backward(&scan, &input, &d_y, d_next_ssm.as_deref(), gradient);
        buffers::give(d_y);

        let [mut d_conv_weight, mut d_conv_bias] = [&conv_weight, &conv_bias].map(|w| buffers::take(w.len()));
        let mut d_conv_state = wanted[7].then(|| buffers::take(conv_state.len()));
        let gradients = ConvGradients {
            d_x: &mut d_projected,
            dw: &mut d_conv_weight,
            d_bias: &mut d_conv_bias,
            d_state: d_conv_state.as_deref_mut(),
        };
        let d_next_conv = d_next_conv.as_deref();
        let state = Some(&*conv_state);
        causal_conv_silu_backward(&conv, projected, &conv_weight, &conv_bias, state, &d_xbc, d_next_conv, gradients);
        buffers::give(d_xbc);

        let [d_projected, d_conv_weight, d_conv_bias, d_dt_bias, d_a_log, d_d_skip, d_norm] =
            [d_projected, d_conv_weight, d_conv_bias, d_dt_bias, d_a_log, d_d_skip, d_norm].map(|g| Some(g.into()));
        let [d_conv_state, d_ssm_state] = [d_conv_state, d_ssm_state].map(|grad| grad.map(Array::from));
        [d_projected, d_conv_weight, d_conv_bias, d_dt_bias, d_a_log, d_d_skip, d_norm, d_conv_state, d_ssm_state]
    }
}
