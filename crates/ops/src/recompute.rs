//! x → module → y, outputs │ backward: x → module again → gradients
//!
//! Gradient checkpointing (arXiv 1604.06174): of a whole module only the input stays for the backward pass, which runs
//! the module a second time, on leaves of a graph of its own, and goes back through that.

use burn::{module::Module, tensor::Tensor};

/// What a module makes of its input.
#[derive(Debug)]
pub struct Recomputable<T> {
    /// The tensor that goes on.
    pub y: Tensor<3>,
    /// A second output that the loss may depend on.
    pub side: Option<Tensor<2>>,
    /// What else there is. Nothing of it carries a gradient.
    pub rest: T,
}

/// Most weights of a module that is recomputed.
pub const MAX_WEIGHTS: usize = 15;

/// `forward(module, x)`, of which only `x` is saved for the backward pass: that runs `forward` again.
///
/// `forward` is a function of its arguments alone, gives the same bits each time, and sees no other tensor with a
/// gradient. Outputs are those of a plain call, bit for bit, and so are gradients where activations are saved in f32.
/// What is computed again is always saved in f32: it lives for one module at a time, and copies in another type would
/// stand beside it. A device without fused operators makes the plain call.
///
/// # Panics
/// If `module` has more than [`MAX_WEIGHTS`] weights.
pub fn recompute<M: Module + 'static, T: Send + 'static>(
    module: &M,
    x: Tensor<3>,
    forward: impl Fn(&M, Tensor<3>) -> Recomputable<T> + Send + 'static,
) -> Recomputable<T> {
    #[cfg(feature = "flex")]
    if crate::function::fused(&x) {
        return flex::recompute(module, x, forward);
    }
    forward(module, x)
}

#[cfg(feature = "flex")]
mod flex {
    use std::sync::{Arc, Mutex, PoisonError};

    use burn::{
        backend::DispatchTensor,
        module::{Module, ModuleMapper, ModuleVisitor, Param},
        tensor::{Gradients, Tensor},
    };

    use super::{MAX_WEIGHTS, Recomputable};
    use crate::{
        array::Array,
        function::{Function, apply, array, constant},
        kept::Kept,
        precision::{Precision, Precisions, precisions, with_precisions},
    };

    const INPUTS: usize = 1 + MAX_WEIGHTS;

    pub(super) fn recompute<M: Module + 'static, T: Send + 'static>(
        module: &M,
        x: Tensor<3>,
        forward: impl Fn(&M, Tensor<3>) -> Recomputable<T> + Send + 'static,
    ) -> Recomputable<T> {
        let mut weights = Weights::default();
        module.visit(&mut weights);
        let n_weights = weights.0.len();
        assert!(n_weights <= MAX_WEIGHTS, "{n_weights} weights, at most {MAX_WEIGHTS} can be recomputed");
        let mut inputs = [x.into_dispatch()].into_iter().chain(weights.0);
        let inputs = [(); INPUTS].map(|()| inputs.next().unwrap_or_else(|| constant(nothing())));

        let rest = Arc::new(Mutex::new(None));
        let function = Recompute {
            module: without_graph(module),
            n_weights,
            forward,
            products: precisions().products,
            rest: Arc::clone(&rest),
        };
        let [y, side] = apply(function, inputs);
        let (has_side, rest) =
            rest.lock().unwrap_or_else(PoisonError::into_inner).take().expect("forward leaves what else there is");
        Recomputable { y: Tensor::from_dispatch(y), side: has_side.then(|| Tensor::from_dispatch(side)), rest }
    }

    /// Inputs: x, the weights of the module in its order, and nothings. Outputs: y, and the side or nothing.
    struct Recompute<M, F, T> {
        /// What `forward` runs on, once it has other weights.
        module: M,
        n_weights: usize,
        forward: F,
        /// Of both runs.
        products: Precision,
        /// Where the first run leaves whether there is a side, and the rest.
        rest: Arc<Mutex<Option<(bool, T)>>>,
    }

    struct Saved {
        inputs: [Array; INPUTS],
        /// Stands for x in the count of what is saved. It is exact, so that whatever is chosen by a comparison of
        /// numbers, as experts are, is chosen again.
        _x: Kept,
    }

    impl<M, F, T> Recompute<M, F, T>
    where
        M: Module + 'static,
        F: Fn(&M, Tensor<3>) -> Recomputable<T>,
    {
        /// `forward` on leaves that want gradients or not, and the module that holds its weights.
        fn run(&self, inputs: &[Array; INPUTS], wanted: [bool; INPUTS]) -> (Tensor<3>, M, Recomputable<T>) {
            let mut leaves = inputs.iter().cloned().map(constant).zip(wanted);
            let x = leaf(leaves.next().expect("x is the first input"));
            let mut leaves = Leaves(leaves.take(self.n_weights));
            let module = self.module.clone().map(&mut leaves);
            let output = (self.forward)(&module, x.clone());
            (x, module, output)
        }
    }

    impl<M, F, T> Function<INPUTS, 2> for Recompute<M, F, T>
    where
        M: Module + 'static,
        F: Fn(&M, Tensor<3>) -> Recomputable<T> + Send + 'static,
        T: Send + 'static,
    {
        type Saved = Saved;

        fn forward(&self, inputs: [Array; INPUTS], wanted: [bool; INPUTS]) -> ([Array; 2], Option<Saved>) {
            let (_, _, Recomputable { y, side, rest }) = self.run(&inputs, [false; INPUTS]);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some((side.is_some(), rest));
            let outputs = [array(y.inner()), side.map_or_else(nothing, |side| array(side.inner()))];
            let saved = wanted.contains(&true).then(|| Saved { _x: Kept::exact(&inputs[0]), inputs });
            (outputs, saved)
        }

        fn backward(&self, saved: Saved, grads: [Option<Array>; 2], wanted: [bool; INPUTS]) -> [Option<Array>; INPUTS] {
            // what the second run saves is read at once
            let precisions = Precisions { products: self.products, saved: Precision::F32 };
            let (x, module, output) = with_precisions(precisions, || self.run(&saved.inputs, wanted));
            let outputs = [Some(output.y.into_dispatch()), output.side.map(Tensor::into_dispatch)];
            let mut outputs = outputs.into_iter().zip(&grads);
            // what the loss does not depend on is not gone back through
            let roots = grads.each_ref().map(|_| {
                let (output, grad) = outputs.next().expect("as many outputs as gradients");
                output.filter(|_| grad.is_some()).unwrap_or_else(|| constant(nothing()))
            });
            let [loss] = apply(Seed { grads }, roots);
            let mut found = Tensor::<1>::from_dispatch(loss).backward();

            let of_x = x.grad_remove(&mut found).map(array);
            let mut of_weights = TakeGradients { found: &mut found, out: Vec::with_capacity(MAX_WEIGHTS) };
            module.visit(&mut of_weights);
            let mut input_grads = [of_x].into_iter().chain(of_weights.out);
            let mut inputs = saved.inputs.iter();
            wanted.map(|wanted| {
                let (grad, input) = (input_grads.next().flatten(), inputs.next().expect("an input for each gradient"));
                wanted.then(|| grad.unwrap_or_else(|| vec![0.0; input.len()].into()))
            })
        }
    }

    /// Outputs → a loss whose gradients of them are those given.
    struct Seed {
        grads: [Option<Array>; 2],
    }

    impl Function<2, 1> for Seed {
        type Saved = ();

        fn forward(&self, _: [Array; 2], _: [bool; 2]) -> ([Array; 1], Option<()>) {
            ([nothing()], Some(()))
        }

        fn backward(&self, (): (), _: [Option<Array>; 1], _: [bool; 2]) -> [Option<Array>; 2] {
            self.grads.clone()
        }
    }

    /// Fills a place that must have a tensor.
    fn nothing() -> Array {
        vec![0.0].into()
    }

    fn leaf<const D: usize>((value, wanted): (DispatchTensor, bool)) -> Tensor<D> {
        let value = Tensor::from_dispatch(value);
        if wanted { value.autodiff().require_grad() } else { value }
    }

    fn without_graph<M: Module>(module: &M) -> M {
        struct Inner;
        impl ModuleMapper for Inner {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                Param::initialized(param.id, param.val().inner())
            }
        }
        module.clone().map(&mut Inner)
    }

    #[derive(Default)]
    struct Weights(Vec<DispatchTensor>);

    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_dispatch());
        }
    }

    /// Puts the next leaf in the place of each weight.
    struct Leaves<I>(I);

    impl<I: Iterator<Item = (DispatchTensor, bool)>> ModuleMapper for Leaves<I> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, leaf(self.0.next().expect("one leaf for each weight")))
        }
    }

    struct TakeGradients<'a> {
        found: &'a mut Gradients,
        out: Vec<Option<Array>>,
    }

    impl ModuleVisitor for TakeGradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.out.push(param.val().grad_remove(self.found).map(array));
        }
    }
}
