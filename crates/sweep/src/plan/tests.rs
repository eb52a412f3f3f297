use std::path::Path;

use itera_testkit::chain;

use super::*;

const BASE: &str = "[train]\nlr = 2e-3\nsteps = 100\n[eval]\nevery_steps = 10\n[run]\nseed = 5\n";

fn plan_of(base: &str, sweep: &str) -> Result<Plan> {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("base.toml"), base).expect("written");
    let path = dir.path().join("s.toml");
    fs::write(&path, format!("base = \"base.toml\"\n{sweep}")).expect("written");
    Plan::load(&path)
}

fn plan(sweep: &str) -> Plan {
    plan_of(BASE, sweep).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.trials.iter().map(|trial| trial.name.as_str()).collect()
}

#[test]
fn every_value_is_taken_with_every_other_and_every_seed() {
    let plan = plan(
        "seeds = 2\n[[list]]\nmodel.d_model = 32\nmodel.n_layers = 6\n[[list]]\nmodel.d_model = 64\n\
         [grid]\ntrain.lr = [1e-3, 2e-3]\n[random]\ncount = 3\nseed = 1\ntrain.ema = { uniform = [0.0, 0.9] }",
    );
    assert_eq!((plan.cells.len(), plan.trials.len(), plan.repeated), (2 * 2 * 3, 24, 0));
    assert_eq!(plan.keys, ["model.d_model", "model.n_layers", "train.lr", "train.ema"]);
    assert!(plan.trials.iter().all(|trial| [5, 6].contains(&trial.seed)), "from the base's seed on");
    let layers = Config::default().model.n_layers;
    assert!(
        plan.cell_label(11).starts_with(&format!("model.d_model = 64, model.n_layers = {layers}, train.lr = 0.002,"))
    );
    let mut names = names(&plan);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 24);
    for (cell, Cell { trials, .. }) in plan.cells.iter().enumerate() {
        assert!(trials.iter().all(|trial| plan.trials[*trial].cell == cell));
    }
}

#[test]
fn a_name_is_that_of_the_configuration_however_it_is_written() {
    let grid = "[grid]\ntrain.lr = [1e-3]";
    let short = plan(grid);
    let default = Config::default();
    let long = format!(
        "[run]\nseed = 5\nthreads = 3\ndir = \"elsewhere\"\n[data]\ncache_dir = \"there\"\n[eval]\nevery_steps = 10\n[train]\nsteps = 100\nbeta1 = {:?}\n",
        default.train.beta1
    );
    for (base, sweep) in [
        (BASE, "[[list]]\ntrain.lr = 0.001"),
        (BASE, "[set]\ntrain.lr = 0.001"),
        (&long, grid),
        (&long, "seeds = [5]\n[grid]\ntrain.ema = [0]\ntrain.lr = [1e-3]"),
    ] {
        let plan = plan_of(base, sweep).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(names(&plan), names(&short), "{base}{sweep}");
    }
    assert_ne!(names(&plan("[grid]\ntrain.lr = [1e-3]\n[set]\ntrain.steps = 200")), names(&short));
    // names are for good: a version of the program that changes them runs all trials again
    assert_eq!(names(&short), ["b6ef248c6684ea08"]);
}

#[test]
fn a_sweep_that_grows_keeps_its_trials() {
    let small = plan("seeds = 2\n[grid]\ntrain.lr = [1e-3, 2e-3]");
    let large = plan("seeds = 3\n[grid]\ntrain.lr = [4e-3, 1e-3, 2e-3]\ntrain.optimizer = [\"muon\", \"adamw\"]");
    assert!(names(&small).iter().all(|name| names(&large).contains(name)));
    let draws =
        |count| plan(&format!("[random]\ncount = {count}\nseed = 3\ntrain.lr = {{ log_uniform = [1e-4, 1e-2] }}"));
    assert_eq!(names(&draws(3)), names(&draws(7))[..3]);
}

#[test]
fn a_cell_that_is_asked_for_again_is_there_once() {
    let plan = plan("[random]\ncount = 50\nseed = 1\ntrain.warmup_steps = { uniform = [1, 4] }");
    assert_eq!((plan.cells.len(), plan.repeated), (4, 46));
    let grid = self::plan("[grid]\ntrain.lr = [1e-3, 0.001]");
    assert_eq!((grid.trials.len(), grid.repeated), (1, 1));
}

#[test]
fn the_baseline_is_the_base_or_what_the_file_names() {
    let baseline = |sweep: &str| plan(sweep).baseline;
    assert_eq!(baseline("[grid]\ntrain.lr = [1e-3, 2e-3, 3e-3]"), 1, "what the base has");
    assert_eq!(baseline("[grid]\ntrain.lr = [1e-3, 3e-3]"), 0, "the first where none is the base");
    assert_eq!(baseline("[grid]\ntrain.lr = [1e-3, 1]\n[baseline]\ntrain.lr = 1"), 1);
    assert_eq!(
        baseline("[grid]\ntrain.lr = [1e-3, 2e-3]\ntrain.ema = [0, 0.9]\n[baseline]\ntrain.ema = 0.9\ntrain.lr = 2e-3"),
        3
    );
    for (sweep, found) in [
        ("[grid]\ntrain.lr = [1e-3, 2e-3]\n[baseline]\ntrain.lr = 5e-3", "is 0 of the 2 cells"),
        ("[grid]\ntrain.lr = [1e-3, 2e-3]\n[baseline]\ntrain.ema = 0.0", "is 0 of the 2 cells"),
        ("[grid]\ntrain.lr = [1e-3, 2e-3]\ntrain.ema = [0, 0.9]\n[baseline]\ntrain.lr = 1e-3", "is 2 of the 4 cells"),
    ] {
        let error = plan_of(BASE, sweep).expect_err("no baseline").to_string();
        assert!(error.contains(found), "{error}");
    }
}

#[test]
fn what_no_trial_can_run_is_refused_before_any_does() {
    for (sweep, expected) in [
        ("[grid]\ntrain.lrr = [1]", "unknown key `train.lrr`; the nearest is `train.lr`"),
        ("[grid]\ntrain.lr = [1e-3, \"high\"]", "s.toml, train.lr = \"high\": "),
        ("[grid]\ntrain.lr = [1e-3, -1]", "s.toml, train.lr = -1: "),
        ("[grid]\ntrain.steps = [1.5]", "`train.steps` = 1.5: expected a whole number"),
        ("[set]\ndata.source = \"-\"", "all trials: data is read from standard input"),
        ("[set]\ntrain.lr = \"0.1\"", "all trials: "),
        ("seeds = 1000\n[random]\ncount = 101\nseed = 1\ntrain.lr = { uniform = [1, 2] }", "more than 100000 trials"),
        ("median_stop = [100]", "compares at step 100, where the trial is over"),
        ("median_stop = [10, 25]", "compares at step 25, where the trial is not validated"),
        ("seeds = 9223372036854775807", "more than 100000 trials"),
    ] {
        let error = plan_of(BASE, sweep).expect_err(sweep);
        assert!(chain(&error).contains(expected), "{sweep}: {}", chain(&error));
    }
    let error = Plan::load(Path::new("no/such.toml")).expect_err("no file");
    assert_eq!(error.to_string(), "cannot read no/such.toml");
}
