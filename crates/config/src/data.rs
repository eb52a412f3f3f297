//! `[data]`, `[tokenizer]`: text, and how it becomes tokens

use serde::{Deserialize, Deserializer, Serialize};

/// How text becomes the sequences that a model is trained and validated on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Windows {
    /// All documents are one stream, which is cut anywhere, anew in each epoch.
    #[default]
    Stream,
    /// A sequence begins where a document begins, or goes on where a piece of a longer one ends.
    Documents,
}

/// `[data]`: where documents come from, how they are split, and cut into sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `builtin:stories`, `hub:owner/name[:config]`, paths and globs of files, directories, or `-` for standard input; the
    /// kinds of files are those that `itera-data` reads. In TOML a string or a list of strings.
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
    /// What ends a document in a text file, as [`Separator::of`] reads it.
    pub separator: String,
    /// Field of a record (`meta.text` is `text` within `meta`), or column of a table, that holds the text.
    pub text_field: String,
    /// Whether records without a text are left out and counted; if not, the first one is an error.
    pub skip_bad_records: bool,
    /// `stream` or `documents`.
    pub windows: Windows,
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
            skip_bad_records: false,
            windows: Windows::Stream,
            hub_revision: "main".into(),
            cache_dir: "data/cache".into(),
        }
    }
}

/// What ends a document of a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Separator {
    /// A line of this text; it holds no line break, and white space behind it does not count.
    Line(String),
    /// Lines of nothing but white space.
    BlankLine,
    /// The end of every line.
    LineEnd,
}

impl Separator {
    /// What a text between documents means: `""` and `"\n\n"` blank lines, `"\n"` a document a line, anything else the line
    /// of that text. Line breaks around it, and how they are written (`\r\n`, or escaped as a shell leaves them), do not
    /// count. `None` for more than one line, which no line equals.
    pub fn of(text: &str) -> Option<Self> {
        let text = match text {
            r"\n" | r"\r\n" => "\n",
            r"\n\n" | r"\r\n\r\n" => "\n\n",
            text => text,
        };
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        match (text.trim_matches('\n').trim_end(), text.matches('\n').count()) {
            ("", 0 | 2) => Some(Self::BlankLine),
            ("", 1) => Some(Self::LineEnd),
            ("", _) => None,
            (line, _) => (!line.contains('\n')).then(|| Self::Line(line.into())),
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

/// Which bytes are entries of a vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerAlphabet {
    /// All 256, so that every text has tokens.
    #[default]
    Bytes,
    /// Those of the training split; all others are the unknown token, which is `<|endoftext|>`.
    Text,
}

/// `[tokenizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerConfig {
    /// `bpe` or `byte`. A BPE is trained to `model.vocab_size` entries.
    pub kind: TokenizerKind,
    /// `bytes` or `text`, of a BPE that is trained.
    pub alphabet: TokenizerAlphabet,
    /// An existing `tokenizer.json` to use instead of training one; empty trains.
    pub path: String,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { kind: TokenizerKind::Bpe, alphabet: TokenizerAlphabet::Bytes, path: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_lines_and_line_breaks_around_them_do_not_count() {
        let line = |text: &str| Some(Separator::Line(text.into()));
        for (text, separator) in [
            ("<end>", line("<end>")),
            ("\n<end>\n", line("<end>")),
            ("\r\n--- \r\n", line("---")),
            (" <end>", line(" <end>")),
            (r"\newpage", line(r"\newpage")),
            ("", Some(Separator::BlankLine)),
            ("  ", Some(Separator::BlankLine)),
            ("\n\n", Some(Separator::BlankLine)),
            ("\r\n \r\n", Some(Separator::BlankLine)),
            (r"\n\n", Some(Separator::BlankLine)),
            ("\n", Some(Separator::LineEnd)),
            (r"\n", Some(Separator::LineEnd)),
            ("\r\n", Some(Separator::LineEnd)),
            ("\n\n\n", None),
            ("a\nb", None),
        ] {
            assert_eq!(Separator::of(text), separator, "{text:?}");
        }
    }
}
