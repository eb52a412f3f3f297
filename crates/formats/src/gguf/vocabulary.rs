//! The tokenizer in a file: spellings, their sorts, and merges in order.

use std::path::Path;

use super::file::Gguf;
use super::metadata::Metadata;
use super::value::{Array, Value};
use crate::error::{FormatError, Result};
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
    /// Which of them stands in the place of each byte that has no token of its own; means nothing where every byte has one.
    pub unknown: Option<u32>,
}

/// Spelling of the token that ends a document, which llama.cpp takes as such whatever the file says of it.
const END_OF_TEXT: &str = "<|endoftext|>";

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Sorts of tokens: text, one that stands for no text, and one that only fills the vocabulary up.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

impl<'a> Vocabulary<'a> {
    /// Adds the tokenizer, with tokens that are never used up to `vocab_size`.
    ///
    /// A vocabulary without the bytes that its text never used is made to be small. Where its one special token is
    /// `<|endoftext|>`, it leaves out what llama.cpp and [`read`](Self::read) know without it: that this token is no text,
    /// takes the place of unknown bytes, and fills batches.
    pub(super) fn describe(&self, metadata: &mut Metadata, special_ids: SpecialIds, vocab_size: usize) {
        metadata.text(MODEL, "gpt2");
        metadata.text(PRE, "gpt-2");
        let n_tokens = self.tokens.len();
        let filling: Vec<String> = (n_tokens..vocab_size).map(|id| format!("[PAD{id}]")).collect();
        let tokens: Vec<&str> = self.tokens.iter().copied().chain(filling.iter().map(String::as_str)).collect();
        metadata.texts(TOKENS, &tokens);
        let says_itself = self.unknown.is_some_and(|id| self.is_end_of_text_alone(id)) && filling.is_empty();
        if !says_itself {
            let mut types = vec![NORMAL; n_tokens];
            types.resize(vocab_size.max(n_tokens), UNUSED);
            self.specials.iter().for_each(|id| types[*id as usize] = CONTROL);
            metadata.integers(TOKEN_TYPES, &types);
        }
        let merges: Vec<String> = self.merges.iter().map(|merge| merge.join(" ")).collect();
        metadata.texts(MERGES, &merges);
        metadata.size("tokenizer.ggml.bos_token_id", special_ids.bos as usize);
        metadata.size("tokenizer.ggml.eos_token_id", special_ids.eos as usize);
        if !says_itself || special_ids.pad != special_ids.eos {
            metadata.size("tokenizer.ggml.padding_token_id", special_ids.pad as usize);
        }
        if let Some(unknown) = self.unknown.filter(|_| !says_itself) {
            metadata.size(UNKNOWN, unknown as usize);
        }
        // without it llama.cpp begins a text without bos, as no document does in training
        metadata.flag(ADD_BOS, true);
    }

    /// Whether this is the one token that is not plain text, and spelled so that all know what it is.
    fn is_end_of_text_alone(&self, id: u32) -> bool {
        self.specials == [id] && self.tokens.get(id as usize) == Some(&END_OF_TEXT)
    }

    /// The tokenizer of a file.
    pub(crate) fn parse(path: &Path, gguf: &Gguf<'a>) -> Result<Self> {
        Self::read(gguf).map_err(|source| FormatError::File { path: path.to_owned(), source: source.into() })
    }

    fn read(gguf: &Gguf<'a>) -> Result<Self> {
        only(gguf, MODEL, "gpt2")?;
        only(gguf, PRE, "gpt-2")?;
        let mut tokens = texts(gguf, TOKENS)?;
        let end_of_text = tokens.iter().position(|token| *token == END_OF_TEXT).map(|id| id as u32);
        // as in llama.cpp, which tells this token by its spelling
        let (mut specials, mut unknown) = (Vec::from_iter(end_of_text), end_of_text);
        if gguf.entry(TOKEN_TYPES).is_some() {
            (specials, unknown) = (specials_by_type(gguf, &mut tokens)?, None);
        }
        if let Some(entry) = gguf.entry(UNKNOWN) {
            let id = entry.value.as_size().and_then(|id| u32::try_from(id).ok());
            unknown = Some(id.ok_or_else(|| gguf.unsupported(UNKNOWN, "the id of a token"))?);
        }
        let pair = |line: &'a str| line.split_once(' ').map(|(left, right)| [left, right]);
        // the converter leaves a list without items away
        let lines = if gguf.entry(MERGES).is_some() { texts(gguf, MERGES)? } else { vec![] };
        let merges = lines.into_iter().map(pair).collect::<Option<Vec<_>>>();
        let merges = merges.ok_or_else(|| gguf.unsupported(MERGES, "pairs of tokens with a space between"))?;
        Ok(Self { tokens, merges, specials, unknown })
    }
}

/// The tokens that are not text by their sorts; those that only fill the vocabulary up are taken away.
fn specials_by_type(gguf: &Gguf<'_>, tokens: &mut Vec<&str>) -> Result<Vec<u32>> {
    let types = array(gguf, TOKEN_TYPES)?;
    if types.len() != tokens.len() {
        return Err(gguf.unsupported(TOKEN_TYPES, format!("one for each of the {} tokens", tokens.len())));
    }
    let types: Vec<_> = types.iter().collect();
    let has_type = |id: usize, sort: i32| matches!(types[id], Value::Signed(found) if found == i64::from(sort));
    while tokens.last().is_some_and(|_| has_type(tokens.len() - 1, UNUSED)) {
        tokens.pop();
    }
    Ok((0..tokens.len()).filter(|id| !has_type(*id, NORMAL)).map(|id| id as u32).collect())
}

/// The template of a chat, if the file has one.
pub(crate) fn chat_template(path: &Path, gguf: &Gguf<'_>) -> Result<Option<String>> {
    match gguf.entry(CHAT_TEMPLATE).map(|entry| entry.value) {
        None => Ok(None),
        Some(Value::Text(template)) => Ok(Some(template.to_owned())),
        Some(_) => {
            let source = gguf.unsupported(CHAT_TEMPLATE, "a text").into();
            Err(FormatError::File { path: path.to_owned(), source })
        }
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
