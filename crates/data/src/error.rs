//! What can go wrong between a source and its token shards, and what to do about it.

use std::path::PathBuf;

use itera_files::FileError;

use crate::HubError;

/// An error of this crate. Its text says what failed, where and why; a `hint:` line says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A source that is written in none of the known forms.
    #[error(
        "`{item}` is not a data source: {problem}\n\
         hint: write `builtin:stories`, `hub:owner/name`, `hub:owner/name:config`, or a path or glob of .txt, .jsonl or .parquet files"
    )]
    Source {
        /// The entry of `data.source` or `data.valid_source`.
        item: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A path or glob that finds nothing.
    #[error("no file matches `{pattern}`\nhint: paths in `data.source` are relative to the working directory, {}", cwd.display())]
    NoMatch {
        /// The path or glob.
        pattern: String,
        /// The working directory.
        cwd: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A file of a kind that is not read.
    #[error("{} is not a .txt, .jsonl or .parquet file\nhint: name single files, or a glob such as `texts/*.txt`", path.display())]
    FileKind {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are not text.
    #[error("{} is not UTF-8: byte {offset} does not belong to a character\nhint: {hint}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte from the start of the file.
        offset: u64,
        /// How to convert it.
        hint: &'static str,
    },
    /// A file without one document in it.
    #[error("{} holds no text\nhint: remove it from `data.source`, or check how it was written", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A record of a file that does not hold a text.
    #[error("{}, {place}: {problem}\nhint: `data.text_field` names the field that holds the text", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// `line 3` or `row 7`, counted from 1.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A parquet file that does not hold what its reader needs.
    #[error("{}: {problem}\nhint: {hint}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Something about a data set of the hub.
    #[error(transparent)]
    Hub(#[from] Box<HubError>),
    /// A hub source in a program that was compiled without hub access.
    #[error(
        "`{item}` needs the hub, but this program was built without it\nhint: build with `--features hub`, or name local files"
    )]
    NoHub {
        /// The entry of `data.source`.
        item: String,
    },
    /// No training document is left.
    #[error(
        "no training text is left of {documents} documents ({duplicates} dropped as copies, `data.max_bytes` = {max_bytes})\n\
         hint: raise `data.max_bytes`, and see that `data.valid_source` is not the training text itself"
    )]
    NoTraining {
        /// Documents that were read.
        documents: u64,
        /// Copies that were dropped.
        duplicates: u64,
        /// The cap, 0 for none.
        max_bytes: u64,
    },
    /// Nothing can be held out.
    #[error(
        "the corpus is one single document, so nothing can be held out for validation\n\
         hint: name held-out text in `data.valid_source`, or set `data.separator` to the line that ends a document \
         (\"\" splits at blank lines)"
    )]
    NothingHeldOut,
    /// A split that does not fill one sequence.
    #[error(
        "the {split} split has {tokens} tokens, but one sequence needs {needed} (`train.seq_len` + 1)\n\
         hint: use more text, raise `data.valid_fraction`, or lower `train.seq_len`"
    )]
    TooShort {
        /// `training` or `validation`.
        split: &'static str,
        /// Tokens there are.
        tokens: usize,
        /// Tokens needed.
        needed: usize,
    },
    /// A tokenizer with more tokens than the model has rows.
    #[error(
        "the tokenizer has {tokens} tokens, but `model.vocab_size` is {vocab_size}\nhint: set `model.vocab_size` to at least {tokens}"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Entries of the model's vocabulary.
        vocab_size: usize,
    },
    /// A stored shard that is not what was written.
    #[error("{} is damaged: {problem}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer could not be trained, loaded or stored.
    #[error(transparent)]
    Tokenizer(#[from] itera_tokenizer::TokenizerError),
}
