//! TOML file, overrides → tables → rules → [`Config`]
//!
//! One struct a TOML table, one field a key. Whatever is wrong is reported at once, each problem with its key, its
//! value, what was expected, and the nearest valid choice.
//!
//! ```
//! use itera_config::Config;
//!
//! let config = Config::from_toml("[train]\nsteps = 200", "run.toml", &["train.lr=3e-4".into()])?;
//! assert_eq!((config.train.steps, config.train.lr), (200, 3e-4));
//!
//! let typo = Config::from_toml("[train]\nstep = 200", "run.toml", &[]).expect_err("no such key");
//! assert_eq!(typo.to_string(), "run.toml:2: unknown key `train.step`; the nearest is `train.steps`");
//! # Ok::<(), itera_config::ConfigError>(())
//! ```

mod aliases;
mod config;
mod data;
mod error;
mod load;
mod rules;
mod train;

pub use config::{Config, RunConfig};
pub use data::{DataConfig, Separator, TokenizerAlphabet, TokenizerConfig, TokenizerKind, Windows};
pub use error::{ConfigError, Fault, Problem};
pub use train::{
    CheckpointConfig, EvalConfig, LogConfig, Objective, OptimizerKind, Schedule, TrainConfig, WeightDecay,
};
