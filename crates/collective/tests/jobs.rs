//! Jobs of the MPIs that this machine has: the tests start this program again, as ranks of `mpiexec`.

use std::{
    env,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::channel,
    thread::sleep,
    time::{Duration, Instant},
};

use itera_collective::{End, Library, MpiError, Watch, World};
use itera_testkit::{MPICH, Mpi, OPEN_MPI, skip};

/// Parts so small that the messages of the tests are cut into several.
const PART_BYTES: usize = 7;
/// Lengths of messages: none, one byte, a part and its neighbours, several parts. Ranks wait for each other by polling, of
/// more processes than cores, so that each message takes long.
const LENGTHS: [usize; 6] = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 1];

/// What `size` processes that run one of the `rank_…` below print, and whether all succeed; `None` where this machine has no
/// such MPI.
fn job(mpi: &Mpi, size: usize, test: &str) -> Option<(bool, String)> {
    let mut launcher = mpi.job(size, env::current_exe().expect("this program"))?;
    Some(run(launcher.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])))
}

/// Whether a command succeeds, and all it prints.
fn run(command: &mut Command) -> (bool, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    let mut child = command.spawn().expect("it starts");
    // the ends of the pipe in `command` would keep the reader waiting
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let printed = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("read");
        String::from_utf8_lossy(&text).into_owned()
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if began.elapsed() > Duration::from_secs(120) => {
                child.kill().expect("killed");
                panic!("{command:?} does not end: {}", printed.join().expect("read"));
            }
            None => sleep(Duration::from_millis(20)),
        }
    };
    (status.success(), printed.join().expect("read"))
}

/// That all ranks of jobs of several sizes come to the end of a test.
fn all_ranks_pass(mpi: &Mpi, test: &str) {
    for size in [1, 2, 3, 4] {
        let Some((passed, printed)) = job(mpi, size, test) else { return };
        assert!(passed, "{size} ranks: {printed}");
        for rank in 0..size {
            let line = format!("rank {rank} of {size} passed");
            assert!(printed.contains(&line), "no `{line}`: {printed}");
        }
    }
}

fn joined() -> World {
    World::join().expect("MPI starts").expect("a launcher started this")
}

fn passed(world: World) {
    let line = format!("rank {} of {} passed\n", world.rank(), world.size());
    world.finalize().expect("MPI ends");
    // one write, so that lines of ranks do not mix
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("written");
}

/// Bytes that tell sender and length.
fn message(rank: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + rank * 7 + len) as u8).collect()
}

#[test]
fn ranks_of_mpich_exchange_bytes() {
    all_ranks_pass(&MPICH, "rank_exchanges");
}

#[test]
fn ranks_of_open_mpi_exchange_bytes() {
    all_ranks_pass(&OPEN_MPI, "rank_exchanges");
}

#[test]
#[ignore = "a rank of the tests above"]
fn rank_exchanges() {
    passed(exchange(joined()));
}

#[test]
fn threads_exchange_bytes_as_processes_do() {
    for size in [1, 2, 3, 5] {
        let worlds = World::of_threads(size);
        assert!(worlds.iter().all(|world| world.library().is_none() && world.size() == size));
        std::thread::scope(|scope| {
            worlds.into_iter().for_each(|world| drop(scope.spawn(|| exchange(world).finalize().expect("the end"))));
        });
    }
}

#[test]
fn a_thread_that_has_ended_is_not_waited_for() {
    let [first, second] = World::of_threads(2).try_into().ok().expect("two");
    drop(second);
    assert!(matches!(first.recv(1), Err(MpiError::Gone { rank: 1 })));
    assert!(matches!(first.barrier(), Err(MpiError::Gone { rank: 1 })));
}

/// All that ranks do together.
fn exchange(world: World) -> World {
    let (rank, size) = (world.rank(), world.size());
    assert!(rank < size && !world.host().expect("a name").is_empty());
    world.barrier().expect("all are here");
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    // in one part, and too long to be sent before it is received
    let of = |rank: usize| message(rank, (3 << 20) + rank);
    assert!(world.sendrecv(next, &of(rank), previous).expect("exchanged") == of(previous));
    let mut bytes = if rank == 0 { of(0) } else { Vec::new() };
    world.bcast(0, &mut bytes).expect("all have it");
    assert!(bytes == of(0));
    let world = world.with_part_bytes(PART_BYTES);
    for len in LENGTHS {
        // a ring, in which everybody sends first, and lengths differ from rank to rank
        let of = |rank: usize| message(rank, len + rank * PART_BYTES);
        let found = world.sendrecv(next, &of(rank), previous).expect("exchanged");
        assert!(found == of(previous), "ring of {len}");
        // pairs, with room of the right length
        let peer = rank ^ 1;
        if peer < size {
            let mut into = vec![0; len];
            world.sendrecv_into(peer, &message(rank, len), peer, &mut into).expect("exchanged");
            assert!(into == message(peer, len), "pair of {len}");
        }
        // a tree, from the last to the first
        if rank > 0 {
            world.send(rank - 1, &of(rank)).expect("sent");
            world.send(rank - 1, &message(rank, len)).expect("sent");
        }
        if next > 0 {
            assert!(world.recv(next).expect("received") == of(next), "{len}");
            let mut into = vec![0; len];
            world.recv_into(next, &mut into).expect("received");
            assert!(into == message(next, len), "{len}");
        }
        for root in 0..size {
            let mut bytes = if rank == root { of(root) } else { vec![1; rank] };
            world.bcast(root, &mut bytes).expect("all have it");
            assert!(bytes == of(root), "{len} from {root}");
            let mut bytes = if rank == root { message(root, len) } else { vec![0; len] };
            world.bcast_into(root, &mut bytes).expect("all have it");
            assert!(bytes == message(root, len), "{len} from {root}");
        }
        let all = world.allgather(&of(rank)).expect("all have it");
        assert!(all == (0..size).map(of).collect::<Vec<_>>(), "{len} of all");
        // to each another length, and to some nothing
        let part = |from: usize, to: usize| message(from + 3 * to, len * ((from + 2 * to) % 3));
        let parts = |part: &dyn Fn(usize) -> Vec<u8>| (0..size).map(part).collect::<Vec<_>>();
        let (out, into) = (parts(&|to| part(rank, to)), parts(&|from| part(from, rank)));
        let lengths = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
        let mut found = vec![0; into.concat().len()];
        world.alltoall_into(&out.concat(), &lengths(&out), &mut found, &lengths(&into)).expect("exchanged");
        assert!(found == into.concat(), "{len} to all");
    }
    world
}

#[test]
fn errors_of_mpich_are_typed() {
    all_ranks_pass(&MPICH, "rank_errs");
}

#[test]
fn errors_of_open_mpi_are_typed() {
    all_ranks_pass(&OPEN_MPI, "rank_errs");
}

#[test]
#[ignore = "a rank of the tests above"]
fn rank_errs() {
    let world = joined();
    let (rank, size) = (world.rank(), world.size());
    let error = world.send(size, b"x").expect_err("no such rank");
    assert!(matches!(error, MpiError::Rank { rank, size: of } if rank == size && of == size), "{error}");
    // each to itself: MPI delivers that too
    let error = world.sendrecv_into(rank, &[1, 2], rank, &mut [0; 3]).expect_err("shorter than its room");
    assert!(matches!(error, MpiError::Length { from, expected: 3, found: 2 } if from == rank), "{error}");
    let mut room = [0; 3];
    world.sendrecv_into(rank, &[1, 2, 3], rank, &mut room).expect("the one before was refused before it was sent");
    assert_eq!(room, [1, 2, 3]);
    let (ones, twos) = (vec![1; size], vec![2; size]);
    let error = world.alltoall_into(&vec![7; size], &ones, &mut vec![0; 2 * size], &twos).expect_err("shorter parts");
    assert!(matches!(error, MpiError::Length { from: 0, expected: 2, found: 1 }), "{error}");
    let error = world.alltoall_into(&vec![7; size], &twos, &mut vec![0; size], &ones).expect_err("no such bytes");
    assert!(matches!(error, MpiError::Parts { bytes, parts } if [bytes, parts] == [size; 2]), "{error}");
    assert!(matches!(World::join(), Err(MpiError::Started)));
    // ranks that cut at different places: MPI refuses the part that is longer than its room
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    let world = world.with_part_bytes(if rank % 2 == 0 { 6 } else { 3 });
    if size % 2 == 0 && rank % 2 == 0 {
        world.send(next, &[0; 6]).expect("sent");
    } else if size % 2 == 0 {
        let error = world.recv(previous).expect_err("longer than the part");
        let MpiError::Call { call: "MPI_Recv", code, text } = error else { panic!("{error}") };
        assert!(code != 0 && text.to_lowercase().contains("trunc"), "{code} {text}");
    }
    passed(world);
}

#[test]
fn ranks_that_watch_each_other_end_alike_when_one_does_not_come() {
    let ends = watched(3, Duration::from_secs(1), |world, _watch| {
        world.beacon().begin("data", 871);
        world.barrier().expect("all are here");
        if world.rank() == 2 {
            // alive, and in no call
            sleep(Duration::from_secs(3600));
        }
        world.beacon().begin("the sum", 871);
        drop(world.barrier());
    });
    let (why, spoken): (Vec<_>, Vec<_>) = ends.into_iter().map(|end| ((end.why, end.code), end.speaks)).unzip();
    let said = "rank 2 on this process has not reached the sum of step 871 (collective 6); it has been in data of step 871 for ";
    assert!(why[0].0.starts_with(said), "{why:?}");
    assert_eq!(why, vec![(why[0].0.clone(), None); 3], "all say the same");
    assert_eq!(spoken.iter().filter(|speaks| **speaks).count(), 1);
}

#[test]
fn a_rank_that_fails_ends_all_with_its_code() {
    for failing in [0, 1] {
        let ends = watched(3, Duration::from_secs(60), move |world, watch| {
            if world.rank() == failing {
                watch.fail(3);
            } else {
                std::mem::forget(watch);
            }
            sleep(Duration::from_secs(3600));
        });
        let why = format!("rank {failing} on this process has failed; last seen in start");
        assert!(ends.len() == 2 && ends.iter().all(|end| end.why == why && end.code == Some(3)), "{ends:?}");
    }
}

#[test]
fn a_rank_that_leaves_is_not_waited_for() {
    let (told, ends) = channel();
    std::thread::scope(|scope| {
        for world in World::of_threads(3) {
            let told = told.clone();
            scope.spawn(move || {
                let limit = Duration::from_secs(1);
                let (watch, alone) =
                    Watch::start(&world, limit, move |end| drop(told.send(end))).expect("all are here");
                assert!(alone.is_empty(), "{alone:?}");
                // longer than one that is silent is waited for
                sleep(limit * 3 / 2 * world.rank() as u32);
                watch.leave();
            });
        }
    });
    drop(told);
    assert_eq!(ends.iter().collect::<Vec<_>>(), [], "nobody is lost, whoever left first");
}

/// How the ranks end that do `work` as threads, which is for ever, and watch each other.
fn watched(size: usize, limit: Duration, work: impl Fn(World, Watch) + Clone + Send + 'static) -> Vec<End> {
    let (told, ends) = channel();
    for world in World::of_threads(size) {
        let (told, work) = (told.clone(), work.clone());
        std::thread::spawn(move || {
            let end = move |end| drop(told.send(end));
            let (watch, _) = Watch::start(&world, limit, end).expect("all are here");
            work(world, watch);
        });
    }
    drop(told);
    // one that leaves, or fails, drops its sender
    ends.iter().collect()
}

#[test]
fn one_rank_of_mpich_ends_all() {
    ends_all(&MPICH);
}

#[test]
fn one_rank_of_open_mpi_ends_all() {
    ends_all(&OPEN_MPI);
}

fn ends_all(mpi: &Mpi) {
    let Some((passed, printed)) = job(mpi, 3, "rank_aborts") else { return };
    assert!(!passed && !printed.contains(" passed"), "{printed}");
}

#[test]
#[ignore = "a rank of the tests above"]
fn rank_aborts() {
    let world = joined();
    if world.rank() == 1 {
        world.abort(3);
    }
    world.recv(1).expect("rank 1 sends nothing");
    passed(world);
}

/// The library of another MPI than the launcher's starts every process alone: nobody may take that for a job.
#[test]
fn the_library_of_another_mpi_is_refused() {
    let library = ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|dir| Path::new(dir).join("libmpi.so.40"))
        .into_iter()
        .find(|path| path.exists());
    let Some(library) = library else { return skip("no libmpi.so.40 in a system directory") };
    let Some(mut launcher) = MPICH.job(2, env::current_exe().expect("this program")) else { return };
    launcher.args(["rank_is_among_strangers", "--exact", "--ignored", "--nocapture"]);
    let (passed, printed) = run(launcher.env("ITERA_MPI_LIB", library));
    assert!(passed && printed.matches("is among strangers").count() == 2, "{printed}");
}

#[test]
#[ignore = "a rank of the test above"]
fn rank_is_among_strangers() {
    match World::join() {
        Err(MpiError::Strangers { launched: 2, seen: 1, version, .. }) => eprintln!("{version} is among strangers"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it joined"),
    }
}

#[test]
fn a_process_of_its_own_joins_nothing() {
    // even where the library that it would look for is none
    let mut alone = Command::new(env::current_exe().expect("this program"));
    alone.args(["process_is_alone", "--exact", "--ignored", "--nocapture"]).env("ITERA_MPI_LIB", "no/such/library.so");
    let (passed, printed) = run(&mut alone);
    assert!(passed, "{printed}");
    let (passed, printed) = run(alone.env("PMI_RANK", "0").env("PMI_SIZE", "2"));
    assert!(!passed && printed.contains("no/such/library.so"), "{printed}");
}

#[test]
#[ignore = "what the test above starts"]
fn process_is_alone() {
    if let Some(world) = World::join().unwrap_or_else(|error| panic!("{error}")) {
        panic!("{} ranks", world.size());
    }
}

/// What a program has loaded already, by its linker or by `LD_PRELOAD`, comes before any name.
#[cfg(target_os = "linux")]
#[test]
fn a_library_that_is_loaded_already_is_found() {
    for (name, version) in [("libmpich.so.12", "MPICH"), ("libmpi.so.40", "Open MPI")] {
        let mut alone = Command::new(env::current_exe().expect("this program"));
        alone.args(["process_says_what_it_finds", "--exact", "--ignored", "--nocapture"]).env_remove("ITERA_MPI_LIB");
        let (_, printed) = run(alone.env("LD_PRELOAD", name));
        if printed.contains("cannot be preloaded") {
            skip(&format!("no {name}"));
        } else {
            assert!(printed.contains(&format!("found this process: {version}")), "{printed}");
        }
    }
}

#[test]
#[ignore = "what the test above starts"]
fn process_says_what_it_finds() {
    match Library::find(None) {
        Ok(library) => eprintln!("found {}: {} ({})", library.name(), library.version(), library.abi()),
        Err(error) => eprintln!("{error}"),
    }
}
