//! Labels are shifted exactly once on the way from the corpus to the loss.

use burn::tensor::Device;
use itera_config::{TrainConfig, Windows};
use itera_data::{Sampler, Shard, ShardWriter, stream_batches};
use itera_model::LanguageModel;
use itera_shape::ModelConfig;
use itera_testkit::uniform;
use itera_tokenizer::TokenId;
use itera_trainer::{MicroBatch, losses, validate};

const V: usize = 258;
const D: usize = 64;

/// A model whose layers write nothing, and whose head gives token `y` the embedding of the token `y − shift`: it is
/// certain that `x` is followed by `x + shift`.
fn oracle(shift: usize, device: &Device) -> LanguageModel {
    let config = ModelConfig {
        d_model: D,
        vocab_size: V,
        n_layers: 2,
        attention_layers: vec![1],
        tie_embeddings: false,
        ..ModelConfig::default()
    };
    let embed: Vec<f32> = uniform(V * D, -1.0, 1.0, 1).into_iter().map(f32::signum).collect();
    let row = |token: usize| &embed[token * D..(token + 1) * D];
    let head: Vec<f32> = (0..V).flat_map(|y| row((y + V - shift) % V).iter().map(|x| 10.0 * x)).collect();
    let values = &mut |name: &str, shape: &[usize]| match name {
        "embed" => embed.clone(),
        "head" => head.clone(),
        "norm" => vec![1.0; D],
        _ => vec![0.0; shape.iter().product()],
    };
    LanguageModel::from_tensors(&config, device, values).expect("shapes fit")
}

/// 0, 1, 2, … 257, 0, 1, …
fn counting(dir: &std::path::Path) -> Shard {
    let path = dir.join("counting");
    let mut writer = ShardWriter::new(V, None);
    writer.extend((0..5000u32).map(|i| TokenId(i % V as u32)));
    writer.finish(&path).expect("a shard is written");
    Shard::open(&path).expect("a shard opens")
}

#[test]
fn a_model_that_knows_the_next_token_has_loss_zero_and_one_that_knows_another_has_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let shard = counting(dir.path());
    let sampler = Sampler::new(&shard, TokenId(0), Windows::Stream, 33, 0);
    for shift in [0, 1, 2] {
        let model = oracle(shift, &Device::flex());
        let batch = sampler.batch(3, 4);
        let config = &TrainConfig::default();
        let input = MicroBatch { model: &model, tokens: &batch, config, dropout: None };
        let training = losses(input).nats.into_scalar::<f32>();
        let score = validate(&model, stream_batches(&shard, 0, 4, 33), |_| 1, |_| false).expect("the CPU");
        assert_eq!(score.tokens as usize, shard.len() - 1);
        if shift == 1 {
            assert_eq!((training, score.nats), (0.0, 0.0));
        } else {
            assert!(training > 1.0 && score.nats_per_token() > 1.0, "shift {shift}");
        }
    }
}

/// The model is certain of every token, so what is left is what the unknown token does not say.
#[test]
fn a_byte_without_a_token_costs_8_bits() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("counting");
    let unknown = TokenId(5);
    let mut writer = ShardWriter::new(V, Some(unknown));
    // where the hundreds are even, token 5 is a special token, else a byte
    for hundred in 0..50 {
        let ids = (0..100).map(|i| TokenId((100 * hundred + i) % V as u32));
        if hundred % 2 == 0 { writer.extend(ids) } else { writer.extend_text(ids) }
    }
    writer.finish(&path).expect("a shard is written");
    let shard = Shard::open(&path).expect("a shard opens");
    let n_fives = (0..shard.len()).filter(|at| shard.token(*at) == unknown).count();
    let n_unknown = shard.n_unknown();
    assert!(n_unknown > 5 && n_unknown < n_fives as u64);

    let batches = stream_batches(&shard, 0, 4, 33);
    let token_bytes = |id| usize::from(id != unknown.0.cast_signed());
    let score = validate(&oracle(1, &Device::flex()), batches, token_bytes, |position| shard.is_unknown(position))
        .expect("the CPU");
    assert_eq!(score.unknown_bytes, n_unknown);
    assert_eq!(score.bytes as usize, shard.len() - 1 - n_fives + n_unknown as usize);
    itera_testkit::assert_close("nats", &[score.nats as f32], &[(n_unknown as f64 * 256_f64.ln()) as f32], 1e-6);
}
