//! Products of matrices: operands in the precision in force, sums in f32

use burn::tensor::{DType, FloatDType, Tensor};
use burn_cubecl::{
    CubeBackend,
    kernel::matmul::{MatmulStrategy, matmul},
};
use itera_shape::Precision;

use crate::{
    cube::array::{Array, rows},
    function::{dispatch, primitive},
};

/// A matrix that is multiplied, without autodiff, rounded once.
#[derive(Clone, Debug)]
pub(crate) struct Operand(Tensor<2>);

impl Operand {
    /// `matrix`, in `precision`.
    pub(crate) fn new(matrix: Tensor<2>, precision: Precision) -> Self {
        Self(match precision {
            Precision::F32 => matrix,
            Precision::Bf16 => matrix.cast(FloatDType::BF16),
            Precision::F16 => matrix.cast(FloatDType::F16),
        })
    }

    /// [.., d] as [t, d], in `precision`.
    pub(crate) fn rows(values: &Array, precision: Precision) -> Self {
        Self::new(rows(values), precision)
    }

    /// Its rows.
    pub(crate) fn len(&self) -> usize {
        self.0.dims()[0]
    }

    /// Its transpose, in the same memory.
    pub(crate) fn t(&self) -> Self {
        Self(self.0.clone().transpose())
    }

    /// `len` of its rows, from the one at `first`.
    pub(crate) fn rows_from(&self, first: usize, len: usize) -> Self {
        Self(self.0.clone().narrow(0, first, len))
    }

    /// `self · other`.
    pub(crate) fn times(&self, other: &Self) -> Tensor<2> {
        let [a, b] = [self, other].map(|operand| primitive::<CubeBackend>(operand.0.clone().into_dispatch()));
        let product = matmul(a, b, None, MatmulStrategy::default(), DType::F32);
        let product = product.expect("the inner dimensions are the same, and the device has the type of the operands");
        Tensor::from_dispatch(dispatch::<CubeBackend>(product))
    }
}
