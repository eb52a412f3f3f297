//! tensors of a model file → sums by kind of number, and what they would be in f32

use std::io::{self, Write};

use itera_formats::{Kind, ListedTensor, Listing};
use serde::Serialize;

/// Sizes of a model file or directory.
#[derive(Serialize)]
pub struct Sizes {
    /// By kind of number, in the order of the file.
    kinds: Vec<KindSizes>,
    tensors: usize,
    params: usize,
    tensor_bytes: usize,
    /// Bytes of the tensors in f32, for each byte that they take.
    times_smaller_than_f32: f64,
    /// Of the file, or of the files of the directory: tokenizer and metadata included.
    file_bytes: u64,
}

#[derive(Serialize)]
struct KindSizes {
    kind: &'static str,
    tensors: usize,
    params: usize,
    tensor_bytes: usize,
}

impl Sizes {
    pub fn of(listing: &Listing) -> Self {
        let mut order: Vec<Kind> = Vec::new();
        for tensor in &listing.tensors {
            if !order.contains(&tensor.kind) {
                order.push(tensor.kind);
            }
        }
        let kinds = order.into_iter().map(|kind| {
            let of_kind = || listing.tensors.iter().filter(|tensor| tensor.kind == kind);
            KindSizes {
                kind: kind.name(),
                tensors: of_kind().count(),
                params: of_kind().map(ListedTensor::n_params).sum(),
                tensor_bytes: of_kind().map(|tensor| tensor.size_bytes).sum(),
            }
        });
        let kinds: Vec<_> = kinds.collect();
        let params = kinds.iter().map(|kind| kind.params).sum();
        let tensor_bytes = kinds.iter().map(|kind| kind.tensor_bytes).sum();
        Self {
            kinds,
            tensors: listing.tensors.len(),
            params,
            tensor_bytes,
            times_smaller_than_f32: (size_of::<f32>() * params) as f64 / tensor_bytes as f64,
            file_bytes: listing.file_bytes,
        }
    }

    /// A table, and a line below it.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{:8} {:>8} {:>12} {:>12}", "kind", "tensors", "parameters", "bytes")?;
        for KindSizes { kind, tensors, params, tensor_bytes } in &self.kinds {
            writeln!(out, "{kind:8} {tensors:>8} {params:>12} {tensor_bytes:>12}")?;
        }
        let Self { tensors, params, tensor_bytes, .. } = self;
        writeln!(out, "{:8} {tensors:>8} {params:>12} {tensor_bytes:>12}", "all")?;
        writeln!(
            out,
            "on disk  {} bytes, tokenizer and metadata included; tensors {:.2} times smaller than in f32",
            self.file_bytes, self.times_smaller_than_f32
        )
    }
}

/// A shape as people write it.
pub fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}
