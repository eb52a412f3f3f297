//! What a file claims costs no memory: that is in proportion to what is there.

use std::fs;

use itera_fixtures::noise;
use itera_formats::{Listing, MetadataValue, ModelFile};
use itera_kernels::quant::Kind;
use itera_shape::ModelConfig;
use itera_testkit::chain;

use crate::support::{small, write};

/// Most that this process has had resident.
fn peak_mb() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

/// Replaces the one place where `file` has `from`.
fn replace(file: &mut [u8], from: &[u8], to: &[u8]) {
    let at = file.windows(from.len()).position(|window| window == from).expect("it is there");
    file[at..at + to.len()].copy_from_slice(to);
}

/// Items of one byte, which as JSON take seventy times as much.
#[test]
fn a_long_list_is_not_taken_out_of_the_file() {
    let n_items: usize = 4 << 20;
    let mut file = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &[0; 8], &1_u64.to_le_bytes()].concat();
    file.extend([&4_u64.to_le_bytes()[..], b"list", &9_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat());
    file.extend((n_items as u64).to_le_bytes());
    file.resize((file.len() + n_items).next_multiple_of(32), 7);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("list.gguf");
    fs::write(&path, file).expect("written");
    let listing = Listing::of(&path).expect("a listing");
    let [(key, MetadataValue::Long { len, first })] = &listing.metadata[..] else { panic!("{:?}", listing.metadata) };
    assert_eq!((key.as_str(), *len, &first[..2]), ("list", n_items, &[7.into(), 7.into()][..]));
    assert!(peak_mb() < 64, "{} MB", peak_mb());
}

#[test]
fn claimed_experts_and_layers_cost_nothing() {
    let small = ModelConfig { d_model: 1, d_state: 1, d_head: 1, n_attention_heads: 1, ..small() };
    let small = ModelConfig { n_kv_heads: 1, n_experts: 1, top_k: 1, d_expert: 1, d_shared: 1, ..small };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("small.gguf");
    write(&path, &small, &noise(&small), Kind::F32).expect("written");
    let file = fs::read(path).expect("read");
    let number = |key: &str, number: u32| [key.as_bytes(), &4_u32.to_le_bytes(), &number.to_le_bytes()].concat();
    let refusal = |changes: &[(Vec<u8>, Vec<u8>)]| {
        let mut file = file.clone();
        changes.iter().for_each(|(from, to)| replace(&mut file, from, to));
        chain(&ModelFile::from_gguf(file).expect_err("refused"))
    };

    let key = "granitehybrid.expert_count";
    let experts = (number(key, 1), number(key, 1 << 20));
    let router = (b"blk.0.ffn_gate_inp".to_vec(), b"blk.0.ffn_gate_imp".to_vec());
    let error = refusal(&[experts, router]);
    assert!(error.contains("`blk.0.ffn_gate_exps.weight` has shape [1, 1, 1]"), "{error}");

    let key = "granitehybrid.block_count";
    let error = refusal(&[(number(key, 3), number(key, 1 << 30))]);
    assert!(error.contains("`granitehybrid.block_count` is 1073741824"), "{error}");

    assert!(peak_mb() < 64, "{} MB", peak_mb());
}
