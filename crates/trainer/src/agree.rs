//! program, configuration, data, weights of each rank → that all have the same

use itera_collective::Difference;
use itera_config::{CheckpointConfig, Config, DataConfig, RunConfig};
use itera_files::Sha256Digest;
use itera_model::parameters::weights;
use itera_ops::host_values;

use crate::{
    average::Average,
    begin::Beginning,
    error::TrainError,
    identity::{Identity, changed_lines},
    learner::Optimizers,
    ranks::Ranks,
    words,
};

/// What ranks compare, in this order: where one differs those behind it may differ by it.
const WHAT: [&str; 7] =
    ["program", "configuration", "tokenizer", "corpus", "method", "first step", "weights to begin with"];
const CONFIGURATION: usize = 1;

/// Refuse ranks that would train something else than rank 0. All ranks find the same.
///
/// # Errors
/// [`TrainError::RankDiffers`], of the first rank that does.
pub(crate) fn agree(
    ranks: &Ranks<'_>,
    config: &Config,
    identity: &Identity,
    beginning: &Beginning,
) -> Result<(), TrainError> {
    if ranks.world().is_none() {
        return Ok(());
    }
    let [tokenizer, corpus, method] = identity.contents();
    let step = beginning.checkpoint.as_ref().map_or(0, |state| state.step).to_string();
    let facts = [program(), shared(config).to_toml(), tokenizer, corpus, method, step, fingerprint(beginning)];
    // what asks a rank to stop goes with it
    let difference = Difference::first(&facts, |mine| ranks.gather(mine))?;
    let Some(Difference { rank, fact, first, here }) = difference else { return Ok(()) };
    let difference = match fact {
        CONFIGURATION => changed_lines(&first, &here),
        _ => format!("{first} → {here}"),
    };
    Err(TrainError::RankDiffers { rank, what: WHAT[fact], difference })
}

/// Version, and size as the mark of a build: bytes of a run are promised for one program.
fn program() -> String {
    let bytes = std::env::current_exe().and_then(|path| path.metadata()).map_or(0, |file| file.len());
    format!("{} of {bytes} bytes", env!("CARGO_PKG_VERSION"))
}

/// The configuration but for what is a matter of each process: threads, and where it finds what is compared by its contents.
fn shared(config: &Config) -> Config {
    let mut config = config.clone();
    let RunConfig { dir, threads, .. } = RunConfig::default();
    (config.run.dir, config.run.threads) = (dir, threads);
    config.data.cache_dir = DataConfig::default().cache_dir;
    config.checkpoint.local_dir = CheckpointConfig::default().local_dir;
    config
}

/// sha256 of what all ranks have alike: the weights, their average, and what is remembered of them, but for what replicas do.
fn fingerprint(Beginning { model, optimizer, average, .. }: &Beginning) -> String {
    let mut bytes = vec![];
    let average = average.iter().flat_map(Average::weights);
    for tensor in weights(model).iter().chain(average) {
        words::extend(&mut bytes, &host_values(tensor));
    }
    match optimizer {
        Optimizers::Of(optimizer) => {
            optimizer.remembered().iter().for_each(|tensor| words::extend(&mut bytes, &tensor.values));
        }
        Optimizers::Replicas(replicas) => {
            replicas.velocity().iter().for_each(|velocity| words::extend(&mut bytes, &host_values(velocity)));
        }
    }
    format!("sha256 {}", Sha256Digest::of(&bytes))
}
