//! Large memory: kept once it was touched, and in huge pages
//!
//! A block fresh from the system costs a page fault every 4 KiB, and a pass over memory in pages of 4 KiB misses the
//! processor's cache of translations at every page; on a virtual machine each miss walks two tables. Under the usual
//! setting of `/sys/kernel/mm/transparent_hugepage/enabled`, `madvise`, the system gives pages of 2 MiB to those who
//! ask before they touch the memory. They must lie in one range of 2 MiB, which neighbouring blocks of the heap do
//! and blocks with a mapping each do not.

/// Buffers of fewer bytes gain nothing.
#[cfg(target_os = "linux")]
const SMALLEST_BYTES: usize = 1 << 20;

/// The heap grows by this much at once, so that the advice to use huge pages comes before the memory is touched.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAP_STEP_BYTES: std::ffi::c_int = 64 << 20;

/// Let this process keep the memory that it frees, and take blocks of up to 32 MiB from one heap. It is a setting of
/// the whole process, for a program to call at its start; only the C library of GNU has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's settings have no safe wrapper")]
pub fn keep_freed() {
    // the largest that glibc takes: smaller blocks come from the heap and not from a mapping each
    const MAPPED_BYTES: std::ffi::c_int = 32 << 20;
    // SAFETY: `mallopt` takes two integers, locks what it changes and refuses values it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, std::ffi::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, HEAP_STEP_BYTES);
    }
}

/// Elsewhere the allocator decides alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed() {}

/// Let all threads of this process share two heaps: for one whose threads come and go and free what others took, as those
/// of a server that loads and unloads models. With up to eight for each core, which is usual, each keeps pieces of what it
/// once held. It is a setting of the whole process, for a program to call at its start; only the C library of GNU has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's settings have no safe wrapper")]
pub fn share_heaps() {
    // SAFETY: `mallopt` takes two integers, locks what it changes and refuses values it does not know.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Elsewhere the allocator decides alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_heaps() {}

/// Ask that the memory of a large `buffer`, and of what the heap has not used behind it, be backed by huge pages when
/// it is first written. That changes no contents, and a system without huge pages ignores it.
pub fn prefer_huge(buffer: &mut [f32]) {
    #[cfg(target_os = "linux")]
    if size_of_val(buffer) >= SMALLEST_BYTES {
        advise(buffer);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = buffer;
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "advice about memory takes its address")]
fn advise(buffer: &mut [f32]) {
    // SAFETY: `sysconf` takes a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let start = buffer.as_mut_ptr();
    let offset = start.addr() % page;
    let behind = heap_bytes_behind(start.addr() + size_of_val(buffer));
    let len = (offset + size_of_val(buffer) + behind).next_multiple_of(page);
    // SAFETY: this advice leaves contents alone, wherever in the process it points, and fails where nothing is mapped.
    let _unsupported = unsafe { libc::madvise(start.wrapping_byte_sub(offset).cast(), len, libc::MADV_HUGEPAGE) };
}

/// Bytes from `address` to the end of the heap, if it lies in what the heap grew by last.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library alone knows where its heap ends")]
fn heap_bytes_behind(address: usize) -> usize {
    // SAFETY: an increment of 0 asks for the end of the heap and changes nothing.
    let end = unsafe { libc::sbrk(0) }.addr();
    end.checked_sub(address).filter(|behind| *behind <= HEAP_STEP_BYTES as usize).unwrap_or(0)
}

#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
fn heap_bytes_behind(_address: usize) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_survive_at_any_length() {
        keep_freed();
        let mut buffers: Vec<Vec<f32>> = [0, 1, 1000, (1 << 18) - 1, 1 << 18, 3 << 18, 9 << 20]
            .map(|len| (0..len).map(|i| i as f32).collect())
            .into();
        for buffer in &mut buffers {
            prefer_huge(buffer);
        }
        for buffer in buffers {
            assert!(buffer.iter().enumerate().all(|(i, x)| *x == i as f32), "{} elements", buffer.len());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_knows_of_the_wish() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return itera_testkit::skip("this system has no transparent huge pages");
        }
        for len in [SMALLEST_BYTES / 4, 5 * SMALLEST_BYTES] {
            let mut buffer = vec![0.0; len];
            prefer_huge(&mut buffer);
            for element in [0, len - 1] {
                assert!(has_flag(&buffer[element], "hg"), "element {element} of {len}");
            }
        }
    }

    /// Whether the mapping that holds `x` has `flag` among the `VmFlags` of `/proc/self/smaps`.
    #[cfg(target_os = "linux")]
    fn has_flag(x: &f32, flag: &str) -> bool {
        let address = std::ptr::from_ref(x).addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("proc is mounted");
        let bounds = |line: &str| {
            let (low, high) = line.split_once(' ')?.0.split_once('-')?;
            Some(usize::from_str_radix(low, 16).ok()?..usize::from_str_radix(high, 16).ok()?)
        };
        let mut lines = maps.lines().skip_while(|line| !bounds(line).is_some_and(|range| range.contains(&address)));
        let flags = lines.find(|line| line.starts_with("VmFlags:")).expect("every mapping has flags");
        flags.split(' ').any(|found| found == flag)
    }
}
