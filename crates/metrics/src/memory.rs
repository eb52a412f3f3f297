//! Memory of this process, as Linux counts it.

use crate::limits::kib_of;

/// Bytes resident in memory now; `None` where the system has no `/proc`.
pub fn resident_bytes() -> Option<u64> {
    own_status("VmRSS")
}

/// Most bytes that were ever resident; `None` where the system has no `/proc`.
pub fn peak_resident_bytes() -> Option<u64> {
    own_status("VmHWM")
}

fn own_status(field: &str) -> Option<u64> {
    kib_of(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_kibibytes() {
        let status = "Name:\titera\nVmPeak:\t  99 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(kib_of(status, "VmRSS"), Some(1 << 20));
        assert_eq!(kib_of(status, "VmHWM"), Some(2 << 20));
        assert_eq!(kib_of(status, "Threads"), None);
        assert_eq!(kib_of(status, "VmSwap"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn touching_memory_makes_it_resident() {
        let before = resident_bytes().expect("Linux has /proc");
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        let now = resident_bytes().expect("Linux has /proc");
        assert!(now >= before + (48 << 20), "{before} then {now} bytes");
        assert!(peak_resident_bytes().expect("Linux has /proc") >= now);
        drop(touched);
    }
}
