//! x, Δ, A, B, C → the SSM, by chunks (training, prefill) and by recurrence (decoding)
//!
//! ```text
//! S_t = a_t · S_{t−1} + Δ_t · x_t ⊗ B_t        a_t = exp(A·Δ_t)
//! y_t = S_t · C_t + D · x_t
//!
//! chunked: [b, l] → [b·c, q]
//!   within a chunk    y  = (C·Bᵀ ∘ decay) · Δx                a q×q matrix a head
//!   of a chunk        S  = (decay to the end ∘ Δx)ᵀ · B
//!   between chunks    S' = decay of the chunk · S' + S        a loop over c
//!   from the past     y += decay from the start ∘ C · S'ᵀ
//! ```

use burn::tensor::{Bool, Tensor};

/// Smallest log-decay over a span. Below it a state has shrunk by more than 10²¹, which no f32 sum can see; stopping
/// there keeps products out of the subnormal range, where a processor is many times slower.
const MIN_LOG_DECAY: f64 = -50.0;

/// What drives the SSM: the inputs of arXiv 2405.21060 §2, with Δ after softplus.
#[derive(Clone, Debug)]
pub struct ScanInput {
    /// Inputs [b, l, h, p].
    pub x: Tensor<4>,
    /// Step sizes Δ > 0 [b, l, h].
    pub dt: Tensor<3>,
    /// Continuous-time decay A < 0 `[h]`.
    pub a: Tensor<1>,
    /// Input directions [b, l, g, n].
    pub b: Tensor<4>,
    /// Output directions [b, l, g, n].
    pub c: Tensor<4>,
    /// Skip connection D `[h]`.
    pub d_skip: Tensor<1>,
}

/// The SSM over a whole sequence by chunks of `chunk_len` positions (arXiv 2405.21060 §6, listing 1), from `state`.
///
/// Any length will do: the last chunk is padded with Δ = 0, which leaves the state as it is.
///
/// # Shapes
/// `state`: [b, h, p, n] → (y [b, l, h, p], state [b, h, p, n])
pub fn chunked_scan(input: ScanInput, state: Tensor<4>, chunk_len: usize) -> (Tensor<4>, Tensor<4>) {
    let [batch, len, h, p] = input.x.dims();
    let [_, _, g, n] = input.b.dims();
    let heads_per_group = h / g;
    let q = chunk_len.min(len);
    let chunks = len.div_ceil(q);
    let bc = batch * chunks;
    let skip = input.x.clone() * input.d_skip.reshape([1, 1, h, 1]);

    let x = pad_positions(input.x * input.dt.clone().unsqueeze_dim(3), chunks * q).reshape([bc, q, h, p]);
    let dt = pad_positions(input.dt.unsqueeze_dim(3), chunks * q).reshape([bc, q, h]);
    let b = pad_positions(input.b, chunks * q).reshape([bc, q, g, n]).swap_dims(1, 2);
    let c = pad_positions(input.c, chunks * q).reshape([bc, q, g, n]).swap_dims(1, 2);

    // cumulative log-decay from the start of the chunk up to and including each position
    let log_decay = (dt * input.a.reshape([1, 1, h])).cumsum(1); // [bc, q, h]
    let total = log_decay.clone().narrow(1, q - 1, 1); // [bc, 1, h]

    let within = {
        let by_head = log_decay.clone().swap_dims(1, 2); // [bc, h, q]
        let span = by_head.clone().unsqueeze_dim::<4>(3) - by_head.unsqueeze_dim::<4>(2);
        let future = Tensor::<2, Bool>::tril_mask([q, q], 0, &span.device()).unsqueeze::<4>();
        let decay = span.clamp(MIN_LOG_DECAY, 0.0).mask_fill(future, f32::NEG_INFINITY).exp();
        let scores = c.clone().matmul(b.clone().swap_dims(2, 3)); // [bc, g, q, q]
        let weights = decay.reshape([bc, g, heads_per_group, q, q]) * scores.unsqueeze_dim::<5>(2);
        weights.reshape([bc, h, q, q]).matmul(x.clone().swap_dims(1, 2)).swap_dims(1, 2) // [bc, q, h, p]
    };

    // heads of a group share B and C, so their channels lie side by side in one product
    let to_end = decay(total.clone() - log_decay.clone()).unsqueeze_dim::<4>(3);
    let chunk_states = (x * to_end)
        .reshape([bc, q, g, heads_per_group * p])
        .permute([0, 2, 3, 1])
        .matmul(b) // [bc, g, r·p, n]
        .reshape([batch, chunks, h, p, n]);
    let chunk_decay = decay(total).reshape([batch, chunks, h, 1, 1]);

    let mut state = state;
    let mut starts = Vec::with_capacity(chunks);
    for chunk in 0..chunks {
        starts.push(state.clone());
        let at = |t: &Tensor<5>| t.clone().narrow(1, chunk, 1).squeeze_dim::<4>(1);
        state = state * at(&chunk_decay) + at(&chunk_states);
    }
    let starts: Tensor<5> = Tensor::stack(starts, 1);
    let from_past = c
        .matmul(starts.reshape([bc, g, heads_per_group * p, n]).swap_dims(2, 3)) // [bc, g, q, r·p]
        .swap_dims(1, 2)
        .reshape([bc, q, h, p])
        * decay(log_decay).unsqueeze_dim::<4>(3);

    let y = (within + from_past).reshape([batch, chunks * q, h, p]).narrow(1, 0, len);
    (y + skip, state)
}

/// The SSM for one position, by its recurrence (arXiv 2405.21060 eq. 1). `input` has l = 1.
///
/// # Shapes
/// `state`: [b, h, p, n] → (y [b, 1, h, p], state [b, h, p, n])
pub fn recurrent_step(input: ScanInput, state: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let [batch, _, h, p] = input.x.dims();
    let [_, _, g, n] = input.b.dims();
    let per_head = |t: Tensor<4>| t.reshape([batch, g, 1, n]).repeat_dim(2, h / g).reshape([batch, h, 1, n]);

    let decay = decay(input.dt.clone() * input.a.reshape([1, 1, h])).reshape([batch, h, 1, 1]);
    let x = input.x.reshape([batch, h, p, 1]);
    let skip = x.clone() * input.d_skip.reshape([1, h, 1, 1]);
    let state = state * decay + x * input.dt.reshape([batch, h, 1, 1]) * per_head(input.b);
    let y = (state.clone() * per_head(input.c)).sum_dim(3) + skip;
    (y.reshape([batch, 1, h, p]), state)
}

/// exp of a log-decay, never subnormal.
fn decay<const D: usize>(log_decay: Tensor<D>) -> Tensor<D> {
    log_decay.clamp(MIN_LOG_DECAY, 0.0).exp()
}

/// Append zeros along the second dimension up to `len`.
fn pad_positions(t: Tensor<4>, len: usize) -> Tensor<4> {
    let [batch, have, x, y] = t.dims();
    if have == len {
        return t;
    }
    let zeros = Tensor::zeros([batch, len - have, x, y], &t.device());
    Tensor::cat(vec![t, zeros], 1)
}
