//! What can go wrong between a source and its token shards.

use std::{error::Error, fmt, path::PathBuf};

use itera_files::FileError;

use crate::hub::HubError;

/// An error of this crate. Its text says what failed and where; the causes are its sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A source that is written in none of the known forms.
    #[error("`{item}` is not a data source: {problem}")]
    Source {
        /// The entry of `data.source` or `data.valid_source`.
        item: String,
        /// What is wrong with it.
        problem: SourceProblem,
    },
    /// A separator that no line equals.
    #[error("the separator {separator:?} is more than one line")]
    Separator {
        /// The separator asked for.
        separator: String,
    },
    /// A path or glob that finds nothing.
    #[error("no file matches `{pattern}` in {}", cwd.display())]
    NoMatch {
        /// The path or glob.
        pattern: String,
        /// The working directory.
        cwd: PathBuf,
    },
    /// A directory without one file of a kind that is read.
    #[error("{} holds none of the kinds of files that are read (other files: {others})", directory.display())]
    NothingToRead {
        /// The directory.
        directory: PathBuf,
        /// Files of other kinds in it and below it.
        others: usize,
    },
    /// The system refused to read, decompress, create or write.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A file of a kind that is not read.
    #[error("{} is not a .txt, .jsonl, .json, .csv or .parquet file", path.display())]
    FileKind {
        /// The file.
        path: PathBuf,
    },
    /// A file whose content is of a kind that is not read, whatever its name.
    #[error("{} is {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, with an article: `a zip archive`.
        what: &'static str,
    },
    /// The few lines that Git leaves in place of a large file.
    #[error("{} is a Git LFS pointer, not the file that it stands for", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are not text.
    #[error(
        "{} is not UTF-8: byte {offset} does not belong to a character{}",
        path.display(), if *is_utf16 { "; it begins like UTF-16" } else { "" }
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte from the start of the decompressed file.
        offset: u64,
        /// Whether it begins with the byte order mark of UTF-16.
        is_utf16: bool,
    },
    /// A file without one document in it.
    #[error("{} holds no text", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A record of a file that does not hold a text. Those behind it can be read.
    #[error("{}, {place}, holds no text", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record.
        place: Place,
        /// What is wrong with it.
        #[source]
        fault: RecordFault,
    },
    /// A `.json` file that cannot be read further.
    #[error("{}, record {record}, is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The record that it breaks off in, from 1.
        record: u64,
        /// Why, with the place counted from the beginning of the record.
        source: serde_json::Error,
    },
    /// A table that has no column of text by the name asked for.
    #[error("{} has no text column `{column}`, only {}", path.display(), List(present))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// Its text columns.
        present: Vec<String>,
    },
    /// A parquet file that is damaged or incomplete.
    #[error("{} is not a readable parquet file", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A parquet file in a compression that this build lacks.
    #[error("{} is compressed with {codec}, which this program was built without", path.display())]
    Codec {
        /// The file.
        path: PathBuf,
        /// Name of the compression: `ZSTD`.
        codec: String,
    },
    /// A parquet file in a program that was compiled without the feature.
    #[error("{} needs the feature `parquet`, which this program was built without", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// Something about a data set of the hub.
    #[error(transparent)]
    Hub(#[from] Box<HubError>),
    /// A hub source in a program that was compiled without hub access.
    #[error("`{item}` needs the feature `hub`, which this program was built without")]
    NoHub {
        /// The entry of `data.source`.
        item: String,
    },
    /// No training document is left.
    #[error(
        "no training text is left of {documents} documents: {held_out} are held out, {copies} copies, {blank} blank{}",
        if *max_bytes > 0 { format!(", and at most {max_bytes} bytes are used") } else { String::new() }
    )]
    NoTraining {
        /// Documents that were read.
        documents: u64,
        /// Copies that were dropped.
        copies: u64,
        /// Documents of nothing but white space.
        blank: u64,
        /// Documents kept to be scored.
        held_out: u64,
        /// The cap, `data.max_bytes`; 0 for none.
        max_bytes: u64,
    },
    /// There is nothing to score.
    #[error("no document holds text ({blank} are blank)")]
    NoDocuments {
        /// Documents of nothing but white space.
        blank: u64,
    },
    /// Nothing can be held out.
    #[error(
        "nothing can be held out: the corpus is one document{}{}",
        if *copies > 0 { format!(" and {copies} copies of it") } else { String::new() },
        if *holds_separator { ", which holds the separator, but not as a line of its own" } else { "" }
    )]
    NothingHeldOut {
        /// Copies of the document that were dropped.
        copies: u64,
        /// Whether the separator stands within its lines.
        holds_separator: bool,
    },
    /// A split that does not fill a batch of pairs.
    #[error(
        "the {split} split has {documents} documents of two tokens or more, but a batch of pairs needs {needed} (half of `train.batch_size`)"
    )]
    TooFew {
        /// `training` or `validation`.
        split: &'static str,
        /// Documents there are.
        documents: usize,
        /// Documents needed.
        needed: usize,
    },
    /// A split that does not fill one sequence.
    #[error("the {split} split has {tokens} tokens, but one sequence needs {needed} (`train.seq_len` + 1)")]
    TooShort {
        /// `training` or `validation`.
        split: &'static str,
        /// Tokens there are.
        tokens: usize,
        /// Tokens needed.
        needed: usize,
    },
    /// A tokenizer with more tokens than the model has rows.
    #[error("the tokenizer has {tokens} tokens, but `model.vocab_size` is {vocab_size}")]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Entries of the model's vocabulary.
        vocab_size: usize,
    },
    /// The tokens of a corpus could not be stored.
    #[error("cannot keep tokens in {}", directory.display())]
    Cache {
        /// The directory, within `data.cache_dir`.
        directory: PathBuf,
        /// What failed.
        source: Box<DataError>,
    },
    /// A stored file that is not what was written.
    #[error("{} is damaged: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The tokenizer could not be trained, loaded or stored.
    #[error(transparent)]
    Tokenizer(#[from] itera_tokenizer::TokenizerError),
}

/// Why an entry is no data source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceProblem {
    /// A text that is not part of the program.
    #[error("nothing builtin is called `{0}`")]
    Builtin(String),
    /// A name that no data set of the hub can have.
    #[error("`{0}` is not the name of a data set, `owner/name`")]
    HubName(String),
    /// A pattern of file names that has no meaning.
    #[error("a glob with an error: {0}")]
    Glob(glob::PatternError),
}

/// How a stored file differs from all that are written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It ends within its header.
    #[error("it is shorter than its header")]
    Short,
    /// Its first bytes are those of another format or version.
    #[error("not a token shard of version {version}")]
    Version {
        /// The version that is read.
        version: u32,
    },
    /// Its tokens have a width that none is written in.
    #[error("tokens of {0} bytes")]
    TokenBytes(u32),
    /// It has more or fewer tokens than it says.
    #[error("{n_tokens} tokens of {token_bytes} bytes promised, {found_bytes} bytes found")]
    Length {
        /// Tokens that the header promises.
        n_tokens: u64,
        /// Bytes a token.
        token_bytes: usize,
        /// Bytes after the header.
        found_bytes: usize,
    },
    /// Its tokens have another hash than its header says.
    #[error("its tokens do not have the hash in its header")]
    Hash,
    /// It is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A summary with numbers that those files do not have.
    #[error("it does not describe the files beside it")]
    Summary,
}

/// Which record of a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text, or the line that a row of a table begins in.
    Line(u64),
    /// A row of a table without lines.
    Row(u64),
    /// A record of a JSON file.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
            Self::Record(record) => write!(f, "record {record}"),
        }
    }
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// It does not parse: it may be cut.
    #[error("not JSON")]
    Json(#[source] serde_json::Error),
    /// It is a list, a string or a number.
    #[error("not a JSON object")]
    NotAnObject,
    /// It lacks the field of the text.
    #[error("no field `{field}` among {}", List(present))]
    NoField {
        /// The field asked for.
        field: String,
        /// The fields it has.
        present: Vec<String>,
    },
    /// The field holds something else.
    #[error("field `{field}` is not a string")]
    NotText {
        /// The field asked for.
        field: String,
    },
    /// Its bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A row that is longer or shorter than the first one.
    #[error("{found} fields, where the first row has {expected}")]
    Fields {
        /// Fields of the row.
        found: u64,
        /// Fields of the first row.
        expected: u64,
    },
}

/// Names as they stand in a message.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            names => f.write_str(&names.join(", ")),
        }
    }
}
