//! `itera export`

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Result, bail};
use itera_checkpoint::{export_model, find_model, run_of};
use itera_formats::{
    Kind, Listing, Tensor,
    gguf::{GgufSource, Vocabulary, write_gguf},
    hf::{HfModel, read_model_dir},
    pack_model,
};
use itera_tokenizer::Tokenizer;

use crate::{
    args::{self, Dtype, Format},
    listing::Sizes,
};

pub fn run(args: args::Export) -> Result<ExitCode> {
    let dir = find_model(&args.path)?;
    if dir.is_file() {
        bail!("{} is a file already\nhint: export the run or the checkpoint that it was made from", dir.display());
    }
    let output = &args.output;
    if output.exists() && !args.force {
        bail!("{} is there already\nhint: replace it with --force, or choose another name", output.display());
    }
    let kind = match (args.dtype, args.format) {
        (Dtype::F32, _) => Kind::F32,
        (Dtype::F16, _) => Kind::F16,
        (Dtype::Bf16, _) => Kind::Bf16,
        (Dtype::Q8_0, Format::Gguf) => Kind::Q8_0,
        (Dtype::Q8_0, Format::Hf) => {
            bail!("a Hugging Face directory holds no q8_0\nhint: --dtype bf16, or --format gguf")
        }
    };
    let model = read_model_dir(&dir)?;
    let tokenizer = Tokenizer::load_dir(&dir)?;
    match args.format {
        Format::Hf => export_model(output, &model, &tokenizer, kind)?,
        Format::Gguf => {
            let run = run_of(&dir).unwrap_or(dir);
            let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy();
            export_gguf(output, &name, &model, &tokenizer, kind, args.allow_unsupported)?;
        }
    }
    let sizes = Sizes::of(&Listing::of(output)?);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "output": output, "sizes": sizes }))?;
    } else {
        sizes.print(&mut out)?;
        writeln!(out, "written  {}", output.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn export_gguf(
    path: &Path,
    name: &str,
    model: &HfModel,
    tokenizer: &Tokenizer,
    kind: Kind,
    allow_unsupported: bool,
) -> Result<()> {
    let vocabulary = Vocabulary {
        tokens: tokenizer.spellings().collect(),
        merges: tokenizer.merges().collect(),
        specials: tokenizer.specials().iter().map(|id| id.0).collect(),
    };
    let tensors: Vec<_> = model.tensors.iter().map(Tensor::as_ref).collect();
    let HfModel { config, special_ids, .. } = model;
    let tensors = &pack_model(config, &tensors, kind)?;
    let source = GgufSource { name, config, special_ids: *special_ids, vocabulary: &vocabulary, tensors };
    match write_gguf(path, &source, allow_unsupported) {
        Err(error @ itera_formats::FormatError::NotForLlamaCpp { .. }) => {
            bail!("{error}\nhint: --allow-unsupported writes a file for `itera` alone")
        }
        result => result.map(|_| ()).map_err(Into::into),
    }
}
