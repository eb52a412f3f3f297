//! The tokenizer in memory: encode, decode, and what each token stands for.

use std::fmt;

use itera_files::Sha256Digest;
use itera_shape::SpecialIds;
use rayon::prelude::*;

use crate::Result;
use crate::encoder::Encoder;
use crate::parts::Parts;
use crate::token::TokenId;
use crate::words::{PIECE_LEN, pieces};

/// A byte-level BPE tokenizer. Any UTF-8 text round-trips, but for its [unknown bytes](Self::unknown):
/// `decode(encode(text)) == text`.
///
/// Shared between threads by reference; encoding takes no lock, and cuts a long text up among the threads.
#[derive(Clone)]
pub struct Tokenizer {
    parts: Parts,
    encoder: Encoder,
    special_ids: SpecialIds,
}

impl Tokenizer {
    /// The tokenizer that needs no training: ids 0 and 1 are `<|endoftext|>` and `<|pad|>`, and
    /// byte `n` has id `n + 2`.
    pub fn byte() -> Self {
        Self::of_parts(Parts::bytes_only(), None).expect("256 bytes and two special tokens make a tokenizer")
    }

    /// The tokenizer of these tokens, spelled in the letters of the GPT-2 alphabet and in order of their ids, these pairs
    /// to join, the most eager first, these ids of tokens that stand for no text, which of them stands in the place of bytes
    /// that have no token (without effect where all have one), and which of them begin and end documents.
    ///
    /// # Errors
    ///
    /// For the reasons of [`Self::from_json_of_model`].
    pub fn from_parts(
        tokens: &[&str],
        merges: &[[&str; 2]],
        specials: &[u32],
        unknown: Option<u32>,
        special_ids: SpecialIds,
    ) -> Result<Self> {
        let specials = specials.iter().copied().map(TokenId).collect();
        let parts = Parts::new(tokens.iter().collect(), merges.iter().copied(), specials, unknown.map(TokenId))?;
        Self::of_parts(parts, Some(special_ids))
    }

    /// Without `special_ids`, those that are spelled as ours.
    pub(crate) fn of_parts(parts: Parts, special_ids: Option<SpecialIds>) -> Result<Self> {
        let special_ids = match special_ids {
            Some(ids) => parts.check_special_ids(ids).map(|()| ids)?,
            None => parts.special_ids()?,
        };
        let encoder = parts.encoder(parts.token_bytes()?);
        Ok(Self { parts, encoder, special_ids })
    }

    /// The tokens of a text, in order. Nothing is added at either end.
    ///
    /// The text of a special token is ordinary text here: its pieces are encoded, never its id.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        if text.len() <= PIECE_LEN {
            return self.encoder.encode(text);
        }
        let pieces: Vec<&str> = pieces(text, PIECE_LEN).collect();
        pieces.into_par_iter().flat_map_iter(|piece| self.encoder.encode(piece)).collect()
    }

    /// The text of the tokens. Special tokens, and ids outside the vocabulary, stand for nothing; UTF-8 that was cut
    /// within a character becomes U+FFFD.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }

    /// The bytes of the tokens, one token after the other.
    pub fn decode_bytes(&self, ids: &[TokenId]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect()
    }

    /// Bytes of text that a token stands for: 0 for special tokens and for ids outside the vocabulary.
    ///
    /// Over the tokens of a text the sum, and one more for each [unknown](Self::unknown) byte, is the length of the text,
    /// which makes bits per byte exact.
    pub fn token_bytes(&self, id: TokenId) -> usize {
        self.bytes_of(id).len()
    }

    pub(crate) fn bytes_of(&self, id: TokenId) -> &[u8] {
        self.encoder.texts().get(id.index()).unwrap_or_default()
    }

    /// Number of tokens; ids are `0..vocab_size`.
    pub fn vocab_size(&self) -> usize {
        self.encoder.texts().len()
    }

    /// The token before the first of a document; of tokenizers trained here, the one that ended the document before it.
    pub fn bos(&self) -> TokenId {
        TokenId(self.special_ids.bos)
    }

    /// The token that ends a document.
    pub fn eos(&self) -> TokenId {
        TokenId(self.special_ids.eos)
    }

    /// The token that fills a batch; eos where a loaded tokenizer has none of its own.
    pub fn pad(&self) -> TokenId {
        TokenId(self.special_ids.pad)
    }

    /// The token that stands in the place of each byte that has no token of its own; `None` where every byte has one.
    ///
    /// [`Self::encode`] gives no other special token, so wherever it gives this one, one byte of the text is lost.
    pub fn unknown(&self) -> Option<TokenId> {
        self.parts.unknown
    }

    /// The characters of a text that have a byte without a token, each once, in the order of their first appearance, and
    /// how many such bytes the whole text has.
    pub fn unknown_in(&self, text: &str) -> (Vec<char>, usize) {
        let Some(unknown) = self.unknown() else { return (vec![], 0) };
        let (mut characters, mut n_bytes) = (vec![], 0);
        for (at, character) in text.char_indices() {
            let bytes = &text.as_bytes()[at..at + character.len_utf8()];
            let n_unknown = bytes.iter().filter(|byte| self.encoder.byte(**byte) == unknown).count();
            if n_unknown > 0 && !characters.contains(&character) {
                characters.push(character);
            }
            n_bytes += n_unknown;
        }
        (characters, n_bytes)
    }

    /// The ids of bos, eos and pad.
    pub fn special_ids(&self) -> SpecialIds {
        self.special_ids
    }

    /// The `tokenizer.json` of this tokenizer, on one line. Equal tokenizers give equal bytes.
    pub fn to_json(&self) -> String {
        self.parts.to_json().to_string()
    }

    /// SHA-256 of [`Self::to_json`] in hexadecimal: two tokenizers with the same one are interchangeable.
    pub fn fingerprint(&self) -> String {
        Sha256Digest::of(self.to_json().as_bytes()).to_string()
    }

    /// The tokenizer of the first `n` entries; of one that was trained, what training for `n` entries gives. `None` if there
    /// are fewer, or a special token or a single byte is not among them.
    pub fn first_entries(&self, n: usize) -> Option<Self> {
        let parts = self.parts.first(n)?;
        Self::of_parts(parts, Some(self.special_ids())).ok()
    }

    /// Whether the tokens and merges of `first` are the first ones of this tokenizer, so that a text in its tokens is one
    /// that [`Self::join`] has not ended on yet.
    pub fn begins_with(&self, first: &Self) -> bool {
        self.specials() == first.specials()
            && self.unknown() == first.unknown()
            && self.spellings().take(first.vocab_size()).eq(first.spellings())
            && self.merges().take(first.merges().count()).eq(first.merges())
    }

    /// What tokens of a tokenizer that this one [begins with](Self::begins_with) are joined to, and how many of them each
    /// is made of.
    pub fn join(&self, ids: &[TokenId]) -> Vec<(TokenId, usize)> {
        self.encoder.join(ids)
    }

    /// The token of this tokenizer that the text of token `id` of `other` begins with; for special tokens `id` itself.
    pub fn first_of(&self, other: &Self, id: TokenId) -> TokenId {
        self.encoder.first_of(other.bytes_of(id)).unwrap_or(id)
    }

    /// Spelling of each token in order of its id, in the letters of the GPT-2 alphabet; special tokens as plain text.
    pub fn spellings(&self) -> impl ExactSizeIterator<Item = &str> {
        self.parts.texts()
    }

    /// Pairs of spellings to join, the first the most eager.
    pub fn merges(&self) -> impl Iterator<Item = [&str; 2]> {
        self.parts.merge_texts()
    }

    /// Tokens that stand for no text.
    pub fn specials(&self) -> &[TokenId] {
        &self.parts.specials
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special_ids", &self.special_ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Alphabet;

    /// The byte tokenizer, one of English, and one of many ties.
    fn tokenizers() -> [Tokenizer; 3] {
        let english = "the quick brown fox jumps over the lazy dog; the fox's dogs don't, the dog's foxes 12 12345 été";
        let ties = "aaaa aaab aabb abab baba bbaa ab ba aaaaaaa bbb";
        let trained = |text, vocab_size| Tokenizer::train_bpe([text].into_iter(), vocab_size).expect("a tokenizer");
        [Tokenizer::byte(), trained(english, 340), trained(ties, 280)]
    }

    /// One of English, whose bytes alone have tokens.
    fn of_its_text() -> Tokenizer {
        let english = "the quick brown fox jumps over the lazy dog; the fox's dogs don't, the dog's foxes 12 12345 été";
        let trained = Tokenizer::train_bpe_watched([english].into_iter(), 100, Alphabet::Text, &mut |_| {});
        trained.expect("a tokenizer")
    }

    #[test]
    fn files_are_those_of_the_library_to_the_byte() {
        for tokenizer in tokenizers().into_iter().chain([of_its_text()]) {
            assert_eq!(tokenizer.to_json(), tokenizer.parts.to_library().to_string(false).expect("JSON"));
        }
    }

    /// The ids by the library.
    fn theirs(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
        let library = tokenizer.parts.to_library();
        let encoding = library.encode_fast(text, false).expect("any text has tokens");
        encoding.get_ids().iter().copied().map(TokenId).collect()
    }

    proptest! {
        #[test]
        fn ids_are_those_of_the_library(
            text in "([a-e ]{0,20}|the (fox|dog)('s|'ll|'S)?|[ab]{1,40}|\\s{1,4}|[0-9é²½]{1,5}|\\PC{0,6}|<\\|endoftext\\|>){0,8}"
        ) {
            for tokenizer in tokenizers().into_iter().chain([of_its_text()]) {
                prop_assert_eq!(tokenizer.encode(&text), theirs(&tokenizer, &text));
            }
        }
    }

    #[test]
    fn unknown_bytes_are_counted_and_their_characters_named_once() {
        let tokenizer = of_its_text();
        assert_eq!(tokenizer.unknown(), Some(tokenizer.eos()));
        // é is known, à has its first byte and another second one, the others have none
        let text = "été à Zed à 🦊!";
        let (characters, n_bytes) = tokenizer.unknown_in(text);
        assert_eq!((&characters[..], n_bytes), (&['à', 'Z', '🦊', '!'][..], 1 + 1 + 1 + 4 + 1));
        let ids = tokenizer.encode(text);
        assert_eq!(ids.iter().filter(|id| **id == tokenizer.eos()).count(), n_bytes);
        assert_eq!(ids.iter().map(|id| tokenizer.token_bytes(*id)).sum::<usize>() + n_bytes, text.len());
        assert_eq!(tokenizer.decode(&tokenizer.encode("Zthe lazyZ dog")), "the lazy dog");
        assert_eq!(tokenizer.unknown_in("the lazy dog"), (vec![], 0));
        assert_eq!((Tokenizer::byte().unknown(), Tokenizer::byte().unknown_in(text)), (None, (vec![], 0)));
    }

    #[test]
    fn a_text_in_the_first_tokens_of_a_tokenizer_is_joined_to_its_own() {
        let text = "the quick brown fox jumps over the lazy dog; the fox's dogs don't, the dog's foxes 12 12345 été ";
        let trained = |vocab_size| Tokenizer::train_bpe([text].into_iter(), vocab_size).expect("a tokenizer");
        let (whole, short) = (trained(320), trained(258));
        for first in [&short, &trained(290), &whole] {
            assert!(whole.begins_with(first), "{first:?}");
            let ids = first.encode(text);
            let joined = whole.join(&ids);
            assert_eq!(joined.iter().map(|(id, _)| *id).collect::<Vec<_>>(), whole.encode(text), "{first:?}");
            let mut rest = &ids[..];
            for (id, parts) in joined {
                let made_of;
                (made_of, rest) = rest.split_at(parts);
                assert_eq!(first.decode(made_of), whole.decode(&[id]), "{first:?}");
                assert_eq!(first.first_of(&whole, id), made_of[0], "{first:?}");
            }
            assert!(rest.is_empty(), "{first:?}");
        }
        assert_eq!(short.first_of(&whole, whole.eos()), short.eos());
        assert_eq!(whole.join(&[short.eos(); 2]), [(whole.eos(), 1); 2]);
        let other = Tokenizer::train_bpe(["aaaa aaab aabb abab"].into_iter(), 262).expect("a tokenizer");
        assert!(!whole.begins_with(&other) && !trained(290).begins_with(&whole));
    }

    #[test]
    fn long_texts_and_long_words_have_the_ids_of_the_library() {
        let words = "the fox  jumps\n\tover the lazy dog. ".repeat(4 * PIECE_LEN / 37);
        for text in
            [words.clone(), words.replace(char::is_whitespace, ""), "ab".repeat(PIECE_LEN), " ".repeat(PIECE_LEN + 1)]
        {
            for tokenizer in tokenizers() {
                assert!(tokenizer.encode(&text) == theirs(&tokenizer, &text), "{:?}…", &text[..20]);
            }
        }
    }

    /// "bc" is joined before "ab", so nothing ever makes the "abc" that the vocabulary has.
    #[test]
    fn a_token_that_no_merge_reaches_is_not_used() {
        let mut json: serde_json::Value = serde_json::from_str(&Tokenizer::byte().to_json()).expect("JSON");
        for (token, id) in [("ab", 258), ("bc", 259), ("abc", 260)] {
            json["model"]["vocab"][token] = id.into();
        }
        json["model"]["merges"] = serde_json::json!([["b", "c"], ["a", "b"], ["ab", "c"]]);
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).expect("a tokenizer");
        assert_eq!(tokenizer.encode("abc"), [TokenId(u32::from(b'a') + 2), TokenId(259)]);
        assert_eq!(tokenizer.encode("abc"), theirs(&tokenizer, "abc"));
    }
}
