//! inputs → `forward` → outputs │ gradient of an output → `backward` → gradients of the inputs
//!
//! The bridge between Burn's autodiff and kernels on slices, for the device `flex`: what `torch.autograd.Function` is
//! to PyTorch. A fused operator is a struct with its settings that implements [`Function`], and [`apply`] puts it into
//! the graph.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    backend::{
        Autodiff, BackendTensor, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{
                base::Checkpointer,
                strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing},
            },
            grads::Gradients,
            ops::{Backward, Ops},
        },
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{GradientCheckpointingStrategy, Int, Shape, Tensor},
};

use crate::flex::{array::Array, buffers, ledger};

/// An operator with `N` tensors in, `M` tensors out and a backward pass of its own.
///
/// Whatever carries no gradient (sizes, token ids) is a field of the operator.
pub(crate) trait Function<const N: usize, const M: usize>: Send + 'static {
    /// What `backward` reads: [`Kept`](crate::flex::kept::Kept) values and what belongs to them.
    type Saved: Send + 'static;

    /// The outputs, and what backward needs for gradients of the inputs that `wanted` marks. Where it marks none
    /// there will be no backward, and `None` is right.
    fn forward(&self, inputs: [Array; N], wanted: [bool; N]) -> ([Array; M], Option<Self::Saved>);

    /// Gradients of the inputs that `wanted` marks, as elements in row-major order under any shape, from those of the
    /// outputs. An output that the loss does not depend on has none; at least one has. Two inputs with the same
    /// gradient may share it.
    fn backward(&self, saved: Self::Saved, grads: [Option<Array>; M], wanted: [bool; N]) -> [Option<Array>; N];
}

/// The gradient of the output of a [`Function`] that has one.
pub(crate) fn only(grads: [Option<Array>; 1]) -> Array {
    let [grad] = grads;
    grad.expect("backward runs when an output has a gradient")
}

/// The outputs of `function`, in the autodiff graph if an input is. A tensor without autodiff among others with it is
/// a constant.
///
/// # Panics
/// Unless all inputs are f32 tensors of the device flex.
pub(crate) fn apply<F: Function<N, M>, const N: usize, const M: usize>(
    function: F,
    inputs: [DispatchTensor; N],
) -> [DispatchTensor; M] {
    let context = inputs
        .iter()
        .map(|input| input.autodiff)
        .fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge);
    match context {
        DispatchAutodiffContext::Disabled => {
            let inputs = inputs.map(|input| Array::from_flex(flex(input)));
            forward_untracked(&function, inputs).map(constant)
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Disabled) => {
            apply_autodiff::<F, NoCheckpointing, N, M>(function, inputs)
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Balanced) => {
            apply_autodiff::<F, BalancedCheckpointing, N, M>(function, inputs)
        }
    }
}

const WRONG_DEVICE: &str = "all inputs of a fused operator are float tensors of the device flex";

fn flex(tensor: DispatchTensor) -> FlexTensor {
    <DispatchTensor as DispatchKindConversion<Flex>>::try_into_backend(tensor).expect(WRONG_DEVICE).float()
}

/// A tensor without autodiff.
pub(crate) fn constant(values: Array) -> DispatchTensor {
    <DispatchTensor as DispatchKindConversion<Flex>>::from_backend(BackendTensor::Float(values.into_flex()))
}

/// The elements of a tensor without autodiff.
///
/// # Panics
/// Unless it is an f32 tensor of the device flex.
pub(crate) fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    Array::from_flex(flex(tensor.into_dispatch()))
}

/// A tensor without autodiff of these elements.
pub(crate) fn tensor<const D: usize>(values: Array) -> Tensor<D> {
    Tensor::from_dispatch(constant(values))
}

/// The values of a tensor of token ids, row by row.
pub(crate) fn ids<const D: usize>(ids: Tensor<D, Int>) -> Vec<i32> {
    ids.into_data().convert::<i32>().try_into_vec().expect("converted to i32")
}

fn forward_untracked<F: Function<N, M>, const N: usize, const M: usize>(
    function: &F,
    inputs: [Array; N],
) -> [Array; M] {
    if ledger::bytes() == 0 {
        buffers::trim_now_and_then();
    }
    function.forward(inputs, [false; N]).0
}

fn apply_autodiff<F: Function<N, M>, C: CheckpointStrategy, const N: usize, const M: usize>(
    function: F,
    inputs: [DispatchTensor; N],
) -> [DispatchTensor; M]
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let inputs: [FloatTensor<Autodiff<Flex, C>>; N] = inputs.map(|input| match input.autodiff {
        DispatchAutodiffContext::Disabled => FloatTensor::<Autodiff<Flex, C>>::new(flex(input)),
        DispatchAutodiffContext::Enabled(_) => {
            <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::try_into_backend(input)
                .expect(WRONG_DEVICE)
                .float()
        }
    });
    let wanted = inputs.each_ref().map(|input| input.is_tracked());
    let shapes = inputs.each_ref().map(|input| input.shape());
    let guards = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| Array::from_flex(input.into_primitive()));
    if !wanted.contains(&true) {
        return forward_untracked(&function, inputs)
            .map(|output| dispatch::<C>(FloatTensor::<Autodiff<Flex, C>>::new(output.into_flex())));
    }
    let (outputs, saved) = function.forward(inputs, wanted);
    let saved = saved.expect("forward saves what backward needs when a gradient is wanted");
    let inbox = Inbox::new(Mutex::new([const { None }; M]));
    let node = Node { function, saved, shapes, inbox: Arc::clone(&inbox) };
    let prepared = node.prepare::<C>(guards).compute_bound();
    if M == 1 {
        let mut prepared = Some(prepared);
        return outputs.map(|output| {
            let prepared = prepared.take().expect("one output");
            dispatch::<C>(prepared.stateless(output.into_flex()))
        });
    }
    let center = prepared.stateless(nothing());
    let mut index = 0..M;
    outputs.map(|output| {
        let index = index.next().expect("one index an output");
        let port = Port::<M> { index, inbox: Arc::clone(&inbox) };
        dispatch::<C>(port.prepare::<C>([center.node()]).compute_bound().stateless(output.into_flex()))
    })
}

fn dispatch<C: CheckpointStrategy>(tensor: FloatTensor<Autodiff<Flex, C>>) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::from_backend(BackendTensor::Float(tensor))
}

/// Gradients of the outputs on their way from the outputs' steps to the operator's.
type Inbox<const M: usize> = Arc<Mutex<[Option<Array>; M]>>;

/// A tensor for steps that exchange their gradients through an [`Inbox`]: it makes autodiff run the next one.
fn nothing() -> FlexTensor {
    Array::from(vec![0.0]).into_flex()
}

/// The step of an operator: child of its inputs. Its only output is its tensor; several are children of it.
struct Node<F: Function<N, M>, const N: usize, const M: usize> {
    function: F,
    saved: F::Saved,
    shapes: [Shape; N],
    inbox: Inbox<M>,
}

/// The step of one of several outputs: child of its operator's step, which thus runs after those of all outputs that
/// the loss depends on.
struct Port<const M: usize> {
    index: usize,
    inbox: Inbox<M>,
}

impl<const M: usize> Backward<Flex, 1> for Port<M> {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = Array::from_flex(grads.consume::<Flex>(&ops.node));
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)[self.index] = Some(grad);
        for parent in ops.parents.into_iter().flatten() {
            grads.register::<Flex>(parent.id, nothing());
        }
    }
}

impl<F: Function<N, M>, const N: usize, const M: usize> Backward<Flex, N> for Node<F, N, M> {
    type State = ();

    fn backward(self, ops: Ops<(), N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let grad = Array::from_flex(grads.consume::<Flex>(&ops.node));
        let mut output_grads =
            std::mem::replace(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner), [const { None }; M]);
        if M == 1 {
            output_grads[0] = Some(grad);
        }
        let input_grads = self.function.backward(self.saved, output_grads, wanted);
        for ((parent, grad), shape) in ops.parents.into_iter().zip(input_grads).zip(self.shapes) {
            if let Some(parent) = parent {
                let grad = grad.expect("backward returns every gradient that is wanted");
                grads.register::<Flex>(parent.id, grad.reshape(shape).into_flex());
            }
        }
    }
}

impl<F: Function<N, M>, const N: usize, const M: usize> fmt::Debug for Node<F, N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<F>())
    }
}

impl<const M: usize> fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {} of {M}", self.index)
    }
}

#[cfg(test)]
mod tests;
