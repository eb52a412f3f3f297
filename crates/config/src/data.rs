//! `[data]`, `[tokenizer]`: text, and how it becomes tokens

use serde::{Deserialize, Deserializer, Serialize};

/// `[data]`: where documents come from and how they are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `builtin:stories`, `hub:owner/name[:config]`, or paths and globs of `.txt`, `.jsonl`, `.parquet` files. In TOML a
    /// string or a list of strings.
    #[serde(deserialize_with = "one_or_many")]
    pub source: Vec<String>,
    /// Held-out documents, in the same forms as `source`; empty splits `valid_fraction` off `source`
    /// (or, on the hub, uses the data set's own validation split).
    #[serde(deserialize_with = "one_or_many")]
    pub valid_source: Vec<String>,
    /// More text to train on, in the same forms as `source`, of which nothing is ever held out or counted against
    /// `max_bytes`: what another model wrote, say.
    #[serde(deserialize_with = "one_or_many")]
    pub extra_source: Vec<String>,
    /// Share of the documents of `source` held out when `valid_source` is empty.
    pub valid_fraction: f64,
    /// Bytes of training text to generate for `builtin:stories`.
    pub builtin_bytes: u64,
    /// Most bytes of training text of `source` to use; 0 uses all.
    pub max_bytes: u64,
    /// Line that ends a document in a `.txt` file.
    pub separator: String,
    /// Field of a `.jsonl` record or column of a `.parquet` file that holds the text.
    pub text_field: String,
    /// Branch, tag or commit of a hub data set.
    pub hub_revision: String,
    /// Directory of tokenised shards, kept by content hash.
    pub cache_dir: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: vec!["builtin:stories".into()],
            valid_source: vec![],
            extra_source: vec![],
            valid_fraction: 0.02,
            builtin_bytes: 4_000_000,
            max_bytes: 0,
            separator: "<|endoftext|>".into(),
            text_field: "text".into(),
            hub_revision: "main".into(),
            cache_dir: "data/cache".into(),
        }
    }
}

/// A list, or the only entry of one.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or a list of strings")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(source) => vec![source],
        OneOrMany::Many(sources) => sources,
    })
}

/// Which tokenizer to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// Byte-level BPE trained on the training split.
    Bpe,
    /// One token a byte, no training.
    Byte,
}

/// `[tokenizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerConfig {
    /// `bpe` or `byte`. A BPE is trained to `model.vocab_size` entries.
    pub kind: TokenizerKind,
    /// An existing `tokenizer.json` to use instead of training one; empty trains.
    pub path: String,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { kind: TokenizerKind::Bpe, path: String::new() }
    }
}
