//! Train, then score and generate.

use std::fs;

use serde_json::Value;

use crate::support::{Workplace, borrowed, metrics, set};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_run_writes_what_it_promises_and_its_model_can_be_used() {
    let here = Workplace::new();
    let train = here.train("run", &["--set", "log.tensorboard=true", "--set", "train.steps=60"]);
    let stdout = here.ok(&borrowed(&train));
    assert!(stdout.contains("best validation"), "{stdout}");

    for file in ["config.toml", "metrics.jsonl", "metrics.csv", "report.json", "report.html", "best/config.json"] {
        assert!(here.path("run").join(file).is_file(), "{file}");
    }
    assert!(fs::read_dir(here.path("run/tensorboard")).expect("tensorboard").count() > 0);
    let rows = metrics(&here.path("run"));
    let loss = |row: &Value| row["loss_nats"].as_f64().expect("a number");
    assert!(loss(&rows[59]) < loss(&rows[0]) - 1.0, "the loss falls");
    let report = json(&fs::read_to_string(here.path("run/report.json")).expect("report"));
    assert_eq!(report["totals"]["steps"], 60);
    assert_eq!(report["best"]["val_bpb"], rows.iter().rev().find_map(|row| row["val_bpb"].as_f64()).expect("bpb"));

    // the last validation saw part of the held-out text from the middle of documents; eval sees all of it, by document
    let score = json(&here.ok(&["eval", "run", "--json"]));
    let bpb = score["bits_per_byte"].as_f64().expect("bpb");
    let nats = score["nats_per_token"].as_f64().expect("nats");
    let tokens_per_byte = score["tokens"].as_f64().expect("tokens") / score["bytes"].as_f64().expect("bytes");
    assert!((bpb - nats / std::f64::consts::LN_2 * tokens_per_byte).abs() < 1e-9);
    let validated = report["best"]["val_bpb"].as_f64().expect("bpb");
    assert!((bpb - validated).abs() < 0.3, "{bpb} and {validated}");

    fs::write(here.path("one.txt"), "The cat sat.\n<|endoftext|>\nThe dog ran.\n").expect("write");
    let score = json(&here.ok(&["eval", "run", "--data", "one.txt", "--json"]));
    assert_eq!(score["documents"], 2);
    // byte tokens: each document's bytes, and its end
    assert_eq!(score["tokens"].as_u64(), score["bytes"].as_u64().map(|bytes| bytes + 2));

    let greedy = ["generate", "run", "-p", "The ", "--temperature", "0", "-n", "20", "--json"];
    let first = here.ok(&greedy);
    assert_eq!(first, here.ok(&greedy));
    let text = json(&first)["text"].as_str().expect("text").to_owned();
    assert_eq!(here.ok(&greedy[..8]), format!("The {text}\n"), "streamed text is the same");
    let stop: String = text.chars().skip(3).take(2).collect();
    let stopped = json(&here.ok(&[&greedy[..], &["--stop", &stop]].concat()));
    let at = text.find(&stop).expect("the stop text occurs");
    assert_eq!(stopped["text"], text[..at]);

    let sampled =
        |seed| here.ok(&["generate", "run", "-p", "A", "-n", "20", "--seed", seed, "--top-k", "50", "--top-p", "0.95"]);
    assert_eq!(sampled("1"), sampled("1"));
    assert_ne!(sampled("1"), sampled("2"));
    fs::write(here.path("prompts.txt"), "One\nTwo\n").expect("write");
    let lines = here.ok(&["generate", "run", "--prompts-file", "prompts.txt", "-n", "3", "--json"]);
    let prompts: Vec<Value> = lines.lines().map(|line| json(line)["prompt"].clone()).collect();
    assert_eq!(prompts, ["One", "Two"]);

    let logits = json(&here.ok(&["logits", "run", "--text", "The", "--json"]));
    assert_eq!(logits["ids"].as_array().map(Vec::len), Some(4));
    assert_eq!(logits["logits"][3].as_array().map(Vec::len), Some(258));
}

#[test]
fn what_a_configuration_holds_can_be_seen_without_training() {
    let here = Workplace::new();
    let config = format!("{}/configs/tiny.toml", env!("CARGO_MANIFEST_DIR"));
    let model = json(&here.ok(&["model", "--config", &config, "--json"]));
    let listed: u64 =
        model["tensors"].as_array().expect("tensors").iter().map(|t| t["params"].as_u64().expect("n")).sum();
    assert_eq!(Some(listed), model["total_params"].as_u64());
    let table = here.ok(&["model", "--config", &config]);
    assert!(table.contains("layers.0.mamba.in_proj") && table.contains(&listed.to_string()), "{table}");
    let saved = |what: &str| model["saved_activations"][what]["bytes_per_token"].as_u64().expect("bytes");
    assert!(saved("f32") > saved("bf16") && saved("bf16") > saved("bf16_checkpointed"), "{model}");
    let chosen = table.lines().find(|line| line.ends_with("← [train]")).expect("the settings of the configuration");
    assert!(chosen.starts_with("f32 ") && chosen.contains(&saved("f32").to_string()), "{table}");

    let small = ["--set", "data.builtin_bytes=100000", "--set", "model.vocab_size=400"];
    let data = ["data", "--config", &config, "--json"];
    let data = json(&here.ok(&[&data[..], &small].concat()));
    assert_eq!(data["summary"]["vocab_size"], 400);
    assert!(data["summary"]["corpus"]["valid"]["floor_bpb"].as_f64().expect("floor") > 0.1);
    assert_eq!(data["samples"].as_array().map(Vec::len), Some(3));

    let doctor = json(&here.ok(&["doctor", "--json"]));
    for peak in ["peak_f32_gflops_1_thread", "peak_bf16_gflops_1_thread"] {
        assert!(doctor[peak].as_f64().expect("GFLOP/s") > 0.1, "{peak}");
    }
}

#[test]
fn training_stops_early_when_validation_does_not_improve() {
    let here = Workplace::new();
    let changes = set(&["train.lr=1e-9", "eval.every_steps=1", "eval.min_delta=0.5", "eval.patience=3"]);
    here.ok(&borrowed(&here.train("run", &changes)));
    assert_eq!(metrics(&here.path("run")).len(), 4, "one best, then three without improvement");
}

#[test]
fn a_checkpoint_of_the_repository_tells_a_story() {
    let here = Workplace::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/stories-75k.gguf");
    let prompt = ["--prompt", "Once upon a time", "--temperature", "0", "-n", "20"];
    let story = here.ok(&[&["generate", model][..], &prompt].concat());
    assert!(story.starts_with("Once upon a time, there was a little "), "{story}");
    let found = json(&here.ok(&["inspect", model, "--json"]));
    assert_eq!(found["model"]["tokenizer"]["tokens"], 541);
}
