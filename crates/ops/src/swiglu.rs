//! [gate | up] → silu(gate) · up

use burn::tensor::Tensor;

use crate::composite;

/// SwiGLU (arXiv 2002.05202 eq. 6, between its products) on a fused projection whose first half is the gate.
///
/// # Shapes
/// `gate_up`: [.., 2·f] → [.., f]
pub fn swiglu<const D: usize>(gate_up: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if crate::function::fused(&gate_up) {
        let [y] = crate::function::apply(flex::SwiGlu, [gate_up.into_dispatch()]);
        return Tensor::from_dispatch(y);
    }
    composite::swiglu(gate_up)
}

#[cfg(feature = "flex")]
mod flex {
    use itera_kernels::swiglu;

    use crate::{
        array::Array,
        buffers,
        function::{Function, only},
        kept::Kept,
    };

    pub(super) struct SwiGlu;

    impl Function<1, 1> for SwiGlu {
        type Saved = Kept;

        fn forward(&self, [gate_up]: [Array; 1], [wanted]: [bool; 1]) -> ([Array; 1], Option<Kept>) {
            let f = gate_up.width() / 2;
            let mut y = buffers::take(gate_up.len() / 2);
            swiglu::swiglu(&gate_up, f, &mut y);
            ([Array::new(y, gate_up.shape_of_width(f))], wanted.then(|| Kept::activation(&gate_up)))
        }

        fn backward(&self, gate_up: Kept, grads: [Option<Array>; 1], _wanted: [bool; 1]) -> [Option<Array>; 1] {
            let dy = only(grads);
            let mut d_gate_up = buffers::take(2 * dy.len());
            swiglu::swiglu_backward(&gate_up.read(), &dy, dy.width(), &mut d_gate_up);
            [Some(d_gate_up.into())]
        }
    }
}
