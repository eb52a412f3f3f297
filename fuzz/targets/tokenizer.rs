//! `tokenizer.json` → tokenizer → text and back.
#![no_main]

use itera_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(json) else { return };
    let text = String::from_utf8_lossy(&json[..json.len().min(99)]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
    let again = Tokenizer::from_json(tokenizer.to_json().as_bytes()).expect("what is written can be read");
    assert_eq!(again.to_json(), tokenizer.to_json());
});
