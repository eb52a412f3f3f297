//! The training loop.
//!
//! ```text
//! Sampler(step) → TokenBatch → LanguageModel → LossParts → gradients → sum of all ranks → clip → optimizer → next step
//!                        [`Method`] ↑ every eval.every_steps: validation, samples, early stopping
//!                                   ↑ every checkpoint.every_steps: checkpoint
//! ```
//!
//! Everything a run depends on is a function of (configuration, data, step), or is in [`TrainingState`]: a run that is
//! interrupted and resumed writes the bytes it would have written uninterrupted. So does one that several processes share.

mod agree;
mod average;
mod begin;
mod bench;
mod contrast;
mod error;
mod identity;
mod job;
mod learner;
mod lock;
mod loss_scale;
mod losses;
mod method;
mod objective;
mod open;
mod optimizer;
mod pace;
mod pairwise;
mod progress;
mod ranks;
mod recorder;
mod reduce;
mod replaced_inputs;
mod replicas;
mod samples;
mod schedule;
mod state;
mod stop;
mod task;
mod text;
mod told;
mod train;
mod update;
mod validation;
mod words;

pub use bench::time_steps;
pub use error::TrainError;
pub use job::{Event, Job, Outcome, Resume, RunEnd};
pub use loss_scale::LossScale;
pub use losses::{LossParts, Losses};
pub use method::{Method, Plain};
pub use objective::{MicroBatch, ids, losses, losses_with};
pub use open::open_model;
pub use optimizer::{Optimizer, Remembered};
pub use pace::Slow;
pub use pairwise::{PairwiseSum, subtrees};
pub use schedule::{Rates, decay_start, learning_rate};
pub use state::{Best, TrainingState, Window};
pub use stop::{Signal, StopCause, StopFlag};
pub use train::train;
pub use update::StepTimes;
pub use validation::validate;
