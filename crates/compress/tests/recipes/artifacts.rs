//! What a recipe leaves: the bytes that were planned, the kinds that were asked for, the numbers that were trained with.

use std::fs;

use itera_compress::{Action, CompressError, KindName, Metadata, Misfit, Mixed, Outcome, Plan, Recipe, Report, Stage};
use itera_formats::{Kind, ModelFile};
use itera_kernels::quant::dequantize;
use itera_trainer::{Resume, StopFlag};

use crate::support::{Fixture, QAT};

/// The last stage of a `mixed` recipe with other kinds to choose from.
fn with_kinds(recipe: &Recipe, kinds: &[Kind]) -> Stage {
    let stage = recipe.stages.last().expect("a stage");
    let Action::Mixed(mixed) = &stage.action else { panic!("{stage:?}") };
    let kinds = kinds.iter().map(|kind| KindName(*kind)).collect();
    Stage { action: Action::Mixed(Mixed { kinds, ..mixed.clone() }), ..stage.clone() }
}

/// The kinds of matrices of the artifact.
fn matrix_kinds(report: &Report, names: &[&str]) -> Vec<Kind> {
    let model = ModelFile::open(&report.stages.last().expect("a stage").variant.path).expect("a model");
    names.iter().map(|name| model.matrix(name).expect("a matrix").kind()).collect()
}

#[test]
fn a_directory_has_the_bytes_of_the_plan_and_the_kinds_that_it_can_have() {
    let fixture = Fixture::new();
    let four = r#"
        about = "short"
        [[stage]]
        do = "quantize"
        kind = "q4_0"
        format = "hf"
        kinds = { attention = "bf16" }
        train = { steps = 4, lr = 1e-3 }
    "#;
    let names = ["embed", "layers.0.moe.1.up", "layers.0.mamba.in_proj", "layers.1.attention.q_proj"];
    use Kind::{Bf16, F8E4M3, Q4_0};
    for (recipe, kinds) in [
        (Recipe::find("fp8").expect("builtin"), [F8E4M3, F8E4M3, F8E4M3, F8E4M3]),
        (fixture.recipe("four", four), [F8E4M3, F8E4M3, Q4_0, Bf16]),
    ] {
        let plan = Plan::new(&recipe, &fixture.baseline, false).expect("it fits");
        let report = fixture.finish(&recipe);
        let artifact = &report.stages.last().expect("a stage").variant;
        assert_eq!(artifact.path, fixture.out(&format!("out-{0}/run-{0}", recipe.name)));
        let files = fs::read_dir(&artifact.path).expect("a directory");
        let bytes: u64 = files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum();
        assert_eq!((bytes, artifact.size_bytes), (plan.size_bytes, plan.size_bytes));
        assert_eq!(matrix_kinds(&report, &names), kinds);

        // done again in its place: the same bits per byte
        match fixture.compress(&recipe, Resume::Overwrite, StopFlag::default()).expect("done") {
            Outcome::Finished(again) => assert_eq!(again.stages[0].variant.bits_per_byte, artifact.bits_per_byte),
            Outcome::Interrupted(cause) => panic!("interrupted by {cause}"),
        }
    }
    for (kind, format, named) in [("f8_e4m3", "gguf", "f8_e4m3"), ("q8_0", "hf", "q8_0")] {
        let text = format!("about = 'x'\n[[stage]]\ndo = 'quantize'\nkind = '{kind}'\nformat = '{format}'\n");
        let recipe = fixture.recipe("misfit", &text);
        let error = Plan::new(&recipe, &fixture.baseline, true).expect_err("no such kind there").to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn the_plan_knows_the_file_to_the_byte_and_the_report_says_what_is_there() {
    let fixture = Fixture::new();
    let mixed = r#"
        about = "kinds by role and by name"
        [[stage]]
        do = "quantize"
        kind = "q4_0"
        rounding = "fisher"
        calibration_tokens = 256
        kinds = { embedding = "q8_0", "layers.0.moe.w_in" = "f16" }
    "#;
    for recipe in [Recipe::find("int8").expect("builtin"), fixture.recipe("mixed", mixed)] {
        let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");
        let report = fixture.finish(&recipe);
        let artifact = &report.stages.last().expect("a stage").variant;
        assert_eq!(fs::metadata(&artifact.path).expect("a file").len(), plan.size_bytes);
        assert_eq!((artifact.size_bytes, artifact.times_smaller), (plan.size_bytes, plan.times_smaller));
        let planned: Vec<_> =
            plan.tensors.iter().map(|tensor| (&tensor.name, &tensor.kind, tensor.size_bytes)).collect();
        let found: Vec<_> =
            report.tensors.iter().map(|tensor| (&tensor.name, &tensor.kind, tensor.size_bytes)).collect();
        assert_eq!(planned, found);
        for tensor in &report.tensors {
            let error = tensor.relative_error.expect("measured");
            let bound = match tensor.kind.as_str() {
                "f32" => 0.0..=0.0,
                "f16" => 1e-6..=1e-3,
                "q8_0" => 1e-3..=1e-2,
                _ => 0.02..=0.15,
            };
            assert!(bound.contains(&error), "{}: {error} as {}", tensor.name, tensor.kind);
        }
        let model = ModelFile::open(&artifact.path).expect("a model");
        let kind = |name: &str| model.matrix(name).expect("a matrix").kind();
        assert_eq!(kind("embed"), Kind::Q8_0);
        assert_eq!(kind("layers.0.moe.1.up"), if recipe.name == "mixed" { Kind::F16 } else { Kind::Q8_0 });
        assert_eq!(kind("layers.0.moe.1.out"), if recipe.name == "mixed" { Kind::Q4_0 } else { Kind::Q8_0 });

        let out = fixture.out(&format!("out-{}", recipe.name));
        let read = |name: &str| fs::read(out.join(name)).expect(name);
        assert_eq!(serde_json::from_slice::<Report>(&read("report.json")).expect("a report"), report);
        let metadata: Metadata = serde_json::from_slice(&read("compression_metadata.json")).expect("metadata");
        assert_eq!((metadata.bytes_after, metadata.bits_per_byte_after), (plan.size_bytes, artifact.bits_per_byte));
        assert_eq!(String::from_utf8(read("report.csv")).expect("text").lines().count(), 3);
        let page = String::from_utf8(read("report.html")).expect("text");
        let charts = 2 + report.histograms.len() + 2;
        assert_eq!(
            page.matches("<svg").count(),
            charts,
            "sizes, what each role costs, its weights, experts of each layer"
        );
        assert!(!page.contains("src=") && !page.contains("href="));
        let roles: Vec<&str> = report.sensitivities.iter().map(|found| found.role.as_str()).collect();
        assert_eq!(roles, ["embedding", "in_proj", "out_proj", "experts", "shared", "attention"]);
        for shares in &report.expert_use.after {
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn a_file_holds_bit_for_bit_what_training_computed_with() {
    let fixture = Fixture::new();
    let recipe = fixture.recipe("qat", QAT);
    let report = fixture.finish(&recipe);
    let stage = report.stages.last().expect("a stage");
    assert_eq!(stage.steps, 8);

    // the weights that were kept, rounded by the definition of the kind
    let dir = fixture.out("out-qat/stages/1-quantize");
    let kept =
        itera_formats::hf::read_model_dir(&itera_checkpoint::find_model(&dir).expect("a checkpoint")).expect("a model");
    let model = ModelFile::open(&stage.variant.path).expect("a model");
    let kept = kept.tensors.iter().find(|tensor| tensor.name == "layers.1.shared.w_out").expect("a tensor");
    let packed = model.matrix("layers.1.shared.out").expect("a matrix");
    let mut expected = vec![0; packed.bytes().len()];
    itera_kernels::quant::quantize(Kind::Q4_0, &kept.data, &mut expected);
    assert_eq!(packed.bytes(), expected);
    let mut numbers = vec![0.0; kept.data.len()];
    dequantize(Kind::Q4_0, &expected, &mut numbers);
    assert_ne!(numbers, kept.data, "weights are kept finer than they are computed with");

    // the same steps without the rounding lead elsewhere
    let after = QAT.replace("quantize", "finetune").replace("kind = \"q4_0\"", "");
    let after = format!("{after}\n[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\"\n");
    let rounded_after = fixture.finish(&fixture.recipe("raw", &after));
    let other = ModelFile::open(&rounded_after.stages[1].variant.path).expect("a model");
    assert!(other.matrix("layers.1.shared.out").expect("a matrix").bytes() != expected);
}

#[test]
fn each_rounding_leaves_its_own_codes() {
    let fixture = Fixture::new();
    let round = |rounding: &str| {
        let stage = format!("kind = \"q4_0\"\nrounding = \"{rounding}\"\ncalibration_tokens = 2048");
        let recipe = format!("about = \"x\"\n[[stage]]\ndo = \"quantize\"\n{stage}\n");
        let report = fixture.finish(&fixture.recipe(rounding, &recipe));
        let model = ModelFile::open(&report.stages[0].variant.path).expect("a model");
        // experts have gradients of their own, the embedding is the head too, a router stays as it is
        ["embed", "layers.0.moe.0.up", "layers.1.moe.1.out"]
            .map(|name| model.matrix(name).expect("a matrix").bytes().to_vec())
    };
    let all = ["min_max", "mse", "fisher", "gptq"].map(round);
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            assert!(one.iter().zip(other).all(|(one, other)| one != other));
        }
    }
}

#[test]
fn a_budget_is_kept_and_spent_where_it_helps() {
    let fixture = Fixture::new();
    let recipe = |name: &str, budget: &str| {
        let text = format!(
            r#"
            about = "kinds by measured losses"
            [[stage]]
            do = "mixed"
            kinds = ["mxfp4", "q4_0", "q8_0", "f16"]
            budget = {budget}
            calibration_tokens = 1024
            "#
        );
        fixture.recipe(name, &text)
    };
    let like = recipe("like", "\"q8_0\"");
    let plan = Plan::new(&like, &fixture.baseline, true).expect("it fits");
    let report = fixture.finish(&like);
    let artifact = &report.stages[0].variant;
    assert!(artifact.size_bytes <= plan.size_bytes && artifact.size_bytes > plan.size_bytes * 9 / 10);
    let kinds: Vec<&str> = report.tensors.iter().map(|tensor| tensor.kind.as_str()).collect();
    assert!(kinds.contains(&"f16"), "what narrow kinds save is spent: {kinds:?}");
    let int8 = fixture.finish(&Recipe::find("int8").expect("builtin"));
    assert!(artifact.loss_percent <= int8.stages[0].variant.loss_percent + 0.01, "{} %", artifact.loss_percent);

    // what was weighed is told: each matrix in each kind, and the one that it got
    let matrices: Vec<_> = report.tensors.iter().filter(|tensor| tensor.kind != "f32").collect();
    assert_eq!(report.kind_losses.len(), matrices.len());
    for (losses, tensor) in report.kind_losses.iter().zip(matrices) {
        assert_eq!((&losses.tensor, &losses.chosen), (&tensor.name, &tensor.kind));
        let kinds: Vec<&str> = losses.loss_percent.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["f16", "mxfp4", "q4_0", "q8_0"]);
    }

    // kinds that a plan takes for matrices are not those of what stays f32
    let wide = recipe("wide", "\"f32\"");
    let wide = Recipe { stages: vec![with_kinds(&wide, &[Kind::F32, Kind::Q4_0])], ..wide };
    let plan = Plan::new(&wide, &fixture.baseline, true).expect("it fits");
    let all_f32 = fixture.recipe("f32", "about='x'\n[[stage]]\ndo='quantize'\nkind='f32'");
    let f32_file = Plan::new(&all_f32, &fixture.baseline, true);
    assert_eq!(plan.size_bytes, f32_file.expect("it fits").size_bytes);
    let eight = Recipe { stages: vec![with_kinds(&wide, &[Kind::F8E4M3])], ..wide };
    let error = Plan::new(&eight, &fixture.baseline, true).expect_err("GGUF has it not").to_string();
    assert!(error.contains("f8_e4m3"), "{error}");

    let least = recipe("least", "1000");
    let error = Plan::new(&least, &fixture.baseline, true).expect_err("nothing is so small");
    assert!(
        matches!(&error, CompressError::Misfit { problem: Misfit::Budget { budget_bytes: 1000, .. }, .. }),
        "{error}"
    );
}

#[test]
fn a_student_fills_its_budget() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=400"]);
    let recipe = |budget: u64, name: &str| {
        let text = format!(
            "about = \"small\"\n[[stage]]\ndo = \"distill\"\nalphabet = \"text\"\nbudget = {budget}\n\
             model = {{ n_experts = 0, top_k = 1, expand = 2, d_state = 16, d_head = 32 }}\n\
             train = {{ steps = 2, lr = 1e-3 }}\n[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\"\n"
        );
        fixture.recipe(name, &text)
    };
    let small = recipe(60_000, "small");
    let plan = Plan::new(&small, &fixture.baseline, false).expect("it fits");
    let model = plan.stages[0].model.clone().expect("a shape");
    assert!(plan.size_bytes <= 60_000 && plan.size_bytes > 58_000 && model.vocab_size < 400, "{plan:?}");
    let report = fixture.finish(&small);
    assert_eq!(report.stages[1].variant.size_bytes, plan.size_bytes);

    let error = Plan::new(&recipe(5_000, "none"), &fixture.baseline, false).expect_err("too few");
    assert!(error.to_string().contains("its budget is 5000 bytes"), "{error}");
}
