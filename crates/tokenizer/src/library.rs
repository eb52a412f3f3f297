//! Parts → a tokenizer of the library that everybody uses: what tests hold this crate to.

use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::parts::Parts;

impl Parts {
    /// The same tokenizer in the library of Hugging Face.
    pub(crate) fn to_library(&self) -> tokenizers::Tokenizer {
        let specials: Vec<_> = self.specials.iter().map(|id| AddedToken::from(self.text(*id), true)).collect();
        let vocab: Vocab = self.texts().map(str::to_owned).zip(0..).collect();
        let merges = self.merge_texts().map(|merge| merge.map(str::to_owned).into()).collect();
        let model = BPE::builder().vocab_and_merges(vocab, merges).build().expect("parts that agree make a model");

        let byte_level = ByteLevel::new(false, false, true);
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        tokenizer.add_special_tokens(&specials);
        tokenizer.set_encode_special_tokens(true);
        tokenizer
    }
}
