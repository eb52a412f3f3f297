//! Flex tensor ↔ `&[f32]` and a shape

use std::ops::Deref;

use burn::{
    backend::{
        Flex,
        flex::{FlexTensor, Layout},
    },
    tensor::{DType, Int, Shape, Tensor, TensorData},
};
use itera_kernels::vector;

use crate::{
    flex::{buffers, ledger},
    function::{Arrays, dispatch, primitive},
};

/// A whole row-major f32 tensor of the CPU. A clone shares the storage; the last owner gives it back to [`buffers`].
#[derive(Clone, Debug)]
pub(crate) struct Array(Option<FlexTensor>);

const HELD: &str = "an array holds its tensor until it is dropped";

impl Array {
    /// `values` in row-major order.
    pub(crate) fn new(values: Vec<f32>, shape: impl Into<Shape>) -> Self {
        Self(Some(FlexTensor::from_data(TensorData::new(values, shape))))
    }

    /// The elements of `tensor`, copied only if they do not lie in row-major order and alone in their storage.
    ///
    /// # Panics
    /// If its elements are not f32.
    pub(crate) fn from_flex(tensor: FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::F32, "fused operators compute in f32");
        Self(Some(tensor.to_contiguous()))
    }

    pub(crate) fn into_flex(mut self) -> FlexTensor {
        self.0.take().expect(HELD)
    }

    /// The same elements in the same order under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub(crate) fn reshape(self, shape: Shape) -> Self {
        assert_eq!(self.len(), shape.num_elements(), "elements before and after a reshape");
        Self(Some(self.into_flex().with_layout(Layout::contiguous(shape))))
    }

    pub(crate) fn shape(&self) -> &Shape {
        self.tensor().layout().shape()
    }

    /// Length of the last dimension.
    pub(crate) fn width(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// Every element times `factor`.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        if factor == 1.0 {
            return self;
        }
        let mut scaled = buffers::take(self.len());
        vector::scale(&self, factor, &mut scaled);
        Self::new(scaled, self.shape().clone())
    }

    /// The elements, to be changed in place. They move to memory of their own first if others hold them too.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        if !self.tensor().is_unique() {
            let mut copy = buffers::take(self.len());
            copy.copy_from_slice(self);
            *self = Self::new(copy, self.shape().clone());
        }
        self.0.as_mut().expect(HELD).storage_mut()
    }

    /// What tells this storage from every other that is alive.
    pub(crate) fn address(&self) -> usize {
        self.tensor().bytes().as_ptr().addr()
    }

    pub(crate) fn tensor(&self) -> &FlexTensor {
        self.0.as_ref().expect(HELD)
    }
}

impl Arrays for Flex {
    type Array = Array;

    fn array(tensor: FlexTensor) -> Array {
        Array::from_flex(tensor)
    }

    fn tensor(array: Array) -> FlexTensor {
        array.into_flex()
    }

    fn reshape(array: Array, shape: Shape) -> Array {
        array.reshape(shape)
    }

    fn nothing(_: &Array) -> FlexTensor {
        Array::from(vec![0.0]).into_flex()
    }

    fn before_untracked() {
        if ledger::bytes() == 0 {
            buffers::trim_now_and_then();
        }
    }
}

/// The elements of a tensor without autodiff.
///
/// # Panics
/// Unless it is an f32 tensor of the device flex.
pub(crate) fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    Array::from_flex(primitive::<Flex>(tensor.into_dispatch()))
}

/// A tensor without autodiff of these elements.
pub(crate) fn tensor<const D: usize>(values: Array) -> Tensor<D> {
    Tensor::from_dispatch(dispatch::<Flex>(values.into_flex()))
}

/// The values of a tensor of token ids, row by row.
pub(crate) fn ids<const D: usize>(ids: Tensor<D, Int>) -> Vec<i32> {
    ids.into_data().convert::<i32>().try_into_vec().expect("converted to i32")
}

impl From<Vec<f32>> for Array {
    fn from(values: Vec<f32>) -> Self {
        let len = values.len();
        Self::new(values, [len])
    }
}

impl Deref for Array {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.tensor().as_slice().expect("a row-major f32 tensor")
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if let Some(tensor) = self.0.take()
            && tensor.is_unique()
        {
            let (bytes, ..) = tensor.into_data().into_parts();
            // memory of another kind than a `Vec<f32>` cannot become one, and is freed
            bytes.try_into_vec().map_or_else(drop, buffers::give);
        }
    }
}
