//! Bytes → model → its weights and its tokenizer.
#![no_main]

use itera_formats::{ModelFile, TokenizerSource};
use itera_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(model) = ModelFile::from_gguf(file.to_vec()) else { return };
    let embed = model.matrix("embed").expect("every model has an embedding");
    assert_eq!((embed.rows(), embed.cols()), (model.config().vocab_size, model.config().d_model));
    assert_eq!(model.vector("norm").map(<[f32]>::len).ok(), Some(model.config().d_model));
    if let Ok(TokenizerSource::Vocabulary(vocabulary)) = model.tokenizer() {
        let made = Tokenizer::from_parts(&vocabulary.tokens, &vocabulary.merges, &vocabulary.specials, model.special_ids());
        if let Ok(tokenizer) = made {
            assert_eq!(tokenizer.decode(&tokenizer.encode("a cat é")), "a cat é");
        }
    }
});
