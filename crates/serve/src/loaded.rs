//! A model that is served: its name, weights, tokenizer, template of chats and fingerprint.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use itera_files::Sha256Digest;
use itera_formats::file_hashes;
use itera_runtime::{Model, OpenOptions, RuntimeError};
use itera_tokenizer::{TokenId, Tokenizer};

use crate::{
    budget::Held,
    error::{Result, ServeError},
    grammar::Grammars,
    repository::ModelSource,
    template::ChatTemplate,
};

/// A model, and all that an answer by it depends on but the request.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub name: String,
    pub model: Model,
    pub tokenizer: Tokenizer,
    pub template: ChatTemplate,
    /// Made when the first grammar is.
    grammars: OnceLock<Option<Grammars>>,
    /// What stands for everything that the bytes of an answer depend on, apart from the request: the files of the model, how it
    /// is run, and this program.
    pub fingerprint: String,
    /// Its file or directory.
    pub path: PathBuf,
    /// Of several that have its name.
    pub version: u64,
    /// What it takes of the budget, given back after everything else.
    pub held: Option<Held>,
}

impl Loaded {
    /// Read the files of a model. Its weights are finite. What becomes of its files later changes nothing.
    ///
    /// # Errors
    /// If a file cannot be read or changes meanwhile, or they are not a model with its tokenizer.
    pub fn open(source: ModelSource, options: &OpenOptions) -> Result<Self> {
        let ModelSource { name, version, path } = source;
        let before = fingerprint(&path, options)?;
        let model = options.read(&path)?;
        let tokenizer = model.tokenizer()?;
        model.file().check_finite().map_err(RuntimeError::from)?;
        let template = ChatTemplate::new(model.file().chat_template().map_err(RuntimeError::from)?);
        let fingerprint = fingerprint(&path, options)?;
        if fingerprint != before {
            return Err(ServeError::Changing { path });
        }
        Ok(Self { name, model, tokenizer, template, grammars: OnceLock::new(), fingerprint, path, version, held: None })
    }

    /// The tokens of a text that begins a document: bos, and its own.
    pub fn tokens(&self, text: &str) -> Vec<TokenId> {
        [self.tokenizer.bos()].into_iter().chain(self.tokenizer.encode(text)).collect()
    }

    /// What makes grammars for its vocabulary, if anything can.
    pub fn grammars(&self) -> Option<&Grammars> {
        self.grammars.get_or_init(|| Grammars::new(&self.tokenizer, self.model.config().vocab_size)).as_ref()
    }
}

fn fingerprint(path: &Path, options: &OpenOptions) -> Result<String> {
    let mut parts = vec![format!("{} {options:?}", env!("CARGO_PKG_VERSION"))];
    parts.extend(file_hashes(path).map_err(RuntimeError::from)?);
    let hash = Sha256Digest::of_parts(parts.iter().map(String::as_bytes));
    Ok(format!("itera-{}", &hash.to_string()[..16]))
}
