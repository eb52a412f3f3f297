//! One fused AdamW step over all parameter tensors.
//!
//! ```text
//! tensors → parts of at most TASK_LEN, one list → rayon
//! param, grad, m, v → param·(1 − lr·wd) − lr·m̂ / (√v̂ + ε),  m, v updated in place
//! ```
//!
//! The equations and the order of roundings are those of `torch.optim.AdamW` (arXiv 1711.05101, Algorithm 2, with
//! the decay multiplied by the learning rate). Every element is independent of the others, so the
//! result cannot depend on the number of threads.

use rayon::prelude::*;

use crate::{TASK_LEN, simd::simd};

/// Hyperparameters of one step; `lr` is the scheduled rate of that step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients, in 0..1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in 0..1.
    pub beta2: f64,
    /// Added to √v̂, outside the root.
    pub eps: f64,
    /// Decoupled weight decay: each step multiplies a parameter by `1 − lr · weight_decay`.
    pub weight_decay: f64,
}

impl AdamW {
    /// `1 − β₁ᵗ` and `1 − β₂ᵗ`, which undo the pull of the zero-initialised moments at step `t`.
    pub(crate) fn bias_corrections(&self, step: u64) -> (f64, f64) {
        (1.0 - self.beta1.powf(step as f64), 1.0 - self.beta2.powf(step as f64))
    }
}

/// A tensor that a step changes, its gradient and its moments: slices of one length.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The values.
    pub values: &'a mut [f32],
    /// Their gradient, before `grad_scale`.
    pub grad: &'a [f32],
    /// The moving mean of the gradients.
    pub m: &'a mut [f32],
    /// The moving mean of their squares.
    pub v: &'a mut [f32],
    /// Whether weight decay applies.
    pub decays: bool,
}

/// Updates all `parameters` and their moments for the gradients `grad_scale · grad`.
///
/// `step` counts from 1. `grad_scale` carries what is common to all gradients of a step: the factor that clips the
/// global norm and the one that turns a sum over micro-batches into a mean.
///
/// # Panics
///
/// If the slices of a parameter differ in length or `step` is 0.
pub fn adamw_step(parameters: Vec<Parameter<'_>>, step: u64, grad_scale: f32, hyper: &AdamW) {
    let decaying = Coefficients::new(hyper, step, grad_scale);
    let still = Coefficients::new(&AdamW { weight_decay: 0.0, ..*hyper }, step, grad_scale);
    let mut parts = Vec::new();
    for parameter in parameters {
        assert_arguments(&parameter, step);
        let Parameter { values, grad, m, v, decays } = parameter;
        let coefficients = if decays { &decaying } else { &still };
        let moments = m.chunks_mut(TASK_LEN).zip(v.chunks_mut(TASK_LEN));
        let tensor = values.chunks_mut(TASK_LEN).zip(grad.chunks(TASK_LEN)).zip(moments);
        parts.extend(tensor.map(|((values, grad), (m, v))| (coefficients, values, grad, m, v)));
    }
    parts.into_par_iter().for_each(|(coefficients, values, grad, m, v)| update(coefficients, values, grad, m, v));
}

/// The contract that the kernel shares with its twin.
pub(crate) fn assert_arguments(Parameter { values, grad, m, v, .. }: &Parameter<'_>, step: u64) {
    assert!(step >= 1, "AdamW counts steps from 1");
    assert!(
        [grad.len(), m.len(), v.len()] == [values.len(); 3],
        "AdamW slices differ in length: values {}, grad {}, m {}, v {}",
        values.len(),
        grad.len(),
        m.len(),
        v.len()
    );
}

/// What is the same for all elements of a step, computed in f64 and rounded once.
struct Coefficients {
    grad_scale: f32,
    decay: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    bias2_sqrt: f32,
    eps: f32,
    step_size: f32,
}

impl Coefficients {
    fn new(hyper: &AdamW, step: u64, grad_scale: f32) -> Self {
        let (bias1, bias2) = hyper.bias_corrections(step);
        Self {
            grad_scale,
            decay: (1.0 - hyper.lr * hyper.weight_decay) as f32,
            one_minus_beta1: (1.0 - hyper.beta1) as f32,
            beta2: hyper.beta2 as f32,
            one_minus_beta2: (1.0 - hyper.beta2) as f32,
            bias2_sqrt: bias2.sqrt() as f32,
            eps: hyper.eps as f32,
            step_size: (hyper.lr / bias1) as f32,
        }
    }
}

simd! {
    /// One part. Nothing is fused, so that every level rounds alike.
    fn update<S>(by: &Coefficients, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((param, grad), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
            let grad = grad * by.grad_scale;
            *m += by.one_minus_beta1 * (grad - *m);
            *v = by.beta2 * *v + by.one_minus_beta2 * grad * grad;
            let denominator = v.sqrt() / by.bias2_sqrt + by.eps;
            *param = *param * by.decay - by.step_size * *m / denominator;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reference,
        simd::{Level, with_level},
        test_data::{AWKWARD_LENGTHS, for_thread_counts, uniform},
    };

    const HYPER: AdamW = AdamW { lr: 2e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

    type Step = fn(Vec<Parameter<'_>>, u64, f32, &AdamW);

    /// The parameters of a model of one tensor.
    fn only<'a>([values, m, v]: [&'a mut [f32]; 3], grad: &'a [f32]) -> Vec<Parameter<'a>> {
        vec![Parameter { values, grad, m, v, decays: true }]
    }

    /// A tensor of `n` elements that decays and one that does not, with their moments, after `steps` steps of `step_fn`.
    fn trained(step_fn: Step, n: usize, steps: u64) -> [[Vec<f32>; 3]; 2] {
        let mut tensors = [1, 2].map(|seed| [uniform(n, seed), vec![0.0; n], vec![0.0; n]]);
        for step in 1..=steps {
            let grad = &uniform(n, 2 + step)[..];
            let parameters = tensors.iter_mut().zip([true, false]);
            let parameters = parameters.map(|([values, m, v], decays)| Parameter { values, grad, m, v, decays });
            step_fn(parameters.collect(), step, 0.7, &HYPER);
        }
        tensors
    }

    /// Five steps of some three roundings each, of numbers around 1: 15 · 2⁻²⁴ at most.
    #[test]
    fn agrees_with_its_twin_at_awkward_lengths() {
        for n in AWKWARD_LENGTHS {
            let (fast, slow) = (trained(adamw_step, n, 5), trained(reference::adamw_step, n, 5));
            for (fast, slow) in fast.iter().flatten().flatten().zip(slow.iter().flatten().flatten()) {
                assert!((fast - slow).abs() <= 15.0 * f32::EPSILON / 2.0, "length {n}: {fast} against {slow}");
            }
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let results = for_thread_counts(|| trained(adamw_step, 3 * TASK_LEN + 5, 3));
        for result in &results[1..] {
            assert_eq!(result, &results[0]);
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let results = Level::available().into_iter().map(|level| with_level(level, 2, || trained(adamw_step, 999, 3)));
        let results: Vec<_> = results.collect();
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    fn all_tensors_at_once_get_the_bits_that_each_gets_alone() {
        let lens = [3, TASK_LEN + 1, 0, 1, 2 * TASK_LEN];
        let tensor = |i: usize| [uniform(lens[i], 1), uniform(lens[i], 2), vec![0.0; lens[i]], vec![0.0; lens[i]]];
        let (mut together, mut alone): (Vec<_>, Vec<_>) = (0..lens.len()).map(|i| (tensor(i), tensor(i))).unzip();
        let parameters = together.iter_mut().enumerate().map(|(i, [values, grad, m, v])| {
            let grad = &*grad;
            Parameter { values, grad, m, v, decays: i % 2 == 0 }
        });
        adamw_step(parameters.collect(), 2, 0.7, &HYPER);
        for (i, [values, grad, m, v]) in alone.iter_mut().enumerate() {
            let weight_decay = if i % 2 == 0 { HYPER.weight_decay } else { 0.0 };
            adamw_step(only([values, m, v], grad), 2, 0.7, &AdamW { weight_decay, ..HYPER });
        }
        assert_eq!(together, alone);
    }

    /// Parameters after three steps of torch 2.15.0 on a CPU, which a few lines remake:
    ///
    /// ```python
    /// p = torch.tensor([0.5, -1.25, 3.0, 0.0, -0.01], requires_grad=True)
    /// adamw = torch.optim.AdamW([p], lr=2e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, foreach=False)
    /// for grad in GRADS:
    ///     p.grad = torch.tensor(grad)
    ///     adamw.step()
    /// print(p.tolist(), adamw.state[p])
    /// ```
    #[test]
    fn follows_torch() {
        const GRADS: [[f32; 5]; 3] =
            [[0.1, -0.2, 0.3, 1e-9, 5.0], [-0.4, -0.2, 0.0, 1e-9, -5.0], [0.7, 0.05, -0.3, 0.0, 1e-3]];
        const TORCH: [[f32; 5]; 3] = [
            [0.498_157_08, -1.243_936_5, 2.995_016, -0.000_480_315, -0.011_805_722],
            [0.042_1, -0.029_200_003, -0.005_700_002, 1.71e-10, -0.044_900_008],
            [0.032_551_25, 0.003_83, 0.008_561_251, 9.262_5e-20, 2.315_625],
        ];
        for step_fn in [adamw_step, reference::adamw_step] as [Step; 2] {
            let mut state = [[0.5, -1.25, 3.0, 0.0, -0.01], [0.0; 5], [0.0; 5]];
            for (step, grad) in (1..).zip(&GRADS) {
                step_fn(only(state.each_mut().map(|x| &mut x[..]), grad), step, 1.0, &HYPER);
            }
            for (ours, torch) in state.iter().flatten().zip(TORCH.iter().flatten()) {
                assert!((ours - torch).abs() <= 1e-6 * torch.abs(), "{ours} against {torch} of torch");
            }
        }
    }

    #[test]
    fn first_step_moves_by_lr_against_the_sign_of_the_gradient() {
        let hyper = AdamW { weight_decay: 0.0, eps: 0.0, ..HYPER };
        let mut param = [1.0, 1.0];
        adamw_step(only([&mut param, &mut [0.0; 2], &mut [0.0; 2]], &[3.0, -0.001]), 1, 1.0, &hyper);
        assert!((param[0] - (1.0 - 2e-3)).abs() < 1e-6 && (param[1] - (1.0 + 2e-3)).abs() < 1e-6, "{param:?}");
    }

    #[test]
    fn zero_gradient_only_decays() {
        let (mut param, mut m, mut v) = ([2.0], [0.0], [0.0]);
        adamw_step(only([&mut param, &mut m, &mut v], &[0.0]), 1, 1.0, &HYPER);
        assert_eq!(param, [2.0 * (1.0 - 2e-4)]);
        assert_eq!((m, v), ([0.0], [0.0]));
    }

    #[test]
    #[should_panic(expected = "differ in length")]
    fn slices_of_different_lengths_are_refused() {
        adamw_step(only([&mut [0.0; 2], &mut [0.0; 2], &mut [0.0; 1]], &[0.0; 2]), 1, 1.0, &HYPER);
    }
}
