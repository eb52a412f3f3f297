//! What a model from a hostile file must do once it is open: whatever its numbers are, it runs.

use itera_runtime::Model;
use itera_tokenizer::TokenId;

/// A few tokens in both forms, and a text through its tokenizer if it has one.
///
/// # Panics
/// If it cannot, or the text comes back as another.
pub fn run(model: Model) {
    let (mut state, mut work) = (model.new_state(), model.workspace());
    let room = model.config().max_seq_len.saturating_sub(1).min(9);
    if room > 0 {
        let tokens = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(TokenId);
        model.prefill(&mut state, &tokens[..room], &mut work).expect("tokens of every model");
    }
    let logits = model.step(&mut state, TokenId(0), &mut work).expect("a token of every model");
    assert_eq!(logits.len(), model.config().vocab_size);
    if let Ok(tokenizer) = model.tokenizer() {
        assert_eq!(tokenizer.decode(&tokenizer.encode("a cat é")), "a cat é");
    }
}
