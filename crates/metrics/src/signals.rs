//! Signals that do nothing to this process.

/// Whether this process ignores a signal, as one that `nohup` starts ignores SIGHUP, number 1; `None` where the system has
/// no `/proc`.
pub fn ignores_signal(number: i32) -> Option<bool> {
    ignored_in(&std::fs::read_to_string("/proc/self/status").ok()?, number)
}

fn ignored_in(status: &str, number: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_bit_a_signal_from_the_lowest() {
        let status = "Name:\titera\nSigBlk:\t0000000000000002\nSigIgn:\t8000000000001001\nSigCgt:\t0000000000000000\n";
        for (number, expected) in [(1, true), (2, false), (13, true), (15, false), (64, true)] {
            assert_eq!(ignored_in(status, number), Some(expected), "{number}");
        }
        assert_eq!(ignored_in("Name:\titera\n", 1), None);
    }
}
