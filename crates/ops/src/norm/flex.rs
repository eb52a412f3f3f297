//! The fused form, over `itera_kernels::rms_norm`.

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::rms_norm;

use crate::{
    flex::{array::Array, buffers, kept::Kept},
    function::{Function, apply, only},
};

pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, w_d: Tensor<1>, eps: f64) -> Tensor<D> {
    let [y] = apply(RmsNorm { eps: eps as f32 }, [x.into_dispatch(), w_d.into_dispatch()]);
    Tensor::from_dispatch(y)
}

struct RmsNorm {
    eps: f32,
}

impl Function<2, 1> for RmsNorm {
    type On = Flex;
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
