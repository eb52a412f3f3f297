//! name → where the piece lies in the file, or the piece itself if it is small or the file has it in another form.

use std::collections::HashMap;
use std::ops::Range;

use itera_kernels::quant::{Kind, QuantMatrix, dequantize};

use super::Bytes;
use super::pieces::{Piece, split_expert};

/// The weights of one model, by the names of its pieces.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    matrices: HashMap<String, Packed>,
    vectors: HashMap<String, Vec<f32>>,
    /// Tensors that the file has in another form.
    unpacked: Vec<Vec<u8>>,
}

/// A matrix, or one of each expert.
#[derive(Debug)]
struct Packed {
    kind: Kind,
    rows: usize,
    cols: usize,
    count: usize,
    /// The first.
    range: Range<usize>,
    /// Bytes from where one begins to where the next does.
    stride_bytes: usize,
    source: Source,
}

/// What a matrix lies in.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// This one of the files.
    File(usize),
    /// This one of the unpacked tensors.
    Unpacked(usize),
}

impl Weights {
    /// Adds the pieces of a tensor whose rows are `range` of `bytes`, file number `file`.
    ///
    /// # Panics
    /// If rows are not whole blocks of the kind, or the tensor does not lie within the file.
    pub(crate) fn add(&mut self, pieces: Vec<Piece>, kind: Kind, file: usize, range: Range<usize>, bytes: &[u8]) {
        for piece in pieces {
            self.insert(piece, kind, range.start, Source::File(file), &bytes[range.clone()]);
        }
    }

    /// Adds the pieces of a tensor that the file has in another form; `rows` are its rows.
    ///
    /// # Panics
    /// If rows are not whole blocks of the kind.
    pub(crate) fn add_unpacked(&mut self, pieces: Vec<Piece>, kind: Kind, rows: Vec<u8>) {
        for piece in pieces {
            self.insert(piece, kind, 0, Source::Unpacked(self.unpacked.len()), &rows);
        }
        self.unpacked.push(rows);
    }

    /// `tensor` begins at byte `start` of its source.
    fn insert(&mut self, piece: Piece, kind: Kind, start: usize, source: Source, tensor: &[u8]) {
        let Piece { name, first_row, rows, cols, count, stride, is_matrix } = piece;
        let row_bytes = kind.row_bytes(cols).expect("rows of whole blocks");
        let range = first_row * row_bytes..(first_row + rows) * row_bytes;
        if is_matrix {
            let range = start + range.start..start + range.end;
            let stride_bytes = stride * row_bytes;
            self.matrices.insert(name, Packed { kind, rows, cols, count, range, stride_bytes, source });
        } else {
            let mut numbers = vec![0.0; rows * cols];
            dequantize(kind, &tensor[range], &mut numbers);
            self.vectors.insert(name, numbers);
        }
    }

    /// Turns every `a`, so far holding a_log, into −exp(a_log).
    pub(crate) fn decays_from_logs(&mut self) {
        let decays = self.vectors.iter_mut().filter(|(name, _)| name.ends_with(".mamba.a"));
        decays.flat_map(|(_, a)| a).for_each(|a| *a = -f64::from(*a).exp() as f32);
    }

    /// Whether every number of every vector is finite.
    pub(crate) fn has_finite_vectors(&self) -> bool {
        self.vectors.values().flatten().all(|number| number.is_finite())
    }

    pub(crate) fn matrix<'a>(&'a self, name: &str, files: &'a [Bytes]) -> Option<QuantMatrix<'a>> {
        let (packed, index) = match split_expert(name) {
            Some((name, expert)) => (self.matrices.get(&name)?, expert),
            None => (self.matrices.get(name)?, 0),
        };
        let Packed { kind, rows, cols, ref range, stride_bytes, source, .. } = *packed;
        let tensor = match source {
            Source::File(file) => files[file].as_slice(),
            Source::Unpacked(tensor) => &self.unpacked[tensor],
        };
        let skipped = (index < packed.count).then_some(index * stride_bytes)?;
        let bytes = &tensor[range.start + skipped..range.end + skipped];
        Some(QuantMatrix::new(kind, rows, cols, bytes).expect("as long as its rows"))
    }

    pub(crate) fn vector(&self, name: &str) -> Option<&[f32]> {
        self.vectors.get(name).map(Vec::as_slice)
    }
}
