//! x → x / rms(x) · w

use burn::tensor::Tensor;

use crate::composite;

/// RMSNorm over the last dimension (arXiv 1910.07467 eq. 4): `x / √(mean(x²) + ε) · w`.
///
/// # Shapes
/// `x`: [.., d], `w_d`: `[d]` → [.., d]
pub fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if crate::function::fused(&x) {
        let norm = flex::RmsNorm { eps: eps as f32 };
        let [y] = crate::function::apply(norm, [x.into_dispatch(), w_d.into_dispatch()]);
        return Tensor::from_dispatch(y);
    }
    composite::rms_norm(x, w_d, eps)
}

#[cfg(feature = "flex")]
mod flex {
    use itera_kernels::rms_norm;

    use crate::{
        array::Array,
        buffers,
        function::{Function, only},
        kept::Kept,
    };

    pub(super) struct RmsNorm {
        pub(super) eps: f32,
    }

    impl Function<2, 1> for RmsNorm {
        type Saved = (Kept, Kept);

        fn forward(&self, [x, w]: [Array; 2], wanted: [bool; 2]) -> ([Array; 1], Option<Self::Saved>) {
            let mut y = buffers::take(x.len());
            rms_norm::rms_norm(&x, &w, self.eps, &mut y);
            let saved = wanted.contains(&true).then(|| (Kept::activation(&x), Kept::weight(&w)));
            ([Array::new(y, x.shape().clone())], saved)
        }

        fn backward(&self, (x, w): Self::Saved, grads: [Option<Array>; 1], wanted: [bool; 2]) -> [Option<Array>; 2] {
            let (dy, w) = (only(grads), w.read());
            let (mut dx, mut dw) = (buffers::take(dy.len()), buffers::take(w.len()));
            rms_norm::rms_norm_backward(x.stored(), &w, &dy, self.eps, &mut dx, &mut dw);
            // the kernel finds both in one pass
            let [dx, dw] = [dx, dw].map(Array::from);
            [wanted[0].then_some(dx), wanted[1].then_some(dw)]
        }
    }
}
