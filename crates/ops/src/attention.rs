//! [q | k | v] → rope → softmax(q·kᵀ·scale, causal) · v

use burn::tensor::Tensor;

use crate::composite;

/// Rotary position embedding (arXiv 2104.09864), rotating the first half of a head against the second.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// Base wavelength θ.
    pub theta: f64,
}

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; each serves n_heads / n_kv_heads query heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f64,
    /// Position embedding, if any.
    pub rope: Option<Rope>,
}

/// Keys and values of past positions, each [b, kv_heads, past, w]; keys are rotated.
pub type PastKeysValues = (Tensor<4>, Tensor<4>);

/// Causal grouped-query attention (arXiv 1706.03762, 2305.13245) of new positions over past and new ones.
///
/// The fused form serves sequences without a past, as training and the first piece of a text are; its keys and values
/// carry no gradient. Others are composed.
///
/// # Shapes
/// `qkv`: [b, l, (heads + 2·kv_heads)·w]: queries, keys and values of a position side by side
/// → (y [b, l, heads·w], (k, v) of past + l positions)
pub fn causal_attention(
    qkv: Tensor<3>,
    past: Option<PastKeysValues>,
    shape: &AttentionShape,
) -> (Tensor<3>, PastKeysValues) {
    #[cfg(feature = "flex")]
    if past.is_none() && crate::function::fused(&qkv) {
        let attention = flex::Attention { shape: *shape, products: crate::precision::precisions().products };
        let [y, keys, values] = crate::function::apply(attention, [qkv.into_dispatch()]);
        let past = [keys, values].map(|past| Tensor::from_dispatch(past).detach());
        return (Tensor::from_dispatch(y), past.into());
    }
    composite::causal_attention(qkv, past, shape)
}

#[cfg(feature = "flex")]
mod flex {
    use itera_kernels::attention::{self, Rope, Saved};

    use super::AttentionShape;
    use crate::{array::Array, buffers, function::Function, kept::Kept, precision::Precision};

    /// Input: queries, keys and values side by side. Outputs: the mixed rows, keys and values.
    pub(super) struct Attention {
        pub(super) shape: AttentionShape,
        pub(super) products: Precision,
    }

    pub(super) struct Kernel {
        op: attention::Attention,
        rope: Option<Rope>,
    }

    impl Attention {
        fn kernel(&self, batch: usize, len: usize) -> Kernel {
            let AttentionShape { n_heads, n_kv_heads, d_head, scale, rope } = self.shape;
            let (scale, precision) = (scale as f32, self.products.into());
            Kernel {
                op: attention::Attention { batch, len, past: 0, n_heads, n_kv_heads, d_head, scale, precision },
                rope: rope.map(|rope| Rope::new(rope.theta, d_head, len)),
            }
        }
    }

    impl Function<1, 3> for Attention {
        /// qkv, y, logsumexp
        type Saved = (Kernel, [Kept; 3]);

        fn forward(&self, [qkv]: [Array; 1], [wanted]: [bool; 1]) -> ([Array; 3], Option<Self::Saved>) {
            let (batch, len) = (qkv.shape()[0], qkv.shape()[1]);
            let kernel = self.kernel(batch, len);
            let Kernel { op, rope } = &kernel;
            let [mut keys, mut values] = [op.keys_len(); 2].map(buffers::take);
            attention::keys_and_values(op, rope.as_ref(), &qkv, (&[], &[]), &mut keys, &mut values);
            let mut y = buffers::take(batch * len * op.y_width());
            let mut logsumexp = buffers::take(batch * len * op.n_heads);
            attention::attend(op, rope.as_ref(), &qkv, (&keys, &values), &mut y, &mut logsumexp);

            let seen = [batch, op.n_kv_heads, len, op.d_head];
            let outputs = [Array::new(y, [batch, len, op.y_width()]), Array::new(keys, seen), Array::new(values, seen)];
            let logsumexp = Array::from(logsumexp);
            let saved = wanted.then(|| {
                let kept = [Kept::activation(&qkv), Kept::activation(&outputs[0]), Kept::exact(&logsumexp)];
                (kernel, kept)
            });
            (outputs, saved)
        }

        fn backward(
            &self,
            (Kernel { op, rope }, kept): Self::Saved,
            [d_y, ..]: [Option<Array>; 3],
            _: [bool; 1],
        ) -> [Option<Array>; 1] {
            let d_y = d_y.expect("keys and values are detached");
            let [qkv, y, logsumexp] = kept.each_ref().map(Kept::read);
            let mut d_qkv = buffers::take(qkv.len());
            let saved = Saved { qkv: &qkv, y: &y, logsumexp: &logsumexp };
            attention::backward(&op, rope.as_ref(), saved, &d_y, &mut d_qkv);
            [Some(d_qkv.into())]
        }
    }
}
