//! texts that processes score together → what each makes of its share → what they have made of all

use std::path::Path;

use anyhow::Result;
use itera_collective::Difference;
use itera_files::Sha256Digest;
use itera_formats::file_hashes;
use itera_trainer::TrainError;

use crate::{opened::RunArgs, ranks::Team};

/// What `work` makes of each text by the model at `model`, as many `bytes` a text, in the order of texts, for all ranks: each
/// does every so many'th, from its own number. A process that is no rank does all of them.
///
/// # Errors
/// If ranks have another program, model, way to run it or other texts than rank 0, or `work` fails.
pub fn share_out<T: AsRef<str> + Clone>(
    team: Option<&Team<'_>>,
    model: &Path,
    run: &RunArgs,
    texts: &[T],
    bytes: usize,
    work: impl FnOnce(&[T]) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let Some(team) = team else { return work(texts) };
    agree(team, model, run, texts)?;
    let world = team.world();
    world.beacon().begin_long("its share");
    let mine: Vec<T> = texts.iter().skip(world.rank()).step_by(world.size()).cloned().collect();
    let shares = world.allgather(&work(&mine)?)?;
    let mut shares: Vec<_> = shares.iter().map(|share| share.chunks_exact(bytes)).collect();
    let of_text = |text: usize| shares[text % world.size()].next().expect("every share is whole");
    Ok((0..texts.len()).flat_map(of_text).copied().collect())
}

fn agree(team: &Team<'_>, model: &Path, run: &RunArgs, texts: &[impl AsRef<str>]) -> Result<()> {
    let names = ["program", "model", "arithmetic", "list of texts"];
    let facts = [
        env!("CARGO_PKG_VERSION").to_owned(),
        file_hashes(model)?.join(", "),
        format!("{:?}", RunArgs { threads: 0, ..run.clone() }),
        format!(
            "{} of sha256 {}",
            texts.len(),
            Sha256Digest::of_parts(texts.iter().map(|text| text.as_ref().as_bytes()))
        ),
    ];
    match Difference::first(&facts, |mine| team.world().allgather(&mine))? {
        None => Ok(()),
        Some(Difference { rank, fact, first, here }) => {
            Err(TrainError::RankDiffers { rank, what: names[fact], difference: format!("{first} → {here}") }.into())
        }
    }
}
