//! What can be wrong inside a file of each format, one case a rule that it breaks.

use itera_kernels::quant::Kind;
use safetensors::{Dtype, SafeTensorError};

/// What is wrong with the header of a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// Numbers were to be written in a kind that the format lacks.
    #[error("it cannot hold {}; f32, f16, bf16 and f8_e4m3 can be written", .0.name())]
    Kind(Kind),
    /// Two tensors were to be written under one name.
    #[error("tensor `{tensor}` was given twice")]
    Twice {
        /// The name.
        tensor: String,
    },
    /// A tensor was to be written whose bytes are not those of its shape.
    #[error("tensor `{tensor}` was given {size_bytes} bytes for {dtype} of shape {shape:?}")]
    Size {
        /// The tensor.
        tensor: String,
        /// Bytes given.
        size_bytes: usize,
        /// The kind of number, as the format calls it.
        dtype: Dtype,
        /// The shape given.
        shape: Vec<usize>,
    },
    /// The header would be longer than any reader accepts.
    #[error("a header of {size_bytes} bytes, more than {max_bytes}")]
    TooLong {
        /// Its length.
        size_bytes: usize,
        /// The longest that is read.
        max_bytes: usize,
    },
    /// The file ends before the length of its header does.
    #[error("it has {size_bytes} bytes, too few for the length of its header")]
    NoLength {
        /// Bytes of the file.
        size_bytes: usize,
    },
    /// The file ends before its header does, or the length of the header is beyond any reader's limit.
    #[error("its header should have {said_bytes} bytes, but {left_bytes} follow; it may have been cut")]
    Cut {
        /// Length of the header, as the file says.
        said_bytes: u64,
        /// Bytes after the length.
        left_bytes: usize,
    },
    /// The header is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Tensors overlap, leave gaps, or contradict their shapes.
    #[error(transparent)]
    Contradiction(#[from] SafeTensorError),
}

/// What is wrong with a field of a GGUF file.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufProblem {
    /// The first bytes are those of another format.
    #[error("is not `GGUF`: this is another sort of file")]
    Magic,
    /// A version of the format that is not read.
    #[error("is {0}; 2 and 3 are read")]
    Version(u32),
    /// The file ends within the field.
    #[error("takes {n_bytes} bytes, but {n_left} are left; the file may have been cut")]
    Cut {
        /// Bytes of the field.
        n_bytes: usize,
        /// Bytes until the end of the file.
        n_left: usize,
    },
    /// More things are announced than the file has room for.
    #[error("is {count}, but the rest of the file has room for {room}; it may have been cut")]
    Count {
        /// How many are announced.
        count: u64,
        /// How many fit, if each is as short as can be.
        room: usize,
    },
    /// A text that is not UTF-8.
    #[error("is not valid UTF-8")]
    Utf8,
    /// A flag that is neither 0 nor 1.
    #[error("is {0}, neither true nor false")]
    Flag(u64),
    /// An array whose items are arrays.
    #[error("is an array of arrays, which no known key has")]
    Nested,
    /// The code of a type of value that the format lacks.
    #[error("is {0}, which is no type of GGUF")]
    Type(u32),
    /// A key or a tensor occurs a second time.
    #[error("is given twice")]
    Twice,
    /// The alignment of tensors is out of range.
    #[error("is {found}, not a power of two up to {largest}")]
    Alignment {
        /// The value, as text.
        found: String,
        /// The largest that is read.
        largest: usize,
    },
    /// A tensor of more dimensions than are read.
    #[error("is {n_dims}; at most {most} are read")]
    Dimensions {
        /// How many it has.
        n_dims: usize,
        /// The most that are read.
        most: usize,
    },
    /// A side of a tensor that memory cannot address.
    #[error("has a side of {0}")]
    Side(u64),
    /// A tensor that memory cannot address, or whose rows end within a block.
    #[error("is {shape:?}: too large, or its rows are not whole blocks of {block_len}")]
    Shape {
        /// The shape, slowest dimension first.
        shape: Vec<usize>,
        /// Numbers a block of its type.
        block_len: usize,
    },
    /// A tensor begins before or after the end of the one before it.
    #[error("is {start} where {expected} was expected: tensors follow each other without a gap")]
    Gap {
        /// Its first byte, from the beginning of the data.
        start: u64,
        /// The first byte that is free and aligned.
        expected: usize,
    },
    /// The file ends within a tensor.
    #[error("leaves {n_left} bytes for {n_bytes}; the file may have been cut")]
    CutTensor {
        /// Bytes from the tensor's first to the end of the file.
        n_left: usize,
        /// Bytes of the tensor.
        n_bytes: usize,
    },
    /// A tensor of an unknown type has less than a bit a number.
    #[error("leaves {n_bytes} bytes for {n_numbers} numbers, less than a bit for each")]
    Thin {
        /// Bytes until the next tensor.
        n_bytes: usize,
        /// Numbers of its shape.
        n_numbers: usize,
    },
    /// Bytes follow the last tensor.
    #[error("has {n_bytes} bytes that belong to nothing")]
    Surplus {
        /// How many.
        n_bytes: usize,
    },
}

/// How the parts of a compressed tensor of a model directory do not fit together.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsProblem {
    /// Packed codes without the tensors that explain them.
    #[error("lacks its `weight_scale` or `weight_shape`")]
    Alone,
    /// Scales that are neither one nor one a row.
    #[error("has shape {found:?}, which is none for {codes:?}")]
    Scales {
        /// The shape of the scales.
        found: Vec<usize>,
        /// The shape of the codes.
        codes: Vec<usize>,
    },
    /// 4-bit codes that are not rows of 32-bit words.
    #[error("has shape {0:?}, not rows of words")]
    Words(Vec<usize>),
    /// A tensor that should say the shape of the codes says another.
    #[error("is not [{rows}, {cols}], the 4-bit codes that there are")]
    Said {
        /// Rows of codes.
        rows: usize,
        /// Codes in a row.
        cols: usize,
    },
    /// Scales that are not one a group of 32 codes.
    #[error("has shape {found:?}, which is none of groups of 32 in [{rows}, {cols}]")]
    Groups {
        /// The shape of the scales.
        found: Vec<usize>,
        /// Rows of codes.
        rows: usize,
        /// Codes in a row.
        cols: usize,
    },
    /// A scale that rounding to f16 would change.
    #[error("has {0:e}, a scale that f16 does not hold")]
    Scale(f32),
}
