//! Two hosts of this machine, joined by cables: namespaces of the network, which a user without privileges may make.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use itera_testkit::{MPICH, skip};

use crate::support::{Workplace, borrowed, metrics, set, sha256};

/// Makes hosts h1 and h2, each with a cable to a bridge on which this machine is a third.
const HOSTS: &str = include_str!("two_hosts.sh");

/// Starts two processes on each. The cable of h2 is pulled when there is a file `cut`. MPI has to use the cables, and not the
/// memory that the hosts share.
const FOUR: &str = r#"
(while ! [ -e cut ]; do sleep 0.1; done; ip link set cable2 down) &
UCX_TLS=tcp,self exec mpiexec.hydra -launcher rsh -launcher-exec ./agent -iface bridge -hosts h1:2,h2:2 -n 4 "$@"
"#;

/// What a launcher runs to start a command on a host, as `rsh` does.
const AGENT: &str = include_str!("rsh_agent.sh");

/// `itera args…` by four processes on two hosts; `None` where this machine cannot have them. All end with the first.
fn on_two_hosts(here: &Workplace, args: &[String]) -> Option<Command> {
    MPICH.job(4, "true")?;
    let command = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        // the cables carry what they can
        command.args(["sh", "-c", HOSTS, "sh", ""]).args(args).current_dir(here.path(".")).stdin(Stdio::null());
        command
    };
    fs::write(here.path("agent"), AGENT).expect("written");
    fs::set_permissions(here.path("agent"), fs::Permissions::from_mode(0o755)).expect("a file");
    let tried = command(&["true"]).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        skip(&format!("no namespaces with hosts of their own: {tried:?}"));
        return None;
    }
    Some(command(&[&["sh", "-c", FOUR, "sh", env!("CARGO_BIN_EXE_itera")], &borrowed(args)[..]].concat()))
}

const CHANGES: [&str; 4] = ["train.grad_accum_steps=5", "train.batch_size=2", "model.dropout=0.1", "log.every_steps=1"];

#[test]
fn two_hosts_train_the_bytes_of_one_process() {
    let here = Workplace::new();
    let changes = set(&[&CHANGES[..], &["train.steps=12"]].concat());
    let Some(mut job) = on_two_hosts(&here, &here.train("two", &changes)) else { return };
    let done = job.output().expect("it starts");
    // MPICH by TCP alone may not end by itself, and its launcher may not like that: what counts is what is left
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("ranks: 4 on 2 hosts") && said.contains("step 12/12"), "{said}");
    assert!(!said.contains("warning"), "all ranks reach rank 0: {said}");
    here.ok(&borrowed(&here.train("one", &changes)));
    for file in ["model.safetensors", "trainer/optimizer.safetensors"] {
        let hash = |run: &str| sha256(&here.path(run).join("last").join(file));
        assert_eq!(hash("two"), hash("one"), "{file}");
    }
    assert_eq!(metrics(&here.path("two")), metrics(&here.path("one")));
}

#[test]
fn doctor_compares_the_clocks_of_hosts() {
    let here = Workplace::new();
    let args = ["doctor", "--cluster", "--json"].map(str::to_owned);
    let Some(mut job) = on_two_hosts(&here, &args) else { return };
    let done = job.output().expect("it starts");
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!((&found["hosts"][0]["name"], &found["hosts"][1]["name"]), (&"h1".into(), &"h2".into()), "{found}");
    let [clock] = &found["clocks"].as_array().expect("clocks")[..] else { panic!("{found}") };
    // both hosts are this machine
    let [ahead, within] = ["ahead_us", "within_us"].map(|key| clock[key].as_f64().expect("a number"));
    assert!(clock["host"] == "h2" && ahead.abs() <= within + 1.0 && within < 1e6, "{found}");
}

#[test]
fn a_host_that_is_cut_off_is_named_and_all_ranks_end() {
    let here = Workplace::new();
    let changes = set(&[&CHANGES[..], &["train.steps=1000000"]].concat());
    let args = here.train("run", &[&changes[..], &["--threads", "1", "--watchdog", "5s"]].concat());
    let Some(mut job) = on_two_hosts(&here, &args) else { return };
    let log = fs::File::create(here.path("log")).expect("a file");
    let mut job = Ends(job.stdout(Stdio::null()).stderr(log).spawn().expect("it starts"));
    let told = || fs::read_to_string(here.path("log")).unwrap_or_default();
    let wait_for = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(120), "no {what}: {}", told());
            sleep(Duration::from_millis(50));
        }
    };
    wait_for("third step", &|| told().contains("step 3/"));
    fs::write(here.path("cut"), "").expect("written");
    // the launcher is cut off as well, and may wait for h2 for ever
    wait_for("end of all ranks", &|| here.processes().is_empty());
    let _ = job.0.kill();
    let accused = |text: &str, rank: &str| {
        text.lines()
            .any(|line| line.contains(&format!("error: rank {rank} has not ")) && line.contains("; last seen in "))
    };
    assert!(accused(&told(), "2 on h2") || accused(&told(), "3 on h2"), "{}", told());
    let there = [2, 3].map(|rank| here.log("run", rank));
    assert!(there.iter().any(|log| accused(log, "0 on h1")), "{there:?}");
}

/// A job that ends with its test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
