//! A temperature that is found on held-out documents goes into the file, and nothing else of it changes.

use itera_compress::{CompressError, Misfit, Plan, Report};
use itera_formats::ModelFile;

use crate::support::Fixture;

const ROUND: &str = "[[stage]]\ndo = 'quantize'\nkind = 'q4_0'\n";
const CALIBRATE: &str = "[[stage]]\ndo = 'calibrate'\ndocuments = 3\n";

#[test]
fn a_temperature_divides_logits_before_or_after_rounding_and_no_matrix_changes() {
    let fixture = Fixture::new();
    let finish = |name: &str, stages: &[&str]| {
        let recipe = fixture.recipe(name, &format!("about = 'x'\n{}", stages.concat()));
        let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");
        let report = fixture.finish(&recipe);
        let artifact = &report.stages.last().expect("a stage").variant;
        assert_eq!(artifact.path, fixture.out(&format!("out-{name}/run-{name}.gguf")));
        assert_eq!(artifact.size_bytes, plan.size_bytes);
        report
    };
    let model =
        |report: &Report| ModelFile::open(&report.stages.last().expect("a stage").variant.path).expect("a model");
    let plain = finish("rounds", &[ROUND]);
    let (after, before) = (finish("after", &[ROUND, CALIBRATE]), finish("before", &[CALIBRATE, ROUND]));
    for (report, stage) in [(&after, 1), (&before, 0)] {
        let temperature = report.stages[stage].temperature.expect("a temperature");
        assert!(temperature != 1.0 && report.stages[1 - stage].temperature.is_none());
        let (with, without) = (model(report), model(&plain));
        // files have numbers of 32 bits
        assert_eq!(with.config().logits_scaling as f32, temperature as f32);
        assert_eq!(without.config().logits_scaling, 1.0);
        for name in ["embed", "layers.0.mamba.in_proj", "layers.1.moe.1.out"] {
            let bytes = |model: &ModelFile| model.matrix(name).expect("a matrix").bytes().to_vec();
            assert_eq!(bytes(&with), bytes(&without), "{name}");
        }
        // three are asked for and three held out, of which at most half are taken
        assert_eq!((plain.documents, report.documents), (3, 2), "what it is found on is not scored");
    }
    // the model had just begun to learn, so that its logits are far from what they should be
    let bpb = |report: &Report| report.stages.last().expect("a stage").variant.bits_per_byte;
    let uncalibrated = after.stages[0].variant.bits_per_byte;
    assert!(bpb(&after) < uncalibrated && bpb(&before) < uncalibrated);
}

#[test]
fn what_is_trained_after_it_is_trained_at_its_temperature() {
    let fixture = Fixture::new();
    let train = "train = { steps = 2, lr = 1e-4 }\n";
    let recipe = fixture.recipe("warm", &format!("about = 'x'\n{CALIBRATE}{ROUND}{train}"));
    let report = fixture.finish(&recipe);
    let temperature = report.stages[0].temperature.expect("a temperature");
    let config = fixture.out("out-warm/stages/2-quantize/config.toml");
    let config = itera_config::Config::load(&config, &[]).expect("a configuration");
    assert_eq!(config.model.logits_scaling, temperature);
}

#[test]
fn a_run_that_holds_out_too_little_cannot_be_calibrated() {
    let fixture = Fixture::with(&["data.builtin_bytes=20000", "data.valid_fraction=0.00001", "train.seq_len=8"]);
    assert_eq!(fixture.baseline.data.summary.corpus.valid.documents, 1);
    let recipe = fixture.recipe("few", &format!("about = 'x'\n{ROUND}{CALIBRATE}"));
    let error = Plan::new(&recipe, &fixture.baseline, true).expect_err("one document is scored");
    assert!(matches!(error, CompressError::Misfit { problem: Misfit::HeldOut { documents: 1 }, .. }), "{error}");
}
