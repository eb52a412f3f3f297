//! launcher → names in order → the first library that can be used

use std::{env, ffi::OsString};

use crate::{
    abi::{self, Abi, Functions},
    error::{MpiError, Tried},
    launch::{Launch, Launcher},
};

/// The variable that names the library to use, and no other.
const NAMED_BY: &str = "ITERA_MPI_LIB";

const STANDARD: &str = "libmpi_abi.so.1";
const MPICH: &str = "libmpi.so.12";
/// MPICH as Debian calls it, whose `libmpi.so` may be any MPI.
const MPICH_OF_DEBIAN: &str = "libmpich.so.12";
const OPEN_MPI: &str = "libmpi.so.40";

/// An MPI that is loaded and not started.
#[derive(Debug)]
pub struct Library {
    name: String,
    abi: Abi,
    version: String,
    pub(crate) functions: Functions,
}

impl Library {
    /// The MPI of this process: the one that `ITERA_MPI_LIB` names; if it names none, what is loaded already; then the
    /// names that libraries have, those first that the launcher suits.
    ///
    /// It stays loaded to the end of the process, like those that were looked at and refused.
    ///
    /// # Errors
    /// [`MpiError::Static`] and [`MpiError::NoLibrary`].
    pub fn find(launch: Option<&Launch>) -> Result<Self, MpiError> {
        Self::find_among(candidates(launch.map(|launch| launch.launcher), env::var_os(NAMED_BY)))
    }

    fn find_among(candidates: Vec<Candidate>) -> Result<Self, MpiError> {
        if cfg!(target_feature = "crt-static") {
            return Err(MpiError::Static);
        }
        let mut tried = Vec::new();
        for candidate in candidates {
            let (name, opened) = match candidate {
                Candidate::ThisProcess => ("this process".into(), abi::of_this_process()),
                Candidate::Named(path) => (path.to_string_lossy().into_owned(), abi::open(&path)),
            };
            match opened {
                Ok((abi, version, functions)) => return Ok(Self { name, abi, version, functions }),
                Err(refusal) => tried.push(Tried { name, refusal }),
            }
        }
        Err(MpiError::NoLibrary { tried })
    }

    /// The name by which it was found: a path, a file name, or `this process`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its binary interface.
    pub fn abi(&self) -> Abi {
        self.abi
    }

    /// What it calls itself, with its version; one line.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[derive(Debug, PartialEq)]
enum Candidate {
    ThisProcess,
    Named(OsString),
}

/// What to try, in order. A job that the launcher of one MPI started is, to the library of another, as many jobs of one
/// process: the right one comes first.
fn candidates(launcher: Option<Launcher>, named: Option<OsString>) -> Vec<Candidate> {
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        return vec![Candidate::Named(path)];
    }
    let names = match launcher {
        Some(Launcher::OpenMpi) => [OPEN_MPI, STANDARD, MPICH, MPICH_OF_DEBIAN],
        Some(Launcher::Pmi | Launcher::Mvapich | Launcher::Pals) => [STANDARD, MPICH, MPICH_OF_DEBIAN, OPEN_MPI],
        Some(Launcher::Slurm | Launcher::Pmix) | None => [STANDARD, OPEN_MPI, MPICH, MPICH_OF_DEBIAN],
    };
    [Candidate::ThisProcess].into_iter().chain(names.map(|name| Candidate::Named(name.into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_is_named_is_the_only_one() {
        assert_eq!(candidates(None, Some("mine.so".into())), [Candidate::Named("mine.so".into())]);
        assert_eq!(candidates(None, Some(OsString::new())), candidates(None, None));
    }

    #[test]
    fn all_names_are_tried_with_that_of_the_launcher_first() {
        for (launcher, first) in [(Launcher::OpenMpi, OPEN_MPI), (Launcher::Pmi, STANDARD), (Launcher::Slurm, STANDARD)]
        {
            let tried = candidates(Some(launcher), None);
            assert_eq!(tried[..2], [Candidate::ThisProcess, Candidate::Named(first.into())], "{launcher}");
            for name in [STANDARD, MPICH, MPICH_OF_DEBIAN, OPEN_MPI] {
                assert!(tried.contains(&Candidate::Named(name.into())), "{launcher} {name}");
            }
        }
    }

    /// This process has no MPI in it, the C library is none, and a file that is not there cannot be loaded.
    #[cfg(all(target_os = "linux", not(target_feature = "crt-static")))]
    #[test]
    fn a_refusal_says_what_was_tried_and_why() {
        use crate::error::Refusal;

        let tried = vec![
            Candidate::ThisProcess,
            Candidate::Named("no/such/library.so".into()),
            Candidate::Named("libc.so.6".into()),
        ];
        let error = Library::find_among(tried).expect_err("none of them is an MPI");
        let text = error.to_string();
        let MpiError::NoLibrary { tried } = error else { panic!("{text}") };
        assert_eq!(
            tried.iter().map(|tried| &*tried.name).collect::<Vec<_>>(),
            ["this process", "no/such/library.so", "libc.so.6"]
        );
        assert_eq!((&tried[0].refusal, &tried[2].refusal), (&Refusal::NotMpi, &Refusal::NotMpi));
        let Refusal::NotLoaded(reason) = &tried[1].refusal else { panic!("{text}") };
        assert!(reason.contains("No such file"), "{reason}");
        assert!(text.contains("no/such/library.so (") && text.ends_with("libc.so.6 (no MPI in it)"), "{text}");
    }

    /// `RUSTFLAGS=-Ctarget-feature=+crt-static cargo test -p itera-collective --lib --target x86_64-unknown-linux-gnu`
    #[cfg(target_feature = "crt-static")]
    #[test]
    fn a_program_that_is_linked_statically_says_so() {
        assert!(matches!(Library::find(None), Err(MpiError::Static)));
    }
}
