//! A vocabulary without the bytes that its text never uses, from training to a small file.

use std::fs;

use serde_json::Value;

use crate::support::{Workplace, borrowed, set};

/// The text has some 60 bytes.
const CHANGES: [&str; 4] =
    ["tokenizer.kind=bpe", "tokenizer.alphabet=text", "model.vocab_size=100", "data.builtin_bytes=50000"];

const RECIPE: &str = r#"
about = "a shorter vocabulary"

[[stage]]
do = "distill"
model = { vocab_size = 80 }
train = { steps = 4, lr = 1e-3, teacher = { weight = 0.5 } }

[[stage]]
do = "quantize"
kind = "q8_0"
"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn train(here: &Workplace, more: &[&str]) -> Vec<String> {
    here.train("run", &set(&[&CHANGES[..], more].concat()))
}

fn trained() -> Workplace {
    let here = Workplace::new();
    here.ok(&borrowed(&train(&here, &[])));
    fs::write(here.path("known.txt"), "Once upon a time there was a cat.").expect("write");
    fs::write(here.path("text.txt"), "Once upon a time there was a 🦊 ~ cat.").expect("write");
    here
}

#[test]
fn a_run_and_its_files_know_which_bytes_they_lack() {
    let here = trained();
    here.ok(&["export", "run", "-o", "run.gguf"]);
    here.ok(&["export", "run", "--format", "hf", "-o", "dir"]);
    here.ok(&["export", "run.gguf", "--format", "hf", "-o", "back"]);
    let tokenizer = |dir: &str| fs::read(here.path(dir).join("tokenizer.json")).expect("a tokenizer");
    assert!(tokenizer("dir") == tokenizer("back"), "the file says all that the directory does");

    let eval = |path, data| json(&here.ok(&["eval", path, "--data", data, "--json"]));
    let bits_per_byte = |found: &Value| found["bits_per_byte"].as_f64().expect("a number");
    let of_run = eval("run", "text.txt");
    assert_eq!((&of_run["unknown_bytes"], &of_run["bytes"]), (&Value::from(5), &Value::from(40)));
    assert_eq!(eval("run", "known.txt").get("unknown_bytes"), None);
    for copy in ["run.gguf", "dir"] {
        let found = eval(copy, "text.txt");
        assert_eq!(found["unknown_bytes"], 5, "{copy}");
        assert!((bits_per_byte(&found) - bits_per_byte(&of_run)).abs() < 1e-5, "{copy}");
    }
    let table = here.ok(&["eval", "run.gguf", "--data", "text.txt"]);
    assert!(table.contains("unknown bytes    5 bytes have no token"), "{table}");

    let said = |path, prompt| {
        let output = here.run(&["generate", path, "-p", prompt, "-n", "3"]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let fox = said("run.gguf", "a 🦊 ~ and ~");
    assert!(fox.contains("no token for 6 bytes of the prompt, of '🦊', '~'\n"), "{fox}");
    assert_eq!(said("dir", "a cat"), "");

    let shown = json(&here.ok(&["inspect", "run.gguf", "--json"]));
    let tokenizer = &shown["model"]["tokenizer"];
    assert_eq!((&tokenizer["tokens"], &tokenizer["unknown"]), (&Value::from(100), &Value::from("<|endoftext|>")));
    assert_eq!(tokenizer["specials"], Value::from(vec!["<|endoftext|>"]));
    let keys = shown["metadata"].as_object().expect("keys");
    assert!(keys.contains_key("tokenizer.ggml.tokens") && !keys.contains_key("tokenizer.ggml.token_type"), "{keys:?}");
}

#[test]
fn a_student_has_the_alphabet_of_the_run_or_its_own() {
    let here = trained();
    let vocabulary = |recipe: &str, out: &str| {
        fs::write(here.path("mine.toml"), recipe).expect("write");
        here.ok(&["compress", "--recipe", "mine.toml", "run", "--data", "text.txt", "-o", out]);
        let artifact = here.path(out).join("run-mine.gguf").to_string_lossy().into_owned();
        let tokenizer = json(&here.ok(&["inspect", &artifact, "--json"]))["model"]["tokenizer"].clone();
        (tokenizer["tokens"].clone(), tokenizer["unknown"].is_string())
    };
    assert_eq!(vocabulary(RECIPE, "shorter"), (80.into(), true));

    let of_bytes = RECIPE.replace("{ vocab_size = 80 }", "{ vocab_size = 300 }\nalphabet = \"bytes\"");
    assert_eq!(vocabulary(&of_bytes.replace(", teacher = { weight = 0.5 }", ""), "bytes"), (300.into(), false));
    fs::write(here.path("mine.toml"), of_bytes).expect("write");
    let stderr = here.fails(1, &["compress", "--recipe", "mine.toml", "run", "--data", "text.txt", "-o", "taught"]);
    assert!(stderr.contains("if its tokens are the first of the other's"), "{stderr}");
}

#[test]
fn a_vocabulary_too_small_for_its_text_is_told_what_it_needs() {
    let here = Workplace::new();
    let stderr = here.fails(1, &borrowed(&train(&here, &["model.vocab_size=20"])));
    assert!(stderr.contains("not 20") && stderr.contains("hint: set model.vocab_size to at least "), "{stderr}");
    let stderr = here.fails(1, &borrowed(&train(&here, &["tokenizer.kind=byte"])));
    assert!(stderr.contains("tokenizer.alphabet"), "{stderr}");
}
