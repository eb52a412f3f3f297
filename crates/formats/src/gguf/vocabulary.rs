//! The tokenizer in a file: spellings, their sorts, and merges in order.

use std::path::Path;

use super::file::Gguf;
use super::metadata::Metadata;
use super::value::{Array, Value};
use crate::{FormatError, Result};
use itera_shape::SpecialIds;

/// A byte-level BPE of the GPT-2 kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary<'a> {
    /// Spelling of each token in order of its id, in the letters of the GPT-2 alphabet; special tokens as plain text.
    pub tokens: Vec<&'a str>,
    /// Pairs of spellings to join, the first the most eager.
    pub merges: Vec<[&'a str; 2]>,
    /// Ids of the tokens that stand for no text.
    pub specials: Vec<u32>,
}

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";

/// Sorts of tokens: text, one that stands for no text, and one that only fills the vocabulary up.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

impl<'a> Vocabulary<'a> {
    /// Adds the tokenizer, with tokens that are never used up to `vocab_size`.
    pub(super) fn describe(&self, metadata: &mut Metadata, special_ids: SpecialIds, vocab_size: usize) {
        metadata.text(MODEL, "gpt2");
        metadata.text(PRE, "gpt-2");
        let n_tokens = self.tokens.len();
        let filling: Vec<String> = (n_tokens..vocab_size).map(|id| format!("[PAD{id}]")).collect();
        let tokens: Vec<&str> = self.tokens.iter().copied().chain(filling.iter().map(String::as_str)).collect();
        metadata.texts(TOKENS, &tokens);
        let mut types = vec![NORMAL; n_tokens];
        types.resize(vocab_size.max(n_tokens), UNUSED);
        self.specials.iter().for_each(|id| types[*id as usize] = CONTROL);
        metadata.integers(TOKEN_TYPES, &types);
        let merges: Vec<String> = self.merges.iter().map(|merge| merge.join(" ")).collect();
        metadata.texts(MERGES, &merges);
        metadata.size("tokenizer.ggml.bos_token_id", special_ids.bos as usize);
        metadata.size("tokenizer.ggml.eos_token_id", special_ids.eos as usize);
        metadata.size("tokenizer.ggml.padding_token_id", special_ids.pad as usize);
        // without it llama.cpp begins a text without bos, as no document does in training
        metadata.flag(ADD_BOS, true);
    }

    /// The tokenizer of a file.
    pub(crate) fn parse(path: &Path, gguf: &Gguf<'a>) -> Result<Self> {
        Self::read(gguf).map_err(|source| FormatError::File { path: path.to_owned(), source: source.into() })
    }

    fn read(gguf: &Gguf<'a>) -> Result<Self> {
        only(gguf, MODEL, "gpt2")?;
        only(gguf, PRE, "gpt-2")?;
        let mut tokens = texts(gguf, TOKENS)?;
        let types = array(gguf, TOKEN_TYPES)?;
        if types.len() != tokens.len() {
            return Err(gguf.unsupported(TOKEN_TYPES, format!("one for each of the {} tokens", tokens.len())));
        }
        let types: Vec<_> = types.iter().collect();
        let has_type = |id: usize, sort: i32| matches!(types[id], Value::Signed(found) if found == i64::from(sort));
        while tokens.last().is_some_and(|_| has_type(tokens.len() - 1, UNUSED)) {
            tokens.pop();
        }
        let specials = (0..tokens.len()).filter(|id| !has_type(*id, NORMAL)).map(|id| id as u32).collect();
        let pair = |line: &'a str| line.split_once(' ').map(|(left, right)| [left, right]);
        // the converter leaves a list without items away
        let lines = if gguf.entry(MERGES).is_some() { texts(gguf, MERGES)? } else { vec![] };
        let merges = lines.into_iter().map(pair).collect::<Option<Vec<_>>>();
        let merges = merges.ok_or_else(|| gguf.unsupported(MERGES, "pairs of tokens with a space between"))?;
        Ok(Self { tokens, merges, specials })
    }
}

fn only(gguf: &Gguf<'_>, key: &str, supported: &str) -> Result<()> {
    match gguf.entry(key).map(|entry| entry.value) {
        Some(Value::Text(found)) if found == supported => Ok(()),
        _ => Err(gguf.unsupported(key, format!("{supported:?}, byte-level BPE"))),
    }
}

fn array<'a>(gguf: &Gguf<'a>, key: &str) -> Result<Array<'a>> {
    match gguf.entry(key).map(|entry| entry.value) {
        Some(Value::Array(array)) => Ok(array),
        _ => Err(gguf.unsupported(key, "a list")),
    }
}

fn texts<'a>(gguf: &Gguf<'a>, key: &str) -> Result<Vec<&'a str>> {
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let texts: Option<Vec<_>> = array(gguf, key)?.iter().map(text).collect();
    texts.ok_or_else(|| gguf.unsupported(key, "a list of texts"))
}
