//! path → a model to run, and its tokenizer

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use itera_checkpoint::find_model;
use itera_runtime::{Activations, Model, OpenOptions};
use itera_tokenizer::Tokenizer;

use crate::{
    args::{at_least_one, count},
    setup,
};

/// How a trained model is run.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Worker threads; 0 uses every core. Results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count::<usize>)]
    pub threads: usize,
    /// Exact activations, not rounded to 8 bits, for 8- and 4-bit weights, and f32, not bfloat16, for keys and values; slower.
    #[arg(long)]
    pub exact: bool,
    /// Tokens of a text that are read at once, with exact activations; 1 reads them one by one, as `generate` writes them.
    #[arg(long, value_name = "N", default_value_t = OpenOptions::UBATCH_SIZE, value_parser = at_least_one::<usize>)]
    pub ubatch_size: usize,
}

impl RunArgs {
    fn options(&self) -> OpenOptions {
        OpenOptions { ubatch_size: self.ubatch_size, activations: self.exact.then_some(Activations::Exact) }
    }
}

/// A model that was found.
pub struct Opened {
    pub model: Model,
    pub tokenizer: Tokenizer,
    /// Its file or directory.
    pub path: PathBuf,
}

impl Opened {
    /// The path as people read it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Open the model that `path` means, on threads as `args` say. Its weights are finite.
pub fn open(path: &Path, args: &RunArgs) -> Result<Opened> {
    setup::threads(args.threads)?;
    let opened = load(&find_model(path)?, args)?;
    opened.model.file().check_finite()?;
    Ok(opened)
}

/// Open a model file or directory.
pub fn load(path: &Path, args: &RunArgs) -> Result<Opened> {
    let model = args.options().open(path)?;
    let tokenizer = model.tokenizer().with_context(|| format!("the tokenizer of {} cannot be used", path.display()))?;
    Ok(Opened { model, tokenizer, path: path.into() })
}
