//! What this process may use of the machine, and what keeps it from more.
//!
//! ```text
//! /proc/meminfo ─────────────── MemTotal, MemAvailable ───────────┐
//! /proc/self/limits ─────────── address space, data segment ──────┼─▶ the least of them
//! cgroup and those above it ─── memory.max, limit_in_bytes ───────┘
//! ```
//!
//! Linux alone says so in files; elsewhere nothing is found.

use std::fs;
use std::path::{Path, PathBuf};

/// Memory that this process may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// All of it, in bytes.
    pub bytes: u64,
    /// What is left of it now, in bytes.
    pub available_bytes: u64,
    /// What sets the limit: `the machine`, `ulimit -v`, `ulimit -d`, or the file of a cgroup.
    pub set_by: String,
}

/// Processors that this process may use at once.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuLimit {
    /// How many: a whole number unless a quota says otherwise.
    pub cpus: f64,
    /// What sets the limit: `the machine`, `CPU affinity`, or the file of a cgroup.
    pub set_by: String,
}

/// The limit of memory that holds; `None` where the system has no `/proc`.
pub fn memory_limit() -> Option<MemoryLimit> {
    System { root: Path::new("/") }.memory_limit()
}

/// The limit of processors that holds; `None` where the system has no `/proc`.
pub fn cpu_limit() -> Option<CpuLimit> {
    System { root: Path::new("/") }.cpu_limit()
}

/// Where the files of the system lie.
struct System<'a> {
    root: &'a Path,
}

/// A controller of cgroups: its name, and the files of its two versions.
struct Controller {
    name: &'static str,
    v2_file: &'static str,
    v1_file: &'static str,
}

const MEMORY: Controller = Controller { name: "memory", v2_file: "memory.max", v1_file: "memory.limit_in_bytes" };
const CPU: Controller = Controller { name: "cpu", v2_file: "cpu.max", v1_file: "cpu.cfs_quota_us" };

/// Where distributions mount cgroups: alone, or version 2 beside the controllers of version 1.
const CGROUPS: &str = "sys/fs/cgroup";
const CGROUPS_2: [&str; 2] = [CGROUPS, "sys/fs/cgroup/unified"];

impl System<'_> {
    fn memory_limit(&self) -> Option<MemoryLimit> {
        let meminfo = self.read("proc/meminfo")?;
        let (bytes, available_bytes) = (kib_of(&meminfo, "MemTotal")?, kib_of(&meminfo, "MemAvailable")?);
        let mut limits = vec![MemoryLimit { bytes, available_bytes, set_by: "the machine".into() }];
        let status = self.read("proc/self/status").unwrap_or_default();
        let own = self.read("proc/self/limits").unwrap_or_default();
        for (row, used, set_by) in
            [("Max address space", "VmSize", "ulimit -v"), ("Max data size", "VmData", "ulimit -d")]
        {
            let soft = own.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next());
            let used = kib_of(&status, used).unwrap_or(0);
            limits.extend(soft.and_then(|bytes| bytes.parse().ok()).map(|bytes| left_of(bytes, used, set_by.into())));
        }
        for file in self.files_of(&MEMORY) {
            let Some(bytes) = number_in(&file) else { continue };
            let usage = if file.ends_with(MEMORY.v2_file) { "memory.current" } else { "memory.usage_in_bytes" };
            let stat = fs::read_to_string(file.with_file_name("memory.stat")).unwrap_or_default();
            // pages of files that nobody uses go as soon as somebody asks for memory
            let droppable = stat.lines().find_map(|line| {
                let value = line.strip_prefix("total_inactive_file ").or(line.strip_prefix("inactive_file "))?;
                value.parse::<u64>().ok()
            });
            let used = number_in(&file.with_file_name(usage)).unwrap_or(0).saturating_sub(droppable.unwrap_or(0));
            limits.push(left_of(bytes, used, file.display().to_string()));
        }
        // what the machine has left is a limit to all of them
        let least = limits.iter().map(|limit| limit.available_bytes).min()?;
        let holds = limits.into_iter().min_by_key(|limit| limit.bytes)?;
        Some(MemoryLimit { available_bytes: least, ..holds })
    }

    fn cpu_limit(&self) -> Option<CpuLimit> {
        let status = self.read("proc/self/status")?;
        let allowed =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).and_then(count_in_list)?;
        let online = self.read("sys/devices/system/cpu/online").and_then(|list| count_in_list(&list));
        let set_by = if online.is_some_and(|online| allowed < online) { "CPU affinity" } else { "the machine" };
        let mut holds = CpuLimit { cpus: allowed as f64, set_by: set_by.into() };
        for file in self.files_of(&CPU) {
            let Some(text) = fs::read_to_string(&file).ok() else { continue };
            let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().ok());
            let quota = numbers.next().flatten().filter(|quota| *quota > 0.0);
            let period = match numbers.next() {
                Some(period) => period,
                None => number_in(&file.with_file_name("cpu.cfs_period_us")).map(|period| period as f64),
            };
            let Some(cpus) = quota.zip(period).map(|(quota, period)| quota / period) else { continue };
            if cpus < holds.cpus {
                holds = CpuLimit { cpus, set_by: file.display().to_string() };
            }
        }
        Some(holds)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// The files of a controller that hold for this process: that of its cgroup and of those above it. A container may
    /// see its own cgroup as the root of all, whatever `/proc/self/cgroup` calls it.
    fn files_of(&self, controller: &Controller) -> Vec<PathBuf> {
        let groups = self.read("proc/self/cgroup").unwrap_or_default();
        let mut files = vec![];
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
            let (mounts, file) = match controllers {
                "" => (CGROUPS_2.map(PathBuf::from).to_vec(), controller.v2_file),
                names if names.split(',').any(|name| name == controller.name) => {
                    let mounts = [names, controller.name].map(|name| Path::new(CGROUPS).join(name));
                    (mounts.to_vec(), controller.v1_file)
                }
                _ => continue,
            };
            for mount in mounts.into_iter().map(|mount| self.root.join(mount)) {
                let group = Path::new(group.trim_start_matches('/'));
                files.extend(group.ancestors().map(|group| mount.join(group).join(file)).filter(|file| file.is_file()));
            }
        }
        files
    }
}

fn left_of(bytes: u64, used: u64, set_by: String) -> MemoryLimit {
    MemoryLimit { bytes, available_bytes: bytes.saturating_sub(used), set_by }
}

/// The number that is all of a file; `None` where it is a word, `max`.
fn number_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Bytes of a line such as `MemTotal:  1234 kB` (proc(5); its kB are 1024 bytes).
pub(crate) fn kib_of(lines: &str, field: &str) -> Option<u64> {
    let (_, value) = lines.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == field)?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// How many numbers a list such as `0-3,8` has.
fn count_in_list(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    });
    ranges.sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine of 16 processors and 8 GiB, 6 of them free, with these files besides.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let plain = [
            ("proc/meminfo", "MemTotal:  8388608 kB\nMemFree:  1 kB\nMemAvailable:  6291456 kB\n"),
            ("proc/self/status", "VmSize:\t  102400 kB\nVmData:\t 51200 kB\nCpus_allowed_list:\t0-15\n"),
            ("proc/self/limits", "Limit  Soft Limit\nMax data size  unlimited  unlimited bytes\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/devices/system/cpu/online", "0-15\n"),
        ];
        for (path, text) in plain.iter().chain(files) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    /// MiB of the limit, MiB of it that are left, and what sets it, by its name in the machine.
    fn memory(files: &[(&str, &str)]) -> (u64, u64, String) {
        let dir = machine(files);
        let MemoryLimit { bytes, available_bytes, set_by } = System { root: dir.path() }.memory_limit().unwrap();
        (bytes / MIB, available_bytes / MIB, set_by.replace(&format!("{}/", dir.path().display()), ""))
    }

    fn cpus(files: &[(&str, &str)]) -> (f64, String) {
        let dir = machine(files);
        let CpuLimit { cpus, set_by } = System { root: dir.path() }.cpu_limit().unwrap();
        (cpus, set_by.replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn the_least_limit_of_memory_holds() {
        let of = |(bytes, left, set_by): (u64, u64, &str)| (bytes, left, set_by.to_owned());
        assert_eq!(memory(&[]), of((8192, 6144, "the machine")));
        let limits =
            "Limit  Soft Limit\nMax data size  104857600  unlimited bytes\nMax address space  209715200 1 bytes";
        assert_eq!(memory(&[("proc/self/limits", limits)]), of((100, 50, "ulimit -d")));

        // version 2: that of a cgroup above counts too, and pages of files are left
        let (own, above) = ("sys/fs/cgroup/a.slice/job/memory.max", "sys/fs/cgroup/a.slice/memory.max");
        let group = ("proc/self/cgroup", "0::/a.slice/job\n");
        let used = [
            ("sys/fs/cgroup/a.slice/memory.current", "209715200\n"),
            ("sys/fs/cgroup/a.slice/memory.stat", "anon 1\ninactive_file 104857600\n"),
        ];
        let files = [group, (own, "max\n"), (above, "314572800\n"), used[0], used[1]];
        assert_eq!(memory(&files), of((300, 200, above)));
        // in a container the group that is named may not be seen
        assert_eq!(
            memory(&[("proc/self/cgroup", "0::/docker/1234\n"), ("sys/fs/cgroup/memory.max", "314572800")]),
            of((300, 300, "sys/fs/cgroup/memory.max"))
        );
        // version 1, where no limit is a number beyond all machines
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n");
        let (own, above) =
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.limit_in_bytes");
        let files = [group, (own, "314572800"), (above, "9223372036854771712")];
        assert_eq!(memory(&files), of((300, 300, own)));
    }

    #[test]
    fn the_least_limit_of_processors_holds() {
        assert_eq!(cpus(&[]), (16.0, "the machine".into()));
        let bound = ("proc/self/status", "Cpus_allowed_list:\t0-2,8\n");
        assert_eq!(cpus(&[bound]), (4.0, "CPU affinity".into()));
        let (quota, none) = (("sys/fs/cgroup/cpu.max", "150000 100000\n"), ("sys/fs/cgroup/cpu.max", "max 100000\n"));
        assert_eq!(cpus(&[bound, quota]), (1.5, quota.0.into()));
        assert_eq!(cpus(&[bound, none]), (4.0, "CPU affinity".into()));
        let one = "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us";
        let period = ("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "50000\n");
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n0::/\n");
        assert_eq!(cpus(&[group, (one, "100000\n"), period]), (2.0, one.into()));
        assert_eq!(cpus(&[group, (one, "-1\n"), period]), (16.0, "the machine".into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_limits() {
        let memory = memory_limit().unwrap();
        assert!(0 < memory.available_bytes && memory.available_bytes <= memory.bytes, "{memory:?}");
        assert!(cpu_limit().unwrap().cpus > 0.0);
    }
}
