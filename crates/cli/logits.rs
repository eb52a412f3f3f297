//! `itera logits`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;

use crate::{args, opened};

pub fn run(args: args::Logits) -> Result<ExitCode> {
    let opened = opened::open(&args.path, &args.run)?;
    let tokenizer = &opened.tokenizer;
    let ids: Vec<u32> = [tokenizer.bos()].into_iter().chain(tokenizer.encode(&args.text)).map(|id| id.0).collect();
    let model = &opened.model;
    let mut logits = Vec::new();
    model
        .prefill_all(&mut model.new_state(), &ids, &mut model.workspace(), |_, rows| logits.extend_from_slice(rows))?;
    let rows: Vec<&[f32]> = logits.chunks(model.config().vocab_size).collect();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "ids": ids, "logits": rows }))?;
    } else {
        for (id, row) in ids.iter().zip(rows) {
            let best = (0..).zip(row).max_by(|a, b| a.1.total_cmp(b.1)).map(|(next, _)| next).unwrap_or(0);
            writeln!(out, "{id:>6}  → {best:>6}  logit {:.5}", row[best])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
