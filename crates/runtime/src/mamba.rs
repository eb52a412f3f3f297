//! u → in_proj → z | x B C | dt → conv, recurrence or scan, gated norm → out_proj
//!
//! Each of several states by one step of the recurrence, or by a chunk of tokens; the same function.

use itera_kernels::{
    columns::Columns,
    conv::{CausalConv, causal_conv_silu},
    decode::mamba2_step,
    gated_norm::{GatedNorm, gated_norm},
    scan::{ScanInput, ScanShape, scan},
};
use itera_shape::ModelConfig;

use crate::{
    buffer::sized,
    network::Mamba,
    past::{Chunk, Past},
    state::MambaState,
    workspace::{ForChunks, Workspace},
};

/// The mixer of layer `index` on `rows` rows of `work.u`, into `work.branch`.
pub(crate) fn mix(
    mamba: &Mamba<'_>,
    config: &ModelConfig,
    index: usize,
    rows: usize,
    past: &mut Past<'_, '_>,
    work: &mut Workspace,
) {
    let (d, i, width) = (config.d_model, config.d_inner(), config.d_in_proj());
    let (projected, mixed) = (&mut work.projected[..rows * width], &mut work.mixed[..rows * i]);
    work.linear.input(past.form(), &work.u[..rows * d], d).times(&mamba.in_proj, projected);
    match past {
        Past::Steps(states) => {
            let step = mamba.step(config);
            for ((state, projected), y) in
                states.iter_mut().zip(projected.chunks_exact_mut(width)).zip(mixed.chunks_exact_mut(i))
            {
                let MambaState { window, ssm } = state.mamba_mut(index);
                mamba2_step(&step, projected, window, ssm, y);
            }
        }
        Past::Chunks(chunks) => {
            let (mut projected, mut mixed) = (&*projected, &mut *mixed);
            for Chunk { state, len } in &mut **chunks {
                let (input, output);
                (input, projected) = projected.split_at(*len * width);
                (output, mixed) = mixed.split_at_mut(*len * i);
                mix_chunk(mamba, config, *len, input, state.mamba_mut(index), &mut work.chunk, output);
            }
        }
    }
    work.linear.input(past.form(), mixed, i).times(&mamba.out_proj, &mut work.branch[..rows * d]);
}

/// From `projected` [l, d_in_proj] to the gated and normalised output `mixed` [l, i].
fn mix_chunk(
    mamba: &Mamba<'_>,
    config: &ModelConfig,
    len: usize,
    projected: &[f32],
    MambaState { window, ssm }: &mut MambaState,
    chunk: &mut ForChunks,
    mixed: &mut [f32],
) {
    let (i, ch, h, stride) = (config.d_inner(), config.d_conv_channels(), config.n_heads(), config.d_in_proj());
    let columns = |start, width| Columns { stride, start, width };
    let (xbc, y) = (sized(&mut chunk.xbc, len * ch), sized(&mut chunk.y, len * i));

    let inputs = columns(i, ch);
    let conv = CausalConv { len, taps: config.d_conv, x: inputs, dx: inputs };
    let next = sized(&mut chunk.window, window.len());
    causal_conv_silu(&conv, projected, mamba.conv_weight, mamba.conv_bias, Some(window), xbc, Some(next));
    window.copy_from_slice(next);

    let (p, n) = (config.d_head, config.d_state);
    let shape = ScanShape { batch: 1, len, n_heads: h, d_head: p, d_state: n, n_groups: config.n_groups };
    let [first, last] = &mut chunk.states;
    let (first, last) = (sized(first, ssm.len()), sized(last, ssm.len()));
    transpose_heads(ssm, n, p, first);
    let input = ScanInput {
        xbc,
        raw_dt: projected.into(),
        dt_columns: columns(i + ch, h),
        dt_bias: mamba.dt_bias,
        a_log: &mamba.a_log,
        d_skip: mamba.d_skip,
        state: Some(first),
    };
    scan(&shape, &input, y, Some(last));
    transpose_heads(last, p, n, ssm);

    let z = columns(0, i);
    let norm = GatedNorm { z, dz: z, n_groups: config.n_groups, eps: config.rms_norm_eps as f32 };
    gated_norm(&norm, y, projected, mamba.norm, mixed);
}

/// [h, rows, cols] → [h, cols, rows]
fn transpose_heads(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(rows * cols).zip(to.chunks_exact_mut(rows * cols)) {
        for (col, to) in to.chunks_exact_mut(rows).enumerate() {
            for (to, from) in to.iter_mut().zip(from[col..].iter().step_by(cols)) {
                *to = *from;
            }
        }
    }
}
