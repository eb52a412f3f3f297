//! Cube tensor ↔ the buffer of a kernel, and how many units work on it

use burn::tensor::{DType, Int, IntDType, Shape, Tensor};
use burn_cubecl::{
    CubeBackend,
    kernel::into_contiguous,
    ops::numeric::{empty_device_contiguous_dtype, full_client},
    tensor::CubeTensor,
};
use cubecl::{calculate_cube_count_elemwise, client::Client, prelude::*};

use crate::function::{Arrays, dispatch, primitive};

/// Units of a cube: a multiple of every plane, and what each device has.
pub(crate) const UNITS: u32 = 128;

/// A whole row-major f32 tensor of a device of CubeCL. A clone shares its buffer.
#[derive(Clone, Debug)]
pub(crate) struct Array(CubeTensor);

impl Array {
    /// A new tensor beside this one, of any values.
    pub(crate) fn beside(&self, shape: impl Into<Shape>) -> Self {
        let CubeTensor { client, device, dtype, .. } = &self.0;
        Self(empty_device_contiguous_dtype(client.clone(), device.clone(), shape.into(), *dtype))
    }

    /// A new tensor of this shape, of any values.
    pub(crate) fn like(&self) -> Self {
        self.beside(self.shape())
    }

    /// For a kernel: a slice.
    pub(crate) fn arg(&self) -> BufferArg {
        self.0.clone().into_buffer_arg()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn shape(&self) -> Shape {
        self.0.meta.shape().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.shape().num_elements()
    }

    /// Length of the last dimension.
    pub(crate) fn width(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// The same elements, which nobody else holds: copied if somebody does.
    pub(crate) fn own(self) -> Self {
        if self.0.can_mut() { self } else { Self(self.0.copy()) }
    }
}

/// As [`Array`], of i32: where rows lie.
#[derive(Clone, Debug)]
pub(crate) struct Indices(CubeTensor);

impl Indices {
    /// New indices beside `array`, of any values.
    pub(crate) fn beside(Array(tensor): &Array, len: usize) -> Self {
        let CubeTensor { client, device, .. } = tensor;
        Self(empty_device_contiguous_dtype(client.clone(), device.clone(), Shape::from([len]), DType::I32))
    }

    /// Those of a tensor, without autodiff.
    ///
    /// # Panics
    /// Unless it lies on a device of CubeCL.
    pub(crate) fn of(tensor: Tensor<1, Int>) -> Self {
        let tensor = tensor.inner().cast(IntDType::I32).try_into_primitive::<CubeBackend>();
        Self(into_contiguous(tensor.expect("indices lie on the device of what they point into")))
    }

    /// For a kernel: a slice.
    pub(crate) fn arg(&self) -> BufferArg {
        self.0.clone().into_buffer_arg()
    }
}

impl Arrays for CubeBackend {
    type Array = Array;

    fn array(tensor: CubeTensor) -> Array {
        assert_eq!(tensor.dtype, DType::F32, "fused operators compute in f32");
        Array(into_contiguous(tensor))
    }

    fn tensor(array: Array) -> CubeTensor {
        array.0
    }

    fn reshape(Array(tensor): Array, shape: Shape) -> Array {
        let CubeTensor { client, handle, device, dtype, .. } = tensor;
        assert_eq!(tensor.meta.shape().num_elements(), shape.num_elements(), "elements before and after a reshape");
        Array(CubeTensor::new_contiguous(client, device, shape, handle, dtype))
    }

    fn nothing(array: &Array) -> CubeTensor {
        array.beside([1]).0
    }
}

/// The elements of a tensor without autodiff.
///
/// # Panics
/// Unless it is an f32 tensor of a device of CubeCL.
pub(crate) fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    CubeBackend::array(primitive::<CubeBackend>(tensor.into_dispatch()))
}

/// A tensor without autodiff of these elements.
pub(crate) fn tensor<const D: usize>(Array(tensor): Array) -> Tensor<D> {
    Tensor::from_dispatch(dispatch::<CubeBackend>(tensor))
}

/// [.., d] as [t, d], without autodiff.
pub(crate) fn rows(array: &Array) -> Tensor<2> {
    let width = array.width();
    tensor(CubeBackend::reshape(array.clone(), Shape::from([array.len() / width, width])))
}

/// As many zeros as `array` has elements, in its shape.
pub(crate) fn zeros(Array(tensor): &Array) -> Array {
    let CubeTensor { client, device, .. } = tensor;
    Array(into_contiguous(full_client::<f32>(client.clone(), tensor.meta.shape().clone(), device.clone(), 0.0)))
}

/// Most tensors of a kernel that takes several: more make it long to compile and no faster.
const MOST_AT_A_TIME: usize = 16;

/// How many tensors a kernel can take that has `buffers` for each of them and one more.
pub(crate) fn at_a_time(client: &Client, buffers: usize) -> usize {
    let bindings = client.properties().hardware.max_bindings as usize;
    (bindings.saturating_sub(1) / buffers).clamp(1, MOST_AT_A_TIME)
}

/// A unit for each of `len` elements.
pub(crate) fn units(client: &Client, len: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (calculate_cube_count_elemwise(client, len, dim), dim)
}

/// A cube for each of `len` rows.
pub(crate) fn cubes(client: &Client, len: usize) -> (CubeCount, CubeDim) {
    (calculate_cube_count_elemwise(client, len, CubeDim::new_1d(1)), CubeDim::new_1d(UNITS))
}
