//! Parts → a tokenizer of the library that everybody uses: what tests hold this crate to.

use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::parts::Parts;
use crate::token::TokenId;

impl Parts {
    /// `<|endoftext|>`, which stands for every byte.
    pub(crate) fn nothing_but_end_of_text() -> Self {
        let only = TokenId(0);
        Self::new([crate::END_OF_TEXT].into_iter().collect(), std::iter::empty(), vec![only], Some(only))
            .expect("parts")
    }

    /// The same tokenizer in the library of Hugging Face.
    pub(crate) fn to_library(&self) -> tokenizers::Tokenizer {
        let specials: Vec<_> = self.specials.iter().map(|id| AddedToken::from(self.text(*id), true)).collect();
        let vocab: Vocab = self.texts().map(str::to_owned).zip(0..).collect();
        let merges = self.merge_texts().map(|merge| merge.map(str::to_owned).into()).collect();
        let mut model = BPE::builder().vocab_and_merges(vocab, merges);
        if let Some(unknown) = self.unknown {
            model = model.unk_token(self.text(unknown).to_owned());
        }
        let model = model.build().expect("parts that agree make a model");

        let byte_level = ByteLevel::new(false, false, true);
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        tokenizer.add_special_tokens(&specials);
        tokenizer.set_encode_special_tokens(true);
        tokenizer
    }
}
