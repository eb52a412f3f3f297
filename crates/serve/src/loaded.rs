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
    repository::ONLY,
    template::ChatTemplate,
};

/// A model, and all that an answer by it depends on but the request.
#[derive(Debug)]
pub struct Loaded {
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    /// Made when the first grammar is.
    grammars: OnceLock<Option<Grammars>>,
    pub(crate) fingerprint: String,
    /// Its file or directory.
    pub(crate) path: PathBuf,
    /// Of several that have its name.
    pub(crate) version: u64,
    /// What it takes of the budget, given back after everything else.
    pub(crate) held: Option<Held>,
}

impl Loaded {
    /// Read the model file or directory at `path`, to be asked for as `name`. Its weights are finite. What becomes of its files
    /// later changes nothing.
    ///
    /// # Errors
    /// If a file cannot be read or changes meanwhile, or they are not a model with its tokenizer.
    pub fn open(name: &str, path: &Path, options: &OpenOptions) -> Result<Self> {
        let before = fingerprint(path, options)?;
        let model = options.read(path)?;
        let tokenizer = model.tokenizer()?;
        model.file().check_finite().map_err(RuntimeError::from)?;
        let template = ChatTemplate::new(model.file().chat_template().map_err(RuntimeError::from)?);
        let fingerprint = fingerprint(path, options)?;
        if fingerprint != before {
            return Err(ServeError::Changing { path: path.into() });
        }
        Ok(Self {
            name: name.into(),
            model,
            tokenizer,
            template,
            grammars: OnceLock::new(),
            fingerprint,
            path: path.into(),
            version: ONLY,
            held: None,
        })
    }

    /// The tokens of a text that begins a document: bos, and its own.
    pub(crate) fn tokens(&self, text: &str) -> Vec<TokenId> {
        [self.tokenizer.bos()].into_iter().chain(self.tokenizer.encode(text)).collect()
    }

    /// What makes grammars for its vocabulary, if anything can.
    pub(crate) fn grammars(&self) -> Option<&Grammars> {
        self.grammars.get_or_init(|| Grammars::new(&self.tokenizer, self.model.config().vocab_size)).as_ref()
    }

    /// What requests call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands for everything that the bytes of an answer depend on, apart from the request: the files of the model,
    /// how it is run, and this program. The same fingerprint and request give the same answer.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn fingerprint(path: &Path, options: &OpenOptions) -> Result<String> {
    let mut parts = vec![format!("{} {options:?}", env!("CARGO_PKG_VERSION"))];
    parts.extend(file_hashes(path).map_err(RuntimeError::from)?);
    let hash = Sha256Digest::of_parts(parts.iter().map(String::as_bytes));
    Ok(format!("itera-{}", &hash.to_string()[..16]))
}
