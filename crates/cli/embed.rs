//! `itera embed`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use indicatif::ProgressBar;
use itera_files::write_atomic_with;
use itera_vectors::{Numbers, binary_bytes, to_binary, to_int8, write_npy};
use serde_json::json;

use crate::{
    embedder::{EmbedArgs, Embedder, lines},
    hints::with_hint,
    opened::RunArgs,
    talk::say,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera embed all-MiniLM-L6-v2 texts.txt -o vectors.npy      a vector a line, in the order of the lines
  itera embed all-MiniLM-L6-v2-fp8 texts.txt --dims 64 --binary -o bits.npy
  itera embed runs/quickstart texts.txt > vectors.jsonl      by a model of ours, whatever the length of a text
  echo 'A cat sat.' | itera embed all-MiniLM-L6-v2 -

A directory of the BERT family is run as sentence-transformers runs it, in f32, whatever its weights are in; docs/embeddings.md
says what is read. A vector's bits depend on its text alone. In .npy files, 8-bit numbers are int8, each vector's largest 127;
bits are uint8 as numpy.packbits lays them, 1 for numbers above 0.")]
pub struct Args {
    /// A directory of the BERT family, or a run, a checkpoint, a directory or a GGUF file of ours.
    model: PathBuf,
    /// Texts, one a line; - is standard input.
    texts: PathBuf,
    /// File to write: .npy, or JSON lines; these on standard output if not given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write whole numbers of 8 bits.
    #[arg(long, conflicts_with = "binary")]
    int8: bool,
    /// Write a bit a number.
    #[arg(long)]
    binary: bool,
    #[command(flatten)]
    embed: EmbedArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Texts whose vectors are made at a time.
const AT_ONCE: usize = 2048;

/// Vectors in the form in which they are written.
enum Rows {
    F32(Vec<f32>),
    Int8(Vec<i8>),
    Binary(Vec<u8>),
}

pub fn run(args: Args) -> Result<ExitCode> {
    let is_npy = |path: &Path| path.extension().is_some_and(|ending| ending == "npy");
    if let Some(path) =
        args.output.as_ref().filter(|path| !is_npy(path) && path.extension().is_none_or(|ending| ending != "jsonl"))
    {
        let problem = format!("{} is neither .npy nor .jsonl", path.display());
        return Err(with_hint(problem, "the ending says what is written"));
    }
    let mut embedder = Embedder::open(&args.model, &args.embed, &args.run)?;
    let texts = lines(&args.texts)?;
    let mut made = Made { rows: Rows::new(&args), count: 0, dims: embedder.dims };
    let bar = ProgressBar::new_spinner();
    match &args.output {
        Some(path) if is_npy(path) => {
            in_pieces(texts, &mut embedder, &bar, &mut |_, vectors| {
                made.add(vectors);
                Ok(())
            })?;
            made.write(path)?;
        }
        Some(path) => {
            let mut failed = None;
            write_atomic_with(path, |file| {
                let result =
                    in_pieces(texts, &mut embedder, &bar, &mut |texts, vectors| made.json_lines(file, texts, vectors));
                result.map_err(|error| {
                    let text = error.to_string();
                    failed = Some(error);
                    io::Error::other(text)
                })
            })
            .map_err(|error| failed.take().unwrap_or_else(|| error.into()))?;
        }
        None => {
            let mut out = io::stdout().lock();
            in_pieces(texts, &mut embedder, &bar, &mut |texts, vectors| made.json_lines(&mut out, texts, vectors))?;
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.output {
        say!("{} vectors of {} numbers: {}", made.count, made.dims, path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes texts and their vectors.
type Each<'e> = dyn FnMut(&[String], &[f32]) -> Result<()> + 'e;

fn in_pieces(
    mut texts: impl Iterator<Item = Result<String>>,
    embedder: &mut Embedder,
    bar: &ProgressBar,
    each: &mut Each<'_>,
) -> Result<()> {
    loop {
        let piece = texts.by_ref().take(AT_ONCE).collect::<Result<Vec<_>>>()?;
        if piece.is_empty() {
            return Ok(());
        }
        each(&piece, &embedder.embed(&piece, bar)?)?;
    }
}

/// Vectors that were made.
struct Made {
    rows: Rows,
    count: usize,
    dims: usize,
}

impl Rows {
    fn new(args: &Args) -> Self {
        match (args.int8, args.binary) {
            (true, _) => Self::Int8(vec![]),
            (_, true) => Self::Binary(vec![]),
            _ => Self::F32(vec![]),
        }
    }
}

impl Made {
    fn add(&mut self, vectors: &[f32]) {
        self.count += vectors.len() / self.dims;
        for vector in vectors.chunks_exact(self.dims) {
            match &mut self.rows {
                Rows::F32(numbers) => numbers.extend(vector),
                Rows::Int8(codes) => {
                    let start = codes.len();
                    codes.resize(start + vector.len(), 0);
                    to_int8(vector, &mut codes[start..]);
                }
                Rows::Binary(bits) => {
                    let start = bits.len();
                    bits.resize(start + binary_bytes(vector.len()), 0);
                    to_binary(vector, &mut bits[start..]);
                }
            }
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        Ok(match &self.rows {
            Rows::F32(numbers) => write_npy(path, Numbers::F32(numbers), self.dims),
            Rows::Int8(codes) => write_npy(path, Numbers::Int8(codes), self.dims),
            Rows::Binary(bits) => write_npy(path, Numbers::Bytes(bits), binary_bytes(self.dims)),
        }?)
    }

    /// A line a text, after which nothing of it is kept.
    fn json_lines(&mut self, out: &mut dyn Write, texts: &[String], vectors: &[f32]) -> Result<()> {
        self.add(vectors);
        for (at, text) in texts.iter().enumerate() {
            let of = |width: usize| at * width..(at + 1) * width;
            let vector = match &self.rows {
                Rows::F32(numbers) => json!(numbers[of(self.dims)]),
                Rows::Int8(codes) => json!(codes[of(self.dims)]),
                Rows::Binary(bits) => json!(bits[of(binary_bytes(self.dims))]),
            };
            writeln!(out, "{}", json!({ "text": text, "vector": vector }))?;
        }
        match &mut self.rows {
            Rows::F32(numbers) => numbers.clear(),
            Rows::Int8(codes) => codes.clear(),
            Rows::Binary(bits) => bits.clear(),
        }
        Ok(())
    }
}
