//! device → its peak arithmetic: independent fused multiply-adds that never leave the registers of its units

use burn::tensor::Device;

use crate::device::DeviceError;

/// GFLOP/s of fused multiply-adds in f32 of a GPU, the best of several samples of 20 ms and more; `None` of a CPU, which
/// `itera_kernels::probe` measures.
///
/// # Errors
/// If the device fails.
pub fn measure_peak(device: &Device) -> Result<Option<f64>, DeviceError> {
    #[cfg(feature = "cube")]
    if matches!(device.clone().inner().as_dispatch(), burn::backend::DispatchDevice::Cube(_)) {
        return cube::measure_peak(device).map(Some);
    }
    let _ = device;
    Ok(None)
}

#[cfg(feature = "cube")]
mod cube {
    use std::time::{Duration, Instant};

    use burn::tensor::{Device, Tensor};
    use cubecl::prelude::*;

    use crate::{
        cube::{
            array::{Array, array, tensor, units},
            maths::Registers,
        },
        device::{DeviceError, read},
    };

    /// Chains of a unit: more than the steps that an addition takes.
    const CHAINS: usize = 16;

    /// Units at a time: several times what the largest cards have.
    const AT_A_TIME: usize = 1 << 20;

    /// Shortest sample: long enough that starting a kernel and reading a number do not count.
    const SAMPLE: Duration = Duration::from_millis(20);

    /// Samples of which the best counts.
    const SAMPLES: usize = 5;

    pub(super) fn measure_peak(device: &Device) -> Result<f64, DeviceError> {
        let sums = array(Tensor::<1>::zeros([AT_A_TIME], &device.clone().inner()));
        // compiles the kernel
        time(&sums, 1)?;
        let mut iterations = 64;
        while time(&sums, iterations)? < SAMPLE {
            iterations *= 2;
        }
        let mut best = Duration::MAX;
        for _ in 0..SAMPLES {
            best = best.min(time(&sums, iterations)?);
        }
        let flops = 2.0 * (CHAINS * AT_A_TIME) as f64 * iterations as f64;
        Ok(flops / best.as_secs_f64() / 1e9)
    }

    fn time(sums: &Array, iterations: usize) -> Result<Duration, DeviceError> {
        let begun = Instant::now();
        let (count, dim) = units(sums.client(), sums.len());
        chains::launch(sums.client(), count, dim, sums.arg(), iterations, 0.5, 1.0, CHAINS);
        read(tensor::<1>(sums.clone()).slice([0..1]))?;
        Ok(begun.elapsed())
    }

    #[cube(launch)]
    fn chains(sums: &mut [f32], iterations: usize, factor: f32, summand: f32, #[comptime] n_chains: usize) {
        let at = ABSOLUTE_POS;
        if at < sums.len() {
            let mut chains = Registers::new(n_chains);
            #[unroll]
            for k in 0..n_chains {
                chains[k] = (at + k) as f32;
            }
            for _ in 0..iterations {
                #[unroll]
                for k in 0..n_chains {
                    chains[k] = fma(chains[k], factor, summand);
                }
            }
            let mut sum = 0.0f32;
            #[unroll]
            for k in 0..n_chains {
                sum += chains[k];
            }
            sums[at] = sum;
        }
    }
}
