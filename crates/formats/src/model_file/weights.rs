//! name → where the piece lies in the file, or the piece itself if it is small.

use std::collections::HashMap;
use std::ops::Range;

use itera_kernels::quant::{Kind, QuantMatrix, dequantize};

use super::pieces::Piece;

/// The weights of one model, by the names of its pieces.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    matrices: HashMap<String, Packed>,
    vectors: HashMap<String, Vec<f32>>,
}

/// A matrix in the file.
#[derive(Debug)]
struct Packed {
    kind: Kind,
    rows: usize,
    cols: usize,
    range: Range<usize>,
}

impl Weights {
    /// Adds the piece that begins at byte `start` of the file, and returns where it ends.
    ///
    /// # Panics
    /// If rows are not whole blocks of the kind, or the piece does not lie within the file.
    pub(crate) fn add(&mut self, piece: Piece, kind: Kind, start: usize, file: &[u8]) -> usize {
        let Piece { name, rows, cols, is_matrix, .. } = piece;
        let range = start..start + rows * kind.row_bytes(cols).expect("rows of whole blocks");
        let end = range.end;
        if is_matrix {
            self.matrices.insert(name, Packed { kind, rows, cols, range });
        } else {
            let mut numbers = vec![0.0; rows * cols];
            dequantize(kind, &file[range], &mut numbers);
            self.vectors.insert(name, numbers);
        }
        end
    }

    /// Turns every `a`, so far holding a_log, into −exp(a_log).
    pub(crate) fn decays_from_logs(&mut self) {
        let decays = self.vectors.iter_mut().filter(|(name, _)| name.ends_with(".mamba.a"));
        decays.flat_map(|(_, a)| a).for_each(|a| *a = -f64::from(*a).exp() as f32);
    }

    pub(crate) fn matrix<'a>(&self, name: &str, file: &'a [u8]) -> Option<QuantMatrix<'a>> {
        let Packed { kind, rows, cols, range } = self.matrices.get(name)?;
        Some(QuantMatrix::new(*kind, *rows, *cols, &file[range.clone()]).expect("as long as its rows"))
    }

    pub(crate) fn vector(&self, name: &str) -> Option<&[f32]> {
        self.vectors.get(name).map(Vec::as_slice)
    }
}
