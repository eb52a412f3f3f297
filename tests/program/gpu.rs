//! Training by wgpu, on the card of a machine or on Mesa's lavapipe, beside training on the CPU.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Workplace, borrowed, metrics, set, sha256};

const CHANGES: [&str; 4] = ["train.steps=50", "model.dropout=0.1", "train.grad_accum_steps=2", "eval.every_steps=10"];

/// Bar of the project for losses of one run on two devices.
const LOSSES: f64 = 1e-3;

fn train(here: &Workplace, run: &str, device: &str, more: &[&str]) -> Vec<String> {
    let args = [&set(&CHANGES)[..], &["--device", device], more].concat();
    here.train(run, &args)
}

#[track_caller]
fn assert_same_losses(here: &Workplace, found: &str, expected: &str) {
    let rows = |run: &str| metrics(&here.path(run));
    let (found, expected) = (rows(found), rows(expected));
    assert_eq!(found.len(), expected.len());
    let mut compared = 0;
    for (found, expected) in found.iter().zip(&expected) {
        for name in ["loss_nats", "total_loss", "load_balance_loss", "z_loss", "val_loss_nats", "val_bpb"] {
            let [a, b] = [found, expected].map(|row| row.get(name).and_then(Value::as_f64));
            if let (Some(a), Some(b)) = (a, b) {
                assert!((a - b).abs() <= LOSSES, "{name}: {found} against {expected}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} numbers of {}", expected[0]);
}

#[test]
fn a_run_has_the_losses_of_the_cpu_and_goes_on_exactly_and_on_another_device() {
    let here = Workplace::new();
    here.ok(&borrowed(&train(&here, "cpu", "flex", &[])));
    here.ok(&borrowed(&train(&here, "gpu", "wgpu", &[])));
    assert_same_losses(&here, "gpu", "cpu");

    let start = train(&here, "cut", "wgpu", &[]);
    let resume = train(&here, "cut", "wgpu", &["--resume"]);
    for (args, rows, signal) in [(&start, 12, Signal::KILL), (&resume, 17, Signal::TERM)] {
        here.train_until(args, rows, signal);
    }
    here.ok(&borrowed(&resume));
    for file in ["last/model.safetensors", "last/trainer/optimizer.safetensors"] {
        assert_eq!(sha256(&here.path("cut").join(file)), sha256(&here.path("gpu").join(file)), "{file}");
    }
    assert_eq!(metrics(&here.path("cut")), metrics(&here.path("gpu")));

    for (run, first, second) in [("there", "flex", "wgpu"), ("back", "wgpu", "flex")] {
        here.train_until(&train(&here, run, first, &[]), 25, Signal::TERM);
        here.ok(&borrowed(&train(&here, run, second, &["--resume"])));
        assert_same_losses(&here, run, "cpu");
    }
}

#[test]
fn a_run_in_f16_scales_its_loss_learns_as_in_f32_and_goes_on_exactly() {
    let here = Workplace::new();
    let f16 = set(&["train.precision=f16"]);
    here.ok(&borrowed(&train(&here, "f32", "flex", &[])));
    here.ok(&borrowed(&train(&here, "f16", "wgpu", &f16)));
    let rows = |run: &str| metrics(&here.path(run));
    let mut is_rounded = false;
    for (found, expected) in rows("f16").iter().zip(&rows("f32")) {
        assert_eq!((&found["loss_scale"], &expected["loss_scale"]), (&Value::from(65536.0), &Value::Null));
        let losses = [found, expected].map(|row| row["loss_nats"].as_f64().expect("finite"));
        assert!((losses[0] - losses[1]).abs() < 0.02, "{found} against {expected}");
        is_rounded |= losses[0] != losses[1];
    }
    assert!(is_rounded, "not one loss of f16 differs from that of f32");
    let cut = train(&here, "cut", "wgpu", &f16);
    here.train_until(&cut, 12, Signal::KILL);
    here.ok(&borrowed(&train(&here, "cut", "wgpu", &[&["--resume"][..], &f16].concat())));
    for file in ["last/model.safetensors", "last/trainer/optimizer.safetensors"] {
        assert_eq!(sha256(&here.path("cut").join(file)), sha256(&here.path("f16").join(file)), "{file}");
    }
    assert!(here.ok(&["inspect", here.path("f16").to_str().expect("UTF-8")]).contains("f16"));
}

#[test]
fn a_machine_without_an_adapter_is_told_what_to_do() {
    let here = Workplace::new();
    let without = |args: &[&str]| {
        let mut command: Command = here.command(args);
        // neither by Vulkan nor by OpenGL
        command.env("VK_ICD_FILENAMES", "/no/driver.json").env("__EGL_VENDOR_LIBRARY_FILENAMES", "/no/egl.json");
        command.output().expect("it starts")
    };
    let output = without(&borrowed(&train(&here, "run", "wgpu", &[])));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no device that `wgpu` could use") && said.contains("hint: "), "{said}");
    assert!(!here.path("run").exists(), "nothing was begun");
    let output = without(&["doctor"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("wgpu     compiled in, 0 found"), "{output:?}");
}

#[test]
fn memory_that_is_not_there_is_an_error_that_says_what_to_do() {
    let here = Workplace::new();
    let large = ["train.batch_size=512", "train.seq_len=1024", "data.builtin_bytes=2000000"];
    let said = here.fails(1, &borrowed(&train(&here, "run", "wgpu", &set(&large))));
    assert!(
        said.contains("the device has no room for a tensor of") && said.contains("hint: make micro-batches"),
        "{said}"
    );
}

#[test]
fn adapters_are_listed_by_name_with_what_they_can_do() {
    let here = Workplace::new();
    let found: Value = serde_json::from_str(&here.ok(&["doctor", "--json"])).expect("one JSON object");
    let devices = found["devices"].as_array().expect("devices");
    let wgpu = devices.iter().find(|device| device["name"] == "wgpu").expect("wgpu is compiled in");
    let adapter = &wgpu["adapters"][0];
    assert!(adapter["name"].as_str().is_some_and(|name| !name.is_empty()), "{wgpu}");
    assert_eq!(adapter["types"][0], "f32", "{wgpu}");
    assert!(adapter["most_tensor_bytes"].as_u64() > Some(1 << 20), "{wgpu}");
}
