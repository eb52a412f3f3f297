//! ranks that tell each other what they do, apart from MPI → the one that is lost, named to all
//!
//! ```text
//! rank 1 ─ here … ─▶ ┌────────┐
//! rank 2 ─ here … ─▶ │ rank 0 ├─ here …, or lost … ─▶ ranks 1, 2, 3: all end alike
//! rank 3 ─ closed ─▶ └────────┘
//! ```
//!
//! A call of MPI waits for as long as others do not come, and cannot be broken off. So each rank has a thread that tells rank
//! 0 a few times a second what the rank does, by a connection of its own. Rank 0 decides; a rank decides for itself only
//! when it hears nothing of rank 0.

use std::{
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    beacon::Beacon,
    error::MpiError,
    judge::{GRACE, Judge, Lost},
    lines::{Line, Lines, tell},
    rendezvous::meet,
    world::World,
};

/// How often ranks tell what they do: a tenth of the limit within these.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(1);

/// What a rank does that watches: it tells others what it does, and is told when one is lost.
///
/// A watch that is dropped without [`Watch::leave`] or [`Watch::fail`] goes on to the end of the process, which the others
/// then notice.
pub struct Watch {
    inbox: Sender<(usize, Option<Line>)>,
    rank: usize,
    thread: JoinHandle<()>,
}

/// Why a rank is to end, as all that are left do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Who is lost, and what it did: the same line for all ranks that can speak to rank 0.
    pub why: String,
    /// The exit code of a rank that failed and did not end the others.
    pub code: Option<i32>,
    /// Whether it is for this rank to say so to a person: for rank 0, and, where that is lost, for rank 1.
    pub speaks: bool,
}

impl Watch {
    /// Watch the ranks of `world`, all of which call this. A rank is lost that is not heard for `limit`, or that others wait
    /// for while it does one thing for so long. Then `end` is called, once, from a thread of its own, with all ranks that are
    /// left: it ends the process. Another part of the answer are ranks that no connection leads to, which are not watched.
    ///
    /// # Errors
    /// [`MpiError`] if MPI fails.
    pub fn start(
        world: &World,
        limit: Duration,
        end: impl FnOnce(End) + Send + 'static,
    ) -> Result<(Self, Vec<usize>), MpiError> {
        let rank = world.rank();
        let hosts = world.allgather(world.host()?.as_bytes())?;
        let hosts: Vec<String> = hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        let streams = meet(world, &hosts)?;
        let alone = world.allgather(&[u8::from(rank > 0 && streams.is_empty())])?;
        let alone: Vec<usize> = (0..).zip(alone).filter(|(_, alone)| *alone == [1]).map(|(rank, _)| rank).collect();

        let (inbox, told) = channel();
        let now = Instant::now();
        let beacon = world.beacon().clone();
        let watched = streams.iter().map(|(rank, _)| *rank).chain([rank]).map(|rank| (rank, hosts[rank].clone()));
        let judge = Judge::new(limit, rank == 0, watched, &beacon.seen(), now);
        let mut peers = vec![];
        for (peer, stream) in streams {
            // one that was closed meanwhile is found to be by its reader
            if let Ok(reader) = stream.try_clone() {
                let inbox = inbox.clone();
                thread::spawn(move || read(peer, Lines::new(reader), &inbox));
            }
            peers.push(stream);
        }
        let beat = (limit / 10).clamp(OFTEN, SELDOM);
        let own = Own { rank, beacon, judge, peers, told, _inbox: inbox.clone(), beat };
        let thread = thread::spawn(move || own.watch().map_or((), end));
        Ok((Self { inbox, rank, thread }, alone))
    }

    /// Say that this rank ends, and nobody waits for it.
    pub fn leave(self) {
        self.say(Line::Leaves);
    }

    /// Say that this rank ends all with this exit code, which the others take if they are there two seconds later.
    pub fn fail(self, code: i32) {
        self.say(Line::Fails(code));
    }

    fn say(self, line: Line) {
        // a thread that has ended is about to end the process
        if self.inbox.send((self.rank, Some(line))).is_ok() {
            let _ = self.thread.join();
        }
    }
}

/// Pass on what a peer says, and that it has closed the connection, to whoever still listens.
fn read(peer: usize, lines: Lines, to: &Sender<(usize, Option<Line>)>) {
    let _ = lines.map(Some).chain([None]).try_for_each(|line| to.send((peer, line)));
}

/// The thread of a rank that watches.
struct Own {
    rank: usize,
    beacon: Beacon,
    judge: Judge,
    peers: Vec<TcpStream>,
    told: Receiver<(usize, Option<Line>)>,
    /// So that `told` stays open where no peer is left.
    _inbox: Sender<(usize, Option<Line>)>,
    beat: Duration,
}

impl Own {
    /// Until this rank leaves, or has to.
    fn watch(mut self) -> Option<End> {
        let mut next = Instant::now();
        loop {
            match self.told.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok((rank, line)) if rank == self.rank => {
                    self.tell(&line?);
                    return None;
                }
                Ok((rank, line)) => {
                    if let Some(end) = self.hear(rank, line) {
                        return Some(end);
                    }
                }
                Err(_) => {}
            }
            let (now, seen) = (Instant::now(), self.beacon.seen());
            if now >= next {
                next = now + self.beat;
                self.tell(&Line::Here(seen.clone()));
            }
            self.judge.see(self.rank, seen, now);
            if let Some(lost) = self.judge.look(now) {
                return Some(self.end(&lost));
            }
        }
    }

    fn hear(&mut self, rank: usize, line: Option<Line>) -> Option<End> {
        let now = Instant::now();
        match line {
            None => self.judge.is_closed(rank),
            Some(Line::Here(seen)) => self.judge.see(rank, seen, now),
            Some(Line::Leaves) => self.judge.leaves(rank),
            Some(Line::Fails(code)) => {
                self.judge.fails(rank, code, now + GRACE);
                self.tell(&Line::OtherFails(code));
            }
            // rank 0 knows which, and says so if it lives
            Some(Line::OtherFails(code)) => self.judge.fails(rank, code, now + 2 * GRACE),
            Some(Line::Lost { why, code }) if rank == 0 => return Some(End { why, code, speaks: false }),
            Some(Line::Lost { .. }) => {}
        }
        None
    }

    fn end(&mut self, lost: &Lost) -> End {
        let (why, code) = (lost.to_string(), lost.code());
        if self.rank == 0 {
            self.tell(&Line::Lost { why: why.clone(), code });
        }
        End { why, code, speaks: self.rank < 2 }
    }

    /// A peer that cannot be told is found to be gone or silent.
    fn tell(&mut self, line: &Line) {
        self.peers.iter_mut().for_each(|peer| drop(tell(peer, line)));
    }
}
