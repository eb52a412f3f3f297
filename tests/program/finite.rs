//! Weights that are not finite are named by all that would compute with them or copy them.

use std::{fs, path::Path};

use itera_formats::gguf::Gguf;

use crate::support::{Workplace, borrowed};

#[test]
fn a_weight_that_is_not_finite_stops_what_would_use_it() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    fs::write(here.path("text.txt"), "Once upon a time there was a dog.").expect("written");
    for (dtype, tensor, bytes) in [
        ("f32", "blk.0.ssm_in.weight", &f32::NAN.to_le_bytes()[..]),
        // the scale of a block of q8_0
        ("q8_0", "blk.1.attn_output.weight", &[0, 0x7c]),
        ("q8_0", "output_norm.weight", &f32::INFINITY.to_le_bytes()),
    ] {
        here.ok(&["export", "run", "--dtype", dtype, "-o", "model.gguf", "--force"]);
        let mut file = fs::read(here.path("model.gguf")).expect("read");
        let gguf = Gguf::parse(Path::new("model.gguf"), &file).expect("valid");
        let start = gguf.tensors.iter().find(|found| found.name == tensor).expect("it is there").range.start;
        file[start..start + bytes.len()].copy_from_slice(bytes);
        fs::write(here.path("model.gguf"), file).expect("written");
        for args in [
            &["generate", "model.gguf", "-p", "Once"][..],
            &["eval", "model.gguf", "--data", "text.txt"],
            &["export", "model.gguf", "--format", "hf", "-o", "copy"],
        ] {
            let output = here.run(args);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
            assert!(stderr.contains(&format!("tensor `{tensor}` holds ")), "{args:?}: {stderr}");
            assert!(output.stdout.is_empty(), "{args:?} printed something");
            assert!(!here.path("copy").exists());
        }
    }
}

#[test]
fn what_f16_cannot_hold_is_not_exported() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    here.ok(&["export", "run", "-o", "model.gguf"]);
    let mut file = fs::read(here.path("model.gguf")).expect("read");
    let gguf = Gguf::parse(Path::new("model.gguf"), &file).expect("valid");
    let start = gguf.tensors.iter().find(|found| found.name == "token_embd.weight").expect("it is there").range.start;
    file[start + 8..start + 12].copy_from_slice(&70_000_f32.to_le_bytes());
    fs::write(here.path("model.gguf"), file).expect("written");
    for format in ["gguf", "hf"] {
        let args = ["export", "model.gguf", "--format", format, "--dtype", "f16", "-o", "copy"];
        let error = here.fails(1, &args);
        assert!(error.contains("tensor `embed` cannot be stored as f16: its number at index 2 is 70000"), "{error}");
        assert!(error.contains("hint: choose a wider --dtype") && !here.path("copy").exists(), "{error}");
    }
    here.ok(&["export", "model.gguf", "--dtype", "bf16", "-o", "copy"]);
}
