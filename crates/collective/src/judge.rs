//! what ranks were seen to do, and when → the one that the others need not wait for

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::beacon::Seen;

/// What a process knows of the ranks that it watches, itself among them.
pub(crate) struct Judge {
    limit: Duration,
    /// Whether it knows of all ranks, and so which one the others wait for.
    knows_all: bool,
    members: Vec<Member>,
    /// When this process last looked.
    looked: Instant,
    /// Since when it has looked often.
    steady: Instant,
}

struct Member {
    rank: usize,
    host: String,
    seen: Seen,
    heard: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Watched,
    /// It has said that it ends, as it should.
    Left,
    /// It has said that it ends all ranks, with this exit code, by then.
    Fails(i32, Instant),
    /// Its end of the connection is closed.
    Gone,
}

/// How long a rank that fails may take to end all.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// A rank that is not waited for any longer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lost {
    rank: usize,
    host: String,
    fault: Fault,
    last: Seen,
    /// What others wait for it in, and the number of that.
    awaited: Option<(String, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Its process has ended.
    Gone,
    /// Nothing was heard of it for so long.
    Silent(Duration),
    /// It lives and does not come.
    Late(Duration),
    /// It failed, and its end did not end the others.
    Failed(i32),
    /// All have come, and the collective does not end.
    Stuck(Duration),
}

impl Judge {
    /// Watches ranks by number and host, which were seen to do this last.
    pub(crate) fn new(
        limit: Duration,
        knows_all: bool,
        ranks: impl Iterator<Item = (usize, String)>,
        seen: &Seen,
        now: Instant,
    ) -> Self {
        let member = |(rank, host)| Member { rank, host, seen: seen.clone(), heard: now, state: State::Watched };
        Self { limit, knows_all, members: ranks.map(member).collect(), looked: now, steady: now }
    }

    pub(crate) fn see(&mut self, rank: usize, seen: Seen, now: Instant) {
        if let Some(member) = self.member(rank) {
            (member.seen, member.heard) = (seen, now);
        }
    }

    /// It ends, and nobody waits for it.
    pub(crate) fn leaves(&mut self, rank: usize) {
        self.set(rank, State::Left);
    }

    /// It ends all ranks with this exit code. Until `by` nobody is lost: ranks end in any order.
    pub(crate) fn fails(&mut self, rank: usize, code: i32, by: Instant) {
        self.set(rank, State::Fails(code, by));
    }

    /// Its end of the connection is closed.
    pub(crate) fn is_closed(&mut self, rank: usize) {
        if self.member(rank).is_some_and(|member| member.state == State::Watched) {
            self.set(rank, State::Gone);
        }
    }

    fn set(&mut self, rank: usize, state: State) {
        if let Some(member) = self.member(rank) {
            member.state = state;
        }
    }

    fn member(&mut self, rank: usize) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.rank == rank)
    }

    /// The rank that is lost, if one is; called often.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Lost> {
        // whoever was stopped itself, as a batch system may do with a whole job, has heard nothing meanwhile
        if now.duration_since(self.looked) > self.limit / 2 {
            self.steady = now;
            self.members.iter_mut().for_each(|member| member.heard = now);
        }
        self.looked = now;
        let steady = now.duration_since(self.steady);
        let lasts = |member: &Member| (member.seen.lasts + now.duration_since(member.heard)).min(steady);
        let watched = || self.members.iter().filter(|member| member.state == State::Watched);
        // the newest collective that somebody waits in
        let collective = watched().filter(|member| member.seen.waits).max_by_key(|member| member.seen.collectives);
        let awaited = |member: &Member| {
            let seen = &collective.filter(|collective| collective.seen.collectives > member.seen.collectives)?.seen;
            Some((seen.doing.clone(), seen.collectives))
        };
        let lost = |member: &Member, fault| {
            let Member { rank, ref host, ref seen, .. } = *member;
            Some(Lost { rank, host: host.clone(), fault, last: seen.clone(), awaited: awaited(member) })
        };
        for member in &self.members {
            if let State::Fails(code, by) = member.state {
                return if now > by { lost(member, Fault::Failed(code)) } else { None };
            }
        }
        for member in &self.members {
            let silence = now.duration_since(member.heard);
            match member.state {
                State::Gone => return lost(member, Fault::Gone),
                State::Watched if silence > self.limit => return lost(member, Fault::Silent(silence)),
                _ => {}
            }
        }
        // others may wait for one that is about to be silent for too long
        if !self.knows_all || watched().any(|member| now.duration_since(member.heard) > self.limit / 2) {
            return None;
        }
        let is_overdue = |member: &&Member| !member.seen.may_last && lasts(member) > self.limit;
        let late = watched().filter(is_overdue).filter(|member| awaited(member).is_some());
        if let Some(member) = late.min_by_key(|member| (member.seen.collectives, member.seen.waits)) {
            return lost(member, Fault::Late(lasts(member)));
        }
        let (collective, all) = (collective?, self.members.len());
        let waits = |member: &&Member| member.seen.waits && member.seen.collectives == collective.seen.collectives;
        let is_stuck = watched().filter(waits).filter(is_overdue).count() == all;
        if is_stuck { lost(collective, Fault::Stuck(watched().map(lasts).min()?)) } else { None }
    }
}

impl Lost {
    /// The exit code that it had, if it failed.
    pub(crate) fn code(&self) -> Option<i32> {
        match self.fault {
            Fault::Failed(code) => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, host, fault, last, awaited } = self;
        let Seen { doing, collectives, .. } = last;
        let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
        if let Fault::Stuck(time) = fault {
            return write!(
                f,
                "all ranks have been in {doing} (collective {collectives}) for {}: MPI delivers nothing",
                seconds(time)
            );
        }
        write!(f, "rank {rank} on {host}")?;
        match (fault, awaited) {
            (Fault::Gone, _) => f.write_str(" is gone")?,
            (Fault::Failed(_), _) => f.write_str(" has failed")?,
            (_, Some((collective, number))) => write!(f, " has not reached {collective} (collective {number})")?,
            _ if last.waits => write!(f, " has not left {doing} (collective {collectives})")?,
            _ => f.write_str(" is not heard")?,
        }
        match fault {
            Fault::Silent(time) => write!(f, "; last seen in {doing} {} ago", seconds(time)),
            Fault::Late(time) => write!(f, "; it has been in {doing} for {}", seconds(time)),
            Fault::Gone | Fault::Failed(_) | Fault::Stuck(_) => write!(f, "; last seen in {doing}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seen(doing: &str, collectives: u64, waits: bool) -> Seen {
        Seen { doing: doing.to_owned(), lasts: Duration::ZERO, may_last: false, collectives, waits }
    }

    /// Three ranks on two hosts, the last of which is late for the sum of step 871.
    fn judge(now: Instant) -> Judge {
        let hosts = ["h1", "h1", "h2"].map(str::to_owned).into_iter().enumerate();
        let mut judge = Judge::new(LIMIT, true, hosts, &seen("start", 0, false), now);
        for rank in [0, 1] {
            judge.see(rank, seen("the sum of step 871", 1204, true), now);
        }
        judge.see(2, seen("data of step 871", 1203, false), now);
        judge
    }

    /// Look every second from `begin` on, while ranks that `are_heard` go on as they are.
    fn look(judge: &mut Judge, begin: Instant, are_heard: &[usize]) -> Option<(u64, String)> {
        (1..60).find_map(|second| {
            let now = begin + Duration::from_secs(second);
            for &rank in are_heard {
                let seen = judge.member(rank).expect("a rank").seen.clone();
                judge.see(rank, Seen { lasts: seen.lasts + Duration::from_secs(1), ..seen }, now);
            }
            Some((second, judge.look(now)?.to_string()))
        })
    }

    #[test]
    fn a_rank_that_is_not_heard_is_named_with_what_others_wait_for() {
        let begin = Instant::now();
        let said = "rank 2 on h2 has not reached the sum of step 871 (collective 1204); last seen in data of step 871 11.0 s ago";
        assert_eq!(look(&mut judge(begin), begin, &[0, 1]), Some((11, said.into())));
    }

    #[test]
    fn a_rank_that_lives_and_does_not_come_is_named_unless_it_may_last() {
        let begin = Instant::now();
        let said = "rank 2 on h2 has not reached the sum of step 871 (collective 1204); \
                    it has been in data of step 871 for 11.0 s";
        assert_eq!(look(&mut judge(begin), begin, &[0, 1, 2]), Some((11, said.into())));
        let mut patient = judge(begin);
        patient.see(2, Seen { may_last: true, ..seen("preparation of the data", 1203, false) }, begin);
        assert_eq!(look(&mut patient, begin, &[0, 1, 2]), None);
        let mut alone = judge(begin);
        alone.see(0, seen("forward of step 871", 1203, false), begin);
        alone.see(1, seen("forward of step 871", 1203, false), begin);
        assert_eq!(look(&mut alone, begin, &[0, 1, 2]), None, "nobody waits for it");
    }

    #[test]
    fn a_rank_that_ends_is_gone_unless_it_said_so() {
        let begin = Instant::now();
        let mut gone = judge(begin);
        gone.is_closed(2);
        let said = "rank 2 on h2 is gone; last seen in data of step 871";
        assert_eq!(gone.look(begin).map(|lost| lost.to_string()), Some(said.into()));
        let mut left = judge(begin);
        left.leaves(2);
        left.is_closed(2);
        assert_eq!(left.look(begin), None);
        let mut failed = judge(begin);
        failed.fails(2, 3, begin + GRACE);
        (0..3).for_each(|rank| failed.is_closed(rank));
        assert_eq!(failed.look(begin), None, "it may end all by itself, in any order");
        let lost = failed.look(begin + 2 * GRACE).expect("it did not");
        assert_eq!((lost.code(), lost.to_string().contains("has failed")), (Some(3), true));
    }

    #[test]
    fn a_collective_that_does_not_end_is_told() {
        let begin = Instant::now();
        let mut judge = judge(begin);
        judge.see(2, seen("the sum of step 871", 1204, true), begin);
        let said = "all ranks have been in the sum of step 871 (collective 1204) for 11.0 s: MPI delivers nothing";
        assert_eq!(look(&mut judge, begin, &[0, 1, 2]), Some((11, said.into())));
    }

    /// MPI lets one rank out of a collective before another.
    #[test]
    fn who_waits_for_a_rank_that_is_silent_is_not_accused() {
        let begin = Instant::now();
        let hang = |heard: &[usize], waits| {
            let mut judge = judge(begin);
            judge.see(0, seen("the sum of step 871", 1203, true), begin);
            judge.see(2, seen("the sum of step 871", 1203, waits), begin);
            look(&mut judge, begin, heard)
        };
        for (heard, waits) in [(&[0, 1][..], true), (&[0, 1], false), (&[0, 1, 2], false)] {
            let (second, said) = hang(heard, waits).expect("rank 2 is lost");
            assert!(second == 11 && said.starts_with("rank 2 on h2 has not reached "), "{second} {said}");
        }
    }

    #[test]
    fn who_knows_of_rank_0_alone_says_only_whether_that_is_heard() {
        let begin = Instant::now();
        let mut waits = judge(begin);
        (waits.knows_all, waits.members[2].seen.collectives) = (false, 1204);
        assert_eq!(look(&mut waits, begin, &[0, 1, 2]), None);
        let (second, said) =
            look(&mut waits, begin + 60 * Duration::from_secs(1), &[1, 2]).expect("rank 0 is not heard");
        assert_eq!(second, 10, "it was last heard a second before");
        assert!(
            said.starts_with("rank 0 on h1 has not left the sum of step 871 (collective 1204); last seen in the sum "),
            "{said}"
        );
    }

    #[test]
    fn whoever_was_stopped_itself_accuses_nobody() {
        let begin = Instant::now();
        let mut judge = judge(begin);
        let later = begin + 100 * LIMIT;
        assert_eq!(judge.look(later), None);
        judge.see(2, Seen { lasts: 100 * LIMIT, ..seen("data of step 871", 1203, false) }, later);
        assert_eq!(judge.look(later), None, "it may have been stopped as well");
        assert_eq!(look(&mut judge, later, &[0, 1, 2]).map(|(second, _)| second), Some(11), "from then on");
    }
}
