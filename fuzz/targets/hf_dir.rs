//! `config.json`, a zero, `tokenizer.json`, a zero, `model.safetensors` → a model directory → a model that runs.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use itera_formats::ModelFile;
use itera_formats::hf::read_model_dir;
use itera_runtime::Model;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// In memory where the system has such a place.
static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a directory")
});

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(DIR.path().join(name), parts.next().unwrap_or_default()).expect("written");
    }
    let opened = ModelFile::open(DIR.path());
    assert_eq!(opened.is_ok(), read_model_dir(DIR.path()).is_ok());
    if let Ok(file) = opened {
        itera_fuzz::run(Model::new(file).expect("an opened file has all of its model"));
    }
});
