//! An opened model answers to one set of names, with the numbers that its file has.

use itera_fixtures::noise;
use itera_formats::hf::write_model_dir;
use itera_formats::{ModelFile, RotaryPairs, TokenizerSource};
use itera_kernels::quant::{Kind, QuantMatrix, dequantize};
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef};

const SPECIAL: SpecialIds = SpecialIds { bos: 0, eos: 0, pad: 1 };

fn small() -> ModelConfig {
    let base = ModelConfig { vocab_size: 300, d_model: 32, d_state: 4, d_head: 8, n_layers: 3, ..Default::default() };
    ModelConfig { attention_layers: vec![1], n_experts: 3, d_expert: 24, d_shared: 40, ..base }
}

fn numbers(matrix: QuantMatrix<'_>) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; matrix.rows() * matrix.cols()];
    dequantize(matrix.kind(), matrix.bytes(), &mut numbers);
    numbers
}

fn opened(config: &ModelConfig, tensors: &[NamedTensor], kind: Kind) -> ModelFile {
    let dir = tempfile::tempdir().expect("a directory");
    let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    write_model_dir(dir.path(), config, &SPECIAL, &refs, kind).expect("written");
    std::fs::write(dir.path().join("tokenizer.json"), "{}").expect("written");
    let model = ModelFile::open(dir.path()).expect("opened");
    let Ok(TokenizerSource::Json(json)) = model.tokenizer() else { panic!("JSON") };
    assert_eq!(json, b"{}");
    model
}

#[test]
fn a_directory_serves_pieces_of_its_tensors() {
    for (n_experts, tie_embeddings) in [(3, true), (0, false), (1, false)] {
        let config = ModelConfig { n_experts, top_k: 1, tie_embeddings, ..small() };
        let tensors = noise(&config);
        let tensor = |name: &str| tensors.iter().find(|tensor| tensor.name == name).expect("a tensor").data.as_slice();
        let model = opened(&config, &tensors, Kind::F32);
        assert_eq!(
            (model.config(), model.special_ids(), model.rotary_pairs()),
            (&config, SPECIAL, RotaryPairs::Halves)
        );

        let matrix = |name: &str| numbers(model.matrix(name).expect("a matrix"));
        assert_eq!(matrix("head"), tensor(if tie_embeddings { "embed" } else { "head" }));
        assert_eq!(matrix("layers.0.mamba.in_proj"), tensor("layers.0.mamba.in_proj"));
        assert_eq!(matrix("layers.1.attention.k_proj"), tensor("layers.1.attention.k_proj"));
        let (gate, up) = tensor("layers.2.shared.w_in").split_at(config.d_shared * config.d_model);
        assert_eq!((matrix("layers.2.shared.gate"), matrix("layers.2.shared.up")), (gate.to_vec(), up.to_vec()));
        assert_eq!(matrix("layers.2.shared.out"), tensor("layers.2.shared.w_out"));
        for expert in 0..n_experts {
            let size = config.d_expert * config.d_model;
            let (w_in, w_out) = (tensor("layers.1.moe.w_in"), tensor("layers.1.moe.w_out"));
            assert_eq!(matrix(&format!("layers.1.moe.{expert}.gate")), w_in[2 * expert * size..][..size]);
            assert_eq!(matrix(&format!("layers.1.moe.{expert}.up")), w_in[(2 * expert + 1) * size..][..size]);
            assert_eq!(matrix(&format!("layers.1.moe.{expert}.out")), w_out[expert * size..][..size]);
        }

        let vector = |name: &str| model.vector(name).expect("a vector");
        assert_eq!(vector("norm"), tensor("norm"));
        assert_eq!(vector("layers.0.mamba.conv_weight"), tensor("layers.0.mamba.conv_weight"));
        let logs = tensor("layers.0.mamba.a_log");
        assert!(vector("layers.0.mamba.a").iter().zip(logs).all(|(a, log)| (a + log.exp()).abs() < 1e-6));
    }
}

#[test]
fn tensors_in_memory_are_a_model_too() {
    let config = small();
    let tensors = noise(&config);
    let on_disk = opened(&config, &tensors, Kind::F32);
    let reversed: Vec<_> = tensors.iter().rev().map(NamedTensor::as_ref).collect();
    let model = ModelFile::from_tensors(&config, SPECIAL, &reversed).expect("a model");
    for name in ["embed", "layers.0.moe.2.up", "layers.2.mamba.out_proj", "layers.1.shared.gate"] {
        assert_eq!(numbers(model.matrix(name).expect("a matrix")), numbers(on_disk.matrix(name).expect("a matrix")));
    }
    for name in ["norm", "layers.0.mamba.a", "layers.1.moe.router"] {
        assert_eq!(model.vector(name).expect("a vector"), on_disk.vector(name).expect("a vector"), "{name}");
    }
    let error = ModelFile::from_tensors(&config, SPECIAL, &reversed[1..]).expect_err("one is missing").to_string();
    assert!(error.contains("in memory") && error.contains(reversed[0].name), "{error}");
    assert!(model.tokenizer().expect_err("it has none").to_string().contains("tokenizer.json"));
}

#[test]
fn half_the_bytes_are_served_as_they_lie() {
    let config = small();
    let tensors = noise(&config);
    let model = opened(&config, &tensors, Kind::Bf16);
    let embed = model.matrix("embed").expect("a matrix");
    assert_eq!((embed.rows(), embed.cols(), embed.bytes().len()), (300, 32, 300 * 32 * 2));
    assert!(
        numbers(embed).iter().zip(&tensors[0].data).all(|(found, given)| (found - given).abs() <= given.abs() / 256.0)
    );
}

#[test]
fn what_a_model_does_not_have_is_named() {
    let model = opened(&small(), &noise(&small()), Kind::F32);
    for name in ["layers.1.mamba.in_proj", "layers.0.moe.3.gate", "norm", "layers.0.mamba.a_log"] {
        let error = model.matrix(name).expect_err("absent").to_string();
        assert!(error.contains(name), "{error}");
    }
    assert!(model.vector("embed").expect_err("a matrix").to_string().contains("embed"));
}
