//! inputs → `forward` → outputs │ gradient of an output → `backward` → gradients of the inputs
//!
//! The bridge between Burn's autodiff and kernels: what `torch.autograd.Function` is to PyTorch. A fused operator is a
//! struct with its settings that implements [`Function`] for the arrays of a backend, and [`apply`] puts it into the graph.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    backend::{
        Autodiff, Backend, BackendTensor, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor,
        TensorMetadata,
        autodiff::{
            checkpoint::{
                base::Checkpointer,
                strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing},
            },
            grads::Gradients,
            ops::{Backward, Ops},
        },
        tensor::FloatTensor,
    },
    tensor::{GradientCheckpointingStrategy, Shape},
};

/// A backend with fused operators, and what their kernels compute on.
pub(crate) trait Arrays: Backend {
    /// A whole row-major f32 tensor. A clone shares its storage.
    type Array: Clone + Send + 'static;

    /// The elements of `tensor`, copied only if they do not lie in row-major order.
    ///
    /// # Panics
    /// If its elements are not f32.
    fn array(tensor: FloatTensor<Self>) -> Self::Array;

    fn tensor(array: Self::Array) -> FloatTensor<Self>;

    /// The same elements in the same order under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    fn reshape(array: Self::Array, shape: Shape) -> Self::Array;

    /// One element of no meaning, where `array` lies: for steps that exchange their gradients otherwise, it makes autodiff
    /// run the next one.
    fn nothing(array: &Self::Array) -> FloatTensor<Self>;

    /// Called before a forward pass that no backward pass follows.
    fn before_untracked() {}
}

/// What a [`Function`] computes on.
pub(crate) type ArrayOf<F, const N: usize, const M: usize> = <<F as Function<N, M>>::On as Arrays>::Array;

/// An operator with `N` tensors in, `M` tensors out and a backward pass of its own.
///
/// Whatever carries no gradient (sizes, token ids) is a field of the operator.
pub(crate) trait Function<const N: usize, const M: usize>: Send + 'static {
    /// The backend that it computes on.
    type On: Arrays;

    /// What `backward` reads.
    type Saved: Send + 'static;

    /// The outputs, and what backward needs for gradients of the inputs that `wanted` marks. Where it marks none
    /// there will be no backward, and `None` is right.
    fn forward(
        &self,
        inputs: [ArrayOf<Self, N, M>; N],
        wanted: [bool; N],
    ) -> ([ArrayOf<Self, N, M>; M], Option<Self::Saved>);

    /// Gradients of the inputs that `wanted` marks, as elements in row-major order under any shape, from those of the
    /// outputs. An output that the loss does not depend on has none; at least one has. Two inputs with the same
    /// gradient may share it.
    fn backward(
        &self,
        saved: Self::Saved,
        grads: [Option<ArrayOf<Self, N, M>>; M],
        wanted: [bool; N],
    ) -> [Option<ArrayOf<Self, N, M>>; N];
}

/// The gradient of the output of a [`Function`] that has one.
pub(crate) fn only<A>(grads: [Option<A>; 1]) -> A {
    let [grad] = grads;
    grad.expect("backward runs when an output has a gradient")
}

/// The outputs of `function`, in the autodiff graph if an input is. A tensor without autodiff among others with it is
/// a constant.
///
/// # Panics
/// Unless all inputs are f32 tensors of the function's backend.
pub(crate) fn apply<F: Function<N, M>, const N: usize, const M: usize>(
    function: F,
    inputs: [DispatchTensor; N],
) -> [DispatchTensor; M]
where
    DispatchTensor: DispatchKindConversion<F::On>
        + DispatchKindConversion<Autodiff<F::On, NoCheckpointing>>
        + DispatchKindConversion<Autodiff<F::On, BalancedCheckpointing>>,
{
    let context = inputs
        .iter()
        .map(|input| input.autodiff)
        .fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge);
    match context {
        DispatchAutodiffContext::Disabled => {
            F::On::before_untracked();
            let inputs = inputs.map(|input| F::On::array(primitive::<F::On>(input)));
            function.forward(inputs, [false; N]).0.map(|output| dispatch::<F::On>(F::On::tensor(output)))
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Disabled) => {
            apply_autodiff::<F, NoCheckpointing, N, M>(function, inputs)
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Balanced) => {
            apply_autodiff::<F, BalancedCheckpointing, N, M>(function, inputs)
        }
    }
}

/// The float tensor of backend `B` in `tensor`.
///
/// # Panics
/// If there is none.
pub(crate) fn primitive<B: Backend>(tensor: DispatchTensor) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor)
        .expect("all inputs of a fused operator are float tensors of its device")
        .float()
}

pub(crate) fn dispatch<B: Backend>(tensor: FloatTensor<B>) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<B>,
{
    <DispatchTensor as DispatchKindConversion<B>>::from_backend(BackendTensor::Float(tensor))
}

fn apply_autodiff<F: Function<N, M>, C: CheckpointStrategy, const N: usize, const M: usize>(
    function: F,
    inputs: [DispatchTensor; N],
) -> [DispatchTensor; M]
where
    DispatchTensor: DispatchKindConversion<F::On> + DispatchKindConversion<Autodiff<F::On, C>>,
{
    let inputs: [FloatTensor<Autodiff<F::On, C>>; N] = inputs.map(|input| match input.autodiff {
        DispatchAutodiffContext::Disabled => FloatTensor::<Autodiff<F::On, C>>::new(primitive::<F::On>(input)),
        DispatchAutodiffContext::Enabled(_) => primitive::<Autodiff<F::On, C>>(input),
    });
    let wanted = inputs.each_ref().map(|input| input.is_tracked());
    let shapes = inputs.each_ref().map(|input| input.shape());
    let guards = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| F::On::array(input.into_primitive()));
    if !wanted.contains(&true) {
        F::On::before_untracked();
        return function.forward(inputs, wanted).0.map(|output| {
            let output = FloatTensor::<Autodiff<F::On, C>>::new(F::On::tensor(output));
            dispatch::<Autodiff<F::On, C>>(output)
        });
    }
    let (outputs, saved) = function.forward(inputs, wanted);
    let saved = saved.expect("forward saves what backward needs when a gradient is wanted");
    let inbox = Inbox::<F::On, M>::new(Mutex::new([const { None }; M]));
    let node = Node { function, saved, shapes, inbox: Arc::clone(&inbox) };
    let prepared = node.prepare::<C>(guards).compute_bound();
    if M == 1 {
        let mut prepared = Some(prepared);
        return outputs.map(|output| {
            let prepared = prepared.take().expect("one output");
            dispatch::<Autodiff<F::On, C>>(prepared.stateless(F::On::tensor(output)))
        });
    }
    let center = prepared.stateless(F::On::nothing(&outputs[0]));
    let mut index = 0..M;
    outputs.map(|output| {
        let index = index.next().expect("one index an output");
        let port = Port::<F::On, M> { index, inbox: Arc::clone(&inbox) };
        let prepared = port.prepare::<C>([center.node()]).compute_bound();
        dispatch::<Autodiff<F::On, C>>(prepared.stateless(F::On::tensor(output)))
    })
}

/// Gradients of the outputs on their way from the outputs' steps to the operator's.
type Inbox<B, const M: usize> = Arc<Mutex<[Option<<B as Arrays>::Array>; M]>>;

/// The step of an operator: child of its inputs. Its only output is its tensor; several are children of it.
struct Node<F: Function<N, M>, const N: usize, const M: usize> {
    function: F,
    saved: F::Saved,
    shapes: [Shape; N],
    inbox: Inbox<F::On, M>,
}

/// The step of one of several outputs: child of its operator's step, which thus runs after those of all outputs that
/// the loss depends on.
struct Port<B: Arrays, const M: usize> {
    index: usize,
    inbox: Inbox<B, M>,
}

impl<B: Arrays, const M: usize> Backward<B, 1> for Port<B, M> {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = B::array(grads.consume::<B>(&ops.node));
        for parent in ops.parents.into_iter().flatten() {
            grads.register::<B>(parent.id, B::nothing(&grad));
        }
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)[self.index] = Some(grad);
    }
}

impl<F: Function<N, M>, const N: usize, const M: usize> Backward<F::On, N> for Node<F, N, M> {
    type State = ();

    fn backward(self, ops: Ops<(), N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let grad = F::On::array(grads.consume::<F::On>(&ops.node));
        let mut output_grads =
            std::mem::replace(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner), [const { None }; M]);
        if M == 1 {
            output_grads[0] = Some(grad);
        }
        let input_grads = self.function.backward(self.saved, output_grads, wanted);
        for ((parent, grad), shape) in ops.parents.into_iter().zip(input_grads).zip(self.shapes) {
            if let Some(parent) = parent {
                let grad = grad.expect("backward returns every gradient that is wanted");
                grads.register::<F::On>(parent.id, F::On::tensor(F::On::reshape(grad, shape)));
            }
        }
    }
}

impl<F: Function<N, M>, const N: usize, const M: usize> fmt::Debug for Node<F, N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<F>())
    }
}

impl<B: Arrays, const M: usize> fmt::Debug for Port<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {} of {M}", self.index)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
