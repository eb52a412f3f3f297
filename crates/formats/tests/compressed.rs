//! Directories in the layout of compressed-tensors: what others write is read, what is written is read back bit for bit,
//! and what does not fit together is refused.

use std::fs;
use std::path::{Path, PathBuf};

use itera_fixtures::noise;
use itera_formats::hf::{self, kind_in_dir, names, packed_dir_size_bytes, read_model_dir, write_packed_dir};
use itera_formats::{Kind, Listing, ModelFile, PackedTensor, read_safetensors};
use itera_kernels::quant::dequantize;
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef, TensorSpec};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

const SPECIAL: SpecialIds = SpecialIds { bos: 0, eos: 0, pad: 1 };
const IN_PROJ: &str = "model.layers.0.mamba.in_proj.weight";

fn small() -> ModelConfig {
    let base =
        ModelConfig { vocab_size: 259, d_model: 32, d_state: 4, d_head: 8, n_layers: 2, ..ModelConfig::default() };
    ModelConfig { attention_layers: vec![1], n_experts: 3, d_expert: 24, d_shared: 32, ..base }
}

/// Random weights, the kinds of which are those of a directory of `kind`.
fn packed(config: &ModelConfig, kind: Kind) -> Vec<PackedTensor> {
    let tensors = noise(config);
    let pack = |(spec, tensor): (&TensorSpec, &NamedTensor)| {
        PackedTensor::round(&tensor.as_ref(), kind_in_dir(spec, kind)).expect("whole blocks")
    };
    config.tensors().iter().zip(&tensors).map(pack).collect()
}

fn written(config: &ModelConfig, kind: Kind) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    write_packed_dir(dir.path(), config, &SPECIAL, &packed(config, kind)).expect("written");
    dir
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/compressed").join(name)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn refusal(dir: &Path) -> String {
    let whole = read_model_dir(dir).expect_err("refused").to_string();
    assert_eq!(ModelFile::open(dir).expect_err("refused").to_string(), whole);
    whole
}

#[test]
fn what_the_package_writes_stands_for_what_it_says() {
    for (name, kind) in [("fp8", Kind::F32), ("int4", Kind::Q4_0)] {
        let model = read_model_dir(&golden(name)).expect("read");
        let file = ModelFile::open(&golden(name)).expect("opened");
        let values = read_safetensors(&golden(name).join("values.safetensors")).expect("read");
        assert_eq!(values.len(), 10);
        for value in values {
            let is_it = |tensor: &&NamedTensor| names::to_hf(&tensor.name).as_ref() == Some(&value.name);
            let tensor = model.tensors.iter().find(is_it).expect("a tensor");
            assert_eq!(bits(&tensor.data), bits(&value.data), "{name} {}", value.name);
        }
        let matrix = file.matrix("layers.1.attention.q_proj").expect("a matrix");
        assert_eq!(matrix.kind(), kind);
    }
}

#[test]
fn what_is_written_is_read_back_bit_for_bit_and_as_long_as_was_said() {
    for kind in [Kind::F8E4M3, Kind::Q4_0, Kind::Bf16] {
        for tie_embeddings in [true, false] {
            let config = ModelConfig { tie_embeddings, ..small() };
            let (dir, packed) = (written(&config, kind), packed(&config, kind));
            let model = read_model_dir(dir.path()).expect("read");
            assert_eq!((&model.config, model.special_ids), (&config, SPECIAL));
            for (tensor, packed) in model.tensors.iter().zip(&packed) {
                assert_eq!((&tensor.name[..], tensor.shape.as_slice()), (packed.name(), packed.shape()));
                assert_eq!(bits(&tensor.data), bits(&packed.numbers()), "{kind:?} {}", tensor.name);
            }

            let file = ModelFile::open(dir.path()).expect("opened");
            let mut numbers = vec![0.0; config.d_in_proj() * config.d_model];
            let in_proj = file.matrix("layers.0.mamba.in_proj").expect("a matrix");
            dequantize(in_proj.kind(), in_proj.bytes(), &mut numbers);
            let at = packed.iter().position(|tensor| tensor.name() == "layers.0.mamba.in_proj").expect("a tensor");
            assert_eq!((in_proj.kind(), numbers), (kind, packed[at].numbers()));

            let listing = Listing::of(dir.path()).expect("a listing");
            assert_eq!(listing.tensors.iter().map(|tensor| tensor.n_params()).sum::<usize>(), config.total_params());
            let said = packed_dir_size_bytes(&config, &SPECIAL, &packed).expect("a size");
            assert_eq!(listing.file_bytes, said as u64);
        }
    }
}

#[test]
fn modules_are_named_that_transformers_decompresses_and_nothing_else_is() {
    let groups = |kind, tie_embeddings| {
        let dir = written(&ModelConfig { tie_embeddings, ..small() }, kind);
        let config: Value =
            serde_json::from_slice(&fs::read(dir.path().join("config.json")).expect("read")).expect("JSON");
        let bytes = fs::read(dir.path().join("model.safetensors")).expect("read");
        let file = SafeTensors::deserialize(&bytes).expect("valid");
        let mut scaled: Vec<_> =
            file.names().into_iter().filter_map(|name| name.strip_suffix(".weight_scale")).collect();
        scaled.sort();
        let targets = config["quantization_config"]["config_groups"]["group_0"]["targets"].clone();
        let mut targets: Vec<String> = serde_json::from_value(targets).unwrap_or_default();
        targets.sort();
        assert_eq!(targets, scaled);
        targets
    };
    for kind in [Kind::F8E4M3, Kind::Q4_0] {
        let tied = groups(kind, true);
        assert_eq!(tied.len(), 2 + 4 + 4);
        assert!(tied.iter().all(|name| name.contains("_proj") || name.contains("shared_mlp")), "{tied:?}");
        assert_eq!(groups(kind, false), [&["lm_head".to_owned()][..], &tied].concat());
    }
    assert!(groups(Kind::F16, true).is_empty());
    // 8-bit modules beside 4-bit ones are plain numbers: a directory has one scheme
    let narrow = ModelConfig { d_shared: 40, ..small() };
    let dir = written(&narrow, Kind::Q4_0);
    let bytes = fs::read(dir.path().join("model.safetensors")).expect("read");
    let file = SafeTensors::deserialize(&bytes).expect("valid");
    let name = "model.layers.0.shared_mlp.output_linear.weight";
    assert_eq!(file.tensor(name).expect("plain").dtype(), Dtype::F8_E4M3);
    assert!(file.tensor(&format!("{name}_scale")).is_err());
}

#[test]
fn a_kind_that_a_tensor_cannot_have_is_refused_by_name() {
    let config = small();
    for (name, kind) in
        [("embed", Kind::Q4_0), ("layers.0.moe.w_in", Kind::Q4_0), ("layers.0.mamba.in_proj", Kind::Q8_0)]
    {
        let specs = config.tensors();
        let at = specs.iter().position(|spec| spec.name == name).expect("a tensor");
        let mut tensors = packed(&config, Kind::Q4_0);
        let data = vec![0.0; specs[at].n_params()];
        let tensor = TensorRef { name, shape: &specs[at].shape, data: &data };
        tensors[at] = PackedTensor::round(&tensor, kind).expect("whole blocks");
        let dir = tempfile::tempdir().expect("a directory");
        let error = write_packed_dir(&dir.path().join("new"), &config, &SPECIAL, &tensors).expect_err("refused");
        assert!(error.to_string().contains(name) && error.to_string().contains(kind.name()), "{error}");
        assert!(!dir.path().join("new").exists());
    }
}

/// A tensor of a file, owned.
type Raw = (String, Dtype, Vec<usize>, Vec<u8>);

/// A directory of `kind`, its file changed.
fn changed(kind: Kind, change: impl FnOnce(&mut Vec<Raw>)) -> TempDir {
    let dir = written(&small(), kind);
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("read");
    let file = SafeTensors::deserialize(&bytes).expect("valid");
    let mut tensors: Vec<Raw> =
        file.iter().map(|(name, t)| (name.to_owned(), t.dtype(), t.shape().to_vec(), t.data().to_vec())).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("a view"))
    });
    fs::write(&path, safetensors::serialize(views, None).expect("bytes")).expect("written");
    dir
}

fn part<'a>(tensors: &'a mut [Raw], name: &str) -> &'a mut Raw {
    tensors.iter_mut().find(|tensor| tensor.0 == name).expect(name)
}

#[test]
fn scales_of_rows_and_of_tensors_multiply() {
    let plain = read_model_dir(written(&small(), Kind::F8E4M3).path()).expect("read");
    let rows = small().d_in_proj();
    let scale = |row: usize| 0.5 + row as f32;
    let by_row = changed(Kind::F8E4M3, |tensors| {
        let bytes = (0..rows).flat_map(|row| scale(row).to_le_bytes()).collect();
        *part(tensors, &format!("{IN_PROJ}_scale")) = (format!("{IN_PROJ}_scale"), Dtype::F32, vec![rows, 1], bytes);
    });
    let scaled = read_model_dir(by_row.path()).expect("read");
    for (tensor, plain) in scaled.tensors.iter().zip(&plain.tensors) {
        let factor = |at: usize| if plain.name == "layers.0.mamba.in_proj" { scale(at / 32) } else { 1.0 };
        let expected: Vec<f32> = plain.data.iter().enumerate().map(|(at, number)| number * factor(at)).collect();
        assert_eq!(tensor.data, expected, "{}", plain.name);
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let name = |suffix: &str| format!("{IN_PROJ}{suffix}");
    let rows = small().d_in_proj();
    type Change<'a> = &'a dyn Fn(&mut Vec<Raw>);
    let without = |suffix: &str| {
        let name = name(suffix);
        move |tensors: &mut Vec<Raw>| tensors.retain(|tensor| tensor.0 != name)
    };
    let with = |suffix: &str, dtype: Dtype, shape: &[usize]| {
        let (name, shape) = (name(suffix), shape.to_vec());
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        move |tensors: &mut Vec<Raw>| *part(tensors, &name) = (name.clone(), dtype, shape.clone(), bytes.clone())
    };
    let infinite = |tensors: &mut Vec<Raw>| {
        let bytes = (0..rows).flat_map(|_| 1e9_f32.to_le_bytes()).collect();
        *part(tensors, &name("_scale")) = (name("_scale"), Dtype::F32, vec![rows, 1], bytes);
    };
    let int4: [(Change<'_>, &str); 9] = [
        (&without("_scale"), "lacks"),
        (&without("_shape"), "lacks"),
        (&without("_packed"), "is stored as I64"),
        (&with("_packed", Dtype::U8, &[rows, 16]), "is stored as U8"),
        (&with("_packed", Dtype::I32, &[rows * 4]), "not rows"),
        (&with("_packed", Dtype::I32, &[0, 1 << 61]), "not rows"),
        (&with("_shape", Dtype::I64, &[2]), "is not ["),
        (&with("_scale", Dtype::F16, &[rows, 2]), "groups of 32"),
        (&infinite, "f16 does not hold"),
    ];
    for (change, named) in int4 {
        let message = refusal(changed(Kind::Q4_0, |tensors| change(tensors)).path());
        assert!(message.contains(named) && message.contains("in_proj"), "{named}: {message}");
    }
    let fp8: [(Change<'_>, &str); 4] = [
        (&with("_scale", Dtype::F32, &[rows]), "_scale` has shape"),
        (&with("_scale", Dtype::F32, &[2, 1]), "_scale` has shape"),
        (&with("_scale", Dtype::I32, &[1]), "I32"),
        (&with("", Dtype::F32, &[rows, 32]), "_scale` is unexpected"),
    ];
    for (change, named) in fp8 {
        let message = refusal(changed(Kind::F8E4M3, |tensors| change(tensors)).path());
        assert!(message.contains(named) && message.contains("in_proj"), "{named}: {message}");
    }
}

#[test]
fn no_change_of_a_byte_panics_or_is_read_as_another_shape() {
    for kind in [Kind::F8E4M3, Kind::Q4_0] {
        let dir = written(&small(), kind);
        let path = dir.path().join("model.safetensors");
        let whole = fs::read(&path).expect("read");
        let header = 8 + u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
        for at in (0..header).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("written");
            if let Ok(model) = read_model_dir(dir.path()) {
                let params: usize = model.tensors.iter().map(|tensor| tensor.data.len()).sum();
                assert_eq!(params, small().total_params(), "byte {at}");
            }
        }
    }
}

#[test]
fn compression_of_another_sort_is_refused_by_its_key() {
    let config = |change: &dyn Fn(&mut Value)| {
        let mut value = hf::config_json(&small(), &SPECIAL, Kind::F32);
        let weights = json!({ "num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true });
        value["quantization_config"] =
            json!({ "quant_method": "compressed-tensors", "config_groups": { "group_0": { "weights": weights } } });
        change(&mut value["quantization_config"]);
        hf::parse_config(&value)
    };
    config(&|_| ()).expect("supported");
    config(&|q| q["config_groups"]["group_0"]["weights"] = json!({ "num_bits": 4, "type": "int", "group_size": 32 }))
        .expect("supported");
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [(Change<'_>, &str); 7] = [
        (&|q| q["quant_method"] = "gptq".into(), "quant_method"),
        (&|q| q["kv_cache_scheme"] = json!({}), "kv_cache_scheme"),
        (&|q| q["config_groups"] = json!([]), "config_groups"),
        (&|q| q["config_groups"]["group_0"]["input_activations"] = json!({ "num_bits": 8 }), "input_activations"),
        (&|q| q["config_groups"]["group_0"]["weights"]["symmetric"] = false.into(), "symmetric"),
        (&|q| q["config_groups"]["group_0"]["weights"]["strategy"] = "block".into(), "weights"),
        (&|q| q["config_groups"]["group_0"]["weights"]["num_bits"] = 3.into(), "weights"),
    ];
    for (change, key) in changes {
        let error = config(change).expect_err("refused").to_string();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
}
