//! Why a recipe was not done.

use std::path::PathBuf;

use itera_config::ConfigError;
use itera_files::FileError;

use crate::misfit::Misfit;

/// Result of this crate.
pub type Result<T, E = CompressError> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// Neither a builtin recipe nor a file.
    #[error("there is no recipe `{name}`, nor a file of that name")]
    NoRecipe {
        /// What was asked for.
        name: String,
        /// The builtin ones.
        known: String,
    },
    /// A text that is no recipe.
    #[error("recipe `{name}`: {problem}")]
    Recipe {
        /// Its builtin name, or the stem of its file.
        name: String,
        /// What is wrong.
        problem: RecipeProblem,
    },
    /// A stage asks for what the model lacks, or what its tensors cannot be.
    #[error("recipe `{recipe}`: {problem}")]
    Misfit {
        /// Its builtin name, or the stem of its file.
        recipe: String,
        /// What does not fit.
        problem: Misfit,
    },
    /// The path is no run, so nothing says what to calibrate and train with.
    #[error(
        "{} is not in a run directory, which says what data to train and calibrate with",
        path.display()
    )]
    NoRun {
        /// The path.
        path: PathBuf,
    },
    /// The data of the run is no longer what the model was trained on.
    #[error(
        "the tokenizer of {} is not the one that its data gives now: sha256 {expected}, found {found}",
        path.display()
    )]
    OtherData {
        /// The model.
        path: PathBuf,
        /// Fingerprint of the model's tokenizer.
        expected: String,
        /// Fingerprint of the one that was prepared.
        found: String,
    },
    /// An earlier call left something in the output directory.
    #[error("{} is there already", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// Something that no recipe wrote is where this one would write.
    #[error("{} is in the way, and no recipe wrote it", path.display())]
    Foreign {
        /// What is in the way.
        path: PathBuf,
    },
    /// Configurations and reports are text, so they cannot name the path.
    #[error("the path {} is not UTF-8", path.display())]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },
    /// What is in the output directory is the work of another recipe.
    #[error("{} is of another recipe, or of another form of this one: see recipe.toml", path.display())]
    OtherRecipe {
        /// What that left.
        path: PathBuf,
    },
    /// A stage made the model worse than its limit.
    #[error(
        "stage {stage} ({name}) costs {loss_percent:.2} % more bits per byte than the baseline, its limit is {limit_percent} %; what was good before it is in {}",
        before.display()
    )]
    TooLossy {
        /// The number of the stage, from 1.
        stage: usize,
        /// What recipes call its action.
        name: &'static str,
        /// By how much bits per byte rose above the baseline's, in per cent.
        loss_percent: f64,
        /// By how much they may rise.
        limit_percent: f64,
        /// What the stage before left, or the baseline's checkpoint.
        before: PathBuf,
    },
    /// No text to score.
    #[error("there is no held-out document to score")]
    NoDocuments,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The configuration of a stage is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] itera_checkpoint::CheckpointError),
    /// The data could not be prepared.
    #[error(transparent)]
    Data(#[from] itera_data::DataError),
    /// A model file could not be read or written.
    #[error(transparent)]
    Format(#[from] itera_formats::FormatError),
    /// The shape of a model is not valid.
    #[error(transparent)]
    Shape(#[from] itera_shape::InvalidModel),
    /// A model could not be built.
    #[error(transparent)]
    Model(#[from] itera_model::ModelError),
    /// A model could not be run.
    #[error(transparent)]
    Runtime(#[from] itera_runtime::RuntimeError),
    /// A tokenizer could not be read.
    #[error(transparent)]
    Tokenizer(#[from] itera_tokenizer::TokenizerError),
    /// A stage could not be trained.
    #[error(transparent)]
    Train(#[from] itera_trainer::TrainError),
    /// Rows of metrics could not be read, or a chart not be drawn.
    #[error(transparent)]
    Metrics(#[from] itera_metrics::MetricsError),
    /// A report could not be turned into JSON.
    #[error("cannot write the report as JSON")]
    Json(#[from] serde_json::Error),
    /// A report could not be turned into CSV.
    #[error("cannot write the report as CSV")]
    Csv(#[from] csv::Error),
    /// A recipe could not be turned into TOML.
    #[error("cannot write the recipe as TOML")]
    Toml(#[from] toml::ser::Error),
}

impl CompressError {
    pub(crate) fn misfit(recipe: &str, problem: Misfit) -> Self {
        Self::Misfit { recipe: recipe.into(), problem }
    }
}

/// Why a text is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeProblem {
    /// It is not TOML, or has other keys than recipes have.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// It does nothing.
    #[error("it has no [[stage]]")]
    NoStage,
    /// What is deployed has a kind, so the last stage gives weights one.
    #[error(
        "its last stage must be do = \"quantize\" or \"mixed\", but for \"calibrate\": what is deployed has a kind"
    )]
    LastDoesNotRound,
    /// Stages that follow would train the rounding away.
    #[error(
        "only the last stage that changes weights may round them, and stage {stage} does: others would train the rounding away"
    )]
    RoundsEarly {
        /// Its number, from 1.
        stage: usize,
    },
    /// The settings of a stage break a rule.
    #[error("stage {stage}: {problem}")]
    Stage {
        /// Its number, from 1.
        stage: usize,
        /// The rule.
        problem: StageProblem,
    },
}

/// A rule that the settings of a stage break.
#[derive(Debug, thiserror::Error)]
pub enum StageProblem {
    /// Keys of `train` that `[train]` lacks, or values that break a rule whatever the model.
    #[error("{0}")]
    Train(Box<ConfigError>),
    /// A number is out of range.
    #[error("`{key}` = {value}: {expected}")]
    Range {
        /// The key within the stage.
        key: &'static str,
        /// Its value; of a list the length.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// The action is nothing but training, and has none.
    #[error("missing field `train`")]
    NoTraining,
    /// Later codes of a row depend on earlier ones, so gradients cannot pass through the rounding.
    #[error("`rounding = \"gptq\"`: nothing can be trained through it")]
    TrainedGptq,
    /// A stage has no model yet that could teach.
    #[error("`train.teacher.stage` = {teacher}: no earlier stage has this number")]
    NoEarlierStage {
        /// The number that the stage names.
        teacher: usize,
    },
    /// Members and folds are trainings of a stage.
    #[error("`train.teacher.stage` = {teacher}: that stage trains nothing, so there is one model of it")]
    UntrainedTeacher {
        /// The number that the stage names.
        teacher: usize,
    },
    /// Members and folds are trainings of a stage.
    #[error("`train.teacher` has members or folds and no stage: there is one run")]
    OneRun,
    /// It is the run of which something can be known beforehand.
    #[error("`train.teacher` has both auto and a stage: auto judges the run")]
    AutoStage,
    /// Weights stay as they are.
    #[error("do = \"calibrate\" trains nothing")]
    TrainedCalibration,
    /// Every fraction is 0 and no layer is named.
    #[error("it says nothing of what to remove")]
    PrunesNothing,
}
