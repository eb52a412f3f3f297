//! what a process does → where others can see it

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What this process does now, for [`Watch`](crate::Watch) to tell the others. Cheap to clone and to change.
#[derive(Clone, Debug)]
pub struct Beacon(Arc<Mutex<Now>>);

#[derive(Debug)]
struct Now {
    phase: &'static str,
    step: Option<u64>,
    may_last: bool,
    since: Instant,
    collectives: u64,
    waits: bool,
}

/// What a process did when it was last asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// In words, such as `forward of step 871`.
    pub(crate) doing: String,
    /// Since when it does that, or waits in it.
    pub(crate) lasts: Duration,
    /// Whether it may do that for as long as it likes.
    pub(crate) may_last: bool,
    /// Collectives of all ranks that it has come to.
    pub(crate) collectives: u64,
    /// Whether it waits for the others in the last of them.
    pub(crate) waits: bool,
}

impl Default for Beacon {
    fn default() -> Self {
        let since = Instant::now();
        Self(Arc::new(Mutex::new(Now {
            phase: "start",
            step: None,
            may_last: true,
            since,
            collectives: 0,
            waits: false,
        })))
    }
}

impl Beacon {
    /// Begin a phase of `step`, which ends with the next one. What ranks do together after it is called by its name.
    pub fn begin(&self, phase: &'static str, step: u64) {
        let mut now = self.now();
        (now.phase, now.step, now.may_last, now.since) = (phase, Some(step), false, Instant::now());
    }

    /// Begin a phase that may last longer than others wait for one, such as the preparation of data.
    pub fn begin_long(&self, phase: &'static str) {
        let mut now = self.now();
        (now.phase, now.step, now.may_last, now.since) = (phase, None, true, Instant::now());
    }

    /// Come to a collective of all ranks, which lasts until what is returned is dropped.
    pub(crate) fn collective(&self) -> InCollective<'_> {
        let mut now = self.now();
        (now.collectives, now.waits, now.since) = (now.collectives + 1, true, Instant::now());
        InCollective(self)
    }

    pub(crate) fn seen(&self) -> Seen {
        let Now { phase, step, may_last, since, collectives, waits } = *self.now();
        let doing = step.map_or_else(|| phase.to_owned(), |step| format!("{phase} of step {step}"));
        Seen { doing, lasts: since.elapsed(), may_last, collectives, waits }
    }

    /// What a thread that panicked has left is as good as any.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process among others in a collective.
pub(crate) struct InCollective<'a>(&'a Beacon);

impl Drop for InCollective<'_> {
    fn drop(&mut self) {
        let mut now = self.0.now();
        (now.waits, now.since) = (false, Instant::now());
    }
}

/// As [`Seen::from_text`] reads it.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { doing, lasts, may_last, collectives, waits } = self;
        write!(f, "{collectives} {} {} {} {doing}", u8::from(*waits), u8::from(*may_last), lasts.as_millis())
    }
}

impl Seen {
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (collectives, waits, may_last, lasts) = (number()?, number()? != 0, number()? != 0, number()?);
        Some(Self {
            doing: parts.next()?.to_owned(),
            lasts: Duration::from_millis(lasts),
            may_last,
            collectives,
            waits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_what_was_begun_last() {
        let beacon = Beacon::default();
        let seen = beacon.seen();
        assert_eq!((seen.doing.as_str(), seen.may_last, seen.collectives, seen.waits), ("start", true, 0, false));
        beacon.begin("forward", 871);
        let collective = beacon.collective();
        let seen = beacon.seen();
        assert_eq!(
            (&*seen.doing, seen.may_last, seen.collectives, seen.waits),
            ("forward of step 871", false, 1, true)
        );
        let told = Seen { lasts: Duration::from_millis(1234), ..seen };
        assert_eq!(Seen::from_text(&told.to_string()), Some(told));
        drop(collective);
        assert!(!beacon.seen().waits);
        beacon.begin_long("the data");
        assert!(beacon.seen().may_last);
    }

    #[test]
    fn what_is_no_sighting_is_none() {
        for text in ["", "1", "1 0 0 5", "x 0 0 5 data", "1 0 0 -5 data"] {
            assert_eq!(Seen::from_text(text), None, "{text}");
        }
    }
}
