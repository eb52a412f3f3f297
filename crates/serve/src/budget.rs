//! bytes that models may take together, held before they are taken

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;

/// How long an engine that ends may take to give back what it holds.
const GIVEN_BACK: Duration = Duration::from_secs(10);

/// Bytes that are there, and how many of them are held.
#[derive(Debug)]
pub(crate) struct Budget {
    /// `None` where there is no end.
    most: Option<usize>,
    held: Mutex<usize>,
    changed: Condvar,
    /// How many are held, for others to see.
    told: Gauge,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

/// There are not as many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// Bytes that are asked for.
    pub bytes: usize,
    /// Bytes that are held by others.
    pub held: usize,
    /// Bytes that there are.
    pub most: usize,
}

impl Budget {
    /// Of `most` bytes nothing is held; `told` tells how many are.
    pub fn new(most: Option<usize>, told: Gauge) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::new(0), changed: Condvar::new(), told })
    }

    /// Hold nothing yet.
    pub fn nothing(self: &Arc<Self>) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Hold `bytes` in all. Where they are not there, `make_room` ends somebody who holds some, or returns `false` if there is
    /// nobody.
    pub fn grow(&mut self, bytes: usize, mut make_room: impl FnMut() -> bool) -> Result<(), NoRoom> {
        let most = self.budget.most.unwrap_or(usize::MAX);
        let mut held = self.budget.lock();
        loop {
            let of_others = *held - self.bytes;
            if of_others.checked_add(bytes).is_some_and(|all| all <= most) {
                *held = of_others + bytes;
                self.bytes = bytes;
                self.budget.told.set(*held as i64);
                return Ok(());
            }
            let before = *held;
            drop(held);
            if bytes > most || !make_room() {
                return Err(NoRoom { bytes, held: of_others, most });
            }
            let changed = &self.budget.changed;
            let waited = changed.wait_timeout_while(self.budget.lock(), GIVEN_BACK, |held| *held >= before);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.budget.lock();
        *held -= self.bytes;
        self.budget.told.set(*held as i64);
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_within_the_budget() {
        let told = Gauge::default();
        let budget = Budget::new(Some(10), told.clone());
        let (mut a, mut b) = (budget.nothing(), budget.nothing());
        a.grow(6, || panic!("there is room")).expect("room");
        assert_eq!(b.grow(5, || false), Err(NoRoom { bytes: 5, held: 6, most: 10 }));
        assert_eq!(b.grow(11, || panic!("nobody could make as much")), Err(NoRoom { bytes: 11, held: 6, most: 10 }));
        let mut a = Some(a);
        b.grow(5, || a.take().is_some()).expect("the other has ended");
        b.grow(10, || false).expect("its own do not count twice");
        assert_eq!(told.get(), 10);
        drop(b);
        assert_eq!(told.get(), 0);
        Budget::new(None, told).nothing().grow(usize::MAX, || false).expect("no end");
    }
}
