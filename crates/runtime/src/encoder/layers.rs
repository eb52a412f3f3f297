//! The weights of an encoder, packed for products as they are read.

use itera_formats::hf::{EncoderDir, EncoderEmbeddings, EncoderLinear, EncoderNorm};
use itera_kernels::{
    gemm::{Matrix, MatrixMut, Packed, Write, par_gemm_packed},
    layer_norm::LayerNorm,
};

use crate::error::Result;

/// Every weight of an encoder.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) embeddings: EncoderEmbeddings,
    pub(super) layers: Vec<Layer>,
}

#[derive(Debug)]
pub(super) struct Layer {
    /// d → 3·d
    pub(super) qkv: Product,
    pub(super) attention_out: Product,
    pub(super) attention_norm: EncoderNorm,
    pub(super) ffn_in: Product,
    pub(super) ffn_out: Product,
    pub(super) ffn_norm: EncoderNorm,
}

/// A linear layer whose weights are in panels of columns.
#[derive(Debug)]
pub(super) struct Product {
    panels: Vec<f32>,
    inputs: usize,
    pub(super) bias: Vec<f32>,
}

impl Layers {
    pub(super) fn read(dir: &mut EncoderDir) -> Result<Self> {
        let n_layers = dir.config.n_layers;
        let layer = |index| {
            let layer = dir.layer(index)?;
            Ok(Layer {
                qkv: Product::new(&layer.qkv),
                attention_out: Product::new(&[layer.attention_out]),
                attention_norm: layer.attention_norm,
                ffn_in: Product::new(&[layer.ffn_in]),
                ffn_out: Product::new(&[layer.ffn_out]),
                ffn_norm: layer.ffn_norm,
            })
        };
        let layers = (0..n_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { embeddings: dir.embeddings()?, layers })
    }
}

impl Product {
    /// Layers of one input side by side.
    fn new(parts: &[EncoderLinear]) -> Self {
        let weight: Vec<f32> = parts.iter().flat_map(|part| &part.weight).copied().collect();
        let bias: Vec<f32> = parts.iter().flat_map(|part| &part.bias).copied().collect();
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let mut panels = vec![0.0; Packed::len(inputs, outputs)];
        Packed::par_pack(Matrix::new(&weight, outputs, inputs).t(), &mut panels);
        Self { panels, inputs, bias }
    }

    /// `y = x·Wᵀ`, the bias left out.
    ///
    /// # Shapes
    /// `x`: [t, inputs], `y`: [t, outputs]
    pub(super) fn times(&self, x: &[f32], y: &mut [f32]) {
        let (rows, outputs) = (x.len() / self.inputs, self.bias.len());
        let packed = Packed::of_panels(&self.panels, self.inputs, outputs);
        par_gemm_packed(Matrix::new(x, rows, self.inputs), packed, MatrixMut::new(y, rows, outputs), Write::Set);
    }
}

/// A norm as kernels take it.
pub(super) fn norm(weights: &EncoderNorm, eps: f32) -> LayerNorm<'_> {
    LayerNorm { weight: &weights.weight, bias: &weights.bias, eps }
}
