//! Weights in several files with an index beside them are those of one file, and an index is not believed.

use std::fs;
use std::path::Path;

use itera_fixtures::{SPECIAL_IDS, noise};
use itera_formats::hf::{kind_in_dir, read_model_dir, write_packed_dir};
use itera_formats::{FormatError, Kind, Listing, ModelFile, PackedTensor};
use itera_shape::{ModelConfig, NamedTensor, TensorSpec};
use itera_testkit::chain;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn small() -> ModelConfig {
    let base = ModelConfig { vocab_size: 259, d_model: 32, d_state: 4, d_head: 8, n_layers: 2, ..Default::default() };
    ModelConfig { attention_layers: vec![1], n_experts: 3, d_expert: 24, d_shared: 32, ..base }
}

/// A directory in one file.
fn whole(kind: Kind) -> TempDir {
    let (config, tensors) = (small(), noise(&small()));
    let pack = |(spec, tensor): (&TensorSpec, &NamedTensor)| {
        PackedTensor::round(&tensor.as_ref(), kind_in_dir(spec, kind)).expect("whole blocks")
    };
    let dir = tempfile::tempdir().expect("a directory");
    let tensors: Vec<_> = config.tensors().iter().zip(&tensors).map(pack).collect();
    write_packed_dir(dir.path(), &config, &SPECIAL_IDS, &tensors).expect("written");
    dir
}

fn shard(number: usize) -> String {
    format!("model-{number:05}-of-00003.safetensors")
}

/// Deals the tensors of the one file out to three in turn, so that scales lie apart from their codes too.
fn deal_out(dir: &Path) {
    let bytes = fs::read(dir.join(WEIGHTS)).expect("read");
    let file = SafeTensors::deserialize(&bytes).expect("valid");
    let (mut shards, mut map) = (vec![vec![]; 3], serde_json::Map::new());
    let mut names = file.names();
    names.sort();
    for (at, name) in names.into_iter().enumerate() {
        shards[at % 3].push((name, file.tensor(name).expect("it is there")));
        map.insert(name.to_owned(), shard(at % 3 + 1).into());
    }
    for (number, tensors) in (1..).zip(shards) {
        fs::write(dir.join(shard(number)), safetensors::serialize(tensors, None).expect("bytes")).expect("written");
    }
    write_index(dir, json!({ "metadata": { "total_size": bytes.len() }, "weight_map": map }));
    fs::remove_file(dir.join(WEIGHTS)).expect("removed");
}

fn write_index(dir: &Path, index: Value) {
    fs::write(dir.join(INDEX), index.to_string()).expect("written");
}

/// The weight map of a directory, changed.
fn with_map(dir: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut index: Value = serde_json::from_slice(&fs::read(dir.join(INDEX)).expect("read")).expect("JSON");
    change(index["weight_map"].as_object_mut().expect("an object"));
    write_index(dir, index);
}

fn refusal(dir: &Path) -> FormatError {
    let error = read_model_dir(dir).expect_err("refused");
    assert_eq!(chain(&ModelFile::open(dir).expect_err("refused")), chain(&error));
    assert_eq!(chain(&Listing::of(dir).expect_err("refused")), chain(&error));
    error
}

#[test]
fn several_files_are_the_model_that_one_is() {
    for kind in [Kind::F32, Kind::F8E4M3, Kind::Q4_0] {
        let dir = whole(kind);
        let (expected, one) = (read_model_dir(dir.path()).expect("read"), ModelFile::open(dir.path()).expect("opened"));
        let listed = |dir: &Path| {
            let mut tensors = Listing::of(dir).expect("a listing").tensors;
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            tensors
        };
        let in_one = listed(dir.path());
        deal_out(dir.path());
        let bytes: u64 = (1..4).map(|number| fs::metadata(dir.path().join(shard(number))).expect("a file").len()).sum();
        assert_eq!(Listing::of(dir.path()).expect("a listing").weight_bytes, bytes);
        assert_eq!(read_model_dir(dir.path()).expect("read"), expected);
        assert_eq!(listed(dir.path()), in_one);
        let several = ModelFile::open(dir.path()).expect("opened");
        for name in ["embed", "layers.0.mamba.in_proj", "layers.1.moe.2.up", "layers.1.attention.o_proj"] {
            let (found, expected) = (several.matrix(name).expect("a matrix"), one.matrix(name).expect("a matrix"));
            assert_eq!((found.kind(), found.bytes()), (expected.kind(), expected.bytes()), "{name}");
        }
        assert_eq!(
            several.vector("layers.1.ffn_norm").expect("a vector"),
            one.vector("layers.1.ffn_norm").expect("one")
        );
    }
}

#[test]
fn an_index_leads_nowhere_else() {
    let dir = whole(Kind::F32);
    deal_out(dir.path());
    let outside = dir.path().parent().expect("a parent").join("outside.safetensors");
    for file in ["../outside.safetensors", &outside.to_string_lossy(), "a/b.safetensors", "..", "", "./x"] {
        with_map(dir.path(), |map| drop(map.insert("model.norm.weight".to_owned(), file.into())));
        let error = chain(&refusal(dir.path()));
        assert!(error.contains(INDEX) && error.contains("`weight_map.model.norm.weight`"), "{file}: {error}");
    }
}

#[test]
fn an_index_that_contradicts_its_files_is_refused() {
    let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let dir = whole(Kind::F32);
        deal_out(dir.path());
        with_map(dir.path(), change);
        (refusal(dir.path()), dir)
    };
    let norm = "model.norm.weight";
    let (error, _) = changed(&|map| drop(map.insert("model.norm.bias".to_owned(), shard(2).into())));
    assert!(matches!(&error, FormatError::Names { missing, .. } if missing[..] == ["model.norm.bias"]), "{error}");
    let (error, _) = changed(&|map| drop(map.remove(norm)));
    assert!(matches!(&error, FormatError::Names { unexpected, .. } if unexpected[..] == [norm]), "{error}");
    let (error, _) = changed(&|map| drop(map.insert(norm.to_owned(), "absent.safetensors".into())));
    assert!(chain(&error).contains("absent.safetensors"), "{error}");

    let dir = whole(Kind::F32);
    deal_out(dir.path());
    for (index, named) in [
        (json!({}), "weight_map"),
        (json!({ "weight_map": {} }), "weight_map"),
        (json!({ "weight_map": { "a": 1 } }), "JSON"),
        (json!([1]), "JSON"),
    ] {
        write_index(dir.path(), index);
        let error = chain(&refusal(dir.path()));
        assert!(error.contains(INDEX) && error.contains(named), "{error}");
    }
}
