//! Tensor for tensor, byte for byte what llm-compressor writes (tests/golden/ptq, made by tests/interop/make_ptq_golden.py).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use itera_formats::{Dtype, SafetensorsReader, hf::weight_files};
use itera_ptq::{Fp8Scales, Layout, Method, Plan, Selection, Stored, quantize};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ptq").join(name)
}

fn read(files: impl IntoIterator<Item = PathBuf>) -> Tensors {
    let mut tensors = Tensors::new();
    for file in files {
        let mut reader = SafetensorsReader::open(&file).expect("opened");
        for place in reader.tensors().to_vec() {
            let mut bytes = vec![0; (place.range.end - place.range.start) as usize];
            reader.read(place.range.start, &mut bytes).expect("read");
            assert!(tensors.insert(place.name, (place.dtype, place.shape, bytes)).is_none(), "twice");
        }
    }
    tensors
}

/// The tensors of a directory, which its index knows.
fn of_dir(dir: &Path) -> Tensors {
    let files = weight_files(dir).expect("an index");
    for file in &files {
        let reader = SafetensorsReader::open(&file.path).expect("opened");
        file.check(reader.tensors().iter().map(|tensor| tensor.name.as_str())).expect("as the index says");
    }
    read(files.into_iter().map(|file| file.path))
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    files
}

#[test]
fn every_tensor_is_the_one_that_the_peer_writes() {
    let fp8 = Method::Fp8(Fp8Scales::Channel);
    for model in ["qwen3", "llama", "mixtral", "bert", "half"] {
        for (method, peer) in [(fp8, "fp8"), (Method::Nvfp4, "nvfp4")] {
            let peer = golden(model).join(peer);
            // of f16 there is FP8 alone
            if !peer.exists() {
                assert_eq!((model, method), ("half", Method::Nvfp4));
                continue;
            }
            let dir = tempfile::tempdir().expect("a directory");
            let out = dir.path().join("out");
            let mut plan = Plan::new(&golden(model).join("source"), method, Layout::default(), &Selection::default())
                .expect("planned");
            quantize(&mut plan, &out, &mut |_| true).expect("written");
            let (found, expected) = (of_dir(&out), read(all_files(&peer)));
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{model} {method:?}");
            for (name, expected) in &expected {
                let found = &found[name];
                assert_eq!((found.0, &found.1), (expected.0, &expected.1), "{model} {method:?} {name}");
                let differ = found.2.iter().zip(&expected.2).filter(|(a, b)| a != b).count();
                assert_eq!(differ, 0, "{model} {method:?} {name}: of {} bytes", expected.2.len());
            }
            let n_packed =
                plan.tensors().iter().filter(|tensor| matches!(tensor.stored, Stored::Packed { .. })).count();
            assert!(n_packed >= 6, "{model}: {n_packed}");
            let written: u64 = found.values().map(|(.., bytes)| bytes.len() as u64).sum();
            assert_eq!(plan.size_bytes().1, written);
        }
    }
}
