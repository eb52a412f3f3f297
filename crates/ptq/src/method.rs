//! How weights are rounded, and how files say so.

use itera_formats::Dtype;
use itera_kernels::quant::apart::NVFP4_GROUP;

/// How the weights of a matrix are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// E2M1 numbers, an E4M3 scale for 16 of a row, an f32 factor a tensor; activations stay as they are.
    Nvfp4,
    /// E4M3 numbers and scales of the kind that the weights had; servers round activations to E4M3 as they come.
    Fp8(Fp8Scales),
}

/// How scales are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// The largest weight of a group becomes the largest code, as llm-compressor does it, to the byte.
    #[default]
    MinMax,
    /// Of the scales near that one, the one with the least squared error; of NVFP4 alone, whose codes are few.
    Mse,
}

/// How many weights share a scale in FP8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fp8Scales {
    /// Those of a row, an output channel.
    #[default]
    Channel,
    /// Those of 128 rows and 128 columns.
    Block,
    /// Those of the matrix.
    Tensor,
}

/// Sides of a block of [`Fp8Scales::Block`].
pub(crate) const BLOCK: usize = 128;

/// Whose names and configuration the files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// compressed-tensors: vLLM, transformers, SGLang.
    #[default]
    CompressedTensors,
    /// NVIDIA's ModelOpt: TensorRT-LLM, and vLLM.
    ModelOpt,
}

impl Method {
    /// `nvfp4` or `fp8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvfp4 => "nvfp4",
            Self::Fp8(_) => "fp8",
        }
    }

    /// Whether a layout has the scales of this method. ModelOpt's for blocks and for tensors are with activations that were
    /// measured on text.
    pub(crate) fn fits(self, layout: Layout) -> bool {
        layout == Layout::CompressedTensors || matches!(self, Self::Nvfp4 | Self::Fp8(Fp8Scales::Channel))
    }

    /// The tensors that take the place of a matrix `[rows, cols]` of `dtype`: what comes after the name of its module, the kind of
    /// number and the shape. Codes are first, then scales, then what the scales of a tensor are relative to.
    pub(crate) fn parts(
        self,
        layout: Layout,
        dtype: Dtype,
        rows: usize,
        cols: usize,
    ) -> Vec<(&'static str, Dtype, Vec<usize>)> {
        let codes = match (self, layout) {
            (Self::Nvfp4, Layout::CompressedTensors) => ("weight_packed", Dtype::U8, vec![rows, cols / 2]),
            (Self::Nvfp4, Layout::ModelOpt) => ("weight", Dtype::U8, vec![rows, cols / 2]),
            (Self::Fp8(_), _) => ("weight", Dtype::F8_E4M3, vec![rows, cols]),
        };
        let (scale_dtype, scale_shape) = match (self, layout) {
            (Self::Nvfp4, _) => (Dtype::F8_E4M3, vec![rows, cols / NVFP4_GROUP]),
            (Self::Fp8(Fp8Scales::Tensor), _) => (dtype, vec![1]),
            (Self::Fp8(Fp8Scales::Channel), Layout::ModelOpt) => (Dtype::F32, vec![rows]),
            (Self::Fp8(Fp8Scales::Channel), Layout::CompressedTensors) => (dtype, vec![rows, 1]),
            (Self::Fp8(Fp8Scales::Block), _) => (dtype, vec![rows.div_ceil(BLOCK), cols.div_ceil(BLOCK)]),
        };
        let mut parts = vec![codes, ("weight_scale", scale_dtype, scale_shape)];
        match (self, layout) {
            (Self::Nvfp4, Layout::CompressedTensors) => parts.push(("weight_global_scale", Dtype::F32, vec![1])),
            (Self::Nvfp4, Layout::ModelOpt) => parts.push(("weight_scale_2", Dtype::F32, vec![])),
            (Self::Fp8(_), _) => {}
        }
        parts
    }
}
