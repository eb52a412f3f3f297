//! Text in, text and scores out.

use itera_runtime::{CompletionConfig, Continuation, Finish, Model, Sampler, SamplingConfig};
use itera_shape::SpecialIds;
use itera_testkit::assert_close;
use itera_tokenizer::{TokenId, Tokenizer};

use crate::support::{configs, random_model, steps, write_both};

fn greedy() -> Sampler {
    Sampler::likeliest(vec![])
}

fn argmax(logits: &[f32]) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|x| *x == largest).expect("a number") as u32
}

fn generate(model: &Model, prompt: &[u32], max_tokens: usize) -> Vec<u32> {
    let mut work = model.workspace();
    let more = |_| Continuation::More;
    model.generate(&mut model.new_state(), prompt, max_tokens, &mut greedy(), &mut work, more).expect("a text")
}

#[test]
fn a_greedy_text_is_the_most_likely_token_again_and_again() {
    for (name, config) in configs() {
        let model = random_model(&config, 1);
        let mut text = vec![0, 5, 9];
        for _ in 0..30 {
            let logits = steps(&model, &mut model.new_state(), &text);
            text.push(argmax(&logits[logits.len() - config.vocab_size..]));
        }
        assert_eq!(generate(&model, &text[..3], 30), text[3..], "{name}");
        assert!(generate(&model, &text[..3], 0).is_empty(), "{name}");
    }
}

#[test]
fn a_text_ends_with_its_callback_or_its_context() {
    let (_, mut config) = configs()[1].clone();
    config.max_seq_len = 20;
    let model = random_model(&config, 2);
    for max_tokens in [100, usize::MAX] {
        assert_eq!(generate(&model, &[0; 5], max_tokens).len(), 16, "the last token needs no position");
    }
    let mut left = 7;
    let count = |_| {
        left -= 1;
        if left == 0 { Continuation::Done } else { Continuation::More }
    };
    let (mut state, mut work) = (model.new_state(), model.workspace());
    let ids = model.generate(&mut state, &[0; 5], 100, &mut greedy(), &mut work, count).expect("a text");
    assert_eq!((ids.len(), state.position()), (7, 11));
}

#[test]
fn a_completion_is_the_text_of_its_tokens() {
    let model = random_model(&configs()[1].1, 3);
    let tokenizer = Tokenizer::byte();
    let mut work = model.workspace();
    let sampling = SamplingConfig { temperature: 2.0, ..SamplingConfig::default() };
    let mut complete = |config: &CompletionConfig, index| {
        let mut pieces = String::new();
        let mut sampler = Sampler::new(&sampling, index);
        let each = |piece: &str| {
            assert!(!piece.is_empty());
            pieces.push_str(piece);
            Continuation::More
        };
        let completion = model.complete(&tokenizer, "Once", config, &mut sampler, &mut work, each).expect("a text");
        assert_eq!(completion.text, pieces);
        completion
    };
    let mut stopped = 0;
    for index in 0..20 {
        let whole = complete(&CompletionConfig { max_tokens: 60, stop: vec![] }, index);
        let ids: Vec<TokenId> = whole.ids.iter().copied().map(TokenId).collect();
        assert_eq!(whole.text, tokenizer.decode(&ids));
        assert_eq!(whole.finish == Finish::Stop, whole.ids.last() == Some(&tokenizer.eos().0));

        let Some(stop) = whole.text.chars().nth(10).map(String::from) else { continue };
        let cut = complete(&CompletionConfig { max_tokens: 60, stop: vec![stop.clone()] }, index);
        assert_eq!(Some(cut.text.as_str()), whole.text.split(&stop).next());
        assert_eq!(cut.finish, Finish::Stop);
        stopped += 1;
    }
    assert!(stopped > 10, "{stopped} texts were long enough");
}

/// The same tokenizer, under other names and with another bos.
fn foreign_tokenizer_json() -> (String, SpecialIds) {
    let json = Tokenizer::byte().to_json().replace("<|endoftext|>", "<|im_end|>").replace("<|pad|>", "<|im_start|>");
    (json, SpecialIds { bos: 1, eos: 0, pad: 0 })
}

#[test]
fn a_file_says_what_begins_and_ends_a_text() {
    let (_, config) = &configs()[1];
    let (json, ids) = foreign_tokenizer_json();
    let tokenizer = Tokenizer::from_json_of_model(json.as_bytes(), ids).expect("a tokenizer");
    let dir = tempfile::tempdir().expect("a directory");
    for path in write_both(dir.path(), config, ids, &tokenizer) {
        let model = Model::open(&path).expect("opened");
        let tokenizer = model.tokenizer().expect("its tokenizer");
        assert_eq!(tokenizer.special_ids(), ids, "{}", path.display());

        // the text of nothing is what follows bos
        let config = CompletionConfig { max_tokens: 20, stop: vec![] };
        let mut work = model.workspace();
        let none = |_: &str| Continuation::More;
        let found = model.complete(&tokenizer, "", &config, &mut greedy(), &mut work, none).expect("a text");
        let mut expected = generate(&model, &[ids.bos], 20);
        let end = expected.iter().position(|id| *id == ids.eos).map_or(expected.len(), |end| end + 1);
        expected.truncate(end);
        assert_eq!(found.ids, expected);

        let text: Vec<u32> = [ids.bos].into_iter().chain(tokenizer.encode("ab").iter().map(|id| id.0)).collect();
        let logits = steps(&model, &mut model.new_state(), &text);
        let rows = logits.chunks(model.config().vocab_size).zip(text[1..].iter().chain([&ids.eos]));
        let nats: f64 = rows.map(|(row, target)| nats(row, *target)).sum();
        let score = model.score_documents(&tokenizer, &["ab"], &|| ()).expect("scores");
        assert_close("nats", &[score.nats as f32], &[nats as f32], 1e-5);
    }
}

fn nats(logits: &[f32], target: u32) -> f64 {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    sum.ln() - f64::from(logits[target as usize])
}

#[test]
fn documents_cost_the_nats_of_their_tokens_and_eos() {
    let tokenizer = Tokenizer::byte();
    let long = "All work and no play. ".repeat(20);
    let documents = ["", "a", "Some text.", long.as_str()];
    for (name, config) in configs() {
        let model = random_model(&config, 4);
        let mut total = 0.0;
        for document in documents {
            let eos = [tokenizer.eos()];
            let ids: Vec<u32> = eos.iter().chain(&tokenizer.encode(document)).chain(&eos).map(|id| id.0).collect();
            let logits = steps(&model, &mut model.new_state(), &ids[..ids.len() - 1]);
            for (logits, target) in logits.chunks(config.vocab_size).zip(&ids[1..]) {
                total += nats(logits, *target);
            }
        }
        let score = model.score_documents(&tokenizer, &documents, &|| ()).expect("scores");
        let bytes: usize = documents.iter().map(|document| document.len()).sum();
        assert_eq!((score.bytes, score.tokens), (bytes as u64, (bytes + documents.len()) as u64), "{name}");
        assert_close(name, &[score.nats as f32], &[total as f32], 1e-5);
        assert_close(name, &[score.bits_per_byte() as f32], &[(total / bytes as f64 / 2f64.ln()) as f32], 1e-5);
    }
}
