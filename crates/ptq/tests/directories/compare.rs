//! What became of each weight.

use std::fs;

use itera_formats::{FormatError, read_safetensors, write_safetensors};
use itera_kernels::quant::Kind;
use itera_ptq::{
    Change, Compared, Comparison, Event, Fp8Scales, Layout, Method, Plan, PtqError, Result, Rounding, Selection,
    compare, quantize,
};
use itera_shape::TensorRef;

use crate::support::{FP8, Model};

fn compared(model: &Model) -> Result<Comparison> {
    compare(&model.source(), &model.out(), &mut |_| true)
}

fn of<'c>(comparison: &'c Comparison, name: &str) -> &'c Compared {
    comparison.tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("{name}: {comparison:?}"))
}

fn relative(tensor: &Compared) -> f64 {
    match &tensor.change {
        Change::Error(error) => error.relative,
        other => panic!("{}: {other:?}", tensor.name),
    }
}

/// √(Σ (x − y)² / Σ x²)
fn distance(x: &[f32], y: &[f32]) -> f64 {
    let of = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let errors = of(&mut x.iter().zip(y).map(|(x, y)| f64::from(*x) - f64::from(*y)));
    (errors / of(&mut x.iter().map(|x| f64::from(*x)))).sqrt()
}

#[test]
fn errors_are_those_of_the_numbers_that_codes_and_scales_stand_for() {
    // blocks of 128 that end within rows and columns
    let (rows, cols) = (130, 208);
    let model = Model::new(&[("a.weight", &[130, 208]), ("norm.weight", &[208])]);
    let source = read_safetensors(&model.source().join("model.safetensors")).expect("read").remove(0).data;
    for scales in [Fp8Scales::Channel, Fp8Scales::Block, Fp8Scales::Tensor] {
        model.quantize(Method::Fp8(scales)).expect("written");
        let (_, _, codes) = model.written("a.weight");
        let (_, _, factors) = model.written("a.weight_scale");
        let factor = |at: usize| match scales {
            Fp8Scales::Channel => factors[at / cols],
            Fp8Scales::Block => factors[at / cols / 128 * 2 + at % cols / 128],
            Fp8Scales::Tensor => factors[0],
        };
        let numbers: Vec<f32> = codes.iter().enumerate().map(|(at, code)| code * factor(at)).collect();
        let found = compared(&model).expect("compared");
        let tensor = of(&found, "a.weight");
        assert!((relative(tensor) / distance(&source, &numbers) - 1.0).abs() < 1e-9, "{scales:?}");
        assert_eq!(
            (tensor.kind_before.as_str(), tensor.kind.as_str(), &tensor.shape[..]),
            ("F32", "fp8", &[rows, cols][..])
        );
        assert_eq!(
            (tensor.size_bytes_before, tensor.size_bytes),
            (4 * 130 * 208, (130 * 208 + 4 * factors.len()) as u64)
        );
        let Change::Error(error) = &tensor.change else { unreachable!() };
        let worst = error.worst.as_ref().expect("a block");
        let high = if scales == Fp8Scales::Block { 128 } else { 1 };
        assert_eq!((worst.rows.start % high, worst.rows.len().min(high) > 0), (0, true));
        assert!(worst.relative >= error.relative && worst.relative < 1.0 / 16.0, "{worst:?}");
        let inside: Vec<usize> =
            worst.rows.clone().flat_map(|row| worst.cols.clone().map(move |col| row * cols + col)).collect();
        let only = |all: &[f32]| inside.iter().map(|at| all[*at]).collect::<Vec<_>>();
        assert!((worst.relative / distance(&only(&source), &only(&numbers)) - 1.0).abs() < 1e-9, "{scales:?}");
        assert_eq!(of(&found, "norm.weight").change, Change::SameBytes);
        assert!(found.missing.is_empty() && found.unexpected.is_empty());
        fs::remove_dir_all(model.out()).expect("removed");
    }
}

#[test]
fn the_worst_group_is_the_one_that_its_scale_loses() {
    let model = Model::new(&[("a.weight", &[4, 64])]);
    let mut data = itera_testkit::uniform(256, 0.5, 1.0, 1);
    // far below the least scale, which is a part of the largest weight
    data[2 * 64 + 32..][..16].fill(1e-7);
    let tensor = TensorRef { name: "a.weight", shape: &[4, 64], data: &data };
    write_safetensors(&model.source().join("model.safetensors"), &[tensor], Kind::F32).expect("written");
    for layout in [Layout::CompressedTensors, Layout::ModelOpt] {
        model.quantize_as(Method::Nvfp4, layout);
        let found = compared(&model).expect("compared");
        let Change::Error(error) = &of(&found, "a.weight").change else { panic!("{found:?}") };
        let worst = error.worst.as_ref().expect("a block");
        assert_eq!((worst.rows.clone(), worst.cols.clone(), worst.relative), (2..3, 32..48, 1.0), "{layout:?}");
        assert!(error.relative > 0.01 && error.relative < 0.2, "{error:?}");
        assert_eq!(of(&found, "a.weight").kind, "nvfp4");
        fs::remove_dir_all(model.out()).expect("removed");
    }
}

#[test]
fn experts_are_compared_with_the_rows_that_they_were() {
    let model = Model::new(&[("l.mlp.experts.gate_up_proj", &[2, 6, 32]), ("l.mlp.experts.down_proj", &[2, 3, 16])]);
    model.quantize(Method::Nvfp4).expect("written");
    let found = compared(&model).expect("compared");
    let names: Vec<&str> = found.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let expected = ["down_proj", "gate_proj", "up_proj"]
        .map(|part| [0, 1].map(|expert| format!("l.mlp.experts.{expert}.{part}.weight")));
    let mut expected = expected.concat();
    expected.sort_by_key(|name| (!name.contains("down"), name.clone()));
    assert_eq!(names, expected);
    for tensor in &found.tensors {
        assert!((0.02..0.2).contains(&relative(tensor)), "{tensor:?}");
    }
    // of the whole bytes, each has its share
    assert_eq!(found.tensors.iter().map(|tensor| tensor.size_bytes_before).sum::<u64>(), 4 * (2 * 6 * 32 + 2 * 3 * 16));
}

#[test]
fn what_one_alone_has_is_named_and_what_differs_in_kind_or_shape_is_told() {
    let model = Model::new(&[("a.weight", &[4, 32]), ("b.weight", &[4, 32]), ("c.weight", &[8])]);
    fs::create_dir(model.out()).expect("created");
    let data = itera_testkit::uniform(128, -1.0, 1.0, 1);
    let tensors: [(&str, &[usize]); 3] = [("a.weight", &[4, 32]), ("c.weight", &[2, 4]), ("d.weight", &[4, 32])];
    let refs = tensors.map(|(name, shape)| TensorRef { name, shape, data: &data[..shape.iter().product()] });
    write_safetensors(&model.out().join("model.safetensors"), &refs, Kind::Bf16).expect("written");
    let found = compared(&model).expect("compared");
    assert_eq!(
        (&found.missing[..], &found.unexpected[..]),
        (&["b.weight".to_owned()][..], &["d.weight".to_owned()][..])
    );
    assert_eq!(of(&found, "c.weight").change, Change::Differs);
    // rounded to bf16, row by row
    assert!((1e-4..4e-3).contains(&relative(of(&found, "a.weight"))), "{found:?}");
}

#[test]
fn scales_that_do_not_fit_their_codes_are_refused_by_name() {
    let model = Model::new(&[("a.weight", &[4, 32])]);
    model.quantize(FP8).expect("written");
    let path = model.out().join("model.safetensors");
    let bytes = fs::read(&path).expect("read");
    let text = String::from_utf8_lossy(&bytes).replace("\"shape\":[4,1]", "\"shape\":[2,2]");
    assert_eq!(text.matches("[2,2]").count(), 1);
    let at = bytes.windows(13).position(|bytes| bytes == b"\"shape\":[4,1]").expect("there");
    let mut damaged = bytes.clone();
    damaged[at..][..13].copy_from_slice(b"\"shape\":[2,2]");
    fs::write(&path, damaged).expect("written");
    let error = compared(&model).expect_err("refused");
    assert!(
        matches!(&error, PtqError::Format(FormatError::Parts { tensor, .. }) if tensor == "a.weight_scale"),
        "{error}"
    );
    let stopped = compare(&model.source(), &model.source(), &mut |Event::Read { .. }| false);
    assert!(matches!(stopped, Err(PtqError::Stopped)));
}

#[test]
fn scales_that_are_searched_for_lower_the_error_of_every_matrix_in_both_layouts() {
    let model = Model::new(&[("a.weight", &[64, 256]), ("l.q_proj.weight", &[32, 64]), ("norm.weight", &[64])]);
    for layout in [Layout::CompressedTensors, Layout::ModelOpt] {
        let errors = [Rounding::MinMax, Rounding::Mse].map(|rounding| {
            let plan = Plan::new(&model.source(), Method::Nvfp4, layout, &Selection::default()).expect("planned");
            let mut plan = plan.with_rounding(rounding).expect("a method with a choice");
            quantize(&mut plan, &model.out(), &mut |_| true).expect("written");
            let found = compared(&model).expect("compared");
            fs::remove_dir_all(model.out()).expect("removed");
            ["a.weight", "l.q_proj.weight"].map(|name| relative(of(&found, name)))
        });
        for (min_max, mse) in errors[0].iter().zip(errors[1]) {
            assert!(mse < 0.97 * min_max && mse > 0.5 * min_max, "{layout:?}: {mse} after {min_max}");
        }
    }
    let plan = model.plan(FP8).expect("planned");
    assert!(matches!(plan.with_rounding(Rounding::Mse), Err(PtqError::NoSearch)));
}
