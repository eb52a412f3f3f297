//! What a Muon step reads and changes.

use burn::tensor::Tensor;

/// Hyperparameters of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// Learning rate, the scheduled one of the step.
    pub lr: f64,
    /// Decay of the mean of gradients, in 0..1.
    pub momentum: f64,
    /// Decoupled weight decay: a step multiplies a weight by `1 − lr · weight_decay`.
    pub weight_decay: f64,
}

/// A weight on its way through a step. All its tensors are flat, of one length, and without autodiff.
#[derive(Clone, Debug)]
pub struct MuonParameter {
    /// The values, row by row.
    pub weight: Tensor<1>,
    /// Their gradient, before the factor that all gradients of a step share.
    pub gradient: Tensor<1>,
    /// Moving mean of the gradients; zeros before the first step.
    pub momentum: Tensor<1>,
    /// Rows of each matrix in the weight, from its first row on. All are as wide.
    pub matrices: Vec<usize>,
}

/// Root mean square of an update at rate 1: what updates of AdamW have in practice, so that both learn at one rate
/// (arXiv 2502.16982, §2.2).
pub(crate) const UPDATE_RMS: f64 = 0.2;

/// a, b, c of each step towards the polar factor. Five of them take singular values from 0.001 to 1 to between 0.85 and
/// 1.13 (Polar Express, arXiv 2505.16932, algorithm 1 with ℓ = 10⁻³). All but the last read x / 1.01, since rounding could
/// leave a singular value a little above 1, where the polynomials grow.
pub(crate) fn polar_steps() -> [[f64; 3]; 5] {
    let mut steps = [
        [8.287_212_018_145_63, -23.595_886_519_098_837, 17.300_387_312_530_933],
        [4.107_059_111_542_203, -2.947_849_916_737_910_6, 0.544_843_108_292_660_1],
        [3.948_690_853_482_294_6, -2.908_902_115_962_949, 0.551_819_139_437_013_7],
        [3.318_419_657_370_601_5, -2.488_488_024_314_874, 0.510_048_940_123_72],
        [2.300_652_019_954_817, -1.668_903_984_574_749_3, 0.418_807_311_952_567_3],
    ];
    for [a, b, c] in &mut steps[..4] {
        *a /= 1.01;
        *b /= 1.01_f64.powi(3);
        *c /= 1.01_f64.powi(5);
    }
    steps
}
