//! Bad input gets a clear error, and nothing is lost.

use std::fs;

use crate::support::{Workplace, borrowed, set};

#[test]
fn a_wrong_key_is_named_with_the_nearest_one() {
    let here = Workplace::new();
    let stderr = here.fails(1, &borrowed(&here.train("run", &["--set", "train.stepz=3"])));
    assert!(stderr.contains("train.stepz") && stderr.contains("train.steps"), "{stderr}");
    let stderr = here.fails(1, &borrowed(&here.train("run", &["--set", "model.top_k=9"])));
    assert!(stderr.contains("model.top_k") && stderr.contains('9') && stderr.contains("n_experts"), "{stderr}");
    assert!(!here.path("run").exists(), "a run that cannot start leaves nothing behind");
}

#[test]
fn a_precision_that_the_device_has_not_is_refused_before_anything_is_begun() {
    let here = Workplace::new();
    let stderr = here.fails(1, &borrowed(&here.train("run", &["--set", "train.precision=f16"])));
    assert!(
        stderr.contains("the device does not train in f16, but in f32, bf16") && stderr.contains("hint: "),
        "{stderr}"
    );
    assert!(!here.path("run").exists(), "a run that cannot start leaves nothing behind");
}

#[test]
fn wrong_usage_exits_with_2() {
    let here = Workplace::new();
    here.fails(2, &["train"]);
    here.fails(2, &["generate", "run", "--top-p", "1.5"]);
    here.fails(2, &["trian"]);
}

#[test]
fn a_number_below_zero_is_out_of_range_and_no_unknown_option() {
    let here = Workplace::new();
    let options: [(&[&str], &[&str]); 9] = [
        (&["train", "--config", "c.toml"], &["--threads"]),
        (&["eval", "run"], &["--threads", "--ubatch-size"]),
        (&["generate", "run"], &["--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty"]),
        (&["compress", "run", "--recipe", "int4"], &["--threads"]),
        (&["compare", "run"], &["--samples"]),
        (&["data", "--config", "c.toml"], &["--samples"]),
        (&["bench", "run"], &["--prompt-tokens", "--tokens", "--streams", "--repeats"]),
        (&["bench", "train", "--config", "c.toml"], &["--steps", "--warmup", "--threads"]),
        (&["logits", "run", "--text", "a"], &["--threads", "--ubatch-size"]),
    ];
    for (command, options) in options {
        for option in options {
            for value in ["-1", "-0.5", "-1e3", "many"] {
                let stderr = here.fails(2, &[command, &[option, value]].concat());
                let said = format!("invalid value '{value}' for '{option}");
                assert!(stderr.contains(&said) && stderr.contains(": expected "), "{command:?} {option}: {stderr}");
            }
        }
    }
}

#[test]
fn instructions_that_the_processor_has_not_are_refused() {
    let here = Workplace::new();
    for asked in ["avx3", ""] {
        let output = here.command(&["inspect", "nowhere"]).env("ITERA_SIMD", asked).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("ITERA_SIMD") && stderr.contains("portable"), "{stderr}");
    }
}

#[test]
fn a_prompt_that_is_too_long_is_refused_before_it_is_shown() {
    let here = Workplace::new();
    let changes = ["--set", "train.steps=5", "--set", "model.max_seq_len=128", "--set", "train.seq_len=64"];
    here.ok(&borrowed(&here.train("run", &changes)));
    let prompt = "word ".repeat(100);
    let output = here.run(&["generate", "run", "-p", &prompt]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{stderr}");
    assert!(stderr.contains("501 tokens") && stderr.contains("128") && stderr.contains("shorten"), "{stderr}");
    // counts that no text reaches are no counts to add to
    let (most, chunk) = (usize::MAX.to_string(), ["--ubatch-size", &usize::MAX.to_string()].map(str::to_owned));
    here.ok(&["generate", "run", "-p", "A word, and more.", "-n", &most, &chunk[0], &chunk[1]]);
}

#[test]
fn data_that_cannot_be_used_is_named() {
    let here = Workplace::new();
    fs::write(here.path("bad.txt"), b"good text\xff").expect("write");
    fs::write(here.path("empty.txt"), b"").expect("write");
    fs::write(here.path("short.txt"), b"one\n<|endoftext|>\ntwo\n<|endoftext|>\nthree\n").expect("write");
    for (source, message) in
        [("bad.txt", "UTF-8"), ("empty.txt", "empty"), ("missing.txt", "missing.txt"), ("short.txt", "token")]
    {
        let change = format!("data.source={source}");
        let stderr =
            here.fails(1, &borrowed(&here.train("run", &["--set", &change, "--set", "data.valid_fraction=0.5"])));
        assert!(stderr.contains(message), "{source}: {stderr}");
    }
}

#[test]
fn a_path_without_a_model_is_named() {
    let here = Workplace::new();
    for args in [&["eval", "nowhere"][..], &["generate", "nowhere"], &["logits", "nowhere", "--text", "a"]] {
        let stderr = here.fails(1, args);
        assert!(stderr.contains("nowhere holds no model"), "{stderr}");
    }
}

#[test]
fn a_run_that_diverges_stops_with_its_last_good_checkpoint_intact() {
    let here = Workplace::new();
    // the rate warms up towards absurdity: exp(a_log) overflows after a few steps
    let changes =
        set(&["train.lr=300", "train.warmup_steps=20", "checkpoint.every_steps=1", "train.max_skipped_steps=3"]);
    let stderr = here.fails(1, &borrowed(&here.train("run", &changes)));
    assert!(stderr.contains("3 steps skipped in a row"), "{stderr}");
    assert!(stderr.contains("last good checkpoint is run/checkpoints/step-"), "{stderr}");
    let metrics = fs::read_to_string(here.path("run/metrics.jsonl")).expect("metrics");
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().expect("a row")).expect("JSON");
    assert_eq!(last["skipped"], 3);
    assert!(last["loss_nats"].is_null(), "{last}");

    let logits: serde_json::Value =
        serde_json::from_str(&here.ok(&["logits", "run/last", "--text", "a", "--json"])).expect("JSON");
    assert!(logits["logits"][0].as_array().expect("a row").iter().all(|logit| logit.is_f64()), "logits are finite");
}
