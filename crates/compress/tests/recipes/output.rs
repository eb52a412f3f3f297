//! What is in the output directory and is not of a recipe stays as it is.

use std::fs;

use itera_checkpoint::CheckpointError;
use itera_compress::{CompressError, Outcome, Recipe};
use itera_trainer::{Resume, StopFlag};

use crate::support::{Fixture, QAT};

const ALL: [Resume; 3] = [Resume::No, Resume::Overwrite, Resume::Last];

#[test]
fn what_others_wrote_where_a_recipe_would_write_is_an_error() {
    let fixture = Fixture::new();
    for (name, artifact) in [("int8", "run-int8.gguf"), ("fp8", "run-fp8")] {
        let recipe = Recipe::find(name).expect("builtin");
        let out = fixture.out(&format!("out-{name}"));
        let others = ["report.json", "recipe.toml", "stages/mine.txt", "compression_metadata.json"];
        let in_artifact = format!("{artifact}/mine.txt");
        for other in others.into_iter().chain([in_artifact.as_str(), artifact]) {
            let path = out.join(other);
            fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            fs::write(&path, "mine").expect("written");
            for resume in ALL {
                let error = fixture.compress(&recipe, resume, StopFlag::default());
                assert!(
                    matches!(&error, Err(CompressError::Foreign { path: found }) if path.starts_with(found)),
                    "{other}: {error:?}"
                );
                assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
                assert_eq!(fs::read_dir(&out).expect("a directory").count(), 1, "nothing is written");
            }
            fs::remove_dir_all(&out).expect("removed");
        }
    }
}

#[test]
fn what_others_wrote_beside_a_recipe_stays_when_that_is_done_anew() {
    let fixture = Fixture::new();
    let recipe = fixture.recipe("qat", QAT);
    let before = fixture.finish(&recipe);
    let out = fixture.out("out-qat");
    let mine = ["mine.txt", "stages/mine.txt", "stages/7-sins/mine.txt", "stages/1-quantize/mine.txt"];
    for name in mine {
        fs::create_dir_all(out.join(name).parent().expect("a directory")).expect("created");
        fs::write(out.join(name), "mine").expect("written");
    }
    let outcome = fixture.compress(&recipe, Resume::Overwrite, StopFlag::default());
    let Ok(Outcome::Finished(after)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(after.stages[0].steps, 8, "it is trained again");
    assert_eq!(after.stages[0].variant.bits_per_byte, before.stages[0].variant.bits_per_byte);
    for name in mine {
        assert_eq!(fs::read_to_string(out.join(name)).expect("there"), "mine");
    }

    // another recipe in its place leaves none of its files
    let other = Recipe { name: "qat".into(), ..Recipe::find("fp8").expect("builtin") };
    let outcome = fixture.compress(&other, Resume::Overwrite, StopFlag::default());
    assert!(matches!(outcome, Ok(Outcome::Finished(_))), "{outcome:?}");
    assert!(out.join("run-qat").is_dir() && !out.join("run-qat.gguf").exists());

    // a directory is replaced as a whole, so what is in it must be its own
    let (inside, report) = (out.join("run-qat/mine.txt"), out.join("report.json"));
    fs::write(&inside, "mine").expect("written");
    for resume in [Resume::Overwrite, Resume::Last] {
        let error = fixture.compress(&other, resume, StopFlag::default());
        assert!(matches!(&error, Err(CompressError::Checkpoint(CheckpointError::Foreign { .. }))), "{error:?}");
        assert!(inside.is_file() && report.is_file(), "nothing is removed");
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_no_report_can_name_is_refused_before_any_work() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let fixture = Fixture::new();
    let name = OsStr::from_bytes(b"r\xffn");
    let copy = fixture.out("x").with_file_name(name);
    fs::rename(fixture.out("run"), &copy).expect("renamed");
    let error = crate::support::open(&copy, &[]);
    assert!(matches!(&error, Err(CompressError::NotUnicode { path }) if *path == copy), "{error:?}");
    fs::rename(&copy, fixture.out("run")).expect("renamed");

    let error = fixture.compress_into(&copy, &fixture.recipe("qat", QAT));
    assert!(matches!(&error, Err(CompressError::NotUnicode { path }) if *path == copy), "{error:?}");
    assert!(!copy.exists(), "nothing is written");
}
