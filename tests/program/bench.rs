//! Speed is measured on the steps of training, and the numbers fit together.

use std::fs;

use serde_json::Value;

use crate::support::{Workplace, borrowed};

/// `bench train` of the smoke configuration.
fn bench(here: &Workplace, more: &[&str]) -> Vec<String> {
    let mut args = here.train("run", more);
    args.insert(0, "bench".into());
    args
}

#[test]
fn the_numbers_of_a_bench_fit_together() {
    let here = Workplace::new();
    // shorter than what is measured, so that the run's own last step would come in between
    let short = ["--set", "train.steps=2", "--set", "train.warmup_steps=1", "--set", "train.grad_accum_steps=2"];
    let counts = ["--steps", "4", "--warmup", "3", "--threads", "2", "--json"];
    let found: Value =
        serde_json::from_str(&here.ok(&borrowed(&bench(&here, &[&short[..], &counts].concat())))).expect("JSON");
    let number = |path: &str| found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {found}"));
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} and {expected}");

    assert_eq!((&found["steps"], &found["threads"]), (&4.into(), &2.into()));
    assert_eq!(found["warmup_ms"].as_array().map(Vec::len), Some(3));
    near(number("/tokens_per_step"), 4.0 * 64.0 * 2.0);
    for spread in ["tokens_per_s", "step_ms"] {
        let [min, median, max] = ["min", "median", "max"].map(|of| number(&format!("/{spread}/{of}")));
        assert!(0.0 < min && min <= median && median <= max, "{spread}: {found}");
    }
    near(number("/tokens_per_s/max"), number("/tokens_per_step") / number("/step_ms/min") * 1e3);
    let phases = ["data", "forward", "backward", "reduce", "optimizer", "log"]
        .map(|phase| number(&format!("/phase_ms/{phase}")));
    assert!(phases.iter().all(|ms| *ms <= number("/step_ms/max")), "{found}");
    near(number("/gflops"), number("/flops_per_token") * number("/tokens_per_s/median") / 1e9);
    near(number("/share_of_peak"), number("/gflops") / number("/peak_gflops"));

    let config = format!("{}/configs/smoke.toml", env!("CARGO_MANIFEST_DIR"));
    let model: Value = serde_json::from_str(&here.ok(&["model", "--config", &config, "--json"])).expect("JSON");
    assert_eq!(found["total_params"], model["total_params"]);
    near(number("/flops_per_token"), 3.0 * model["flops_per_token"].as_f64().expect("FLOPs"));
    if cfg!(target_os = "linux") {
        assert!(number("/peak_resident_bytes") > model["total_params"].as_f64().expect("parameters") * 16.0);
    }

    let left: Vec<_> =
        fs::read_dir(here.path("")).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["cache"], "a bench leaves nothing but the cache of tokens");
}

#[test]
fn a_bench_can_be_read_and_wrong_counts_are_refused() {
    let here = Workplace::new();
    let options = ["--steps", "1", "--warmup", "0", "--set", "train.precision=bf16"];
    let table = here.ok(&borrowed(&bench(&here, &options)));
    for line in ["config", "model", "machine", "speed", "time", "  forward", "  optimiser", "arithmetic", "memory"] {
        assert!(table.lines().any(|l| l.starts_with(line)), "no line `{line}`: {table}");
    }
    assert!(!table.contains("warm-up") && table.contains(", bf16\n"), "{table}");
    here.fails(2, &borrowed(&bench(&here, &["--steps", "0"])));
    here.fails(2, &["bench"]);
    let stderr = here.fails(1, &["bench", "train", "--config", "missing.toml"]);
    assert!(stderr.contains("missing.toml"), "{stderr}");
}

#[test]
fn a_model_is_measured_alone_and_against_another() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5"])));
    here.ok(&["export", "run", "--dtype", "q8_0", "-o", "q8.gguf"]);
    let counts = ["--prompt-tokens", "9", "--tokens", "20", "--streams", "3", "--repeats", "2", "--json"];
    let found: Value =
        serde_json::from_str(&here.ok(&[&["bench", "q8.gguf", "--against", "run"][..], &counts].concat()))
            .expect("JSON");
    let number = |path: &str| found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {found}"));
    assert_eq!(found["models"].as_array().map(Vec::len), Some(2));
    for model in ["/models/0", "/models/1"] {
        for spread in ["load_ms", "prefill_tokens_per_s", "first_token_ms", "tokens_per_s", "streams_tokens_per_s"] {
            let [min, median, max] = ["min", "median", "max"].map(|of| number(&format!("{model}/{spread}/{of}")));
            assert!(0.0 < min && min <= median && median <= max, "{spread}: {found}");
        }
        let [median, p99, max] = ["median", "p99", "max"].map(|of| number(&format!("{model}/token_us/{of}")));
        assert!(0.0 < median && median <= p99 && p99 <= max, "{found}");
        let [bytes, flops, roof] =
            ["bytes_per_token", "flops_per_token", "tokens_per_s"].map(|of| number(&format!("{model}/roofline/{of}")));
        let slowest = (bytes / number(&format!("{model}/roofline/reading_gb_per_s")))
            .max(flops / number(&format!("{model}/roofline/peak_f32_gflops")));
        assert!((roof * slowest / 1e9 - 1.0).abs() < 1e-9, "{found}");
        let share = number(&format!("{model}/tokens_per_s/median")) / roof;
        assert!((number(&format!("{model}/roofline/share")) / share - 1.0).abs() < 1e-9, "{found}");
    }
    assert!(number("/models/0/roofline/bytes_per_token") < number("/models/1/roofline/bytes_per_token"));
    for ratio in ["load", "prefill", "first_token", "token", "streams"] {
        assert!(number(&format!("/ratios/{ratio}/min")) <= number(&format!("/ratios/{ratio}/max")), "{found}");
    }

    let table = here.ok(&[&["bench", "run"][..], &counts[..8]].concat());
    for line in ["machine", "model", "load", "prefill", "first token", "decode", "streams", "must", "roof", "memory"] {
        assert!(table.lines().any(|l| l.starts_with(line)), "no line `{line}`: {table}");
    }
    here.fails(2, &["bench", "run", "--tokens", "0"]);
    let stderr = here.fails(1, &["bench", "nowhere"]);
    assert!(stderr.contains("nowhere holds no model"), "{stderr}");
}
