//! path → a model to run, and its tokenizer

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use itera_checkpoint::find_model;
use itera_runtime::{Model, Precision};
use itera_tokenizer::Tokenizer;

use crate::{args::RunArgs, setup};

/// A model that was found.
pub struct Opened {
    pub model: Model,
    pub tokenizer: Tokenizer,
    /// Its file or directory.
    pub path: PathBuf,
}

/// Open the model that `path` means, ready to be run as `args` say.
pub fn open(path: &Path, args: &RunArgs) -> Result<Opened> {
    setup::threads(args.threads)?;
    load(&find_model(path)?, args)
}

/// Open a model file or directory.
pub fn load(path: &Path, args: &RunArgs) -> Result<Opened> {
    let model = Model::open(path)?.with_chunk(args.ubatch_size);
    let model = if args.exact { model.with_precision(Precision::Exact) } else { model };
    let tokenizer = model.tokenizer().with_context(|| format!("the tokenizer of {} cannot be used", path.display()))?;
    Ok(Opened { model, tokenizer, path: path.into() })
}
