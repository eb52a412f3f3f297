//! `tokenizer.json` of the WordPiece kind → [`WordPiece`]; all else is refused.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{WordPiece, normalize::Normalizer};
use crate::error::{TokenizerError, VocabularyProblem};
use crate::token::TokenId;
use crate::{MAX_VOCAB_SIZE, Result};

/// Longest file that is read, in bytes.
const MAX_JSON_BYTES: usize = 64 << 20;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    truncation: Option<Truncation>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Truncation {
    max_length: usize,
    #[serde(default)]
    direction: Option<String>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

impl WordPiece {
    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// Refuses anything but a WordPiece model with BERT's normaliser, or none, its pre-tokenizer, and a template of one token, the
    /// text, and one token; added tokens that take spaces with them, and a vocabulary without the tokens that these name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if itera_files::is_lfs_pointer(json) {
            return Err(TokenizerError::LfsPointer);
        }
        if json.len() > MAX_JSON_BYTES {
            return Err(TokenizerError::TooLarge { size_bytes: json.len(), max_bytes: MAX_JSON_BYTES });
        }
        serde_json::from_slice::<Value>(json)
            .and_then(|value| {
                let kind = value.pointer("/model/type").cloned().unwrap_or_default();
                Ok(if kind == "WordPiece" { Ok(serde_json::from_value(value)?) } else { Err(kind) })
            })
            .map_err(TokenizerError::WordPieceJson)?
            .map_err(|kind| unsupported("model.type", &kind, "WordPiece"))
            .and_then(File::into_tokenizer)
    }
}

impl File {
    fn into_tokenizer(self) -> Result<WordPiece> {
        let Self { truncation, added_tokens, normalizer, pre_tokenizer, post_processor, model } = self;
        if model.kind != "WordPiece" {
            return Err(unsupported("model.type", &model.kind.into(), "WordPiece"));
        }
        let normalizer = match normalizer {
            Value::Null => None,
            value => {
                let read = Normalizer::deserialize(&value);
                Some(read.map_err(|_| unsupported("normalizer", &value, "BertNormalizer, or nothing"))?)
            }
        };
        if pre_tokenizer["type"] != "BertPreTokenizer" {
            return Err(unsupported("pre_tokenizer", &pre_tokenizer, "BertPreTokenizer"));
        }
        if let Some(direction) = truncation.as_ref().and_then(|truncation| truncation.direction.as_ref())
            && direction != "Right"
        {
            return Err(unsupported("truncation.direction", &direction.as_str().into(), "Right"));
        }
        let Model { unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word, mut vocab, .. } = model;
        for Added { id, content, single_word, lstrip, rstrip, normalized } in &added_tokens {
            if *single_word || *lstrip || *rstrip || *normalized || content.is_empty() {
                let supported = "one that is found as it is spelled, without what is around it";
                return Err(unsupported("added_tokens", &content.as_str().into(), supported));
            }
            match vocab.insert(content.clone(), *id) {
                Some(other) if other != *id => {
                    let (token, ids) = (content.clone(), [other, *id]);
                    return Err(TokenizerError::Vocabulary(VocabularyProblem::TwoIds { token, ids }));
                }
                _ => {}
            }
        }
        let n_ids = vocab.values().max().map_or(0, |id| *id as usize + 1);
        if n_ids.max(vocab.len()) > MAX_VOCAB_SIZE {
            let n_tokens = n_ids.max(vocab.len());
            return Err(TokenizerError::Vocabulary(VocabularyProblem::Tokens { n_tokens }));
        }
        let id = |token: &str| {
            let id = vocab.get(token).copied().map(TokenId);
            id.ok_or_else(|| TokenizerError::NoToken { token: token.to_owned() })
        };
        let [begin, end] = around(&post_processor)?;
        let mut specials: Vec<(Box<str>, TokenId)> =
            added_tokens.iter().map(|added| (added.content.as_str().into(), TokenId(added.id))).collect();
        specials.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let pieces = || vocab.iter().map(|(text, id)| (text.as_str(), TokenId(*id)));
        Ok(WordPiece {
            normalizer,
            first: pieces().map(|(text, id)| (text.into(), id)).collect(),
            further: pieces().filter_map(|(text, id)| Some((text.strip_prefix(&prefix)?.into(), id))).collect(),
            longest: vocab.keys().map(String::len).max().unwrap_or(0),
            max_word_chars: max_input_chars_per_word,
            unknown: id(&unk_token)?,
            begin: id(&begin)?,
            end: id(&end)?,
            specials,
            max_tokens: truncation.map(|truncation| truncation.max_length),
            n_ids,
        })
    }
}

/// What is put before and behind one text.
fn around(post_processor: &Value) -> Result<[String; 2]> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let found = match post_processor["type"].as_str() {
        Some("BertProcessing") => [text(&post_processor["cls"][0]), text(&post_processor["sep"][0])],
        Some("TemplateProcessing") => match post_processor["single"].as_array().map(Vec::as_slice) {
            Some([begin, middle, end]) if middle["Sequence"]["id"] == "A" => {
                [text(&begin["SpecialToken"]["id"]), text(&end["SpecialToken"]["id"])]
            }
            _ => [None, None],
        },
        _ => [None, None],
    };
    match found {
        [Some(begin), Some(end)] => Ok([begin, end]),
        _ => Err(unsupported("post_processor", post_processor, "a token, the text, and a token")),
    }
}

fn unsupported(key: &'static str, found: &Value, supported: &'static str) -> TokenizerError {
    let found = found.to_string().chars().take(60).collect();
    TokenizerError::UnsupportedWordPiece { key, found, supported }
}
