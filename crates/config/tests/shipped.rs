//! The configurations that are shipped: valid, and what they say they are.

use std::{fs, path::PathBuf};

use itera_config::{Config, RunConfig};
use itera_shape::{LayerKind, ModelConfig};

/// Every file of configs/, by name.
const SHIPPED: [&str; 12] = [
    "bench-30m",
    "bench-tiny",
    "quickstart",
    "reference",
    "smoke",
    "story260k",
    "tiny",
    "tiny-dense",
    "tiny-ssm",
    "tiny-transformer",
    "tinystories",
    "wikitext",
];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn shipped(name: &str) -> Config {
    Config::load(&directory().join(name).with_extension("toml"), &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn within(share: f64, actual: usize, expected: usize) -> bool {
    (actual as f64 / expected as f64 - 1.0).abs() <= share
}

#[test]
fn every_file_loads_says_what_it_is_for_and_has_a_directory_of_its_own() {
    let mut names: Vec<String> = fs::read_dir(directory())
        .expect("configs/ is there")
        .map(|entry| entry.expect("configs/ can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, SHIPPED);
    for name in names {
        let text = fs::read_to_string(directory().join(&name).with_extension("toml")).expect("readable");
        assert!(text.starts_with("# "), "{name} opens without a comment");
        let dir = shipped(&name).run.dir;
        assert_eq!(dir, if name == "reference" { "runs/default".into() } else { format!("runs/{name}") });
    }
}

#[test]
fn the_reference_explains_every_key_at_its_default() {
    let text = fs::read_to_string(directory().join("reference.toml")).expect("readable");
    assert_eq!(Config::from_toml(&text, "reference.toml", &[]).expect("valid"), Config::default());

    let reference: toml::Table = text.parse().expect("TOML");
    let resolved: toml::Table = Config::default().to_toml().parse().expect("TOML");
    let names = |tables: &toml::Table| -> Vec<String> {
        let keys = |(table, keys): (&String, &toml::Value)| -> Vec<String> {
            keys.as_table().expect("a table").keys().map(|key| format!("{table}.{key}")).collect()
        };
        tables.iter().flat_map(keys).collect()
    };
    assert_eq!(names(&reference), names(&resolved));

    let lines: Vec<&str> = text.lines().collect();
    let settings = |pair: &&[&str]| !pair[1].is_empty() && !pair[1].starts_with('#');
    for pair in lines.windows(2).filter(settings) {
        assert!(pair[0].starts_with("# "), "`{}` has no comment", pair[1]);
    }
}

#[test]
fn tiny_and_its_baselines_differ_in_the_model_alone() {
    let tiny = shipped("tiny");
    let total = tiny.model.total_params();
    assert!((1_800_000..=1_900_000).contains(&total), "{total}");
    assert_eq!((tiny.model.n_experts, tiny.model.top_k), (4, 2));
    assert!((2048..=4096).contains(&tiny.model.vocab_size));
    assert_eq!(tiny.model.layer_kinds().iter().filter(|kind| **kind == LayerKind::Attention).count(), 1);

    let all = |model: &ModelConfig, kind| model.layer_kinds().iter().all(|layer| *layer == kind);
    let [ssm, dense, transformer] = ["tiny-ssm", "tiny-dense", "tiny-transformer"].map(shipped);
    assert!(all(&ssm.model, LayerKind::Mamba));
    assert_eq!(dense.model.n_experts, 0);
    assert!(within(0.02, dense.model.active_params(), tiny.model.active_params()));
    assert!(all(&transformer.model, LayerKind::Attention));
    assert!(within(0.02, transformer.model.total_params(), total));

    for baseline in [ssm, dense, transformer] {
        let same = Config { model: tiny.model.clone(), run: tiny.run.clone(), ..baseline.clone() };
        assert_eq!(same, tiny);
        assert_eq!(RunConfig { dir: tiny.run.dir.clone(), ..baseline.run }, tiny.run);
    }
    for corpus in ["tinystories", "wikitext"].map(shipped) {
        assert_eq!((corpus.model, corpus.train), (tiny.model.clone(), tiny.train.clone()));
        assert!(corpus.data.source[0].starts_with("hub:"));
    }
}

/// The shape that other implementations are compared on; it changes with theirs or not at all.
#[test]
fn the_bench_is_the_model_of_tiny_at_its_own_batch() {
    let Config { model, train, .. } = shipped("bench-tiny");
    assert_eq!(model, shipped("tiny").model);
    assert_eq!((model.total_params(), model.chunk_len), (1_887_880, 64));
    assert_eq!((train.batch_size, train.seq_len, train.grad_accum_steps), (16, 256, 1));
}

/// A size at which a GPU has something to do, of the same family.
#[test]
fn the_larger_bench_has_the_parameters_of_its_name() {
    let Config { model, .. } = shipped("bench-30m");
    assert!(within(0.02, model.total_params(), 30_000_000), "{}", model.total_params());
    let tiny = shipped("bench-tiny").model;
    let family = |model: &ModelConfig| (model.vocab_size, model.n_experts, model.top_k, model.d_state, model.n_groups);
    assert_eq!(family(&model), family(&tiny));
}

#[test]
fn quickstart_is_a_small_hybrid_with_experts() {
    let Config { model, .. } = shipped("quickstart");
    assert!((250_000..=400_000).contains(&model.total_params()), "{}", model.total_params());
    assert_eq!((model.vocab_size, model.n_experts, model.top_k), (1024, 4, 2));
    assert_eq!(model.layer_kinds().iter().filter(|kind| **kind == LayerKind::Attention).count(), 1);
}

#[test]
fn story260k_has_the_parameters_of_its_name() {
    let Config { model, .. } = shipped("story260k");
    assert!(within(0.02, model.total_params(), 260_000), "{}", model.total_params());
    assert_eq!((model.vocab_size, model.d_model, model.n_layers), (512, 64, 5));
    assert_eq!(model.layer_kinds().iter().filter(|kind| **kind == LayerKind::Attention).count(), 1);
}

#[test]
fn widths_come_in_blocks_that_can_be_quantised() {
    for name in SHIPPED.into_iter().filter(|name| *name != "reference") {
        let Config { model, .. } = shipped(name);
        for width in [model.d_model, model.d_inner(), model.d_expert, model.d_shared] {
            assert!(width.is_multiple_of(32), "{name}: {width}");
        }
    }
}
