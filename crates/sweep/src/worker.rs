//! a plan, and a directory that other workers see too → trials trained, one record each
//!
//! ```text
//! next trial without a record that nobody has ─ lease ─▶ child process ─ its end ─▶ record, or the lease given back
//! ```
//!
//! There is no server. A worker looks for work by itself, and what another has left, it goes on with from the last checkpoint.

use std::{
    collections::{HashMap, HashSet},
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use itera_files::failed_to;

use crate::{
    attempt::{Asked, Attempt, Ended},
    error::Result,
    lease::{Lease, LeaseEnd, time_of},
    owner::Owner,
    plan::{Plan, Trial},
    record::{End, Record, TrialDir, Work},
    rungs::{Rungs, Stop},
};

/// Time between looks at the children.
const TICK: Duration = Duration::from_millis(20);
/// Time between looks for a trial while there is none to take, and before one is tried again that others have, or that was
/// stopped by somebody else.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Times in a row that what trains may be killed, as by a system that is out of memory.
const MOST_KILLS: usize = 3;

/// How a worker works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trials at once, at least one.
    pub at_once: usize,
    /// How long a trial stays this worker's without a sign of life.
    pub lease: Duration,
    /// Whether to wait for trials that others have, until all have a record, and take over those that are left.
    pub waits: bool,
    /// Whether to try those again that had failed by the time the worker began.
    pub retries_failed: bool,
}

/// What a worker is given by the program that it is part of.
pub struct Hands<'a> {
    /// What trains, or goes on with, a trial: it says what it does on standard output and error, exits with 0 when all is done,
    /// and, asked by SIGTERM, saves and exits with 75 or 143. Its standard input gets a byte now and then: it has to wait for
    /// the first, and to end at once when that is closed, or silent for two thirds of [`Options::lease`].
    pub command: &'a dyn Fn(&Trial, &TrialDir) -> Result<Command>,
    /// Whether to save and stop.
    pub asked_to_stop: &'a dyn Fn() -> bool,
    /// Is told what happens.
    pub tell: &'a mut dyn FnMut(Event<'_>),
}

/// What happens to a trial, by its index.
#[derive(Debug)]
pub enum Event<'a> {
    /// This worker trains it.
    Begun {
        /// The trial.
        trial: usize,
        /// How often somebody has begun it, this time included.
        lease: u64,
    },
    /// It is saved, for whoever goes on with it.
    Saved {
        /// The trial.
        trial: usize,
    },
    /// What trained it was killed by this signal; it is begun again.
    Killed {
        /// The trial.
        trial: usize,
        /// The signal.
        signal: i32,
    },
    /// Another worker has it, since this one was silent for too long.
    Lost {
        /// The trial.
        trial: usize,
    },
    /// It has ended, and this is left.
    Ended {
        /// The trial.
        trial: usize,
        /// Its record.
        record: &'a Record,
    },
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// All trials have their record.
    Done,
    /// So many trials are left, which others have.
    NothingFree(usize),
    /// It was asked to stop, and what it did is saved.
    Stopped,
}

/// Work at the trials of a plan until there is nothing to do.
///
/// # Errors
/// If a file cannot be read or written, or the directory of a trial holds another one. What trains then is ended.
pub fn work(plan: &Plan, options: &Options, hands: Hands<'_>) -> Result<WorkEnd> {
    let mut worker = Worker::new(plan, options, hands)?;
    loop {
        let is_stopping = (worker.hands.asked_to_stop)();
        if is_stopping {
            worker.running.iter_mut().for_each(|attempt| attempt.ask(Asked::Stop));
        }
        worker.tick()?;
        if !is_stopping {
            worker.take_trials()?;
        }
        if worker.running.is_empty() {
            let left = worker.left();
            if left == 0 {
                return Ok(WorkEnd::Done);
            }
            if is_stopping {
                return Ok(WorkEnd::Stopped);
            }
            if !options.waits && worker.has_looked_in_vain {
                return Ok(WorkEnd::NothingFree(left));
            }
        }
        sleep(TICK);
    }
}

struct Worker<'a, 'h> {
    plan: &'a Plan,
    options: &'a Options,
    hands: Hands<'h>,
    here: Owner,
    /// Of all trials, as far as this worker has seen.
    records: Vec<Option<Record>>,
    /// Failures to try again, by the lease under which they failed.
    to_retry: HashMap<usize, u64>,
    running: Vec<Attempt>,
    rungs: Rungs<'a>,
    /// When to look for work again, and at which trials not before.
    next_look: Instant,
    not_before: HashMap<usize, Instant>,
    /// Whether the last look at all trials found none.
    has_looked_in_vain: bool,
}

impl<'a, 'h> Worker<'a, 'h> {
    fn new(plan: &'a Plan, options: &'a Options, hands: Hands<'h>) -> Result<Self> {
        fs::create_dir_all(&plan.dir).map_err(failed_to("create", &plan.dir))?;
        let mut records = Vec::new();
        for trial in &plan.trials {
            records.push(TrialDir::new(&plan.dir, trial).record()?);
        }
        let failed = |(trial, record): (usize, &Option<Record>)| {
            let record = record.as_ref().filter(|record| options.retries_failed && record.end == End::Failed)?;
            Some((trial, record.work.lease))
        };
        Ok(Self {
            to_retry: records.iter().enumerate().filter_map(failed).collect(),
            records,
            plan,
            options,
            hands,
            here: Owner::here(),
            running: vec![],
            rungs: Rungs::new(plan),
            next_look: Instant::now(),
            not_before: HashMap::new(),
            has_looked_in_vain: false,
        })
    }

    /// Trials without a record, and failures that are to be tried again.
    fn left(&self) -> usize {
        (0..self.records.len())
            .filter(|trial| self.records[*trial].is_none() || self.to_retry.contains_key(trial))
            .count()
    }

    /// See to the children.
    fn tick(&mut self) -> Result<()> {
        let mut index = 0;
        while index < self.running.len() {
            match self.running[index].tick()? {
                None => index += 1,
                Some(ended) => {
                    let attempt = self.running.swap_remove(index);
                    self.end(attempt, ended)?;
                    self.next_look = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// Begin as many trials as this worker does at once, if there are any to take.
    fn take_trials(&mut self) -> Result<()> {
        if self.running.len() >= self.options.at_once || Instant::now() < self.next_look {
            return Ok(());
        }
        self.has_looked_in_vain = false;
        let ours: HashSet<usize> = self.running.iter().map(|attempt| attempt.trial).collect();
        for trial in 0..self.plan.trials.len() {
            let is_known = self.records[trial].is_some() && !self.to_retry.contains_key(&trial);
            if !is_known && !ours.contains(&trial) {
                self.look_at(trial)?;
            }
        }
        let (rung, stopped) = self.rungs.settle(&self.records)?;
        for stop in stopped {
            self.record_stop(stop)?;
        }
        // one that is as old as this look makes no lease look older than it is
        let now = time_of(&self.plan.dir)?;
        let mut is_soon = false;
        for trial in 0..self.plan.trials.len() {
            if self.running.len() >= self.options.at_once {
                return Ok(());
            }
            let is_over = self.records[trial].is_some() && !self.to_retry.contains_key(&trial);
            if is_over || ours.contains(&trial) || !self.rungs.may_run(trial, rung) {
                continue;
            }
            match self.not_before.get(&trial) {
                Some(time) if Instant::now() < *time => is_soon = true,
                _ => self.take(trial, rung, now)?,
            }
        }
        self.has_looked_in_vain = self.running.is_empty() && !is_soon;
        self.next_look = Instant::now() + LOOK_AGAIN;
        Ok(())
    }

    /// See whether another worker has ended a trial.
    fn look_at(&mut self, trial: usize) -> Result<()> {
        let record = self.dir(trial).record()?;
        let is_to_retry = match (&record, self.to_retry.get(&trial)) {
            (Some(record), Some(lease)) => record.work.lease == *lease,
            // another worker has begun to try it again
            _ => false,
        };
        if !is_to_retry {
            self.to_retry.remove(&trial);
        }
        self.records[trial] = record;
        Ok(())
    }

    fn dir(&self, trial: usize) -> TrialDir {
        TrialDir::new(&self.plan.dir, &self.plan.trials[trial])
    }

    /// Begin a trial, unless another has it.
    fn take(&mut self, index: usize, rung: usize, now: SystemTime) -> Result<()> {
        let (trial, dir) = (&self.plan.trials[index], self.dir(index));
        dir.prepare(trial)?;
        let Some(lease) = Lease::claim(dir.path(), now, &self.here, self.options.lease)? else { return Ok(()) };
        // it may have ended between the look and the claim; none can end it now
        self.look_at(index)?;
        if let Some(record) = &self.records[index] {
            if self.to_retry.remove(&index).is_none() {
                return lease.end(LeaseEnd::Recorded);
            }
            dir.put_away(record)?;
            self.records[index] = None;
        }
        let held_before = dir.leases()?.iter().map(|terms| terms.held_s).sum();
        let command = (self.hands.command)(trial, &dir)?;
        let number = lease.number;
        let mut attempt = Attempt::start(index, dir, lease, command)?;
        attempt.held_before = Duration::try_from_secs_f64(held_before).unwrap_or_default();
        attempt.limit = self.plan.minutes.and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok());
        attempt.pause_at = self.plan.median_stop.get(rung).copied();
        self.running.push(attempt);
        (self.hands.tell)(Event::Begun { trial: index, lease: number });
        Ok(())
    }

    /// Record how a run ended, or give its trial back.
    fn end(&mut self, mut attempt: Attempt, ended: Ended) -> Result<()> {
        let trial = attempt.trial;
        if attempt.asked == Some(Asked::Lost) || !attempt.lease.renew()? {
            (self.hands.tell)(Event::Lost { trial });
            return Ok(());
        }
        let (end, reason) = match (ended, attempt.asked) {
            (Ended::Finished, _) => (End::Done, None),
            (Ended::Failed(reason), _) => (End::Failed, Some(reason)),
            (Ended::Saved, Some(Asked::Minutes)) => {
                (End::Minutes, self.plan.minutes.map(|minutes| format!("its {minutes} minutes are over")))
            }
            (Ended::Saved, asked) => {
                if asked.is_none() {
                    self.not_before.insert(trial, Instant::now() + LOOK_AGAIN);
                }
                (self.hands.tell)(Event::Saved { trial });
                return attempt.lease.end(LeaseEnd::Saved);
            }
            (Ended::Killed(signal), _) => {
                let leases = attempt.dir.leases()?;
                let before =
                    leases.iter().rev().skip(1).take_while(|terms| terms.end == Some(LeaseEnd::Killed)).count();
                if before + 1 < MOST_KILLS {
                    (self.hands.tell)(Event::Killed { trial, signal });
                    return attempt.lease.end(LeaseEnd::Killed);
                }
                (End::Failed, Some(format!("killed by signal {signal}, {MOST_KILLS} times in a row")))
            }
        };
        let work =
            Work { lease: attempt.lease.number, held_s: attempt.held().as_secs_f64(), host: self.here.host.clone() };
        let record = attempt.dir.to_record(&self.plan.trials[trial], end, reason, u64::MAX, work)?;
        attempt.dir.write_record(&record)?;
        attempt.lease.end(LeaseEnd::Recorded)?;
        (self.hands.tell)(Event::Ended { trial, record: &record });
        self.records[trial] = Some(record);
        Ok(())
    }

    /// Record that the rule of the median has stopped a trial, which nobody trains. All workers find the same.
    fn record_stop(&mut self, Stop { trial, step, reason }: Stop) -> Result<()> {
        let dir = self.dir(trial);
        let leases = dir.leases()?;
        let held_s = leases.iter().map(|terms| terms.held_s).sum();
        let work = Work { lease: leases.len() as u64, held_s, host: self.here.host.clone() };
        let record = dir.to_record(&self.plan.trials[trial], End::Median, Some(reason), step, work)?;
        dir.write_record(&record)?;
        self.look_at(trial)?;
        if let Some(record) = &self.records[trial] {
            (self.hands.tell)(Event::Ended { trial, record });
        }
        Ok(())
    }
}
