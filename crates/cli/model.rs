//! `itera model`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use itera_config::Config;
use itera_shape::{ModelConfig, Precision, SavedActivations};

use crate::{args::ConfigArgs, listing::shape, setup};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera model --config configs/tiny.toml
  itera model --config configs/tiny.toml --set model.n_experts=8 --json")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let config = setup::config(&args.config)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&config))?;
    } else {
        print(&mut out, &config)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What training saves for its backward pass, by the settings that decide it, the plainest first.
fn saved_activations(model: &ModelConfig) -> [(&'static str, Precision, bool, SavedActivations); 4] {
    [
        ("f32", Precision::F32, false),
        ("bf16", Precision::Bf16, false),
        ("f32_checkpointed", Precision::F32, true),
        ("bf16_checkpointed", Precision::Bf16, true),
    ]
    .map(|(name, precision, checkpointed)| {
        (name, precision, checkpointed, model.saved_activations(precision, checkpointed))
    })
}

fn json(config: &Config) -> serde_json::Value {
    let (model, context_len) = (&config.model, config.train.seq_len);
    let tensors: Vec<_> = model
        .tensors()
        .into_iter()
        .map(|t| serde_json::json!({ "name": t.name, "shape": t.shape, "role": t.role.name(), "params": t.n_params() }))
        .collect();
    let saved: serde_json::Map<_, _> = saved_activations(model)
        .into_iter()
        .map(|(name, _, _, saved)| (name.into(), serde_json::json!(saved)))
        .collect();
    serde_json::json!({
        "tensors": tensors,
        "total_params": model.total_params(),
        "active_params": model.active_params(),
        "weight_bytes_f32": model.weight_bytes_f32(),
        "context_len": context_len,
        "flops_per_token": model.flops_per_token(context_len),
        "saved_activations": saved,
    })
}

fn print(out: &mut impl Write, config: &Config) -> io::Result<()> {
    let (model, context_len) = (&config.model, config.train.seq_len);
    let tensors = model.tensors();
    let width = tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  {:>18}  {:>10}  {:>10}  role", "tensor", "shape", "parameters", "bytes f32")?;
    for t in &tensors {
        let shape = shape(&t.shape);
        writeln!(
            out,
            "{:width$}  {shape:>18}  {:>10}  {:>10}  {}",
            t.name,
            t.n_params(),
            4 * t.n_params(),
            t.role.name()
        )?;
    }
    writeln!(out,)?;
    writeln!(out, "total parameters   {}", model.total_params())?;
    writeln!(out, "active parameters  {} a token", model.active_params())?;
    writeln!(out, "weights            {} bytes in f32", model.weight_bytes_f32())?;
    writeln!(
        out,
        "forward            {} FLOPs a token, in a context of {context_len}",
        model.flops_per_token(context_len)
    )?;
    writeln!(out)?;
    writeln!(out, "saved for backward, bytes         a token  a sequence  recomputed")?;
    for (_, precision, checkpointed, saved) in saved_activations(model) {
        let SavedActivations { bytes_per_token, bytes_per_sequence, recomputed_bytes_per_token } = saved;
        let what = precision.name().to_owned() + if checkpointed { ", gradient checkpointing" } else { "" };
        let here = (precision, checkpointed) == (config.train.precision, config.train.gradient_checkpointing);
        let mark = if here { "  ← [train]" } else { "" };
        writeln!(
            out,
            "{what:<29}  {bytes_per_token:>10}  {bytes_per_sequence:>10}  {recomputed_bytes_per_token:>10}{mark}"
        )?;
    }
    Ok(())
}
