//! The weights of a model in the order in which a token meets them, borrowed from its file.
//!
//! ```text
//! embed → layers: mixer_norm → mamba or attention → ffn_norm → moe, shared → norm → head
//! ```
//!
//! Matrices stay packed where they are; loading looks each up by name once, checks its shape, and copies its scales.

use itera_formats::{ModelFile, RotaryPairs};
use itera_kernels::{
    decode::{AttentionStep, Mamba2Step, Pairs},
    quant::QuantMatrix,
};
use itera_shape::{LayerKind, ModelConfig, PositionEmbedding};

use crate::{
    error::{Result, RuntimeError},
    linear::Weight,
};

/// Every weight of the model.
pub(crate) struct Network<'a> {
    pub(crate) embed: QuantMatrix<'a>,
    pub(crate) layers: Vec<Layer<'a>>,
    pub(crate) norm: &'a [f32],
    pub(crate) head: Weight<'a>,
    pub(crate) rope: Option<Rope>,
}

pub(crate) struct Layer<'a> {
    pub(crate) mixer_norm: &'a [f32],
    pub(crate) mixer: Mixer<'a>,
    pub(crate) ffn_norm: &'a [f32],
    pub(crate) moe: Option<Moe<'a>>,
    pub(crate) shared: Mlp<'a>,
}

pub(crate) enum Mixer<'a> {
    Mamba(Mamba<'a>),
    Attention(Attention<'a>),
}

/// Mamba-2 mixer; small weights in the two orders that its recurrent and its chunked form read.
pub(crate) struct Mamba<'a> {
    pub(crate) in_proj: Weight<'a>,
    pub(crate) out_proj: Weight<'a>,
    /// [d_conv, ch]
    conv_taps: Vec<f32>,
    /// [ch, d_conv]
    pub(crate) conv_weight: &'a [f32],
    pub(crate) conv_bias: &'a [f32],
    pub(crate) dt_bias: &'a [f32],
    a: &'a [f32],
    pub(crate) a_log: Vec<f32>,
    pub(crate) d_skip: &'a [f32],
    pub(crate) norm: &'a [f32],
}

/// Causal grouped-query attention.
pub(crate) struct Attention<'a> {
    pub(crate) q_proj: Weight<'a>,
    pub(crate) k_proj: Weight<'a>,
    pub(crate) v_proj: Weight<'a>,
    pub(crate) o_proj: Weight<'a>,
    pub(crate) sizes: AttentionStep,
}

/// Router and experts.
pub(crate) struct Moe<'a> {
    /// [e, d]
    pub(crate) router: &'a [f32],
    pub(crate) experts: Vec<Mlp<'a>>,
}

/// `out·(silu(gate·x)·up·x)`.
pub(crate) struct Mlp<'a> {
    pub(crate) gate: Weight<'a>,
    pub(crate) up: Weight<'a>,
    pub(crate) out: Weight<'a>,
}

/// Rotary embedding of attention heads.
pub(crate) struct Rope {
    pub(crate) pairs: Pairs,
    /// Angle a position of each pair of channels.
    frequencies: Vec<f64>,
}

impl<'a> Network<'a> {
    pub(crate) fn load(file: &'a ModelFile) -> Result<Self> {
        let config = file.config();
        let source = Source { file, prefix: String::new() };
        let (v, d) = (config.vocab_size, config.d_model);
        let layers = config.layer_kinds().into_iter().enumerate();
        let turns = !config.attention_layers.is_empty() && config.position_embedding == PositionEmbedding::Rope;
        Ok(Self {
            embed: source.packed("embed", v, d)?,
            layers: layers
                .map(|(index, kind)| Layer::load(&source.within(&format!("layers.{index}")), kind))
                .collect::<Result<_>>()?,
            norm: source.vector("norm", &[d])?,
            head: source.matrix("head", v, d)?,
            rope: turns.then(|| Rope::new(file)),
        })
    }
}

impl<'a> Network<'a> {
    /// Whether some weights are codes, for which activations may be rounded.
    pub(crate) fn has_codes(&self) -> bool {
        self.matrices().any(|matrix| matrix.packed().kind().block_len() > 1)
    }

    /// Bytes of the heap that the scales of its matrices hold.
    pub(crate) fn scales_bytes(&self) -> usize {
        self.matrices().map(Weight::scales_bytes).sum()
    }

    /// All that are multiplied by.
    fn matrices(&self) -> impl Iterator<Item = &Weight<'a>> {
        let layers = self.layers.iter().flat_map(|layer| {
            let experts = layer.moe.iter().flat_map(|moe| &moe.experts);
            let mlps = experts.chain([&layer.shared]).flat_map(Mlp::matrices);
            layer.mixer.matrices().into_iter().chain(mlps)
        });
        layers.chain([&self.head])
    }
}

impl<'a> Mixer<'a> {
    pub(crate) fn matrices(&self) -> Vec<&Weight<'a>> {
        match self {
            Self::Mamba(mamba) => vec![&mamba.in_proj, &mamba.out_proj],
            Self::Attention(layer) => vec![&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj],
        }
    }
}

impl<'a> Mlp<'a> {
    pub(crate) fn matrices(&self) -> [&Weight<'a>; 3] {
        [&self.gate, &self.up, &self.out]
    }
}

impl<'a> Layer<'a> {
    fn load(source: &Source<'a>, kind: LayerKind) -> Result<Self> {
        let config = source.file.config();
        let d = config.d_model;
        let mlp = |name: &str, f| {
            let part = source.within(name);
            Ok(Mlp { gate: part.matrix("gate", f, d)?, up: part.matrix("up", f, d)?, out: part.matrix("out", d, f)? })
        };
        let moe = || {
            let experts = (0..config.n_experts).map(|expert| mlp(&format!("moe.{expert}"), config.d_expert));
            let router = source.vector("moe.router", &[config.n_experts, d])?;
            Ok::<_, RuntimeError>(Moe { router, experts: experts.collect::<Result<_>>()? })
        };
        Ok(Self {
            mixer_norm: source.vector("mixer_norm", &[d])?,
            mixer: match kind {
                LayerKind::Mamba => Mixer::Mamba(Mamba::load(&source.within("mamba"), config)?),
                LayerKind::Attention => Mixer::Attention(Attention::load(&source.within("attention"), config)?),
            },
            ffn_norm: source.vector("ffn_norm", &[d])?,
            moe: (config.n_experts > 0).then(moe).transpose()?,
            shared: mlp("shared", config.d_shared)?,
        })
    }
}

impl<'a> Mamba<'a> {
    fn load(source: &Source<'a>, config: &ModelConfig) -> Result<Self> {
        let (d, i, h, ch, taps) =
            (config.d_model, config.d_inner(), config.n_heads(), config.d_conv_channels(), config.d_conv);
        let conv_weight = source.vector("conv_weight", &[ch, taps])?;
        let a = source.vector("a", &[h])?;
        Ok(Self {
            in_proj: source.matrix("in_proj", config.d_in_proj(), d)?,
            out_proj: source.matrix("out_proj", d, i)?,
            conv_taps: (0..taps).flat_map(|tap| conv_weight.iter().skip(tap).step_by(taps).copied()).collect(),
            conv_weight,
            conv_bias: source.vector("conv_bias", &[ch])?,
            dt_bias: source.vector("dt_bias", &[h])?,
            a,
            a_log: a.iter().map(|a| (-f64::from(*a)).ln() as f32).collect(),
            d_skip: source.vector("d_skip", &[h])?,
            norm: source.vector("norm", &[i])?,
        })
    }

    /// What the recurrent form needs.
    pub(crate) fn step(&self, config: &ModelConfig) -> Mamba2Step<'_> {
        Mamba2Step {
            n_heads: self.a.len(),
            d_head: config.d_head,
            d_state: config.d_state,
            n_groups: config.n_groups,
            eps: config.rms_norm_eps as f32,
            conv_weight: &self.conv_taps,
            conv_bias: self.conv_bias,
            dt_bias: self.dt_bias,
            a: self.a,
            d_skip: self.d_skip,
            norm: self.norm,
        }
    }
}

impl<'a> Attention<'a> {
    fn load(source: &Source<'a>, config: &ModelConfig) -> Result<Self> {
        let (d, queries, keys) = (config.d_model, config.d_queries(), config.d_keys());
        Ok(Self {
            q_proj: source.matrix("q_proj", queries, d)?,
            k_proj: source.matrix("k_proj", keys, d)?,
            v_proj: source.matrix("v_proj", keys, d)?,
            o_proj: source.matrix("o_proj", d, queries)?,
            sizes: AttentionStep {
                n_heads: config.n_attention_heads,
                n_kv_heads: config.n_kv_heads,
                d_head: config.d_attention_head(),
                scale: config.attention_scale() as f32,
            },
        })
    }
}

impl Rope {
    fn new(file: &ModelFile) -> Self {
        let (w, theta) = (file.config().d_attention_head(), file.config().rope_theta);
        Self {
            pairs: match file.rotary_pairs() {
                RotaryPairs::Halves => Pairs::Halves,
                RotaryPairs::Neighbours => Pairs::Neighbours,
            },
            // arXiv 2104.09864 eq. 15
            frequencies: (0..w / 2).map(|pair| theta.powf(-2.0 * pair as f64 / w as f64)).collect(),
        }
    }

    /// Cosines and then sines of the angles at `position`. `turns`: `[w]`
    pub(crate) fn turns(&self, position: usize, turns: &mut [f32]) {
        let (cos, sin) = turns.split_at_mut(self.frequencies.len());
        for ((frequency, cos), sin) in self.frequencies.iter().zip(cos).zip(sin) {
            let angle = position as f64 * frequency;
            (*cos, *sin) = (angle.cos() as f32, angle.sin() as f32);
        }
    }
}

/// A part of a file's names.
struct Source<'a> {
    file: &'a ModelFile,
    prefix: String,
}

impl<'a> Source<'a> {
    fn within(&self, part: &str) -> Self {
        Self { file: self.file, prefix: format!("{}{part}.", self.prefix) }
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Weight<'a>> {
        self.packed(name, rows, cols).map(Weight::new)
    }

    fn packed(&self, name: &str, rows: usize, cols: usize) -> Result<QuantMatrix<'a>> {
        let name = format!("{}{name}", self.prefix);
        let matrix = self.file.matrix(&name)?;
        let found = vec![matrix.rows(), matrix.cols()];
        let expected = vec![rows, cols];
        if found == expected { Ok(matrix) } else { Err(RuntimeError::Shape { name, expected, found }) }
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<&'a [f32]> {
        let name = format!("{}{name}", self.prefix);
        let vector = self.file.vector(&name)?;
        if vector.len() == shape.iter().product::<usize>() {
            Ok(vector)
        } else {
            Err(RuntimeError::Shape { name, expected: shape.to_vec(), found: vec![vector.len()] })
        }
    }
}
