//! `config.json`, a zero, `model.safetensors` → a model directory → model.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use itera_formats::ModelFile;
use itera_formats::hf::read_model_dir;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// In memory where the system has such a place.
static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a directory")
});

fuzz_target!(|bytes: &[u8]| {
    let (config, weights) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    fs::write(DIR.path().join("config.json"), config).expect("written");
    fs::write(DIR.path().join("model.safetensors"), weights.get(1..).unwrap_or_default()).expect("written");
    let opened = ModelFile::open(DIR.path());
    assert_eq!(opened.is_ok(), read_model_dir(DIR.path()).is_ok());
});
