//! The revision of the working directory.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Which commit a run was started from, if it was started inside a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GitRevision {
    /// A commit.
    Known {
        /// Its hash.
        revision: String,
        /// Whether tracked files differed from it.
        modified: bool,
    },
    /// No commit to name.
    Absent {
        /// Why not.
        absent_because: String,
    },
}

impl GitRevision {
    /// Asks `git` about `dir`.
    pub fn of(dir: &Path) -> Self {
        let known = || {
            let revision = git(dir, &["rev-parse", "HEAD"])?;
            let modified = !git(dir, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
            Ok(Self::Known { revision, modified })
        };
        known().unwrap_or_else(|absent_because| Self::Absent { absent_because })
    }
}

/// What a git command prints, or why it printed nothing.
fn git(dir: &Path, args: &[&str]) -> Result<String, String> {
    let out = Command::new("git").arg("-C").arg(dir).args(args).output().map_err(|e| format!("cannot run git: {e}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_named_and_changes_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| git(dir.path(), args).unwrap();
        run(&["init", "-q"]);
        std::fs::write(dir.path().join("file"), "one").unwrap();
        run(&["add", "file"]);
        run(&["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one"]);
        let revision = run(&["rev-parse", "HEAD"]);
        assert_eq!(GitRevision::of(dir.path()), GitRevision::Known { revision: revision.clone(), modified: false });
        std::fs::write(dir.path().join("file"), "two").unwrap();
        assert_eq!(GitRevision::of(dir.path()), GitRevision::Known { revision, modified: true });
    }

    #[test]
    fn outside_a_repository_the_reason_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let GitRevision::Absent { absent_because } = GitRevision::of(dir.path()) else {
            panic!("an empty temporary directory has no commit");
        };
        assert!(absent_because.contains("git"), "{absent_because}");
    }
}
