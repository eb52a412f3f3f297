//! Text in, text and scores out.

use std::fs;

use itera_runtime::{
    Batch, Completion, Evaluation, FinishReason, Model, RuntimeError, Sampler, SamplingConfig, Text, Windows,
};
use itera_shape::{ModelConfig, SpecialIds};
use itera_testkit::assert_close;
use itera_tokenizer::{Alphabet, TokenId, Tokenizer};

use crate::support::{configs, directory, named, random_model, steps, write_both};

fn argmax(logits: &[f32]) -> TokenId {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    TokenId(logits.iter().position(|x| *x == largest).expect("a number") as u32)
}

fn generate(model: &Model, prompt: &[TokenId], max_tokens: usize) -> Vec<TokenId> {
    Text::of_ids(model, prompt).expect("a text").with_max_tokens(max_tokens).collect()
}

/// All that comes of a text, whose pieces must be that.
fn complete(mut text: Text<'_>) -> Completion {
    let mut pieces = String::new();
    while text.next().is_some() {
        pieces.push_str(text.piece());
    }
    assert_eq!(text.next(), None);
    assert_eq!(text.text(), pieces);
    text.into_completion()
}

#[test]
fn a_greedy_text_is_the_most_likely_token_again_and_again() {
    for (name, config) in configs() {
        let model = random_model(&config, 1);
        let mut text = [0, 5, 9].map(TokenId).to_vec();
        for _ in 0..30 {
            let logits = steps(&model, &mut model.new_state(), &text);
            text.push(argmax(&logits[logits.len() - config.vocab_size..]));
        }
        assert_eq!(generate(&model, &text[..3], 30), text[3..], "{name}");
        assert!(generate(&model, &text[..3], 0).is_empty(), "{name}");
    }
}

fn short() -> ModelConfig {
    ModelConfig { max_seq_len: 20, ..named("hybrid") }
}

#[test]
fn a_text_ends_with_its_length_its_eos_or_its_context() {
    let model = random_model(&short(), 2);
    let text = |prompt: usize| Text::of_ids(&model, &vec![TokenId(0); prompt]).expect("a text");
    let ends = |mut text: Text<'_>| (text.by_ref().count(), text.finish_reason(), text.state().position());
    assert_eq!(ends(text(5).with_max_tokens(0)), (0, Some(FinishReason::Length), 0));
    assert_eq!(ends(text(5).with_max_tokens(7)), (7, Some(FinishReason::Length), 11));
    // the last token needs no position
    assert_eq!(ends(text(5)), (16, Some(FinishReason::Context), 20));
    assert_eq!(ends(text(5).with_max_tokens(usize::MAX)), (16, Some(FinishReason::Context), 20));
    assert_eq!(ends(text(5).with_max_tokens(16)), (16, Some(FinishReason::Length), 20));
    assert_eq!(ends(text(20)), (1, Some(FinishReason::Context), 20));
    let third = text(5).nth(2).expect("a third token");
    let first = text(5).position(|id| id == third).expect("it is there");
    assert_eq!(ends(text(5).with_eos(third)), (first + 1, Some(FinishReason::Eos), 5 + first));

    let endless = random_model(&ModelConfig { attention_layers: vec![], ..short() }, 2);
    let beyond = Text::of_ids(&endless, &[TokenId(0)]).expect("a text").take(100).count();
    assert_eq!(beyond, 100, "without attention there is no end");
}

#[test]
fn what_cannot_be_continued_is_an_error_at_once() {
    let model = random_model(&short(), 2);
    let foreign = random_model(&named("all mamba"), 2);
    let error = |state, ids: &[TokenId]| Text::continuing(&model, state, ids).expect_err("refused");
    assert!(matches!(error(model.new_state(), &[]), RuntimeError::EmptyPrompt));
    assert!(matches!(error(model.new_state(), &[TokenId(258)]), RuntimeError::Token { token: TokenId(258), .. }));
    assert!(matches!(error(foreign.new_state(), &[TokenId(0)]), RuntimeError::ForeignState));
    assert!(matches!(error(model.new_state(), &[TokenId(0); 21]), RuntimeError::ContextFull { len: 21, .. }));
    let mut text = Text::of_ids(&model, &[TokenId(0); 15]).expect("it fits");
    text.by_ref().take(3).for_each(drop);
    assert!(matches!(error(text.into_state(), &[TokenId(0); 4]), RuntimeError::ContextFull { len: 21, .. }));
}

#[test]
fn a_completion_is_the_text_of_its_tokens() {
    let model = random_model(&named("hybrid"), 3);
    let tokenizer = Tokenizer::byte();
    let sampling = SamplingConfig { temperature: 2.0, ..SamplingConfig::default() };
    let text = |index, stops: &[String]| {
        let text = Text::new(&model, &tokenizer, "Once").expect("a text");
        text.with_sampler(Sampler::new(&sampling, index)).with_max_tokens(60).with_stops(stops)
    };
    let (mut stopped, mut ended) = (0, 0);
    for index in 0..20 {
        let whole = complete(text(index, &[]));
        assert_eq!(whole.text, tokenizer.decode(&whole.ids));
        let has_eos = whole.ids.last() == Some(&tokenizer.eos());
        assert_eq!(whole.finish_reason, Some(if has_eos { FinishReason::Eos } else { FinishReason::Length }));
        ended += usize::from(has_eos);
        assert_eq!((whole.usage.prompt_tokens, whole.usage.completion_tokens), (5, whole.ids.len()));

        let Some(stop) = whole.text.chars().nth(10).map(String::from) else { continue };
        let cut = complete(text(index, &[String::new(), stop.clone()]));
        assert_eq!(Some(cut.text.as_str()), whole.text.split(&stop).next());
        assert_eq!(cut.finish_reason, Some(FinishReason::Stop));
        stopped += 1;
    }
    assert!(stopped > 10 && ended > 0, "{stopped} texts were long enough, {ended} ended");

    let texts = (0..20).map(|index| text(index, &[])).collect();
    let together = Batch::new(&model).complete(texts);
    assert!(together.iter().zip(0..).all(|(found, index)| *found == complete(text(index, &[]))));

    let no_eos = SamplingConfig { logit_bias: vec![(tokenizer.eos(), f32::NEG_INFINITY)], ..sampling.clone() };
    let endless = |index| complete(text(index, &[]).with_sampler(Sampler::new(&no_eos, index)));
    assert!((0..20).all(|index| endless(index).finish_reason == Some(FinishReason::Length)));
}

#[test]
fn a_completion_is_json_of_common_names() {
    let model = random_model(&short(), 3);
    let text = Text::of_ids(&model, &[TokenId(0); 2]).expect("a text").with_max_tokens(1);
    let running = serde_json::to_value(Text::of_ids(&model, &[TokenId(0); 2]).expect("a text").into_completion());
    assert_eq!(running.expect("JSON").as_object().map(serde_json::Map::len), Some(3));
    let found = serde_json::to_value(complete(text)).expect("JSON");
    let expected = serde_json::json!({
        "text": "",
        "ids": found["ids"],
        "finish_reason": "length",
        "stop_type": "limit",
        "usage": { "prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3 },
    });
    assert_eq!(found, expected);
}

/// The same tokenizer, under other names and with another bos.
fn foreign_tokenizer_json() -> (String, SpecialIds) {
    let json = Tokenizer::byte().to_json().replace("<|endoftext|>", "<|im_end|>").replace("<|pad|>", "<|im_start|>");
    (json, SpecialIds { bos: 1, eos: 0, pad: 0 })
}

#[test]
fn a_file_says_what_begins_and_ends_a_text() {
    let config = &named("hybrid");
    let (json, ids) = foreign_tokenizer_json();
    let tokenizer = Tokenizer::from_json_of_model(json.as_bytes(), ids).expect("a tokenizer");
    let dir = directory();
    for path in write_both(dir.path(), config, ids, &tokenizer) {
        let model = Model::open(&path).expect("opened");
        let tokenizer = model.tokenizer().expect("its tokenizer");
        assert_eq!(tokenizer.special_ids(), ids, "{}", path.display());

        // the text of nothing is what follows bos
        let found = complete(Text::new(&model, &tokenizer, "").expect("a text").with_max_tokens(20));
        let mut expected = generate(&model, &[tokenizer.bos()], 20);
        let end = expected.iter().position(|id| *id == tokenizer.eos()).map_or(expected.len(), |end| end + 1);
        expected.truncate(end);
        assert_eq!(found.ids, expected);

        let text: Vec<TokenId> = [tokenizer.bos()].into_iter().chain(tokenizer.encode("ab")).collect();
        let logits = steps(&model, &mut model.new_state(), &text);
        let targets = text[1..].iter().copied().chain([tokenizer.eos()]);
        let rows = logits.chunks(model.config().vocab_size).zip(targets);
        let nats: f64 = rows.map(|(row, target)| nats(row, target)).sum();
        let found = model.score_documents(&tokenizer, &["ab"], &|| ()).expect("scores");
        assert_close("nats", &[found.score.nats as f32], &[nats as f32], 1e-5);
    }
}

#[test]
fn any_of_several_tokens_that_end_a_text_ends_it() {
    let config = &named("hybrid");
    let tokenizer = Tokenizer::byte();
    let dir = directory();
    let [path, _] = write_both(dir.path(), config, tokenizer.special_ids(), &tokenizer);
    let text = |model: &Model| {
        let text = Text::new(model, &tokenizer, "ab").expect("a text").with_max_tokens(20);
        let completion = complete(text);
        (completion.ids, completion.finish_reason)
    };
    let (ids, reason) = text(&Model::open(&path).expect("opened"));
    assert_eq!((ids.len(), reason), (20, Some(FinishReason::Length)));
    // as `transformers` lists them
    let settings = path.join("generation_config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&settings).expect("read")).expect("JSON");
    json["eos_token_id"] = serde_json::json!([tokenizer.eos().0, ids[2].0]);
    fs::write(&settings, json.to_string()).expect("written");
    let end = ids.iter().position(|id| *id == ids[2]).expect("it is there") + 1;
    assert_eq!(text(&Model::open(&path).expect("opened")), (ids[..end].to_vec(), Some(FinishReason::Eos)));
}

fn nats(logits: &[f32], target: TokenId) -> f64 {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    sum.ln() - f64::from(logits[target.index()])
}

/// A document between what begins and what ends it.
fn ids_of(tokenizer: &Tokenizer, document: &str) -> Vec<TokenId> {
    let eos = [tokenizer.eos()];
    eos.iter().chain(&tokenizer.encode(document)).chain(&eos).copied().collect()
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
            let ids = ids_of(&tokenizer, document);
            let logits = steps(&model, &mut model.new_state(), &ids[..ids.len() - 1]);
            for (logits, target) in logits.chunks(config.vocab_size).zip(&ids[1..]) {
                total += nats(logits, *target);
            }
        }
        let Evaluation { documents: count, score, windows } =
            model.score_documents(&tokenizer, &documents, &|| ()).expect("scores");
        let bytes: usize = documents.iter().map(|document| document.len()).sum();
        assert_eq!((count, windows), (4, None));
        assert_eq!((score.bytes, score.tokens), (bytes as u64, (bytes + documents.len()) as u64), "{name}");
        assert_close(name, &[score.nats as f32], &[total as f32], 1e-5);
        assert_close(name, &[score.bits_per_byte() as f32], &[(total / bytes as f64 / 2f64.ln()) as f32], 1e-5);
    }
}

/// The unknown token is eos too: within a document it is a byte, at the end of one it is eos.
#[test]
fn an_unknown_byte_costs_its_token_and_the_8_bits_that_the_token_does_not_say() {
    let text = ["ab abc bcd. Jack is a dull boy"];
    let tokenizer = Tokenizer::train_bpe_watched(text.into_iter(), 30, Alphabet::Text, &mut |_| {});
    let tokenizer = tokenizer.expect("a tokenizer");
    let config = ModelConfig { vocab_size: tokenizer.vocab_size(), ..named("hybrid") };
    let dir = directory();
    for path in write_both(dir.path(), &config, tokenizer.special_ids(), &tokenizer) {
        let model = Model::open(&path).expect("opened");
        let tokenizer = model.tokenizer().expect("its tokenizer");
        assert_eq!(tokenizer.unknown(), Some(tokenizer.eos()), "{}", path.display());
        let cost = |document: &str| {
            let ids = ids_of(&tokenizer, document);
            let logits = steps(&model, &mut model.new_state(), &ids[..ids.len() - 1]);
            let rows = logits.chunks(config.vocab_size).zip(&ids[1..]);
            rows.map(|(logits, target)| nats(logits, *target)).sum::<f64>()
        };
        for (document, n_unknown) in [("ab abc", 0), ("", 0), ("a Zab", 1), ("Z", 1), ("é b é", 4_u32)] {
            let score = model.score_documents(&tokenizer, &[document], &|| ()).expect("scores").score;
            let expected = cost(document) + f64::from(n_unknown) * 256_f64.ln();
            assert_close(document, &[score.nats as f32], &[expected as f32], 1e-5);
            assert_eq!((score.bytes, score.unknown_bytes), (document.len() as u64, n_unknown.into()), "{document}");
            let json = serde_json::to_value(score).expect("JSON");
            let told = (n_unknown > 0).then(|| serde_json::json!(n_unknown));
            assert_eq!(json.get("unknown_bytes"), told.as_ref(), "{document}");
        }
        let both = model.score_documents(&tokenizer, &["a Zab", "é b é"], &|| ()).expect("scores").score;
        assert_eq!((both.bytes, both.unknown_bytes), (12, 5));
        assert_close("both", &[both.nats as f32], &[(cost("a Zab") + cost("é b é") + 5.0 * 256_f64.ln()) as f32], 1e-5);
    }
}

#[test]
fn documents_longer_than_the_context_are_scored_in_windows() {
    let tokenizer = Tokenizer::byte();
    let text = "All work and no play makes Jack a dull boy. ".repeat(4);
    // the inputs of a document are its bytes and what begins it
    for (context, documents, long, first) in
        [(40, [39, 40, 5, 41], 2, 1), (41, [0, 60, 81, 39], 2, 1), (2, [1, 2, 3, 4], 3, 1), (1, [0, 0, 1, 2], 2, 2)]
    {
        let model = random_model(&ModelConfig { max_seq_len: context, ..short() }, 6);
        let mut total = 0.0;
        for len in documents {
            let ids = ids_of(&tokenizer, &text[..len]);
            let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
            let (mut start, mut scored) = (0, 0);
            while scored < inputs.len() {
                let end = inputs.len().min(start + context);
                let logits = steps(&model, &mut model.new_state(), &inputs[start..end]);
                for (logits, position) in logits.chunks(model.config().vocab_size).zip(start..) {
                    total += if position < scored { 0.0 } else { nats(logits, targets[position]) };
                }
                (start, scored) = (start + (context / 2).max(1), end);
            }
        }
        let texts = documents.map(|len| &text[..len]);
        let found = model.score_documents(&tokenizer, &texts, &|| ()).expect("scores");
        let windows = Windows { documents: long, first, tokens: context, stride: (context / 2).max(1) };
        assert_eq!(found.windows, Some(windows));
        assert_eq!(found.score.tokens, documents.iter().map(|len| *len as u64 + 1).sum::<u64>());
        assert_close("nats", &[found.score.nats as f32], &[total as f32], 1e-5);
    }
    let endless = random_model(&ModelConfig { attention_layers: vec![], max_seq_len: 8, ..short() }, 6);
    let found = endless.score_documents(&tokenizer, &[text.as_str()], &|| ()).expect("a score");
    assert_eq!(found.windows, None, "without attention no document is too long");
}

#[test]
fn a_text_knows_how_likely_its_tokens_were() {
    let model = random_model(&named("hybrid"), 7);
    let v = model.config().vocab_size;
    let ids: Vec<TokenId> = (0..300).map(|at| TokenId(at * 37 % 250)).collect();
    let text = |len: usize, max_tokens: usize| {
        let text = Text::of_ids(&model, &ids[..len]).expect("a text").with_max_tokens(max_tokens);
        text.with_sampler(Sampler::new(&SamplingConfig::default(), len as u64)).with_logprobs(3, true)
    };
    let mut texts: Vec<Text<'_>> = [1, 5, 40, 300].into_iter().flat_map(|len| [text(len, 0), text(len, 4)]).collect();
    let mut batch = Batch::new(&model);
    while batch.step(&mut texts) {}
    for (mut text, len) in texts.into_iter().zip([1, 1, 5, 5, 40, 40, 300, 300]) {
        let found = text.take_logprobs();
        let all = [&ids[..len], text.ids()].concat();
        assert_eq!(text.finish_reason(), Some(FinishReason::Length));
        assert_eq!(found.iter().map(|token| token.id).collect::<Vec<_>>(), all);
        assert_eq!((found[0].logprob, found[0].top.len()), (None, 0), "nothing is before the first");
        let mut expected = vec![];
        let mut state = model.new_state();
        let mut keep = |_: usize, logits: &[f32]| expected.extend_from_slice(logits);
        model.prefill_all(&mut state, &all, &mut model.workspace(), &mut keep).expect("logits");
        for (token, logits) in found[1..].iter().zip(expected.chunks_exact(v)) {
            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let logprob = |id: TokenId| (f64::from(logits[id.index()]) - sum.ln()) as f32;
            assert_close("logprob", &[token.logprob.expect("one")], &[logprob(token.id)], 1e-4);
            assert_eq!(token.top[0].0, argmax(logits));
            let tops: Vec<f32> = token.top.iter().map(|(_, logprob)| *logprob).collect();
            assert_close("top", &tops, &token.top.iter().map(|(id, _)| logprob(*id)).collect::<Vec<_>>(), 1e-4);
            assert!(tops.len() == 3 && tops.is_sorted_by(|a, b| a >= b), "{tops:?}");
        }
        assert!(text.take_logprobs().is_empty(), "each is told once");
    }
    let mut chosen = Text::of_ids(&model, &ids[..5]).expect("a text").with_max_tokens(4).with_logprobs(0, false);
    chosen.by_ref().for_each(drop);
    assert_eq!(chosen.take_logprobs().len(), 4, "of those chosen alone");
}
