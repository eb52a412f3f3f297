//! `tokenizer.json` → tokenizer → text and back.
#![no_main]

use itera_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(json) else { return };
    let text = String::from_utf8_lossy(&json[..json.len().min(99)]);
    let ids = tokenizer.encode(&text);
    let n_unknown = ids.iter().filter(|id| Some(**id) == tokenizer.unknown()).count();
    assert_eq!(tokenizer.decode_bytes(&ids).len() + n_unknown, text.len());
    assert!(n_unknown > 0 || tokenizer.decode(&ids) == text);
    let again = Tokenizer::from_json(tokenizer.to_json().as_bytes()).expect("what is written can be read");
    assert_eq!(again.to_json(), tokenizer.to_json());
});
