//! Name, cores and vector instructions of the processor.

use std::{fs, thread};

/// The processor that this program runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Name the maker gave it; `None` where the system does not say.
    pub model: Option<String>,
    /// Threads that can run at once, as far as this process may use them (affinity and quotas count).
    pub logical_cores: usize,
    /// Cores of the machine, however many threads each runs.
    pub physical_cores: usize,
    /// Vector extensions that kernels could use, seen at run time, by the names `rustc` gives them.
    pub simd: Vec<&'static str>,
}

impl Cpu {
    /// Asks the processor and the system.
    pub fn detect() -> Self {
        Self {
            model: model(),
            logical_cores: thread::available_parallelism().map_or(1, usize::from),
            physical_cores: num_cpus::get_physical(),
            simd: simd(),
        }
    }
}

fn model() -> Option<String> {
    brand_string().or_else(|| model_in_cpuinfo(&fs::read_to_string("/proc/cpuinfo").ok()?))
}

/// The first line of Linux's `/proc/cpuinfo` that names a processor (`model name`) or a board (`Model`).
fn model_in_cpuinfo(cpuinfo: &str) -> Option<String> {
    let value_of = |key: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(k, v)| (k.trim(), v.trim())).find(|(k, v)| *k == key && !v.is_empty()).map(|(_, v)| v.to_owned())
    };
    value_of("model name").or_else(|| value_of("Model"))
}

/// The 48 bytes of CPUID leaves 8000_0002h to 8000_0004h.
#[cfg(target_arch = "x86_64")]
fn brand_string() -> Option<String> {
    use std::arch::x86_64::__cpuid;

    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004)
        .map(__cpuid)
        .flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|byte| *byte != 0)
        .collect();
    let name = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(not(target_arch = "x86_64"))]
fn brand_string() -> Option<String> {
    None
}

/// The given features, by name, that `$detect!` finds.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! detected {
    ($detect:path, $($feature:tt),+) => {{
        use $detect as detect;
        [$(($feature, detect!($feature))),+].into_iter().filter(|(_, seen)| *seen).map(|(name, _)| name).collect()
    }};
}

#[cfg(target_arch = "x86_64")]
fn simd() -> Vec<&'static str> {
    detected!(
        std::arch::is_x86_feature_detected,
        "avx",
        "f16c",
        "avx2",
        "fma",
        "avxvnni",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx512bf16"
    )
}

#[cfg(target_arch = "aarch64")]
fn simd() -> Vec<&'static str> {
    detected!(std::arch::is_aarch64_feature_detected, "neon", "fp16", "dotprod", "bf16", "i8mm", "sve")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd() -> Vec<&'static str> {
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_cores() {
        let cpu = Cpu::detect();
        assert!(cpu.logical_cores >= 1 && cpu.physical_cores >= 1, "{cpu:?}");
        assert!(cpu.model.is_none_or(|model| !model.trim().is_empty()));
    }

    #[test]
    fn cpuinfo_of_either_kind_is_read() {
        let x86 =
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14: 96\n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(model_in_cpuinfo(x86).as_deref(), Some("AMD EPYC 9B14: 96"));
        let arm = "processor\t: 0\nCPU part\t: 0xd0b\n\nModel\t\t: Raspberry Pi 5 Model B\n";
        assert_eq!(model_in_cpuinfo(arm).as_deref(), Some("Raspberry Pi 5 Model B"));
        assert_eq!(model_in_cpuinfo("processor\t: 0\nmodel name\t:\n"), None);
    }
}
