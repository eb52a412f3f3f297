use burn::tensor::Device;
use itera_testkit::uniform;

use super::*;
use crate::{losses::Losses, stop::StopFlag, told::Told};

/// Of tensors of a step. Elements are not a multiple of the number of ranks, and some ranks have none of some tensors.
const LENGTHS: [usize; 4] = [5, 1, 13, 4];

fn tensors(seed: u64, value: impl Fn(f32) -> f32) -> Vec<Tensor<1>> {
    let tensor = |(at, &len): (usize, &usize)| {
        let values: Vec<f32> = uniform(len, 1.0, 3.0, seed * 7 + at as u64).into_iter().map(&value).collect();
        Tensor::from_data(TensorData::new(values, [len]), &Device::flex())
    };
    LENGTHS.iter().enumerate().map(tensor).collect()
}

/// Inverses, of magnitudes that differ: uniform numbers have so few digits that their sums are exact.
fn gradients(micro: u64) -> Vec<Tensor<1>> {
    tensors(micro, |x| (1.0 / x) * (1 << (micro % 5)) as f32)
}

fn losses(micro: u64) -> Losses {
    let x = 1.0 / (micro + 3) as f64;
    let experts = vec![vec![micro, 1, 2 * micro], vec![3, micro, 0]];
    Losses { total: x, nats: x * x, load_balance: Some(x.sqrt()), z: None, tokens_per_expert: experts }
}

/// The total that a rank finds, as numbers: those of gradients as bits, in which NaN equals itself.
fn total(world: Option<&World>, micro_batches: u64) -> (Vec<Vec<u32>>, Losses) {
    let ranks = Ranks::new(world, StopFlag::default());
    let own = ranks.share(ranks.rank(), micro_batches);
    let mut sum = PairwiseSum::from_leaf(own.start);
    own.clone().for_each(|micro| sum.push(gradients(micro), add_gradients));
    let told = Told { losses: own.map(losses).collect(), ..Told::default() }.to_bytes();
    let Total { sum, told } =
        reduce(&ranks, micro_batches, sum, told, &Leaf::like(&tensors(0, |x| x))).expect("a total");
    let bits = |tensor: &Tensor<1>| host_values(tensor).iter().map(|x| x.to_bits()).collect();
    (sum.iter().map(bits).collect(), Told::sum_losses(&Told::of_all(&told)))
}

#[test]
fn any_number_of_ranks_finds_the_bytes_of_one() {
    let mut other_orders = 0;
    for micro_batches in 1..=17 {
        let expected = total(None, micro_batches);
        for size in 1..=9 {
            std::thread::scope(|scope| {
                let find = |world: World| scope.spawn(move || total(Some(&world), micro_batches));
                let found: Vec<_> = World::of_threads(size).into_iter().map(find).collect();
                for (rank, found) in found.into_iter().enumerate() {
                    let found = found.join().expect("no panic");
                    assert!(found == expected, "{micro_batches} micro-batches, rank {rank} of {size}");
                }
            });
        }
        let running = (1..micro_batches).fold(gradients(0), |sum, micro| add_gradients(sum, gradients(micro)));
        let running: Vec<u32> = running.iter().flat_map(|sum| host_values(sum).to_vec()).map(f32::to_bits).collect();
        other_orders += usize::from(running != expected.0.concat());
    }
    assert_eq!(other_orders, 14, "of more than three a sum in another order has other bits");
}
