//! `itera logits`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use burn::tensor::{Int, Tensor};

use crate::{args, setup};

pub fn run(args: args::Logits) -> Result<ExitCode> {
    let device = setup::device_of(&args.device)?;
    let opened = itera_checkpoint::open_model(&args.path, &device)?;
    let ids: Vec<i32> =
        [opened.tokenizer.bos()].into_iter().chain(opened.tokenizer.encode(&args.text)).map(|id| id.0 as i32).collect();
    let model = &opened.model;
    let input = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).unsqueeze_dim(0);
    let logits = model.logits(model.forward(input, model.initial_state(1), None).hidden);
    let vocab_size = model.config().vocab_size;
    let logits = logits.into_data().try_into_vec::<f32>()?;
    let rows: Vec<&[f32]> = logits.chunks(vocab_size).collect();
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
