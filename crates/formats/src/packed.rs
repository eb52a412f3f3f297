//! numbers → rows of blocks, as files hold them.
//!
//! ```text
//! TensorRef ── kind ──▶ PackedTensor ──▶ gguf::write_gguf
//! codes and scales chosen elsewhere ─┘
//! ```

use std::borrow::Borrow;

use itera_kernels::quant::{self, Kind, MatrixError, QuantMatrix};
use itera_shape::{ModelConfig, TensorRef};

use crate::{
    error::{FormatError, Result},
    finite::{check_blocks, check_storable},
};

/// A packed tensor but for its numbers: what decides how many bytes a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    name: String,
    shape: Vec<usize>,
    kind: Kind,
}

impl TensorLayout {
    /// The layout of a tensor whose rows run along the last dimension.
    ///
    /// # Errors
    /// If a row is not whole blocks.
    pub fn new(name: &str, shape: &[usize], kind: Kind) -> Result<Self> {
        let (rows, cols) = rows_and_cols(shape);
        match kind.row_bytes(cols) {
            Some(_) => Ok(Self { name: name.into(), shape: shape.into(), kind }),
            None => Err(unpackable(name, MatrixError::Shape { kind, rows, cols })),
        }
    }

    /// The tensor's name in the tensor table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sizes of the dimensions; the last varies fastest.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How each number is stored.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// A tensor whose numbers are rounded: rows, one after the other, each whole blocks of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedTensor {
    layout: TensorLayout,
    bytes: Vec<u8>,
}

impl Borrow<TensorLayout> for PackedTensor {
    fn borrow(&self) -> &TensorLayout {
        &self.layout
    }
}

impl PackedTensor {
    /// Blocks that are made already. Rows run along the last dimension.
    ///
    /// # Errors
    /// If a row is not whole blocks, `bytes` are not exactly the rows, or they stand for a number that is not finite.
    pub fn new(name: &str, shape: &[usize], kind: Kind, bytes: Vec<u8>) -> Result<Self> {
        let (rows, cols) = rows_and_cols(shape);
        QuantMatrix::new(kind, rows, cols, &bytes).map_err(|source| unpackable(name, source))?;
        check_blocks(name, kind, &bytes, None)?;
        Ok(Self { layout: TensorLayout::new(name, shape, kind)?, bytes })
    }

    /// `tensor` rounded as [`quantize`](quant::quantize) rounds.
    ///
    /// # Errors
    /// If a row is not whole blocks of `kind`, the numbers are not as many as the shape has, or one of them is not finite
    /// or would not be as `kind`.
    pub fn round(tensor: &TensorRef<'_>, kind: Kind) -> Result<Self> {
        let TensorRef { name, shape, data } = *tensor;
        let (rows, cols) = rows_and_cols(shape);
        let problem = || unpackable(name, MatrixError::Shape { kind, rows, cols });
        let row_bytes = kind.row_bytes(cols).filter(|_| data.len() == rows * cols).ok_or_else(problem)?;
        check_storable(name, kind, data)?;
        let mut bytes = vec![0; rows * row_bytes];
        quant::quantize(kind, data, &mut bytes);
        if kind.block_len() > 1 {
            check_blocks(name, kind, &bytes, Some(data))?;
        }
        Ok(Self { layout: TensorLayout::new(name, shape, kind)?, bytes })
    }

    /// As [`TensorLayout::name`].
    pub fn name(&self) -> &str {
        self.layout.name()
    }

    /// As [`TensorLayout::shape`].
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// As [`TensorLayout::kind`].
    pub fn kind(&self) -> Kind {
        self.layout.kind()
    }

    /// The blocks.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number that each element stands for.
    pub fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.shape().iter().product()];
        quant::dequantize(self.kind(), &self.bytes, &mut numbers);
        numbers
    }
}

/// Every tensor of a model packed as [`packed_kind`] has it.
///
/// # Errors
/// If the configuration is not valid, the tensors do not match it exactly, or a number is not finite or overflows in its
/// kind.
pub fn pack_model(config: &ModelConfig, tensors: &[TensorRef<'_>], kind: Kind) -> Result<Vec<PackedTensor>> {
    let tensors = crate::hf::of_model("the model to pack".as_ref(), config, tensors)?;
    let specs = config.tensors();
    specs.iter().zip(&tensors).map(|(spec, tensor)| PackedTensor::round(tensor, packed_kind(spec, kind))).collect()
}

/// The kind that a tensor gets in a model packed as `kind`: that one for a matrix, or F16 if its rows are no whole blocks
/// of it; F32 for vectors, the taps of the convolution and the router, which are small, and which llama.cpp takes in no
/// other.
pub fn packed_kind(spec: &itera_shape::TensorSpec, kind: Kind) -> Kind {
    let (_, cols) = rows_and_cols(&spec.shape);
    match spec.role.is_matrix() {
        true if kind.row_bytes(cols).is_some() => kind,
        true => Kind::F16,
        false => Kind::F32,
    }
}

/// A tensor as rows along its last dimension.
pub fn rows_and_cols(shape: &[usize]) -> (usize, usize) {
    let cols = shape.last().copied().unwrap_or(1);
    (shape.iter().product::<usize>() / cols.max(1), cols)
}

fn unpackable(name: &str, source: MatrixError) -> FormatError {
    FormatError::Unpackable { tensor: name.into(), source }
}
