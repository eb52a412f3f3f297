//! Why a recipe was not done.

use std::path::PathBuf;

use itera_files::FileError;

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
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A stage asks for what the model has not, or what its tensors cannot be.
    #[error("recipe `{recipe}`: {problem}")]
    Misfit {
        /// The recipe.
        recipe: String,
        /// What does not fit.
        problem: String,
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
    /// There is something in the output directory.
    #[error(
        "{} is there already",
        path.display()
    )]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// What is in the output directory was begun otherwise.
    #[error(
        "{} is of another recipe, or of another form of this one: see recipe.toml",
        path.display()
    )]
    OtherRecipe {
        /// What it left.
        path: PathBuf,
    },
    /// A stage made the model worse than its limit.
    #[error(
        "stage {stage} ({name}) costs {loss_percent:.2} % more bits per byte than the baseline, its limit is {limit_percent} %; what was good before it is in {}",
        kept.display()
    )]
    TooLossy {
        /// Its number, from 1.
        stage: usize,
        /// What it does.
        name: &'static str,
        /// What it costs.
        loss_percent: f64,
        /// What it may cost.
        limit_percent: f64,
        /// The file that the stage before left.
        kept: PathBuf,
    },
    /// No text to score.
    #[error("there is no held-out document to score")]
    NoDocuments,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The configuration of a stage is not valid.
    #[error(transparent)]
    Config(#[from] itera_config::ConfigError),
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
    /// A report could not be written.
    #[error("cannot write the report: {0}")]
    Report(String),
}
