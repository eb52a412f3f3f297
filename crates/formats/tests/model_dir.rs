//! A model directory round-trips, holds exactly its three files, and must fit its own configuration.

use std::fs;
use std::path::Path;

use itera_fixtures::noise;
use itera_formats::hf::{read_model_dir, write_model_dir};
use itera_formats::{
    FormatError, Kind, ListedTensor, Listing, MetadataValue, ModelFile, NumberType, read_safetensors, write_safetensors,
};
use itera_shape::{ModelConfig, NamedTensor, PositionEmbedding, SpecialIds, TensorRef};
use itera_testkit::chain;
use tempfile::TempDir;

const SPECIAL: SpecialIds = SpecialIds { bos: 0, eos: 0, pad: 1 };

fn small() -> ModelConfig {
    let base =
        ModelConfig { vocab_size: 300, d_model: 32, d_state: 4, d_head: 8, n_layers: 3, ..ModelConfig::default() };
    ModelConfig { attention_layers: vec![1], d_expert: 24, d_shared: 40, ..base }
}

fn write(dir: &Path, config: &ModelConfig, tensors: &[NamedTensor]) -> itera_formats::Result<()> {
    let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    write_model_dir(dir, config, &SPECIAL, &refs, Kind::F32)
}

/// A directory with the weights of `small()`, changed.
fn changed(change: impl FnOnce(&mut Vec<NamedTensor>)) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), &small(), &noise(&small())).expect("written");
    let weights = dir.path().join("model.safetensors");
    let mut tensors = read_safetensors(&weights).expect("read");
    change(&mut tensors);
    let tensors: Vec<_> = tensors.iter().map(NamedTensor::as_ref).collect();
    write_safetensors(&weights, &tensors, Kind::F32).expect("written");
    dir
}

fn refusal(dir: &TempDir) -> String {
    chain(&read_model_dir(dir.path()).expect_err("refused"))
}

#[test]
fn every_sort_of_model_round_trips() {
    let sorts = [
        small(),
        ModelConfig { attention_layers: vec![], n_groups: 2, ..small() },
        ModelConfig { attention_layers: vec![0, 1, 2], position_embedding: PositionEmbedding::Rope, ..small() },
        ModelConfig { n_experts: 0, ..small() },
        ModelConfig { tie_embeddings: false, ..small() },
    ];
    for config in sorts {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("new/model");
        let tensors = noise(&config);
        let reversed: Vec<_> = tensors.iter().rev().cloned().collect();
        write(&dir, &config, &reversed).expect("written");

        let model = read_model_dir(&dir).expect("read");
        assert_eq!((&model.config, model.special_ids), (&config, SPECIAL));
        assert_eq!(model.tensors, tensors, "in the order of the configuration");

        let mut files: Vec<_> =
            fs::read_dir(&dir).expect("a directory").map(|f| f.expect("a file").file_name()).collect();
        files.sort();
        assert_eq!(files, ["config.json", "generation_config.json", "model.safetensors"]);

        let bytes = fs::read(dir.join("model.safetensors")).expect("read");
        write(&dir, &config, &tensors).expect("written again");
        assert_eq!(fs::read(dir.join("model.safetensors")).expect("read"), bytes);
    }
}

#[test]
fn weights_are_stored_under_published_names_and_shapes() {
    let dir = changed(|_| ());
    let tensors = read_safetensors(&dir.path().join("model.safetensors")).expect("read");
    let shape = |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone());
    assert_eq!(shape("model.embed_tokens.weight"), Some(vec![300, 32]));
    assert_eq!(shape("model.layers.0.mamba.conv1d.weight"), Some(vec![72, 1, 4]));
    assert_eq!(shape("model.layers.1.self_attn.k_proj.weight"), Some(vec![16, 32]));
    assert_eq!(shape("model.layers.2.block_sparse_moe.input_linear.weight"), Some(vec![4, 48, 32]));
}

#[test]
fn weights_of_another_model_are_refused() {
    let position =
        |tensors: &[NamedTensor], name: &str| tensors.iter().position(|tensor| tensor.name == name).expect(name);
    let norm = "model.norm.weight";
    let missing = changed(|tensors| drop(tensors.remove(position(tensors, norm))));
    let renamed = changed(|tensors| {
        let at = position(tensors, norm);
        tensors[at].name = "model.final_norm.weight".into();
    });
    let reshaped = changed(|tensors| {
        let at = position(tensors, "model.layers.0.mamba.conv1d.weight");
        tensors[at].shape = vec![72, 4, 1];
    });
    let extra =
        changed(|tensors| tensors.push(NamedTensor { name: "lm_head.bias".into(), shape: vec![1], data: vec![0.0] }));
    for (dir, named) in [
        (missing, "`model.norm.weight` is missing"),
        (renamed, "`model.norm.weight` is missing, tensor `model.final_norm.weight` is unexpected"),
        (reshaped, "`model.layers.0.mamba.conv1d.weight` has shape [72, 4, 1], expected [72, 1, 4]"),
        (extra, "`lm_head.bias` is unexpected"),
    ] {
        let message = refusal(&dir);
        assert!(message.contains(named) && message.contains("model.safetensors"), "{message}");
    }
}

#[test]
fn a_tied_head_may_lie_beside_the_embedding_if_it_is_the_same() {
    let with_head = |change: &dyn Fn(&mut NamedTensor)| {
        changed(|tensors| {
            let embed = tensors.iter().find(|tensor| tensor.name == "model.embed_tokens.weight").expect("it is there");
            let mut head = NamedTensor { name: "lm_head.weight".into(), ..embed.clone() };
            change(&mut head);
            tensors.push(head);
        })
    };
    let dir = with_head(&|_| ());
    assert_eq!(read_model_dir(dir.path()).expect("read").tensors, noise(&small()));
    let model = ModelFile::open(dir.path()).expect("opened");
    assert_eq!(model.matrix("head").expect("a matrix").bytes(), model.matrix("embed").expect("a matrix").bytes());

    for change in [(|head| head.data[7] += 1.0) as fn(&mut NamedTensor), |head| head.shape = vec![32, 300]] {
        let dir = with_head(&change);
        for error in [read_model_dir(dir.path()).map(drop), ModelFile::open(dir.path()).map(drop)] {
            let error = error.expect_err("refused");
            assert!(matches!(&error, FormatError::Untied { head, .. } if head == "lm_head.weight"), "{error}");
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_named() {
    const EMBED: &str = "model.embed_tokens.weight";
    const EXPERTS: &str = "model.layers.2.block_sparse_moe.output_linear.weight";
    let dt_bias = "model.layers.0.mamba.dt_bias";
    for (name, index, value) in
        [(EMBED, 33, f32::NAN), (EXPERTS, 2_000, f32::INFINITY), (dt_bias, 1, f32::NEG_INFINITY)]
    {
        let dir = changed(|tensors| {
            tensors.iter_mut().find(|tensor| tensor.name == name).expect("it is there").data[index] = value;
        });
        let is_it = |error: &FormatError| {
            let FormatError::NotFinite { tensor, index: at, value: found, .. } = error else { return false };
            tensor == name && *at == index && found.to_bits() == value.to_bits()
        };
        let error = read_model_dir(dir.path()).expect_err("refused");
        assert!(is_it(&error), "{error}");
        // vectors are looked at when a model is opened, matrices when somebody asks
        let error = match ModelFile::open(dir.path()) {
            Ok(model) if name != dt_bias => {
                assert!(is_it(&model.expand().expect_err("refused")), "{name}");
                model.check_finite().expect_err("refused")
            }
            opened => opened.expect_err("refused"),
        };
        assert!(is_it(&error), "{error}");
    }
    ModelFile::open(changed(|_| ()).path()).expect("opened").check_finite().expect("all are finite");
}

#[test]
fn what_a_kind_cannot_hold_is_not_written() {
    for (kind, value) in
        [(Kind::F32, f32::NAN), (Kind::F32, f32::INFINITY), (Kind::F16, 70_000.0), (Kind::Bf16, -3.4e38)]
    {
        let mut tensors = noise(&small());
        tensors[3].data[5] = value;
        let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let error = write_model_dir(dir.path(), &small(), &SPECIAL, &refs, kind).expect_err("refused");
        let FormatError::Unstorable { tensor, index: 5, kind: of, .. } = &error else { panic!("{error}") };
        assert_eq!((tensor, of), (&tensors[3].name, &kind));
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}

#[test]
fn further_tokens_that_end_a_text_are_listed() {
    let dir = changed(|_| ());
    let more = || ModelFile::open(dir.path()).expect("opened").more_eos().to_vec();
    let rewrite = |name: &str, eos: serde_json::Value| {
        let path = dir.path().join(name);
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        json["eos_token_id"] = eos;
        fs::write(path, json.to_string()).expect("written");
    };
    assert!(more().is_empty());
    rewrite("config.json", serde_json::json!([0, 9]));
    rewrite("generation_config.json", serde_json::json!([7, 0, 9]));
    assert_eq!(more(), [7, 9]);
    assert_eq!(read_model_dir(dir.path()).expect("read").special_ids, SPECIAL);
    rewrite("generation_config.json", serde_json::json!(300));
    assert!(refusal(&dir).contains("generation_config.json"));
    fs::remove_file(dir.path().join("generation_config.json")).expect("removed");
    assert_eq!(more(), [9]);
}

#[test]
fn a_pointer_of_git_lfs_is_named_as_such() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let dir = changed(|_| ());
    let opened = ModelFile::open(dir.path()).expect("opened");
    fs::write(dir.path().join("tokenizer.json"), pointer).expect("written");
    assert!(
        chain(&opened.tokenizer().expect_err("refused")).contains("tokenizer.json is a Git LFS pointer to 12345 bytes")
    );
    for name in ["config.json", "model.safetensors"] {
        let dir = changed(|_| ());
        fs::write(dir.path().join(name), pointer).expect("written");
        assert!(refusal(&dir).contains(&format!("{name} is a Git LFS pointer to 12345 bytes")), "{name}");
    }
    let path = dir.path().join("model.gguf");
    fs::write(&path, pointer).expect("written");
    for error in [ModelFile::open(&path).map(drop), Listing::of(&path).map(drop)] {
        assert!(matches!(error, Err(FormatError::LfsPointer { size_bytes: Some(12345), .. })));
    }
}

#[test]
fn absent_or_damaged_files_are_named() {
    let of_file = |name: &str, damage: &dyn Fn(&Path)| {
        let dir = changed(|_| ());
        damage(&dir.path().join(name));
        let message = refusal(&dir);
        assert!(message.contains(name), "{name}: {message}");
        message
    };
    let remove = |path: &Path| fs::remove_file(path).expect("removed");
    of_file("config.json", &remove);
    of_file("model.safetensors", &remove);
    let cut = |path: &Path| {
        let bytes = fs::read(path).expect("read");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    };
    of_file("config.json", &cut);
    assert!(of_file("model.safetensors", &cut).contains("is cut"));
    let message = of_file("config.json", &|path| fs::write(path, "{\"model_type\": \"llama\"}").expect("written"));
    assert!(message.contains("granitemoehybrid"), "{message}");
    of_file("config.json", &|path| fs::write(path, vec![b' '; 2 << 20]).expect("written"));
}

#[test]
fn a_model_that_does_not_fit_is_not_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let tensors = noise(&small());
    for (config, tensors, named) in [
        (ModelConfig { top_k: 9, ..small() }, tensors.clone(), "top_k"),
        (small(), tensors[1..].to_vec(), "`embed` is missing"),
        (small(), [&tensors[..], &tensors[..1]].concat(), "`embed` is unexpected"),
        (ModelConfig { d_conv: 3, ..small() }, tensors.clone(), "conv_weight"),
    ] {
        let message = chain(&write(dir.path(), &config, &tensors).expect_err("refused"));
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn a_listing_tells_what_was_written() {
    let dir = changed(|_| ());
    fs::create_dir(dir.path().join("trainer")).expect("created");
    fs::write(dir.path().join("trainer/state.json"), "{}").expect("written");
    let listing = Listing::of(dir.path()).expect("a listing");
    let n_params: usize = listing.tensors.iter().map(ListedTensor::n_params).sum();
    assert_eq!(n_params, small().total_params());
    assert!(
        listing.tensors.iter().all(|t| t.stored_as == NumberType::Kind(Kind::F32) && t.size_bytes == 4 * t.n_params())
    );
    let hidden_size = ("hidden_size".to_owned(), MetadataValue::Whole(small().d_model.into()));
    assert!(listing.metadata.contains(&hidden_size), "{:?}", listing.metadata);
    let files = ["config.json", "generation_config.json", "model.safetensors"];
    let bytes = files.map(|file| fs::metadata(dir.path().join(file)).expect("a file").len());
    assert_eq!(listing.file_bytes, bytes.iter().sum::<u64>());
}

#[test]
fn the_template_of_a_chat_is_in_one_of_two_files() {
    let dir = changed(|_| ());
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    let found = || ModelFile::open(dir.path()).expect("opened").chat_template().map_err(|error| chain(&error));
    assert_eq!(found(), Ok(None));
    for (settings, expected) in [
        ("{}", None),
        (r#"{"chat_template": null}"#, None),
        (r#"{"chat_template": "a"}"#, Some("a")),
        (r#"{"chat_template": [{"name": "b", "template": "b"}, {"name": "default", "template": "c"}]}"#, Some("c")),
    ] {
        put("tokenizer_config.json", settings);
        assert_eq!(found(), Ok(expected.map(str::to_owned)), "{settings}");
    }
    for wrong in [r#"{"chat_template": 3}"#, r#"{"chat_template": [{"name": "b", "template": "b"}]}"#, "{"] {
        put("tokenizer_config.json", wrong);
        assert!(found().is_err_and(|error| error.contains("tokenizer_config.json")), "{wrong}");
    }
    put("chat_template.jinja", "d");
    assert_eq!(found(), Ok(Some("d".into())), "which counts before the other");
    put("chat_template.jinja", &"d".repeat(3 << 20));
    assert!(found().is_err_and(|error| error.contains("chat_template.jinja")));
}
