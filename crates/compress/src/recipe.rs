//! a builtin name, or the path of a TOML file → a recipe that is valid
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

use std::{fs::File, io::Read, path::Path};

use itera_files::failed_to;
use serde::{Deserialize, Serialize};

use crate::{
    checks::check_teachers,
    error::{CompressError, RecipeProblem, Result},
    format::Format,
    part::Part,
    stage::{Action, Quantize, Stage},
};

/// Recipes that need no file: name, text.
const BUILTIN: [(&str, &str); 16] = [
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
    ("distill", include_str!("../recipes/distill.toml")),
    ("x20", include_str!("../recipes/x20.toml")),
    ("x50", include_str!("../recipes/x50.toml")),
    ("x100", include_str!("../recipes/x100.toml")),
];

/// Longest recipe file that is read.
const MAX_RECIPE_BYTES: u64 = 1 << 16;

/// What is done to a model, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Builtin name, or stem of the file.
    #[serde(default)]
    pub name: String,
    /// What it does, in a line.
    pub about: String,
    /// What it aims at on the reference model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// In order. The last one rounds, and no other.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

/// What a recipe aims at on `configs/tiny.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Bytes of the baseline's weights in f32 for each byte of the artifact.
    pub times_smaller: f64,
    /// By how much bits per byte rise, in per cent; absent where nobody has measured it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// Minutes of training on two cores; absent without training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
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
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_RECIPE_BYTES).read_to_string(&mut text))
            .map_err(failed_to("read", path))?;
        Self::parse(&path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy(), &text)
    }

    /// With `effort` times the steps in every stage that trains, at least one. Warm-up and text by the baseline stay, and
    /// what nobody has measured so is no longer expected.
    #[must_use]
    pub fn with_effort(mut self, effort: f64) -> Self {
        if effort == 1.0 {
            return self;
        }
        for training in self.stages.iter_mut().filter_map(|stage| stage.train.as_mut()) {
            training.steps = (training.steps as f64 * effort).round().max(1.0) as u64;
        }
        self.expect = self.expect.map(|expect| Expectation {
            loss_percent: expect.loss_percent.filter(|_| !self.trains()),
            minutes: expect.minutes.map(|minutes| minutes * effort),
            ..expect
        });
        self
    }

    /// What the model that it makes of a run is called.
    pub(crate) fn artifact_name(&self, run: &str) -> String {
        format!("{run}-{}", self.name)
    }

    /// The stage that gives the file its kinds, if it is `quantize`.
    pub(crate) fn last_quantize(&self) -> Option<&Quantize> {
        let rounding = self.stages.iter().rfind(|stage| stage.action.rounding().is_some())?;
        if let Action::Quantize(quantize) = &rounding.action { Some(quantize) } else { None }
    }

    /// Whether any stage trains.
    pub fn trains(&self) -> bool {
        self.steps() > 0
    }

    /// Optimiser steps of all trainings of all stages together.
    pub fn steps(&self) -> u64 {
        let steps = |stage: &Stage| stage.train.as_ref().map_or(0, |training| training.steps);
        let of = |(number, stage)| Part::all(&self.stages, number).len() as u64 * steps(stage);
        (1..).zip(&self.stages).map(of).sum()
    }

    /// In what form it leaves the model.
    pub(crate) fn format(&self) -> Format {
        self.stages
            .iter()
            .rfind(|stage| stage.action.rounding().is_some())
            .map_or(Format::Gguf, |of| of.action.format())
    }

    /// How many held-out documents it reads to calibrate on, at most; 0 if it does not calibrate.
    pub(crate) fn calibration_documents(&self) -> usize {
        let documents = |stage: &Stage| if let Action::Calibrate(of) = &stage.action { of.documents } else { 0 };
        self.stages.iter().map(documents).max().unwrap_or(0)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        match Self::parse_unnamed(text) {
            Ok(recipe) => Ok(Self { name: name.into(), ..recipe }),
            Err(problem) => Err(CompressError::Recipe { name: name.into(), problem }),
        }
    }

    fn parse_unnamed(text: &str) -> Result<Self, RecipeProblem> {
        let recipe: Self = toml::from_str(text)?;
        let rounds = |stage: &Stage| stage.action.rounding().is_some();
        if recipe.stages.is_empty() {
            return Err(RecipeProblem::NoStage);
        }
        let changes_weights = |stage: &&Stage| !matches!(stage.action, Action::Calibrate(_));
        if !recipe.stages.iter().rfind(changes_weights).is_some_and(rounds) {
            return Err(RecipeProblem::LastDoesNotRound);
        }
        let rounding: Vec<usize> = (1..).zip(&recipe.stages).filter(|(_, of)| rounds(of)).map(|(at, _)| at).collect();
        if let [stage, _, ..] = rounding[..] {
            return Err(RecipeProblem::RoundsEarly { stage });
        }
        for (stage, settings) in (1..).zip(&recipe.stages) {
            settings.check().map_err(|problem| RecipeProblem::Stage { stage, problem })?;
        }
        check_teachers(&recipe.stages).map_err(|(stage, problem)| RecipeProblem::Stage { stage, problem })?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use itera_config::{Config, Schedule};

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
    fn recipes_that_train_through_rounding_spend_most_steps_in_the_decay_of_that() {
        for recipe in Recipe::builtin() {
            let last = recipe.stages.last().and_then(|stage| stage.train.as_ref());
            let Some(training) = last else { continue };
            let config = training.applied_to(&Config::default()).expect("valid").train;
            let decays = config.schedule == Schedule::Cosine || config.decay_fraction == 1.0;
            assert!(training.keys.contains_key("schedule") && decays, "{}: whatever the run's", recipe.name);
            assert_eq!(config.min_lr_ratio, 0.0);
            let share = (config.steps - config.warmup_steps) as f64 / recipe.steps() as f64;
            assert!(share >= 0.7, "{}: {share}", recipe.name);
        }
    }

    #[test]
    fn effort_multiplies_steps_and_nothing_else() {
        let x20 = Recipe::find("x20").expect("builtin");
        let steps = |recipe: &Recipe| {
            recipe.stages.iter().map(|stage| stage.train.as_ref().map(|train| train.steps)).collect::<Vec<_>>()
        };
        assert_eq!(x20.clone().with_effort(1.0), x20);
        let (less, more) = (x20.clone().with_effort(0.25), x20.clone().with_effort(4.0));
        assert_eq!(steps(&less), [Some(1750), Some(2000), Some(9250)]);
        assert_eq!(steps(&more), [Some(28_000), Some(32_000), Some(148_000)]);
        assert_eq!((more.steps(), x20.steps()), (208_000, 52_000));
        assert_eq!(more.expect.and_then(|expect| expect.minutes), Some(400.0));
        let mut undone = more;
        undone.expect = x20.expect;
        for (stage, other) in undone.stages.iter_mut().zip(&x20.stages) {
            stage.train.as_mut().expect("it trains").steps = other.train.as_ref().expect("it trains").steps;
        }
        assert_eq!(undone, x20);

        let int4 = Recipe::find("int4").expect("builtin");
        assert_eq!(steps(&int4.clone().with_effort(1e-9)), [Some(1)]);
        assert_eq!(int4.with_effort(2.0).expect.and_then(|expect| expect.loss_percent), None);
        let int8 = Recipe::find("int8").expect("builtin");
        assert_eq!(int8.clone().with_effort(2.0), int8, "nothing of it is trained");
    }

    #[test]
    fn what_is_no_recipe_is_refused_with_its_place_and_reason() {
        let quantize = "about = \"x\"\n[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\"\n";
        let finetune = "[[stage]]\ndo = \"finetune\"\ntrain = { steps = 1, lr = 1e-3 }\n";
        let distill = |sampled: &str| {
            let stage = "[[stage]]\ndo = \"distill\"\nmodel = {}\ntrain = { steps = 1, lr = 1e-3";
            format!("about = \"x\"\n{stage}, sampled = {sampled} }}\n")
        };
        let quantize_stage = quantize.replace("about = \"x\"\n", "");
        const PRUNE: &str = "[[stage]]\ndo = \"prune\"\nstate = 0.5\n";
        let taught =
            |keys: &str| format!("{quantize}train = {{ steps = 1, lr = 1.0, teacher = {{ weight = 0.5, {keys} }} }}\n");
        for (text, named) in [
            (format!("{quantize}{finetune}"), "last stage must be"),
            (
                format!("{quantize}[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\""),
                "only the last stage that changes weights may round",
            ),
            ("about = \"x\"\nstage = []".into(), "no [[stage]]"),
            (format!("{}{quantize_stage}", finetune.replace("[[", "about = \"x\"\n[[") + "lr = 1.0\n"), "lr"),
            (format!("about = \"x\"\n[[stage]]\ndo = \"finetune\"\n{quantize_stage}"), "`train`"),
            (quantize.replace("q4_0", "q4_k"), "q4_k"),
            (quantize.replace("quantize", "squeeze"), "squeeze"),
            (format!("{quantize}train = {{ steps = 0, lr = 1e-3 }}"), "train.steps"),
            (format!("{quantize}train = {{ steps = 1, lr = -1.0 }}"), "train.lr"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, schedul = \"wsd\" }}"), "`train.schedule`"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, seq_len = \"long\" }}"), "a whole number"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, warmup_steps = 2 }}"), "train.warmup_steps"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, dropout = 1.0 }}"), "model.dropout"),
            (format!("{quantize}max_loss_percent = 0"), "max_loss_percent"),
            (format!("{quantize}train = {{ steps = 1, lr = 1.0, teacher = {{ weight = 1.5 }} }}"), "at most 1"),
            (format!("{quantize}bits = 4"), "bits"),
            (quantize.replace("quantize\"\nkind = \"q4_0", "calibrate"), "last stage must be"),
            (format!("{quantize}[[stage]]\ndo = \"calibrate\"\ntokens = 5"), "tokens"),
            (format!("{quantize}[[stage]]\ndo = \"calibrate\"\ndocuments = 0"), "documents"),
            (format!("{quantize}[[stage]]\ndo = \"calibrate\"\ntrain = {{ steps = 1, lr = 1.0 }}"), "trains nothing"),
            (format!("{quantize}rounding = \"up\""), "up"),
            (format!("{quantize}rounding = \"gptq\"\ntrain = {{ steps = 1, lr = 1e-3 }}"), "trained through"),
            (format!("{}{quantize_stage}", distill("{ bytes = 0 }")), "train.sampled.bytes"),
            (format!("{}{quantize_stage}", distill("{ bytes = 9, temperature = 0.0 }")), "train.sampled.temperature"),
            (taught("stage = 1, folds = 2"), "no earlier stage"),
            (taught("stage = 0"), "no earlier stage"),
            (
                format!("about = \"x\"\n{PRUNE}{}", taught("stage = 2").replace("about = \"x\"\n", "")),
                "no earlier stage",
            ),
            (
                format!("about = \"x\"\n{PRUNE}{}", taught("stage = 1, members = 2").replace("about = \"x\"\n", "")),
                "trains nothing",
            ),
            (taught("members = 2"), "there is one run"),
            (taught("folds = 0"), "train.teacher.folds"),
            (taught("stage = 1, auto = true"), "auto judges the run"),
            (distill("{ bytes = 9 }").replace("model", "generations = 65\nmodel") + &quantize_stage, "generations"),
            ("about = 3".into(), "about"),
        ] {
            let error = Recipe::parse("mine", &text).expect_err("refused").to_string();
            assert!(error.contains("mine") && error.contains(named), "{text}: {error}");
        }
        let error = Recipe::find("int5").expect_err("unknown").to_string();
        assert!(error.contains("int5"), "{error}");
    }
}
