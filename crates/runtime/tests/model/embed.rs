//! Vectors of texts, and how much likelier one is behind another.

use itera_kernels::decode::nats;
use itera_runtime::{Embedding, Model, OpenOptions, Pooling, RuntimeError};
use itera_tokenizer::{TokenId, Tokenizer};

use crate::support::{configs, named, random_model};

fn tokens(n: usize) -> Vec<TokenId> {
    (0..n).map(|i| TokenId((i * 37 % 200) as u32)).collect()
}

fn vector(model: &Model, tokens: &[TokenId], pooling: Pooling) -> Vec<f32> {
    model.embed(tokens, pooling, &mut model.workspace()).expect("a vector")
}

#[test]
fn a_vector_is_the_mean_or_the_end_of_what_prefixes_end_with() {
    for (name, config) in configs() {
        let model = random_model(&config, 3);
        let tokens = tokens(21);
        // of length 1 each: the directions of all prefixes, and of their mean
        let last = vector(&model, &tokens, Pooling::Last);
        let length = |vector: &[f32]| vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((length(&last) - 1.0).abs() < 1e-6, "{name}");
        assert_eq!(vector(&model, &tokens[..1], Pooling::Last), vector(&model, &tokens[..1], Pooling::Mean), "{name}");
        let first = vector(&model, &tokens, Pooling::First);
        let alone = vector(&model, &tokens[..1], Pooling::Last);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near(&first, &alone) && !near(&last, &alone), "{name}");
        // however many tokens are read at once
        for pooling in [Pooling::Mean, Pooling::First, Pooling::Last] {
            let whole = vector(&model, &tokens, pooling);
            for ubatch_size in [1, 8] {
                let options = OpenOptions { ubatch_size, ..OpenOptions::default() };
                let pieces = vector(&random_model(&config, 3).with_options(&options), &tokens, pooling);
                assert!(near(&pieces, &whole), "{name} {pooling:?} by {ubatch_size}");
            }
        }
        assert!(!near(&vector(&model, &tokens, Pooling::Mean), &last), "{name}");
        let mut work = model.workspace();
        assert!(matches!(model.embed(&[], Pooling::Mean, &mut work), Err(RuntimeError::EmptyPrompt)), "{name}");
    }
}

#[test]
fn vectors_made_in_turns_have_the_bits_of_each_alone() {
    for (name, config) in configs() {
        let options = OpenOptions { ubatch_size: 8, ..OpenOptions::default() };
        let model = random_model(&config, 3).with_options(&options);
        for pooling in [Pooling::Mean, Pooling::First, Pooling::Last] {
            let texts = [1, 7, 8, 15, 16, 45].map(tokens);
            let mut work = model.workspace();
            let begin = |text: &Vec<TokenId>| Embedding::new(&model, text.clone(), pooling).expect("it fits");
            let mut under_way: Vec<Embedding<'_>> = texts.iter().map(begin).collect();
            let mut vectors = vec![None; texts.len()];
            let mut read = vec![0; texts.len()];
            while vectors.iter().any(Option::is_none) {
                for (index, embedding) in under_way.iter_mut().enumerate() {
                    let len = embedding.next_len();
                    assert!(len < 16, "{name}: {len} tokens at a step");
                    read[index] += len;
                    // one that is done says the same again
                    vectors[index] = embedding.step(&mut work);
                }
            }
            for ((text, vector), read) in texts.iter().zip(vectors).zip(read) {
                assert_eq!(read, text.len(), "{name}");
                assert_eq!(vector.as_ref(), Some(&self::vector(&model, text, pooling)), "{name} {pooling:?} {read}");
            }
        }
        let foreign = vec![TokenId(config.vocab_size as u32)];
        assert!(matches!(Embedding::new(&model, foreign, Pooling::Mean), Err(RuntimeError::Token { .. })), "{name}");
    }
}

/// Nats of all tokens but the first, each given those before.
fn cost(model: &Model, tokens: &[TokenId]) -> f64 {
    let (mut sum, v) = (0.0, model.config().vocab_size);
    let last = tokens.len() - 1;
    if last == 0 {
        return sum;
    }
    model
        .prefill_all(&mut model.new_state(), &tokens[..last], &mut model.workspace(), |at, logits| {
            for (logits, target) in logits.chunks_exact(v).zip(&tokens[at + 1..]) {
                sum += nats(logits, target.index());
            }
        })
        .expect("scored");
    sum
}

#[test]
fn a_ratio_is_what_the_query_saves_of_the_cost_of_a_text() {
    let tokenizer = Tokenizer::byte();
    let model = random_model(&named("hybrid"), 5);
    let (query, texts) = ("Once upon a time", ["there was a cat.", "x", "", " and then, for a long while, nothing"]);
    let ratios = model.likelihood_ratios(&tokenizer, query, &texts).expect("scored");
    let with_bos = |text: &str| [&[tokenizer.bos()][..], &tokenizer.encode(text)].concat();
    for (text, ratio) in texts.iter().zip(&ratios) {
        let both = [with_bos(query), tokenizer.encode(text)].concat();
        let expected = cost(&model, &with_bos(text)) - (cost(&model, &both) - cost(&model, &with_bos(query)));
        assert!((ratio - expected).abs() < 1e-3, "{text:?}: {ratio}, not {expected}");
    }
    assert_eq!(ratios[2], 0.0);
    assert!(ratios[0].abs() > 1e-3);
}
