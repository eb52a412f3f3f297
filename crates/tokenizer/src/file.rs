//! `tokenizer.json` ⇄ [`Parts`].
//!
//! ```text
//! bytes ──size──▶ File (serde) ──kind──▶ Parts ──▶ JSON ──▶ bytes
//! ```
//!
//! A file is untrusted, so what is supported is taken out as [`Parts`] and all else is refused. What is written is built
//! from those, so it is always in the same canonical form.

use std::collections::HashMap;

use itera_shape::SpecialIds;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Result;
use crate::error::{TokenizerError, VocabularyProblem};
use crate::parts::Parts;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;

/// Longest `tokenizer.json` that is read, in bytes: those of the largest vocabularies in use have some 20 MB.
const MAX_JSON_BYTES: usize = 64 << 20;

impl Tokenizer {
    /// Reads the contents of a `tokenizer.json`. Truncation and padding settings in it are not taken over.
    ///
    /// # Errors
    ///
    /// Refuses anything but byte-level BPE of the GPT-2 kind with all 256 bytes or a special token for the unknown ones,
    /// ids `0..n` without gap or repetition (n ≤ [`MAX_VOCAB_SIZE`](crate::MAX_VOCAB_SIZE)), merges between known tokens,
    /// and a special token `<|endoftext|>`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        Self::of_parts(parts(json)?, None)
    }

    /// Reads the `tokenizer.json` of a model that says which tokens begin and end documents, however they are spelled.
    ///
    /// # Errors
    ///
    /// As [`Self::from_json`], but for `<|endoftext|>`; if one of the ids is not of a special token.
    pub fn from_json_of_model(json: &[u8], special_ids: SpecialIds) -> Result<Self> {
        Self::of_parts(parts(json)?, Some(special_ids))
    }
}

fn parts(json: &[u8]) -> Result<Parts> {
    if itera_files::is_lfs_pointer(json) {
        return Err(TokenizerError::LfsPointer);
    }
    if json.len() > MAX_JSON_BYTES {
        return Err(TokenizerError::TooLarge { size_bytes: json.len(), max_bytes: MAX_JSON_BYTES });
    }
    serde_json::from_slice::<File>(json)?.into_parts()
}

impl Parts {
    /// The one form that is written to files: that of `tokenizers` 0.22, to the byte.
    pub(crate) fn to_json(&self) -> Value {
        let byte_level =
            json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true });
        let mut specials = self.specials.clone();
        specials.sort_unstable();
        let special = |id: &TokenId| {
            json!({
                "id": id.0, "content": self.text(*id), "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        };
        let vocab: Map<String, Value> = self.texts().map(str::to_owned).zip((0..).map(Value::from)).collect();
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": specials.iter().map(special).collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": byte_level,
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": self.unknown.map(|id| self.text(id)),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocab,
                "merges": self.merge_texts().collect::<Vec<_>>(),
            },
        })
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
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
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
        let tokens = tokens_by_id(self.model.vocab, added)?;
        let has_id = |text: &String| tokens.iter().position(|token| token == text).map(|id| TokenId(id as u32));
        let unknown = self.model.unk_token.as_ref().and_then(has_id);
        let merges = merges.iter().map(|(left, right)| [left.as_str(), right]);
        let parts = Parts::new(tokens.into_iter().collect(), merges, specials, unknown)?;
        if parts.unknown.is_some() {
            // settings that change nothing where every byte has a token
            require(!self.model.fuse_unk, "model.fuse_unk", &self.model.fuse_unk, "false")?;
            require(!self.model.byte_fallback, "model.byte_fallback", &self.model.byte_fallback, "false")?;
        }
        Ok(parts)
    }

    /// Everything else than unknown bytes that could make `decode(encode(text))` differ from the text is refused here.
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
            return Err(TokenizerError::Vocabulary(VocabularyProblem::TwoIds { token, ids: [id, other] }));
        }
        ids.insert(token, id);
    }
    let mut by_id: Vec<(u32, String)> = ids.into_iter().map(|(token, id)| (id, token)).collect();
    by_id.sort_unstable();
    for (expected, (id, token)) in (0..).zip(&by_id) {
        if *id != expected {
            let (token, id) = (token.clone(), *id);
            return Err(TokenizerError::Vocabulary(VocabularyProblem::Id { token, id, expected }));
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
                    None => Err(TokenizerError::Vocabulary(VocabularyProblem::Line { line: line.clone() })),
                })
                .collect(),
        }
    }
}
