//! x → x / rms(x) · w

use burn::tensor::{Tensor, assert_shape};

use crate::dispatch::dispatch;

/// RMSNorm over the last dimension (arXiv 1910.07467 eq. 4): `y = x / √(mean(x²) + ε) · w`.
///
/// # Shapes
/// `x`: [.., d], `w_d`: `[d]` → [.., d]
///
/// # Panics
/// If the shapes do not fit.
pub fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    let [d] = w_d.dims();
    assert_shape!(x, [.., d]);
    dispatch!(&x => rms_norm(x, w_d, eps))
}

pub(crate) mod composite {
    use burn::tensor::{Tensor, activation::silu};

    /// Composite of [`crate::rms_norm`].
    ///
    /// # Shapes
    /// `x`: [.., d], `w_d`: `[d]` → [.., d]
    pub fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
        normalise(x, eps) * w_d.unsqueeze()
    }

    /// Gate, then RMSNorm within each of `n_groups` groups of channels: `rms_norm(y · silu(z))`
    /// (Mamba-2, arXiv 2405.21060 §6.1; gate before norm).
    ///
    /// # Shapes
    /// `y`, `z`: [b, l, i], `w_i`: `[i]` → [b, l, i]
    pub fn gated_rms_norm(y_bli: Tensor<3>, z_bli: Tensor<3>, w_i: Tensor<1>, n_groups: usize, eps: f64) -> Tensor<3> {
        let [b, l, i] = y_bli.dims();
        let gated = y_bli * silu(z_bli);
        let grouped = normalise(gated.reshape([b, l, n_groups, i / n_groups]), eps);
        grouped.reshape([b, l, i]) * w_i.unsqueeze()
    }

    fn normalise<const D: usize>(x: Tensor<D>, eps: f64) -> Tensor<D> {
        let mean_square = x.clone().square().mean_dim(D - 1);
        x * mean_square.add_scalar(eps).sqrt().recip()
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;
    use itera_kernels::rms_norm;

    use crate::flex::{
        array::Array,
        buffers,
        function::{Function, apply, only},
        kept::Kept,
    };

    pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
        let [y] = apply(RmsNorm { eps: eps as f32 }, [x.into_dispatch(), w_d.into_dispatch()]);
        Tensor::from_dispatch(y)
    }

    struct RmsNorm {
        eps: f32,
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
