//! TOML → a recipe: stages, each with its settings
//!
//! ```toml
//! about = "4-bit weights, trained through their rounding"
//!
//! [[stage]]
//! do = "quantize"
//! kind = "q4_0"
//! kinds = { embedding = "q8_0" }
//! train = { steps = 1500, lr = 1e-3 }
//! ```

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use itera_config::TensorRole;
use itera_formats::Kind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{CompressError, Format, Result};

/// Recipes that need no file: name, text.
const BUILTIN: [(&str, &str); 12] = [
    ("fp16", include_str!("../recipes/fp16.toml")),
    ("bf16", include_str!("../recipes/bf16.toml")),
    ("int8", include_str!("../recipes/int8.toml")),
    ("int4", include_str!("../recipes/int4.toml")),
    ("fp8", include_str!("../recipes/fp8.toml")),
    ("int4-hf", include_str!("../recipes/int4-hf.toml")),
    ("int4-ptq", include_str!("../recipes/int4-ptq.toml")),
    ("mixed", include_str!("../recipes/mixed.toml")),
    ("nf4", include_str!("../recipes/nf4.toml")),
    ("mxfp4", include_str!("../recipes/mxfp4.toml")),
    ("nvfp4", include_str!("../recipes/nvfp4.toml")),
    ("prune", include_str!("../recipes/prune.toml")),
];

/// Longest recipe file that is read.
const MAX_RECIPE_BYTES: u64 = 1 << 16;

/// What is done to a model, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its builtin name, or the stem of its file.
    #[serde(default)]
    pub name: String,
    /// What it does, in a line.
    pub about: String,
    /// What it aims at on the reference model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// The stages.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

/// What a recipe aims at on `configs/tiny.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Bytes of the baseline's weights in f32 for each byte of the artifact.
    pub times_smaller: f64,
    /// By how much bits per byte rise, in per cent.
    pub loss_percent: f64,
}

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
    /// Keys of `[model]` that differ from the run that is compressed. Another `vocab_size` is another tokenizer, under
    /// which there is no teacher.
    pub model: toml::Table,
    /// Text by the baseline to learn from beside that of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
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

/// `do = "prune"`: whole units go, those whose loss is estimated to be the least. Each number is the fraction removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
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
    /// Of the entries of the vocabulary: those that were merged last.
    #[serde(default)]
    pub vocabulary: f64,
    /// Layers that go, by their index.
    #[serde(default)]
    pub layers: Vec<usize>,
    /// Tokens of training text that say what matters.
    #[serde(default = "calibration_tokens")]
    pub calibration_tokens: usize,
    /// Train what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Training>,
    /// Most that bits per byte may rise above the baseline's, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_percent: Option<f64>,
}

impl Prune {
    fn fractions(&self) -> [(&'static str, f64); 6] {
        [
            ("experts", self.experts),
            ("expert_channels", self.expert_channels),
            ("shared_channels", self.shared_channels),
            ("state", self.state),
            ("ssm_heads", self.ssm_heads),
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
    /// Learn from what the baseline predicts too or, while rounding under another tokenizer, from what the model itself
    /// predicted before.
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
    fn rounds(&self) -> bool {
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
}

impl Recipe {
    /// Every builtin recipe.
    pub fn builtin() -> Vec<Self> {
        let parse = |(name, text)| Self::parse(name, text).expect("builtin recipes are valid");
        BUILTIN.into_iter().map(parse).collect()
    }

    /// The builtin recipe of this name, or the one in the file at this path.
    ///
    /// # Errors
    /// If it is neither; if the file cannot be read or is no recipe.
    pub fn find(name_or_path: &str) -> Result<Self> {
        if let Some((name, text)) = BUILTIN.into_iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(name, text);
        }
        let path = Path::new(name_or_path);
        if !path.is_file() {
            let known = BUILTIN.map(|(name, _)| name).join(", ");
            return Err(CompressError::NoRecipe { name: name_or_path.into(), known });
        }
        let read_error = |source| CompressError::Io { action: "read", path: path.into(), source };
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(MAX_RECIPE_BYTES).read_to_string(&mut text)).map_err(read_error)?;
        Self::parse(&path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy(), &text)
    }

    /// Whether any stage trains.
    pub fn trains(&self) -> bool {
        self.stages.iter().any(|stage| stage.training().is_some())
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let invalid = |problem: String| CompressError::Recipe { name: name.into(), problem };
        let recipe: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let Some((last, earlier)) = recipe.stages.split_last() else {
            return Err(invalid("it has no [[stage]]".into()));
        };
        if !last.rounds() {
            return Err(invalid(
                "its last stage must be do = \"quantize\" or \"mixed\": what is deployed has a kind".into(),
            ));
        }
        if earlier.iter().any(Stage::rounds) {
            return Err(invalid("only its last stage may round weights: others would train the rounding away".into()));
        }
        for (index, stage) in recipe.stages.iter().enumerate() {
            let positive = |key: &str, value: f64| match value.is_finite() && value > 0.0 {
                true => Ok(()),
                false => Err(invalid(format!("stage {}: `{key}` = {value}: must be above 0", index + 1))),
            };
            if let Some(training) = stage.training() {
                positive("train.steps", training.steps as f64)?;
                positive("train.lr", training.lr)?;
                if let Some(TeacherWeight { weight, temperature }) = training.teacher {
                    positive("train.teacher.temperature", temperature)?;
                    if !(weight > 0.0 && weight <= 1.0) {
                        let place = format!("stage {}: `train.teacher.weight` = {weight}", index + 1);
                        return Err(invalid(format!("{place}: must be above 0 and at most 1")));
                    }
                }
            }
            if stage.rounding() == Some(Rounding::Gptq) && stage.training().is_some() {
                let place = format!("stage {}: `rounding = \"gptq\"`", index + 1);
                return Err(invalid(format!(
                    "{place}: nothing can be trained through it; leave out `train`, or take \"mse\""
                )));
            }
            stage.max_loss_percent().map_or(Ok(()), |limit| positive("max_loss_percent", limit))?;
            match stage {
                Stage::Quantize(quantize) => positive("calibration_tokens", quantize.calibration_tokens as f64)?,
                Stage::Mixed(mixed) => {
                    positive("calibration_tokens", mixed.calibration_tokens as f64)?;
                    positive("kinds", mixed.kinds.len() as f64)?;
                }
                Stage::Prune(prune) => {
                    positive("calibration_tokens", prune.calibration_tokens as f64)?;
                    for (key, fraction) in prune.fractions() {
                        if !(0.0..1.0).contains(&fraction) {
                            return Err(invalid(format!(
                                "stage {}: `{key}` = {fraction}: must be from 0 to below 1",
                                index + 1
                            )));
                        }
                    }
                }
                Stage::Distill(Distill { sampled: Some(sampled), .. }) => {
                    positive("sampled.bytes", sampled.bytes as f64)?;
                    positive("sampled.temperature", sampled.temperature)?;
                }
                Stage::Finetune(_) | Stage::Distill(_) => {}
            }
        }
        Ok(Self { name: name.into(), ..recipe })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_recipes_are_valid_and_survive_their_own_toml() {
        let all = Recipe::builtin();
        assert_eq!(all.len(), BUILTIN.len());
        for recipe in all {
            let text = toml::to_string(&recipe).expect("TOML");
            assert_eq!(Recipe::parse(&recipe.name, &text).expect("valid"), recipe, "{text}");
            assert_eq!(Recipe::find(&recipe.name).expect("known"), recipe);
            assert!(recipe.expect.is_some(), "{} says what to expect", recipe.name);
        }
    }

    #[test]
    fn what_is_no_recipe_is_refused_with_its_place_and_reason() {
        let quantize = "about = \"x\"\n[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\"\n";
        let finetune = "[[stage]]\ndo = \"finetune\"\ntrain = { steps = 1, lr = 1e-3 }\n";
        let distill = |sampled: &str| {
            let stage = "[[stage]]\ndo = \"distill\"\nmodel = {}\ntrain = { steps = 1, lr = 1e-3 }";
            format!("about = \"x\"\n{stage}\nsampled = {sampled}\n")
        };
        let quantize_stage = quantize.replace("about = \"x\"\n", "");
        for (text, named) in [
            (format!("{quantize}{finetune}"), "last stage must be"),
            (format!("{quantize}[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\""), "only its last stage may round"),
            ("about = \"x\"\nstage = []".into(), "no [[stage]]"),
            (quantize.replace("q4_0", "q4_k"), "q4_k"),
            (quantize.replace("quantize", "squeeze"), "squeeze"),
            (format!("{quantize}train = {{ steps = 0, lr = 1e-3 }}"), "train.steps"),
            (format!("{quantize}train = {{ steps = 1, lr = -1.0 }}"), "train.lr"),
            (format!("{quantize}max_loss_percent = 0"), "max_loss_percent"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, teacher = {{ weight = 1.5 }} }}"), "at most 1"),
            (format!("{quantize}bits = 4"), "bits"),
            (format!("{quantize}rounding = \"up\""), "up"),
            (format!("{quantize}rounding = \"gptq\"\ntrain = {{ steps = 1, lr = 1e-3 }}"), "trained through"),
            (format!("{}{quantize_stage}", distill("{ bytes = 0 }")), "sampled.bytes"),
            (format!("{}{quantize_stage}", distill("{ bytes = 9, temperature = 0.0 }")), "sampled.temperature"),
            ("about = 3".into(), "about"),
        ] {
            let error = Recipe::parse("mine", &text).expect_err("refused").to_string();
            assert!(error.contains("mine") && error.contains(named), "{text}: {error}");
        }
        let error = Recipe::find("int5").expect_err("unknown").to_string();
        assert!(error.contains("int5") && error.contains("int4-ptq"), "{error}");
    }
}
