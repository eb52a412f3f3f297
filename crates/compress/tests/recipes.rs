//! Recipes on a small run: from the trained checkpoint to the file, the report, and back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use itera_compress::{
    Baseline, CompressError, Event, Job, KindName, Metadata, Mixed, Outcome, Plan, Recipe, Report, Stage, compress,
};
use itera_config::Config;
use itera_formats::{Kind, ModelFile};
use itera_kernels::quant::dequantize;
use itera_metrics::Environment;
use itera_trainer::{self as trainer, Resume, StopFlag, train};

fn open(path: &Path, overrides: &[String]) -> Result<Baseline, CompressError> {
    Baseline::open(path, Baseline::config(path, overrides)?)
}

struct Fixture {
    dir: tempfile::TempDir,
    baseline: Baseline,
    documents: Vec<String>,
}

impl Fixture {
    /// A run of a few steps.
    fn new() -> Self {
        Self::with(&[])
    }

    /// One whose configuration has changes.
    fn with(changes: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml");
        let here = |key: &str, name: &str| format!("{key}={}", dir.path().join(name).display());
        let mut overrides = vec![
            here("run.dir", "run"),
            here("data.cache_dir", "cache"),
            "data.builtin_bytes=50000".into(),
            "train.steps=12".into(),
            "eval.every_steps=6".into(),
        ];
        overrides.extend(changes.iter().map(|change| change.to_string()));
        let config = Config::load(&path, &overrides).expect("a valid configuration");
        let data = itera_data::prepare(&config).expect("data");
        train(trainer::Job::new(&config, &data, &Device::flex()), &mut |_| {}).expect("it trains");
        let baseline = open(&dir.path().join("run"), &[]).expect("a run");
        let corpus = itera_data::load_corpus(&config.data).expect("a corpus");
        let documents = corpus.valid.iter().take(8).map(|document| document.text().to_owned()).collect();
        Self { dir, baseline, documents }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn recipe(&self, name: &str, text: &str) -> Recipe {
        let path = self.out(name).with_added_extension("toml");
        fs::write(&path, text).expect("written");
        Recipe::find(&path.to_string_lossy()).expect("a recipe")
    }

    fn compress(&self, recipe: &Recipe, resume: Resume, stop: StopFlag) -> Result<Outcome, CompressError> {
        let documents: Vec<&str> = self.documents.iter().map(String::as_str).collect();
        let job = Job {
            recipe,
            baseline: &self.baseline,
            documents: &documents,
            out: &self.out(&format!("out-{}", recipe.name)),
            resume,
            allow_unsupported: true,
            device: &Device::flex(),
            environment: Environment::detect("flex", 1, "0"),
            stop,
        };
        compress(&job, &mut |_| {})
    }

    fn finish(&self, recipe: &Recipe) -> Report {
        match self.compress(recipe, Resume::No, StopFlag::default()).expect("done") {
            Outcome::Finished(report) => *report,
            Outcome::Interrupted(signal) => panic!("interrupted by {signal}"),
        }
    }
}

/// The last stage of a `mixed` recipe with other kinds to choose from.
fn with_kinds(recipe: &Recipe, kinds: &[Kind]) -> Stage {
    match recipe.stages.last() {
        Some(Stage::Mixed(mixed)) => {
            Stage::Mixed(Mixed { kinds: kinds.iter().map(|kind| KindName(*kind)).collect(), ..mixed.clone() })
        }
        other => panic!("{other:?}"),
    }
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
            Outcome::Interrupted(signal) => panic!("interrupted by {signal}"),
        }
    }
    for (kind, format, named) in [("f8_e4m3", "gguf", "f8_e4m3"), ("q8_0", "hf", "q8_0")] {
        let text = format!("about = 'x'\n[[stage]]\ndo = 'quantize'\nkind = '{kind}'\nformat = '{format}'\n");
        let recipe = fixture.recipe("misfit", &text);
        let error = Plan::new(&recipe, &fixture.baseline, true).expect_err("no such kind there").to_string();
        assert!(error.contains(named), "{error}");
    }
}

/// Training through 4-bit codes, kept short.
const QAT: &str = r#"
    about = "short"
    [[stage]]
    do = "quantize"
    kind = "q4_0"
    train = { steps = 8, lr = 1e-3 }
"#;

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
    assert_eq!(report.weighed.len(), matrices.len());
    for (weighed, tensor) in report.weighed.iter().zip(matrices) {
        assert_eq!((&weighed.tensor, &weighed.chosen), (&tensor.name, &tensor.kind));
        let kinds: Vec<&str> = weighed.loss_percent.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["f16", "mxfp4", "q4_0", "q8_0"]);
    }

    // kinds that a plan takes for matrices are not those of what stays f32
    let wide = recipe("wide", "\"f32\"");
    let wide = Recipe { stages: vec![with_kinds(&wide, &[Kind::F32, Kind::Q4_0])], ..wide };
    let plan = Plan::new(&wide, &fixture.baseline, true).expect("it fits");
    let f32_file =
        Plan::new(&fixture.recipe("f32", "about='x'\n[[stage]]\ndo='quantize'\nkind='f32'"), &fixture.baseline, true);
    assert_eq!(plan.size_bytes, f32_file.expect("it fits").size_bytes);
    let eight = Recipe { stages: vec![with_kinds(&wide, &[Kind::F8E4M3])], ..wide };
    let error = Plan::new(&eight, &fixture.baseline, true).expect_err("GGUF has it not").to_string();
    assert!(error.contains("f8_e4m3"), "{error}");

    let least = Plan::new(&recipe("least", "1000"), &fixture.baseline, true);
    let error = least.expect_err("nothing is so small").to_string();
    assert!(error.contains("1000 bytes") && error.contains("least"), "{error}");
}

#[test]
fn a_student_has_its_own_shape_and_its_own_tokenizer_if_it_asks_for_one() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=320"]);
    let recipe = |name: &str, model: &str, teacher: &str| {
        let text = format!(
            r#"
            about = "a smaller model"
            [[stage]]
            do = "distill"
            model = {{ {model} }}
            train = {{ steps = 6, lr = 1e-3 {teacher} }}
            [[stage]]
            do = "quantize"
            kind = "q8_0"
            "#
        );
        fixture.recipe(name, &text)
    };
    let taught = ", teacher = { weight = 0.5, temperature = 2.0 }";
    for (name, model, teacher, vocab_size, n_experts) in
        [("taught", "n_experts = 2", taught, 320, 2), ("alone", "vocab_size = 290, n_experts = 2", "", 290, 2)]
    {
        let recipe = recipe(name, model, teacher);
        let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");
        let report = fixture.finish(&recipe);
        let variants: Vec<_> = report.stages.iter().map(|stage| (stage.variant.name.as_str(), stage.steps)).collect();
        assert_eq!(variants, [("distill", 6), ("quantize", 0)]);
        assert_eq!(report.stages[0].curve.len(), 6);
        let artifact = &report.stages[1].variant;
        assert_eq!(artifact.size_bytes, plan.size_bytes);
        let model = ModelFile::open(&artifact.path).expect("a model");
        assert_eq!((model.config().vocab_size, model.config().n_experts), (vocab_size, n_experts));
        assert!(report.stages[0].variant.bits_per_byte.is_finite());
    }

    let error = Plan::new(&recipe("torn", "vocab_size = 290", taught), &fixture.baseline, true);
    assert!(error.expect_err("no common vocabulary").to_string().contains("another tokenizer"));
    // but a later stage from what it was made of: one that learns from itself alone stays as it is
    let rise = |name: &str, teacher: &str| {
        let train = format!("train = {{ steps = 4, lr = 1e-2, weight_decay = 0.0 {teacher} }}");
        let stages = format!("do = \"finetune\"\n{train}\n[[stage]]\ndo = \"quantize\"");
        let first = recipe(&format!("of-{name}"), "vocab_size = 290", "");
        let text = toml::to_string(&first).expect("TOML");
        let report = fixture.finish(&fixture.recipe(name, &text.replace("do = \"quantize\"", &stages)));
        let of = |stage: usize| report.stages[stage].variant.bits_per_byte;
        (of(1) / of(0) - 1.0).abs()
    };
    let (itself, text) = (rise("itself", ", teacher = { weight = 1.0 }"), rise("text", ""));
    assert!(itself < text / 4.0, "{itself} and {text}");
    let error = fixture.compress(&recipe("typo", "d_modell = 16", ""), Resume::No, StopFlag::default());
    assert!(error.expect_err("no such key").to_string().contains("d_model"));
}

#[test]
fn a_student_learns_from_what_its_teacher_writes() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=320"]);
    let text = r#"
        about = "text by the teacher, under another tokenizer"
        [[stage]]
        do = "distill"
        model = { vocab_size = 290 }
        sampled = { bytes = 20000 }
        train = { steps = 6, lr = 1e-3 }
        [[stage]]
        do = "quantize"
        kind = "q8_0"
        train = { steps = 2, lr = 1e-4, teacher = { weight = 1.0 } }
    "#;
    let recipe = fixture.recipe("told", text);
    let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");

    let stop = StopFlag::default();
    stop.cell().store(2, std::sync::atomic::Ordering::Relaxed);
    let outcome = fixture.compress(&recipe, Resume::No, stop);
    assert!(matches!(outcome, Ok(Outcome::Interrupted(2))), "{outcome:?}");
    let path = fixture.out("out-told/stages/1-distill.sampled.jsonl");
    assert!(!path.exists(), "half a text is none");

    let outcome = fixture.compress(&recipe, Resume::Last, StopFlag::default());
    let Ok(Outcome::Finished(report)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(report.stages[1].variant.size_bytes, plan.size_bytes, "the tokenizer is that of the run's text alone");
    let lines = fs::read_to_string(&path).expect("text");
    let texts: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let lengths: Vec<usize> = texts.iter().map(|text| text["text"].as_str().expect("a text").len()).collect();
    let bytes = lengths.iter().sum::<usize>();
    assert!(bytes >= 20_000 && bytes - lengths[lengths.len() - 1] < 20_000, "{bytes}");

    let config = Config::load(&fixture.out("out-told/stages/1-distill/config.toml"), &[]).expect("a configuration");
    let (with, without) = (itera_data::prepare(&config).expect("data"), &fixture.baseline.data);
    let read: usize = texts.iter().filter(|text| !text["text"].as_str().expect("a text").trim().is_empty()).count();
    let train = |data: &itera_data::Dataset| data.summary.corpus.train.documents as usize;
    assert!(train(&with) > train(without) && train(&with) <= train(without) + read);
    assert_eq!(with.summary.corpus.valid, without.summary.corpus.valid);

    // whatever the number of threads
    let again = fixture.recipe("again", text);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    one.install(|| fixture.finish(&again));
    assert_eq!(fs::read_to_string(fixture.out("out-again/stages/1-distill.sampled.jsonl")).expect("text"), lines);
}

#[test]
fn what_a_teacher_says_counts() {
    let fixture = Fixture::new();
    let text = |teacher: &str| {
        format!(
            "about = \"x\"\n[[stage]]\ndo = \"finetune\"\ntrain = {{ steps = 4, lr = 1e-2 {teacher} }}\n\
             [[stage]]\ndo = \"quantize\"\nkind = \"f16\"\n"
        )
    };
    let bpb = |name: &str, teacher: &str| {
        let report = fixture.finish(&fixture.recipe(name, &text(teacher)));
        report.stages[0].variant.loss_percent.abs()
    };
    // a model that learns from itself alone has nothing to learn
    let alone = bpb("self", ", weight_decay = 0.0, teacher = { weight = 1.0 }");
    let text = bpb("text", ", weight_decay = 0.0");
    assert!(alone < text / 4.0, "{alone} % and {text} %");
}

#[test]
fn an_interrupted_recipe_goes_on_to_the_same_bytes() {
    let fixture = Fixture::new();
    let whole = fixture.finish(&fixture.recipe("whole", QAT));
    let recipe = fixture.recipe("pause", QAT);
    let documents: Vec<&str> = fixture.documents.iter().map(String::as_str).collect();
    let stop = StopFlag::default();
    let out = fixture.out("out-pause");
    let device = Device::flex();
    let job = Job {
        recipe: &recipe,
        baseline: &fixture.baseline,
        documents: &documents,
        out: &out,
        resume: Resume::No,
        allow_unsupported: true,
        device: &device,
        environment: Environment::detect("flex", 1, "0"),
        stop: stop.clone(),
    };
    let cell = stop.cell();
    let outcome = compress(&job, &mut |event| {
        if matches!(event, Event::Training(trainer::Event::Step { step: 3, .. })) {
            cell.store(15, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert!(matches!(outcome, Ok(Outcome::Interrupted(15))), "{outcome:?}");
    assert!(!out.join("report.json").exists());

    let error =
        fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("it is there already").to_string();
    assert!(error.contains("--resume"), "{error}");
    let changed = fixture.recipe("pause", &QAT.replace("steps = 8", "steps = 9"));
    let error = fixture.compress(&changed, Resume::Last, StopFlag::default());
    assert!(matches!(error, Err(CompressError::OtherRecipe { .. })), "{error:?}");
    let Outcome::Finished(report) = fixture.compress(&recipe, Resume::Last, StopFlag::default()).expect("done") else {
        panic!("interrupted")
    };
    let bytes = |report: &Report| fs::read(&report.stages[0].variant.path).expect("a file");
    let (mut cut, whole_bytes) = (bytes(&report), bytes(&whole));
    let name = cut.windows(5).position(|window| window == b"pause").expect("a file says what its model is called");
    cut[name..name + 5].copy_from_slice(b"whole");
    assert!(cut == whole_bytes, "the files differ");
    assert_eq!(report.stages[0].variant.bits_per_byte, whole.stages[0].variant.bits_per_byte);

    // begun anew, nothing of before is left beside what is not done yet
    stop.cell().store(0, std::sync::atomic::Ordering::Relaxed);
    let outcome = compress(&Job { recipe: &changed, resume: Resume::Overwrite, ..job }, &mut |event| {
        if matches!(event, Event::Training(trainer::Event::Step { step: 3, .. })) {
            cell.store(15, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert!(matches!(outcome, Ok(Outcome::Interrupted(15))), "{outcome:?}");
    let left: Vec<_> =
        fs::read_dir(&out).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.len() == 2 && left.iter().all(|name| name == "stages" || name == "recipe.toml"), "{left:?}");
}

#[test]
fn what_others_have_put_in_the_place_of_an_artifact_stays() {
    let fixture = Fixture::new();
    for (name, artifact) in [("int8", "run-int8.gguf"), ("fp8", "run-fp8")] {
        let out = fixture.out(&format!("out-{name}"));
        let mine = out.join(artifact).join("mine.txt");
        fs::create_dir_all(out.join(artifact)).expect("a directory");
        fs::write(&mine, "mine").expect("written");
        let recipe = Recipe::find(name).expect("builtin");
        let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("something is there");
        assert!(error.to_string().contains(artifact), "{error}");
        assert!(mine.is_file());
    }
}

#[test]
fn a_stage_that_costs_more_than_its_limit_stops_the_recipe() {
    let fixture = Fixture::new();
    let text = r#"
        about = "a limit that no rounding keeps"
        [[stage]]
        do = "finetune"
        train = { steps = 2, lr = 1e-4 }
        [[stage]]
        do = "quantize"
        kind = "q4_0"
        max_loss_percent = 1e-9
    "#;
    let recipe = fixture.recipe("strict", text);
    let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("too lossy");
    let CompressError::TooLossy { stage: 2, kept, .. } = &error else { panic!("{error}") };
    assert!(kept.ends_with("stages/1-finetune.gguf") && kept.is_file());
    assert!(error.to_string().contains("max_loss_percent"), "{error}");
    assert!(!fixture.out("out-strict").join("report.json").exists());
    assert!(!fixture.out("out-strict/run-strict.gguf").exists(), "what costs too much is no artifact");
}

#[test]
fn what_cannot_be_compressed_is_refused() {
    let fixture = Fixture::new();
    let checkpoint = itera_checkpoint::find_model(&fixture.out("run")).expect("a checkpoint");
    let copy = fixture.out("copy");
    fs::create_dir(&copy).expect("a directory");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(checkpoint.join(file), copy.join(file)).expect("copied");
    }
    let error = open(&copy, &[]).expect_err("no run").to_string();
    assert!(error.contains("not in a run directory"), "{error}");

    let other = ["tokenizer.kind=bpe".into(), "model.vocab_size=300".into()];
    let error = open(&fixture.out("run"), &other).expect_err("another tokenizer");
    assert!(matches!(error, CompressError::OtherData { .. }), "{error}");

    let recipe = fixture.recipe("stray", &QAT.replace("train =", "kinds = { mlp = \"f16\" }\ntrain ="));
    let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("no such role").to_string();
    assert!(error.contains("`mlp`"), "{error}");
    assert!(!fixture.out("out-stray").exists(), "nothing is written");
}
