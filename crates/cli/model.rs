//! `itera model`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use itera_config::ModelConfig;

use crate::{args, setup};

pub fn run(args: args::Model) -> Result<ExitCode> {
    let config = setup::config(&args.config)?;
    let context_len = config.train.seq_len;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&config.model, context_len))?;
    } else {
        print(&mut out, &config.model, context_len)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(model: &ModelConfig, context_len: usize) -> serde_json::Value {
    let tensors: Vec<_> = model
        .tensors()
        .into_iter()
        .map(|t| serde_json::json!({ "name": t.name, "shape": t.shape, "role": format!("{:?}", t.role), "params": t.n_params() }))
        .collect();
    serde_json::json!({
        "tensors": tensors,
        "total_params": model.total_params(),
        "active_params": model.active_params(),
        "weight_bytes_f32": model.weight_bytes_f32(),
        "context_len": context_len,
        "flops_per_token": model.flops_per_token(context_len),
    })
}

fn print(out: &mut impl Write, model: &ModelConfig, context_len: usize) -> io::Result<()> {
    let tensors = model.tensors();
    let width = tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  {:>18}  {:>10}  {:>10}  role", "tensor", "shape", "parameters", "bytes f32")?;
    for t in &tensors {
        let shape = t.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        writeln!(out, "{:width$}  {shape:>18}  {:>10}  {:>10}  {:?}", t.name, t.n_params(), 4 * t.n_params(), t.role)?;
    }
    writeln!(out,)?;
    writeln!(out, "total parameters   {}", model.total_params())?;
    writeln!(out, "active parameters  {} a token", model.active_params())?;
    writeln!(out, "weights            {} bytes in f32", model.weight_bytes_f32())?;
    writeln!(
        out,
        "forward            {} FLOPs a token, in a context of {context_len}",
        model.flops_per_token(context_len)
    )
}
