//! The tokenizer's files in a Hugging Face model directory.

use std::fs;
use std::path::Path;

use itera_files::failed_to;
use serde_json::{Value, json};

use crate::Result;
use crate::error::TokenizerError;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;

const TOKENIZER: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";

impl Tokenizer {
    /// Writes `tokenizer.json` and `tokenizer_config.json` into a directory, which is created if absent.
    ///
    /// `AutoTokenizer.from_pretrained` opens it and yields the same ids. `max_seq_len` is the longest context, in
    /// tokens, that the model beside it promises.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; the message names it.
    pub fn write_dir(&self, dir: &Path, max_seq_len: usize) -> Result<()> {
        fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
        for (name, contents) in self.files(max_seq_len) {
            let path = dir.join(name);
            fs::write(&path, contents).map_err(failed_to("write", &path))?;
        }
        Ok(())
    }

    /// The bytes of the files that [`Self::write_dir`] writes.
    pub fn dir_size_bytes(&self, max_seq_len: usize) -> usize {
        self.files(max_seq_len).iter().map(|(_, contents)| contents.len()).sum()
    }

    fn files(&self, max_seq_len: usize) -> [(&'static str, String); 2] {
        [(TOKENIZER, self.to_json()), (SETTINGS, format!("{:#}\n", self.settings(max_seq_len)))]
    }

    /// Reads the tokenizer of a model directory.
    ///
    /// # Errors
    ///
    /// As [`Self::from_file`].
    pub fn load_dir(dir: &Path) -> Result<Self> {
        Self::from_file(&dir.join(TOKENIZER))
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or for the reasons of [`Self::from_json`]; the message names the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let json = fs::read(path).map_err(failed_to("read", path))?;
        Self::from_json(&json).map_err(|source| TokenizerError::File { path: path.to_owned(), source: source.into() })
    }

    fn settings(&self, max_seq_len: usize) -> Value {
        let specials: Vec<&str> = self.spellings().collect();
        let special = |id: TokenId| specials[id.index()];
        let mut settings = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_seq_len,
            "bos_token": special(self.bos()),
            "eos_token": special(self.eos()),
            "pad_token": special(self.pad()),
            "clean_up_tokenization_spaces": false,
        });
        if let Some(unknown) = self.unknown() {
            settings["unk_token"] = special(unknown).into();
        }
        settings
    }
}
