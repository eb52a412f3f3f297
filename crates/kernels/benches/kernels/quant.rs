//! Rounding to blocks and back, on one thread: what training through it does to every weight at every step.

use std::fmt;

use divan::Bencher;
use itera_kernels::quant::{Kind, dequantize, quantize, quantize_closest};

use crate::support::{Work, bench, uniform};

const LEN: usize = 1 << 16;

struct OfKind(Kind);

impl fmt::Display for OfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{LEN}_{}", self.0.name())
    }
}

const KINDS: [OfKind; 8] = [
    OfKind(Kind::F16),
    OfKind(Kind::Q8_0),
    OfKind(Kind::Q5_0),
    OfKind(Kind::Q4_0),
    OfKind(Kind::Iq4Nl),
    OfKind(Kind::Mxfp4),
    OfKind(Kind::Nvfp4),
    OfKind(Kind::Q2_0),
];

const WORK: Work = Work { floats: 2 * LEN, flops: LEN };

#[divan::bench(args = KINDS)]
fn quantize_and_back(bencher: Bencher<'_, '_>, kind: &OfKind) {
    let (x, mut bytes, mut back) = operands(kind.0);
    bench(bencher, WORK, || {
        quantize(kind.0, &x, &mut bytes);
        dequantize(kind.0, &bytes, &mut back);
    });
}

#[divan::bench(args = KINDS)]
fn quantize_closest_to(bencher: Bencher<'_, '_>, kind: &OfKind) {
    let (x, mut bytes, _) = operands(kind.0);
    bench(bencher, WORK, || quantize_closest(kind.0, &x, None, &mut bytes));
}

fn operands(kind: Kind) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
    let bytes = kind.row_bytes(LEN).expect("whole blocks");
    (uniform(LEN, -1.0, 1.0, 1), vec![0; bytes], vec![0.0; LEN])
}
