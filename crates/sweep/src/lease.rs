//! a directory that several processes see → the one of them that has it
//!
//! ```text
//! lease-0001  a has it … is silent for too long, or is gone
//! lease-0002  b has it … gives it back
//! lease-0003  c …
//! ```
//!
//! The newest lease counts. Who wants the directory creates the next one, which one process alone can ([`write_new`]), and
//! only when the newest is given back, is of a process that is certainly gone, or was not renewed for as long as it promises.
//! No lease is removed, or one would have to know for certain which it removes; they are few, and say who had a trial when.
//!
//! **Clocks of hosts do not count.** Renewing writes the lease, and its age is the time between that and a file that is
//! written now, both as the file system has it. A holder reckons by its own steady clock from before each renewal, so that it
//! knows itself lost before others take it for lost.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use itera_files::{failed_to, write_atomic, write_new};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, SweepError},
    owner::{Owner, Process},
};

/// What the names of leases begin with.
const PREFIX: &str = "lease-";
/// Renewals in the time that a lease lasts.
const RENEWALS: u32 = 6;

/// How the time of a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseEnd {
    /// The trial has its record.
    Recorded,
    /// Its work is saved, and goes on some time.
    Saved,
    /// What trained was killed.
    Killed,
}

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Who has it.
    pub owner: Owner,
    /// Seconds without a renewal after which others may take it.
    pub lasts_s: f64,
    /// Seconds that the owner has had it.
    pub held_s: f64,
    /// Absent while somebody has it, or has died with it.
    pub end: Option<LeaseEnd>,
}

/// A lease that this process has.
#[derive(Debug)]
pub(crate) struct Lease {
    dir: PathBuf,
    /// Its number among those of the directory, from 1.
    pub(crate) number: u64,
    terms: Terms,
    began: Instant,
    renewed: Instant,
}

/// The newest lease of a directory, as another sees it.
#[derive(Debug)]
pub(crate) enum Newest {
    /// There is none.
    None,
    /// Somebody has it.
    Held,
    /// This is its number, and the next may be created.
    Free(u64),
}

/// The time as a file system has it.
pub(crate) fn time_of(dir: &Path) -> Result<SystemTime> {
    let probe = || -> io::Result<SystemTime> {
        let path = dir.join(format!(".clock-{}-{}", std::process::id(), rand_of_now()));
        fs::write(&path, b"now")?;
        let written = File::open(&path)?.metadata()?.modified();
        fs::remove_file(&path)?;
        written
    };
    Ok(probe().map_err(failed_to("write to", dir))?)
}

/// A number that other processes of this number, on other hosts, do not have.
fn rand_of_now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{number:04}"))
}

/// Numbers of the leases of a directory, which may not exist, ascending.
fn numbers(dir: &Path) -> Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(failed_to("list", dir))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed_to("list", dir))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A file opened anew, as shared file systems show what others wrote only then; `None` for terms that are being written.
fn read(path: &Path) -> io::Result<(Option<Terms>, SystemTime)> {
    let mut text = String::new();
    let mut file = File::open(path)?;
    file.read_to_string(&mut text)?;
    Ok((serde_json::from_str(&text).ok(), file.metadata()?.modified()?))
}

/// What the leases of a directory said and say, oldest first, but for one that is just being written.
pub(crate) fn history(dir: &Path) -> Result<Vec<Terms>> {
    let mut terms = Vec::new();
    for number in numbers(dir)? {
        let path = path_of(dir, number);
        terms.extend(read(&path).map_err(failed_to("read", &path))?.0);
    }
    Ok(terms)
}

/// The newest lease of a directory at the time `now` of its file system. `lasts` is for one that is just being written.
pub(crate) fn newest(dir: &Path, now: SystemTime, here: &Owner, lasts: Duration) -> Result<Newest> {
    let Some(number) = numbers(dir)?.pop() else { return Ok(Newest::None) };
    let path = path_of(dir, number);
    let (terms, written) = match read(&path) {
        Ok(found) => found,
        // replaced while it was read, on a file system that shows that
        Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => return Ok(Newest::Held),
        Err(error) => return Err(failed_to("read", &path)(error).into()),
    };
    let lasts_s = terms.as_ref().map_or(lasts.as_secs_f64(), |terms| terms.lasts_s);
    let is_silent = now.duration_since(written).is_ok_and(|age| age.as_secs_f64() > lasts_s);
    let is_over = terms.is_some_and(|terms| terms.end.is_some() || terms.owner.is_gone(here));
    Ok(if is_over || is_silent { Newest::Free(number) } else { Newest::Held })
}

impl Lease {
    /// Take the directory, which exists, if nobody has it.
    pub(crate) fn claim(dir: &Path, now: SystemTime, here: &Owner, lasts: Duration) -> Result<Option<Self>> {
        let number = match newest(dir, now, here, lasts)? {
            Newest::None => 1,
            Newest::Free(number) => number + 1,
            Newest::Held => return Ok(None),
        };
        let terms = Terms { owner: here.clone(), lasts_s: lasts.as_secs_f64(), held_s: 0.0, end: None };
        let began = Instant::now();
        let is_ours = write_new(&path_of(dir, number), to_json(&terms).as_bytes())?;
        Ok(is_ours.then(|| Self { dir: dir.into(), number, terms, began, renewed: began }))
    }

    /// Time between renewals.
    pub(crate) fn interval(&self) -> Duration {
        self.lasts() / RENEWALS
    }

    /// Whether it is time to renew.
    pub(crate) fn is_due(&self) -> bool {
        self.renewed.elapsed() >= self.interval()
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.terms.lasts_s)
    }

    /// Renew; returns whether this process still has it. Where not, it has not known of its own time for too long.
    pub(crate) fn renew(&mut self) -> Result<bool> {
        let now = Instant::now();
        if self.renewed.elapsed() >= self.lasts() - self.interval() || self.is_superseded()? {
            return Ok(false);
        }
        self.write()?;
        self.renewed = now;
        Ok(true)
    }

    /// Say what trains.
    pub(crate) fn set_child(&mut self, child: u32) -> Result<()> {
        self.terms.owner.child = Some(Process::of(child));
        self.write()
    }

    /// Give it back.
    pub(crate) fn end(mut self, end: LeaseEnd) -> Result<()> {
        self.terms.end = Some(end);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        self.terms.held_s = self.began.elapsed().as_secs_f64();
        Ok(write_atomic(&path_of(&self.dir, self.number), to_json(&self.terms).as_bytes())?)
    }

    fn is_superseded(&self) -> Result<bool> {
        match File::open(path_of(&self.dir, self.number + 1)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(SweepError::Io(failed_to("open", path_of(&self.dir, self.number + 1))(error))),
        }
    }
}

fn to_json(terms: &Terms) -> String {
    serde_json::to_string(terms).expect("numbers and strings are JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LASTS: Duration = Duration::from_secs(60);

    /// An owner of whom nobody here knows whether it is there.
    fn far() -> Owner {
        let near = serde_json::to_value(Owner::here()).expect("JSON");
        let mut far = near;
        (far["host"], far["space"]) = ("far".into(), "another".into());
        serde_json::from_value(far).expect("an owner")
    }

    fn claim(dir: &Path, owner: &Owner) -> Option<Lease> {
        claim_in(dir, owner, Duration::ZERO)
    }

    /// Claim when the time of the file system is that much later.
    fn claim_in(dir: &Path, owner: &Owner, later: Duration) -> Option<Lease> {
        Lease::claim(dir, time_of(dir).expect("a time") + later, owner, LASTS).expect("tried")
    }

    #[test]
    fn of_many_one_has_it_each_time_it_is_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let here = Owner::here();
        for number in 1..=20 {
            let claim = || claim(dir.path(), &here);
            let won: Vec<Lease> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
                threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
            });
            let [lease] = <[Lease; 1]>::try_from(won).unwrap_or_else(|won| panic!("{} have it", won.len()));
            assert_eq!(lease.number, number);
            assert!(claim().is_none());
            lease.end(LeaseEnd::Saved).expect("written");
        }
        let ends: Vec<_> = history(dir.path()).expect("read").into_iter().map(|terms| terms.end).collect();
        assert_eq!(ends, [Some(LeaseEnd::Saved); 20]);
    }

    #[test]
    fn it_is_free_when_it_was_not_renewed_for_as_long_as_it_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = claim(dir.path(), &far()).expect("free");
        let here = Owner::here();
        assert!(claim_in(dir.path(), &here, LASTS - Duration::from_secs(5)).is_none());
        assert!(first.renew().expect("written"));
        let mut second = claim_in(dir.path(), &here, LASTS + Duration::from_secs(1)).expect("nobody renewed it");
        assert!(!first.renew().expect("read"), "another has it now");
        assert!(second.renew().expect("written"));
        assert_eq!(second.number, 2);
        // its promise counts, and not that of whoever asks
        let hour = Duration::from_secs(3600);
        let asks =
            |later| newest(dir.path(), time_of(dir.path()).expect("a time") + later, &far(), hour).expect("read");
        assert!(matches!(asks(Duration::from_secs(59)), Newest::Held));
        assert!(matches!(asks(Duration::from_secs(61)), Newest::Free(2)));
    }

    #[test]
    fn a_holder_that_has_slept_for_too_long_has_lost_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lease = claim(dir.path(), &far()).expect("free");
        lease.renewed = Instant::now().checked_sub(LASTS * 9 / 10).expect("the machine runs for a minute");
        assert!(!lease.renew().expect("no write"), "before others may take it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_free_at_once_when_its_holder_is_gone_and_was_of_this_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut gone = Owner::here();
        gone.worker.started = Some(1);
        claim(dir.path(), &gone).expect("free");
        assert!(claim(dir.path(), &far()).is_none(), "another host does not know");
        assert_eq!(claim(dir.path(), &Owner::here()).expect("free").number, 2);
        assert!(claim(dir.path(), &Owner::here()).is_none());
    }

    #[test]
    fn a_lease_that_is_being_written_is_held_for_a_while() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(path_of(dir.path(), 1), "{").expect("written");
        assert!(claim(dir.path(), &Owner::here()).is_none());
        assert!(claim_in(dir.path(), &Owner::here(), LASTS * 2).is_some());
    }

    /// A clock that is an hour ahead, or behind, changes nothing: the clock of this host is never asked.
    #[test]
    fn only_the_time_of_the_file_system_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut lease = claim(dir.path(), &far()).expect("free");
        for hours in [-1i64, 1] {
            let shift = Duration::from_secs(3600);
            let of_server = if hours < 0 { SystemTime::now() - shift } else { SystemTime::now() + shift };
            assert!(lease.renew().expect("written"));
            File::options()
                .write(true)
                .open(path_of(dir.path(), 1))
                .and_then(|file| file.set_modified(of_server))
                .expect("set");
            let claim = |later| Lease::claim(dir.path(), of_server + later, &Owner::here(), LASTS).expect("tried");
            assert!(claim(Duration::from_secs(30)).is_none());
        }
    }
}
