//! Any model's directory, rounded by `itera compress`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::Workplace;

fn source() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ptq/bert/source").to_string_lossy().into_owned()
}

#[test]
fn a_directory_that_is_no_run_is_planned_and_then_written_as_planned() {
    let here = Workplace::new();
    let planned = here.ok(&["compress", &source(), "--recipe", "nvfp4", "-o", "out", "--dry-run", "--json"]);
    assert!(!here.path("out").exists());
    let written = here.ok(&["compress", &source(), "--recipe", "nvfp4", "-o", "out", "--json"]);
    assert_eq!(planned, written);
    let told: Value = serde_json::from_str(&written).expect("JSON");
    let listed: Value = serde_json::from_str(&here.ok(&["inspect", "out", "--json"])).expect("JSON");
    let of = |name: &str| {
        let tensors = told["tensors"].as_array().expect("tensors");
        tensors.iter().find(|tensor| tensor["name"] == name).expect("there")["stored"].clone()
    };
    assert_eq!(of("embeddings.word_embeddings.weight")["kept"]["why"], "embedding");
    assert_eq!(of("encoder.layer.0.output.dense.weight")["packed"]["kind"], "nvfp4");
    assert_eq!(listed["sizes"]["tensor_bytes"], told["tensor_bytes"]);

    let kind = |name: &str| {
        let tensors = listed["tensors"].as_array().expect("tensors");
        let tensor = tensors.iter().find(|tensor| tensor["name"] == name).expect("listed");
        (tensor["kind"].clone(), tensor["shape"].clone())
    };
    assert_eq!(kind("encoder.layer.0.output.dense.weight"), ("nvfp4".into(), serde_json::json!([32, 48])));
    assert_eq!(kind("embeddings.word_embeddings.weight").0, "bf16");

    let stderr = here.fails(1, &["compress", "out", "--recipe", "fp8"]);
    assert!(stderr.contains("quantised already") && stderr.contains("hint: "), "{stderr}");
    let stderr = here.fails(1, &["compress", &source(), "--recipe", "nvfp4", "-o", "out"]);
    assert!(stderr.contains("out is there already"), "{stderr}");
}

#[test]
fn a_directory_is_compared_with_what_it_was_made_of() {
    let here = Workplace::new();
    let modelopt = ["--layout", "modelopt"];
    for (recipe, more, worst) in [("fp8", &[][..], 0.03), ("nvfp4", &[], 0.11), ("nvfp4", &modelopt, 0.11)] {
        here.ok(&[&["compress", &source(), "--recipe", recipe, "-o", "out"], more].concat());
        let found: Value = serde_json::from_str(&here.ok(&["compare", &source(), "out", "--json"])).expect("JSON");
        let tensors = found["tensors"].as_array().expect("tensors");
        let packed: Vec<&Value> = tensors.iter().filter(|tensor| tensor["kind"] == recipe).collect();
        assert_eq!(found["same_bytes"], tensors.len() - packed.len());
        assert_eq!((packed.len(), &found["missing"]), (6, &serde_json::json!([])));
        for tensor in packed {
            let error = tensor["change"]["error"]["relative"].as_f64().expect("a number");
            assert!(error > worst / 3.0 && error < worst, "{recipe}: {tensor}");
        }
        std::fs::remove_dir_all(here.path("out")).expect("removed");
    }
    here.ok(&["compress", &source(), "--recipe", "nvfp4", "-o", "out"]);
    let shown = here.ok(&["compare", &source(), "out"]);
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).expect("a row").to_owned();
    assert!(row("embeddings.word_embeddings.weight").ends_with("same bytes"), "{shown}");
    assert!(row("encoder.layer.0.output.dense.weight").contains("BF16 → nvfp4"), "{shown}");
    assert!(row("encoder.layer.0.output.dense.weight").contains(", columns "), "{shown}");
}

#[test]
fn patterns_choose_and_one_without_effect_is_told() {
    let here = Workplace::new();
    let skip = ["--skip", "encoder.*", "--also", "pooler.dense", "--also", "nothing"];
    let output = here.run(&[&["compress", &source(), "--recipe", "fp8", "-o", "out"], &skip[..]].concat());
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success() && stderr.contains("warning: `nothing` matches no tensor"), "{stderr}");
    assert!(String::from_utf8(output.stdout).expect("UTF-8").starts_with("1 of "));
    let config: Value = serde_json::from_slice(&fs::read(here.path("out/config.json")).expect("read")).expect("JSON");
    let kept = config["quantization_config"]["ignore"].as_array().expect("names").clone();
    assert!(kept.contains(&"encoder.layer.0.output.dense".into()) && !kept.contains(&"pooler.dense".into()));
}

#[test]
fn what_only_a_run_or_only_another_directory_has_is_refused() {
    let here = Workplace::new();
    let stderr = here.fails(1, &["compress", &source(), "--recipe", "int4"]);
    assert!(stderr.contains("is no run") && stderr.contains("hint: fp8 and nvfp4"), "{stderr}");
    let stderr = here.fails(1, &["compress", &source(), "--recipe", "nvfp4", "--scales", "block"]);
    assert!(stderr.contains("leave --scales out"), "{stderr}");
    let stderr = here.fails(1, &["compress", "runs/none", "--recipe", "int4", "--skip", "a"]);
    assert!(stderr.contains("--skip is for directories of other models"), "{stderr}");
    let stderr =
        here.fails(1, &["compress", &source(), "--recipe", "fp8", "--layout", "modelopt", "--scales", "tensor"]);
    assert!(stderr.contains("the layout of ModelOpt"), "{stderr}");
}
