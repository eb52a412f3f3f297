//! the batch job of Slurm that this process is in, if it is in one: when its time is over

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

/// How long before the end of its time a job stops where nobody says, and the part of the time left that this may be.
const STOP_BEFORE: Duration = Duration::from_secs(90);
const PART_OF_TIME_LEFT: u32 = 10;

/// Whether this process is in a job.
pub fn is_job() -> bool {
    env::var_os("SLURM_JOB_ID").is_some()
}

/// When a run stops so that it is saved before the job's time is over.
#[derive(Debug, PartialEq)]
pub struct Stop {
    /// Time that the job has left.
    pub left: Duration,
    /// How long before the end of it the run stops.
    pub before: Duration,
}

impl Stop {
    /// For this job; `None` if there is none, or it has no limit. Asks Slurm where the environment does not say.
    pub fn of_this_job(before: Option<Duration>) -> Option<Self> {
        let id = env::var("SLURM_JOB_ID").ok()?;
        let left =
            env::var("SLURM_JOB_END_TIME").ok().and_then(|end| until(&end)).or_else(|| ask_for_time_left(&id))?;
        Some(Self { left, before: before.unwrap_or(STOP_BEFORE.min(left / PART_OF_TIME_LEFT)) })
    }

    /// By the clock of the system.
    pub fn at(&self) -> SystemTime {
        SystemTime::now() + self.left.saturating_sub(self.before)
    }
}

/// From now to a time in seconds since 1970; nothing once that is past.
fn until(end: &str) -> Option<Duration> {
    let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end.parse().ok()?))?;
    Some(end.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Slurm before 23.02 tells only who asks.
fn ask_for_time_left(id: &str) -> Option<Duration> {
    let mut squeue = Command::new("squeue");
    squeue.args(["--noheader", "--format=%L", "--jobs", id]).stdin(Stdio::null());
    let said = squeue.output().ok()?.stdout;
    time_left(String::from_utf8_lossy(&said).lines().next()?)
}

/// `1-02:03:04`, `2:03:04` or `3:04`; limits that are none are words.
fn time_left(text: &str) -> Option<Duration> {
    let (days, rest) = text.trim().split_once('-').unwrap_or(("0", text.trim()));
    let mut parts = rest.rsplit(':').map(str::parse::<u64>);
    let [seconds, minutes] = [parts.next()?.ok()?, parts.next()?.ok()?];
    let hours = parts.next().unwrap_or(Ok(0)).ok()?;
    let hours = days.parse::<u64>().ok()?.checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_add(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_read_as_slurm_writes_it() {
        let seconds = |text| time_left(text).map(|left| left.as_secs());
        assert_eq!(seconds("1-02:03:04\n"), Some(((24 + 2) * 60 + 3) * 60 + 4));
        assert_eq!(seconds("2:03:04"), Some((2 * 60 + 3) * 60 + 4));
        assert_eq!((seconds("59:30"), seconds("0:00")), (Some(59 * 60 + 30), Some(0)));
        for text in
            ["UNLIMITED", "INVALID", "NOT_SET", "", "5", "99999999999999999999:00", "9999999999999999999-0:00:00"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn an_end_that_is_past_leaves_no_time() {
        assert_eq!(until("17"), Some(Duration::ZERO));
        assert!(until("9999999999").is_some_and(|left| left > Duration::from_secs(3600)));
        assert_eq!(until("soon"), None);
    }
}
