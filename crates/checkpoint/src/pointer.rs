//! run/last, run/best → a checkpoint of the run
//!
//! A pointer is a symbolic link or, where the file system has none, a text file that holds what the link would
//! (`checkpoints/step-001200`), which is how git writes links there. A copy that follows links has directories in their
//! place: such a directory is the checkpoint with the same seal, and is replaced as a link is. What else stands in the
//! place of a pointer is not Itera's: it stays, and the run goes without.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use itera_files::{FileError, failed_to, sync_dir, write_atomic};

use crate::{
    contents::{is_checkpoint_alone, is_real_dir, passing_over, remove_checkpoint},
    verify::seal_text,
};

/// The directory of a run's checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Longest text file that is read as a pointer.
const MAX_POINTER_BYTES: u64 = 64;

/// The last checkpoint of a run.
pub(crate) const LAST: &str = "last";
/// That of its lowest validation.
pub(crate) const BEST: &str = "best";

/// `step-001200`
pub(crate) fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step of a name that [`name`] gives.
pub(crate) fn step_of(file_name: &str) -> Option<u64> {
    file_name.strip_prefix("step-").and_then(|step| step.parse().ok()).filter(|step| name(*step) == file_name)
}

/// The step of the checkpoint that the pointer `link` of `run` means, if it is one; `steps` are those there are.
pub(crate) fn target(run: &Path, link: &str, steps: &[u64]) -> Option<u64> {
    let at = run.join(link);
    let kind = fs::symlink_metadata(&at).ok()?;
    if kind.is_symlink() {
        let dir = at.canonicalize().ok()?;
        let is_inside = dir.parent() == run.join(CHECKPOINTS).canonicalize().ok().as_deref();
        return step_of(dir.file_name()?.to_str()?).filter(|_| is_inside);
    }
    if kind.is_dir() {
        let seal = seal_text(&at)?;
        let is_same = |step: &&u64| seal_text(&run.join(CHECKPOINTS).join(name(**step))).as_ref() == Some(&seal);
        return steps.iter().find(is_same).copied();
    }
    let text = Some(kind).filter(|kind| kind.len() <= MAX_POINTER_BYTES).and_then(|_| fs::read_to_string(&at).ok())?;
    step_of(text.trim_end().strip_prefix(CHECKPOINTS)?.strip_prefix('/')?)
}

/// Point `link` of `run` at the checkpoint of `step`, or at none; `steps` are those there are.
pub(crate) fn point(run: &Path, link: &str, step: Option<u64>, steps: &[u64]) -> Result<(), FileError> {
    point_by(symlink, run, link, step, steps)
}

fn point_by(
    symlink: impl Fn(&Path, &Path) -> io::Result<()>,
    run: &Path,
    link: &str,
    step: Option<u64>,
    steps: &[u64],
) -> Result<(), FileError> {
    let at = run.join(link);
    if !is_ours(run, link, steps)? {
        return Ok(());
    }
    if is_real_dir(&at) {
        remove_checkpoint(&at)?;
    }
    let Some(step) = step else {
        return passing_over(&[ErrorKind::NotFound], fs::remove_file(&at)).map_err(failed_to("remove", &at));
    };
    let (target, staging) = (format!("{CHECKPOINTS}/{}", name(step)), run.join(format!(".{link}.itera-tmp")));
    passing_over(&[ErrorKind::NotFound], fs::remove_file(&staging)).map_err(failed_to("remove", &staging))?;
    match symlink(Path::new(&target), &staging) {
        Ok(()) => fs::rename(&staging, &at).map_err(failed_to("link", &at))?,
        Err(error) if has_no_links(&error) => return write_atomic(&at, format!("{target}\n").as_bytes()),
        Err(error) => return Err(failed_to("link", &staging)(error)),
    }
    sync_dir(run)
}

/// Whether `link` may be replaced: there is nothing, or a pointer.
fn is_ours(run: &Path, link: &str, steps: &[u64]) -> Result<bool, FileError> {
    let at = run.join(link);
    if fs::symlink_metadata(&at).is_err() {
        return Ok(true);
    }
    // one whose checkpoint is gone is a pointer still
    let is_link = || fs::read_link(&at).is_ok_and(|to| to.parent() == Some(Path::new(CHECKPOINTS)));
    if is_real_dir(&at) && !is_checkpoint_alone(&at)? {
        return Ok(false);
    }
    Ok(is_link() || target(run, link, steps).is_some())
}

/// Whether a file system or system refused to make a link because it makes none: FAT, some network shares, Windows
/// without the right to.
fn has_no_links(error: &io::Error) -> bool {
    const ERROR_PRIVILEGE_NOT_HELD: i32 = 1314;
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported)
        || cfg!(windows) && error.raw_os_error() == Some(ERROR_PRIVILEGE_NOT_HELD)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> tempfile::TempDir {
        let run = tempfile::tempdir().expect("a directory");
        [1, 2].iter().for_each(|step| seal(&run.path().join(CHECKPOINTS).join(name(*step)), &step.to_string()));
        run
    }

    fn seal(dir: &Path, text: &str) {
        fs::create_dir_all(dir.join("trainer")).expect("created");
        fs::write(dir.join("trainer/state.json"), text).expect("written");
    }

    const STEPS: [u64; 2] = [1, 2];

    #[test]
    fn where_links_cannot_be_made_a_text_file_points() {
        let refuse = |_: &Path, _: &Path| Err(io::Error::from(ErrorKind::PermissionDenied));
        let (run, at) = (run(), |run: &tempfile::TempDir| run.path().join(LAST));
        for step in STEPS {
            point_by(refuse, run.path(), LAST, Some(step), &STEPS).expect("pointed");
            assert_eq!(fs::read_to_string(at(&run)).expect("a file"), format!("checkpoints/step-00000{step}\n"));
            assert_eq!(target(run.path(), LAST, &STEPS), Some(step));
        }
        point(run.path(), LAST, Some(1), &STEPS).expect("links can be made again");
        assert!(at(&run).is_symlink());
        point_by(refuse, run.path(), LAST, Some(2), &STEPS).expect("and not any more");
        assert!(at(&run).is_file() && !at(&run).is_symlink());
        point(run.path(), LAST, None, &STEPS).expect("nowhere");
        assert!(!at(&run).exists());
        let full = |_: &Path, _: &Path| Err(io::Error::from(ErrorKind::StorageFull));
        point_by(full, run.path(), LAST, Some(1), &STEPS).expect_err("a failure");
    }

    #[test]
    fn a_copy_of_a_checkpoint_in_the_place_of_a_link_is_that_checkpoint() {
        let run = run();
        let at = run.path().join(BEST);
        seal(&at, "2");
        assert_eq!(target(run.path(), BEST, &STEPS), Some(2));
        point(run.path(), BEST, Some(1), &STEPS).expect("pointed");
        assert!(at.is_symlink());
        assert_eq!(target(run.path(), BEST, &STEPS), Some(1));
    }

    #[test]
    fn what_is_not_ours_stays_where_a_pointer_would_be() {
        let make: [fn(&Path); 4] = [
            |at| fs::create_dir(at).expect("created"),
            |at| seal(at, "another"),
            |at| seal(&at.join(""), "2"),
            |at| fs::write(at, "my notes").expect("written"),
        ];
        for (case, make) in make.iter().enumerate() {
            let run = run();
            let at = run.path().join(LAST);
            make(&at);
            if case == 2 {
                fs::write(at.join("notes.txt"), "mine").expect("written");
            }
            let before = fs::symlink_metadata(&at).expect("there").file_type();
            for step in [Some(1), None] {
                point(run.path(), LAST, step, &STEPS).expect("passed over");
                assert_eq!(fs::symlink_metadata(&at).expect("still there").file_type(), before, "case {case}");
            }
        }
    }
}
