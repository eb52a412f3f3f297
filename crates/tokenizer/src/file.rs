//! `tokenizer.json` ⇄ [`Parts`] → the encoder.
//!
//! ```text
//! bytes ──size──▶ File (serde) ──kind──▶ Parts ──ids, spelling, merges──▶ tokenizers::Tokenizer ──▶ bytes
//! ```
//!
//! A file is untrusted, so none of it reaches the encoder as it stands: what is supported is taken out as
//! [`Parts`], checked, and the encoder is built from those. Every tokenizer is built on this one path, the trained
//! one too, so what is written is always in the same canonical form.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::alphabet::{bytes_of, letters};
use crate::encoder::Encoder;
use crate::{END_OF_TEXT, MAX_VOCAB_SIZE, PAD, Result, TokenId, Tokenizer, TokenizerError};

/// Longest `tokenizer.json` that is read, in bytes: those of the largest vocabularies in use have some 20 MB.
const MAX_JSON_BYTES: usize = 64 << 20;

/// What makes one byte-level BPE different from another.
pub(crate) struct Parts {
    /// Spelling of each token, in the letters of the byte alphabet; special tokens as plain text.
    tokens: Vec<String>,
    /// Pairs to join, the first the most eager.
    merges: Vec<(String, String)>,
    /// Tokens that stand for no text.
    specials: Vec<TokenId>,
}

impl Tokenizer {
    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// Refuses anything but byte-level BPE of the GPT-2 kind with all 256 bytes, ids `0..n` without gap or repetition
    /// (n ≤ [`MAX_VOCAB_SIZE`]), merges between known tokens, and a special token `<|endoftext|>`. Truncation
    /// and padding settings in the file are not taken over.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_JSON_BYTES {
            return Err(TokenizerError::TooLarge { size_bytes: json.len(), max_bytes: MAX_JSON_BYTES });
        }
        Self::from_parts(serde_json::from_slice::<File>(json)?.into_parts()?)
    }
}

impl Parts {
    /// The special tokens, the 256 bytes, and nothing joined.
    pub(crate) fn bytes_only() -> Self {
        let specials = [END_OF_TEXT, PAD].map(String::from);
        let tokens = specials.into_iter().chain(letters().into_iter().map(String::from)).collect();
        Self { tokens, merges: Vec::new(), specials: vec![TokenId(0), TokenId(1)] }
    }

    /// Id of the special token with this text.
    pub(crate) fn special(&self, text: &str) -> Option<TokenId> {
        self.specials.iter().copied().find(|id| self.tokens[id.index()] == text)
    }

    /// The bytes that each token stands for.
    pub(crate) fn token_bytes(&self) -> Result<Vec<Vec<u8>>> {
        let specials: HashSet<_> = self.specials.iter().copied().collect();
        let spelled = |(id, token): (u32, &String)| match specials.contains(&TokenId(id)) {
            true => Ok(Vec::new()),
            false => bytes_of(token).ok_or_else(|| {
                TokenizerError::Vocabulary(format!(
                    "token {id}, {token:?}, has characters outside the byte-level alphabet"
                ))
            }),
        };
        (0..).zip(&self.tokens).map(spelled).collect()
    }

    /// The encoder, if vocabulary and merges agree; `texts` are the [`token_bytes`](Self::token_bytes).
    pub(crate) fn encoder(&self, texts: &[Vec<u8>]) -> Result<Encoder> {
        self.check_merges()?;
        let ids: HashMap<&str, TokenId> = self.tokens.iter().map(String::as_str).zip((0..).map(TokenId)).collect();
        let merges = self
            .merges
            .iter()
            .map(|(left, right)| [left, right, &format!("{left}{right}")].map(|part| ids[part.as_str()]));
        Ok(Encoder::new(texts, merges).expect("all bytes have tokens, as was checked"))
    }

    /// The form that is written to files.
    pub(crate) fn into_tokenizer(self) -> Result<tokenizers::Tokenizer> {
        let specials: Vec<_> =
            self.specials.iter().map(|id| AddedToken::from(self.tokens[id.index()].clone(), true)).collect();
        let vocab: Vocab = self.tokens.into_iter().zip(0..).collect();
        let model = BPE::builder()
            .vocab_and_merges(vocab, self.merges)
            .build()
            .map_err(|error| TokenizerError::Vocabulary(error.to_string()))?;

        let byte_level = ByteLevel::new(false, false, true);
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        tokenizer.add_special_tokens(&specials);
        tokenizer.set_encode_special_tokens(true);
        Ok(tokenizer)
    }

    fn check_merges(&self) -> Result<()> {
        let specials: HashSet<_> = self.specials.iter().map(|id| self.tokens[id.index()].as_str()).collect();
        let known: HashSet<_> = self.tokens.iter().map(String::as_str).filter(|t| !specials.contains(t)).collect();
        if let Some(letter) = letters().into_iter().find(|letter| !known.contains(letter.to_string().as_str())) {
            return Err(TokenizerError::Vocabulary(format!("byte letter {letter:?} has no token; all 256 are needed")));
        }
        let mut seen = HashSet::new();
        for (left, right) in &self.merges {
            let joined = format!("{left}{right}");
            if let Some(part) = [left, right, &joined].into_iter().find(|part| !known.contains(part.as_str())) {
                return Err(TokenizerError::Vocabulary(format!(
                    "merge {left:?} + {right:?} needs {part:?}, which is no token"
                )));
            }
            if !seen.insert((left, right)) {
                return Err(TokenizerError::Vocabulary(format!("merge {left:?} + {right:?} is listed twice")));
            }
        }
        Ok(())
    }
}

/// `tokenizer.json`, as far as it matters.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    /// Absent in the files of early releases.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, u32>,
    merges: Merges,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merges {
    Pairs(Vec<(String, String)>),
    /// `"left right"`, as written before 2024.
    Lines(Vec<String>),
}

impl File {
    fn into_parts(self) -> Result<Parts> {
        self.check_kind()?;
        let merges = self.model.merges.into_pairs()?;
        let specials: Vec<_> = self.added_tokens.iter().map(|added| TokenId(added.id)).collect();
        let added = self.added_tokens.into_iter().map(|added| (added.content, added.id));
        Ok(Parts { tokens: tokens_by_id(self.model.vocab, added)?, merges, specials })
    }

    /// Everything that could make `decode(encode(text))` differ from the text is refused here.
    fn check_kind(&self) -> Result<()> {
        let model = &self.model;
        let kind = model.kind.as_deref().unwrap_or("BPE");
        let unsplit = |affix: &Option<String>| affix.as_deref().unwrap_or_default().is_empty();
        let byte_level = |stage: &Value| stage["type"] == "ByteLevel";
        let gpt2_split = byte_level(&self.pre_tokenizer)
            && self.pre_tokenizer["add_prefix_space"] == false
            && *self.pre_tokenizer.get("use_regex").unwrap_or(&Value::Bool(true)) == true;

        require(kind == "BPE", "model.type", kind, "BPE")?;
        require(model.dropout.unwrap_or(0.0) == 0.0, "model.dropout", &model.dropout, "null")?;
        require(!model.ignore_merges, "model.ignore_merges", &model.ignore_merges, "false")?;
        let affixes = [&model.continuing_subword_prefix, &model.end_of_word_suffix];
        require(
            affixes.into_iter().all(unsplit),
            "model.continuing_subword_prefix / end_of_word_suffix",
            &affixes,
            "null",
        )?;
        require(self.normalizer.is_null(), "normalizer", &self.normalizer, "null")?;
        require(gpt2_split, "pre_tokenizer", &self.pre_tokenizer, "ByteLevel, add_prefix_space false, use_regex true")?;
        require(byte_level(&self.decoder), "decoder", &self.decoder, "ByteLevel")?;
        match self.added_tokens.iter().find(|added| !added.special) {
            Some(added) => require(false, "added_tokens", &added.content, "special tokens alone"),
            None => Ok(()),
        }
    }
}

fn require(
    holds: bool,
    key: &'static str,
    found: &(impl serde::Serialize + ?Sized),
    supported: &'static str,
) -> Result<()> {
    /// Characters of a foreign value that a message repeats.
    const SHOWN: usize = 120;
    if holds {
        return Ok(());
    }
    let found = serde_json::to_string(found)?;
    let shortened = found.char_indices().nth(SHOWN).map_or(found.clone(), |(cut, _)| format!("{}…", &found[..cut]));
    Err(TokenizerError::Unsupported { key, found: shortened, supported })
}

/// The tokens at the index of their id: every id from 0 up is taken exactly once.
fn tokens_by_id(vocab: HashMap<String, u32>, added: impl Iterator<Item = (String, u32)>) -> Result<Vec<String>> {
    let mut ids = vocab;
    for (token, id) in added {
        if let Some(&other) = ids.get(&token).filter(|&&other| other != id) {
            return Err(TokenizerError::Vocabulary(format!("special token {token:?} has ids {id} and {other}")));
        }
        ids.insert(token, id);
    }
    if ids.len() > MAX_VOCAB_SIZE {
        return Err(TokenizerError::Vocabulary(format!(
            "{} entries; at most {MAX_VOCAB_SIZE} are supported",
            ids.len()
        )));
    }
    let mut by_id: Vec<(u32, String)> = ids.into_iter().map(|(token, id)| (id, token)).collect();
    by_id.sort_unstable();
    for (expected, (id, token)) in (0..).zip(&by_id) {
        if *id != expected {
            let rule = "ids must run from 0 without gap or repetition";
            return Err(TokenizerError::Vocabulary(format!(
                "token {token:?} has id {id} where {expected} was expected; {rule}"
            )));
        }
    }
    Ok(by_id.into_iter().map(|(_, token)| token).collect())
}

impl Merges {
    fn into_pairs(self) -> Result<Vec<(String, String)>> {
        match self {
            Self::Pairs(pairs) => Ok(pairs),
            Self::Lines(lines) => lines
                .iter()
                .map(|line| match line.split_once(' ') {
                    Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                    None => Err(TokenizerError::Vocabulary(format!(
                        "merge {line:?} is not two tokens with a space between"
                    ))),
                })
                .collect(),
        }
    }
}
