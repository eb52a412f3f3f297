//! What is read, what is written, and what is left when it goes wrong.

use std::fs::{self, File};

use itera_formats::{Dtype, FormatError, TensorHead, read_safetensors, safetensors_head};
use itera_ptq::{Event, Fp8Scales, Layout, Method, Plan, PtqError, Selection, Stored, quantize};

use crate::support::{FP8, Model};

#[test]
fn every_other_file_is_copied_and_the_configuration_says_what_stays() {
    let model = Model::new(&[("a.up_proj.weight", &[4, 32]), ("a.gate.weight", &[2, 32]), ("a.norm.weight", &[32])]);
    model.write("tokenizer.json", b"\xff not even JSON");
    model.write("1_Pooling/config.json", b"{}");
    model.write(".git/objects/weights", b"again");
    model.write(".cache/huggingface/lock", b"");
    model.quantize(FP8).expect("written");
    let read = |file: &str| fs::read(model.out().join(file)).expect("copied");
    assert_eq!(read("tokenizer.json"), b"\xff not even JSON");
    assert_eq!(read("1_Pooling/config.json"), b"{}");
    assert!(!model.out().join(".git").exists() && !model.out().join(".cache").exists());
    let config: serde_json::Value = serde_json::from_slice(&read("config.json")).expect("JSON");
    assert_eq!((&config["architectures"][0], &config["hidden"]), (&"Some".into(), &4.into()));
    let about = &config["quantization_config"];
    assert_eq!((&about["quant_method"], &about["format"]), (&"compressed-tensors".into(), &"float-quantized".into()));
    assert_eq!(about["ignore"], serde_json::json!(["a.gate", "lm_head"]));
    // what stays has the same bytes
    let source = read_safetensors(&model.source().join("model.safetensors")).expect("read");
    for name in ["a.gate.weight", "a.norm.weight"] {
        let before = source.iter().find(|tensor| tensor.name == name).expect("there");
        assert_eq!(model.written(name).2, before.data);
    }
}

#[test]
fn fp8_stands_for_numbers_within_its_step_whatever_shares_a_scale() {
    // blocks of 128 that end within rows and columns
    let (rows, cols) = (130, 200);
    let model = Model::new(&[("a.weight", &[130, 200])]);
    let source = read_safetensors(&model.source().join("model.safetensors")).expect("read").remove(0).data;
    for (scales, shape) in
        [(Fp8Scales::Channel, vec![rows, 1]), (Fp8Scales::Block, vec![2, 2]), (Fp8Scales::Tensor, vec![1])]
    {
        model.quantize(Method::Fp8(scales)).expect("written");
        let (dtype, _, codes) = model.written("a.weight");
        let (_, found, factors) = model.written("a.weight_scale");
        assert_eq!((dtype, found), (Dtype::F8_E4M3, shape));
        for (at, (code, x)) in codes.iter().zip(&source).enumerate() {
            let (row, col) = (at / cols, at % cols);
            let factor = match scales {
                Fp8Scales::Channel => factors[row],
                Fp8Scales::Block => factors[row / 128 * 2 + col / 128],
                Fp8Scales::Tensor => factors[0],
            };
            // half a step of E4M3, 1 part in 16, or its least number
            let step = (x.abs() / 16.0).max(factor / 512.0);
            assert!((code * factor - x).abs() <= step, "{scales:?} {row} {col}: {x} became {}", code * factor);
        }
        fs::remove_dir_all(model.out()).expect("removed");
    }
}

#[test]
fn modelopt_names_the_same_codes_and_turns_the_factor_round() {
    let model = Model::new(&[("a.up_proj.weight", &[4, 32])]);
    model.quantize(Method::Nvfp4).expect("written");
    let (_, _, factor) = model.written("a.up_proj.weight_global_scale");
    let (_, shape, scales) = model.written("a.up_proj.weight_scale");
    fs::remove_dir_all(model.out()).expect("removed");
    let mut plan = Plan::new(&model.source(), Method::Nvfp4, Layout::ModelOpt, &Selection::default()).expect("planned");
    quantize(&mut plan, &model.out(), &mut |_| true).expect("written");
    assert_eq!(model.written("a.up_proj.weight_scale").1, shape);
    assert_eq!(model.written("a.up_proj.weight_scale").2, scales);
    assert_eq!(model.written("a.up_proj.weight_scale_2"), (Dtype::F32, vec![], vec![1.0 / factor[0]]));
    let about = fs::read(model.out().join("hf_quant_config.json")).expect("read");
    let about: serde_json::Value = serde_json::from_slice(&about).expect("JSON");
    assert_eq!(about["quantization"]["exclude_modules"], serde_json::json!(["lm_head"]));
    let blocks = Method::Fp8(Fp8Scales::Block);
    let refused = Plan::new(&model.source(), blocks, Layout::ModelOpt, &Selection::default());
    assert!(matches!(refused, Err(PtqError::NoScales)));
}

#[test]
fn experts_in_one_tensor_are_taken_apart_by_name_or_refused() {
    let model = Model::new(&[("l.mlp.experts.gate_up_proj", &[2, 6, 32]), ("l.mlp.experts.down_proj", &[2, 3, 16])]);
    model.quantize(FP8).expect("written");
    let source = read_safetensors(&model.source().join("model.safetensors")).expect("read");
    let stacked = &source.iter().find(|tensor| tensor.name.ends_with("gate_up_proj")).expect("there").data;
    for (expert, part, first) in [(0, "gate_proj", 0), (0, "up_proj", 3), (1, "gate_proj", 6), (1, "up_proj", 9)] {
        let name = format!("l.mlp.experts.{expert}.{part}.weight");
        let (_, shape, codes) = model.written(&name);
        let (_, _, factors) = model.written(&format!("{name}_scale"));
        assert_eq!(shape, [3, 32]);
        for (at, code) in codes.iter().enumerate() {
            let x = stacked[first * 32 + at];
            assert!((code * factors[at / 32] - x).abs() <= (x.abs() / 16.0).max(1e-4), "{name} {at}");
        }
    }
    let model = Model::new(&[("l.moe.input_linear.weight", &[2, 6, 32]), ("l.up_proj.weight", &[2, 32])]);
    assert!(matches!(model.plan(FP8), Err(PtqError::Stacked { shape, .. }) if shape == [2, 6, 32]));
    let skip = Selection::new(&["l.moe.*".to_owned()], &[]).expect("patterns");
    let plan = Plan::new(&model.source(), FP8, Layout::default(), &skip).expect("planned");
    assert!(
        plan.tensors()
            .iter()
            .any(|tensor| matches!(&tensor.stored, Stored::Kept { why } if why == "skipped by l.moe.*"))
    );
}

#[test]
fn what_is_rounded_already_is_refused_by_what_shows_it() {
    let said = |model: &Model| match model.plan(FP8).map(drop) {
        Err(PtqError::Quantized { said, .. }) => said,
        other => panic!("{other:?}"),
    };
    let model = Model::new(&[("a.up_proj.weight", &[4, 32])]);
    model.write("config.json", br#"{"quantization_config":{"quant_method":"gptq"}}"#);
    assert_eq!(said(&model), "config.json has `quantization_config`");
    model.write("config.json", br#"{"quantization_config":null}"#);
    model.plan(FP8).expect("nothing is said");
    model.write("hf_quant_config.json", b"{}");
    assert_eq!(said(&model), "hf_quant_config.json is there");
    let model = Model::new(&[("a.up_proj.qweight", &[4, 32])]);
    assert_eq!(said(&model), "it has the tensor `a.up_proj.qweight`");
    // and what was written here, once more
    let model = Model::new(&[("a.up_proj.weight", &[4, 32])]);
    model.quantize(Method::Nvfp4).expect("written");
    let again = Plan::new(&model.out(), FP8, Layout::default(), &Selection::default());
    assert!(matches!(again, Err(PtqError::Quantized { .. })));
}

#[test]
fn a_failure_leaves_nothing_and_says_where() {
    // a weight that is not finite, in the last of the tensors
    let model = Model::new(&[("a.weight", &[4, 32]), ("b.weight", &[4, 32])]);
    let path = model.source().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("read");
    let at = bytes.len() - 4 * 5;
    bytes[at..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).expect("written");
    for method in [FP8, Method::Nvfp4, Method::Fp8(Fp8Scales::Tensor), Method::Fp8(Fp8Scales::Block)] {
        let error = model.quantize(method).expect_err("refused");
        assert!(
            matches!(&error, PtqError::NotFinite { tensor, index: 123, value, .. } if tensor == "b.weight" && value.is_nan()),
            "{error}"
        );
        assert!(model.is_alone());
    }
    // what is cut after its header was read
    let model = Model::new(&[("a.weight", &[4, 32]), ("b.weight", &[4, 32])]);
    let mut plan = model.plan(FP8).expect("planned");
    let file = File::options().write(true).open(model.source().join("model.safetensors")).expect("opened");
    file.set_len(600).expect("cut");
    let error = quantize(&mut plan, &model.out(), &mut |_| true).expect_err("refused");
    assert!(matches!(error, PtqError::Format(FormatError::Io(_))) && model.is_alone());
    // what is there already stays
    let model = Model::new(&[("a.weight", &[4, 32])]);
    fs::write(model.out(), "mine").expect("written");
    assert!(matches!(model.quantize(FP8), Err(PtqError::Taken { .. })));
    assert_eq!(fs::read_to_string(model.out()).expect("read"), "mine");
}

#[test]
fn progress_counts_every_reading_and_stops_the_work() {
    let model = Model::new(&[("a.weight", &[4, 32]), ("b.weight", &[4, 32]), ("norm.weight", &[8])]);
    let mut seen = Vec::new();
    let mut plan = model.plan(Method::Nvfp4).expect("planned");
    quantize(&mut plan, &model.out(), &mut |Event::Read { done, total }| {
        seen.push((done, total));
        true
    })
    .expect("written");
    // both matrices twice, for the factor and for the codes
    let total = 4 * (2 * 128 + 2 * 128 + 8);
    assert_eq!(seen.last(), Some(&(total, total)));
    for after in 1..seen.len() {
        fs::remove_dir_all(model.out()).unwrap_or_default();
        let mut plan = model.plan(Method::Nvfp4).expect("planned");
        let mut calls = 0;
        let stopped = quantize(&mut plan, &model.out(), &mut |_| {
            calls += 1;
            calls < after
        });
        assert!(matches!(stopped, Err(PtqError::Stopped)) && model.is_alone(), "{after}");
    }
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let model = Model::new(&[("a.weight", &[4, 32])]);
    fs::rename(model.source().join("model.safetensors"), model.source().join("one.safetensors")).expect("renamed");
    let index =
        |map: &str| model.write("model.safetensors.index.json", format!(r#"{{"weight_map":{map}}}"#).as_bytes());
    for map in [
        r#"{"a.weight":"two.safetensors"}"#,
        r#"{"a.weight":"../source/one.safetensors"}"#,
        r#"{"a.weight":"one.safetensors","b.weight":"one.safetensors"}"#,
        r#"{}"#,
    ] {
        index(map);
        assert!(matches!(model.plan(FP8), Err(PtqError::Format(_))), "{map}");
    }
    model.save("two.safetensors", &[("a.weight", &[4, 32])]);
    index(r#"{"a.weight":"one.safetensors","b.weight":"two.safetensors"}"#);
    assert!(matches!(model.plan(FP8), Err(PtqError::Format(FormatError::Names { .. }))));
    index(r#"{"a.weight":"one.safetensors"}"#);
    model.plan(FP8).expect("a file that the index does not name is another file");
    for config in ["[]", "3", ""] {
        model.write("config.json", config.as_bytes());
        assert!(matches!(model.plan(FP8), Err(PtqError::NoConfig { .. } | PtqError::Format(_))), "{config}");
    }
}

#[test]
fn an_index_that_grew_after_it_was_planned_is_not_read_whole() {
    let model = Model::new(&[("a.weight", &[4, 32])]);
    fs::rename(model.source().join("model.safetensors"), model.source().join("one.safetensors")).expect("renamed");
    model.write("model.safetensors.index.json", br#"{"weight_map":{"a.weight":"one.safetensors"}}"#);
    let mut plan = model.plan(FP8).expect("planned");
    let index = File::options().write(true).open(model.source().join("model.safetensors.index.json")).expect("opened");
    index.set_len(1 << 40).expect("longer");
    let error = quantize(&mut plan, &model.out(), &mut |_| true).expect_err("refused");
    assert!(matches!(error, PtqError::Format(FormatError::TooLarge { .. })) && model.is_alone(), "{error}");
}

/// As much as a model of 2 billion weights, of which the disk holds nothing.
#[test]
fn large_tensors_are_planned_by_their_headers() {
    let model = Model::new(&[]);
    let heads: Vec<TensorHead> = (0..8)
        .map(|layer| TensorHead {
            name: format!("l.{layer}.up_proj.weight"),
            dtype: Dtype::BF16,
            shape: vec![1 << 14, 1 << 14],
        })
        .collect();
    let path = model.source().join("model.safetensors");
    let head = safetensors_head(&path, &heads).expect("a header");
    fs::write(&path, &head).expect("written");
    let numbers = 8 * 2 * (1u64 << 28);
    File::options().write(true).open(&path).expect("opened").set_len(head.len() as u64 + numbers).expect("longer");
    let plan = model.plan(Method::Nvfp4).expect("planned");
    assert_eq!(plan.size_bytes(), (numbers, 8 * ((1 << 27) + (1 << 24) + 4)));
}
