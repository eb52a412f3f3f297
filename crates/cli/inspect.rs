//! `itera inspect`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use itera_checkpoint::find_model;
use itera_formats::{Listing, MetadataValue, printable};
use itera_runtime::Model;
use itera_shape::ModelConfig;
use itera_tokenizer::TokenId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::listing::{Sizes, shape};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera inspect quickstart.gguf
  itera inspect runs/quickstart                     the best checkpoint of a run
  itera inspect some/model-nvfp4                    a directory of any family, codes joined with their scales
  itera inspect quickstart.gguf --json")]
pub struct Args {
    /// A GGUF file of any architecture, a Hugging Face directory, a checkpoint, or a run.
    path: PathBuf,
    /// Print one JSON object; it has the length and the first items of a long list in GGUF metadata.
    #[arg(long)]
    json: bool,
}

/// Characters of a long text, and items of a long list, that are shown.
const SHOWN_CHARS: usize = 60;
const SHOWN_ITEMS: usize = 8;

/// What can be said of a model only if it is one of the family.
#[derive(Serialize)]
struct Anatomy {
    total_params: usize,
    active_params: usize,
    tokenizer: Vocabulary,
    config: ModelConfig,
}

#[derive(Serialize)]
struct Vocabulary {
    tokens: usize,
    merges: usize,
    specials: Vec<String>,
    /// How the token is spelled that stands in the place of bytes without one; absent where every byte has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let path = find_model(&args.path)?;
    let listing = Listing::of(&path)?;
    let anatomy = examine(&path);
    let sizes = Sizes::of(&listing);
    let mut out = io::stdout().lock();
    if args.json {
        let tensors: Vec<_> = listing
            .tensors
            .iter()
            .map(|t| json!({ "name": t.name, "kind": t.stored_as.name(), "shape": t.shape, "params": t.n_params(), "bytes": t.size_bytes }))
            .collect();
        let (model, problem) = match anatomy {
            Ok(anatomy) => (Some(anatomy), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let metadata: Map<_, _> = listing.metadata.into_iter().map(|(key, value)| (key, json!(value))).collect();
        let object = json!({
            "path": path.to_string_lossy(),
            "format": listing.format,
            "model": model,
            "problem": problem,
            "sizes": sizes,
            "metadata": metadata,
            "tensors": tensors,
        });
        writeln!(out, "{object}")?;
    } else {
        print(&mut out, &path, &listing, &anatomy, &sizes)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn examine(path: &Path) -> Result<Anatomy> {
    let model = Model::open(path)?;
    let tokenizer = model.tokenizer()?;
    let spelled = |id: &TokenId| tokenizer.spellings().nth(id.index()).map(str::to_owned);
    Ok(Anatomy {
        total_params: model.config().total_params(),
        active_params: model.config().active_params(),
        tokenizer: Vocabulary {
            tokens: tokenizer.vocab_size(),
            merges: tokenizer.merges().count(),
            specials: tokenizer.specials().iter().filter_map(spelled).collect(),
            unknown: tokenizer.unknown().as_ref().and_then(spelled),
        },
        config: model.config().clone(),
    })
}

fn print(
    out: &mut impl Write,
    path: &Path,
    listing: &Listing,
    anatomy: &Result<Anatomy>,
    sizes: &Sizes,
) -> io::Result<()> {
    let keys: Vec<_> = listing.metadata.iter().map(|(key, _)| printable(key)).collect();
    let width = longest(&keys);
    for (key, (_, value)) in keys.iter().zip(&listing.metadata) {
        let value = match value {
            MetadataValue::Whole(value) => shown(value),
            MetadataValue::Long { len, first } => shown_list(first, *len),
        };
        writeln!(out, "{key:width$}  {value}")?;
    }
    writeln!(out)?;
    let names: Vec<_> = listing.tensors.iter().map(|tensor| printable(&tensor.name)).collect();
    let width = longest(&names);
    writeln!(out, "{:width$}  {:8} {:>18} {:>12}", "tensor", "kind", "shape", "bytes")?;
    for (name, tensor) in names.iter().zip(&listing.tensors) {
        let (kind, shape) = (tensor.stored_as.name(), shape(&tensor.shape));
        writeln!(out, "{name:width$}  {kind:8} {shape:>18} {:>12}", tensor.size_bytes)?;
    }
    writeln!(out)?;
    sizes.print(out)?;
    writeln!(out, "file     {}, {}", printable(path), listing.format)?;
    match anatomy {
        Ok(Anatomy { total_params, active_params, tokenizer, .. }) => {
            writeln!(out, "model    {total_params} parameters, {active_params} active a token")?;
            let Vocabulary { tokens, merges, specials, unknown } = tokenizer;
            let specials = printable(specials.join(" "));
            writeln!(out, "text     {tokens} tokens, {merges} merges, special: {specials}")?;
            unknown.iter().try_for_each(|unknown| writeln!(out, "         unknown bytes are {}", printable(unknown)))
        }
        Err(error) => writeln!(out, "model    none that `itera` runs: {error:#}"),
    }
}

fn longest(names: &[String]) -> usize {
    names.iter().map(|name| name.chars().count()).max().unwrap_or(0)
}

/// A value on one line, the rest of a long one left away.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => match text.char_indices().nth(SHOWN_CHARS) {
            Some((cut, _)) => format!("{:?}…", &text[..cut]),
            None => format!("{text:?}"),
        },
        Value::Array(items) => shown_list(items, items.len()),
        other => printable(other.to_string()),
    }
}

/// The first of `len` items.
fn shown_list(items: &[Value], len: usize) -> String {
    let shown: Vec<_> = items.iter().take(SHOWN_ITEMS).map(shown).collect();
    let rest = if len > SHOWN_ITEMS { format!(", … {len} in all") } else { String::new() };
    format!("[{}{rest}]", shown.join(", "))
}
