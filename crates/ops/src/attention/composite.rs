//! q, k, v → rope → softmax(q·kᵀ·scale, causal) · v

use burn::tensor::{Bool, Int, Tensor, activation::softmax};

use super::types::{AttentionShape, PastKeysValues, Rope};

/// Composite of [`crate::causal_attention`].
///
/// # Shapes
/// `qkv`: [b, l, (heads + 2·kv_heads)·w], `past`: (k, v) each [b, kv_heads, past, w]
/// → (y [b, l, heads·w], (k, v) each [b, kv_heads, past + l, w])
pub fn causal_attention(
    qkv: Tensor<3>,
    past: Option<PastKeysValues>,
    shape: &AttentionShape,
) -> (Tensor<3>, PastKeysValues) {
    let [batch, len, _] = qkv.dims();
    let AttentionShape { n_heads, n_kv_heads, d_head, scale, rope } = *shape;
    let past_len = past.as_ref().map_or(0, |(k, _)| k.dims()[2]);

    let mut q = heads(qkv.clone(), 0, n_heads, d_head);
    if let Some(rope) = rope {
        q = rope.rotate(q, past_len);
    }
    let (k, v) = keys_and_values(qkv, past, shape);
    let seen = past_len + len;

    // the query heads of a key/value head lie side by side, so each group is one product
    let per_kv = n_heads / n_kv_heads;
    let q = q.reshape([batch, n_kv_heads, per_kv * len, d_head]);
    let scores = q.matmul(k.clone().swap_dims(2, 3)).mul_scalar(scale).reshape([batch, n_heads, len, seen]);
    let future = Tensor::<2, Bool>::tril_mask([len, seen], past_len as i64, &scores.device()).unsqueeze::<4>();
    let weights = softmax(scores.mask_fill(future, f32::NEG_INFINITY), 3);
    let y = weights.reshape([batch, n_kv_heads, per_kv * len, seen]).matmul(v.clone());
    let y = y.reshape([batch, n_heads, len, d_head]).swap_dims(1, 2).reshape([batch, len, n_heads * d_head]);
    (y, (k, v))
}

/// The keys, rotated, and the values of `qkv` after those of the past.
fn keys_and_values(qkv: Tensor<3>, past: Option<PastKeysValues>, shape: &AttentionShape) -> PastKeysValues {
    let AttentionShape { n_heads, n_kv_heads, d_head, rope, .. } = *shape;
    let past_len = past.as_ref().map_or(0, |(k, _)| k.dims()[2]);
    let mut k = heads(qkv.clone(), n_heads, n_kv_heads, d_head);
    if let Some(rope) = rope {
        k = rope.rotate(k, past_len);
    }
    let v = heads(qkv, n_heads + n_kv_heads, n_kv_heads, d_head);
    match past {
        Some((past_k, past_v)) => (Tensor::cat(vec![past_k, k], 2), Tensor::cat(vec![past_v, v], 2)),
        None => (k, v),
    }
}

/// `count` heads from the one at `first`: [b, l, ..] → [b, count, l, w]
fn heads(qkv: Tensor<3>, first: usize, count: usize, width: usize) -> Tensor<4> {
    let [batch, len, _] = qkv.dims();
    qkv.narrow(2, first * width, count * width).reshape([batch, len, count, width]).swap_dims(1, 2)
}

impl Rope {
    /// Rotate `x` [b, heads, l, w], whose first position is `start`.
    fn rotate(&self, x: Tensor<4>, start: usize) -> Tensor<4> {
        let [_, _, len, width] = x.dims();
        let half = width / 2;
        let device = x.device();
        let inverse_wavelengths: Vec<f32> =
            (0..half).map(|j| self.theta.powf(-2.0 * j as f64 / width as f64) as f32).collect();
        let positions = Tensor::<1, Int>::arange(start as i64..(start + len) as i64, &device).float();
        let angles = positions.unsqueeze_dim::<2>(1)
            * Tensor::<1>::from_floats(inverse_wavelengths.as_slice(), &device).unsqueeze_dim::<2>(0);
        let (cos, sin) = (angles.clone().cos().unsqueeze::<4>(), angles.sin().unsqueeze::<4>());
        let (x1, x2) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let turned = vec![x1.clone() * cos.clone() - x2.clone() * sin.clone(), x2 * cos + x1 * sin];
        Tensor::cat(turned, 3)
    }
}
