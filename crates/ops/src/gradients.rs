//! gradients of all weights → their global norm; two of them → their sum
//!
//! Gradients are flat tensors without autodiff, one a weight.

use burn::tensor::{Tensor, assert_shape};

use crate::dispatch::dispatch;

/// `√(Σ g²)` over every element of all `gradients`: one number is read from the device. It is finite if and only if every
/// element is and, in the composite, which squares in f32, none exceeds 1.8e19.
pub fn gradient_norm(gradients: &[Tensor<1>]) -> f64 {
    if gradients.is_empty() {
        return 0.0;
    }
    dispatch!(&gradients[0] => gradient_norm(gradients))
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
    dispatch!(&sum[0] => add_gradients(sum, gradients))
}

pub(crate) mod composite {
    use burn::tensor::Tensor;

    /// Composite of [`crate::gradient_norm`].
    pub fn gradient_norm(gradients: &[Tensor<1>]) -> f64 {
        let squares = gradients.iter().map(|gradient| gradient.clone().square().sum()).collect();
        Tensor::cat(squares, 0).sum().sqrt().into_scalar::<f32>().into()
    }

    /// Composite of [`crate::add_gradients`].
    pub fn add_gradients(sum: Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        sum.into_iter().zip(gradients).map(|(sum, gradient)| sum + gradient).collect()
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;
    use itera_kernels::{norm::sum_of_all_squares, vector};

    use crate::flex::{
        array::Array,
        function::{array, tensor},
    };

    pub(super) fn gradient_norm(gradients: &[Tensor<1>]) -> f64 {
        let arrays: Vec<Array> = gradients.iter().cloned().map(array).collect();
        sum_of_all_squares(&arrays.iter().map(|array| &array[..]).collect::<Vec<_>>()).sqrt()
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
