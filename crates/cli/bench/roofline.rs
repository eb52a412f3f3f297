//! What a token must cost, what this processor can do, and how near a measured speed comes.
//!
//! ```text
//! roof = 1 / max(bytes / speed of reading, operations / peak)      of one thread, nothing but weights and states moving
//! ```

use itera_kernels::{
    gemm::Operands,
    probe::{measure_peak, measure_reading},
};
use itera_runtime::{Model, StepCost};
use serde::Serialize;

/// Of one thread that decodes one text.
#[derive(Serialize)]
pub struct Roofline {
    /// At the middle of the text that was written.
    pub position: usize,
    pub bytes_per_token: u64,
    pub flops_per_token: u64,
    /// From whichever cache, or memory, holds that many bytes.
    pub reading_gb_per_s: f64,
    /// Multiply-adds in f32.
    pub peak_f32_gflops: f64,
    pub tokens_per_s: f64,
    /// Of the measured speed.
    pub share: f64,
}

impl Roofline {
    pub fn of(model: &Model, position: usize, tokens_per_s: f64) -> Self {
        let StepCost { weight_bytes, state_bytes, flops } = model.step_cost(position);
        let bytes = weight_bytes + state_bytes;
        let (reading, peak) = (measure_reading(bytes as usize).0, measure_peak(Operands::F32, 1).0);
        let roof = 1e9 / (bytes as f64 / reading).max(flops as f64 / peak);
        Self {
            position,
            bytes_per_token: bytes,
            flops_per_token: flops,
            reading_gb_per_s: reading,
            peak_f32_gflops: peak,
            tokens_per_s: roof,
            share: tokens_per_s / roof,
        }
    }
}
