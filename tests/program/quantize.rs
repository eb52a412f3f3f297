//! Any model's directory, rounded by `itera compress`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use itera_formats::write_safetensors;
use itera_kernels::quant::Kind;
use itera_shape::TensorRef;
use itera_testkit::{skip, uniform};
use serde_json::Value;

use crate::support::{Workplace, sha256};

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
    let stderr = here.fails(1, &["compress", &source(), "--recipe", "fp8", "--rounding", "mse"]);
    assert!(stderr.contains("in nvfp4 alone") && stderr.contains("hint: leave --rounding out"), "{stderr}");
    let stderr = here.fails(1, &["compress", "runs/none", "--recipe", "int4", "--skip", "a"]);
    assert!(stderr.contains("--skip is for directories of other models"), "{stderr}");
    let stderr =
        here.fails(1, &["compress", &source(), "--recipe", "fp8", "--layout", "modelopt", "--scales", "tensor"]);
    assert!(stderr.contains("the layout of ModelOpt"), "{stderr}");
}

/// Every file below a directory, and its hash.
fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(&here).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).expect("below it").to_owned(), sha256(&path));
            }
        }
    }
    found
}

/// A disk of `$1` kB in `disk`, on which `$2…` writes; what it says, its exit code, and what it leaves there.
const FULL: &str = r#"
mount -t tmpfs -o size=$1k none disk || exit 99
shift
"$@" 2>&1
echo "exit $?"
ls -A disk
[ ! -e disk/out ] || cp -r disk/out kept
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_anywhere_leaves_nothing_and_the_source_as_it_was() {
    let here = Workplace::new();
    let before = files(Path::new(&source()));
    fs::create_dir(here.path("disk")).expect("created");
    let on_disk = |kilobytes: usize| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", &kilobytes.to_string()]);
        command.args([env!("CARGO_BIN_EXE_itera"), "compress", &source(), "--recipe", "nvfp4", "-o", "disk/out"]);
        command.current_dir(here.path(".")).stdin(Stdio::null()).output()
    };
    let mut full = Vec::new();
    // a page more each time, until all fits
    for kilobytes in (4..400).step_by(4) {
        let output = match on_disk(kilobytes) {
            Ok(output) if !matches!(output.status.code(), Some(1 | 99)) => output,
            refused => return skip(&format!("no disk of its own: {refused:?}")),
        };
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        if said.contains("exit 0") {
            break;
        }
        assert!(said.contains("exit 1") && said.contains("No space left"), "{kilobytes} kB: {said}");
        assert!(said.contains("hint: make room there"), "{kilobytes} kB: {said}");
        assert!(said.ends_with("exit 1\n"), "something is left of {kilobytes} kB: {said}");
        full.push(said);
    }
    for file in ["model-00001-of-00002", "model-00002-of-00002"] {
        assert!(full.iter().any(|said| said.contains(file)), "no disk was full at {file}: {full:#?}");
    }
    assert_eq!(files(Path::new(&source())), before);
    here.ok(&["compress", &source(), "--recipe", "nvfp4", "-o", "out"]);
    assert_eq!(files(&here.path("kept")), files(&here.path("out")));
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_moment_leaves_nothing_half_made_and_the_next_run_succeeds() {
    let here = Workplace::new();
    fs::create_dir(here.path("source")).expect("created");
    fs::write(here.path("source/config.json"), "{}").expect("written");
    fs::write(here.path("source/other.txt"), "as it is").expect("written");
    let mut map = serde_json::Map::new();
    for file in ["one", "two", "three"] {
        let (name, shape) = (format!("{file}.up_proj.weight"), [1024, 1024]);
        let data = uniform(1 << 20, -1.0, 1.0, file.len() as u64);
        let tensor = TensorRef { name: &name, shape: &shape, data: &data };
        let file = format!("{file}.safetensors");
        write_safetensors(&here.path("source").join(&file), &[tensor], Kind::Bf16).expect("written");
        map.insert(name.clone(), file.into());
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    fs::write(here.path("source/model.safetensors.index.json"), index).expect("written");
    let before = files(&here.path("source"));
    let compress = ["compress", "source", "--recipe", "nvfp4", "--rounding", "mse", "-o"];
    let began = Instant::now();
    here.ok(&[&compress[..], &["whole"]].concat());
    let (took, whole) = (began.elapsed(), files(&here.path("whole")));

    let (mut killed, tries) = (0, 12);
    for try_ in 0..tries {
        let mut child =
            here.command(&[&compress[..], &["out"]].concat()).stderr(Stdio::null()).spawn().expect("it starts");
        // spread over the time that it takes, a little of which is not at its beginning
        sleep(took.mul_f64(f64::from(try_ * 5 % tries) / f64::from(tries)) + Duration::from_millis(1));
        child.kill().expect("killed, or done");
        let done = child.wait().expect("a child").success();
        killed += usize::from(!done);
        assert_eq!(files(&here.path("source")), before, "the source after {try_}");
        if here.path("out").exists() {
            assert_eq!(files(&here.path("out")), whole, "what is there after {try_} is whole");
            fs::remove_dir_all(here.path("out")).expect("removed");
        } else {
            assert!(!done);
        }
        here.ok(&[&compress[..], &["out"]].concat());
        assert_eq!(files(&here.path("out")), whole, "after {try_}");
        fs::remove_dir_all(here.path("out")).expect("removed");
        let left: Vec<_> =
            fs::read_dir(here.path(".")).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?} after {try_}");
    }
    assert!(killed > tries as usize / 3, "{killed} of {tries} were still at work");
}
