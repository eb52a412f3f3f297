//! Matrices of deployed kinds times one vector, or a batch, on one thread, at the shapes of small models.
//!
//! Operands lie in cache as they do when a token follows a token. Bytes are those of W.

use std::fmt;

use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use itera_kernels::{
    matvec::{Activations, BatchMemory, multiply},
    quant::{Kind, QuantMatrix, quantize},
};

use crate::support::uniform;

/// A matrix, shown as `q8_0/256x64`, and what it is multiplied by.
#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    rows: usize,
    cols: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}x{}", self.kind.name(), self.rows, self.cols)
    }
}

/// Every shape of the kinds that models are mostly stored in, one of the others.
fn cases() -> impl Iterator<Item = Case> {
    const SHAPES: [(usize, usize); 4] = [(64, 64), (256, 64), (512, 64), (1024, 256)];
    Kind::all().into_iter().flat_map(|kind| {
        let count = if matches!(kind, Kind::F32 | Kind::Q8_0) { SHAPES.len() } else { 2 };
        SHAPES.into_iter().take(count).map(move |(rows, cols)| Case { kind, rows, cols })
    })
}

fn bench(bencher: Bencher<'_, '_>, case: Case, activations: Activations, batch: usize) {
    let Case { kind, rows, cols } = case;
    let mut bytes = vec![0; kind.row_bytes(rows * cols).expect("whole blocks")];
    quantize(kind, &uniform(rows * cols, -1.0, 1.0, 1), &mut bytes);
    let w = QuantMatrix::new(kind, rows, cols, &bytes).expect("whole rows");
    let scales = w.scales();
    let w = w.with_scales(&scales);
    let (x, mut memory) = (uniform(batch * cols, -1.0, 1.0, 2), BatchMemory::new(activations));
    let mut x = memory.batch(&x, cols);
    let mut y = vec![0.0; batch * rows];
    let work = ItemsCount::new(2 * batch * rows * cols);
    bencher.counter(BytesCount::new(bytes.len())).counter(work).bench_local(|| {
        multiply(black_box(w), black_box(&mut x), &mut y);
        black_box(y[0])
    });
}

#[divan::bench(args = cases(), sample_size = 64)]
fn int8(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, Activations::Int8, 1);
}

#[divan::bench(args = cases(), sample_size = 64)]
fn exact(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, Activations::Exact, 1);
}

#[divan::bench(args = cases(), sample_size = 16)]
fn int8_batch_32(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, Activations::Int8, 32);
}

#[divan::bench(args = cases(), sample_size = 16)]
fn exact_batch_32(bencher: Bencher<'_, '_>, case: Case) {
    bench(bencher, case, Activations::Exact, 32);
}

/// What a vector costs before any matrix reads it.
#[divan::bench(args = [(1, 64), (1, 256), (32, 64)], sample_size = 64)]
fn prepare(bencher: Bencher<'_, '_>, (batch, cols): (usize, usize)) {
    let values = uniform(batch * cols, -1.0, 1.0, 2);
    let mut memory = BatchMemory::new(Activations::Int8);
    let no_rows = QuantMatrix::new(Kind::Q8_0, 0, cols, &[]).expect("whole rows");
    bencher.counter(ItemsCount::new(values.len())).bench_local(|| {
        multiply(no_rows, &mut memory.batch(black_box(&values), cols), &mut []);
    });
}
