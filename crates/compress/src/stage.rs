//! What a stage of a recipe does: each sort, and its settings

use std::collections::BTreeMap;

use itera_formats::Kind;
use itera_shape::{Precision, TensorRole};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Format;

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Stage {
    /// Store numbers in fewer bits.
    Quantize(Quantize),
    /// Store numbers in fewer bits, in the kinds that are best for a size.
    Mixed(Mixed),
    /// Train on as before.
    Finetune(Finetune),
    /// Train another model, a smaller one, in its place.
    Distill(Distill),
    /// Take away what matters least.
    Prune(Prune),
}

/// `do = "quantize"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// The kind of every matrix that `kinds` does not name.
    pub kind: KindName,
    /// What is written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: Format,
    /// Kinds by role, or by the name of a tensor, which goes first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, KindName>,
    /// How numbers are rounded.
    #[serde(default)]
    pub rounding: Rounding,
    /// Tokens of training text that say how much each weight matters; for `rounding = "fisher"`.
    #[serde(default = "calibration_tokens")]
    pub calibration_tokens: usize,
    /// Train through the rounding (QAT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Training>,
    /// Most that bits per byte may rise above the baseline's, in per cent; beyond, the recipe stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

fn is_default(format: &Format) -> bool {
    *format == Format::default()
}

fn calibration_tokens() -> usize {
    65_536
}

/// `do = "mixed"`: the kind of each matrix is the one that measured losses ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// Kinds to choose from.
    pub kinds: Vec<KindName>,
    /// Most bytes that all matrices together may take.
    pub budget: Budget,
    /// How numbers are rounded.
    #[serde(default)]
    pub rounding: Rounding,
    /// Tokens of training text that losses are measured on.
    #[serde(default = "calibration_tokens")]
    pub calibration_tokens: usize,
    /// Train through the rounding (QAT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Training>,
    /// Most that bits per byte may rise above the baseline's, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

/// Bytes for the matrices of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of bytes or the name of a kind")]
pub enum Budget {
    /// So many.
    Bytes(u64),
    /// As many as all of them take in this kind.
    Like(KindName),
}

impl Mixed {
    /// The stage that stores every matrix in `kind`.
    pub(crate) fn in_kind(&self, kind: Kind) -> Quantize {
        let Self { rounding, calibration_tokens, train, max_loss_percent, .. } = self.clone();
        let (format, kinds) = (Format::Gguf, BTreeMap::new());
        Quantize { kind: KindName(kind), format, kinds, rounding, calibration_tokens, train, max_loss_percent }
    }
}

/// How weights become codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The scale that the largest element asks for, as llama.cpp does it.
    #[default]
    MinMax,
    /// The scale that leaves the least squared error.
    Mse,
    /// The scale that leaves the least error weighted by the squared gradients of calibration text: the diagonal of the
    /// empirical Fisher information (SqueezeLLM, arXiv 2306.07629).
    Fisher,
    /// Column by column, the error of each made good by those that follow (GPTQ, arXiv 2210.17323). Weights that are
    /// trained through their rounding cannot have it.
    Gptq,
}

/// `do = "finetune"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// For how long, and how fast.
    pub train: Training,
    /// Most that bits per byte may rise above the baseline's, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

/// `do = "distill"`: a model of another shape, with fresh weights, that learns from the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// Keys of `[model]` that differ from the model before. Another `vocab_size` is another tokenizer, under which the run
    /// can teach if it is the beginning of the run's.
    pub model: toml::Table,
    /// For how long, and how fast.
    pub train: Training,
    /// Most that bits per byte may rise above the baseline's, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

/// Documents drawn from the baseline: sequence-level distillation (arXiv 1606.07947).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Bytes of text.
    pub bytes: u64,
    /// Temperature that its tokens are drawn at.
    #[serde(default = "one")]
    pub temperature: f64,
}

/// `do = "prune"`: whole units go, those that matter least. Each number is the fraction removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Of all parameters: expert channels, shared channels and dimensions of the state go at one fraction, the least that
    /// reaches it, where none larger is given for them.
    #[serde(default)]
    pub parameters: f64,
    /// Of the experts of each layer.
    #[serde(default)]
    pub experts: f64,
    /// Of the channels within each expert.
    #[serde(default)]
    pub expert_channels: f64,
    /// Of the channels of the shared expert.
    #[serde(default)]
    pub shared_channels: f64,
    /// Of the dimensions of the SSM state.
    #[serde(default)]
    pub state: f64,
    /// Of the SSM heads; d_inner stays a whole multiple of d_model.
    #[serde(default)]
    pub ssm_heads: f64,
    /// Of the heads of each attention layer: a key and value head goes with the query heads that it serves.
    #[serde(default)]
    pub attention_heads: f64,
    /// Of the entries of the vocabulary: those that were merged last.
    #[serde(default)]
    pub vocabulary: f64,
    /// Layers that go, by their index.
    #[serde(default)]
    pub layers: Vec<usize>,
    /// What says which units matter.
    #[serde(default)]
    pub importance: Importance,
    /// Tokens of training text that it is measured on.
    #[serde(default = "calibration_tokens")]
    pub calibration_tokens: usize,
    /// Train what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Training>,
    /// Most that bits per byte may rise above the baseline's, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

/// How much a unit matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// Its weights' squares, each times the squared gradients of calibration text: what they add to the loss, by estimate
    /// (Optimal Brain Damage, LeCun et al. 1990).
    #[default]
    Saliency,
    /// The loss on calibration text without it, measured unit by unit.
    Loss,
}

impl Prune {
    fn fractions(&self) -> [(&'static str, f64); 8] {
        [
            ("parameters", self.parameters),
            ("experts", self.experts),
            ("expert_channels", self.expert_channels),
            ("shared_channels", self.shared_channels),
            ("state", self.state),
            ("ssm_heads", self.ssm_heads),
            ("attention_heads", self.attention_heads),
            ("vocabulary", self.vocabulary),
        ]
    }
}

/// Training within a stage. What is not said here is as in the run that is compressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of linear warm-up.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Final learning rate as a share of `lr`.
    #[serde(default)]
    pub min_lr_ratio: f64,
    /// Dropout on residual branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Decoupled weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Sequences a step, of the same length as in the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Text by the baseline to learn from beside that of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
    /// Of matrix products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Learn from what the baseline predicts too. Its vocabulary may be longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherWeight>,
}

/// How much the teacher's predictions count: the loss is `(1 − weight)·cross-entropy + weight·T²·KL(teacher ‖ student)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherWeight {
    /// From 0 to 1.
    pub weight: f64,
    /// Temperature T of both distributions.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

/// A kind by the name that files have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindName(pub Kind);

impl Serialize for KindName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Kind::all().into_iter().find(|kind| kind.name() == name).map(Self);
        found.ok_or_else(|| D::Error::custom(format!("unknown kind `{name:.40}`; there are {}", kind_names())))
    }
}

fn kind_names() -> String {
    Kind::all().map(Kind::name).join(", ")
}

/// What recipes call the role of a tensor.
pub(crate) fn role_name(role: TensorRole) -> &'static str {
    match role {
        TensorRole::Embedding => "embedding",
        TensorRole::Norm => "norms",
        TensorRole::InProj => "in_proj",
        TensorRole::Conv => "conv",
        TensorRole::Ssm => "ssm",
        TensorRole::OutProj => "out_proj",
        TensorRole::Attention => "attention",
        TensorRole::Router => "router",
        TensorRole::Experts => "experts",
        TensorRole::Shared => "shared",
        TensorRole::Head => "head",
    }
}

impl Stage {
    /// What it does, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quantize(_) => "quantize",
            Self::Mixed(_) => "mixed",
            Self::Finetune(_) => "finetune",
            Self::Distill(_) => "distill",
            Self::Prune(_) => "prune",
        }
    }

    /// The training that it asks for.
    pub fn training(&self) -> Option<&Training> {
        match self {
            Self::Quantize(quantize) => quantize.train.as_ref(),
            Self::Mixed(mixed) => mixed.train.as_ref(),
            Self::Finetune(finetune) => Some(&finetune.train),
            Self::Distill(distill) => Some(&distill.train),
            Self::Prune(prune) => prune.train.as_ref(),
        }
    }

    /// How it rounds.
    fn rounding(&self) -> Option<Rounding> {
        match self {
            Self::Quantize(quantize) => Some(quantize.rounding),
            Self::Mixed(mixed) => Some(mixed.rounding),
            Self::Finetune(_) | Self::Distill(_) | Self::Prune(_) => None,
        }
    }

    /// What it writes.
    pub fn format(&self) -> Format {
        if let Self::Quantize(quantize) = self { quantize.format } else { Format::Gguf }
    }

    /// Whether it leaves weights in the kinds that are deployed.
    pub(crate) fn rounds(&self) -> bool {
        self.rounding().is_some()
    }

    /// Most that bits per byte may rise, in per cent.
    pub fn max_loss_percent(&self) -> Option<f64> {
        match self {
            Self::Quantize(quantize) => quantize.max_loss_percent,
            Self::Mixed(mixed) => mixed.max_loss_percent,
            Self::Finetune(finetune) => finetune.max_loss_percent,
            Self::Distill(distill) => distill.max_loss_percent,
            Self::Prune(prune) => prune.max_loss_percent,
        }
    }

    /// What is wrong with its settings, whatever the model.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let positive = |key: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(format!("`{key}` = {value}: must be above 0")),
        };
        if let Some(training) = self.training() {
            positive("train.steps", training.steps as f64)?;
            positive("train.lr", training.lr)?;
            if let Some(sampled) = &training.sampled {
                positive("train.sampled.bytes", sampled.bytes as f64)?;
                positive("train.sampled.temperature", sampled.temperature)?;
            }
            if let Some(TeacherWeight { weight, temperature }) = training.teacher {
                positive("train.teacher.temperature", temperature)?;
                if !(weight > 0.0 && weight <= 1.0) {
                    return Err(format!("`train.teacher.weight` = {weight}: must be above 0 and at most 1"));
                }
            }
            if self.rounding() == Some(Rounding::Gptq) {
                let wish = "nothing can be trained through it; leave out `train`, or take \"mse\"";
                return Err(format!("`rounding = \"gptq\"`: {wish}"));
            }
        }
        self.max_loss_percent().map_or(Ok(()), |limit| positive("max_loss_percent", limit))?;
        match self {
            Self::Quantize(quantize) => positive("calibration_tokens", quantize.calibration_tokens as f64),
            Self::Mixed(mixed) => {
                positive("calibration_tokens", mixed.calibration_tokens as f64)?;
                positive("kinds", mixed.kinds.len() as f64)
            }
            Self::Prune(prune) => {
                positive("calibration_tokens", prune.calibration_tokens as f64)?;
                match prune.fractions().into_iter().find(|(_, fraction)| !(0.0..1.0).contains(fraction)) {
                    Some((key, fraction)) => Err(format!("`{key}` = {fraction}: must be from 0 to below 1")),
                    None if prune.layers.is_empty()
                        && prune.fractions().iter().all(|(_, fraction)| *fraction == 0.0) =>
                    {
                        Err("it says nothing of what to remove".into())
                    }
                    None => Ok(()),
                }
            }
            Self::Finetune(_) | Self::Distill(_) => Ok(()),
        }
    }
}
