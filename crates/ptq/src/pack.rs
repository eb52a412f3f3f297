//! a piece of rows → codes and scales, each matrix in pieces that are rounded by all threads.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use itera_formats::SafetensorsReader;
use itera_kernels::quant::{
    Kind,
    apart::{NVFP4_GROUP, fp8_scale, nvfp4_factor, quantize_fp8, quantize_nvfp4, quantize_nvfp4_closest},
    quantize,
};
use rayon::prelude::*;

use crate::{
    error::Result,
    method::{BLOCK, Fp8Scales, Layout, Method, Rounding},
    plan::Matrix,
    rows::{Buffers, Rows, largest},
};

/// What a matrix is rounded with.
pub(crate) struct Packer {
    method: Method,
    layout: Layout,
    rounding: Rounding,
    input: Buffers,
    codes: Vec<u8>,
    scales: Vec<u8>,
}

/// A failure to write, beside those to read.
pub(crate) enum Failed {
    Read(crate::error::PtqError),
    Write(io::Error),
}

impl<E: Into<crate::error::PtqError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Read(error.into())
    }
}

impl Packer {
    pub(crate) fn new(method: Method, layout: Layout, rounding: Rounding) -> Self {
        Self { method, layout, rounding, input: Buffers::default(), codes: Vec::new(), scales: Vec::new() }
    }

    /// Whether scales depend on all of a matrix, so that it is read twice.
    pub(crate) fn needs_largest(&self) -> bool {
        matches!(self.method, Method::Nvfp4 | Method::Fp8(Fp8Scales::Tensor))
    }

    /// The largest magnitude of a matrix; `tick` is called with the bytes of each piece.
    pub(crate) fn largest(
        &mut self,
        rows: &Rows,
        reader: &mut SafetensorsReader,
        tick: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<f32> {
        let mut most: f32 = 0.0;
        for piece in rows.pieces(1) {
            let n_rows = piece.len();
            let numbers = rows.read(reader, piece, &mut self.input)?;
            most = most.max(numbers.par_chunks(1 << 16).map(largest).reduce(|| 0.0, f32::max));
            tick((n_rows * rows.cols * rows.kind.block_bytes()) as u64)?;
        }
        Ok(most)
    }

    /// Rounds a matrix, whose largest magnitude, or that of its group, is `largest`, into the places of `file` that are its own.
    pub(crate) fn pack(
        &mut self,
        matrix: &Matrix,
        largest: f32,
        reader: &mut SafetensorsReader,
        file: &mut File,
        tick: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<(), Failed> {
        let Matrix { rows, at, .. } = matrix;
        let kind = rows.kind;
        let factor = nvfp4_factor(kind, largest);
        let step = if self.method == Method::Fp8(Fp8Scales::Block) { BLOCK } else { 1 };
        let mut places = at.clone();
        for piece in rows.pieces(step) {
            let n_bytes = (piece.len() * rows.cols * kind.block_bytes()) as u64;
            let numbers = rows.read(reader, piece, &mut self.input)?;
            let (codes, scales) = (&mut self.codes, &mut self.scales);
            match self.method {
                Method::Nvfp4 => nvfp4(kind, self.rounding, numbers, factor, codes, scales),
                Method::Fp8(Fp8Scales::Block) => fp8_blocks(kind, numbers, rows.cols, codes, scales),
                Method::Fp8(Fp8Scales::Channel) => {
                    let stored = if self.layout == Layout::ModelOpt { Kind::F32 } else { kind };
                    fp8_channels(kind, stored, numbers, rows.cols, codes, scales);
                }
                Method::Fp8(Fp8Scales::Tensor) => {
                    let scale = fp8_scale(kind, largest);
                    codes.resize(numbers.len(), 0);
                    numbers
                        .par_chunks(TASK)
                        .zip(codes.par_chunks_mut(TASK))
                        .for_each(|(x, codes)| quantize_fp8(kind, x, scale, codes));
                    // once, with the last piece
                    scales.clear();
                }
            }
            for (bytes, place) in [&self.codes, &self.scales].into_iter().zip(&mut places) {
                write_at(file, *place, bytes).map_err(Failed::Write)?;
                *place += bytes.len() as u64;
            }
            tick(n_bytes)?;
        }
        let last = match (self.method, self.layout) {
            (Method::Nvfp4, Layout::CompressedTensors) => Some((Kind::F32, factor, at[2])),
            (Method::Nvfp4, Layout::ModelOpt) => Some((Kind::F32, 1.0 / factor, at[2])),
            (Method::Fp8(Fp8Scales::Tensor), _) => Some((kind, fp8_scale(kind, largest), at[1])),
            (Method::Fp8(_), _) => None,
        };
        if let Some((stored, number, place)) = last {
            write_at(file, place, &bytes_of(stored, &[number])).map_err(Failed::Write)?;
        }
        Ok(())
    }
}

/// Numbers that a thread rounds at a time, whole groups.
const TASK: usize = 1 << 16;

fn write_at(file: &mut File, place: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(place))?;
    file.write_all(bytes)
}

fn bytes_of(kind: Kind, numbers: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; numbers.len() * kind.block_bytes()];
    quantize(kind, numbers, &mut bytes);
    bytes
}

fn nvfp4(kind: Kind, rounding: Rounding, numbers: &[f32], factor: f32, codes: &mut Vec<u8>, scales: &mut Vec<u8>) {
    let quantize = match rounding {
        Rounding::MinMax => quantize_nvfp4,
        Rounding::Mse => quantize_nvfp4_closest,
    };
    codes.resize(numbers.len() / 2, 0);
    scales.resize(numbers.len() / NVFP4_GROUP, 0);
    numbers
        .par_chunks(TASK)
        .zip(codes.par_chunks_mut(TASK / 2).zip(scales.par_chunks_mut(TASK / NVFP4_GROUP)))
        .for_each(|(x, (codes, scales))| quantize(kind, x, factor, codes, scales));
}

fn fp8_channels(kind: Kind, stored: Kind, numbers: &[f32], cols: usize, codes: &mut Vec<u8>, scales: &mut Vec<u8>) {
    codes.resize(numbers.len(), 0);
    let found: Vec<f32> = numbers
        .par_chunks(cols)
        .zip(codes.par_chunks_mut(cols))
        .map(|(x, codes)| {
            let scale = fp8_scale(kind, largest(x));
            quantize_fp8(kind, x, scale, codes);
            scale
        })
        .collect();
    *scales = bytes_of(stored, &found);
}

/// `numbers` begin with the first row of a block; blocks at the end of rows and columns may be smaller.
fn fp8_blocks(kind: Kind, numbers: &[f32], cols: usize, codes: &mut Vec<u8>, scales: &mut Vec<u8>) {
    codes.resize(numbers.len(), 0);
    let found: Vec<Vec<f32>> = numbers
        .par_chunks(BLOCK * cols)
        .zip(codes.par_chunks_mut(BLOCK * cols))
        .map(|(x, codes)| {
            let mut most = vec![0.0_f32; cols.div_ceil(BLOCK)];
            for row in x.chunks(cols) {
                most.iter_mut().zip(row.chunks(BLOCK)).for_each(|(most, x)| *most = most.max(largest(x)));
            }
            let scales: Vec<f32> = most.into_iter().map(|most| fp8_scale(kind, most)).collect();
            for (row, codes) in x.chunks(cols).zip(codes.chunks_mut(cols)) {
                for ((x, codes), scale) in row.chunks(BLOCK).zip(codes.chunks_mut(BLOCK)).zip(&scales) {
                    quantize_fp8(kind, x, *scale, codes);
                }
            }
            scales
        })
        .collect();
    *scales = bytes_of(kind, &found.concat());
}
