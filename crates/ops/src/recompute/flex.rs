//! The saving form.
//!
//! A [`Function`] has a fixed number of inputs, and `forward` any number of weights. So weights that want a gradient
//! are a chain of inlets before it, and their gradients go another way than the graph's:
//!
//! ```text
//! w₀ ─▶ Inlet ─▶ Inlet ─▶ … ─▶ Recompute ─▶ y, side        backward: Recompute fills the gradients of all weights,
//!         w₁ ──────┘   x ──────────┘                       then each inlet hands on its own
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::{
    backend::{DispatchTensor, Flex},
    tensor::{Gradients, Tensor},
};
use itera_shape::Precision;

use super::types::Recomputable;
use crate::{
    flex::{
        array::{Array, array, tensor},
        kept::Kept,
    },
    function::{Function, apply, dispatch},
    precision::{Precisions, precisions, with_precisions},
};

pub(super) fn recompute<T: Send + 'static>(
    x: Tensor<3>,
    weights: Vec<Tensor<1>>,
    forward: impl Fn(Tensor<3>, Vec<Tensor<1>>) -> Recomputable<T> + Send + 'static,
) -> Recomputable<T> {
    let gradients = Shared::default();
    let mut chain = constant();
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| weight.is_tracked()) {
        let inlet = Inlet { index, gradients: Arc::clone(&gradients) };
        [chain] = apply(inlet, [weight.clone().into_dispatch(), chain]);
    }
    let first_run = Shared::default();
    let function = Recompute {
        weights: weights.into_iter().map(|weight| (weight.is_tracked(), array(weight.inner()))).collect(),
        gradients,
        forward,
        products: precisions().products,
        first_run: Arc::clone(&first_run),
    };
    let [y, side] = apply(function, [x.into_dispatch(), chain]);
    let (has_side, rest) = locked(&first_run).take().expect("the first run leaves what is no array");
    Recomputable { y: Tensor::from_dispatch(y), side: has_side.then(|| Tensor::from_dispatch(side)), rest }
}

/// A place where one step of the graph leaves something for others.
type Shared<T> = Arc<Mutex<T>>;

fn locked<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Inputs: a weight, and the inlet before it or nothing. Output: nothing.
struct Inlet {
    index: usize,
    gradients: Shared<Vec<Option<Array>>>,
}

impl Function<2, 1> for Inlet {
    type On = Flex;
    type Saved = ();

    fn forward(&self, _: [Array; 2], _: [bool; 2]) -> ([Array; 1], Option<()>) {
        ([nothing()], Some(()))
    }

    fn backward(&self, (): (), _: [Option<Array>; 1], [_, has_before]: [bool; 2]) -> [Option<Array>; 2] {
        [locked(&self.gradients)[self.index].take(), has_before.then(nothing)]
    }
}

/// Inputs: x, and the last inlet or nothing. Outputs: y, and the side or nothing.
struct Recompute<F, T> {
    /// Each weight, and whether it wants a gradient.
    weights: Vec<(bool, Array)>,
    /// Where the backward pass leaves those gradients.
    gradients: Shared<Vec<Option<Array>>>,
    forward: F,
    /// Of both runs.
    products: Precision,
    /// Where the first run leaves whether there is a side, and the rest.
    first_run: Shared<Option<(bool, T)>>,
}

struct Saved {
    x: Array,
    /// Stands for x in the count of what is saved. It is exact, so that whatever is chosen by a comparison of
    /// numbers, as experts are, is chosen again.
    _kept: Kept,
}

impl<T, F: Fn(Tensor<3>, Vec<Tensor<1>>) -> Recomputable<T> + Send + 'static> Function<2, 2> for Recompute<F, T>
where
    T: Send + 'static,
{
    type On = Flex;
    type Saved = Saved;

    fn forward(&self, [x, _]: [Array; 2], wanted: [bool; 2]) -> ([Array; 2], Option<Saved>) {
        let weights = self.weights.iter().map(|(_, weight)| tensor(weight.clone())).collect();
        let Recomputable { y, side, rest } = (self.forward)(tensor(x.clone()), weights);
        *locked(&self.first_run) = Some((side.is_some(), rest));
        let outputs = [array(y.inner()), side.map_or_else(nothing, |side| array(side.inner()))];
        let saved = wanted.contains(&true).then(|| Saved { _kept: Kept::exact(&x), x });
        (outputs, saved)
    }

    fn backward(
        &self,
        saved: Saved,
        grads: [Option<Array>; 2],
        [x_wanted, has_inlets]: [bool; 2],
    ) -> [Option<Array>; 2] {
        let x: Tensor<3> = leaf(&saved.x, x_wanted);
        let weights: Vec<Tensor<1>> = self.weights.iter().map(|(wanted, weight)| leaf(weight, *wanted)).collect();
        // what the second run saves is read at once
        let precisions = Precisions { products: self.products, saved: Precision::F32 };
        let output = with_precisions(precisions, || (self.forward)(x.clone(), weights.clone()));

        let outputs = [Some(output.y.into_dispatch()), output.side.map(Tensor::into_dispatch)];
        let mut outputs = outputs.into_iter().zip(&grads);
        // what the loss does not depend on is not gone back through
        let roots = grads.each_ref().map(|_| {
            let (output, grad) = outputs.next().expect("as many outputs as gradients");
            output.filter(|_| grad.is_some()).unwrap_or_else(constant)
        });
        let [loss] = apply(Seed { grads }, roots);
        let loss = Tensor::<1>::from_dispatch(loss);
        // outputs that the loss depends on may depend on nothing that wants a gradient
        let mut found = loss.is_tracked().then(|| loss.backward());

        let zeros = |len| Array::from(vec![0.0; len]);
        *locked(&self.gradients) = self
            .weights
            .iter()
            .zip(weights)
            .map(|((wanted, weight), leaf)| {
                let gradient = take(&leaf, &mut found);
                wanted.then(|| gradient.unwrap_or_else(|| zeros(weight.len())))
            })
            .collect();
        let of_x = take(&x, &mut found);
        [x_wanted.then(|| of_x.unwrap_or_else(|| zeros(saved.x.len()))), has_inlets.then(nothing)]
    }
}

/// Outputs → a loss whose gradients of them are those given.
struct Seed {
    grads: [Option<Array>; 2],
}

impl Function<2, 1> for Seed {
    type On = Flex;
    type Saved = ();

    fn forward(&self, _: [Array; 2], _: [bool; 2]) -> ([Array; 1], Option<()>) {
        ([nothing()], Some(()))
    }

    fn backward(&self, (): (), _: [Option<Array>; 1], _: [bool; 2]) -> [Option<Array>; 2] {
        self.grads.clone()
    }
}

fn take<const D: usize>(leaf: &Tensor<D>, found: &mut Option<Gradients>) -> Option<Array> {
    leaf.grad_remove(found.as_mut()?).map(array)
}

/// Fills a place that must have a tensor.
fn nothing() -> Array {
    vec![0.0].into()
}

/// [`nothing`], without autodiff.
fn constant() -> DispatchTensor {
    dispatch::<Flex>(nothing().into_flex())
}

fn leaf<const D: usize>(value: &Array, wanted: bool) -> Tensor<D> {
    let value = tensor(value.clone());
    if wanted { value.autodiff().require_grad() } else { value }
}
