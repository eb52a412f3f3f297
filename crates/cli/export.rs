//! `itera export`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use itera_checkpoint::{Place, export_model, export_packed, find_model, run_of, vocabulary};
use itera_formats::{
    Kind, ListedTensor, Listing, NumberType, PackedTensor,
    gguf::{GgufSource, write_gguf},
    hf::{HfModel, kind_in_dir, read_model_dir},
    pack_model,
};
use itera_runtime::Model;
use itera_shape::NamedTensor;
use itera_tokenizer::Tokenizer;

use crate::{hints::with_hint, listing::Sizes, talk::say};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera export runs/quickstart -o quickstart.gguf
  itera export runs/quickstart --dtype q8_0 -o quickstart-q8.gguf
  itera export runs/quickstart/last --format hf --dtype bf16 -o quickstart-bf16
  itera export runs/quickstart --format hf --dtype fp8 -o quickstart-fp8
  itera export quickstart.gguf --format hf -o quickstart-hf                  back to a directory

Matrices are stored as --dtype; norms, convolutions, routers and other small weights stay f32. The output appears whole
or not at all, and replaces nothing but a file or the directory of a model. Numbers that are rounded in the source are
taken as they are; rounding them again loses a little more.")]
pub struct Args {
    /// A run, a checkpoint, a Hugging Face directory of the family, or a GGUF file.
    path: PathBuf,
    /// The file or directory to write.
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "gguf")]
    format: Format,
    /// How the numbers of matrices are stored.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Write the file even if llama.cpp cannot run it.
    #[arg(long)]
    allow_unsupported: bool,
    /// Replace the file, or the directory of a model, that is there.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One file, tokenizer included; llama.cpp runs it.
    Gguf,
    /// A directory that `transformers` opens.
    Hf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dtype {
    /// 32-bit floats: exact.
    F32,
    /// 16-bit floats (IEEE), up to 65504.
    F16,
    /// 16-bit floats with the range of f32.
    Bf16,
    /// 8.5 bits a number; only in GGUF.
    #[value(name = "q8_0")]
    Q8_0,
    /// 8-bit floats (E4M3) in the layout of compressed-tensors; only in a directory.
    Fp8,
    /// Linear modules in 4.5 bits a number and other matrices in fp8, in the same layout; only in a directory.
    Int4,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let path = find_model(&args.path)?;
    check_output(&args)?;
    // a link stays, and what it points to is replaced
    let output = &args.output.canonicalize().unwrap_or_else(|_| args.output.clone());
    let kind = match (args.dtype, args.format) {
        (Dtype::F32, _) => Kind::F32,
        (Dtype::F16, _) => Kind::F16,
        (Dtype::Bf16, _) => Kind::Bf16,
        (Dtype::Q8_0, Format::Gguf) => Kind::Q8_0,
        (Dtype::Q8_0, Format::Hf) => {
            return Err(with_hint("a Hugging Face directory holds no q8_0", "--dtype fp8, or --format gguf"));
        }
        (Dtype::Fp8, Format::Hf) => Kind::F8E4M3,
        (Dtype::Int4, Format::Hf) => Kind::Q4_0,
        (Dtype::Fp8 | Dtype::Int4, Format::Gguf) => {
            let hint = "--format hf; for GGUF in 4 bits, `itera compress --recipe int4`";
            return Err(with_hint("GGUF has no such type", hint));
        }
    };
    let (model, tokenizer) = read(&path, kind)?;
    match args.format {
        Format::Hf if matches!(args.dtype, Dtype::Fp8 | Dtype::Int4) => {
            let HfModel { config, tensors, .. } = &model;
            let pack =
                |(spec, tensor): (_, &NamedTensor)| PackedTensor::round(&tensor.as_ref(), kind_in_dir(spec, kind));
            let specs = config.tensors();
            let packed = specs.iter().zip(tensors).map(pack).collect::<Result<Vec<_>, _>>()?;
            export_packed(output, config, &tokenizer, &packed)?;
        }
        Format::Hf => {
            let tensors: Vec<_> = model.tensors.iter().map(NamedTensor::as_ref).collect();
            export_model(output, &model.config, &tokenizer, &tensors, kind)?;
        }
        Format::Gguf => {
            let run = run_of(&path).unwrap_or(path);
            let name = if run.is_dir() { run.file_name() } else { run.file_stem() };
            let name = name.unwrap_or(run.as_os_str()).to_string_lossy();
            export_gguf(output, &name, &model, &tokenizer, kind, args.allow_unsupported)?;
        }
    }
    let sizes = Sizes::of(&Listing::of(output)?);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "output": args.output.to_string_lossy(), "sizes": sizes }))?;
    } else {
        sizes.print(&mut out)?;
        writeln!(out, "written  {}", args.output.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuse to replace what nobody asked to replace, or what Itera did not write.
fn check_output(args: &Args) -> Result<()> {
    let Args { output, format, force, .. } = args;
    let is_taken = match (format, output.metadata()) {
        (Format::Hf, _) => Place::at(output)? == Place::Model,
        (Format::Gguf, Ok(about)) if about.is_dir() => {
            let problem = format!("{} is a directory, and GGUF is one file", output.display());
            return Err(with_hint(problem, "name a file, or write a directory with --format hf"));
        }
        (Format::Gguf, Ok(about)) if !about.is_file() => bail!("{} is no regular file", output.display()),
        (Format::Gguf, _) => output.symlink_metadata().is_ok(),
    };
    if is_taken && !force {
        let problem = format!("{} is there already", output.display());
        return Err(with_hint(problem, "replace it with --force, or choose another name"));
    }
    Ok(())
}

/// All of a model in f32, to be written as `kind`.
fn read(path: &Path, kind: Kind) -> Result<(HfModel, Tokenizer)> {
    let coded = |tensor: ListedTensor| match tensor.stored_as {
        NumberType::Kind(kind) if kind.block_len() > 1 || kind == Kind::F8E4M3 => Some(kind.name()),
        _ => None,
    };
    if let Some(before) = Listing::of(path)?.tensors.into_iter().find_map(coded).filter(|_| kind != Kind::F32) {
        let after = kind.name();
        say!(
            "note: {} has {before} already; rounded again to {after} it loses more than its original would",
            path.display()
        );
    }
    let model = Model::open(path)?;
    let weights = if path.is_dir() { read_model_dir(path)? } else { model.file().expand()? };
    Ok((weights, model.tokenizer()?))
}

fn export_gguf(
    path: &Path,
    name: &str,
    model: &HfModel,
    tokenizer: &Tokenizer,
    kind: Kind,
    allow_unsupported: bool,
) -> Result<()> {
    let vocabulary = vocabulary(tokenizer);
    let tensors: Vec<_> = model.tensors.iter().map(NamedTensor::as_ref).collect();
    let (config, special_ids) = (&model.config, model.special_ids);
    let tensors = &pack_model(config, &tensors, kind)?;
    let source = GgufSource { name, config, special_ids, vocabulary: &vocabulary, tensors };
    write_gguf(path, &source, allow_unsupported)?;
    Ok(())
}
