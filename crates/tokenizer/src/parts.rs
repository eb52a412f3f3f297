//! spellings, merges, special tokens → [`Parts`], found to agree → the encoder.
//!
//! Every tokenizer is built on this one path, whatever it was read from, and the trained one too.

use itera_shape::SpecialIds;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use crate::alphabet::{Letters, letters};
use crate::encoder::Encoder;
use crate::error::{TokenizerError, VocabularyProblem};
use crate::texts::Texts;
use crate::token::TokenId;
use crate::{END_OF_TEXT, MAX_VOCAB_SIZE, PAD, Result};

/// What makes one byte-level BPE different from another.
#[derive(Clone)]
pub(crate) struct Parts {
    /// Spelling of each token, in the letters of the byte alphabet; special tokens as plain text.
    tokens: Texts,
    /// Left, right, joined: pairs to join, the first the most eager. No special token is among them.
    merges: Vec<[TokenId; 3]>,
    /// Tokens that stand for no text.
    pub(crate) specials: Vec<TokenId>,
    /// The special token of every byte that has none of its own; `None` where all have one.
    pub(crate) unknown: Option<TokenId>,
}

impl Parts {
    /// # Errors
    ///
    /// If there are too many tokens, one is spelled twice or with foreign letters, a byte has none and `unknown` is no
    /// special token to stand for it, a merge needs or makes what is no token, or is listed twice.
    pub(crate) fn new<'t>(
        tokens: Texts,
        merges: impl Iterator<Item = [&'t str; 2]>,
        specials: Vec<TokenId>,
        unknown: Option<TokenId>,
    ) -> Result<Self> {
        let wrong = |problem| Err(TokenizerError::Vocabulary(problem));
        if tokens.len() > MAX_VOCAB_SIZE {
            return wrong(VocabularyProblem::Tokens { n_tokens: tokens.len() });
        }
        if let Some(id) = specials.iter().find(|id| id.index() >= tokens.len()) {
            return wrong(VocabularyProblem::Special { id: *id, n_tokens: tokens.len() });
        }
        let mut ids = FxHashMap::with_capacity_and_hasher(tokens.len(), FxBuildHasher);
        for (id, token) in (0..).map(TokenId).zip(tokens.iter().map(as_text)) {
            if let Some(other) = ids.insert(token, id) {
                return wrong(VocabularyProblem::Alike { token: token.into(), ids: [other, id] });
            }
        }
        for id in &specials {
            ids.remove(as_text(tokens.get(id.index()).unwrap_or_default()));
        }
        let has_token = |letter: &char| ids.contains_key(letter.encode_utf8(&mut [0; 4]) as &str);
        let unknown = match (letters().into_iter().find(|letter| !has_token(letter)), unknown) {
            (None, _) => None,
            (Some(_), Some(id)) if specials.contains(&id) => Some(id),
            (Some(_), Some(TokenId(id))) => return Err(TokenizerError::NotSpecial { role: "unk", id }),
            (Some(letter), None) => return Err(TokenizerError::NoByte { letter }),
        };
        let n_merges = merges.size_hint().0;
        let mut seen = FxHashSet::with_capacity_and_hasher(n_merges, FxBuildHasher);
        let (mut triples, mut joined) = (Vec::with_capacity(n_merges), String::new());
        for parts @ [left, right] in merges {
            joined.clear();
            joined.extend([left, right]);
            let mut triple = [TokenId(0); 3];
            for (id, part) in triple.iter_mut().zip([left, right, &joined]) {
                match ids.get(part) {
                    Some(known) => *id = *known,
                    None => {
                        let (parts, missing) = (parts.map(String::from), part.to_owned());
                        return wrong(VocabularyProblem::Merge { parts, missing });
                    }
                }
            }
            if !seen.insert([triple[0], triple[1]]) {
                return wrong(VocabularyProblem::Twice { parts: parts.map(String::from) });
            }
            triples.push(triple);
        }
        Ok(Self { tokens, merges: triples, specials, unknown })
    }

    /// Those of the first `n` tokens; `None` if there are fewer, or they lack one that is not joined from others.
    pub(crate) fn first(&self, n: usize) -> Option<Self> {
        let is_first = |id: &TokenId| id.index() < n;
        let joined: FxHashSet<usize> = self.merges.iter().map(|[.., joined]| joined.index()).collect();
        if !(n..self.tokens.len()).all(|id| joined.contains(&id)) || n > self.tokens.len() {
            return None;
        }
        let merges = self.merges.iter().filter(|merge| merge.iter().all(is_first));
        let merges = merges.map(|[left, right, _]| [self.text(*left), self.text(*right)]);
        Self::new(self.tokens.iter().take(n).collect(), merges, self.specials.clone(), self.unknown).ok()
    }

    /// The special tokens, the 256 bytes, and nothing joined.
    pub(crate) fn bytes_only() -> Self {
        let specials = [END_OF_TEXT, PAD].map(String::from);
        let tokens = specials.into_iter().chain(letters().into_iter().map(String::from)).collect();
        Self { tokens, merges: Vec::new(), specials: vec![TokenId(0), TokenId(1)], unknown: None }
    }

    /// The special tokens that are spelled as ours; eos fills batches where there is no other to do it.
    ///
    /// # Errors
    ///
    /// If there is no `<|endoftext|>`.
    pub(crate) fn special_ids(&self) -> Result<SpecialIds> {
        let special = |text: &str| self.specials.iter().find(|id| self.text(**id) == text).map(|id| id.0);
        let eos = special(END_OF_TEXT).ok_or(TokenizerError::NoEndOfText)?;
        Ok(SpecialIds { bos: eos, eos, pad: special(PAD).unwrap_or(eos) })
    }

    /// # Errors
    ///
    /// If one of these ids is not of a token that stands for no text.
    pub(crate) fn check_special_ids(&self, ids: SpecialIds) -> Result<()> {
        let SpecialIds { bos, eos, pad } = ids;
        match [("bos", bos), ("eos", eos), ("pad", pad)]
            .into_iter()
            .find(|(_, id)| !self.specials.contains(&TokenId(*id)))
        {
            Some((role, id)) => Err(TokenizerError::NotSpecial { role, id }),
            None => Ok(()),
        }
    }

    /// Spelling of a token of the vocabulary.
    pub(crate) fn text(&self, id: TokenId) -> &str {
        as_text(self.tokens.get(id.index()).expect("ids of parts are those of their tokens"))
    }

    /// Spellings of all tokens, in order.
    pub(crate) fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tokens.iter().map(as_text)
    }

    /// The merges as spellings.
    pub(crate) fn merge_texts(&self) -> impl Iterator<Item = [&str; 2]> {
        self.merges.iter().map(|[left, right, _]| [self.text(*left), self.text(*right)])
    }

    /// The bytes that each token stands for.
    ///
    /// # Errors
    ///
    /// If a token is spelled with other letters than those of the bytes.
    pub(crate) fn token_bytes(&self) -> Result<Texts> {
        let alphabet = Letters::new();
        let specials: FxHashSet<_> = self.specials.iter().copied().collect();
        let spelled = |(id, token): (u32, &str)| match specials.contains(&TokenId(id)) {
            true => Ok(Vec::new()),
            false => alphabet
                .bytes_of(token)
                .ok_or_else(|| TokenizerError::Vocabulary(VocabularyProblem::Letters { id, token: token.into() })),
        };
        (0..).zip(self.texts()).map(spelled).collect()
    }

    /// The encoder; `texts` are the [`token_bytes`](Self::token_bytes).
    pub(crate) fn encoder(&self, texts: Texts) -> Encoder {
        let encoder = Encoder::new(texts, self.merges.iter().copied(), self.unknown);
        encoder.expect("every byte has a token or an unknown one in its place, as was checked")
    }
}

fn as_text(spelling: &[u8]) -> &str {
    str::from_utf8(spelling).expect("spellings were strings")
}
