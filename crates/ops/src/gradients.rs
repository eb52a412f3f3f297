//! gradients of all weights → their global norm; two of them → their sum
//!
//! Gradients are flat tensors without autodiff, one a weight.

use burn::tensor::{Tensor, assert_shape};

use crate::{device::DeviceError, dispatch::dispatch};

/// `√(Σ g²)` over every element of all `gradients`: one number is read from the device. It is finite if and only if every
/// element is and, but for the device `flex`, which squares in f64, none exceeds 1.8e19.
///
/// # Errors
/// If the device failed to compute it, or the gradients.
pub fn gradient_norm(gradients: &[Tensor<1>]) -> Result<f64, DeviceError> {
    if gradients.is_empty() {
        return Ok(0.0);
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

    use crate::device::{DeviceError, read};

    /// Composite of [`crate::gradient_norm`].
    pub fn gradient_norm(gradients: &[Tensor<1>]) -> Result<f64, DeviceError> {
        let squares = gradients.iter().map(|gradient| gradient.clone().square().sum()).collect();
        Ok(read(Tensor::cat(squares, 0).sum().sqrt())?[0].into())
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

    use crate::{
        cube::{
            array::{UNITS, array, cubes, tensor},
            reduce::cube_sum,
        },
        device::{DeviceError, read},
    };

    /// Numbers that a unit adds up.
    const EACH: usize = 32;

    /// A cube adds up the squares of a part of a gradient, and one cube adds those of all parts.
    pub(super) fn gradient_norm(gradients: &[Tensor<1>]) -> Result<f64, DeviceError> {
        let gradients: Vec<_> = gradients.iter().cloned().map(array).collect();
        let parts = |len: usize| len.div_ceil(EACH * UNITS as usize);
        let all: usize = gradients.iter().map(|gradient| parts(gradient.len())).sum();
        let squares = gradients[0].beside([all]);
        let mut first = 0;
        for gradient in &gradients {
            let (count, dim) = cubes(gradient.client(), parts(gradient.len()));
            add_squares::launch(
                gradient.client(),
                count,
                dim,
                gradient.arg(),
                squares.arg(),
                first,
                parts(gradient.len()),
                EACH,
                UNITS as usize,
            );
            first += parts(gradient.len());
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
        Ok(read(tensor::<1>(norm))?[0].into())
    }

    #[cube(launch)]
    fn add_squares(
        gradient: &[f32],
        squares: &mut [f32],
        first: usize,
        parts: usize,
        #[comptime] each: usize,
        #[comptime] n_units: usize,
    ) {
        let part = CUBE_POS;
        let mut sum = 0.0f32;
        for i in 0..each {
            let at = (part * each + i) * n_units + UNIT_POS as usize;
            if at < gradient.len() {
                sum += gradient[at] * gradient[at];
            }
        }
        let sum = cube_sum(sum, n_units);
        if part < parts && UNIT_POS == 0 {
            squares[first + part] = sum;
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

    use crate::{
        device::DeviceError,
        flex::array::{Array, array, tensor},
    };

    pub(super) fn gradient_norm(gradients: &[Tensor<1>]) -> Result<f64, DeviceError> {
        let arrays: Vec<Array> = gradients.iter().cloned().map(array).collect();
        Ok(sum_of_all_squares(&arrays.iter().map(|array| &array[..]).collect::<Vec<_>>()).sqrt())
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
