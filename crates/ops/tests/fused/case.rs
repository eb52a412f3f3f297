//! An operator under test: numbers in → its form on the device under test, and its composite on the CPU → outputs and
//! gradients, for every choice of what is tracked and of what the loss reads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_ops::{composite, device::tested};
use itera_testkit::{assert_close, uniform};

/// Inputs and what weighs the outputs are near 1. A gradient with no entry above this is what cancellation left of such
/// terms: rounding in it is relative to this.
const SMALL: f32 = 0.1;

/// Inputs of an operator, flat; an operator gives them their shapes.
pub struct Case {
    what: String,
    tolerance: f64,
    inputs: Vec<Vec<f32>>,
}

/// What an operator gave.
pub struct Output {
    dims: Vec<usize>,
    flat: Tensor<1>,
    /// Whether a loss may depend on it.
    differentiable: bool,
}

impl<const D: usize> From<Tensor<D>> for Output {
    fn from(t: Tensor<D>) -> Self {
        Self { dims: t.dims().to_vec(), flat: t.flatten(0, D - 1), differentiable: true }
    }
}

impl Output {
    pub fn constant<const D: usize>(t: Tensor<D>) -> Self {
        Self { differentiable: false, ..t.into() }
    }

    pub fn into_flat(self) -> Tensor<1> {
        self.flat
    }

    pub fn ids<const D: usize>(t: Tensor<D, Int>) -> Self {
        Self::constant(t.float())
    }
}

pub fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

/// Which inputs are tracked: all, each alone.
fn tracked(inputs: usize) -> Vec<Vec<bool>> {
    let alone = (0..inputs).map(|i| (0..inputs).map(|j| i == j).collect());
    std::iter::once(vec![true; inputs]).chain(alone).collect()
}

impl Case {
    /// A case with `tolerance` for the largest difference, relative to the largest entry of an output or a gradient.
    pub fn new(what: impl Into<String>, tolerance: f64) -> Self {
        Self { what: what.into(), tolerance, inputs: vec![] }
    }

    pub fn input(mut self, values: Vec<f32>) -> Self {
        self.inputs.push(values);
        self
    }

    /// Another input of `len` numbers uniform in [low, high).
    pub fn uniform(self, len: usize, low: f32, high: f32) -> Self {
        let seed = self.inputs.len() as u64 + 1;
        self.input(uniform(len, low, high, seed))
    }

    pub fn leaves(&self, device: &Device) -> Vec<Tensor<1>> {
        let leaf = |values: &Vec<f32>| Tensor::from_data(TensorData::new(values.clone(), [values.len()]), device);
        self.inputs.iter().map(leaf).collect()
    }

    fn compare(&self, what: &str, found: &[f32], expected: &[f32]) {
        let scale = expected.iter().fold(SMALL, |max, x| max.max(x.abs()));
        let scaled = |values: &[f32]| values.iter().map(|x| x / scale).collect::<Vec<_>>();
        assert_close(&format!("{}: {what}", self.what), &scaled(found), &scaled(expected), self.tolerance);
    }

    /// Hold the form of `run` on the device under test to the composite on the CPU.
    pub fn check(&self, run: impl Fn(&[Tensor<1>]) -> Vec<Output>) {
        let composite = |leaves: &[Tensor<1>]| composite::only(|| run(leaves));
        let (device, cpu) = (tested(), Device::flex());
        let (found, expected) = (run(&self.leaves(&device)), composite(&self.leaves(&cpu)));
        let reads: Vec<Vec<bool>> = {
            let may: Vec<bool> = expected.iter().map(|output| output.differentiable).collect();
            let alone = (0..may.len()).filter(|i| may[*i]).map(|i| (0..may.len()).map(|j| i == j).collect());
            let alone: Vec<_> = alone.collect();
            if alone.len() == 1 { alone } else { std::iter::once(may).chain(alone).collect() }
        };
        self.compare_outputs("without autodiff", found, expected);

        let [device, cpu] = [device, cpu].map(Device::autodiff);
        let found = run(&self.leaves(&device));
        assert!(!found.iter().any(|output| output.flat.is_tracked()), "{}: of constants", self.what);
        self.compare_outputs("nothing tracked", found, composite(&self.leaves(&cpu)));
        for tracked in tracked(self.inputs.len()) {
            for read in &reads {
                let what = format!("tracked {tracked:?}, loss of {read:?}");
                let (found, found_grads) = self.gradients(&run, &device, &tracked, read);
                let (expected, expected_grads) = self.gradients(&composite, &cpu, &tracked, read);
                self.compare_outputs(&what, found, expected);
                for (i, (found, expected)) in found_grads.iter().zip(&expected_grads).enumerate() {
                    self.compare(&format!("gradient {i} of those tracked, {what}"), found, expected);
                }
            }
        }
    }

    fn compare_outputs(&self, what: &str, found: Vec<Output>, expected: Vec<Output>) {
        for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            assert_eq!(found.dims, expected.dims, "{}: output {i}, {what}", self.what);
            self.compare(&format!("output {i}, {what}"), &values(found.flat), &values(expected.flat));
        }
    }

    /// Outputs, and the gradients of the `tracked` inputs of a weighted sum of the outputs that are `read`: zeros where
    /// the loss does not depend on an input.
    fn gradients(
        &self,
        run: &impl Fn(&[Tensor<1>]) -> Vec<Output>,
        device: &Device,
        tracked: &[bool],
        read: &[bool],
    ) -> (Vec<Output>, Vec<Vec<f32>>) {
        let leaves = self.leaves(device).into_iter().zip(tracked);
        let leaves: Vec<_> = leaves.map(|(leaf, tracked)| leaf.set_require_grad(*tracked)).collect();
        let outputs = run(&leaves);
        let terms = outputs.iter().zip(read).zip(100..).filter(|((_, read), _)| **read).map(|((output, _), seed)| {
            let weights = uniform(output.flat.dims()[0], -1.0, 1.0, seed);
            (output.flat.clone() * Tensor::from_floats(weights.as_slice(), device)).sum()
        });
        let loss = terms.reduce(|a, b| a + b).expect("the loss reads an output");
        let grads = loss.is_tracked().then(|| loss.backward());
        let tracked = leaves.into_iter().zip(tracked).filter(|(_, tracked)| **tracked);
        let of_leaf = |(leaf, _): (Tensor<1>, _)| {
            let grad = grads.as_ref().and_then(|grads| leaf.grad(grads));
            grad.map_or_else(|| vec![0.0; leaf.dims()[0]], values)
        };
        (outputs, tracked.map(of_leaf).collect())
    }
}
