//! The schema of a stage: each action, and its settings

use std::collections::BTreeMap;

use itera_config::TokenizerAlphabet;
use itera_formats::Kind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    defaults::{is_default, is_one, one},
    format::Format,
    training::Training,
};

/// One stage: what it does, how it trains, and what it may cost.
///
/// In TOML all its keys stand side by side, those of the action behind `do`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What is done before training.
    #[serde(flatten)]
    pub action: Action,
    /// Training after it, through the rounding if the action rounds (QAT). [`Action::Finetune`] and [`Action::Distill`]
    /// have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Training>,
    /// Most that bits per byte may rise above the baseline's, in per cent; beyond, the recipe stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    /// Store numbers in fewer bits.
    Quantize(Quantize),
    /// Store numbers in fewer bits, in the kinds that are best for a size.
    Mixed(Mixed),
    /// Train on as before.
    Finetune {},
    /// Train another model, a smaller one, in its place.
    Distill(Distill),
    /// Take away what matters least.
    Prune(Prune),
    /// Divide logits by the temperature at which held-out text costs least.
    Calibrate(Calibrate),
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
}

/// Bytes for the matrices of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of bytes or the name of a kind")]
pub enum Budget {
    /// Their number.
    Bytes(u64),
    /// As many as all matrices take in this kind.
    Like(KindName),
}

impl Mixed {
    /// The stage that stores every matrix in `kind`.
    pub(crate) fn in_kind(&self, kind: Kind) -> Quantize {
        let Self { rounding, calibration_tokens, .. } = *self;
        Quantize { kind: KindName(kind), format: Format::Gguf, kinds: BTreeMap::new(), rounding, calibration_tokens }
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
    /// Column by column, where later columns make up for the errors of earlier ones (GPTQ, arXiv 2210.17323). Not for
    /// weights that are trained through their rounding.
    Gptq,
}

/// `do = "distill"`: a model of another shape, with fresh weights, that learns from the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// Keys of `[model]` that differ from the model before. Another `vocab_size` is another tokenizer, under which the run
    /// can teach if it is the beginning of the run's.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub model: toml::Table,
    /// Most bytes of the file. Width, depth, the shared expert and the vocabulary fill them, those of them that `model` does
    /// not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Another `tokenizer.alphabet` than the run's, for a vocabulary that is trained on its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alphabet: Option<TokenizerAlphabet>,
    /// How often it is trained, each time with another seed and taught by the one before; the first as without this key.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub generations: usize,
}

/// `do = "prune"`: the units that matter least are removed. Each number is the fraction removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Of all parameters: expert channels, shared channels and dimensions of the state lose one common fraction, the least
    /// that reaches this one, or their own where that is larger.
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
    /// Indices of layers to remove, from 0.
    #[serde(default)]
    pub layers: Vec<usize>,
    /// How it is measured how much a unit matters.
    #[serde(default)]
    pub importance: Importance,
    /// Tokens of training text for that measurement.
    #[serde(default = "calibration_tokens")]
    pub calibration_tokens: usize,
}

/// `do = "calibrate"`: `logits_scaling` is multiplied by a temperature; weights stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrate {
    /// Documents that it is found on: the first of the run's held-out split, at most half of that. They are not scored.
    #[serde(default = "documents")]
    pub documents: usize,
}

fn documents() -> usize {
    256
}

/// How much a unit matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// An estimate of what the unit's weights do for the loss: their squares times the squared gradients of calibration
    /// text (Optimal Brain Damage, LeCun et al. 1990).
    #[default]
    Saliency,
    /// The loss on calibration text without the unit, measured for each.
    Loss,
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

impl Stage {
    /// How many generations of its model it trains.
    pub(crate) fn generations(&self) -> usize {
        if let Action::Distill(distill) = &self.action { distill.generations } else { 1 }
    }
}

impl Action {
    /// What recipes call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quantize(_) => "quantize",
            Self::Mixed(_) => "mixed",
            Self::Finetune {} => "finetune",
            Self::Distill(_) => "distill",
            Self::Prune(_) => "prune",
            Self::Calibrate(_) => "calibrate",
        }
    }

    /// How it rounds; `None` if it leaves weights in f32.
    pub(crate) fn rounding(&self) -> Option<Rounding> {
        match self {
            Self::Quantize(quantize) => Some(quantize.rounding),
            Self::Mixed(mixed) => Some(mixed.rounding),
            Self::Finetune {} | Self::Distill(_) | Self::Prune(_) | Self::Calibrate(_) => None,
        }
    }

    /// What it writes.
    pub(crate) fn format(&self) -> Format {
        if let Self::Quantize(quantize) = self { quantize.format } else { Format::Gguf }
    }
}
