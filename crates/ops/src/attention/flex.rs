//! The fused form, over `itera_kernels::attention`.

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::{
    attention::{self, Rope, Saved},
    gemm::Operands,
};

use super::{
    composite,
    types::{AttentionShape, PastKeysValues},
};
use crate::{
    flex::{array::Array, buffers, kept::Kept},
    function::{Function, apply},
    precision::products,
};

/// Sequences without a past, as training and the first piece of a text are; others go to the composite.
pub(super) fn causal_attention(
    qkv: Tensor<3>,
    past: Option<PastKeysValues>,
    shape: &AttentionShape,
) -> (Tensor<3>, PastKeysValues) {
    if past.is_some() {
        return composite::causal_attention(qkv, past, shape);
    }
    let [y, keys, values] = apply(Attention { shape: *shape, products: products() }, [qkv.into_dispatch()]);
    (Tensor::from_dispatch(y), [keys, values].map(|past| Tensor::from_dispatch(past).detach()).into())
}

/// Input: queries, keys and values side by side. Outputs: the mixed rows, keys and values.
struct Attention {
    shape: AttentionShape,
    products: Operands,
}

struct Kernel {
    op: attention::Attention,
    rope: Option<Rope>,
}

impl Attention {
    fn kernel(&self, batch: usize, len: usize) -> Kernel {
        let AttentionShape { n_heads, n_kv_heads, d_head, scale, rope } = self.shape;
        let (scale, operands) = (scale as f32, self.products);
        Kernel {
            op: attention::Attention { batch, len, past: 0, n_heads, n_kv_heads, d_head, scale, operands },
            rope: rope.map(|rope| Rope::new(rope.theta, d_head, len)),
        }
    }
}

impl Function<1, 3> for Attention {
    type On = Flex;
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
