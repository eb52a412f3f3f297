//! `itera repository` copies models, finds what changed, and puts them back.

use std::{fs, path::Path, process::Command};

use crate::support::Workplace;

/// A file, a directory, and a model of two versions; the bytes need not be those of models.
const FILES: [&str; 6] =
    ["a.gguf", "b/config.json", "b/model.safetensors", "b/card/README.md", "c/1/x.gguf", "c/12/x.gguf"];

fn write(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, text).expect("written");
}

fn read(dir: &Path) -> Vec<String> {
    FILES.iter().map(|file| fs::read_to_string(dir.join(file)).unwrap_or_default()).collect()
}

#[test]
fn models_come_back_as_they_were() {
    let here = Workplace::new();
    for file in FILES {
        write(&here.path("models"), file, file);
    }
    write(&here.path("models"), "notes.txt", "no model");
    let run = |code: i32, args: &[&str]| {
        let output = here.run(&[&["repository"][..], args].concat());
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        text
    };
    run(0, &["backup", "models", "kept/monday", "--dry-run"]);
    assert!(!here.path("kept").exists());
    let told = run(0, &["backup", "models", "kept/monday"]);
    assert!(told.starts_with("a.gguf\nb\nc/1/x.gguf\nc/12/x.gguf\n4 models, 6 files: copied and read back"), "{told}");
    let kept = here.path("kept/monday");
    assert_eq!(read(&kept), FILES);
    let sums = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&kept).status();
    assert!(sums.expect("it starts").success());
    assert!(run(1, &["backup", "models", "kept/monday"]).contains("kept/monday is there already"));
    assert!(run(0, &["verify", "kept/monday"]).contains("6 files are as they were"));

    // to where nothing is, and to where all is the same
    run(0, &["restore", "kept/monday", "new", "--dry-run"]);
    assert!(!here.path("new").exists());
    run(0, &["restore", "kept/monday", "new"]);
    assert_eq!(read(&here.path("new")), FILES);
    assert!(run(0, &["restore", "kept/monday", "new"]).contains("0 models put in place"));

    // what differs is replaced where that is asked for, and what the backup does not have stays
    let models = here.path("models");
    write(&models, "b/config.json", "other");
    write(&models, "c/12/x.gguf", "other");
    write(&models, "b/more.json", "a file more");
    write(&models, "c/13/x.gguf", "newer");
    fs::remove_file(models.join("a.gguf")).expect("removed");
    let before = read(&models);
    assert!(run(1, &["restore", "kept/monday", "models"]).contains("models/b is there and is another model"));
    let told = run(0, &["restore", "kept/monday", "models", "--dry-run"]);
    for line in ["new       a.gguf", "replaced  b", "same      c/1/x.gguf", "replaced  c/12/x.gguf"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(read(&models), before, "nothing was done");
    run(0, &["restore", "kept/monday", "models", "--overwrite"]);
    assert_eq!(read(&models), FILES);
    assert!(
        !models.join("b/more.json").exists()
            && models.join("c/13/x.gguf").exists()
            && models.join("notes.txt").exists()
    );

    // a backup that is not as it was puts nothing back
    write(&kept, "b/config.json", "Other");
    write(&kept, "d/config.json", "smuggled in");
    fs::remove_file(kept.join("a.gguf")).expect("removed");
    let sums = fs::read_to_string(kept.join("SHA256SUMS")).expect("sums");
    fs::write(kept.join("SHA256SUMS"), format!("{sums}{}  ../models/notes.txt\n", "0".repeat(64))).expect("written");
    let told = run(1, &["verify", "kept/monday"]);
    for problem in
        ["missing    a.gguf", "changed    b/config.json", "elsewhere  ../models/notes.txt", "unknown    d/config.json"]
    {
        assert!(told.contains(problem), "{problem}: {told}");
    }
    assert!(
        run(1, &["restore", "kept/monday", "models", "--overwrite"])
            .contains("4 files of kept/monday are not as they were")
    );
    assert_eq!(read(&models), FILES);
    assert!(run(1, &["verify", "models"]).contains("hint: `itera repository backup` makes one"));
    assert!(run(1, &["backup", "kept", "again"]).contains("kept has no models"));
}
