//! gradients of all weights → their global norm; two of them → their sum
//!
//! Gradients are flat tensors without autodiff, one a weight.

use burn::tensor::{Tensor, assert_shape};

use crate::{
    device::{DeviceError, read},
    dispatch::dispatch,
};

/// A norm where it was computed.
#[derive(Clone, Debug)]
pub enum Norm {
    /// By the CPU.
    Host(f64),
    /// On a device, one number, which may not be done yet.
    Device(Box<Tensor<1>>),
}

impl Norm {
    /// Its value.
    ///
    /// # Errors
    /// If the device failed to compute it, or what it is the norm of.
    pub fn read(self) -> Result<f64, DeviceError> {
        match self {
            Self::Host(norm) => Ok(norm),
            Self::Device(norm) => Ok(read(*norm)?[0].into()),
        }
    }
}

/// `√(Σ g²)` over every element of all `gradients`. It is finite if and only if every element is and, but for the device
/// `flex`, which squares in f64, none exceeds 1.8e19.
pub fn gradient_norm(gradients: &[Tensor<1>]) -> Norm {
    if gradients.is_empty() {
        return Norm::Host(0.0);
    }
    dispatch!(flex, cube: &gradients[0] => gradient_norm(gradients))
}

/// `sum + gradients`, tensor by tensor. The fused form writes into the memory of `sum` where nobody else holds it, and
/// gives that of `gradients` to later operators.
///
/// # Panics
/// If the two differ in number or in the length of a tensor.
pub fn add_gradients(sum: Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    assert_eq!(sum.len(), gradients.len(), "gradients that are added");
    for (sum, gradient) in sum.iter().zip(&gradients) {
        let [len] = sum.dims();
        assert_shape!(gradient, [len]);
    }
    if sum.is_empty() {
        return sum;
    }
    dispatch!(flex: &sum[0] => add_gradients(sum, gradients))
}

pub(crate) mod composite {
    use burn::tensor::Tensor;

    use super::Norm;

    /// Composite of [`crate::gradient_norm`].
    pub fn gradient_norm(gradients: &[Tensor<1>]) -> Norm {
        let squares = gradients.iter().map(|gradient| gradient.clone().square().sum()).collect();
        Norm::Device(Box::new(Tensor::cat(squares, 0).sum().sqrt()))
    }

    /// Composite of [`crate::add_gradients`].
    pub fn add_gradients(sum: Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        sum.into_iter().zip(gradients).map(|(sum, gradient)| sum + gradient).collect()
    }
}

#[cfg(feature = "cube")]
mod cube {
    use burn::tensor::Tensor;
    use cubecl::prelude::*;

    use super::Norm;
    use crate::cube::{
        array::{Array, UNITS, array, at_a_time, cubes, tensor},
        reduce::cube_sum,
    };

    /// Numbers that a unit adds up.
    const EACH: usize = 32;

    /// A cube adds up the squares of a part of a gradient, and one cube adds those of all parts.
    pub(super) fn gradient_norm(gradients: &[Tensor<1>]) -> Norm {
        let gradients: Vec<_> = gradients.iter().cloned().map(array).collect();
        let parts = |of: &[Array]| of.iter().map(|gradient| gradient.len().div_ceil(EACH * UNITS as usize)).sum();
        let squares = gradients[0].beside([parts(&gradients)]);
        let client = squares.client();
        let mut first = 0;
        for group in gradients.chunks(at_a_time(client, 1)) {
            let (count, dim) = cubes(client, parts(group));
            add_squares::launch(
                client,
                count,
                dim,
                group.iter().map(|gradient| SliceLaunch::new(gradient.arg())).collect(),
                squares.arg(),
                first,
                group.len(),
                EACH,
                UNITS as usize,
            );
            first += parts(group);
        }
        let norm = squares.beside([1]);
        root_of_sum::launch(
            squares.client(),
            CubeCount::new_single(),
            CubeDim::new_1d(UNITS),
            squares.arg(),
            norm.arg(),
            UNITS as usize,
        );
        Norm::Device(Box::new(tensor(norm)))
    }

    /// A gradient in a kernel.
    #[derive(CubeType, CubeLaunch)]
    struct Slice {
        values: Box<[f32]>,
    }

    /// A cube for each part of `n` gradients, one behind the other.
    #[cube(launch)]
    fn add_squares(
        gradients: Sequence<Slice>,
        squares: &mut [f32],
        first: usize,
        #[comptime] n: usize,
        #[comptime] each: usize,
        #[comptime] n_units: usize,
    ) {
        let mut sum = 0.0f32;
        let mut end = 0usize;
        for i in 0..each {
            let mut begin = 0usize;
            #[unroll]
            for k in 0..n {
                let gradient = gradients.index(k);
                let len = gradient.values.len();
                let parts = len.div_ceil(each * n_units);
                let at = ((CUBE_POS - begin) * each + i) * n_units + UNIT_POS as usize;
                if CUBE_POS >= begin && CUBE_POS < begin + parts && at < len {
                    sum += gradient.values[at] * gradient.values[at];
                }
                begin += parts;
            }
            end = begin;
        }
        let sum = cube_sum(sum, n_units);
        if CUBE_POS < end && UNIT_POS == 0 {
            squares[first + CUBE_POS] = sum;
        }
    }

    #[cube(launch)]
    fn root_of_sum(squares: &[f32], norm: &mut [f32], #[comptime] n_units: usize) {
        let mut sum = 0.0f32;
        for at in range_stepped(UNIT_POS as usize, squares.len(), n_units) {
            sum += squares[at];
        }
        let sum = cube_sum(sum, n_units);
        if UNIT_POS == 0 {
            norm[0] = sum.sqrt();
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;
    use itera_kernels::{norm::sum_of_all_squares, vector};

    use super::Norm;
    use crate::flex::array::{Array, array, tensor};

    pub(super) fn gradient_norm(gradients: &[Tensor<1>]) -> Norm {
        let arrays: Vec<Array> = gradients.iter().cloned().map(array).collect();
        Norm::Host(sum_of_all_squares(&arrays.iter().map(|array| &array[..]).collect::<Vec<_>>()).sqrt())
    }

    pub(super) fn add_gradients(sum: Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        let add = |(sum, gradient)| {
            let (mut sum, gradient) = (array::<1>(sum), array::<1>(gradient));
            vector::add(&gradient, sum.values_mut());
            tensor(sum)
        };
        sum.into_iter().zip(gradients).map(add).collect()
    }
}
